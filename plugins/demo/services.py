"""Services and their provider."""

from collections.abc import Callable, Mapping
from typing import Final

from opsorch.plugin import Call, Check, rpc
from opsorch.plugin.payload import object_of, scope_of, strings_of, text_of
from opsorch_plugins.demo.base import DemoProvider
from opsorch_plugins.demo.catalogue import MEMBERS, SERVICES, Service
from opsorch_plugins.demo.matching import (
    Filter,
    Json,
    Test,
    has_tags,
    limits_of,
    name_contains,
    one_of,
)
from opsorch_plugins.demo.shapes import SITE, stamped, url_of
from opsorch_plugins.demo.world import World

_ORDERED: Final = tuple(sorted(SERVICES, key=lambda service: service.id))
_ONCALL: Final = {member.team: member.handle for member in MEMBERS if member.role == "oncall"}


def service_of(service: Service, world: World) -> Json:
    """Write one service as the contract has it."""
    metadata = {
        "description": service.description,
        "dependencies": list(service.depends_on),
        "externalDependencies": list(service.external),
        "environments": list(world.environments),
        "version": service.version,
        "repository": f"{SITE}/repository/{service.short}",
        "dashboard": f"{SITE}/dashboard/{service.id}",
        "runbook": f"{SITE}/runbook/{service.id}",
        "oncall": _ONCALL[service.owner],
        "instances": list(service.instance_names),
    }
    return {
        "id": service.id,
        "name": service.name,
        "url": url_of("service", service.id),
        "tags": {
            "env": world.environment,
            "tier": service.tier,
            "owner": service.owner,
            "language": service.language,
        },
        "metadata": stamped(metadata, world),
    }


class DemoServices(DemoProvider):
    """Services of the demo world."""

    capability = "service"

    @rpc("service.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """List services in the order of their ids."""
        wanted = _filter_of(payload)
        with self.reading(call) as view:
            return list(wanted.over(service_of(item, view.world) for item in _ORDERED))

    def check(self, call: Call) -> list[Check]:
        with self.reading(call):
            return [Check("demo world", ok=True, message=f"{len(SERVICES)} services")]


def _filter_of(payload: Json) -> Filter:
    ids, name = strings_of(payload, "ids"), text_of(payload, "name")
    tests: list[Test] = [has_tags(object_of(payload, "tags"))]
    tests += [one_of("id", ids)] if ids else []
    tests += [name_contains(name)] if name.strip() else []
    tests += [_SCOPE_TESTS[part](value) for part, value in scope_of(payload).items()]
    return limits_of(payload, tests)


# A service runs in every environment of the world, so the scope asks for the list of them.
_SCOPE_TESTS: Final[Mapping[str, Callable[[str], Test]]] = {
    "service": lambda wanted: lambda item: item["id"] == wanted,
    "team": lambda wanted: lambda item: item["tags"]["owner"] == wanted,
    "environment": lambda wanted: lambda item: wanted in item["metadata"]["environments"],
}
