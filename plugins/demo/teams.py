"""Teams, their members, and their provider."""

from collections.abc import Callable, Mapping
from typing import Final

from opsorch.errors import NotFound
from opsorch.plugin import Call, Check, rpc
from opsorch.plugin.payload import id_of, object_of, scope_of, text_of
from opsorch_plugins.demo.base import DemoProvider
from opsorch_plugins.demo.catalogue import (
    MEMBERS,
    TEAM_BY_ID,
    TEAMS,
    Member,
    Team,
    services_of,
)
from opsorch_plugins.demo.matching import (
    Filter,
    Json,
    Test,
    has_tags,
    limits_of,
    name_contains,
)
from opsorch_plugins.demo.shapes import shaped, stamped, url_of
from opsorch_plugins.demo.world import World

_ORDERED: Final = tuple(sorted(TEAMS, key=lambda team: team.id))
_ROLE_ORDER: Final = ("owner", "oncall", "member")


def people_of(team_id: str) -> tuple[Member, ...]:
    """Return the people of a team: its owner, who is on call, then the others by handle."""
    own = (member for member in MEMBERS if member.team == team_id)
    return tuple(sorted(own, key=lambda member: (_ROLE_ORDER.index(member.role), member.handle)))


def team_of(team: Team, organization: str, world: World) -> Json:
    """Write one team as the contract has it."""
    metadata = {
        "description": team.description,
        "channel": team.channel,
        "memberCount": len(people_of(team.id)),
        "services": list(services_of(team.id)),
        "environments": list(world.environments),
    }
    required = {"id": team.id, "name": team.name}
    optional = {
        "parent": team.parent,
        "url": url_of("team", team.id),
        "tags": {"type": team.kind, "organization": organization},
        "metadata": stamped(metadata, world),
    }
    return shaped(required, optional)


def member_of(member: Member, world: World) -> Json:
    """Write one person as the contract has it."""
    metadata = {
        "title": member.title,
        "timezone": member.timezone,
        "team": member.team,
        "services": list(services_of(member.team)),
        "url": url_of("member", member.handle),
    }
    return {
        "id": member.id,
        "name": member.name,
        "email": member.id,
        "handle": member.handle,
        "role": member.role,
        "metadata": stamped(metadata, world),
    }


class DemoTeams(DemoProvider):
    """Teams and people of the demo world."""

    capability = "team"

    @rpc("team.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """List teams in the order of their ids."""
        wanted = _filter_of(payload)
        organization = self.demo.organization
        with self.reading(call) as view:
            return list(wanted.over(team_of(item, organization, view.world) for item in _ORDERED))

    @rpc("team.get")
    def get(self, payload: Json, call: Call) -> Json:
        """Return one team."""
        team = _known(id_of(payload))
        with self.reading(call) as view:
            return team_of(team, self.demo.organization, view.world)

    @rpc("team.members")
    def members(self, payload: Json, call: Call) -> list[Json]:
        """List the people of one team."""
        team = _known(id_of(payload, "teamID", "teamId", "id"))
        with self.reading(call) as view:
            return [member_of(member, view.world) for member in people_of(team.id)]

    def check(self, call: Call) -> list[Check]:
        with self.reading(call):
            message = f"{len(TEAMS)} teams with {len(MEMBERS)} members"
            return [Check("demo world", ok=True, message=message)]


def _known(team_id: str) -> Team:
    team = TEAM_BY_ID.get(team_id)
    if team is None:
        raise NotFound(f"team {team_id} not found")
    return team


def _filter_of(payload: Json) -> Filter:
    name = text_of(payload, "name")
    tests: list[Test] = [has_tags(object_of(payload, "tags"))]
    tests += [name_contains(name)] if name.strip() else []
    tests += [_SCOPE_TESTS[part](value) for part, value in scope_of(payload).items()]
    return limits_of(payload, tests)


# A team works in every environment of the world, so the scope asks for the list of them.
_SCOPE_TESTS: Final[Mapping[str, Callable[[str], Test]]] = {
    "service": lambda wanted: lambda item: wanted in item["metadata"]["services"],
    "team": lambda wanted: lambda item: item["id"] == wanted,
    "environment": lambda wanted: lambda item: wanted in item["metadata"]["environments"],
}
