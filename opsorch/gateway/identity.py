"""Who asks: the request id, the actor for the audit log, the trace context. All taken on trust."""

import re
import uuid
from typing import Final

from werkzeug.datastructures import Headers

from opsorch.gateway.state import RequestFacts

REQUEST_ID_HEADERS: Final = ("X-Request-ID", "X-Amzn-Trace-Id", "X-Correlation-ID", "X-Trace-ID")
ACTOR_HEADERS: Final = ("X-User-Id", "X-Actor-ID", "X-OpsOrch-Actor-ID")
MAX_CHARS: Final = 200

_printable = re.compile(r"[\x20-\x7e]{1,200}", re.ASCII).fullmatch
_traceparent = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch


def facts_of(headers: Headers) -> RequestFacts:
    """Read what the headers say of a request."""
    trace = headers.get("traceparent", "")
    return RequestFacts(
        request_id=request_id(headers),
        actor_type=_actor_type(headers),
        actor_id=_first(headers, ACTOR_HEADERS)[:MAX_CHARS] or "unknown",
        traceparent=trace if _traceparent(trace) else "",
    )


def request_id(headers: Headers) -> str:
    """Return the caller's request id where it can be echoed, else a new one."""
    given = _first(headers, REQUEST_ID_HEADERS)
    return given if _printable(given) else uuid.uuid4().hex


def _actor_type(headers: Headers) -> str:
    claimed = headers.get("X-Actor-Type", "").strip().lower()
    return "copilot" if claimed == "copilot" else "user"


def _first(headers: Headers, names: tuple[str, ...]) -> str:
    """Return the first of these headers that is not blank, trimmed."""
    # WSGI hands over bytes as if they were Latin-1; people's names come as UTF-8, and the last
    # byte of "à" would be a blank.
    given = next((value for name in names if (value := headers.get(name, "").strip(" \t"))), "")
    return given.encode("latin-1", "replace").decode("utf-8", "replace")
