"""Write the catalogue's incidents and tickets into an empty database."""

from typing import Any

from sqlalchemy import insert
from sqlalchemy.engine import Connection

from opsorch.plugin.payload import without_empty
from opsorch.runbooks.tables import micros
from opsorch_plugins.demo.catalogue import (
    INCIDENTS,
    TEAM_BY_ID,
    TICKETS,
    Incident,
    Ticket,
    alerts_of,
    team_of,
    tickets_of,
)
from opsorch_plugins.demo.shapes import actor_of, story_fields
from opsorch_plugins.demo.tables import counters, incidents, tickets, timeline
from opsorch_plugins.demo.world import World

Row = dict[str, Any]

# The first numbers that new objects get are one higher.
_COUNTERS = {"incident": 100, "ticket": 100, "message": 0}


def seed_world(connection: Connection, world: World) -> None:
    """Fill the empty tables; the caller has the write lock and commits."""
    connection.execute(insert(incidents), [_incident_row(item, world) for item in INCIDENTS])
    entries = [row for item in INCIDENTS for row in _timeline_rows(item, world)]
    connection.execute(insert(timeline), entries)
    connection.execute(insert(tickets), [_ticket_row(item, world) for item in TICKETS])
    used = {f"timeline:{item.id}": len(item.timeline) for item in INCIDENTS}
    rows = [{"name": name, "value": value} for name, value in {**_COUNTERS, **used}.items()]
    connection.execute(insert(counters), rows)


def _incident_row(incident: Incident, world: World) -> Row:
    team = team_of(incident.service)
    fields = {
        "team": team,
        "environment": world.environment,
        "channel": TEAM_BY_ID[team].channel,
        "alertIds": list(alerts_of(incident.id)),
        "ticketIds": list(tickets_of(incident.id)),
        "runIds": list(incident.run_ids),
        "deploymentId": incident.deployment_id,
        **story_fields(incident.scenario_id),
    }
    changes = [entry.at_min for entry in incident.timeline if entry.kind == "status_change"]
    resolved_min = incident.resolved_min
    return {
        "id": incident.id,
        "title": incident.title,
        "description": incident.description,
        "status": incident.status,
        "severity": incident.severity,
        "service": incident.service,
        "created_us": micros(world.at(incident.opened_min)),
        "updated_us": micros(world.at(incident.timeline[-1].at_min)),
        "acknowledged_us": micros(world.at(changes[0])) if changes else None,
        "ended_us": None if resolved_min is None else micros(world.at(resolved_min)),
        "fields": without_empty(fields),
        "metadata": _story_bag(incident.scenario_id),
    }


def _timeline_rows(incident: Incident, world: World) -> list[Row]:
    return [
        {
            "id": f"{incident.id}-t{position}",
            "incident_id": incident.id,
            "position": position,
            "at_us": micros(world.at(entry.at_min)),
            "kind": entry.kind,
            "body": entry.body,
            "actor": actor_of(entry.actor),
            "metadata": _story_bag(incident.scenario_id),
        }
        for position, entry in enumerate(incident.timeline, start=1)
    ]


def _ticket_row(ticket: Ticket, world: World) -> Row:
    fields = {
        "service": ticket.service,
        "team": team_of(ticket.service),
        "environment": world.environment,
        "priority": ticket.priority,
        "incidentId": ticket.incident_id,
        **story_fields(ticket.scenario_id),
    }
    return {
        "id": ticket.id,
        "title": ticket.title,
        "description": ticket.description,
        "status": ticket.status,
        "assignees": list(ticket.assignees),
        "reporter": ticket.reporter,
        "created_us": micros(world.at(ticket.created_min)),
        "updated_us": micros(world.at(ticket.updated_min)),
        "fields": without_empty(fields),
        "metadata": _story_bag(ticket.scenario_id),
    }


def _story_bag(scenario_id: str) -> dict[str, Any]:
    return {"isScenario": True} if scenario_id else {}
