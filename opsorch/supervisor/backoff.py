"""Backoff between starts that fail, as a circuit breaker. Pure: clock and jitter are passed in."""

import enum
import math
import random
import time
from collections.abc import Callable
from typing import Final

FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 30.0
# One request that kills its plugin must not shut out all others; three in a row are a pattern.
DEATHS_IN_A_ROW: Final = 3
# One that was started ahead may be killed by chance; the next one, too, is no chance.
UNUSED_DEATHS_IN_A_ROW: Final = 2


class BreakerState(enum.StrEnum):
    """Closed: starts are allowed. Open: none is. Half-open: one is being tried."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Permit:
    """Leave for one start; each is its own, so that a verdict on one says nothing of others."""


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
        self._last_death = -math.inf
        self._unused_deaths = 0
        self._last_unused_death = -math.inf
        self._trial: Permit | None = None
        self.state = BreakerState.CLOSED

    def permit(self) -> Permit | None:
        """Give leave for a start, None where none may be tried; half-open, there is one try."""
        if self.state is BreakerState.CLOSED:
            return Permit()
        if self.state is BreakerState.OPEN and self._clock() >= self._until:
            self.state = BreakerState.HALF_OPEN
            self._trial = Permit()
            return self._trial
        return None

    def tries(self, permit: Permit) -> bool:
        """Tell whether this is the half-open try, and no verdict on it is known."""
        return permit is self._trial

    def retry_after_s(self) -> float:
        """Tell in how many seconds a start may be tried; at least a little while half-open."""
        if self.state is BreakerState.CLOSED:
            return 0.0
        least = 0.1 if self.state is BreakerState.HALF_OPEN else 0.0
        return max(least, self._until - self._clock())

    def replied(self) -> None:
        """Note a reply: all is well again."""
        self._failures = self._deaths = self._unused_deaths = 0
        self._trial = None
        self.state = BreakerState.CLOSED

    def start_failed(self) -> bool:
        """Note a failed start: the next one waits, twice as long each time.

        Several that were under way together count once.

        Returns:
            Whether this opened it.
        """
        if self.state is BreakerState.OPEN and self._clock() < self._until:
            return False
        delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(self._failures, 16))
        self._failures += 1
        self._until = self._clock() + delay * (0.8 + 0.2 * self._jitter())
        self._trial = None
        self.state = BreakerState.OPEN
        return True

    def died_in_call(self, began_at: float, permit: Permit) -> bool:
        """Note a death in a call: the third in a row, or that of the half-open try, opens.

        Processes that die together are no row: a call counts that began after the last death.

        Args:
            began_at: When the call began, on the clock of this breaker.
            permit: The one that the process was started with.

        Returns:
            Whether this opened it.
        """
        if self.tries(permit):
            return self.start_failed()
        if began_at < self._last_death:
            return False
        self._last_death = self._clock()
        self._deaths += 1
        return self._deaths >= DEATHS_IN_A_ROW and self.start_failed()

    def died_unused(self, started_at: float, permit: Permit) -> bool:
        """Note the death of a process that no call had used; changes no state.

        Processes that die together are no row: one counts that started after the last death.

        Args:
            started_at: When it was started, on the clock of this breaker.
            permit: The one that it was started with.

        Returns:
            Whether it is a failed start: the half-open try, or the second or a later one in a row,
            no reply between.
        """
        if self.tries(permit):
            return True
        if started_at < self._last_unused_death:
            return False
        self._last_unused_death = self._clock()
        self._unused_deaths += 1
        return self._unused_deaths >= UNUSED_DEATHS_IN_A_ROW

    def abandoned(self, permit: Permit) -> None:
        """Note that a start ended without a verdict; if it was the try, the next call may try."""
        if self.tries(permit):
            self._trial = None
            self._until = self._clock()
            self.state = BreakerState.OPEN
