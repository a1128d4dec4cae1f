"""The metrics of the demo world: what each is called, and the ordinary level of each series.

Where an effect of ``effects`` touches a series its base stands here, too; a test compares them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from opsorch_plugins.demo.catalogue import SERVICES, Labels, Service
from opsorch_plugins.demo.names import BUDGET, DURATION, ERRORS, EXTERNAL
from opsorch_plugins.demo.profiles import PROFILES, request_shares

REQUESTS: Final = "http_requests_total"
CERTIFICATE: Final = "certificate_expiry_days"

# Series of one service: their labels besides service and env, and their bases. Of a counter the
# base is the rate per second.
Bases = tuple[tuple[Labels, float], ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and its series.

    Attributes:
        labels: Names of the labels besides ``service`` and ``env``.
        bases: Service id -> its series.
        sway: How much of the traffic's movement it shares, from 0 to 1.
        noise: Largest deviation by noise.
        highest: What it never exceeds.
        whole: It is counted in whole numbers.
        volume: It grows with the number of requests: staging has a tenth of it.
    """

    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    description: str
    labels: tuple[str, ...]
    bases: Mapping[str, Bases]
    sway: float = 0.0
    noise: float = 0.03
    highest: float | None = None
    whole: bool = False
    volume: bool = False


_MEMORY_MIB: Final = {"frontend": 380, "edge": 420, "backend": 760, "data": 2600, "infra": 3400}
_CPU: Final = {"svc-search": 0.45, "svc-database": 0.41, "svc-warehouse": 0.52}
_DISK: Final = {"svc-logging": 0.62, "svc-database": 0.58, "svc-warehouse": 0.54}


def _each_instance(base: Mapping[str, float], ordinary: float) -> dict[str, Bases]:
    """Give every instance of every service a series; ``base`` names the services that differ."""
    return {service.id: _instances(service, base.get(service.id, ordinary)) for service in SERVICES}


def _instances(service: Service, base: float) -> Bases:
    return tuple(((("instance", name),), base) for name in service.instance_names)


def _each(label: str, values: Iterable[tuple[str, float]]) -> Bases:
    return tuple((((label, value),), base) for value, base in values)


def _alone(bases: Iterable[tuple[str, float]]) -> dict[str, Bases]:
    """Give each service one series without further labels."""
    return {service: (((), base),) for service, base in bases}


def _durations() -> dict[str, Bases]:
    return {
        service: _each(
            "quantile", (("0.5", own.median_s), ("0.95", own.p95_s), ("0.99", own.p99_s))
        )
        for service, own in PROFILES.items()
    }


_DATABASES: Final = {
    "svc-database": ("primary", 45.0, 100.0, 0.008),
    "svc-order": ("orders", 14.0, 40.0, 0.006),
    "svc-catalog": ("catalog", 18.0, 40.0, 0.005),
    "svc-payments": ("payments", 9.0, 30.0, 0.007),
    "svc-identity": ("identity", 11.0, 30.0, 0.004),
}


def _databases(column: int) -> dict[str, Bases]:
    return {
        service: _each("database", [(str(row[0]), float(row[column]))])
        for service, row in _DATABASES.items()
    }


METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        REQUESTS,
        "counter",
        "requests",
        "HTTP requests that were answered.",
        ("method", "status", "instance"),
        {service.id: request_shares(service) for service in SERVICES if service.id in PROFILES},
        sway=1.0,
        volume=True,
    ),
    Metric(
        DURATION,
        "gauge",
        "seconds",
        "How long HTTP requests take.",
        ("quantile",),
        _durations(),
        sway=0.06,
    ),
    Metric(
        ERRORS,
        "gauge",
        "ratio",
        "Share of HTTP requests that fail with a 5xx status.",
        (),
        _alone((service, own.errors) for service, own in PROFILES.items()),
        highest=1.0,
    ),
    Metric(
        BUDGET,
        "gauge",
        "ratio",
        "What is left of the 30-day error budget.",
        (),
        _alone((service, own.budget) for service, own in PROFILES.items()),
        noise=0.01,
        highest=1.0,
    ),
    Metric(
        EXTERNAL,
        "gauge",
        "seconds",
        "How long calls to an outside party take.",
        ("provider",),
        {
            "svc-payments": _each("provider", [("stripe", 0.25)]),
            "svc-notifications": _each("provider", [("twilio", 0.31)]),
        },
        sway=0.05,
    ),
    Metric(
        "cpu_usage_ratio",
        "gauge",
        "ratio",
        "CPU in use, of what the instance may use.",
        ("instance",),
        _each_instance(_CPU, 0.34),
        sway=0.4,
        highest=1.0,
    ),
    Metric(
        "memory_working_set_bytes",
        "gauge",
        "bytes",
        "Memory that the instance works with.",
        ("instance",),
        {
            service.id: _instances(service, _MEMORY_MIB[service.tier] * 1024 * 1024)
            for service in SERVICES
        },
        sway=0.08,
        whole=True,
    ),
    Metric(
        "disk_usage_ratio",
        "gauge",
        "ratio",
        "Disk in use.",
        ("instance",),
        _each_instance(_DISK, 0.33),
        noise=0.01,
        highest=1.0,
    ),
    Metric(
        "container_restarts_total",
        "counter",
        "restarts",
        "Restarts of the instance's container.",
        ("instance",),
        _each_instance({}, 1 / 86400),
    ),
    Metric(
        "replicas_ready",
        "gauge",
        "replicas",
        "Instances that are ready to serve.",
        (),
        _alone((service.id, float(service.instances)) for service in SERVICES),
        noise=0.0,
        whole=True,
    ),
    Metric(
        "db_connections_active",
        "gauge",
        "connections",
        "Connections of the pool that are in use.",
        ("database",),
        _databases(1),
        sway=0.35,
        highest=100.0,
        whole=True,
    ),
    Metric(
        "db_connections_max",
        "gauge",
        "connections",
        "Connections that the pool may open.",
        ("database",),
        _databases(2),
        noise=0.0,
        whole=True,
    ),
    Metric(
        "db_query_duration_seconds",
        "gauge",
        "seconds",
        "How long the mean query takes.",
        ("database",),
        _databases(3),
        sway=0.1,
    ),
    Metric(
        "cache_hit_ratio",
        "gauge",
        "ratio",
        "Look-ups that the cache answers.",
        ("cache",),
        {
            "svc-cache": _each("cache", [("sessions", 0.96), ("flags", 0.97)]),
            "svc-catalog": _each("cache", [("products", 0.92)]),
            "svc-search": _each("cache", [("results", 0.63)]),
            "svc-shipping": _each("cache", [("rates", 0.94)]),
        },
        noise=0.015,
        highest=1.0,
    ),
    Metric(
        "kafka_consumer_lag",
        "gauge",
        "messages",
        "Messages that wait on a topic.",
        ("topic",),
        {
            "svc-notifications": _each("topic", [("notification-events", 400)]),
            "svc-workers": _each("topic", [("jobs", 150)]),
            "svc-analytics": _each("topic", [("click-events", 2200)]),
        },
        sway=0.6,
        noise=0.08,
        whole=True,
        volume=True,
    ),
    Metric(
        "queue_depth",
        "gauge",
        "messages",
        "Jobs that wait in a queue.",
        ("queue",),
        {
            "svc-notifications": _each("queue", [("mail", 60), ("push", 130)]),
            "svc-workers": _each("queue", [("default", 90), ("slow", 25)]),
            "svc-analytics": _each("queue", [("exports", 14)]),
        },
        sway=0.6,
        noise=0.08,
        whole=True,
        volume=True,
    ),
    Metric(
        "batch_job_duration_seconds",
        "gauge",
        "seconds",
        "How long the last run of a batch job took.",
        ("job",),
        {"svc-warehouse": _each("job", [("nightly-rollup", 1500), ("hourly-load", 240)])},
    ),
    Metric(
        "events_ingested_total",
        "counter",
        "events",
        "Events that were taken in.",
        ("region",),
        {"svc-analytics": _each("region", [("apac", 180), ("emea", 310), ("amer", 420)])},
        sway=1.0,
        volume=True,
    ),
    Metric(
        "websocket_connections_active",
        "gauge",
        "connections",
        "Open websocket connections.",
        ("browser",),
        {"svc-realtime": _each("browser", [("chrome", 5200), ("safari", 1900), ("firefox", 700)])},
        sway=0.9,
        whole=True,
        volume=True,
    ),
    Metric(
        "websocket_disconnects_total",
        "counter",
        "disconnects",
        "Websocket connections that were lost.",
        ("browser",),
        {"svc-realtime": _each("browser", [("chrome", 0.11), ("safari", 0.05), ("firefox", 0.02)])},
        sway=0.9,
        volume=True,
    ),
    Metric(
        "circuit_breaker_state",
        "gauge",
        "state",
        "State of a circuit breaker: 0 closed, 1 open.",
        ("downstream",),
        {
            "svc-web": _each("downstream", [("svc-recommendation", 0), ("svc-api-gateway", 0)]),
            "svc-checkout": _each("downstream", [("svc-payments", 0)]),
        },
        noise=0.0,
        highest=1.0,
        whole=True,
    ),
    Metric(
        "model_inference_duration_seconds",
        "gauge",
        "seconds",
        "How long a model takes for one answer.",
        ("model",),
        {"svc-recommendation": _each("model", [("ranker", 0.12), ("candidates", 0.04)])},
        sway=0.05,
    ),
    Metric(
        "orders_created_total",
        "counter",
        "orders",
        "Orders that were placed.",
        ("region",),
        {"svc-order": _each("region", [("emea", 0.8), ("amer", 1.1), ("apac", 0.5)])},
        sway=1.0,
        volume=True,
    ),
    Metric(
        "conversion_rate",
        "gauge",
        "ratio",
        "Share of visits that end in an order.",
        (),
        _alone([("svc-web", 0.031)]),
        noise=0.02,
        highest=1.0,
    ),
    Metric(
        CERTIFICATE,
        "gauge",
        "days",
        "Days until a certificate ends.",
        ("domain",),
        {"svc-api-gateway": _each("domain", [("api.demo.example", 0)])},
        noise=0.0,
    ),
)

METRIC_BY_NAME: Final[Mapping[str, Metric]] = {metric.name: metric for metric in METRICS}
