"""Start runs, and load them to be changed; the caller has the write lock and commits."""

import datetime
import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.engine import Connection, Row

from opsorch.errors import NotFound
from opsorch.runbooks.live import UNKNOWN, LiveRun, LiveStep
from opsorch.runbooks.plans import Plan, Step
from opsorch.runbooks.states import StepState, StepStatus, first_status, run_status
from opsorch.runbooks.tables import dependencies, events, micros, runs, steps

Json = dict[str, Any]


def new_run_id() -> str:
    """Return an id that no other run has."""
    return f"run-{uuid.uuid4()}"


def start(
    connection: Connection,
    plan: Plan,
    *,
    actor: str,
    at: datetime.datetime,
    run_id: str = "",
    fields: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> LiveRun:
    """Start a run of a plan, which is frozen with it.

    A blank actor is ``unknown``, a blank id a new one. ``fields`` and ``metadata`` are what
    results say of the run beside what the engine knows.
    """
    run_id, at_us = run_id or new_run_id(), micros(at)
    states = [_new_state(step) for step in plan.steps]
    created_by = actor.strip() or UNKNOWN
    row = {
        "id": run_id,
        "plan_id": plan.id,
        "title": plan.title,
        "version": plan.version,
        "search": f"{plan.title}\n{plan.description}\n{plan.id}\n{run_id}".casefold(),
        "snapshot": plan.snapshot(),
        **plan.scope,
        "status": run_status(states),
        "created_by": created_by,
        "created_us": at_us,
        "updated_us": at_us,
        "revision": 1,
        "fields": dict(fields or {}),
        "metadata": dict(metadata or {}),
    }
    connection.execute(insert(runs), [row])
    pairs = enumerate(zip(plan.steps, states, strict=True))
    rows = [_new_row(run_id, position, *pair, at_us) for position, pair in pairs]
    connection.execute(insert(steps), rows)
    _write_edges(connection, run_id, plan)
    first = [_first_event(run_id, state, created_by, at_us) for state in states]
    connection.execute(insert(events), first)
    return _loaded(connection, run_id, new=True)


def load(connection: Connection, run_id: str) -> LiveRun:
    """Return a run to be changed.

    Raises:
        NotFound: There is none.
    """
    return _loaded(connection, run_id)


def _loaded(connection: Connection, run_id: str, *, new: bool = False) -> LiveRun:
    # Of databases that lock rows, this locks the run: its steps change under it alone.
    row = connection.execute(select(runs).where(runs.c.id == run_id).with_for_update()).first()
    if row is None:
        raise NotFound(f"run {run_id} not found")
    needed: dict[str, list[str]] = {}
    for edge in connection.execute(select(dependencies).where(dependencies.c.run_id == run_id)):
        needed.setdefault(edge.step_id, []).append(edge.depends_on)
    ordered = select(steps).where(steps.c.run_id == run_id).order_by(steps.c.position)
    found = {
        item.step_id: _live_step(item, tuple(needed.get(item.step_id, ())))
        for item in connection.execute(ordered)
    }
    return LiveRun(connection, row, found, new=new)


def _live_step(row: Row[Any], depends_on: tuple[str, ...]) -> LiveStep:
    state = StepState(
        id=row.step_id,
        status=StepStatus(row.status),
        depends_on=depends_on,
        automated=row.automated,
        optional=row.optional,
        started=row.started_us is not None,
    )
    return LiveStep(
        state=state,
        type=row.type,
        position=row.position,
        actor=row.actor,
        note=row.note,
        started_us=row.started_us,
        finished_us=row.finished_us,
        updated_us=row.updated_us,
        attempt=row.attempt,
        lease_owner=row.lease_owner,
        fields=row.fields,
    )


def _write_edges(connection: Connection, run_id: str, plan: Plan) -> None:
    edges = [
        {"run_id": run_id, "step_id": step.id, "depends_on": other}
        for step in plan.steps
        for other in step.depends_on
    ]
    if edges:
        connection.execute(insert(dependencies), edges)


def _first_event(run_id: str, state: StepState, actor: str, at_us: int) -> Json:
    return {
        "run_id": run_id,
        "step_id": state.id,
        "at_us": at_us,
        "actor": actor,
        "from_status": "",
        "to_status": state.status,
        "note": "",
    }


def _new_state(step: Step) -> StepState:
    return StepState(
        id=step.id,
        status=first_status(step.depends_on),
        depends_on=step.depends_on,
        automated=step.automated,
        optional=step.optional,
    )


def _new_row(run_id: str, position: int, step: Step, state: StepState, at_us: int) -> Json:
    return {
        "run_id": run_id,
        "step_id": step.id,
        "position": position,
        "type": step.type,
        "automated": step.automated,
        "optional": step.optional,
        "status": state.status,
        "actor": "",
        "note": "",
        "updated_us": at_us,
        "attempt": 1,
        "fields": step.shown_fields(),
        "metadata": dict(step.metadata),
    }
