"""PagerDuty's objects to ours, and the words of both: pure tables, total over any JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.plugin.payload import Json, without_empty
from opsorch.plugin.vendor import known_time_in, object_in, objects_in, text_in, time_in

# Source: https://developer.pagerduty.com/api-reference/9d0b4b12e36f9-list-incidents (statuses[])
STATUS_IN: Final[Mapping[str, str]] = {
    "open": "triggered",
    "triggered": "triggered",
    "new": "triggered",
    "firing": "triggered",
    "acknowledged": "acknowledged",
    "ack": "acknowledged",
    "investigating": "acknowledged",
    "identified": "acknowledged",
    "mitigating": "acknowledged",
    "monitoring": "acknowledged",
    "in_progress": "acknowledged",
    "resolved": "resolved",
    "closed": "resolved",
    "done": "resolved",
}
_STATUS_OUT: Final[Mapping[str, str]] = {"triggered": "open"}

SEVERITIES: Final = ("critical", "high", "medium", "low", "info")


@dataclass(frozen=True, slots=True)
class Severity:
    """A severity of ours and the urgency that PagerDuty has for it."""

    severity: str
    urgency: str


_CRITICAL = Severity("critical", "high")
_HIGH = Severity("high", "high")
_MEDIUM = Severity("medium", "low")
_LOW = Severity("low", "low")
_INFO = Severity("info", "low")

# Source: https://support.pagerduty.com/docs/incident-priority (the usual priority schemes), and
# https://developer.pagerduty.com/api-reference/9d0b4b12e36f9-list-incidents (urgencies[])
SEVERITY_IN: Final[Mapping[str, Severity]] = {
    "critical": _CRITICAL,
    "sev0": _CRITICAL,
    "sev1": _CRITICAL,
    "p1": _CRITICAL,
    "high": _HIGH,
    "sev2": _HIGH,
    "p2": _HIGH,
    "error": _HIGH,
    "medium": _MEDIUM,
    "sev3": _MEDIUM,
    "p3": _MEDIUM,
    "warning": _MEDIUM,
    "low": _LOW,
    "sev4": _LOW,
    "p4": _LOW,
    "info": _INFO,
    "sev5": _INFO,
    "p5": _INFO,
}
_SEVERITY_OF_PRIORITY: Final[Mapping[str, str]] = {
    word: known.severity
    for word, known in SEVERITY_IN.items()
    if word.startswith(("p", "sev")) and word[-1].isdigit()
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How a configuration wants PagerDuty's objects to be read."""

    source: str
    by_priority: bool = True


def name_of(raw: Any) -> str:
    """Return how an object or a reference to one is called."""
    return text_in(raw, "name", "summary")


def reference_of(raw: Any) -> Json:
    """Shorten a reference to its id and summary; {} for none."""
    return without_empty({"id": text_in(raw, "id"), "summary": text_in(raw, "summary", "name")})


def priority_severity(raw: Any, reading: Reading) -> str:
    """Return the severity that an incident's priority stands for, "" where it stands for none."""
    if not reading.by_priority:
        return ""
    name = text_in(object_in(raw, "priority"), "summary", "name").casefold()
    return _SEVERITY_OF_PRIORITY.get(name.replace("-", "").replace(" ", ""), "")


def incident_of(raw: Json, reading: Reading) -> Json:
    """Turn an incident of PagerDuty, whatever it lacks, into ours."""
    service = object_in(raw, "service")
    status = text_in(raw, "status").lower()
    by_urgency = "critical" if raw.get("urgency") == "high" else "medium"
    shape = {
        "description": _description_of(raw),
        "service": text_in(service, "summary"),
        "url": text_in(raw, "html_url"),
        "fields": _fields_of(raw),
        "metadata": _metadata_of(raw, reading),
    }
    return {
        "id": text_in(raw, "id"),
        "title": text_in(raw, "title", "summary"),
        "status": _STATUS_OUT.get(status, status),
        "severity": priority_severity(raw, reading) or by_urgency,
        "createdAt": time_in(raw, "created_at"),
        "updatedAt": time_in(raw, "updated_at", "last_status_change_at", "created_at"),
        **without_empty(shape),
    }


