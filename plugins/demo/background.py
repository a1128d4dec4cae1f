"""The lines that no request leaves: health checks, readings, jobs, and complaints of anomalies."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from opsorch_plugins.demo.catalogue import SERVICE_BY_ID
from opsorch_plugins.demo.causes import Complaint, signature_of
from opsorch_plugins.demo.lines import Json, Line, Minute, digest_of, share_of
from opsorch_plugins.demo.shapes import story_fields


@dataclass(frozen=True, slots=True)
class Reading:
    """A line that tells the value of a series; a warning while something pushes it.

    Attributes:
        text: What it says; ``{value}`` is the value times ``times``.
    """

    metric: str
    label: str
    value: str
    text: str
    times: float = 1.0


_CONNECTIONS: Final = "db_connections_active"
_HITS: Final = "cache_hit_ratio"
_LAG: Final = "kafka_consumer_lag"
_DISK: Final = "disk_usage_ratio"


def _pool(database: str) -> Reading:
    return Reading(
        _CONNECTIONS, "database", database, f"pool {database}: {{value}} connections in use"
    )


def _hits(cache: str) -> Reading:
    return Reading(_HITS, "cache", cache, f"cache {cache}: {{value}} % of look-ups hit", 100)


def _lag(topic: str) -> Reading:
    return Reading(_LAG, "topic", topic, f"consumer of {topic} is {{value}} messages behind")


_READINGS: Final[Mapping[str, tuple[Reading, ...]]] = {
    "svc-database": (_pool("primary"),),
    "svc-order": (_pool("orders"),),
    "svc-catalog": (_pool("catalog"), _hits("products")),
    "svc-payments": (
        _pool("payments"),
        Reading(
            "external_request_duration_seconds",
            "provider",
            "stripe",
            "stripe answers in {value} ms on average",
            1000,
        ),
    ),
    "svc-identity": (_pool("identity"),),
    "svc-search": (_hits("results"),),
    "svc-shipping": (_hits("rates"),),
    "svc-cache": (_hits("sessions"), _hits("flags")),
    "svc-notifications": (_lag("notification-events"),),
    "svc-workers": (_lag("jobs"),),
    "svc-analytics": (_lag("click-events"),),
    "svc-warehouse": (
        Reading(
            "batch_job_duration_seconds",
            "job",
            "nightly-rollup",
            "job nightly-rollup takes {value} s",
        ),
    ),
    "svc-realtime": (
        Reading(
            "websocket_connections_active",
            "browser",
            "safari",
            "{value} websocket connections of safari are open",
        ),
    ),
    "svc-recommendation": (
        Reading(
            "model_inference_duration_seconds",
            "model",
            "ranker",
            "model ranker answers in {value} ms on average",
            1000,
        ),
    ),
    "svc-logging": (
        Reading(_DISK, "instance", "logging-0", "disk of logging-0 is {value} % full", 100),
    ),
}

# Jobs that end now and then, by tier; every service collects garbage, too.
_JOBS: Final[Mapping[str, tuple[str, ...]]] = {
    "frontend": ("asset manifest reloaded",),
    "edge": ("routing table reloaded", "idle connections closed"),
    "backend": ("configuration reloaded", "expired entries removed", "metrics flushed"),
    "data": ("partition compacted", "checkpoint written"),
    "infra": ("snapshot written", "log segment rotated"),
}

# Of 256: how often a minute has such a line.
_READ_OFTEN, _JOB_OFTEN, _COLLECT_OFTEN = 128, 56, 40
_PUSHED: Final = 0.3


def background_of(service: str, minute: Minute) -> Iterator[Line]:
    """Yield the lines that a service writes in a minute without being asked."""
    place = minute.place
    where = "staging" if place.staging else ""
    digest = digest_of(place.world.seed, "background", service, where, minute.begin_s)
    writer = _Writer(service, minute, digest)
    took_ms = 1 + digest[24] % 8
    health: Json = {"path": "/healthz", "method": "GET", "status": 200, "latencyMs": took_ms}
    yield writer.line("debug", f"GET /healthz answered 200 in {took_ms} ms", health)
    readings = _READINGS.get(service, ())
    if readings and digest[25] < _READ_OFTEN:
        yield _read(readings[digest[26] % len(readings)], writer, minute)
    if digest[27] < _JOB_OFTEN:
        jobs = _JOBS[SERVICE_BY_ID[service].tier]
        job = jobs[digest[28] % len(jobs)]
        yield writer.line("info", job, {"job": job.replace(" ", "-")})
    if digest[29] < _COLLECT_OFTEN:
        paused_ms = 2 + digest[30] % 60
        severity = "warning" if paused_ms > 50 else "debug"
        yield writer.line(severity, f"gc paused {paused_ms} ms", {"gcPauseMs": paused_ms})


class _Writer:
    """Gives the lines of one service and minute their times, instances and ids."""

    def __init__(self, service: str, minute: Minute, digest: bytes) -> None:
        self.service = service
        self._minute = minute
        self._digest = digest
        self._written = 0

    def line(self, severity: str, message: str, fields: Json) -> Line:
        """Return the next line."""
        number, place = self._written, self._minute.place
        self._written += 1
        names = place.instances(self.service)
        at_us = self._minute.begin_s * 1_000_000
        at_us += int(share_of(self._digest, 4 * number) * 60_000_000)
        return Line(
            at_us,
            f"log-{self._minute.begin_s:08x}-{self._digest[16:22].hex()}-{number}",
            self.service,
            place.environment,
            severity,
            message,
            names[self._digest[4 * number + 3] % len(names)],
            fields,
        )


def _read(reading: Reading, writer: _Writer, minute: Minute) -> Line:
    service = writer.service
    flow = minute.place.flow(reading.metric, service, reading.label, reading.value)
    pushed = any(push.strength(minute.begin_s) > _PUSHED for push in flow.pushes)
    value = minute.value(reading.metric, service, reading.label, reading.value)
    shown = f"{value * reading.times:.3g}"
    fields = {"metric": reading.metric, reading.label: reading.value, "value": float(shown)}
    text = reading.text.format(value=f"{float(shown):,.6g}")
    return writer.line("warning" if pushed else "info", text, fields)


def complaint_line(complaint: Complaint, week_s: int, index: int, minute: Minute) -> Line:
    """Return the line of a complaint that has a number since Monday."""
    place = minute.place
    digest = digest_of(
        place.world.seed, "complaint", complaint.cause, complaint.text, week_s, index
    )
    signature = signature_of(complaint.cause)
    number = int.from_bytes(digest[3:5], "big") % 9000 + 1000
    names = place.instances(complaint.service)
    return Line(
        minute.begin_s * 1_000_000 + int(share_of(digest, 0) * 60_000_000),
        f"log-{minute.begin_s:08x}-{digest[16:22].hex()}-c",
        complaint.service,
        place.environment,
        complaint.severity,
        complaint.text.format(signature=signature, n=number),
        names[digest[5] % len(names)],
        {
            "error": signature,
            "requestId": f"req-{digest[6:12].hex()}",
            **story_fields(complaint.cause),
        },
    )
