"""Alerts, computed from the catalogue, the clock and the incidents, and their provider."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.engine import Connection

from opsorch.errors import NotFound
from opsorch.plugin import Call, Check, rpc
from opsorch.plugin.payload import id_of, without_empty
from opsorch.plugin.times import format_time
from opsorch.runbooks.tables import moment
from opsorch_plugins.demo import anomalies
from opsorch_plugins.demo.base import DemoProvider
from opsorch_plugins.demo.catalogue import (
    ALERT_BY_ID,
    ALERTS,
    RESOLVES_AFTER_MIN,
    TEAM_BY_ID,
    Alert,
    team_of,
)
from opsorch_plugins.demo.matching import Json, filter_of
from opsorch_plugins.demo.series import Observatory
from opsorch_plugins.demo.shapes import story_fields, story_metadata, url_of
from opsorch_plugins.demo.tables import incidents
from opsorch_plugins.demo.world import World

# The newest first; the sort is stable, so equal times stay in order of their ids.
_ORDERED: Final = tuple(sorted(ALERTS, key=lambda alert: alert.fires_min))
_RESOLVES_AFTER: Final = datetime.timedelta(minutes=RESOLVES_AFTER_MIN)
_INCIDENT_IDS: Final = tuple(sorted({alert.incident_id for alert in ALERTS if alert.incident_id}))

# The span over which an alert on a counter takes its rate.
RATE_SPAN_S: Final = 300.0

# Incident id -> when it left ``open``; those that are open are absent.
Acknowledged = Mapping[str, datetime.datetime]


class DemoAlerts(DemoProvider):
    """Alerts of the demo world."""

    capability = "alert"

    @rpc("alert.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """List alerts, the newest first."""
        wanted = filter_of(payload, ("statuses", "status"), ("severities", "severity"))
        with self.reading(call) as view:
            seen = acknowledged(view.connection)
        return list(wanted.over(alert_of(alert, seen, view.world) for alert in _ORDERED))

    @rpc("alert.get")
    def get(self, payload: Json, call: Call) -> Json:
        """Return one alert."""
        alert_id = id_of(payload)
        alert = ALERT_BY_ID.get(alert_id)
        if alert is None:
            raise NotFound(f"alert {alert_id} not found")
        with self.reading(call) as view:
            seen = acknowledged(view.connection)
        return alert_of(alert, seen, view.world)

    def check(self, call: Call) -> list[Check]:
        with self.reading(call):
            return [Check("demo world", ok=True, message=f"{len(ALERTS)} alerts")]


@dataclass(frozen=True, slots=True)
class Standing:
    """What an alert's status is, and since when."""

    status: str
    since: datetime.datetime


def acknowledged(connection: Connection) -> Acknowledged:
    """Return when the incidents that have alerts left ``open``."""
    left_open = incidents.c.acknowledged_us
    rows = connection.execute(
        select(incidents.c.id, left_open).where(
            incidents.c.id.in_(_INCIDENT_IDS), left_open.is_not(None)
        )
    )
    return {row.id: moment(row.acknowledged_us) for row in rows}


def standing_of(alert: Alert, seen: Acknowledged, world: World) -> Standing:
    """Return the status of an alert now.

    It is resolved five minutes after its anomaly ended, acknowledged once its incident left open.
    """
    fired = world.at(alert.fires_min)
    _, ended = anomalies.window(alert.id, world)
    if ended is not None and world.now >= ended + _RESOLVES_AFTER:
        return Standing("resolved", ended + _RESOLVES_AFTER)
    if alert.silenced:
        return Standing("silenced", fired)
    left_open = seen.get(alert.incident_id or "")
    if left_open is not None:
        return Standing("acknowledged", max(fired, left_open))
    return Standing("firing", fired)


def alert_of(alert: Alert, seen: Acknowledged, world: World) -> Json:
    """Write one alert as the contract has it, as it stands now."""
    standing = standing_of(alert, seen, world)
    return {
        "id": alert.id,
        "title": alert.title,
        "description": alert.description,
        "status": standing.status,
        "severity": alert.severity,
        "service": alert.service,
        "url": url_of("alert", alert.id),
        "createdAt": format_time(world.at(alert.fires_min)),
        "updatedAt": format_time(standing.since),
        "fields": _fields_of(alert, standing, world),
        "metadata": story_metadata(alert.scenario_id, world),
    }


def _fields_of(alert: Alert, standing: Standing, world: World) -> dict[str, Any]:
    labels = dict(alert.labels)
    resolved = standing.status == "resolved"
    fields = {
        "metric": alert.metric,
        "labels": {"service": alert.service, "env": world.environment, **labels},
        "measure": alert.measure,
        "comparison": alert.comparison,
        "threshold": alert.threshold,
        "value": value_of(alert, world),
        "incidentId": alert.incident_id,
        "team": team_of(alert.service),
        "environment": world.environment,
        "channel": TEAM_BY_ID[team_of(alert.service)].channel,
        "resolvedAt": format_time(standing.since) if resolved else "",
        **story_fields(alert.scenario_id),
    }
    return without_empty(fields)


def value_of(alert: Alert, world: World) -> float:
    """Return what an alert compares with its threshold, as it is now.

    Of an anomaly that is over it is the value with which it was: what happens to the series later,
    for another cause, is not this alert's.
    """
    _, ended = anomalies.window(alert.id, world)
    at = world.now if ended is None else min(world.now, ended + anomalies.RECOVERY)
    observatory, at_s = Observatory(world), anomalies.seconds(at)
    series = (alert.metric, alert.service, alert.labels)
    if alert.measure == "rate":
        return observatory.rate(*series, at_s - RATE_SPAN_S, at_s)
    return observatory.value(*series, at_s)
