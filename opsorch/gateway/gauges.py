"""Keeps the gauges of the pools fresh: after requests, at most a few times a second."""

import threading
from typing import Final

import flask

from opsorch.gateway.state import Gateway
from opsorch.providers.supervised import SupervisedProvider

EVERY_S: Final = 0.25


class Gauges:
    """Sets the gauges of every pool when something may have changed."""

    def __init__(self, here: Gateway) -> None:
        self._here = here
        self._lock = threading.Lock()
        self._due = False

    def after_request(self, response: flask.Response) -> flask.Response:
        """Note that something may have changed; the gauges follow a moment later."""
        with self._lock:
            wanted, self._due = not self._due, True
        if wanted:
            self._here.supervisor.later(EVERY_S, self._refresh)
        return response

    def _refresh(self) -> None:
        """Set the gauges; on the keeper's thread."""
        with self._lock:
            self._due = False
        busy = False
        for name, slot in self._here.registry.slots.items():
            if isinstance(slot.provider, SupervisedProvider):
                seen = slot.provider.pool.snapshot()
                self._here.metrics.set_pool(name, seen.states, seen.waiting, str(seen.breaker))
                busy |= bool(seen.waiting or any(seen.states.values()))
        if busy:
            # Processes come, die and are drained without a request, too.
            with self._lock:
                self._due = True
            self._here.supervisor.later(1.0, self._refresh)
