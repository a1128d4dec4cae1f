"""Times of documents, in whatever form they were written, as RFC 3339 in UTC.

Source: elastic.co/guide/en/elasticsearch/reference/8.17/date.html.
"""

import datetime
import re
from collections.abc import Sequence
from typing import Any, Final

_PLAIN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", re.ASCII)
_FRACTION = re.compile(r"[.,](\d+)", re.ASCII)
_NUMBER = re.compile(r"-?\d{9,19}(?:\.\d{1,9})?", re.ASCII)
_NANOS: Final = 1_000_000_000
# Below the bound, the number counts these parts of a second.
_SCALES: Final = ((10**11, 1), (10**14, 1_000), (10**17, 1_000_000))

# Beyond lies no time that can be written.
_MOST: Final = 1e20
# What Elasticsearch puts in place of a missing sort value.
_MISSING: Final = frozenset({-(2**63), 2**63 - 1})

_fromisoformat = datetime.datetime.fromisoformat


def timestamp_of(value: Any) -> str | None:
    """Write a document's time in UTC, every digit of its fraction kept; None where it is none.

    Texts without a zone are UTC. Numbers count seconds, milli-, micro- or nanoseconds, by size.
    """
    if type(value) is str:
        return _of_text(value)
    if type(value) is int:
        return _of_nanos(value * (_NANOS // _parts(value)))
    if type(value) is float and abs(value) < _MOST:
        return _of_nanos(round(value * 1_000_000 / _parts(value)) * 1_000)
    return None


def sort_time(sort: Sequence[Any] | None) -> str | None:
    """Write the first numeric sort value, milliseconds, as a time."""
    first = next((value for value in sort or () if type(value) is int), None)
    if first is None or first in _MISSING:
        return None
    # A field of type date_nanos sorts by nanoseconds.
    scale = _parts(first) if abs(first) >= 10**14 else 1_000
    return _of_nanos(first * (_NANOS // scale))


def _of_text(text: str) -> str | None:
    try:
        moment = _fromisoformat(text)
    except ValueError:
        return _of_number_text(text)
    if _PLAIN.fullmatch(text):
        return text
    try:
        zoned = moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment
        utc = zoned.astimezone(datetime.UTC)
    except OverflowError:
        return None
    fraction = _FRACTION.search(text)
    digits = f".{fraction[1]}" if fraction else ""
    return f"{utc.replace(microsecond=0, tzinfo=None).isoformat()}{digits}Z"


def _of_number_text(text: str) -> str | None:
    """Read Unix time that was written as text."""
    if not _NUMBER.fullmatch(text):
        return None
    whole, _, fraction = text.partition(".")
    scale = _parts(int(whole))
    nanos = int(whole + fraction.ljust(9, "0")) * (_NANOS // scale) // _NANOS
    return _of_nanos(nanos)


def _parts(value: float) -> int:
    return next((parts for bound, parts in _SCALES if abs(value) < bound), _NANOS)


def _of_nanos(nanos: int) -> str | None:
    seconds, rest = divmod(nanos, _NANOS)
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return None
    digits = f".{rest:09d}".rstrip("0").rstrip(".")
    return f"{moment.replace(tzinfo=None).isoformat()}{digits}Z"
