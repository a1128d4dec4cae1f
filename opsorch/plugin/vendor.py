"""Reading what a vendor sent: whatever it lacks is empty, and costs no more than itself.

``as_...`` reads a value, ``..._in`` a named field, ``text_at`` what lies under a path of names.
"""

from typing import Any

from opsorch.plugin.payload import Json
from opsorch.plugin.times import ZERO_TIME, vendor_time


def as_object(value: Any) -> Json:
    """Return an object, {} for anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return a list, [] for anything else."""
    return value if isinstance(value, list) else []


def as_objects(value: Any) -> list[Json]:
    """Return the objects of a list, [] for anything else."""
    return [item for item in as_list(value) if isinstance(item, dict)]


def as_text(value: Any) -> str:
    """Return a text, "" for anything else."""
    return value if isinstance(value, str) else ""


def as_texts(value: Any) -> list[str]:
    """Return the texts of a list, [] for anything else."""
    return [item for item in as_list(value) if isinstance(item, str)]


def as_number(value: Any) -> float:
    """Return a number, 0 for anything else."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return value if known else 0.0


def text_in(raw: Any, *names: str) -> str:
    """Return the first of the named fields that is text and not empty, else ""."""
    fields = as_object(raw)
    return next((text for name in names if (text := as_text(fields.get(name)))), "")


def object_in(raw: Any, name: str) -> Json:
    """Return a field that is an object, else {}."""
    return as_object(as_object(raw).get(name))


def objects_in(raw: Any, name: str) -> list[Json]:
    """Return the objects in a field that is a list, else []."""
    return as_objects(as_object(raw).get(name))


def text_at(raw: Any, *names: str) -> str:
    """Return the text under a path of names, "" where there is none."""
    for name in names:
        raw = as_object(raw).get(name)
    return as_text(raw)


def time_in(raw: Any, *names: str) -> str:
    """Return the first of the named fields that is a time, in UTC, else the zero time."""
    return known_time_in(raw, *names) or ZERO_TIME


def known_time_in(raw: Any, *names: str) -> str | None:
    """Return the first of the named fields that is a time, in UTC, else None."""
    fields = as_object(raw)
    found = (vendor_time(fields.get(name)) for name in names)
    return next((time for time in found if time != ZERO_TIME), None)
