"""Plans and runs as the contract has them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Row

from opsorch.plugin.payload import without_empty
from opsorch.plugin.times import format_time
from opsorch.runbooks.plans import Plan, Step
from opsorch.runbooks.tables import moment

Json = dict[str, Any]


def plan_result(plan: Plan, *, url: str = "") -> Json:
    """Write a plan; a ``url`` wins over that of the file."""
    required = {"id": plan.id, "title": plan.title, "steps": [_step(step) for step in plan.steps]}
    optional = {
        "description": plan.description,
        "version": plan.version,
        "url": url or plan.url,
        "tags": dict(plan.tags),
        "fields": {**plan.fields, **plan.scope},
        "metadata": {**plan.metadata, **plan.origin},
    }
    return {**required, **without_empty(optional)}


def run_result(run: Row[Any], steps: Sequence[Row[Any]], *, url: str = "") -> Json:
    """Write a run with its steps, without its plan."""
    added = {
        "createdBy": run.created_by,
        "planTitle": run.title,
        "planVersion": run.version,
        "cancelNote": run.cancel_note,
    }
    required = {
        "id": run.id,
        "planId": run.plan_id,
        "status": run.status,
        "scope": {"service": run.service, "team": run.team, "environment": run.environment},
        "steps": [step_result(step) for step in steps],
        "createdAt": format_time(moment(run.created_us)),
        "updatedAt": format_time(moment(run.updated_us)),
    }
    optional = {
        "url": url,
        "fields": {**run.fields, **without_empty(added)},
        "metadata": dict(run.metadata),
    }
    return {**required, **without_empty(optional)}


def step_result(row: Row[Any]) -> Json:
    """Write the state of one step."""
    required = {"stepId": row.step_id, "status": row.status}
    optional = {
        "actor": row.actor,
        "note": row.note,
        "startedAt": _time(row.started_us),
        "finishedAt": _time(row.finished_us),
        "updatedAt": _time(row.updated_us),
        "fields": row.fields,
        "metadata": row.metadata,
    }
    return {**required, **without_empty(optional)}


def _step(step: Step) -> Json:
    required = {"id": step.id, "title": step.title, "type": step.type}
    optional = {
        "description": step.description,
        "dependsOn": list(step.depends_on),
        "fields": step.shown_fields(),
        "metadata": dict(step.metadata),
    }
    return {**required, **without_empty(optional)}


def _time(since_1970_us: int | None) -> str:
    return "" if since_1970_us is None else format_time(moment(since_1970_us))
