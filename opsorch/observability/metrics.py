"""The gateway's own metrics, in Prometheus' multiprocess mode: one folder for all workers.

The folder is named by PROMETHEUS_MULTIPROC_DIR, which the server sets before this module is
imported. No label holds an id, a URL or a message; pids are no labels either, since every restarted
worker would add its own series.
"""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from opsorch.observability.metric_files import FOLDER, FileCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

Facts = Mapping[str, Any]


class Metrics:
    """Counts what the events tell, and holds the gauges that snapshots fill."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        make = functools.partial(_make, self._registry)
        self.requests = make(
            Histogram,
            "opsorch_request_duration_seconds",
            "Requests by operation and status.",
            ("operation", "status"),
            buckets=_SECONDS,
        )
        self.calls = make(
            Histogram,
            "opsorch_plugin_call_duration_seconds",
            "Calls of providers by outcome: ok, or the code of the error.",
            ("capability", "method", "code"),
            buckets=_SECONDS,
        )
        self.waits = make(
            Histogram,
            "opsorch_plugin_checkout_wait_seconds",
            "How long calls waited for a process that was busy.",
            ("capability",),
            buckets=_SECONDS,
        )
        one = ("capability",)
        self.starts = make(Counter, "opsorch_plugin_starts_total", "Processes started.", one)
        self.start_failures = make(
            Counter, "opsorch_plugin_start_failures_total", "Starts that failed.", one
        )
        self.restarts = make(
            Counter,
            "opsorch_plugin_restarts_total",
            "Processes that were replaced, by reason.",
            ("capability", "reason"),
        )
        self.timeouts = make(
            Counter, "opsorch_plugin_timeouts_total", "Calls past their deadline.", one
        )
        self.retries = make(
            Counter, "opsorch_plugin_retries_total", "Calls that were tried again.", one
        )
        self.skipped = make(
            Counter, "opsorch_plugin_stdout_skipped_total", "Lines of text on stdout.", one
        )
        self.lost = make(
            Counter, "opsorch_plugin_streams_lost_total", "Streams found out of step.", one
        )
        self.strays = make(Counter, "opsorch_plugin_strays_killed_total", "Strays killed.", ())
        self.opened = make(
            Counter, "opsorch_plugin_breaker_opened_total", "Times a breaker opened.", one
        )
        self.processes = make(
            Gauge,
            "opsorch_plugin_processes",
            "Processes now, by state.",
            ("capability", "state"),
            multiprocess_mode="livesum",
        )
        self.waiting = make(
            Gauge,
            "opsorch_plugin_checkouts_waiting",
            "Calls that wait for a process now.",
            one,
            multiprocess_mode="livesum",
        )
        self.breaker = make(
            Gauge,
            "opsorch_plugin_breaker_state",
            "0 closed, 1 half-open, 2 open; the worst of all workers.",
            one,
            multiprocess_mode="livemax",
        )
        self._on: Mapping[str, Callable[[Facts], None]] = {
            "process.started": lambda f: self.starts.labels(f["capability"]).inc(),
            "process.start_failed": lambda f: self.start_failures.labels(f["capability"]).inc(),
            "process.retired": lambda f: self.restarts.labels(f["capability"], f["reason"]).inc(),
            "lease.discarded": lambda f: self.restarts.labels(
                f["capability"], _reason(f["reason"])
            ).inc(),
            "stdout.skipped": lambda f: self.skipped.labels(f["capability"]).inc(),
            "stream.lost": lambda f: self.lost.labels(f["capability"]).inc(),
            "stray.killed": lambda f: self.strays.inc(),
            "breaker.opened": lambda f: self.opened.labels(f["capability"]).inc(),
            "call.retried": lambda f: self.retries.labels(f["capability"]).inc(),
            "checkout.waited": lambda f: self.waits.labels(f["capability"]).observe(f["seconds"]),
            "call.finished": self._call_finished,
        }

    def note(self, event: str, facts: Facts) -> None:
        """Count an event."""
        count = self._on.get(event)
        if count is not None:
            count(facts)

    def _call_finished(self, facts: Facts) -> None:
        capability, method, code = facts["capability"], facts["method"], facts["code"]
        self.calls.labels(capability, method, code).observe(facts["seconds"])
        if code == "rpc_timeout":
            self.timeouts.labels(capability).inc()

    def set_pool(
        self, capability: str, states: Mapping[str, int], waiting: int, breaker: str
    ) -> None:
        """Set the gauges of one capability to what its pool looks like now."""
        for state, count in states.items():
            self.processes.labels(capability, state).set(count)
        self.waiting.labels(capability).set(waiting)
        self.breaker.labels(capability).set(_BREAKER.get(breaker, 0))

    def page(self) -> bytes:
        """Return what all workers have counted, as Prometheus reads it."""
        if FOLDER not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        FileCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


_BREAKER: Final = {"closed": 0, "half_open": 1, "open": 2}
_REASONS: Final = {
    "PluginCrashed": "died",
    "PluginStartFailed": "died",
    "RpcTimeout": "timeout",
    "ReplyBroken": "broken_reply",
    "out of step": "out_of_step",
    "died while idle": "died_idle",
    "died": "died",
}


def _reason(reason: Any) -> str:
    return _REASONS.get(reason, "other")


def _make(registry: CollectorRegistry, kind: Any, *words: Any, **options: Any) -> Any:
    return kind(*words, registry=registry, **options)
