"""The plans of the demo world, and the runs that it has at the anchor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy.engine import Connection

from opsorch.plugin.payload import without_empty
from opsorch.runbooks import store
from opsorch.runbooks.folder import PlanFolder
from opsorch.runbooks.live import Completion, LiveRun
from opsorch.runbooks.plans import Plan
from opsorch.runbooks.tables import micros
from opsorch_plugins.demo import simulation
from opsorch_plugins.demo.catalogue import DEPLOYMENTS, INCIDENTS
from opsorch_plugins.demo.shapes import story_fields
from opsorch_plugins.demo.world import World

FOLDER: Final = PlanFolder(Path(__file__).parent / "plans")


def plan_of(plan_id: str, world: World) -> Plan:
    """Return a plan in the environment of the world.

    Raises:
        NotFound: There is none.
    """
    return replace(FOLDER.plan(plan_id), environment=world.environment)


def plans_of(world: World) -> list[Plan]:
    """Return all plans in the environment of the world, by id."""
    return [replace(plan, environment=world.environment) for plan in FOLDER.plans()]


@dataclass(frozen=True, slots=True)
class Done:
    """A person completed a step, so many minutes before the anchor."""

    step_id: str
    actor: str
    at_min: float
    note: str


@dataclass(frozen=True, slots=True)
class Ran:
    """The runner did a step; ``ended_min`` is None where it still does at the anchor."""

    step_id: str
    begun_min: float
    ended_min: float | None


@dataclass(frozen=True, slots=True)
class SeededRun:
    """A run as it stands at the anchor, and how it came to that."""

    id: str
    plan_id: str
    actor: str
    created_min: float
    history: tuple[Done | Ran, ...] = ()


RUNS: Final[tuple[SeededRun, ...]] = (
    SeededRun(
        "run-001",
        "plan-playbook-001",
        "ivan",
        19,
        (
            Done(
                "observe-connections", "ivan", 17, "Order holds 71 of 100, Catalog 14, Payments 6."
            ),
            Done(
                "confirm-leak",
                "jordan",
                9,
                "54 sessions of Order idle in a transaction, all opened since deploy-013.",
            ),
        ),
    ),
    SeededRun(
        "run-002",
        "plan-release-001",
        "casey",
        12,
        (
            Done("cut-release", "casey", 10, "Tagged v3.14.2; read the changes with ines."),
            Ran("build-artifact", 10, 4),
            Ran("deploy-staging", 4, 0.05),
            Ran("smoke-tests", 0.05, None),
        ),
    ),
    SeededRun(
        "run-003",
        "plan-release-003",
        "sam",
        74,
        (
            Done("confirm-cause", "sam", 72, "Every failure comes from the new card vault client."),
            Done("freeze-deployments", "taylor", 66, "Frozen for payments, order and checkout."),
            Ran("deploy-previous", 60, 57),
            Done("reconcile-charges", "sam", 52, "3 charges refunded, 11 retried."),
            Done("verify-payments", "taylor", 50, "Errors at 0.2 %, test charges went through."),
        ),
    ),
    SeededRun(
        "run-scenario-001",
        "plan-playbook-002",
        "kim",
        19,
        (
            Ran("observe-latency", 19, 18.6),
            Ran("observe-errors", 19, 18.5),
            Ran("observe-saturation", 19, 18.3),
            Ran("observe-changes", 19, 18.2),
        ),
    ),
    SeededRun("run-scenario-006", "plan-release-004", "milo", 3),
)


def seed_runs(connection: Connection, world: World) -> None:
    """Write the seeded runs; the caller has the write lock and commits."""
    for seeded in RUNS:
        fields, scenario_id = links_of(seeded.id)
        run = store.start(
            connection,
            plan_of(seeded.plan_id, world),
            actor=seeded.actor,
            at=world.at(seeded.created_min),
            run_id=seeded.id,
            fields=fields,
            metadata={"isScenario": True} if scenario_id else {},
        )
        for minutes, change in _changes(run, seeded.history):
            change(micros(world.at(minutes)))
        run.save()


def links_of(run_id: str) -> tuple[Mapping[str, Any], str]:
    """Return the fields that link a seeded run to what names it, and its scenario, "" if none."""
    incidents = [item for item in INCIDENTS if run_id in item.run_ids]
    deployments = [item for item in DEPLOYMENTS if run_id in item.run_ids]
    scenario_id = next((item.scenario_id for item in incidents), "")
    fields = {
        "incidentId": next((item.id for item in incidents), ""),
        "deploymentId": next((item.id for item in deployments), ""),
        **story_fields(scenario_id),
    }
    return without_empty(fields), scenario_id


Change = Callable[[int], object]


def _changes(run: LiveRun, history: tuple[Done | Ran, ...]) -> list[tuple[float, Change]]:
    """Return what happened to a run and when, in minutes before the anchor, the oldest first."""
    changes: list[tuple[float, Change]] = []
    for act in history:
        if isinstance(act, Done):
            changes.append((act.at_min, partial(_complete, run, act)))
            continue
        changes.append((act.begun_min, partial(_begin, run, act.step_id)))
        if act.ended_min is not None:
            changes.append((act.ended_min, partial(_end, run, act.step_id)))
    # The sort is stable: of one instant, the order is that of the history.
    return sorted(changes, key=lambda change: -change[0])


def _complete(run: LiveRun, act: Done, at_us: int) -> None:
    run.complete(Completion(run.id, act.step_id, act.actor, act.note), at_us=at_us)


def _begin(run: LiveRun, step_id: str, at_us: int) -> None:
    run.claim(step_id, lease=simulation.LEASE, at_us=at_us, actor=simulation.ACTOR)


def _end(run: LiveRun, step_id: str, at_us: int) -> None:
    simulation.finish(run, run.steps[step_id], at_us)
