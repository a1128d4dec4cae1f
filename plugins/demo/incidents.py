"""Incidents with their timelines, and their provider."""

from typing import Any, Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.engine import Connection, Row

from opsorch.errors import NotFound
from opsorch.plugin import Call, Check, rpc
from opsorch.plugin.payload import (
    id_of,
    input_of,
    object_of,
    required_text,
    text_of,
    word_of,
)
from opsorch.plugin.times import format_time, given_time
from opsorch.runbooks.tables import micros, moment
from opsorch_plugins.demo.base import DemoProvider, View
from opsorch_plugins.demo.catalogue import SERVICE_BY_ID, team_of
from opsorch_plugins.demo.matching import Json, filter_of
from opsorch_plugins.demo.numbering import next_number
from opsorch_plugins.demo.shapes import actor_of, merged, shaped, stamped, url_of
from opsorch_plugins.demo.tables import incidents, timeline
from opsorch_plugins.demo.world import World

STATUSES: Final = {
    word: word
    for word in (
        "open",
        "investigating",
        "identified",
        "mitigating",
        "monitoring",
        "resolved",
        "closed",
    )
}
SEVERITIES: Final = {word: word for word in ("sev1", "sev2", "sev3", "sev4")}
ENDED: Final = frozenset({"resolved", "closed"})
# What update may change, and the timeline entry that a change of it writes.
_ENTRY_KINDS: Final = {"status": "status_change", "severity": "severity_change"}


