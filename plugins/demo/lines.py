"""One line of the logs, and where in the world it was written."""

import datetime
import hashlib
from dataclasses import dataclass
from typing import Any, Final

from opsorch.plugin.times import format_time
from opsorch.runbooks.tables import micros, moment
from opsorch_plugins.demo.catalogue import SERVICE_BY_ID, releases_of, team_of
from opsorch_plugins.demo.curves import Flow
from opsorch_plugins.demo.names import DURATION, ERRORS
from opsorch_plugins.demo.profiles import PROFILES
from opsorch_plugins.demo.series import Observatory
from opsorch_plugins.demo.shapes import stamped
from opsorch_plugins.demo.world import STAGING, World, hash_key

Json = dict[str, Any]

REGIONS: Final = ("eu-west", "us-east")


@dataclass(slots=True)
class Line:
    """One line before it is written out.

    Attributes:
        at_us: When it was written, in microseconds since 1970.
    """

    at_us: int
    id: str
    service: str
    environment: str
    severity: str
    message: str
    instance: str
    fields: Json

    @property
    def key(self) -> tuple[int, str]:
        """What lines are ordered by."""
        return self.at_us, self.id


def entry_of(line: Line, place: "Place", world: World) -> Json:
    """Write one line as the contract has it."""
    return {
        "timestamp": format_time(moment(line.at_us)),
        "message": line.message,
        "severity": line.severity,
        "service": line.service,
        "labels": {
            "env": line.environment,
            "team": team_of(line.service),
            "region": REGIONS[int(line.instance[-1]) % len(REGIONS)],
            "instance": line.instance,
            "version": place.version(line.service, line.at_us),
        },
        "fields": line.fields,
        "metadata": stamped({"id": line.id}, world),
    }


def digest_of(seed: str, *parts: object) -> bytes:
    """Return 32 bytes that depend on the seed and the parts alone."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, key=hash_key(seed), digest_size=32).digest()


def share_of(digest: bytes, at: int) -> float:
    """Return three bytes of a digest as a number in [0, 1)."""
    return int.from_bytes(digest[at : at + 3], "big") / 2**24


class Place:
    """One environment of the world, as far as its lines need to know it; made once a query."""

    def __init__(self, observatory: Observatory, environment: str) -> None:
        self.observatory = observatory
        self.world = observatory.world
        self.environment = environment
        self.staging = environment == STAGING
        self._flows: dict[tuple[str, str, str], Flow] = {}
        self._instances: dict[str, tuple[str, ...]] = {}
        self._versions: dict[str, list[tuple[int, str]]] = {}

    def instances(self, service: str) -> tuple[str, ...]:
        """Return the instances of a service here."""
        if service not in self._instances:
            names = SERVICE_BY_ID[service].instance_names
            self._instances[service] = names[:1] if self.staging else names
        return self._instances[service]

    def flow(self, metric: str, service: str, label: str = "", value: str = "") -> Flow:
        """Return the course of a metric here."""
        key = (metric, service, value)
        if key not in self._flows:
            labels = ((label, value),) if label else ()
            self._flows[key] = self.observatory.flow(metric, service, self.environment, labels)
        return self._flows[key]

    def version(self, service: str, at_us: int) -> str:
        """Return the version that a service ran at an instant."""
        if service not in self._versions:
            self._versions[service] = self._history(service)
        return next(version for since_us, version in self._versions[service] if at_us >= since_us)

    def _history(self, service: str) -> list[tuple[int, str]]:
        """Return since when which version ran, the latest first."""
        own = SERVICE_BY_ID[service]
        first = own.version if self.staging else (own.before or own.version)
        releases = releases_of(service, self.environment if self.staging else "")
        came_up = [(micros(self.world.at(item.finished_min)), item.version) for item in releases]
        return [*reversed(came_up), (_LONG_AGO_US, first)]


_LONG_AGO_US: Final = micros(datetime.datetime.min.replace(tzinfo=datetime.UTC))


@dataclass(frozen=True, slots=True)
class Fault:
    """Which share of the requests of a service fails.

    Attributes:
        ordinary: The share on an ordinary day.
        share: The share now; what is above the ordinary fails because of ``cause``.
        cause: Id of a scenario or an alert, "" where there is none.
    """

    ordinary: float
    share: float
    cause: str


class Minute:
    """What the metrics of one place say at the begin of one minute."""

    def __init__(self, place: Place, begin_s: int) -> None:
        self.place = place
        self.begin_s = begin_s
        self._values: dict[tuple[str, str, str], float] = {}
        self._faults: dict[str, Fault] = {}

    def value(self, metric: str, service: str, label: str = "", value: str = "") -> float:
        """Return the value of one series."""
        key = (metric, service, value)
        if key not in self._values:
            self._values[key] = self.place.flow(metric, service, label, value).at(self.begin_s)
        return self._values[key]

    def duration_s(self, service: str, position: float) -> float:
        """Return how long the request at a position among all takes, from 0, the fastest, to 1."""
        median = self.value(DURATION, service, "quantile", "0.5")
        if position < 0.5:
            return median * (0.4 + 1.2 * position)
        p95 = self.value(DURATION, service, "quantile", "0.95")
        if position < 0.95:
            return median + (p95 - median) * (position - 0.5) / 0.45
        return p95 * (1.0 + 12.0 * (position - 0.95))

    def fault(self, service: str) -> Fault:
        """Return which share of the requests of a service fails, and why."""
        if service not in self._faults:
            self._faults[service] = self._fault(service)
        return self._faults[service]

    def _fault(self, service: str) -> Fault:
        if service not in PROFILES:
            return Fault(_INFRA_FAULTS, _INFRA_FAULTS, "")
        flow = self.place.flow(ERRORS, service)
        ordinary = flow.base * flow.wave.at(self.begin_s)[0]
        pushes = self.place.observatory.causes(ERRORS, service, self.place.environment)
        strength, cause = max(
            ((push.strength(self.begin_s), cause) for cause, push in pushes), default=(0.0, "")
        )
        return Fault(ordinary, flow.at(self.begin_s), cause if strength else "")


# What has no error ratio of its own hardly ever fails.
_INFRA_FAULTS: Final = 0.0004
