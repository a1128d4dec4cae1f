"""The anomalies of the world: when each one lasts, and what it does to which series.

They follow the incidents: one without a fixed end lasts until its incident is resolved or closed.
"""

import datetime
from collections.abc import Mapping
from typing import Any, Final

from opsorch.plugin.payload import without_empty
from opsorch.plugin.times import format_time
from opsorch.runbooks.tables import micros
from opsorch_plugins.demo.catalogue import (
    ALERT_BY_ID,
    EFFECTS,
    OPEN_ENDS_MIN,
    RECOVERY_MIN,
    SCENARIO_BY_ID,
    Effect,
)
from opsorch_plugins.demo.curves import Push
from opsorch_plugins.demo.world import World

Json = dict[str, Any]
Window = tuple[datetime.datetime, datetime.datetime | None]

RECOVERY: Final = datetime.timedelta(minutes=RECOVERY_MIN)


def seconds(moment: datetime.datetime) -> float:
    """Return an instant as seconds since 1970."""
    return micros(moment) / 1_000_000


def window(cause: str, world: World) -> Window:
    """Return when an anomaly began and when it ended, None while it has not.

    Args:
        cause: Id of a scenario or of an alert; that of a scenario's alert means the scenario.
        world: Its incidents and its clock say what has ended.

    Raises:
        KeyError: There is no such cause.
    """
    begins_min, ends_min, incident_id = _span_of(cause)
    begin = world.at(begins_min)
    ends = [] if ends_min is None else [world.at(ends_min)]
    if incident_id in world.ended:
        ends.append(world.ended[incident_id])
    end = max(begin, min(ends)) if ends else None
    return begin, end if end is not None and end <= world.now else None


def _span_of(cause: str) -> tuple[float, float | None, str]:
    """Return begin and fixed end in minutes before the anchor, and the incident that ends it."""
    alert = ALERT_BY_ID.get(cause)
    if alert is not None and not alert.scenario_id:
        return alert.begins_min, None, alert.incident_id or ""
    scenario = SCENARIO_BY_ID[(alert.scenario_id or "") if alert else cause]
    fixed = OPEN_ENDS_MIN if scenario.ends_min is None else scenario.ends_min
    return scenario.begins_min, fixed, scenario.incident_id


def push_of(effect: Effect, world: World) -> Push:
    """Return what an effect does to a course, given how the world stands."""
    begin, end = window(effect.cause, world)
    by_factor = effect.mode == "factor"
    return Push(
        begin_s=seconds(begin),
        rise_s=effect.rise_min * 60,
        end_s=None if end is None else seconds(end),
        recovery_s=RECOVERY.total_seconds(),
        peak=effect.peak / effect.base if by_factor else effect.peak,
        factor=by_factor,
    )


def strength_of(cause: str, world: World) -> Push:
    """Return how strong a cause is over time, as a push from 0 to 1."""
    begin, end = window(cause, world)
    end_s = None if end is None else seconds(end)
    return Push(seconds(begin), _SWIFT_S, end_s, RECOVERY.total_seconds(), peak=1.0)


# A cause shows in the logs faster than in most metrics.
_SWIFT_S: Final = 120.0


class Anomalies:
    """The effects of all causes as the world stands; made once a query."""

    def __init__(self, world: World) -> None:
        self._world = world

    def effects_on(self, service: str, metric: str, labels: Mapping[str, str]) -> list[Effect]:
        """Return the effects on one series of the seeded environment."""
        return [
            effect
            for effect in _BY_SERIES.get((service, metric), ())
            if all(labels.get(name) == value for name, value in effect.labels)
        ]

    def pushes_on(self, service: str, metric: str, labels: Mapping[str, str]) -> tuple[Push, ...]:
        """Return what pushes one series of the seeded environment."""
        found = self.effects_on(service, metric, labels)
        return tuple(push_of(effect, self._world) for effect in found)

    def told(
        self, causes: list[str], begin: datetime.datetime, end: datetime.datetime
    ) -> list[Json]:
        """Describe those causes that show between two instants, recovery included."""
        spans = [(cause, *window(cause, self._world)) for cause in dict.fromkeys(causes)]
        return [
            _told(cause, since, until)
            for cause, since, until in spans
            if since <= end and (until is None or until + RECOVERY > begin)
        ]


def _told(cause: str, since: datetime.datetime, until: datetime.datetime | None) -> Json:
    """Name a cause and its time; ``end`` is left out while it lasts."""
    kind = "scenarioId" if cause in SCENARIO_BY_ID else "alertId"
    ended = "" if until is None else format_time(until)
    return without_empty({kind: cause, "start": format_time(since), "end": ended})


def _by_series() -> dict[tuple[str, str], tuple[Effect, ...]]:
    found: dict[tuple[str, str], tuple[Effect, ...]] = {}
    for effect in EFFECTS:
        key = (effect.service, effect.metric)
        found[key] = (*found.get(key, ()), effect)
    return found


_BY_SERIES: Final = _by_series()
