"""Create and update inputs to the body of PagerDuty's incident, checked before anything is sent.

Source: https://github.com/PagerDuty/api-schema reference/REST/openapiv3.json, POST /incidents and
PUT /incidents/{id}
"""

from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.observability.redact import clean_text
from opsorch.plugin import Call
from opsorch.plugin.payload import Json, object_of, required_text, text_of, whole_of, word_of
from opsorch_plugins.pagerduty.client import PagerDuty, checked_id
from opsorch_plugins.pagerduty.lookups import ids_in, priority_id, unique_service
from opsorch_plugins.pagerduty.mapping import SEVERITY_IN, STATUS_IN
from opsorch_plugins.pagerduty.settings import Settings

_NO_DESCRIPTION: Final = (
    "description cannot be changed: PagerDuty keeps the body an incident was created with; append"
    " to its timeline instead"
)


def reference(kind: str, item_id: str) -> Json:
    """Write a reference to an object as PagerDuty has it."""
    return {"id": item_id, "type": f"{kind}_reference"}


def new_incident(
    given: Json, settings: Settings, pagerduty: PagerDuty, call: Call
) -> tuple[Json, str]:
    """Return the incident to create, and the service's name if another was taken for it.

    Blocks for the look-ups of names.

    Raises:
        BadRequest: A field does not fit, or names what PagerDuty does not have.
    """
    fields, metadata = object_of(given, "fields"), object_of(given, "metadata")
    severity = text_of(given, "severity").strip() or settings["defaultSeverity"]
    incident: Json = {
        "type": "incident",
        "title": required_text(given, "title"),
        "urgency": word_of(SEVERITY_IN, severity, "severity").urgency,
    }
    description = text_of(given, "description")
    if description:
        incident["body"] = {"type": "incident_body", "details": description}
    key = _text(fields, "incident_key") or text_of(metadata, "incident_key", where="metadata.")
    if key:
        incident["incident_key"] = key
    assignments = _assignments(fields)
    policy = _text(fields, "escalation_policy").strip()
    if assignments and policy:
        raise BadRequest("fields.assignees and fields.escalation_policy exclude each other")
    if assignments:
        incident["assignments"] = assignments
    if policy:
        checked_id(policy, "fields.escalation_policy")
        incident["escalation_policy"] = reference("escalation_policy", policy)
    wanted_priority = _text(fields, "priority").strip()
    asked = text_of(given, "service").strip()
    service = _service_id(metadata) or _found_service(asked, pagerduty, call)
    incident["service"] = reference("service", service or settings["serviceID"])
    if wanted_priority:
        priority = priority_id(pagerduty, wanted_priority, call)
        incident["priority"] = reference("priority", priority)
    return incident, asked if asked and not service else ""


def changed_incident(given: Json, pagerduty: PagerDuty, call: Call) -> Json:
    """Return the changed parts of an incident, {} where nothing changes.

    Blocks for the look-ups of names.

    Raises:
        BadRequest: A field does not fit, cannot be changed, or names what PagerDuty does not have.
    """
    fields, metadata = object_of(given, "fields"), object_of(given, "metadata")
    if text_of(given, "description"):
        raise BadRequest(_NO_DESCRIPTION)
    changes: Json = {}
    if given.get("title") is not None:
        changes["title"] = required_text(given, "title")
    if given.get("status") is not None:
        changes["status"] = word_of(STATUS_IN, text_of(given, "status"), "status")
    if given.get("severity") is not None:
        severity = text_of(given, "severity")
        changes["urgency"] = word_of(SEVERITY_IN, severity, "severity").urgency
    changes |= _resolution(fields, changes.get("status"))
    if fields.get("assignees") is not None:
        changes["assignments"] = _assignments(fields)
        if not changes["assignments"]:
            raise BadRequest("fields.assignees must name a user: an incident is never unassigned")
    changes |= _escalation_level(fields)
    wanted_priority = _text(fields, "priority").strip()
    asked = required_text(given, "service") if given.get("service") is not None else ""
    service = _service_id(metadata) or _found_service(asked, pagerduty, call)
    if asked and not service:
        shown = clean_text(asked, 60)
        raise BadRequest(f"service: PagerDuty has no one service of the name or id {shown!r}")
    if service:
        changes["service"] = reference("service", service)
    if wanted_priority:
        priority = priority_id(pagerduty, wanted_priority, call)
        changes["priority"] = reference("priority", priority)
    return changes


def _text(fields: Json, name: str) -> str:
    return text_of(fields, name, where="fields.")


def _resolution(fields: Json, status: Any) -> Json:
    resolution = _text(fields, "resolution")
    if not resolution:
        return {}
    if status != "resolved":
        raise BadRequest("fields.resolution needs the status resolved beside it")
    return {"resolution": resolution}


def _escalation_level(fields: Json) -> Json:
    level = whole_of(fields, "escalation_level", least=1, where="fields.")
    return {} if level is None else {"escalation_level": level}


def _assignments(fields: Json) -> list[Json]:
    users = ids_in(fields, "assignees", where="fields.")
    return [{"assignee": reference("user", user)} for user in users]


def _service_id(metadata: Json) -> str:
    """Return the service that the metadata names by id, "" for none."""
    given = text_of(metadata, "service_id", where="metadata.").strip()
    return checked_id(given, "metadata.service_id") if given else ""


def _found_service(asked: str, pagerduty: PagerDuty, call: Call) -> str:
    return unique_service(pagerduty, asked, call) if asked else ""