class DemoIncidents(DemoProvider):
    """Incidents of the demo world."""

    capability = "incident"

    @rpc("incident.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """List incidents, the newest first."""
        wanted = filter_of(payload, ("statuses", "status"), ("severities", "severity"))
        newest_first = select(incidents).order_by(incidents.c.created_us.desc(), incidents.c.id)
        with self.reading(call) as view:
            rows = view.connection.execute(newest_first)
            return list(wanted.over(incident_of(row, view.world) for row in rows))

    @rpc("incident.get")
    def get(self, payload: Json, call: Call) -> Json:
        """Return one incident."""
        incident_id = id_of(payload)
        with self.reading(call) as view:
            return incident_of(known_incident(view.connection, incident_id), view.world)

    @rpc("incident.create")
    def create(self, payload: Json, call: Call) -> Json:
        """Open an incident and write the first entry of its timeline."""
        values = _new_values(payload)
        with self.writing(call) as view:
            number = next_number(view.connection, "incident")
            row = _opened(values, f"inc-{number}", view.world)
            view.connection.execute(insert(incidents), [row])
            body = f"Incident created with status {row['status']} and severity {row['severity']}."
            append_entry(view, row["id"], kind="created", body=body, actor=actor_of(call.actor))
            return incident_of(known_incident(view.connection, row["id"]), view.world)

    @rpc("incident.update")
    def update(self, payload: Json, call: Call) -> Json:
        """Change what is given; a changed status or severity adds a timeline entry."""
        incident_id, given = id_of(payload), input_of(payload)
        changes = _changes(given)
        with self.writing(call) as view:
            before = known_incident(view.connection, incident_id)
            values = _updated(before, changes, given, view.world)
            statement = update(incidents).where(incidents.c.id == incident_id)
            view.connection.execute(statement.values(values))
            for key, kind in _ENTRY_KINDS.items():
                old, new = getattr(before, key), values.get(key, getattr(before, key))
                if old != new:
                    body = f"{key.capitalize()} changed from {old} to {new}."
                    append_entry(
                        view, incident_id, kind=kind, body=body, actor=actor_of(call.actor)
                    )
            return incident_of(known_incident(view.connection, incident_id), view.world)

    @rpc("incident.timeline.get")
    def timeline_get(self, payload: Json, call: Call) -> list[Json]:
        """List the entries of an incident's timeline by time."""
        incident_id = id_of(payload)
        with self.reading(call) as view:
            known_incident(view.connection, incident_id)
            rows = view.connection.execute(
                select(timeline)
                .where(timeline.c.incident_id == incident_id)
                .order_by(timeline.c.at_us, timeline.c.position)
            )
            return [_entry_of(row, view.world) for row in rows]

    @rpc("incident.timeline.append")
    def timeline_append(self, payload: Json, call: Call) -> Json:
        """Append an entry: kind ``note`` and the present instant unless given."""
        incident_id, entry = id_of(payload), input_of(payload, "entry", "input")
        kind, body = text_of(entry, "kind").strip() or "note", text_of(entry, "body")
        actor = object_of(entry, "actor") or actor_of(call.actor)
        at, bag = given_time(entry, "at"), object_of(entry, "metadata")
        with self.writing(call) as view:
            known_incident(view.connection, incident_id)
            at_us = None if at is None else micros(at)
            append_entry(
                view, incident_id, kind=kind, body=body, actor=actor, at_us=at_us, metadata=bag
            )
        return {"status": "ok"}

    def check(self, call: Call) -> list[Check]:
        with self.reading(call) as view:
            count = view.connection.scalar(select(func.count()).select_from(incidents))
            return [Check("demo database", ok=True, message=f"{count} incidents")]


def incident_of(row: Row[Any], world: World) -> Json:
    """Write one incident as the contract has it."""
    fields = {key: value for key, value in row.fields.items() if key != "resolvedAt"}
    if row.ended_us is not None:
        fields["resolvedAt"] = format_time(moment(row.ended_us))
    required = {
        "id": row.id,
        "title": row.title,
        "status": row.status,
        "severity": row.severity,
        "createdAt": format_time(moment(row.created_us)),
        "updatedAt": format_time(moment(row.updated_us)),
    }
    optional = {
        "description": row.description,
        "service": row.service,
        "url": url_of("incident", row.id),
        "fields": fields,
        "metadata": stamped(row.metadata, world),
    }
    return shaped(required, optional)


def known_incident(connection: Connection, incident_id: str) -> Row[Any]:
    """Return the row of an incident.

    Raises:
        NotFound: There is none.
    """
    row = connection.execute(select(incidents).where(incidents.c.id == incident_id)).first()
    if row is None:
        raise NotFound(f"incident {incident_id} not found")
    return row


def append_entry(
    view: View,
    incident_id: str,
    *,
    kind: str,
    body: str,
    actor: Json,
    at_us: int | None = None,
    metadata: Json | None = None,
) -> None:
    """Write one entry into the timeline of a known incident, now unless ``at_us`` is given."""
    position = next_number(view.connection, f"timeline:{incident_id}")
    row = {
        "id": f"{incident_id}-t{position}",
        "incident_id": incident_id,
        "position": position,
        "at_us": micros(view.world.now) if at_us is None else at_us,
        "kind": kind,
        "body": body,
        "actor": actor,
        "metadata": metadata or {},
    }
    view.connection.execute(insert(timeline), [row])


def _entry_of(row: Row[Any], world: World) -> Json:
    required = {
        "id": row.id,
        "incidentId": row.incident_id,
        "at": format_time(moment(row.at_us)),
        "kind": row.kind,
        "body": row.body,
    }
    return shaped(required, {"actor": row.actor, "metadata": stamped(row.metadata, world)})


def _new_values(payload: Json) -> Json:
    status, severity = text_of(payload, "status").strip(), text_of(payload, "severity").strip()
    return {
        "title": required_text(payload, "title"),
        "description": text_of(payload, "description"),
        "status": word_of(STATUSES, status or "open", "status"),
        "severity": word_of(SEVERITIES, severity or "sev3", "severity"),
        "service": text_of(payload, "service").strip(),
        "fields": object_of(payload, "fields"),
        "metadata": object_of(payload, "metadata"),
    }


def _opened(values: Json, incident_id: str, world: World) -> Json:
    now_us = micros(world.now)
    return {
        **values,
        "id": incident_id,
        "created_us": now_us,
        "updated_us": now_us,
        "acknowledged_us": None if values["status"] == "open" else now_us,
        "ended_us": now_us if values["status"] in ENDED else None,
        "fields": {**_home_of(values["service"], world), **values["fields"]},
    }


def _home_of(service: str, world: World) -> Json:
    """Return the team and the environment of a service; nothing for one the world has not."""
    if service not in SERVICE_BY_ID:
        return {}
    return {"team": team_of(service), "environment": world.environment}


def _changes(given: Json) -> Json:
    """Return the columns that an update names, checked; the bags are merged later."""
    changes: Json = {
        name: text_of(given, name)
        for name in ("title", "description")
        if given.get(name) is not None
    }
    if given.get("service") is not None:
        changes["service"] = text_of(given, "service").strip()
    for name, table in (("status", STATUSES), ("severity", SEVERITIES)):
        if given.get(name) is not None:
            changes[name] = word_of(table, text_of(given, name), name)
    for bag in ("fields", "metadata"):
        object_of(given, bag)
    return changes


def _updated(before: Row[Any], changes: Json, given: Json, world: World) -> Json:
    """Return the columns to write: the changes, the merged bags and what follows from them."""
    now_us = micros(world.now)
    fields = before.fields
    if changes.get("service", before.service) != before.service:
        fields = {**fields, **_home_of(changes["service"], world)}
    status = changes.get("status", before.status)
    return {
        **changes,
        "fields": merged(fields, object_of(given, "fields")),
        "metadata": merged(before.metadata, object_of(given, "metadata")),
        "updated_us": max(now_us, before.updated_us + 1),
        "acknowledged_us": _since(status != "open", before.acknowledged_us, now_us),
        "ended_us": _since(status in ENDED, before.ended_us, now_us),
    }


def _since(holds: bool, since_us: int | None, now_us: int) -> int | None:
    """Return since when something holds: as before, now where it is new, None where it does not."""
    if not holds:
        return None
    return now_us if since_us is None else since_us
