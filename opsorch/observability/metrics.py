"""The gateway's own metrics, in Prometheus' multiprocess mode: one folder for all workers.

The folder is named by PROMETHEUS_MULTIPROC_DIR, which the server sets before this module is
imported. No label holds an id, a URL or a message; pids are no labels either, since every restarted
worker would add its own series.
"""

import collections
import functools
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: how Prometheus counts it, its name, what it tells, its labels.

    Attributes:
        mode: How a gauge adds up over the workers; "" for what is no gauge.
    """

    kind: type[Counter | Gauge | Histogram]
    name: str
    help: str
    labels: tuple[str, ...] = ("capability",)
    mode: str = ""


# docs/events.md is made of it.
METRICS: Final[Mapping[str, Metric]] = {
    "requests": Metric(
        Histogram,
        "opsorch_request_duration_seconds",
        "Requests by operation and status.",
        ("operation", "status"),
    ),
    "refused": Metric(
        Counter,
        "opsorch_requests_refused_total",
        "Requests that the server itself answered, as it could not read them.",
        ("status",),
    ),
    "stalled": Metric(
        Counter, "opsorch_connections_stalled_total", "Connections that were given up.", ()
    ),
    "exhausted": Metric(
        Counter,
        "opsorch_accept_failures_total",
        "Times a worker could not accept a connection.",
        (),
    ),
    "workers": Metric(Counter, "opsorch_worker_starts_total", "Workers started.", ()),
    "unlogged": Metric(
        Counter, "opsorch_log_lines_lost_total", "Lines of the log that nobody took.", ()
    ),
    "calls": Metric(
        Histogram,
        "opsorch_plugin_call_duration_seconds",
        "Calls of providers by outcome: ok, or the code of the error.",
        ("capability", "method", "code"),
    ),
    "waits": Metric(
        Histogram,
        "opsorch_plugin_checkout_wait_seconds",
        "How long calls waited for a process that was busy.",
    ),
    "starts": Metric(Counter, "opsorch_plugin_starts_total", "Processes started."),
    "start_failures": Metric(Counter, "opsorch_plugin_start_failures_total", "Starts that failed."),
    "restarts": Metric(
        Counter,
        "opsorch_plugin_restarts_total",
        "Processes that were replaced, by reason.",
        ("capability", "reason"),
    ),
    "timeouts": Metric(Counter, "opsorch_plugin_timeouts_total", "Calls past their deadline."),
    "retries": Metric(Counter, "opsorch_plugin_retries_total", "Calls that were tried again."),
    "skipped": Metric(
        Counter,
        "opsorch_plugin_stdout_skipped_total",
        "Lines of text on stdout, with those that were too many for the log.",
    ),
    "stderr": Metric(
        Counter,
        "opsorch_plugin_stderr_lines_total",
        "Lines on stderr, with those that were too many for the log.",
    ),
    "lost": Metric(Counter, "opsorch_plugin_streams_lost_total", "Streams found out of step."),
    "strays": Metric(Counter, "opsorch_plugin_strays_killed_total", "Strays killed.", ()),
    "opened": Metric(Counter, "opsorch_plugin_breaker_opened_total", "Times a breaker opened."),
    "processes": Metric(
        Gauge,
        "opsorch_plugin_processes",
        "Processes now, by state.",
        ("capability", "state"),
        "livesum",
    ),
    "waiting": Metric(
        Gauge,
        "opsorch_plugin_checkouts_waiting",
        "Calls that wait for a process now.",
        mode="livesum",
    ),
    "breaker": Metric(
        Gauge,
        "opsorch_plugin_breaker_state",
        "0 closed, 1 half-open, 2 open; the worst of all workers.",
        mode="livemax",
    ),
}

# Event -> the counter that it adds one to; the counter's labels are facts of the event.
_COUNTED: Final[Mapping[str, str]] = {
    "gateway.ready": "workers",
    "connection.stalled": "stalled",
    "request.refused": "refused",
    "process.started": "starts",
    "process.start_failed": "start_failures",
    "stream.lost": "lost",
    "breaker.opened": "opened",
    "call.retried": "retries",
}
# The same, of events of a worker's main thread and of handlers of signals: see Metrics._tally.
_TALLIED: Final[Mapping[str, str]] = {
    "gateway.exhausted": "exhausted",
    "stray.killed": "strays",
}


class Metrics:
    """Counts what the events tell, and holds the gauges that snapshots fill."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._made = {key: _made(row, self._registry) for key, row in METRICS.items()}
        self._tallies: collections.Counter[str] = collections.Counter()
        # A signal's handler counts on the main thread, which may be inside here already.
        self._tallying = threading.RLock()
        self._on: Mapping[str, Callable[[Facts], None]] = {
            **{event: self._counter(key) for event, key in _COUNTED.items()},
            **{event: functools.partial(self._tally, key) for event, key in _TALLIED.items()},
            "process.retired": self._replaced,
            "lease.discarded": self._replaced,
            "stdout.skipped": self._lines("skipped"),
            "stderr.line": self._lines("stderr"),
            "checkout.waited": self._waited,
            "call.finished": self._call_finished,
        }

    def note(self, event: str, facts: Facts) -> None:
        """Count an event."""
        count = self._on.get(event)
        if count is not None:
            count(facts)

    def request_finished(self, operation: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._settle()
        self._made["requests"].labels(operation, str(status)).observe(seconds)

    def lines_lost(self, lines: int) -> None:
        """Count lines of the log that nobody took."""
        self._tally("unlogged", count=lines)

    def _counter(self, key: str) -> Callable[[Facts], None]:
        made, labels = self._made[key], METRICS[key].labels
        if not labels:
            return lambda facts: made.inc()
        return lambda facts: made.labels(*(facts[label] for label in labels)).inc()

    def _tally(self, key: str, facts: Facts | None = None, *, count: int = 1) -> None:
        """Keep a count for the next request, or look at the pools, to settle.

        A handler of signals interrupts the main thread wherever it is. Inside the metrics' own
        locks, it would wait for them in vain.
        """
        with self._tallying:
            self._tallies[key] += count

    def _settle(self) -> None:
        """Add to the metrics what was tallied; never on the main thread."""
        while self._tallies:
            with self._tallying:
                settled, self._tallies = self._tallies, collections.Counter()
            for key, count in settled.items():
                self._made[key].inc(count)

    def _lines(self, key: str) -> Callable[[Facts], None]:
        made = self._made[key]
        return lambda facts: made.labels(facts["capability"]).inc(1 + facts["dropped"])

    def _replaced(self, facts: Facts) -> None:
        reason = _REASONS.get(facts["reason"], "other")
        self._made["restarts"].labels(facts["capability"], reason).inc()

    def _waited(self, facts: Facts) -> None:
        self._made["waits"].labels(facts["capability"]).observe(facts["seconds"])

    def _call_finished(self, facts: Facts) -> None:
        capability, method, code = facts["capability"], facts["method"], facts["code"]
        self._made["calls"].labels(capability, method, code).observe(facts["seconds"])
        if code == "rpc_timeout":
            self._made["timeouts"].labels(capability).inc()

    def set_pool(
        self, capability: str, states: Mapping[str, int], waiting: int, breaker: str
    ) -> None:
        """Set the gauges of one capability to what its pool looks like now."""
        self._settle()
        for state, count in states.items():
            self._made["processes"].labels(capability, state).set(count)
        self._made["waiting"].labels(capability).set(waiting)
        self._made["breaker"].labels(capability).set(_BREAKER.get(breaker, 0))

    def page(self) -> bytes:
        """Return what all workers have counted, as Prometheus reads it."""
        self._settle()
        if FOLDER not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        FileCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


_BREAKER: Final = {"closed": 0, "half_open": 1, "open": 2}
# Why a process was replaced, as its event tells it, and as the label does.
_REASONS: Final = {
    "idle": "idle",
    "max_calls": "max_calls",
    "max_memory": "max_memory",
    "PluginCrashed": "died",
    "PluginStartFailed": "died",
    "RpcTimeout": "timeout",
    "ReplyBroken": "broken_reply",
    "out of step": "out_of_step",
    "died while idle": "died_idle",
    "died": "died",
}


def _made(row: Metric, registry: CollectorRegistry) -> Any:
    options: dict[str, Any] = {"buckets": _SECONDS} if row.kind is Histogram else {}
    if row.mode:
        options["multiprocess_mode"] = row.mode
    return row.kind(row.name, row.help, row.labels, registry=registry, **options)
