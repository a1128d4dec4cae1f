"""Health and the gateway's own metrics."""

from pathlib import PurePath
from typing import Any

import flask
import msgspec

from opsorch.errors import NotReady
from opsorch.gateway.errors import answer_error
from opsorch.gateway.state import facts, gateway, json_answer
from opsorch.observability.metrics import CONTENT_TYPE
from opsorch.providers.registry import BUNDLED, Slot

_OK = b'{"status":"ok"}\n'

health = flask.Blueprint("health", __name__)


@health.get("/", provide_automatic_options=False)
@health.get("/health", provide_automatic_options=False)
def live() -> flask.Response:
    """Tell that the gateway lives; touches no plugin."""
    facts().operation = "health"
    return json_answer(_OK)


@health.get("/health/ready", provide_automatic_options=False)
def ready() -> flask.Response:
    """Tell of every capability whether it can take a call; starts nothing."""
    facts().operation = "health.ready"
    told = {name: _told(slot) for name, slot in gateway().registry.slots.items()}
    off = [name for name, one in told.items() if one["configured"] and not one["ready"]]
    if off:
        error = NotReady(f"Not able to take a call: {', '.join(off)}.")
        return answer_error(error, capabilities=told)
    return json_answer(msgspec.json.encode({"status": "ok", "capabilities": told}) + b"\n")


def _told(slot: Slot) -> dict[str, Any]:
    told: dict[str, Any] = {"configured": slot.configured, **slot.health()}
    if slot.configured:
        told["provider"] = _without_folder(slot.provider.label)
    if slot.last_error.code:
        told["lastError"] = {"code": slot.last_error.code, "at": slot.last_error.at}
    return told


def _without_folder(label: str) -> str:
    """Return a provider's name, or its file's: probes carry no token, and a path tells too much."""
    return label if label.startswith(BUNDLED) else PurePath(label).name


@health.get("/metrics", provide_automatic_options=False)
def metrics() -> flask.Response:
    """Give what all workers have counted, in Prometheus' text format."""
    facts().operation = "metrics"
    return flask.Response(gateway().metrics.page(), content_type=CONTENT_TYPE)
