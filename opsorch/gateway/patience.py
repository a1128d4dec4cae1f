"""A bound on how long a client may take to send what it began, or to read its answer."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class _Watched:
    """A socket, the moment at which it is shut down, and for what (shutdown(2))."""

    current: Callable[[], socket.socket]
    until: float
    how: int


class Patience:
    """Sockets that somebody waits for, and until when. Safe for threads.

    The server's main loop calls ``expire`` at each of its turns, once a second at least: a socket
    past its time is shut down, which ends the read or the write in whichever thread waits for it.
    """

    def __init__(self) -> None:
        self._watched: dict[int, _Watched] = {}
        self._late: set[int] = set()
        # A signal's handler gives up on the main thread, which may be inside here already.
        self._lock = threading.RLock()
        self._over = False

    def watch(
        self,
        owner: object,
        current: Callable[[], socket.socket],
        limit_s: float,
        how: int = socket.SHUT_RD,
    ) -> None:
        """Begin to watch.

        Args:
            owner: Stands for the socket in ``forget``.
            current: Returns the socket; wrapping it in TLS makes it another object.
            limit_s: Seconds until it is shut down.
            how: For reading, or for both ways.
        """
        watched = _Watched(current, time.monotonic() + limit_s, how)
        with self._lock:
            if not self._over:
                self._watched[id(owner)] = watched
                return
        _shut_down(watched)

    def forget(self, owner: object) -> bool:
        """Watch no more. Tells whether it was still watched: not shut down, that is."""
        with self._lock:
            self._late.discard(id(owner))
            return self._watched.pop(id(owner), None) is not None

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
            late = {owner: seen for owner, seen in self._watched.items() if seen.until < now}
            for owner in late:
                del self._watched[owner]
            self._late |= late.keys()
        for watched in late.values():
            _shut_down(watched)

    def give_up(self) -> None:
        """Shut down every socket, and each one that comes later: the worker is at its end."""
        with self._lock:
            self._over = True
            left, self._watched = self._watched, {}
        for watched in left.values():
            _shut_down(watched)


def _shut_down(watched: _Watched) -> None:
    """End every read of a socket, or every write, too; in TLS as well."""
    with contextlib.suppress(OSError):
        # Not SSLSocket's own: that one forgets TLS, and the answer would leave in the clear.
        socket.socket.shutdown(watched.current(), watched.how)


PATIENCE = Patience()
