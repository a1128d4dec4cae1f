"""Which requests come in where, and which services each of them reaches."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from opsorch_plugins.demo.catalogue import SERVICE_BY_ID


@dataclass(frozen=True, slots=True)
class Hop:
    """A service that a request reaches, and those that it asks in turn."""

    service: str
    below: tuple["Hop", ...]

    def services(self) -> frozenset[str]:
        """Return this service and all below it."""
        return frozenset({self.service}).union(*(hop.services() for hop in self.below))


@dataclass(frozen=True, slots=True)
class Route:
    """One kind of request; ``{n}`` in its path is a number that differs from request to request."""

    method: str
    path: str
    entry: Hop
    services: frozenset[str]


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests that come in at one service.

    Attributes:
        driver: The service whose traffic this stream follows, anomalies included.
        per_minute: How many requests leave lines in a minute of mean traffic.
        routes: They take turns. Their number must not be one of Fibonacci's: which requests fail
            is spread by the golden ratio, and every eighth, say, would fail in a row.
    """

    name: str
    driver: str
    per_minute: float
    routes: tuple[Route, ...]


def _route(method: str, path: str, *services: str) -> Route:
    """Make a route along the dependencies, from the first service through all the others."""
    names = tuple(f"svc-{service}" for service in services)
    left = set(names)
    entry = _hop(names[0], left)
    if left:
        raise ValueError(f"{method} {path} does not reach {', '.join(sorted(left))}")
    return Route(method, path, entry, entry.services())


def _hop(service: str, left: set[str]) -> Hop:
    """Walk down the dependencies; each service is met once."""
    left.discard(service)
    # Lazily, so that what one dependency reaches is not met again through the next.
    others = (other for other in SERVICE_BY_ID[service].depends_on if other in left)
    return Hop(service, tuple(_hop(other, left) for other in others))


_WEB: Final = ("web", "api-gateway")

STREAMS: Final[tuple[Stream, ...]] = (
    Stream(
        "browse",
        "svc-web",
        7,
        (
            _route("GET", "/", *_WEB, "feature-flags", "identity", "catalog", "cache"),
            _route("GET", "/products/{n}", *_WEB, "catalog", "database", "cache"),
            _route("GET", "/account", *_WEB, "identity", "database"),
            _route("GET", "/products/{n}", *_WEB, "feature-flags", "catalog", "cache"),
            _route("POST", "/login", *_WEB, "identity", "database", "cache"),
            _route("GET", "/categories/{n}", *_WEB, "catalog", "database", "cache"),
        ),
    ),
    Stream(
        "checkout",
        "svc-checkout",
        4,
        (
            _route("POST", "/cart", *_WEB, "checkout", "cache"),
            _route(
                "POST",
                "/checkout",
                *_WEB,
                "identity",
                "checkout",
                "order",
                "payments",
                "notifications",
                "workers",
                "database",
                "cache",
            ),
            _route("GET", "/orders/{n}", *_WEB, "checkout", "order", "database"),
            _route("POST", "/checkout/payment", *_WEB, "checkout", "payments", "database"),
        ),
    ),
    Stream(
        "search",
        "svc-search",
        4,
        (
            _route("GET", "/search", *_WEB, "search", "catalog", "database", "cache"),
            _route("GET", "/search/suggest", *_WEB, "search", "cache"),
            _route("GET", "/search", *_WEB, "identity", "search", "catalog", "cache"),
            _route("GET", "/search/filters", *_WEB, "search", "catalog", "cache"),
        ),
    ),
    Stream(
        "recommend",
        "svc-recommendation",
        2.5,
        (
            _route("GET", "/recommendations", *_WEB, "recommendation", "catalog", "cache"),
            _route("GET", "/products/{n}/similar", *_WEB, "recommendation", "catalog", "database"),
            _route("GET", "/recommendations", *_WEB, "recommendation", "analytics", "warehouse"),
            _route(
                "GET", "/home/picks", *_WEB, "identity", "recommendation", "catalog", "database"
            ),
        ),
    ),
    Stream(
        "mobile",
        "svc-api-gateway",
        4,
        (
            _route("GET", "/v1/products/{n}", "api-gateway", "catalog", "database", "cache"),
            _route("GET", "/v1/me", "api-gateway", "identity", "database"),
            _route("GET", "/v1/search", "api-gateway", "search", "catalog", "cache"),
            _route(
                "POST",
                "/v1/orders",
                "api-gateway",
                "identity",
                "checkout",
                "order",
                "payments",
                "notifications",
                "workers",
                "database",
            ),
            _route("GET", "/v1/recommendations", "api-gateway", "recommendation", "catalog"),
            _route("POST", "/v1/cart", "api-gateway", "checkout", "cache"),
        ),
    ),
    Stream(
        "carrier",
        "svc-shipping",
        1.5,
        (
            _route("POST", "/labels", "shipping", "order", "database"),
            _route(
                "POST", "/tracking/{n}", "shipping", "order", "notifications", "workers", "database"
            ),
            _route("GET", "/rates", "shipping", "order", "database"),
            _route("GET", "/parcels/{n}", "shipping", "order", "payments", "database"),
        ),
    ),
    Stream(
        "live",
        "svc-realtime",
        1.5,
        (
            _route("GET", "/socket", "realtime", "notifications", "workers", "database"),
            _route("POST", "/publish", "realtime", "notifications", "workers"),
            _route("GET", "/presence/{n}", "realtime", "notifications", "workers", "database"),
            _route("POST", "/ack", "realtime", "notifications", "workers"),
        ),
    ),
    Stream(
        "events",
        "svc-analytics",
        2,
        (
            _route("POST", "/events", "analytics", "warehouse", "database"),
            _route("POST", "/events/batch", "analytics", "warehouse", "database"),
            _route("GET", "/reports/{n}", "analytics", "warehouse", "database"),
            _route("POST", "/events", "analytics", "warehouse", "database"),
        ),
    ),
)


def streams_of(services: Collection[str]) -> tuple[Stream, ...]:
    """Return the streams of which a request may reach one of some services."""
    wanted = frozenset(services)
    return tuple(
        stream
        for stream in STREAMS
        if any(not wanted.isdisjoint(route.services) for route in stream.routes)
    )
