"""The connections below requests: bounded by the call's deadline, and they tell what has left.

A timeout given to requests holds for each read anew, so that a server which sends a byte now and
then escapes it, in the header as in the body. Here each read and each write of the socket gets
what is left of the deadline. And only the connection knows for certain whether a byte of a
request had left before an exchange failed.
"""

import contextvars
import http.client
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import requests.adapters
import urllib3.connection
import urllib3.connectionpool

from opsorch.deadline import Deadline


@dataclass(slots=True)
class Exchange:
    """One request and its answer.

    Attributes:
        deadline: No read and no write of its socket passes it.
        left: Whether a byte of the request may have left; None where the connection is not one of
            this module and cannot tell.
    """

    deadline: Deadline
    left: bool | None = None

    def remaining_s(self) -> float:
        """Tell the seconds that the next read or write may take.

        Raises:
            TimeoutError: None are left.
        """
        remaining_s = self.deadline.remaining()
        if remaining_s <= 0:
            raise TimeoutError("the deadline has passed")
        return remaining_s


_CURRENT: Final[contextvars.ContextVar[Exchange | None]] = contextvars.ContextVar(
    "exchange", default=None
)


@contextmanager
def exchange(deadline: Deadline) -> Iterator[Exchange]:
    """Bound what this thread sends and receives within the block."""
    current = Exchange(deadline)
    token = _CURRENT.set(current)
    try:
        yield current
    finally:
        _CURRENT.reset(token)


class _BoundedReader(io.RawIOBase):
    """The reading end of a socket; each read ends by the deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, current: Exchange) -> None:
        self._raw = raw
        self._sock = sock
        self._exchange = current

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._exchange.remaining_s())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """Reads its header and body through a bounded reader."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        current = _CURRENT.get()
        if current is not None:
            raw: Any = self.fp.detach()
            self.fp = io.BufferedReader(_BoundedReader(raw, sock, current))


if TYPE_CHECKING:
    _Mixed = urllib3.connection.HTTPConnection
else:
    _Mixed = object


class _Tracked(_Mixed):
    """Notes when the first byte of a request leaves, and bounds each write."""

    response_class = _Response

    def connect(self) -> None:
        try:
            super().connect()
        finally:
            # What a proxy was asked for while connecting is not the request.
            self._note(left=False)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        current = _CURRENT.get()
        if current is not None and self.sock is not None:
            self.sock.settimeout(current.remaining_s())
        self._note(left=True)
        super().send(data)

    @staticmethod
    def _note(*, left: bool) -> None:
        current = _CURRENT.get()
        if current is not None:
            current.left = left


class _Connection(_Tracked, urllib3.connection.HTTPConnection):
    pass


class _TlsConnection(_Tracked, urllib3.connection.HTTPSConnection):
    pass


class _Pool(urllib3.connectionpool.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.connectionpool.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class BoundedAdapter(requests.adapters.HTTPAdapter):
    """The transport of an Upstream's sessions. Sends each request once: it never retries."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._use_own_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            self._use_own_pools(manager)
        return manager

    @staticmethod
    def _use_own_pools(manager: Any) -> None:
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
