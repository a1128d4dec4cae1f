"""The one thread a worker that looks after its plugin processes.

It drains their stderr, notices and reaps their deaths, and runs what is due at a time. Nothing that
it runs may block.
"""

import contextlib
import heapq
import itertools
import os
import queue
import selectors
import threading
import time
from collections.abc import Callable
from typing import Final

_MOST_S: Final = 60.0

Work = Callable[[], None]


class Keeper:
    """Watches descriptors and the clock. Started by the first use; ends with the worker."""

    def __init__(self, on_defect: Callable[[BaseException], None]) -> None:
        """Prepare.

        Args:
            on_defect: Told of an exception in the work; the thread goes on.
        """
        self._on_defect = on_defect
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._woken)
        self._jobs: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._due: list[tuple[float, int, Work]] = []
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._started = False

    def soon(self, work: Work) -> None:
        """Run the work on the keeper's thread, as soon as it is free. Callable from any thread."""
        self._jobs.put(work)
        with self._lock:
            if not self._started:
                threading.Thread(target=self._serve, name="opsorch-keeper", daemon=True).start()
                self._started = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"\0")

    def later(self, delay_s: float, work: Work) -> None:
        """Run the work on the keeper's thread after a delay. Callable from any thread."""
        at = time.monotonic() + delay_s
        self.soon(lambda: heapq.heappush(self._due, (at, next(self._order), work)))

    def watch(self, descriptor: int, work: Work) -> None:
        """Run the work whenever the descriptor is readable. Only on the keeper's thread."""
        self._selector.register(descriptor, selectors.EVENT_READ, work)

    def unwatch(self, descriptor: int) -> None:
        """Look at the descriptor no more. Only on the keeper's thread."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(descriptor)

    def abandon(self) -> None:
        """Forget everything in a forked process, which has no such thread."""
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _serve(self) -> None:
        while True:
            self._guarded(self._turn)

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._wait_s()):
            self._guarded(key.data)
        with contextlib.suppress(queue.Empty):
            while True:
                self._guarded(self._jobs.get_nowait())
        while self._due and self._due[0][0] <= time.monotonic():
            self._guarded(heapq.heappop(self._due)[2])

    def _wait_s(self) -> float:
        if not self._due:
            return _MOST_S
        return min(_MOST_S, max(0.0, self._due[0][0] - time.monotonic()))

    def _guarded(self, work: Work) -> None:
        try:
            work()
        except Exception as exc:  # noqa: BLE001  One defect must not end the care of all others.
            self._on_defect(exc)

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
