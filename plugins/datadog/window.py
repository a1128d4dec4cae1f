"""The time range of a metric or log query."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.times import given_range

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MILLISECOND: Final = datetime.timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """From ``start`` to ``end``, in milliseconds of Unix time."""

    start: int
    end: int


def window_of(payload: Mapping[str, Any], lookback_s: int, now: datetime.datetime) -> Window:
    """Read ``start`` and ``end``; what is not given gets its default.

    Args:
        payload: A MetricQuery or LogQuery.
        lookback_s: Length where no start is given.
        now: The end where none is given.

    Raises:
        BadRequest: A time cannot be read, or they do not fit together.
    """
    start, end = map(milliseconds, given_range(payload, lookback_s, now))
    if start >= end:
        raise BadRequest("start must be before end")
    return Window(start, end)


def milliseconds(moment: datetime.datetime) -> int:
    """Return the whole milliseconds since 1970; below zero before it."""
    return (moment - _EPOCH) // _MILLISECOND


def rfc3339(millis: int) -> str:
    """Write milliseconds of Unix time with three digits of fraction, as log searches take it."""
    moment = _EPOCH + datetime.timedelta(milliseconds=millis)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
