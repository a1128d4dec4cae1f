"""The service provider."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final

from opsorch.errors import NotFound
from opsorch.plugin import Call, Check, ConfigSpec, Provider, rpc
from opsorch.plugin.checks import Look, looked_at
from opsorch.plugin.payload import (
    Json,
    limit_of,
    object_of,
    scope_of,
    string_map_of,
    strings_of,
    text_of,
)
from opsorch.plugin.vendor import objects_in
from opsorch_plugins.pagerduty.checks import list_is_readable
from opsorch_plugins.pagerduty.client import PagerDuty, checked_id
from opsorch_plugins.pagerduty.lookups import ids_in, matching_ids
from opsorch_plugins.pagerduty.mapping import name_of, service_of, tags_of, team_names
from opsorch_plugins.pagerduty.settings import SERVICE_CONFIG

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000
# More than so many ids are looked for in the list of all services.
MAX_GETS: Final = 20

Test = Callable[[Json], bool]


class PagerDutyServices(Provider):
    """Services of PagerDuty, with their teams as tags."""

    name = "pagerduty"
    capability = "service"
    config: ClassVar[ConfigSpec] = SERVICE_CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.pagerduty = PagerDuty(self.settings, self.redact)

    @rpc("service.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """Answer a ServiceQuery, by name, or in the order of the ids that are asked for.

        Raises:
            BadRequest: An id, tag or limit does not fit.
        """
        limit = limit_of(payload, default=DEFAULT_LIMIT, most=MAX_LIMIT)
        given = [item.strip() for item in strings_of(payload, "ids")]
        ids = list(dict.fromkeys(checked_id(item, "ids") for item in given))
        tests = _tests_of(payload)
        teams = self._teams_of(payload, call)
        if teams is None:
            return []
        if 0 < len(ids) <= MAX_GETS:
            candidates = self._each(ids, call)
            if teams:
                tests.append(
                    lambda raw: any(t.get("id") in teams for t in objects_in(raw, "teams"))
                )
        else:
            if ids:
                tests.append(lambda raw: raw.get("id") in ids)
            name = text_of(payload, "name").strip()
            candidates = self._listed(name, teams, None if tests else limit, call)
        fitting = (raw for raw in candidates if all(fits(raw) for fits in tests))
        source = self.settings["source"]
        return [service_of(raw, source) for raw in itertools.islice(fitting, limit)]

    def check(self, call: Call) -> list[Check]:
        """Read a service."""
        look = Look(
            "services",
            lambda: list_is_readable(self.pagerduty, "services", call),
            needs="services.read",
        )
        return looked_at([look])

    def _teams_of(self, payload: Json, call: Call) -> list[str] | None:
        """Return the ids of the wanted teams, [] for any; None where the name means no team."""
        teams = ids_in(object_of(payload, "metadata"), "team_id", "team_ids")
        name = scope_of(payload).get("team", "")
        if name:
            teams += matching_ids(self.pagerduty, "teams", name, call)
        return None if name and not teams else teams

    def _listed(self, name: str, teams: list[str], most: int | None, call: Call) -> Iterator[Json]:
        """List services; all of them where ``most`` is None, since tests follow."""
        params = [("sort_by", "name:asc")]
        if name:
            params.append(("query", name))
        params += [("team_ids[]", item) for item in dict.fromkeys(teams)]
        list_of = self.pagerduty.items
        if most is None:
            return list_of("/services", "services", call, params=params)
        return list_of("/services", "services", call, params=params, most=most, whole_pages=False)

    def _each(self, ids: list[str], call: Call) -> Iterator[Json]:
        """Read services one by one; those that PagerDuty does not have are left out."""
        for item in ids:
            try:
                yield self.pagerduty.get("service", f"/services/{item}", item, call)
            except NotFound:
                continue


def _tests_of(payload: Json) -> list[Test]:
    """Return what PagerDuty cannot filter by: part of a name, exact name or id, tags.

    Raises:
        BadRequest: A tag is no text.
    """
    tests: list[Test] = []
    name = text_of(payload, "name").strip().casefold()
    if name:
        tests.append(lambda raw: name in name_of(raw).casefold())
    service = scope_of(payload).get("service", "")
    if service:
        exact = service.casefold()
        tests.append(lambda raw: name_of(raw).casefold() == exact or raw.get("id") == service)
    tags = string_map_of(payload, "tags")
    if tags:
        tests.append(lambda raw: all(_has_tag(raw, tag, value) for tag, value in tags.items()))
    return tests


def _has_tag(raw: Json, tag: str, value: str) -> bool:
    """Tell whether a service has a tag; ``team`` is each of its teams."""
    values = team_names(raw) if tag == "team" else [tags_of(raw).get(tag)]
    return value.casefold() in [known.casefold() for known in values if known is not None]
