"""A bound on how long a connection may take to send what it began: its header, or its body."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator


class Patience:
    """Sockets that are being read from, and until when. Safe for threads.

    The server's main loop calls ``expire`` at each of its turns, once a second at least: a socket
    past its time is shut down for reading, which ends the read in whichever thread waits for it.
    """

    def __init__(self) -> None:
        self._until: dict[int, tuple[Callable[[], socket.socket], float]] = {}
        self._late: set[int] = set()
        # A signal's handler gives up on the main thread, which may be inside here already.
        self._lock = threading.RLock()
        self._over = False

    def watch(self, owner: object, current: Callable[[], socket.socket], limit_s: float) -> None:
        """Begin to watch.

        Args:
            owner: Stands for the socket in ``forget``.
            current: Returns the socket; wrapping it in TLS makes it another object.
            limit_s: Seconds until it is shut down.
        """
        with self._lock:
            if not self._over:
                self._until[id(owner)] = (current, time.monotonic() + limit_s)
                return
        _stop_reading(current())

    def forget(self, owner: object) -> bool:
        """Watch no more. Tells whether it was still watched: not shut down, that is."""
        with self._lock:
            self._late.discard(id(owner))
            return self._until.pop(id(owner), None) is not None

    def is_late(self, owner: object) -> bool:
        """Tell whether it was shut down because its time was over, and was not forgotten since."""
        return id(owner) in self._late

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
            self._late |= late.keys()
        for current, _ in late.values():
            _stop_reading(current())

    def give_up(self) -> None:
        """Shut down every socket, and each one that comes later: the worker is at its end."""
        with self._lock:
            self._over = True
            watched, self._until = self._until, {}
        for current, _ in watched.values():
            _stop_reading(current())


def _stop_reading(sock: socket.socket) -> None:
    """End every read of a socket; what is written to it goes on, in TLS too."""
    with contextlib.suppress(OSError):
        # Not SSLSocket's own: that one forgets TLS, and the answer would leave in the clear.
        socket.socket.shutdown(sock, socket.SHUT_RD)


PATIENCE = Patience()
