"""The time range of a query, to the nanosecond.

Source: elastic.co/guide/en/elasticsearch/reference/8.17/mapping-date-format.html.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import Json
from opsorch.plugin.times import format_time, given_time, vendor_time

FORMAT: Final = "strict_date_optional_time_nanos"
_SECONDS: Final = len("2024-05-06T07:08:09")


@dataclass(frozen=True, slots=True)
class Window:
    """From ``start`` (None: no bound) to ``end``, both included; UTC texts."""

    start: str | None
    end: str

    def clause(self, field: str) -> Json:
        """Return the range clause."""
        bounds = {"gte": self.start, "lte": self.end} if self.start else {"lte": self.end}
        return {"range": {field: {**bounds, "format": FORMAT}}}


def window_of(
    payload: Mapping[str, Any], now: datetime.datetime, *, lookback_s: int, max_span_s: int
) -> Window:
    """Read ``start`` and ``end``; what is not given gets its default.

    Args:
        payload: A LogQuery.
        now: The end where none is given.
        lookback_s: Length where no start is given; 0: no lower bound.
        max_span_s: Longest range; 0: any.

    Raises:
        BadRequest: A time cannot be read, start is after end, or the range is too long.
    """
    end = given_time(payload, "end")
    start = given_time(payload, "start")
    end_text = _text(payload["end"]) if end else format_time(now)
    end = end or now
    start_text: str | None = None
    if start:
        start_text = _text(payload["start"])
    elif lookback_s:
        start, start_text = _before(end, lookback_s, end_text)
    if start_text and _order(start_text) > _order(end_text):
        raise BadRequest("start must not be after end")
    if max_span_s and (start is None or (end - start).total_seconds() > max_span_s):
        raise BadRequest(f"start: the time range must not be longer than {max_span_s} s")
    return Window(start_text, end_text)


def _text(value: str) -> str:
    """Write a valid time in UTC, with the nine digits at most that Elasticsearch reads."""
    whole, dot, fraction = vendor_time(value).removesuffix("Z").partition(".")
    return f"{whole}{dot}{fraction[:9]}Z"


def _before(
    end: datetime.datetime, seconds: int, end_text: str
) -> tuple[datetime.datetime | None, str | None]:
    try:
        start = end - datetime.timedelta(seconds=seconds)
    except OverflowError:
        return None, None
    whole = start.replace(microsecond=0, tzinfo=None).isoformat()
    return start, f"{whole}{end_text[_SECONDS:]}"


def _order(text: str) -> tuple[str, str]:
    return text[:_SECONDS], text[_SECONDS:].strip(".Z").rstrip("0")
