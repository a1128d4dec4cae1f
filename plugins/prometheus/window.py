"""The time range and step of a metric query.

Source: prometheus.io, "HTTP API", range queries; the limit of 11,000 steps is Prometheus' own.
"""

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import step_of
from opsorch.plugin.times import given_range

MAX_STEPS: Final = 11_000
MIN_STEP_S: Final = 15
STEPS_BY_DEFAULT: Final = 240


@dataclass(frozen=True, slots=True)
class Window:
    """From ``start`` to ``end`` (Unix seconds, both included) in steps of whole seconds."""

    start: float
    end: float
    step_s: int

    @property
    def length_s(self) -> float:
        """Seconds between start and end."""
        return self.end - self.start


def window_of(
    payload: Mapping[str, Any], lookback_s: int, now: datetime.datetime, *, instant: bool = False
) -> Window:
    """Read ``start``, ``end`` and ``step``; what is not given gets its default.

    Raises:
        BadRequest: They do not fit together, or make more steps than Prometheus answers.
    """
    start, end = (moment.timestamp() for moment in given_range(payload, lookback_s, now))
    if start > end:
        raise BadRequest("start must not be after end")
    step_s = step_of(payload) or default_step_s(end - start)
    window = Window(start, end, step_s)
    if not instant and window.length_s > MAX_STEPS * step_s:
        fits = math.ceil(window.length_s / MAX_STEPS)
        raise BadRequest(
            f"step: {step_s} s over this range makes more than {MAX_STEPS} points a series;"
            f" the smallest step that fits is {fits}"
        )
    return window


def default_step_s(length_s: float) -> int:
    """Return the step that makes about 240 points, 15 s at least."""
    return max(MIN_STEP_S, math.ceil(length_s / STEPS_BY_DEFAULT))
