"""One demo world in a folder of its own, with a clock that the test sets."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from opsorch.plugin import Call, Provider
from opsorch_plugins.demo import logs
from opsorch_plugins.demo import provider as providers
from opsorch_plugins.demo.catalogue import INCIDENTS
from opsorch_plugins.demo.state import forget_states
from opsorch_plugins.demo.world import World

ANCHOR = datetime.datetime(2026, 1, 14, 15, 30, tzinfo=datetime.UTC)

CLASSES: tuple[type[Provider], ...] = tuple(getattr(providers, n) for n in providers.__all__)


def minutes(count: float) -> datetime.timedelta:
    return datetime.timedelta(minutes=count)


def text(moment: datetime.datetime) -> str:
    """Write an instant as the contract has it, independent of the code under test."""
    return (
        moment.strftime("%Y-%m-%dT%H:%M:%S")
        + (f".{moment.microsecond:06}".rstrip("0") if moment.microsecond else "")
        + "Z"
    )


class Demo:
    """All ten providers on one folder; ``now`` is what their clock says."""

    def __init__(self, folder: Path, now: datetime.datetime = ANCHOR, **config: Any) -> None:
        self.folder = folder
        self.now = now
        self.config = {"dataDir": str(folder), "anchor": text(ANCHOR), **config}
        self._by_method: dict[str, Provider] = {}
        for cls in CLASSES:
            provider = cls(self.config)
            provider.clock = lambda: self.now  # type: ignore[attr-defined]
            for method in cls.handlers:
                self._by_method[method] = provider

    def provider(self, method: str) -> Provider:
        return self._by_method[method]

    def call(self, method: str, payload: Any = None, *, actor: str = "") -> Any:
        provider = self._by_method[method]
        handler = getattr(provider, provider.handlers[method])
        return handler({} if payload is None else payload, Call(actor=actor))

    def ids(self, method: str, payload: Any = None) -> list[str]:
        return [item["id"] for item in self.call(method, payload)]


def forgetting() -> Iterator[None]:
    """Close the databases that a test opened."""
    yield
    forget_states()


def a_world(now: datetime.datetime = ANCHOR, **changes: Any) -> World:
    """Return the world as it is without any database: the seeded incidents, nothing written."""
    given: dict[str, Any] = {
        "anchor": ANCHOR,
        "seed": "opsorch",
        "environment": "prod",
        "source": "demo",
        "now": now,
        **changes,
    }
    ended = {
        item.id: given["anchor"] - minutes(item.resolved_min)
        for item in INCIDENTS
        if item.resolved_min is not None
    }
    return World(**{"ended": ended, **given})


def moment_of(value: str) -> datetime.datetime:
    """Parse a time of the contract, independent of the code under test."""
    return datetime.datetime.fromisoformat(value)


def all_logs(
    world: World, start: datetime.datetime, end: datetime.datetime, **payload: Any
) -> list[dict[str, Any]]:
    """Return every line of a window, the newest first, by asking page after page."""
    found: dict[str, dict[str, Any]] = {}
    until = end
    while True:
        window = {"start": text(start), "end": text(until), "limit": 1000}
        page = logs.query({**payload, **window}, world)["entries"]
        # The window is half-open: the last instant is asked for again, for lines that share it.
        found |= {entry["metadata"]["id"]: entry for entry in page}
        if len(page) < 1000:
            return list(found.values())
        until = moment_of(page[-1]["timestamp"]) + datetime.timedelta(microseconds=1)
