"""The team provider: teams of one organization and who is in them."""

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final

from opsorch.errors import BadRequest, NotFound, OpsOrchError, RateLimited
from opsorch.plugin import Call, Check, ConfigSpec, Provider, rpc
from opsorch.plugin.memory import Memory
from opsorch.plugin.payload import Json, id_of, limit_of, object_of, scope_of, text_of
from opsorch.plugin.urls import url_part
from opsorch.plugin.vendor import text_in
from opsorch_plugins.github.checks import checked
from opsorch_plugins.github.client import PAGE_SIZE, GitHub, unexpected
from opsorch_plugins.github.mapping import MEMBER_ROLES, member_of, number_in, numeric_id, team_of
from opsorch_plugins.github.settings import REPOSITORY_NAME, TEAM_CONFIG

log = logging.getLogger("opsorch.plugin")

DEFAULT_LIMIT: Final = 100
MOST: Final = 1000
# Each profile is a request of its own.
MAX_PROFILES: Final = 100
PROFILE_TTL_S: Final = 600.0
# Profiles are an extra: the answer must leave within the budget without them, too.
PROFILE_SHARE: Final = 0.8
_CACHED: Final = 2000


class GitHubTeams(Provider):
    """Teams of one organization."""

    name = "github"
    capability = "team"
    config: ClassVar[ConfigSpec] = TEAM_CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.github = GitHub(self.settings, self.redact)
        self._organization: str = self.settings["organization"]
        self._org_path = f"/orgs/{url_part(self._organization)}"
        self._organization_id = ""
        self._profiles = Profiles(self.github)

    @rpc("team.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """Answer a TeamQuery.

        Raises:
            BadRequest: A field does not fit.
        """
        name = text_of(payload, "name").strip().casefold()
        tags = _tags(payload)
        scope = scope_of(payload)
        limit = limit_of(payload, default=DEFAULT_LIMIT, most=MOST)
        narrowed = bool(name or tags or scope.get("team"))
        size = PAGE_SIZE if narrowed else min(PAGE_SIZE, limit)
        found = (team_of(team, self.settings) for team in self._teams(scope, size, call))
        kept = (team for team in found if _fits(team, name, tags, scope.get("team", "")))
        return list(itertools.islice(kept, limit))

    @rpc("team.get")
    def get(self, payload: Json, call: Call) -> Json:
        """Answer the team of a slug, else of a numeric id.

        Raises:
            BadRequest: The id cannot be a slug.
            NotFound: There is no such team.
        """
        wanted = self._slug(id_of(payload))
        path = f"{self._org_path}/teams/{url_part(wanted)}"
        if not _is_number(wanted):
            return team_of(_team(self.github.get(path, call)), self.settings)
        # A slug may look like a number, so that comes first.
        team = self.github.get_or_none(path, call)
        found = self._by_id(wanted, call) if team is None else _team(team)
        return team_of(found, self.settings)

    @rpc("team.members")
    def members(self, payload: Json, call: Call) -> list[Json]:
        """Answer the members of a team and of its child teams, owners first.

        Raises:
            BadRequest: The id cannot be a slug.
            NotFound: There is no such team.
        """
        wanted = self._slug(id_of(payload, "teamID", "teamId", "id"))
        try:
            found = list(self._members(wanted, call))
        except NotFound:
            if not _is_number(wanted):
                raise
            found = list(self._members(text_in(self._by_id(wanted, call), "slug"), call))
        if not self.settings["memberDetails"]:
            return [member_of(user, role, None) for user, role in found]
        logins = [text_in(user, "login") for user, _ in found]
        profiles = self._profiles.of(logins[:MAX_PROFILES], call)
        return [member_of(user, role, profiles.get(text_in(user, "login"))) for user, role in found]

    def check(self, call: Call) -> list[Check]:
        """Read one team: proves token, organization and the permission to read."""
        return checked(
            lambda: self.github.probe(f"{self._org_path}/teams", call),
            f"teams of {self._organization}",
            permission="Members: read (of the organization)",
            scopes=("read:org", "write:org", "admin:org"),
        )

    def _teams(self, scope: Mapping[str, str], size: int, call: Call) -> Iterator[Json]:
        """Yield the teams of the organization, or those that may use a repository."""
        path = f"{self._org_path}/teams"
        if scope.get("service"):
            repo = self._repository(scope["service"])
            if not repo:
                return
            path = f"/repos/{url_part(self._organization)}/{url_part(repo)}/teams"
        try:
            for team in self.github.items(path, {}, call, page_size=size):
                if text_in(team, "slug") or numeric_id(team):
                    yield team
                else:
                    log.warning("GitHub sent a team without an id; it is left out")
        except NotFound:
            if not scope.get("service"):
                raise

    def _repository(self, service: str) -> str:
        """Return the repository that a service means, "" where it cannot be one of ours."""
        owner, slash, repo = service.rpartition("/")
        if slash and owner.casefold() != self._organization.casefold():
            return ""
        return repo if REPOSITORY_NAME.fullmatch(repo) else ""

    def _slug(self, wanted: str) -> str:
        """Return the slug or number in an id, which people also write as ``@organization/slug``.

        Raises:
            BadRequest: It cannot be one: another organization, or what would change the path.
        """
        organization, slash, slug = wanted.removeprefix("@").rpartition("/")
        ours = organization.casefold() == self._organization.casefold()
        if (slash and not ours) or slug in ("", ".", "..") or not slug.isprintable():
            raise BadRequest(f"id must be the slug of a team of {self._organization}")
        return slug

    def _by_id(self, wanted: str, call: Call) -> Json:
        """Return the team of a numeric id.

        Raises:
            NotFound: There is none.
        """
        if not self._organization_id:
            self._organization_id = numeric_id(self.github.get(self._org_path, call))
        if not self._organization_id:
            raise unexpected("an organization was due")
        path = f"/organizations/{self._organization_id}/team/{wanted}"
        return _team(self.github.get(path, call))

    def _members(self, slug: str, call: Call) -> Iterator[tuple[Json, str]]:
        """Yield each member once, with GitHub's word for the role."""
        path = f"{self._org_path}/teams/{url_part(slug)}/members"
        seen: set[str] = set()
        for role in MEMBER_ROLES:
            for user in self.github.items(path, {"role": role}, call):
                login = text_in(user, "login")
                if not login:
                    log.warning("GitHub sent a member without a login; it is left out")
                elif login not in seen:
                    seen.add(login)
                    yield user, role


class Profiles:
    """Profiles of users, each kept for ten minutes. Thread-safe."""

    def __init__(self, github: GitHub, clock: Callable[[], float] = time.monotonic) -> None:
        self._github = github
        self._memory = Memory[str, Json](PROFILE_TTL_S, _CACHED, clock=clock)

    def of(self, logins: list[str], call: Call) -> dict[str, Json]:
        """Return the profiles that can be had in time, by login; never fails.

        After a rate limit nobody else is asked for.
        """
        brief = call.within_share(PROFILE_SHARE)
        found: dict[str, Json] = {}
        asking = True
        for login in logins:
            profile = self._memory.get(login)
            if profile is None and asking and not brief.deadline.expired:
                try:
                    profile = self._github.get(f"/users/{url_part(login)}", brief)
                    self._memory.put(login, profile)
                except OpsOrchError as error:
                    log.warning("a member's profile cannot be read: %s", error.message)
                    asking = not isinstance(error, RateLimited)
            if profile is not None:
                found[login] = profile
        return found


def _team(team: Json) -> Json:
    if not text_in(team, "slug") and number_in(team, "id") is None:
        raise unexpected("a team was due")
    return team


def _is_number(wanted: str) -> bool:
    return wanted.isascii() and wanted.isdigit()


def _tags(payload: Json) -> dict[str, str]:
    """Return the tags asked for, case folded.

    Raises:
        BadRequest: One is no string.
    """
    tags = object_of(payload, "tags")
    return {
        key.casefold(): text_of(tags, key, where="tags.").casefold()
        for key, value in tags.items()
        if value is not None
    }


def _fits(team: Json, name: str, tags: Mapping[str, str], exact: str) -> bool:
    """Tell whether a Team is one of those asked for.

    Args:
        team: The Team.
        name: A part of its name or slug, case folded; "" for any.
        tags: Tags that it must have, case folded.
        exact: Its whole slug or name; "" for any.
    """
    names = [text_in(team, key).casefold() for key in ("id", "name")]
    held = {key.casefold(): str(value).casefold() for key, value in team["tags"].items()}
    return (
        any(name in known for known in names)
        and (not exact or exact.casefold() in names)
        and all(held.get(key) == value for key, value in tags.items())
    )
