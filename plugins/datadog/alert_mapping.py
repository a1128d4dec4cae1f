"""Datadog's monitors to alerts.

Source: https://docs.datadoghq.com/api/latest/monitors/ (Monitor, MonitorState, MatchingDowntime).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opsorch.plugin.payload import Json, without_empty
from opsorch.plugin.times import ZERO_TIME, epoch_time, time_order, vendor_time
from opsorch.plugin.vendor import (
    as_number,
    as_object,
    as_objects,
    as_text,
    as_texts,
    object_in,
    text_at,
)
from opsorch_plugins.datadog.links import monitor_link
from opsorch_plugins.datadog.tags import values_by_key
from opsorch_plugins.datadog.words import severity_class

MAX_GROUPS: Final = 50

STATUS_OF: Final[Mapping[str, str]] = {
    "Alert": "firing",
    "Warn": "warning",
    "OK": "ok",
    "No Data": "unknown",
    "Skipped": "unknown",
    "Unknown": "unknown",
    "Ignored": "suppressed",
}
_SEVERITY_OF_PRIORITY: Final = ("critical", "high", "medium", "low", "info")
_SEVERITY_OF_STATE: Final[Mapping[str, str]] = {"Alert": "high", "Warn": "medium"}
_RANK: Final[Mapping[str, int]] = {"Alert": 0, "Warn": 1, "No Data": 2}
_LAST_RANK: Final = 3


@dataclass(frozen=True, slots=True)
class AlertReading:
    """What every alert of an answer shares.

    Attributes:
        source: Value of metadata.source.
        app: Base URL of links.
        service_key: Tag key whose value is the service.
        now_s: Unix seconds, against which downtimes are active.
    """

    source: str
    app: str
    service_key: str
    now_s: float


def alert_of(raw: Json, reading: AlertReading) -> Json:
    """Turn a monitor, whatever it lacks, into an alert."""
    monitor_id = str(raw.get("id") or "")
    tags = as_texts(raw.get("tags"))
    by_key = values_by_key(tags)
    optional = {
        "description": as_text(raw.get("message")),
        "service": next(iter(by_key.get(reading.service_key, [])), ""),
        "url": monitor_link(reading.app, monitor_id),
        "fields": _fields(raw, by_key, reading),
        "metadata": _metadata(raw, tags, monitor_id, reading),
    }
    return {
        "id": monitor_id,
        "title": as_text(raw.get("name")),
        "status": STATUS_OF.get(as_text(raw.get("overall_state")), "unknown"),
        "severity": severity_of(raw),
        "createdAt": vendor_time(raw.get("created")),
        "updatedAt": _updated(raw),
        **without_empty(optional),
    }


def _fields(raw: Json, by_key: Mapping[str, list[str]], reading: AlertReading) -> Json:
    groups = groups_of(raw)
    tags = {key: values[0] if len(values) == 1 else values for key, values in by_key.items()}
    shown = {
        "tags": tags,
        "groups": [_group(group) for group in groups[:MAX_GROUPS]],
        "triggeredAt": _moment(last_trigger(raw)),
        "thresholds": object_in(object_in(raw, "options"), "thresholds"),
    }
    return {"muted": is_muted(raw, reading.now_s), **without_empty(shown)}


def _group(group: Json) -> Json:
    return {
        "name": as_text(group.get("name")),
        "status": STATUS_OF.get(as_text(group.get("status")), "unknown"),
        **without_empty(
            {
                "triggeredAt": _moment(as_number(group.get("last_triggered_ts"))),
                "resolvedAt": _moment(as_number(group.get("last_resolved_ts"))),
            }
        ),
    }


def _metadata(raw: Json, tags: list[str], monitor_id: str, reading: AlertReading) -> Json:
    return without_empty(
        {
            "source": reading.source,
            "monitor_id": monitor_id,
            "type": as_text(raw.get("type")),
            "query": as_text(raw.get("query")),
            "creator": text_at(raw, "creator", "handle"),
            "tags": tags,
        }
    )


def severity_of(raw: Json) -> str:
    """Return a monitor's severity: its priority, else its tags', else that of its state."""
    priority = raw.get("priority")
    if type(priority) is int and 1 <= priority <= len(_SEVERITY_OF_PRIORITY):
        return _SEVERITY_OF_PRIORITY[priority - 1]
    by_key = values_by_key(as_texts(raw.get("tags")))
    for word in (*by_key.get("priority", []), *by_key.get("severity", [])):
        known = severity_class(word)
        if known is not None and known != "unknown":
            return "critical" if known == "sev0" else known
    return _SEVERITY_OF_STATE.get(as_text(raw.get("overall_state")), "info")


def is_muted(raw: Json, now_s: float) -> bool:
    """Tell whether a downtime is active for the monitor; its ends are Unix seconds."""
    for downtime in as_objects(raw.get("matching_downtimes")):
        start, end = as_number(downtime.get("start")), as_number(downtime.get("end"))
        if start <= now_s and (not end or end > now_s):
            return True
    return False


def groups_of(raw: Json) -> list[Json]:
    """Return the groups of a monitor's state, the worst and newest first."""
    found = object_in(object_in(raw, "state"), "groups")
    groups = [{"name": name, **group} for name, group in found.items() if isinstance(group, dict)]
    return sorted(
        groups,
        key=lambda group: (
            _RANK.get(as_text(group.get("status")), _LAST_RANK),
            -as_number(group.get("last_triggered_ts")),
            as_text(group.get("name")),
        ),
    )


def last_trigger(raw: Json) -> float:
    """Return when a group triggered last, in Unix seconds; 0 for never."""
    groups = object_in(object_in(raw, "state"), "groups").values()
    return max(
        (as_number(as_object(group).get("last_triggered_ts")) for group in groups), default=0.0
    )


def order_of(raw: Json) -> tuple[int, float, str]:
    """Return what sorts monitors: the worst first, then the newest trigger, then the id."""
    rank = _RANK.get(as_text(raw.get("overall_state")), _LAST_RANK)
    return rank, -last_trigger(raw), str(raw.get("id") or "").zfill(20)


def _updated(raw: Json) -> str:
    times = [vendor_time(raw.get(name)) for name in ("modified", "overall_state_modified")]
    triggered = _moment(last_trigger(raw))
    return max([*times, triggered or ZERO_TIME], key=time_order)


def _moment(seconds: float) -> str:
    """Write Unix seconds; "" for 0, which means never."""
    return (epoch_time(seconds) or "") if seconds else ""
