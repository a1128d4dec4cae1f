"""How each service answers HTTP requests on an ordinary day."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opsorch_plugins.demo.catalogue import Labels, Service


@dataclass(frozen=True, slots=True)
class Profile:
    """How a service answers HTTP requests on an ordinary day.

    Attributes:
        rate: Requests a second, over all its instances.
        median_s: Duration of the median request; ``p95_s`` and ``p99_s`` likewise.
        errors: Share of the requests that fail.
        budget: What is left of its error budget.
    """

    rate: float
    median_s: float
    p95_s: float
    p99_s: float
    errors: float
    budget: float


PROFILES: Final[Mapping[str, Profile]] = {
    "svc-web": Profile(48, 0.21, 0.52, 0.9, 0.003, 0.81),
    "svc-api-gateway": Profile(64, 0.16, 0.42, 0.75, 0.002, 0.86),
    "svc-checkout": Profile(9, 0.12, 0.35, 0.62, 0.004, 0.72),
    "svc-order": Profile(6, 0.09, 0.24, 0.45, 0.004, 0.77),
    "svc-payments": Profile(5, 0.12, 0.36, 0.62, 0.002, 0.9),
    "svc-search": Profile(22, 0.06, 0.17, 0.33, 0.003, 0.84),
    "svc-catalog": Profile(40, 0.03, 0.09, 0.18, 0.003, 0.82),
    "svc-recommendation": Profile(16, 0.14, 0.3, 0.5, 0.004, 0.74),
    "svc-identity": Profile(30, 0.05, 0.18, 0.31, 0.001, 0.93),
    "svc-notifications": Profile(7, 0.04, 0.12, 0.25, 0.003, 0.8),
    "svc-workers": Profile(12, 0.03, 0.11, 0.26, 0.002, 0.88),
    "svc-shipping": Profile(3, 0.11, 0.31, 0.58, 0.004, 0.79),
    "svc-realtime": Profile(8, 0.02, 0.06, 0.14, 0.002, 0.91),
    "svc-analytics": Profile(26, 0.02, 0.07, 0.16, 0.001, 0.95),
    "svc-warehouse": Profile(1, 0.4, 1.3, 2.4, 0.003, 0.83),
}

METHODS: Final = (("GET", 0.72), ("POST", 0.28))
# Of all requests a fixed share is refused; of those that fail most fail with 500.
REFUSED: Final = 0.02
STATUSES: Final = (("200", 1.0), ("404", 1.0), ("500", 0.7), ("503", 0.3))


def request_shares(
    service: Service, instances: int | None = None
) -> tuple[tuple[Labels, float], ...]:
    """Split the requests of a service by method, status and instance.

    Each share is one of those requests that the status stands for: what fails, or what does not.

    Args:
        service: Whose requests.
        instances: How many instances answer them; all of the service unless given.
    """
    count = service.instances if instances is None else instances
    # Balancers never divide quite evenly: the first instance has a little more than the last.
    parts = [50 + count - number for number in range(count)]
    return tuple(
        (
            (("method", method), ("status", status), ("instance", name)),
            part / sum(parts) * of_method * of_status,
        )
        for name, part in zip(service.instance_names[:count], parts, strict=True)
        for method, of_method in METHODS
        for status, of_status in STATUSES
    )
