"""Request bodies: read within bounds, decoded as strict JSON; what is left unread is dropped.

A body that nobody reads would be taken for the next request of a kept-alive connection.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, Final

import flask
import msgspec
from gunicorn.http.errors import ParseException

from opsorch.capabilities.fields import parse_decimal
from opsorch.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from opsorch.gateway.body_faults import fault_of
from opsorch.gateway.patience import PATIENCE

MAX_DEPTH: Final = 100
# Many clients send all before they read: so much is read and dropped, more closes the connection.
MAX_DROPPED_BYTES: Final = 8 * 1024 * 1024
DROP_S: Final = 10.0
BODY_S: Final = 30.0
_CHUNK: Final = 64 * 1024
# A connection that breaks, and what is no chunk, length or trailer.
_UNREADABLE: Final = (OSError, ParseException)

_decode = msgspec.json.Decoder(float_hook=parse_decimal).decode


def json_body(request: flask.Request, limit: int, *, may_be_empty: bool) -> Any:
    """Read and decode the body of a request; ``null`` and an allowed empty body are ``{}``.

    Args:
        request: The request.
        limit: Bytes at most.
        may_be_empty: An empty body counts as ``{}``.

    Raises:
        BadRequest: It is cut off, is not strict JSON, or is nested too deeply.
        PayloadTooLarge: It is over the limit.
        UnsupportedMediaType: It is compressed.
    """
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMediaType("The body has a Content-Encoding; send plain JSON without one.")
    data = _read(request, limit)
    if not data.strip():
        if may_be_empty:
            return {}
        raise BadRequest("The body is empty; send a JSON object.")
    try:
        decoded = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BadRequest(fault_of(data, exc)) from exc
    except RecursionError as exc:
        raise _too_deep() from exc
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(decoded) > MAX_DEPTH:
        raise _too_deep()
    return {} if decoded is None else decoded


def _too_deep() -> BadRequest:
    return BadRequest(f"The body is nested more than {MAX_DEPTH} levels deep.")


def _depth(value: Any) -> int:
    """Measure how deep a decoded value is nested; the decoder has bounded it already."""
    level, deepest = [value], 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        deepest += 1
        level = [
            inner for item in level for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return deepest


def _read(request: flask.Request, limit: int) -> bytes:
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    try:
        with PATIENCE.watching(request.environ.get("gunicorn.socket"), BODY_S):
            for chunk in _chunks(request, limit + 1):
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
    except _UNREADABLE as exc:
        raise BadRequest(
            "The body cannot be read: it is cut off, too slow, or not chunked rightly."
        ) from exc
    if size < (request.content_length or 0):
        raise BadRequest("The body is shorter than its Content-Length, or comes too slowly.")
    request.environ["opsorch.body_read"] = True
    return b"".join(chunks)


def _chunks(request: flask.Request, most: int) -> Iterator[bytes]:
    """Iterate over what comes of the body, ``most`` bytes of it at most."""
    stream, announced = request.environ["wsgi.input"], request.content_length
    wanted = most if announced is None else min(most, announced)
    while wanted > 0 and (chunk := stream.read(min(_CHUNK, wanted))):
        wanted -= len(chunk)
        yield chunk


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is over the limit of {limit} bytes (OPSORCH_MAX_BODY_BYTES).")


def drop_body(request: flask.Request) -> None:
    """Read and drop what is left of the body, within bounds."""
    environ = request.environ
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if environ.get("opsorch.body_read") or not (request.content_length or chunked):
        return
    until = time.monotonic() + DROP_S
    watched = PATIENCE.watching(environ.get("gunicorn.socket"), DROP_S)
    # What cannot be read cannot be dropped: the server closes the connection.
    with contextlib.suppress(*_UNREADABLE), watched:
        for _ in _chunks(request, MAX_DROPPED_BYTES):
            if time.monotonic() > until:
                return
