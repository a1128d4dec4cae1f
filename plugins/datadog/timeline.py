"""Timelines of incidents: cells where the API has them, else follow-ups.

Source: https://docs.datadoghq.com/api/latest/incidents/ for follow-ups (incident todos) and for
the cells of a new incident. The path of an incident's cells is not documented: it stands in one
place, and the setting timelineMode decides whether it is used.
"""

import datetime
import json
from typing import Any, Final

from opsorch.plugin.payload import Json, body_and_author, flag_of, object_of, without_empty
from opsorch.plugin.times import format_time, given_time, time_order
from opsorch.plugin.vendor import as_text, known_time_in, object_in, text_at, time_in

# What an incident itself tells: attribute, kind, and words.
_MOMENTS: Final = (
    ("created", "incident_created", "Incident created"),
    ("detected", "incident_detected", "Incident detected"),
    ("customer_impact_start", "customer_impact_started", "Customer impact began"),
    ("customer_impact_end", "customer_impact_ended", "Customer impact ended"),
    ("resolved", "incident_resolved", "Incident resolved"),
)


def cells_path(incident_id: str) -> str:
    """Return the path of an incident's cells."""
    return f"/api/v2/incidents/{incident_id}/timeline"


def todos_path(incident_id: str) -> str:
    """Return the path of an incident's follow-ups."""
    return f"/api/v2/incidents/{incident_id}/relationships/todos"


def note_of(entry: Json, now: datetime.datetime) -> tuple[str, str, bool]:
    """Read a timeline input: its text, its time in UTC, and whether it is important.

    Raises:
        BadRequest: The body is blank, or a part does not fit.
    """
    body, author = body_and_author(entry)
    content = f"{body}\n- via OpsOrch: {author}" if author else body
    important = flag_of(object_of(entry, "metadata"), "important", where="metadata.")
    return content, format_time(given_time(entry, "at") or now), bool(important)


def cell_body(content: str, at: str, *, important: bool) -> Json:
    """Write a note as a cell."""
    attributes = {
        "cell_type": "markdown",
        "content": {"content": content},
        "display_time": at,
        "important": important,
    }
    return {"data": {"type": "incident_timeline_cells", "attributes": attributes}}


def todo_body(content: str, at: str) -> Json:
    """Write a note as a follow-up that is done, since it asks nobody to do anything."""
    attributes = {"content": content, "assignees": [], "completed": at}
    return {"data": {"type": "incident_todos", "attributes": attributes}}


def entry_of_cell(cell: Json, incident_id: str) -> Json:
    """Turn a cell into a timeline entry."""
    attributes = object_in(cell, "attributes")
    kind = as_text(attributes.get("cell_type"))
    metadata = {
        "cell_type": kind,
        "important": attributes.get("important"),
        "source": attributes.get("source"),
    }
    return {
        "id": as_text(cell.get("id")),
        "incidentId": incident_id,
        "at": time_in(attributes, "display_time", "created"),
        "kind": "note" if kind == "markdown" else kind,
        "body": _content(attributes.get("content")),
        **without_empty({"metadata": without_empty(metadata)}),
    }


def _content(content: Any) -> str:
    told = text_at(content, "content") or text_at(content, "message") or as_text(content)
    return told or (json.dumps(content, separators=(",", ":")) if content else "")


def entry_of_todo(todo: Json, incident_id: str) -> Json:
    """Turn a follow-up into a timeline entry; when it is due is not when it happened."""
    attributes = object_in(todo, "attributes")
    metadata = {
        "completed_at": attributes.get("completed"),
        "due_date": attributes.get("due_date"),
        "assignees": attributes.get("assignees"),
    }
    return {
        "id": as_text(todo.get("id")),
        "incidentId": incident_id,
        "at": time_in(attributes, "created", "completed"),
        "kind": "todo",
        "body": as_text(attributes.get("content")),
        "metadata": {
            "completed": bool(attributes.get("completed")),
            **without_empty(metadata),
        },
    }


def entries_of_incident(incident: Json) -> list[Json]:
    """Return what an incident itself tells of its course."""
    attributes = object_in(incident, "attributes")
    incident_id = as_text(incident.get("id"))
    return [
        {
            "id": f"{incident_id}-{name}",
            "incidentId": incident_id,
            "at": at,
            "kind": kind,
            "body": words,
        }
        for name, kind, words in _MOMENTS
        if (at := known_time_in(attributes, name))
    ]


def oldest_first(entries: list[Json]) -> list[Json]:
    """Sort entries by their times."""
    return sorted(entries, key=lambda entry: time_order(entry["at"]))
