"""A bound on how long a connection may take to send what it began: its header, or its body."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator


class Patience:
    """Sockets that are being read from, and until when. Safe for threads.

    The server's main loop calls ``expire`` about once a second: a socket past its time is shut
    down for reading, which ends the read in whichever thread waits for it.
    """

    def __init__(self) -> None:
        self._until: dict[int, tuple[Callable[[], socket.socket], float]] = {}
        self._lock = threading.Lock()

    def watch(self, owner: object, current: Callable[[], socket.socket], limit_s: float) -> None:
        """Begin to watch.

        Args:
            owner: Stands for the socket in ``forget``.
            current: Returns the socket; wrapping it in TLS makes it another object.
            limit_s: Seconds until it is shut down.
        """
        with self._lock:
            self._until[id(owner)] = (current, time.monotonic() + limit_s)

    def forget(self, owner: object) -> None:
        """Watch no more."""
        with self._lock:
            self._until.pop(id(owner), None)

    @contextlib.contextmanager
    def watching(self, sock: socket.socket | None, limit_s: float) -> Iterator[None]:
        """Watch a socket for the length of a block; None is not watched."""
        if sock is None:
            yield
            return
        self.watch(sock, lambda: sock, limit_s)
        try:
            yield
        finally:
            self.forget(sock)

    def expire(self) -> None:
        """Shut down what is past its time."""
        now = time.monotonic()
        with self._lock:
            late = {owner: seen for owner, seen in self._until.items() if seen[1] < now}
            for owner in late:
                del self._until[owner]
        for current, _ in late.values():
            with contextlib.suppress(OSError):
                current().shutdown(socket.SHUT_RD)


PATIENCE = Patience()
