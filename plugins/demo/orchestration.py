"""Plans and runs of the demo world, and their provider."""

import contextlib
from collections.abc import Iterator

from sqlalchemy import func, select

from opsorch.plugin import Call, Check, rpc
from opsorch.runbooks import queries, store
from opsorch.runbooks.plans import Plan
from opsorch.runbooks.requests import PlanQuery, RunQuery, completion_of, id_from
from opsorch.runbooks.results import plan_result
from opsorch.runbooks.tables import micros, runs
from opsorch_plugins.demo.base import DemoProvider, View
from opsorch_plugins.demo.matching import Json
from opsorch_plugins.demo.runbooks import FOLDER, plan_of, plans_of
from opsorch_plugins.demo.shapes import stamped, url_of
from opsorch_plugins.demo.simulation import due_runs, settle, settle_due
from opsorch_plugins.demo.world import World


class DemoOrchestration(DemoProvider):
    """Orchestration of the demo world, whose automated steps a simulated runner does."""

    capability = "orchestration"

    @rpc("orchestration.plans.query")
    def plans_query(self, payload: Json, call: Call) -> list[Json]:
        """List plans by id."""
        wanted = PlanQuery.of(payload)
        with self.reading(call) as view:
            world = view.world
        return [_plan_shown(plan, world) for plan in wanted.over(plans_of(world))]

    @rpc("orchestration.plans.get")
    def plans_get(self, payload: Json, call: Call) -> Json:
        """Return one plan."""
        plan_id = id_from(payload, "planId")
        with self.reading(call) as view:
            world = view.world
        return _plan_shown(plan_of(plan_id, world), world)

    @rpc("orchestration.runs.query")
    def runs_query(self, payload: Json, call: Call) -> list[Json]:
        """List runs with their steps, the newest first."""
        wanted = RunQuery.of(payload)
        with self._settled(call) as view:
            found = queries.find_runs(view.connection, wanted, _url_of)
            return [_stamped(run, view.world) for run in found]

    @rpc("orchestration.runs.get")
    def runs_get(self, payload: Json, call: Call) -> Json:
        """Return one run with its steps and its plan."""
        run_id = id_from(payload, "runId")
        with self._settled(call, run_id) as view:
            return _run_shown(view, run_id)

    @rpc("orchestration.runs.start")
    def runs_start(self, payload: Json, call: Call) -> Json:
        """Start a run of a plan."""
        plan_id = id_from(payload, "planId")
        with self.writing(call) as view:
            plan = plan_of(plan_id, view.world)
            now = view.world.now
            run = store.start(view.connection, plan, actor=call.actor, at=now)
            settle(run, micros(now), self._step_us)
            run.save()
            return _run_shown(view, run.id)

    @rpc("orchestration.runs.steps.complete")
    def steps_complete(self, payload: Json, call: Call) -> Json:
        """Complete a step for an operator."""
        completion = completion_of(payload, call.actor)
        with self.writing(call) as view:
            now_us = micros(view.world.now)
            run = store.load(view.connection, completion.run_id)
            settle(run, now_us, self._step_us)
            run.complete(completion, at_us=now_us)
            settle(run, now_us, self._step_us)
            run.save()
        return {"status": "ok"}

    def check(self, call: Call) -> list[Check]:
        with self.reading(call) as view:
            count = view.connection.scalar(select(func.count()).select_from(runs))
        problems = FOLDER.problems()
        found = f"{len(FOLDER.plans())} plans"
        return [
            Check("demo database", ok=True, message=f"{count} runs"),
            Check("demo plans", ok=not problems, message="; ".join(problems) or found),
        ]

    @property
    def _step_us(self) -> int:
        return round(self.demo.step_seconds * 1_000_000)

    @contextlib.contextmanager
    def _settled(self, call: Call, run_id: str = "") -> Iterator[View]:
        """Open a transaction in which all that has happened to the runs is written down."""
        with self.reading(call) as view:
            if not due_runs(view.connection, micros(view.world.now), self._step_us, run_id):
                yield view
                return
        with self.writing(call) as view:
            settle_due(view.connection, micros(view.world.now), self._step_us, run_id)
            yield view


def _url_of(object_id: str) -> str:
    return url_of("orchestration", object_id)


def _stamped(result: Json, world: World) -> Json:
    return {**result, "metadata": stamped(result.get("metadata", {}), world)}


def _plan_shown(plan: Plan, world: World) -> Json:
    return _stamped(plan_result(plan, url=_url_of(plan.id)), world)


def _run_shown(view: View, run_id: str) -> Json:
    run, plan = queries.get_run(view.connection, run_id, _url_of)
    return {**_stamped(run, view.world), "plan": _plan_shown(plan, view.world)}
