"""A gateway inside the test: Flask's client, and providers that are plain objects."""

import dataclasses
import json
from typing import Any

import flask.testing

from opsorch.config import Settings
from opsorch.gateway.app import create_app
from opsorch.gateway.state import Gateway, gateway
from opsorch.observability.logs import Sink
from opsorch.providers.admission import Admission
from opsorch.providers.base import CallContext
from opsorch.providers.registry import Slot


class Lines(Sink):
    """Keeps the log lines instead of writing them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        super().__init__()

    def write(self, line: str) -> None:
        self.lines.append(line)

    def events(self, name: str) -> list[dict[str, Any]]:
        parsed = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [line for line in parsed if line.get("event") == name]

    @property
    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines if '"logger":"opsorch.audit"' in line]


class Canned:
    """A provider that answers what a test says, and remembers what it was asked."""

    label = "canned"

    def __init__(self, result: Any = None) -> None:
        self.result = result
        self.seen: list[tuple[str, Any, CallContext, bool]] = []

    def call(self, method: str, payload: bytes, context: CallContext, *, repeatable: bool) -> bytes:
        self.seen.append((method, json.loads(payload), context, repeatable))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result if isinstance(self.result, bytes) else json.dumps(self.result).encode()

    def health(self) -> dict[str, Any]:
        return {"ready": True}

    def drain(self) -> None:
        """Nothing to drain."""


@dataclasses.dataclass
class Here:
    """An application, its client and its log."""

    client: flask.testing.FlaskClient
    gateway: Gateway
    log: Lines

    def put(self, capability: str, provider: Canned, most: int = 10) -> Canned:
        """Put a provider in a capability's place."""
        settings = self.gateway.settings.capabilities[capability]
        slot = Slot(
            dataclasses.replace(settings, plugin="canned"), provider, Admission(capability, most)
        )
        self.gateway.registry._slots[capability] = slot
        return provider


def an_app(environ: dict[str, str] | None = None) -> Here:
    """Make an application from variables."""
    log = Lines()
    app = create_app(Settings.from_env(environ or {}), log)
    with app.app_context():
        return Here(app.test_client(), gateway(), log)
