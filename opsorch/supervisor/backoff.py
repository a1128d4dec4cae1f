"""Backoff between starts that fail, as a circuit breaker. Pure: clock and jitter are passed in."""

import enum
import random
import time
from collections.abc import Callable
from typing import Final

FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 30.0
# One request that kills its plugin must not shut out all others; three in a row are a pattern.
DEATHS_IN_A_ROW: Final = 3


class BreakerState(enum.StrEnum):
    """Closed: starts are allowed. Open: none is. Half-open: one is being tried."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Decides whether a pool may start a process. Not thread-safe: the pool's lock guards it."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._failures = 0
        self._deaths = 0
        self._until = 0.0
        self.state = BreakerState.CLOSED

    def allows_start(self) -> bool:
        """Tell whether a start may be tried now; the one try of the half-open state is taken."""
        if self.state is BreakerState.OPEN and self._clock() >= self._until:
            self.state = BreakerState.HALF_OPEN
            return True
        return self.state is BreakerState.CLOSED

    def retry_after_s(self) -> float:
        """Tell in how many seconds a start may be tried; at least a little while half-open."""
        return max(0.0 if self.state is BreakerState.CLOSED else 0.1, self._until - self._clock())

    def replied(self) -> None:
        """Note a reply: all is well again."""
        self._failures = self._deaths = 0
        self.state = BreakerState.CLOSED

    def start_failed(self) -> None:
        """Note a failed start: the next one waits, twice as long each time."""
        delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(self._failures, 16))
        self._failures += 1
        self._until = self._clock() + delay * (0.8 + 0.2 * self._jitter())
        self.state = BreakerState.OPEN

    def died_in_call(self) -> None:
        """Note a death in a call: the third in a row, or one at the half-open try, opens."""
        self._deaths += 1
        if self._deaths >= DEATHS_IN_A_ROW or self.state is BreakerState.HALF_OPEN:
            self.start_failed()

    def try_abandoned(self) -> None:
        """Note that the half-open try ended without a verdict: the next call may try."""
        if self.state is BreakerState.HALF_OPEN:
            self._until = self._clock()
            self.state = BreakerState.OPEN
