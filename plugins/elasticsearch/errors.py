"""What Elasticsearch's failures mean to a caller.

Source: elastic.co/guide/en/elasticsearch/reference/8.17/common-options.html (error bodies) and
docs.opensearch.org/docs/latest/api-reference; OpenSearch's security answers with plain text.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from opsorch.errors import (
    AuthFailed,
    BadRequest,
    NotFound,
    OpsOrchError,
    ProviderError,
    RateLimited,
    UpstreamTimeout,
)
from opsorch.observability.redact import Redactor
from opsorch.plugin.http import Dialect, Reply, retry_after
from opsorch.plugin.reply import answered
from opsorch.plugin.vendor import as_object

VENDOR: Final = "Elasticsearch"
_EXPENSIVE: Final = "allow_expensive_queries"


class NodeFailed(ProviderError):
    """This node, or the proxy before it, failed (502, 503); another may answer."""


class NodeTimedOut(UpstreamTimeout):
    """A proxy gave up waiting for this node (504); another may answer."""


def error_object(reply: Reply) -> Any:
    """Return what stands under ``error``, None where the body is no such JSON."""
    return as_object(reply.json_or_none()).get("error")


def cause_of(error: Any) -> Mapping[str, Any]:
    """Return the first cause of an error object: the one that says what is wrong."""
    if not isinstance(error, dict):
        return {}
    causes = error.get("root_cause")
    first = causes[0] if isinstance(causes, list) and causes else None
    return first if isinstance(first, dict) else error


def error_text(reply: Reply) -> str | None:
    """Return type and reason of the first cause, or the error where it is a text."""
    error = error_object(reply)
    if isinstance(error, str):
        return error
    cause = cause_of(error)
    words = [part for part in (cause.get("type"), cause.get("reason")) if isinstance(part, str)]
    return ": ".join(words) or None


def _classify(redact: Redactor) -> Callable[[Reply], OpsOrchError | None]:
    """Make the judge of error replies; their words are clean before they are cut."""

    def judge(reply: Reply) -> OpsOrchError | None:
        by_status = _JUDGES.get(reply.status)
        told = answered(VENDOR, reply, error_text(reply), redact)
        return by_status(reply, told) if by_status else None

    return judge


def _bad_request(reply: Reply, _: str) -> OpsOrchError | None:
    if _EXPENSIVE not in (error_text(reply) or ""):
        return None
    return BadRequest(
        "contains, regex and prefix filters are disabled on this cluster"
        " (search.allow_expensive_queries is false); use = or search"
    )


class Limited(RateLimited):
    """The server is busy; ``told_s`` are the seconds that it named, or None."""

    def __init__(self, message: str, told_s: float | None) -> None:
        super().__init__(message, retry_after_s=told_s)
        self.told_s = told_s


def _limited(reply: Reply, told: str) -> OpsOrchError:
    return Limited(told, retry_after(reply))


def _forbidden(_: Reply) -> OpsOrchError:
    return AuthFailed(
        "Elasticsearch answered HTTP 403: the credentials lack the privilege read on indexPattern"
    )


def _missing(reply: Reply) -> OpsOrchError:
    kind = cause_of(error_object(reply)).get("type")
    if kind == "index_not_found_exception":
        return NotFound("Elasticsearch: nothing matches indexPattern")
    if isinstance(kind, str):
        return ProviderError(f"Elasticsearch answered HTTP 404: {kind}")
    return ProviderError(
        "no Elasticsearch under addresses (HTTP 404): check the address and its path"
    )


def _timed_out(reply: Reply, _: str) -> OpsOrchError:
    kind = NodeTimedOut if reply.status == 504 else UpstreamTimeout
    return kind(f"Elasticsearch: search timed out (HTTP {reply.status})")


def _node_failed(_: Reply, told: str) -> OpsOrchError:
    return NodeFailed(told)


_JUDGES: Final[Mapping[int, Callable[[Reply, str], OpsOrchError | None]]] = {
    400: _bad_request,
    408: _timed_out,
    429: _limited,
    502: _node_failed,
    503: _node_failed,
    504: _timed_out,
}

# Some requests take these for an answer, so that they are judged where they are sent.
REFUSALS: Final[Mapping[int, Callable[[Reply], OpsOrchError]]] = {403: _forbidden, 404: _missing}


def dialect_of(redact: Redactor) -> Dialect:
    """Return how Elasticsearch speaks of failure.

    One request is one try: which node is asked next is decided above.
    """
    return Dialect(
        vendor=VENDOR,
        errors={410: ProviderError, 413: BadRequest, 422: ProviderError},
        text=error_text,
        classify=_classify(redact),
        retried=frozenset(),
        waits_s=(),
    )
