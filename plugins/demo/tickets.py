"""Tickets and their provider."""

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
    strings_of,
    text_of,
    word_of,
)
from opsorch.plugin.times import format_time
from opsorch.runbooks.tables import micros, moment
from opsorch_plugins.demo.base import DemoProvider
from opsorch_plugins.demo.matching import Json, Test, filter_of
from opsorch_plugins.demo.numbering import next_number
from opsorch_plugins.demo.shapes import merged, shaped, stamped, url_of
from opsorch_plugins.demo.tables import tickets
from opsorch_plugins.demo.world import World

STATUSES: Final = {word: word for word in ("todo", "in_progress", "in_review", "done", "cancelled")}


class DemoTickets(DemoProvider):
    """Tickets of the demo world."""

    capability = "ticket"

    @rpc("ticket.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """List tickets, the last changed first."""
        wanted = filter_of(payload, ("statuses", "status"), own=_people_tests(payload))
        latest_first = select(tickets).order_by(tickets.c.updated_us.desc(), tickets.c.id)
        with self.reading(call) as view:
            rows = view.connection.execute(latest_first)
            return list(wanted.over(ticket_of(row, view.world) for row in rows))

    @rpc("ticket.get")
    def get(self, payload: Json, call: Call) -> Json:
        """Return one ticket."""
        ticket_id = id_of(payload)
        with self.reading(call) as view:
            return ticket_of(_known(view.connection, ticket_id), view.world)

    @rpc("ticket.create")
    def create(self, payload: Json, call: Call) -> Json:
        """File a ticket, which is then to do."""
        values = {
            "title": required_text(payload, "title"),
            "description": text_of(payload, "description"),
            "status": "todo",
            "assignees": _names(payload),
            "reporter": text_of(payload, "reporter").strip(),
            "fields": object_of(payload, "fields"),
            "metadata": object_of(payload, "metadata"),
        }
        with self.writing(call) as view:
            ticket_id = f"TCK-{next_number(view.connection, 'ticket')}"
            now_us = micros(view.world.now)
            row = {**values, "id": ticket_id, "created_us": now_us, "updated_us": now_us}
            view.connection.execute(insert(tickets), [row])
            return ticket_of(_known(view.connection, ticket_id), view.world)

    @rpc("ticket.update")
    def update(self, payload: Json, call: Call) -> Json:
        """Change what is given; an empty list of assignees clears them."""
        ticket_id, given = id_of(payload), input_of(payload)
        changes = _changes(given)
        with self.writing(call) as view:
            before = _known(view.connection, ticket_id)
            values = {
                **changes,
                "fields": merged(before.fields, object_of(given, "fields")),
                "metadata": merged(before.metadata, object_of(given, "metadata")),
                "updated_us": max(micros(view.world.now), before.updated_us + 1),
            }
            statement = update(tickets).where(tickets.c.id == ticket_id)
            view.connection.execute(statement.values(values))
            return ticket_of(_known(view.connection, ticket_id), view.world)

    def check(self, call: Call) -> list[Check]:
        with self.reading(call) as view:
            count = view.connection.scalar(select(func.count()).select_from(tickets))
            return [Check("demo database", ok=True, message=f"{count} tickets")]


def ticket_of(row: Row[Any], world: World) -> Json:
    """Write one ticket as the contract has it."""
    required = {
        "id": row.id,
        "title": row.title,
        "status": row.status,
        "createdAt": format_time(moment(row.created_us)),
        "updatedAt": format_time(moment(row.updated_us)),
    }
    optional = {
        "key": row.id,
        "description": row.description,
        "assignees": row.assignees,
        "reporter": row.reporter,
        "url": url_of("ticket", row.id),
        "fields": row.fields,
        "metadata": stamped(row.metadata, world),
    }
    return shaped(required, optional)


def _known(connection: Connection, ticket_id: str) -> Row[Any]:
    row = connection.execute(select(tickets).where(tickets.c.id == ticket_id)).first()
    if row is None:
        raise NotFound(f"ticket {ticket_id} not found")
    return row


def _names(payload: Json) -> list[str]:
    """Return the assignees, each once, in the given order."""
    return list(dict.fromkeys(name.strip() for name in strings_of(payload, "assignees")))


def _changes(given: Json) -> Json:
    """Return the columns that an update names, checked; the bags are merged later."""
    changes: Json = {
        name: text_of(given, name)
        for name in ("title", "description")
        if given.get(name) is not None
    }
    if given.get("status") is not None:
        changes["status"] = word_of(STATUSES, text_of(given, "status"), "status")
    if given.get("assignees") is not None:
        changes["assignees"] = _names(given)
    for bag in ("fields", "metadata"):
        object_of(given, bag)
    return changes


def _people_tests(payload: Json) -> list[Test]:
    wanted = {name.strip().casefold() for name in strings_of(payload, "assignees")}
    reporter = text_of(payload, "reporter").strip()
    tests: list[Test] = []
    if wanted:
        tests.append(lambda item: any(n.casefold() in wanted for n in item.get("assignees", ())))
    if reporter:
        tests.append(lambda item: item.get("reporter") == reporter)
    return tests
