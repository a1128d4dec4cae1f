"""Keeps the gauges of the pools fresh: after requests, at most a few times a second."""

import os
import threading
from typing import Final

import flask

from opsorch.gateway.state import Gateway
from opsorch.providers.supervised import SupervisedProvider

EVERY_S: Final = 0.25
# Processes come, die and are drained without a request, too.
IDLE_S: Final = 1.0


class Gauges:
    """Sets the gauges of every pool when something may have changed."""

    def __init__(self, here: Gateway) -> None:
        self._here = here
        self._lock = threading.Lock()
        # Where a refresh is due: a fork has no timer of the process that it came from.
        self._due_in = 0

    def after_request(self, response: flask.Response) -> flask.Response:
        """Note that something may have changed; the gauges follow a moment later."""
        self._refresh_in(EVERY_S)
        return response

    def _refresh_in(self, delay_s: float) -> None:
        """Refresh after a delay, unless that is due already: there is one timer at most."""
        with self._lock:
            wanted, self._due_in = self._due_in != os.getpid(), os.getpid()
        if wanted:
            self._here.supervisor.later(delay_s, self._refresh)

    def _refresh(self) -> None:
        """Set the gauges; on the keeper's thread."""
        with self._lock:
            self._due_in = 0
        busy = False
        for name, slot in self._here.registry.slots.items():
            if isinstance(slot.provider, SupervisedProvider):
                seen = slot.provider.pool.snapshot()
                self._here.metrics.set_pool(name, seen.states, seen.waiting, str(seen.breaker))
                busy |= bool(seen.waiting or any(seen.states.values()))
        if busy:
            self._refresh_in(IDLE_S)
