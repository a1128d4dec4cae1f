"""Deployments, whose status follows the clock, and their provider."""

from typing import Any, Final

from opsorch.errors import NotFound
from opsorch.plugin import Call, Check, rpc
from opsorch.plugin.payload import id_of, strings_of, without_empty
from opsorch.plugin.times import ZERO_TIME, format_time
from opsorch_plugins.demo.base import DemoProvider
from opsorch_plugins.demo.catalogue import (
    DEPLOYMENT_BY_ID,
    DEPLOYMENTS,
    Deployment,
    team_of,
    tickets_of,
)
from opsorch_plugins.demo.matching import Json, Test, filter_of
from opsorch_plugins.demo.shapes import actor_of, story_fields, story_metadata, url_of
from opsorch_plugins.demo.world import World

_ENDED: Final = frozenset({"success", "failed", "cancelled"})
# The newest first; the sort is stable, so equal times stay in order of their ids.
_ORDERED: Final = tuple(sorted(DEPLOYMENTS, key=lambda item: item.started_min))


def status_of(deployment: Deployment, world: World) -> str:
    """Return what a deployment is doing now."""
    if world.now < world.at(deployment.begins_min):
        return "queued"
    return "running" if world.now < world.at(deployment.finished_min) else deployment.outcome


def progress_of(deployment: Deployment, world: World) -> int | None:
    """Return how far a deployment is in percent; None where it ended before its end."""
    status = status_of(deployment, world)
    if status in _ENDED:
        return 100 if status == "success" else None
    ran_min = deployment.begins_min - world.minutes_before(world.now)
    return max(0, min(99, int(100 * ran_min / deployment.minutes)))


def deployment_of(deployment: Deployment, world: World) -> Json:
    """Write one deployment as the contract has it, as it stands now."""
    status = status_of(deployment, world)
    finished = format_time(world.at(deployment.finished_min))
    tickets = [ticket for incident in deployment.incident_ids for ticket in tickets_of(incident)]
    fields = {
        "description": deployment.note,
        "artifact": f"{deployment.service}:{deployment.version}",
        "commit": deployment.commit,
        "branch": deployment.branch,
        "strategy": deployment.strategy,
        "progress": progress_of(deployment, world),
        "rollbackOf": deployment.rollback_of,
        "team": team_of(deployment.service),
        "incidentIds": list(deployment.incident_ids),
        "relatedTickets": tickets,
        "runIds": list(deployment.run_ids),
        **story_fields(deployment.scenario_id),
    }
    return {
        "id": deployment.id,
        "service": deployment.service,
        "environment": deployment.environment or world.environment,
        "version": deployment.version,
        "status": status,
        "startedAt": format_time(world.at(deployment.started_min)),
        "finishedAt": finished if status in _ENDED else ZERO_TIME,
        "url": url_of("deployment", deployment.id),
        "actor": actor_of(deployment.actor),
        "fields": without_empty(fields),
        "metadata": story_metadata(deployment.scenario_id, world),
    }


class DemoDeployments(DemoProvider):
    """Deployments of the demo world."""

    capability = "deployment"

    @rpc("deployment.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """List deployments, the newest first."""
        wanted = filter_of(payload, ("statuses", "status"), own=_version_tests(payload))
        with self.reading(call) as view:
            return list(wanted.over(deployment_of(item, view.world) for item in _ORDERED))

    @rpc("deployment.get")
    def get(self, payload: Json, call: Call) -> Json:
        """Return one deployment."""
        deployment_id = id_of(payload)
        deployment = DEPLOYMENT_BY_ID.get(deployment_id)
        if deployment is None:
            raise NotFound(f"deployment {deployment_id} not found")
        with self.reading(call) as view:
            return deployment_of(deployment, view.world)

    def check(self, call: Call) -> list[Check]:
        with self.reading(call):
            return [Check("demo world", ok=True, message=f"{len(DEPLOYMENTS)} deployments")]


def _version_tests(payload: dict[str, Any]) -> tuple[Test, ...]:
    versions = frozenset(strings_of(payload, "versions"))
    return (lambda item: item["version"] in versions,) if versions else ()
