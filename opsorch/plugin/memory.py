"""What is looked up once and then remembered for a while."""

import threading
import time
from typing import Generic, TypeVar

from opsorch.deadline import Clock

K = TypeVar("K")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Values by key, each kept for some seconds; the oldest leave where there are too many.

    Thread-safe.
    """

    def __init__(self, kept_s: float, most: int, *, clock: Clock = time.monotonic) -> None:
        """Begin without any.

        Args:
            kept_s: Seconds after which a value is forgotten.
            most: Number of values at most.
            clock: Monotonic seconds.
        """
        self._kept_s = kept_s
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[K, tuple[float, V]] = {}

    def get(self, key: K) -> V | None:
        """Return the value of a key, None where it is not known or too old."""
        with self._lock:
            known = self._known.get(key)
        return known[1] if known and self._clock() < known[0] else None

    def put(self, key: K, value: V) -> None:
        """Remember a value from now on."""
        with self._lock:
            self._known.pop(key, None)
            while len(self._known) >= self._most:
                self._known.pop(next(iter(self._known)))
            self._known[key] = (self._clock() + self._kept_s, value)

    def forget(self, key: K) -> None:
        """Drop the value of a key, if there is one."""
        with self._lock:
            self._known.pop(key, None)

    def __len__(self) -> int:
        """Count the values that are held, old ones included."""
        return len(self._known)
