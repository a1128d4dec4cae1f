"""One instant that a whole call must not pass, on the monotonic clock."""

import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant on the monotonic clock, and the timeout in seconds it was made from."""

    at: float
    timeout_s: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, timeout_s: float, clock: Clock = time.monotonic) -> "Deadline":
        """Set a deadline ``timeout_s`` seconds from now."""
        return cls(clock() + timeout_s, timeout_s, clock)

    def remaining(self) -> float:
        """Tell the seconds that are left; never negative."""
        return max(0.0, self.at - self.clock())

    def elapsed(self) -> float:
        """Tell the seconds since it was set, those past the instant included."""
        return max(0.0, self.timeout_s - (self.at - self.clock()))

    @property
    def expired(self) -> bool:
        """Tell whether the instant has passed."""
        return self.clock() >= self.at

    def within(self, timeout_s: float) -> "Deadline":
        """Return the sooner of this deadline and one ``timeout_s`` seconds from now."""
        sooner = Deadline.after(timeout_s, self.clock)
        return sooner if sooner.at < self.at else self
