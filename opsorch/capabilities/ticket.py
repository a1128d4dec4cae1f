"""Tickets: work items of issue trackers."""

from opsorch.capabilities import fields as f
from opsorch.capabilities.results import many, one
from opsorch.capabilities.spec import (
    READ,
    WRITE,
    Capability,
    Operation,
    params_and_input,
    params_only,
)

TicketQuery = f.shape(
    "TicketQuery",
    query=f.Text(help="Words to look for."),
    statuses=f.Texts(help="Any of these statuses."),
    assignees=f.Texts(help="Any of these people."),
    reporter=f.Text(),
    scope=f.scope(),
    limit=f.limit(),
    metadata=f.Bag(),
)

Ticket = f.shape(
    "Ticket",
    id=f.Text(always=True),
    key=f.Text(),
    title=f.Text(always=True),
    description=f.Text(),
    status=f.Text(always=True),
    assignees=f.Texts(),
    reporter=f.Text(),
    url=f.Text(),
    createdAt=f.Time(always=True),
    updatedAt=f.Time(always=True),
    fields=f.Bag(),
    metadata=f.Bag(),
)

CreateTicketInput = f.shape(
    "CreateTicketInput",
    title=f.needed(help="What is to be done, in one line."),
    description=f.Text(),
    reporter=f.Text(),
    assignees=f.Texts(),
    fields=f.Bag(),
    metadata=f.Bag(),
)

UpdateTicketInput = f.shape(
    "UpdateTicketInput",
    title=f.Text(),
    description=f.Text(),
    status=f.Text(),
    assignees=f.Texts(help="[] removes all."),
    fields=f.Bag(),
    metadata=f.Bag(),
)

CAPABILITY = Capability(
    name="ticket",
    plural="tickets",
    summary="Tickets of issue trackers.",
    operations=(
        Operation(
            "ticket.query",
            "POST",
            "/tickets/query",
            body=TicketQuery,
            empty_body=True,
            result=many(Ticket),
            kind=READ,
            audit="ticket.query",
            summary="Find tickets.",
        ),
        Operation(
            "ticket.create",
            "POST",
            "/tickets",
            body=CreateTicketInput,
            result=one(Ticket),
            status=201,
            kind=WRITE,
            audit="ticket.created",
            summary="Create a ticket.",
        ),
        Operation(
            "ticket.get",
            "GET",
            "/tickets/{id}",
            arrange=params_only,
            result=one(Ticket),
            kind=READ,
            audit="ticket.get",
            summary="Get one ticket.",
        ),
        Operation(
            "ticket.update",
            "PATCH",
            "/tickets/{id}",
            body=UpdateTicketInput,
            arrange=params_and_input,
            result=one(Ticket),
            kind=WRITE,
            audit="ticket.updated",
            summary="Change the given fields of a ticket.",
        ),
    ),
)
