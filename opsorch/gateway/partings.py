"""Connections that are being closed: the client may still read, and nobody waits for it.

Closing at once, with bytes of the client unread, would cost it the end of the answer (RFC 9112,
section 9.6). Gunicorn lingers for that in its main loop, up to two seconds a connection; a few
clients that never close would keep it from accepting others, and from its heartbeat.
"""

import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from typing import Final

LINGER_S: Final = 2.0
# A client that goes on sending is not listening.
MOST_BYTES: Final = 256 * 1024
_CHUNK: Final = 64 * 1024


class Partings:
    """Sockets on their way out. Used by one thread: the main loop's."""

    def __init__(self, poller: selectors.BaseSelector, on_closed: Callable[[], None]) -> None:
        """Prepare.

        Args:
            poller: Calls what is registered with the socket when it is readable.
            on_closed: Called for each socket that is closed.
        """
        self._poller = poller
        self._on_closed = on_closed
        self._until: dict[socket.socket, float] = {}
        self._dropped: dict[socket.socket, int] = {}

    def part(self, sock: socket.socket) -> None:
        """Say that no more comes; close when the client has, or after a moment. Never blocks."""
        try:
            sock.shutdown(socket.SHUT_WR)
            sock.setblocking(False)
            self._poller.register(sock, selectors.EVENT_READ, self._drop)
        except (OSError, ValueError):
            self._close(sock)
        else:
            self._until[sock] = time.monotonic() + LINGER_S
            self._dropped[sock] = 0

    def expire(self) -> None:
        """Close what has lingered for long enough."""
        now = time.monotonic()
        for sock in [sock for sock, until in self._until.items() if until <= now]:
            self._leave(sock)

    def _drop(self, sock: socket.socket) -> None:
        try:
            more = sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            more = b""
        self._dropped[sock] += len(more)
        if not more or self._dropped[sock] > MOST_BYTES:
            self._leave(sock)

    def _leave(self, sock: socket.socket) -> None:
        del self._until[sock], self._dropped[sock]
        self._poller.unregister(sock)
        self._close(sock)

    def _close(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.close()
        self._on_closed()