def _description_of(raw: Json) -> str:
    """Return the body's details, which are text or, from integrations, an object."""
    details = object_in(raw, "body").get("details")
    if isinstance(details, str):
        return details
    if isinstance(details, dict | list) and details:
        return json.dumps(details, indent=2, sort_keys=True, ensure_ascii=False)
    return ""


def _fields_of(raw: Json) -> Json:
    assignees = [object_in(entry, "assignee") for entry in objects_in(raw, "assignments")]
    return without_empty(
        {
            "incidentNumber": raw.get("incident_number"),
            "urgency": text_in(raw, "urgency"),
            "priority": text_in(object_in(raw, "priority"), "summary", "name"),
            "assignees": [name for name in map(_summary_of, assignees) if name],
            "teams": [name for name in map(_summary_of, objects_in(raw, "teams")) if name],
            "alertCount": object_in(raw, "alert_counts").get("all"),
        }
    )


def _summary_of(raw: Json) -> str:
    return text_in(raw, "summary", "name")


def _metadata_of(raw: Json, reading: Reading) -> Json:
    service = object_in(raw, "service")
    return without_empty(
        {
            "source": reading.source,
            "incident_key": text_in(raw, "incident_key"),
            "service_id": text_in(service, "id"),
            "service_url": text_in(service, "html_url"),
            "html_url": text_in(raw, "html_url"),
            "last_status_change_at": known_time_in(raw, "last_status_change_at"),
            "resolved_at": known_time_in(raw, "resolved_at"),
            "escalation_policy": reference_of(raw.get("escalation_policy")),
            "incident_number": raw.get("incident_number"),
            "priority_id": text_in(object_in(raw, "priority"), "id"),
            "assignments": _assignments_of(raw),
        }
    )


def _assignments_of(raw: Json) -> list[Json]:
    people = [object_in(entry, "assignee") for entry in objects_in(raw, "assignments")]
    shapes = (
        {
            "id": text_in(person, "id"),
            "name": _summary_of(person),
            "html_url": text_in(person, "html_url"),
        }
        for person in people
    )
    return [found for found in map(without_empty, shapes) if found]


def service_of(raw: Json, source: str) -> Json:
    """Turn a service of PagerDuty, whatever it lacks, into ours."""
    metadata = {
        "source": source,
        "summary": text_in(raw, "summary"),
        "description": text_in(raw, "description"),
        "status": text_in(raw, "status"),
        "html_url": text_in(raw, "html_url"),
        "alert_creation": text_in(raw, "alert_creation"),
        "escalation_policy": reference_of(raw.get("escalation_policy")),
        "teams": [team for team in map(reference_of, objects_in(raw, "teams")) if team],
        "created_at": known_time_in(raw, "created_at"),
        "last_incident_timestamp": known_time_in(raw, "last_incident_timestamp"),
    }
    shape = {
        "url": text_in(raw, "html_url"),
        "tags": tags_of(raw),
        "metadata": without_empty(metadata),
    }
    return {"id": text_in(raw, "id"), "name": name_of(raw), **without_empty(shape)}


def team_names(raw: Json) -> list[str]:
    """Name the teams of a service."""
    return [name for name in map(_summary_of, objects_in(raw, "teams")) if name]


def tags_of(raw: Json) -> dict[str, str]:
    """Make the tags of a service, which has none of its own, from its teams and its status."""
    teams = team_names(raw)
    tags = {f"team_{index}": name for index, name in enumerate(teams)}
    tags["team"] = teams[0] if teams else ""
    tags["status"] = text_in(raw, "status")
    return {name: value for name, value in tags.items() if value}
