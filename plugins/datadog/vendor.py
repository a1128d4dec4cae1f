"""Reading what a vendor sent: whatever it lacks is empty, and costs no more than itself."""

from typing import Any

from opsorch.plugin.payload import Json


def as_object(value: Any) -> Json:
    """Return an object, {} for anything else."""
    return value if isinstance(value, dict) else {}


def as_objects(value: Any) -> list[Json]:
    """Return the objects of a list, [] for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Return a text, "" for anything else."""
    return value if isinstance(value, str) else ""


def as_texts(value: Any) -> list[str]:
    """Return the texts of a list, [] for anything else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def as_number(value: Any) -> float:
    """Return a number, 0 for anything else."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return value if known else 0.0


def attributes_of(item: Json) -> Json:
    """Return the attributes of a JSON:API object."""
    return as_object(item.get("attributes"))


def text_at(value: Any, *names: str) -> str:
    """Return the text under a path of names, "" where there is none."""
    for name in names:
        value = as_object(value).get(name)
    return as_text(value)
