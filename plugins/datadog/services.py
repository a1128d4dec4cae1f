"""The service provider."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from opsorch.plugin import Call, Check, ConfigSpec, Provider, rpc
from opsorch.plugin.payload import (
    Json,
    limit_of,
    scope_of,
    string_map_of,
    strings_of,
    text_of,
)
from opsorch_plugins.datadog.checks import checked
from opsorch_plugins.datadog.client import Datadog, data_of
from opsorch_plugins.datadog.service_mapping import entity_of, service_of
from opsorch_plugins.datadog.settings import CONFIG, app_url, tag_keys

PAGE: Final = 100
MAX_PAGES: Final = 50
_DEFINITIONS: Final = "/api/v2/services/definitions"
_CATALOG: Final = "/api/v2/catalog/entity"

Test = Callable[[Json], bool]


class DatadogServices(Provider):
    """Services that have a definition, or stand in the software catalog."""

    name = "datadog"
    capability = "service"
    config: ClassVar[ConfigSpec] = CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.datadog = Datadog(self.settings, self.redact, reads="apm_service_catalog_read")
        self._app = app_url(self.settings)
        self._keys = tag_keys(self.settings)

    @rpc("service.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """Answer a ServiceQuery, in Datadog's order.

        Raises:
            BadRequest: A tag or the limit does not fit.
        """
        tests = _tests_of(payload, self._keys)
        most = self.settings["maxResults"]
        limit = min(limit_of(payload, default=most, most=most), most)
        found: dict[str, Json] = {}
        for raw in self.datadog.pages(self._page(call), call, size=PAGE, most=MAX_PAGES):
            service = self._service(raw)
            if service["id"] and all(fits(service) for fits in tests):
                found.setdefault(service["id"], service)
            if len(found) == limit:
                break
        return list(found.values())

    def check(self, call: Call) -> list[Check]:
        """Look at the API key, then for one service."""
        path, params = _DEFINITIONS, [("page[size]", "1"), ("page[number]", "0")]
        if self._from_catalog:
            path, params = _CATALOG, [("page[limit]", "1"), ("filter[kind]", "service")]
        look = ("apm_service_catalog_read", lambda: self.datadog.get(path, call, params))
        return checked(self.datadog, call, [look])

    @property
    def _from_catalog(self) -> bool:
        return bool(self.settings["serviceSource"] == "catalog")

    def _service(self, raw: Json) -> Json:
        read = entity_of if self._from_catalog else service_of
        return read(raw, self.settings["source"], self._app)

    def _page(self, call: Call) -> Callable[[int, int], list[Any]]:
        def definitions(number: int, _: int) -> list[Any]:
            place = [("page[size]", str(PAGE)), ("page[number]", str(number))]
            params = [*place, ("schema_version", "v2.2")]
            return data_of(self.datadog.get(_DEFINITIONS, call, params))

        def entities(_: int, offset: int) -> list[Any]:
            place = [("page[offset]", str(offset)), ("page[limit]", str(PAGE))]
            params = [("filter[kind]", "service"), *place, ("includeDiscovered", "true")]
            return data_of(self.datadog.get(_CATALOG, call, params))

        return entities if self._from_catalog else definitions


def _tests_of(payload: Json, keys: Mapping[str, str]) -> list[Test]:
    """Return the conditions on a service, all of which must hold.

    Raises:
        BadRequest: A tag is no text.
    """
    tests: list[Test] = []
    ids = set(strings_of(payload, "ids"))
    if ids:
        tests.append(lambda service: bool(ids & {service["id"], _definition_of(service)}))
    name = text_of(payload, "name").strip().casefold()
    if name:
        tests.append(lambda service: name in service["name"].casefold())
    tags = string_map_of(payload, "tags")
    if tags:
        tests.append(lambda service: all(_has(service, *tag) for tag in tags.items()))
    return [*tests, *_scope_tests(scope_of(payload), keys)]


def _scope_tests(scope: Mapping[str, str], keys: Mapping[str, str]) -> list[Test]:
    tests: list[Test] = []
    if "service" in scope:
        wanted = scope["service"].casefold()
        tests.append(lambda service: service["name"].casefold() == wanted)
    if "team" in scope:
        team = scope["team"]
        tests.append(
            lambda service: _has(service, "team", team) or _has(service, keys["team"], team)
        )
    if "environment" in scope:
        # A service that declares no environment may run in any.
        key, environment = keys["environment"], scope["environment"]
        tests.append(
            lambda service: key not in _tags_of(service) or _has(service, key, environment)
        )
    return tests


def _tags_of(service: Json) -> Mapping[str, str]:
    tags: Mapping[str, str] = service.get("tags", {})
    return tags


def _has(service: Json, tag: str, value: str) -> bool:
    """Tell whether a service has a tag; a repeated key has several values."""
    known = _tags_of(service).get(tag)
    if known is None:
        return False
    wanted = value.casefold()
    return wanted in (known.casefold(), *known.casefold().split(","))


def _definition_of(service: Json) -> str:
    return str(service.get("metadata", {}).get("definition_id", ""))
