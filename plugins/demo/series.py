"""The series of a metric as the world stands: their labels, and their values at any instant."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from opsorch_plugins.demo.anomalies import Anomalies, push_of, seconds
from opsorch_plugins.demo.catalogue import (
    CERTIFICATE_ENDS_MIN,
    DAY,
    SERVICE_BY_ID,
    Labels,
    releases_of,
)
from opsorch_plugins.demo.curves import (
    Course,
    Flow,
    Product,
    Push,
    Wave,
    increase,
    since_resets,
    six_digits,
)
from opsorch_plugins.demo.measures import CERTIFICATE, METRIC_BY_NAME, REQUESTS, Bases, Metric
from opsorch_plugins.demo.names import ERRORS
from opsorch_plugins.demo.profiles import PROFILES, REFUSED, request_shares
from opsorch_plugins.demo.world import STAGING, World

Values = Callable[[Sequence[float]], list[float]]

# Staging has a tenth of the traffic, one instance of each service, and no anomalies.
STAGING_SHARE: Final = 0.1
# Its certificate was made later.
_STAGING_LATER_MIN: Final = 40 * DAY


@dataclass(frozen=True, slots=True)
class Series:
    """One series.

    Attributes:
        labels: All its labels, ``service`` and ``env`` first.
        values: Computes its values at rising instants, not rounded yet.
        causes: What has an effect on it.
    """

    metric: Metric
    labels: Mapping[str, str]
    values: Values
    causes: tuple[str, ...]

    @property
    def service(self) -> str:
        """The service that it tells of."""
        return self.labels["service"]


class Observatory:
    """All series of one world; made once a query.

    What several series share, such as the requests of a service, is computed once for them.
    """

    def __init__(self, world: World, *, calm: bool = False) -> None:
        """Look at a world; ``calm`` leaves its anomalies away."""
        self.world = world
        self._calm = calm
        self._anomalies = Anomalies(world)
        self._anchor_s = seconds(world.anchor)
        self._requests: dict[tuple[str, str], _Requests] = {}

    def series(self, metric: Metric) -> Iterator[Series]:
        """Yield all series of a metric, in the order of services, environments and labels."""
        for service in sorted(metric.bases):
            for environment in self.world.environments:
                bases = _bases(metric.name, service, staging=environment == STAGING)
                for labels, base in bases:
                    yield self._one(metric, service, environment, labels, base)

    def flow(self, metric: str, service: str, environment: str, labels: Labels = ()) -> Flow:
        """Return the course of one gauge, or of the rate of one counter.

        Raises:
            KeyError: There is no such series.
        """
        described = METRIC_BY_NAME[metric]
        if metric == REQUESTS:
            return self._flow(described, service, environment, (), PROFILES[service].rate)
        return self._flow(
            described, service, environment, labels, dict(described.bases[service])[labels]
        )

    def value(self, metric: str, service: str, labels: Labels, at_s: float) -> float:
        """Return the value of one series of the seeded environment at an instant."""
        described = METRIC_BY_NAME[metric]
        base = dict(described.bases[service])[labels]
        found = self._one(described, service, self.world.environment, labels, base)
        return six_digits(found.values([at_s])[0])

    def rate(
        self, metric: str, service: str, labels: Labels, begin_s: float, end_s: float
    ) -> float:
        """Return the mean increase a second of one counter between two instants.

        Resets make no difference to it. Not for ``http_requests_total``, which is split further.
        """
        flow = self.flow(metric, service, self.world.environment, labels)
        return six_digits(increase(flow, begin_s, end_s) / (end_s - begin_s))

    def resets(self, service: str, environment: str) -> list[float]:
        """Return when a service was deployed: its counters start at 0 then; rising."""
        named = environment if environment == STAGING else ""
        releases = releases_of(service, named)
        return [seconds(self.world.at(release.finished_min)) for release in releases]

    def pushes(
        self, metric: str, service: str, environment: str, labels: Mapping[str, str]
    ) -> tuple[Push, ...]:
        """Return what pushes one series; nothing does in staging."""
        if self._calm or environment == STAGING:
            return ()
        return self._anomalies.pushes_on(service, metric, labels)

    def causes(self, metric: str, service: str, environment: str) -> list[tuple[str, Push]]:
        """Return what pushes a series without further labels, and because of what."""
        if self._calm or environment == STAGING:
            return []
        effects = self._anomalies.effects_on(service, metric, {})
        return [(effect.cause, push_of(effect, self.world)) for effect in effects]

    def _one(
        self, metric: Metric, service: str, environment: str, labels: Labels, base: float
    ) -> Series:
        all_labels = {"service": service, "env": environment, **dict(labels)}
        causes: tuple[str, ...] = ()
        if not self._calm and environment != STAGING:
            found = self._anomalies.effects_on(service, metric.name, all_labels)
            if metric.name == REQUESTS and all_labels["status"][0] == "5":
                found += self._anomalies.effects_on(service, ERRORS, {})
            causes = tuple(dict.fromkeys(effect.cause for effect in found))
        values = self._values(metric, service, environment, labels, base)
        return Series(metric, all_labels, values, causes)

    def _values(
        self, metric: Metric, service: str, environment: str, labels: Labels, base: float
    ) -> Values:
        if metric.name == CERTIFICATE:
            later_min = _STAGING_LATER_MIN if environment == STAGING else 0
            ends_s = seconds(self.world.at(CERTIFICATE_ENDS_MIN - later_min))
            return functools.partial(_days_left, ends_s)
        if metric.name == REQUESTS:
            status = dict(labels)["status"]
            return functools.partial(self._requests_of(service, environment).counted, status, base)
        flow = self._flow(metric, service, environment, labels, base)
        if metric.kind == "counter":
            return functools.partial(_counted, flow, self.resets(service, environment))
        return functools.partial(_gauged, flow, metric)

    def _flow(
        self, metric: Metric, service: str, environment: str, labels: Labels, base: float
    ) -> Flow:
        place = environment if environment == STAGING else ""
        key = "\x1f".join((metric.name, service, place, *(value for _, value in labels)))
        wave = Wave(self.world.seed, key, self._anchor_s, metric.sway, metric.noise)
        share = STAGING_SHARE if metric.volume and place else 1.0
        if metric.name == "replicas_ready" and place:
            base = 1.0
        return Flow(
            wave, base * share, self.pushes(metric.name, service, environment, dict(labels))
        )

    def _requests_of(self, service: str, environment: str) -> "_Requests":
        key = (service, environment)
        if key not in self._requests:
            rate = self.flow(REQUESTS, service, environment)
            failing = self.flow(ERRORS, service, environment)
            self._requests[key] = _Requests(rate, failing, self.resets(service, environment))
        return self._requests[key]


class _Requests:
    """The requests of one service in one environment, whole and failed, since the last reset."""

    def __init__(self, rate: Flow, failing: Flow, resets: Sequence[float]) -> None:
        self._rate = rate
        self._failed = Product(rate, failing)
        self._resets = resets
        self._known: dict[tuple[float, ...], tuple[list[float], list[float]]] = {}

    def counted(self, status: str, share: float, times: Sequence[float]) -> list[float]:
        """Return what the counter of one status, method and instance shows."""
        key = (times[0], times[-1], len(times)) if times else ()
        if key not in self._known:
            every = since_resets(self._rate, times, self._resets)
            self._known[key] = every, since_resets(self._failed, times, self._resets)
        every, failed = self._known[key]
        if status[0] == "5":
            return [float(int(share * bad)) for bad in failed]
        if status[0] == "4":
            return [float(int(share * REFUSED * count)) for count in every]
        both = zip(every, failed, strict=True)
        return [float(int(share * (count * (1 - REFUSED) - bad))) for count, bad in both]


@functools.cache
def _bases(metric_name: str, service: str, *, staging: bool) -> Bases:
    """Return the series of one service; staging has those of its first instance only."""
    bases = METRIC_BY_NAME[metric_name].bases[service]
    if not staging:
        return bases
    if metric_name == REQUESTS:
        return request_shares(SERVICE_BY_ID[service], instances=1)
    return tuple((labels, base) for labels, base in bases if _of_first_instance(labels))


def _of_first_instance(labels: Labels) -> bool:
    return all(name != "instance" or value.endswith("-0") for name, value in labels)


def _counted(rate: Course, resets: Sequence[float], times: Sequence[float]) -> list[float]:
    return [float(int(count)) for count in since_resets(rate, times, resets)]


def _gauged(flow: Flow, metric: Metric, times: Sequence[float]) -> list[float]:
    values = [max(0.0, flow.at(at_s)) for at_s in times]
    if metric.highest is not None:
        values = [min(metric.highest, value) for value in values]
    return [float(round(value)) for value in values] if metric.whole else values


def _days_left(ends_s: float, times: Sequence[float]) -> list[float]:
    return [max(0.0, (ends_s - at_s) / 86400) for at_s in times]
