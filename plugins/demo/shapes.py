"""What every object of the demo world carries."""

from collections.abc import Mapping
from typing import Any, Final

from opsorch.plugin.payload import without_empty
from opsorch_plugins.demo.catalogue import MEMBER_BY_HANDLE, SCENARIO_BY_ID
from opsorch_plugins.demo.world import World

Json = dict[str, Any]

SITE: Final = "https://demo.opsorch.example"


def url_of(capability: str, object_id: str) -> str:
    """Return the address of an object on the demo site."""
    return f"{SITE}/{capability}/{object_id}"


def actor_of(handle: str) -> Json:
    """Write who did something, by handle: a person has a name, a robot none; {} for nobody."""
    member = MEMBER_BY_HANDLE.get(handle)
    return without_empty({"id": handle, "name": member.name if member else ""})


def story_fields(scenario_id: str | None) -> Json:
    """Return the fields that name an object's scenario; none where it belongs to none."""
    if not scenario_id:
        return {}
    return {"scenarioId": scenario_id, "scenarioName": SCENARIO_BY_ID[scenario_id].name}


def story_metadata(scenario_id: str | None, world: World) -> Json:
    """Return the metadata of a computed object."""
    return stamped({"isScenario": True} if scenario_id else {}, world)


def stamped(metadata: Mapping[str, Any], world: World) -> Json:
    """Return metadata with the configured source, which no caller can change."""
    return {**metadata, "source": world.source}


def shaped(required: Json, optional: Json) -> Json:
    """Join the keys that a result always has with those that it leaves out when empty."""
    return {**required, **without_empty(optional)}


def merged(bag: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """Return a bag with the changes laid over it, key by key; null removes a key."""
    both = {**bag, **changes}
    return {key: value for key, value in both.items() if key not in changes or value is not None}
