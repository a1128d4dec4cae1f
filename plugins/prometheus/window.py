"""The time range and step of a metric query.

Source: prometheus.io, "HTTP API", range queries; the limit of 11,000 steps is Prometheus' own.
"""

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.times import given_time

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
    end = (given_time(dict(payload), "end") or now).timestamp()
    given_start = given_time(dict(payload), "start")
    start = end - lookback_s if given_start is None else given_start.timestamp()
    if start > end:
        raise BadRequest("start must not be after end")
    step_s = _given_step(payload) or default_step_s(end - start)
    window = Window(start, end, step_s)
    if not instant and window.length_s / step_s > MAX_STEPS:
        fits = math.ceil(window.length_s / MAX_STEPS)
        raise BadRequest(
            f"step: {step_s} s over this range makes more than {MAX_STEPS} points a series;"
            f" the smallest step that fits is {fits}"
        )
    return window


def default_step_s(length_s: float) -> int:
    """Return the step that makes about 240 points, 15 s at least."""
    return max(MIN_STEP_S, math.ceil(length_s / STEPS_BY_DEFAULT))


def _given_step(payload: Mapping[str, Any]) -> int:
    step = payload.get("step")
    if step is None:
        return 0
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise BadRequest("step must be a whole number of seconds, 0 or more")
    return step
