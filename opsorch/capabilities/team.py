"""Teams: who owns what, and whom to call."""

from opsorch.capabilities import fields as f
from opsorch.capabilities.results import many, one
from opsorch.capabilities.spec import READ, Capability, Operation, params_as, params_only

TeamQuery = f.shape(
    "TeamQuery",
    name=f.Text(),
    tags=f.TextMap(),
    limit=f.limit(),
    scope=f.scope(),
    metadata=f.Bag(),
)

Team = f.shape(
    "Team",
    id=f.Text(always=True),
    name=f.Text(always=True),
    parent=f.Text(),
    url=f.Text(),
    tags=f.TextMap(),
    metadata=f.Bag(),
)

TeamMember = f.shape(
    "TeamMember",
    id=f.Text(always=True),
    name=f.Text(),
    email=f.Text(),
    handle=f.Text(),
    role=f.Text(),
    metadata=f.Bag(),
)

CAPABILITY = Capability(
    name="team",
    plural="teams",
    summary="Teams and their members.",
    operations=(
        Operation(
            "team.query",
            "POST",
            "/teams/query",
            body=TeamQuery,
            empty_body=True,
            result=many(Team),
            kind=READ,
            audit="team.query",
            summary="Find teams.",
        ),
        Operation(
            "team.get",
            "GET",
            "/teams/{id}",
            arrange=params_only,
            result=one(Team),
            kind=READ,
            audit="team.get",
            summary="Get one team.",
        ),
        Operation(
            "team.members",
            "GET",
            "/teams/{id}/members",
            arrange=params_as(id="teamID"),
            result=many(TeamMember),
            kind=READ,
            audit="team.members",
            summary="List the members of a team.",
        ),
    ),
)
