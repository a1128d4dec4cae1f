"""Runs as callers read them; nothing here writes."""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.engine import Connection, Row

from opsorch.errors import NotFound
from opsorch.runbooks.plans import Plan
from opsorch.runbooks.requests import RunQuery
from opsorch.runbooks.results import run_result
from opsorch.runbooks.tables import runs, steps

Json = dict[str, Any]
# Makes the url of an object from its id; "" where it has none.
UrlOf = Callable[[str], str]


def no_url(_: str) -> str:
    """Give no object a url."""
    return ""


def get_run(connection: Connection, run_id: str, url_of: UrlOf = no_url) -> tuple[Json, Plan]:
    """Return a run with its steps, and its plan as it was at the start.

    Raises:
        NotFound: There is none.
    """
    row = connection.execute(select(runs).where(runs.c.id == run_id)).first()
    if row is None:
        raise NotFound(f"run {run_id} not found")
    found = _steps_of(connection, [run_id]).get(run_id, [])
    return run_result(row, found, url=url_of(run_id)), Plan.from_snapshot(row.snapshot)


def find_runs(connection: Connection, wanted: RunQuery, url_of: UrlOf = no_url) -> list[Json]:
    """List runs with their steps, the newest first."""
    # The snapshots, which may be large, stay where they are.
    statement = (
        select(*(column for column in runs.c if column is not runs.c.snapshot))
        .where(*_conditions(wanted))
        .order_by(runs.c.created_us.desc(), runs.c.id)
        .limit(wanted.limit)
    )
    rows = connection.execute(statement).all()
    found = _steps_of(connection, [row.id for row in rows])
    return [run_result(row, found.get(row.id, []), url=url_of(row.id)) for row in rows]


def _conditions(wanted: RunQuery) -> list[ColumnElement[bool]]:
    # autoescape: a % or _ that the caller wrote is a character like any other.
    tests = [runs.c.search.contains(word, autoescape=True) for word in wanted.words]
    tests += [runs.c[name] == value for name, value in wanted.scope.items()]
    if wanted.statuses:
        tests.append(runs.c.status.in_(wanted.statuses))
    if wanted.plan_ids:
        tests.append(runs.c.plan_id.in_(wanted.plan_ids))
    if wanted.created_by is not None:
        tests.append(runs.c.created_by == wanted.created_by)
    return tests


def _steps_of(connection: Connection, run_ids: Iterable[str]) -> dict[str, list[Row[Any]]]:
    """Load the steps of several runs at once, each in the order of its plan."""
    ordered = (
        select(steps)
        .where(steps.c.run_id.in_(list(run_ids)))
        .order_by(steps.c.run_id, steps.c.position)
    )
    found: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(ordered):
        found.setdefault(row.run_id, []).append(row)
    return found
