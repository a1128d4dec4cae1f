"""Incidents: their state, their severity and their timeline."""

from opsorch.capabilities import fields as f
from opsorch.capabilities.results import IGNORED, many, one
from opsorch.capabilities.spec import (
    READ,
    WRITE,
    Capability,
    Operation,
    params_and_entry,
    params_and_input,
    params_only,
)

IncidentQuery = f.shape(
    "IncidentQuery",
    query=f.Text(help="Words to look for."),
    statuses=f.Texts(help="Any of these statuses."),
    severities=f.Texts(help="Any of these severities."),
    scope=f.scope(),
    limit=f.limit(),
    metadata=f.Bag(help="Further filters of the provider."),
)

Incident = f.shape(
    "Incident",
    id=f.Text(always=True),
    title=f.Text(always=True),
    description=f.Text(),
    status=f.Text(always=True),
    severity=f.Text(always=True),
    service=f.Text(),
    url=f.Text(),
    createdAt=f.Time(always=True),
    updatedAt=f.Time(always=True),
    fields=f.Bag(),
    metadata=f.Bag(),
)

CreateIncidentInput = f.shape(
    "CreateIncidentInput",
    title=f.needed(help="What is wrong, in one line."),
    description=f.Text(),
    status=f.Text(),
    severity=f.Text(),
    service=f.Text(),
    fields=f.Bag(),
    metadata=f.Bag(),
)

UpdateIncidentInput = f.shape(
    "UpdateIncidentInput",
    title=f.Text(),
    description=f.Text(),
    status=f.Text(),
    severity=f.Text(),
    service=f.Text(),
    fields=f.Bag(),
    metadata=f.Bag(),
)

TimelineEntry = f.shape(
    "TimelineEntry",
    id=f.Text(always=True),
    incidentId=f.Text(always=True),
    at=f.Time(always=True),
    kind=f.Text(always=True),
    body=f.Text(always=True),
    actor=f.Bag(),
    metadata=f.Bag(),
)

TimelineAppendInput = f.shape(
    "TimelineAppendInput",
    at=f.Time(help="When it happened; now, where absent."),
    kind=f.Text(),
    body=f.Text(),
    actor=f.Bag(),
    metadata=f.Bag(),
)

CAPABILITY = Capability(
    name="incident",
    plural="incidents",
    summary="Incidents, their state and timeline.",
    operations=(
        Operation(
            method="incident.query",
            verb="POST",
            path="/incidents/query",
            body=IncidentQuery,
            empty_body=True,
            result=many(Incident),
            kind=READ,
            audit="incident.query",
            summary="Find incidents.",
        ),
        Operation(
            method="incident.create",
            verb="POST",
            path="/incidents",
            body=CreateIncidentInput,
            result=one(Incident),
            status=201,
            kind=WRITE,
            audit="incident.created",
            summary="Open an incident.",
        ),
        Operation(
            method="incident.get",
            verb="GET",
            path="/incidents/{id}",
            arrange=params_only,
            result=one(Incident),
            kind=READ,
            audit="incident.get",
            summary="Get one incident.",
        ),
        Operation(
            method="incident.update",
            verb="PATCH",
            path="/incidents/{id}",
            body=UpdateIncidentInput,
            arrange=params_and_input,
            result=one(Incident),
            kind=WRITE,
            audit="incident.updated",
            summary="Change the given fields of an incident.",
        ),
        Operation(
            method="incident.timeline.get",
            verb="GET",
            path="/incidents/{id}/timeline",
            arrange=params_only,
            result=many(TimelineEntry),
            kind=READ,
            audit="incident.timeline.get",
            summary="Get the timeline of an incident.",
        ),
        Operation(
            method="incident.timeline.append",
            verb="POST",
            path="/incidents/{id}/timeline",
            body=TimelineAppendInput,
            arrange=params_and_entry,
            result=IGNORED,
            status=201,
            kind=WRITE,
            audit="incident.timeline.appended",
            summary="Append to the timeline of an incident.",
        ),
    ),
)
