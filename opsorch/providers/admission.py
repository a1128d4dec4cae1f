"""A bound on the calls of one capability, so that a slow one never takes every thread."""

import threading
from types import TracebackType
from typing import Final

from opsorch.errors import PluginBusy

RETRY_AFTER_S: Final = 1.0


class Admission:
    """Lets so many calls in at a time; refuses the next one at once."""

    def __init__(self, capability: str, most: int) -> None:
        self._capability = capability
        self._most = most
        self._inside = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside >= self._most:
                raise PluginBusy(
                    f"{self._most} calls of {self._capability!r} are in flight or waiting already."
                    f" Repeat the call later, or raise"
                    f" OPSORCH_{self._capability.upper()}_MAX_CONCURRENCY.",
                    retry_after_s=RETRY_AFTER_S,
                )
            self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
