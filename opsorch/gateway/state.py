"""What the request handlers share: settings, providers, logs, metrics; and what a request knows."""

import time
from dataclasses import dataclass, field
from typing import cast

import flask

from opsorch.config import Settings
from opsorch.observability import logs
from opsorch.observability.metrics import Metrics
from opsorch.providers.registry import Registry
from opsorch.supervisor.spec import Emit
from opsorch.supervisor.supervisor import Supervisor

_KEY = "opsorch"


@dataclass(frozen=True)
class Gateway:
    """One worker's gateway."""

    settings: Settings
    registry: Registry
    supervisor: Supervisor
    metrics: Metrics
    audit: logs.Audit
    emit: Emit


@dataclass
class RequestFacts:
    """What is known of the present request.

    Attributes:
        request_id: Echoed as X-Request-ID.
        actor_type: ``copilot`` or ``user``, as claimed.
        actor_id: Who calls, as claimed.
        operation: RPC method, or the name of the route; for logs and metrics.
        code: Code of the error that was answered, "" where it went well.
        message: Its message.
    """

    request_id: str
    actor_type: str
    actor_id: str
    traceparent: str = ""
    capability: str = ""
    operation: str = "none"
    code: str = ""
    message: str = ""
    started_at: float = field(default_factory=time.monotonic)


def install(app: flask.Flask, gateway: Gateway) -> None:
    """Attach a gateway to its application."""
    app.extensions[_KEY] = gateway


def gateway() -> Gateway:
    """Return the gateway of the current application."""
    return cast("Gateway", flask.current_app.extensions[_KEY])


def facts() -> RequestFacts:
    """Return what is known of the current request."""
    return cast("RequestFacts", flask.g.opsorch)


def set_facts(known: RequestFacts) -> None:
    """Note what is known of the current request."""
    flask.g.opsorch = known


def json_answer(body: bytes, status: int = 200) -> flask.Response:
    """Answer with JSON that is encoded already."""
    response = flask.Response(body, status=status)
    response.content_type = "application/json"
    return response
