"""What error lines say: the words of each anomaly, and the ordinary ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opsorch_plugins.demo.catalogue import SCENARIO_BY_ID


@dataclass(frozen=True, slots=True)
class Complaint:
    """Lines that a service writes while a cause lasts, beside those of its requests.

    Attributes:
        cause: Id of the scenario.
        service: Who writes them.
        stream: The stream of requests that their number follows.
        per_minute: How many at full strength in a minute of mean traffic.
        text: What they say; ``{signature}`` is the scenario's, ``{n}`` a number.
    """

    cause: str
    service: str
    stream: str
    per_minute: float
    text: str
    severity: str = "error"


COMPLAINTS: Final[tuple[Complaint, ...]] = (
    Complaint(
        "slo-exhaustion",
        "svc-checkout",
        "checkout",
        2.0,
        "{signature}: svc-payments gave no answer within 1500 ms, cart {n}",
    ),
    Complaint(
        "cascading-failure",
        "svc-database",
        "browse",
        6.0,
        "{signature}: no free connection on primary, waited 5000 ms, backend {n}",
    ),
    Complaint(
        "cascading-failure",
        "svc-database",
        "browse",
        0.3,
        "{signature}: all 100 connections of primary are taken, {n} callers wait",
        "critical",
    ),
    Complaint(
        "cascading-failure",
        "svc-order",
        "checkout",
        1.0,
        "{signature}: svc-database refused a connection, order {n}",
    ),
    Complaint(
        "cascading-failure",
        "svc-catalog",
        "browse",
        1.5,
        "{signature}: svc-database refused a connection, product {n}",
    ),
    Complaint(
        "deployment-rollback",
        "svc-payments",
        "checkout",
        1.0,
        "{signature}: stored card of customer {n} has an unknown format",
    ),
    Complaint(
        "external-dependency",
        "svc-payments",
        "checkout",
        1.0,
        "{signature}: Stripe answered 429 to charge {n}, trying again",
    ),
    Complaint(
        "autoscaling-lag",
        "svc-search",
        "search",
        1.0,
        "{signature}: query {n} was turned away, all workers are busy",
    ),
    Complaint(
        "circuit-breaker-cascade",
        "svc-recommendation",
        "recommend",
        2.0,
        "{signature}: svc-web has stopped asking; ranking {n} took too long",
    ),
    Complaint(
        "circuit-breaker-cascade",
        "svc-web",
        "recommend",
        1.5,
        "{signature}: breaker for svc-recommendation is open, page {n} shows best sellers",
    ),
)

# What requests fail with while an anomaly without a scenario lasts.
_EVERYDAY: Final[Mapping[str, str]] = {"al-003": "tokenizer_failed"}

# HTTP status of a request that failed with an error; others are 500.
STATUS_OF: Final[Mapping[str, int]] = {
    "payments_upstream_timeout": 504,
    "db_pool_exhausted": 503,
    "stripe_rate_limited": 503,
    "circuit_open": 503,
    "search_queue_full": 503,
    "upstream_timeout": 504,
    "connection_reset": 502,
}

# What requests fail with on ordinary days.
ORDINARY: Final = ("upstream_timeout", "connection_reset", "internal_error", "invalid_state")


def signature_of(cause: str) -> str:
    """Return what requests fail with because of a cause."""
    scenario = SCENARIO_BY_ID.get(cause)
    return scenario.signature if scenario else _EVERYDAY.get(cause, "internal_error")
