"""What became of an exchange that failed: its kind in words, and whether the request had left."""

import socket

import requests
import urllib3.exceptions

# Deepest cause first: what the layers below requests call it, what people call it, and whether
# the request may have left before it happened.
_LOSSES: tuple[tuple[type[BaseException], str, bool], ...] = (
    (urllib3.exceptions.NameResolutionError, "DNS: the name does not resolve", False),
    (socket.gaierror, "DNS: the name does not resolve", False),
    (ConnectionRefusedError, "connection refused", False),
    (urllib3.exceptions.ConnectTimeoutError, "connect timeout", False),
    (urllib3.exceptions.ReadTimeoutError, "timeout", True),
    (requests.exceptions.ConnectTimeout, "connect timeout", False),
    (requests.exceptions.Timeout, "timeout", True),
    (urllib3.exceptions.TimeoutError, "timeout", True),
    (urllib3.exceptions.NewConnectionError, "no connection", False),
    (urllib3.exceptions.ProxyError, "the proxy does not connect", False),
    (requests.exceptions.SSLError, "TLS: the certificate or handshake failed", False),
    (urllib3.exceptions.SSLError, "TLS: the certificate or handshake failed", False),
    (requests.exceptions.InvalidURL, "the URL is invalid", False),
    (TimeoutError, "timeout", True),
    (ConnectionResetError, "connection reset", True),
    (urllib3.exceptions.ProtocolError, "connection lost", True),
)


def kind_of_loss(exc: BaseException) -> tuple[str, bool]:
    """Name a failed exchange for people, and tell whether the request may have left."""
    chain = _causes(exc)
    for kind, words, left in _LOSSES:
        if any(isinstance(cause, kind) for cause in chain):
            return words, left
    # Not known to have failed before sending: a write must say so.
    return "connection lost", True


def _causes(exc: BaseException) -> list[BaseException]:
    """Walk through an exception's arguments, reasons and causes; bounded."""
    found: list[BaseException] = []
    waiting: list[object] = [exc]
    while waiting and len(found) < 20:
        item = waiting.pop(0)
        if isinstance(item, BaseException) and item not in found:
            found.append(item)
            waiting += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
    return found
