"""Request bodies: read within bounds, decoded as strict JSON; what is left unread is dropped.

A body that nobody reads would be taken for the next request of a kept-alive connection.
"""

import re
import time
from typing import Any, Final

import flask
import msgspec

from opsorch.capabilities.fields import parse_decimal
from opsorch.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from opsorch.gateway.patience import PATIENCE

MAX_DEPTH: Final = 100
# Many clients send all before they read: so much is read and dropped, more closes the connection.
MAX_DROPPED_BYTES: Final = 8 * 1024 * 1024
DROP_S: Final = 10.0
BODY_S: Final = 30.0
_CHUNK: Final = 64 * 1024

_decode = msgspec.json.Decoder(float_hook=parse_decimal).decode
_brackets = re.compile(rb"[\[{]")


def json_body(request: flask.Request, limit: int, *, may_be_empty: bool) -> Any:
    """Read and decode the body of a request; ``null`` and an allowed empty body are ``{}``.

    Args:
        request: The request.
        limit: Bytes at most.
        may_be_empty: An empty body counts as ``{}``.

    Raises:
        BadRequest: It is not strict JSON, or nested too deeply.
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
    except msgspec.ValidationError as exc:
        raise BadRequest(f"The body does not fit: {exc}.") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BadRequest(f"The body is not valid JSON: {exc}.") from exc
    except RecursionError as exc:
        raise _too_deep() from exc
    if len(_brackets.findall(data)) > MAX_DEPTH and _depth(decoded) > MAX_DEPTH:
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
    stream = request.environ["wsgi.input"]
    chunks, size = [], 0
    with PATIENCE.watching(request.environ.get("gunicorn.socket"), BODY_S):
        while chunk := stream.read(min(_CHUNK, limit + 1 - size)):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            if request.content_length is not None and size >= request.content_length:
                break
    if size < (request.content_length or 0):
        raise BadRequest("The body is shorter than its Content-Length.")
    request.environ["opsorch.body_read"] = True
    return b"".join(chunks)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is over the limit of {limit} bytes (OPSORCH_MAX_BODY_BYTES).")


def drop_body(request: flask.Request) -> None:
    """Read and drop what is left of the body, within bounds."""
    environ = request.environ
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if environ.get("opsorch.body_read") or not (request.content_length or chunked):
        return
    until = time.monotonic() + DROP_S
    dropped = 0
    try:
        with PATIENCE.watching(environ.get("gunicorn.socket"), DROP_S):
            while dropped < MAX_DROPPED_BYTES and time.monotonic() < until:
                chunk = environ["wsgi.input"].read(_CHUNK)
                if not chunk:
                    return
                dropped += len(chunk)
    except OSError:
        return
