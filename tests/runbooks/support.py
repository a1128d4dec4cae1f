"""Runs on a database file of their own, one transaction a call, with a clock that ticks."""

import datetime
import itertools
from pathlib import Path
from typing import Any

from sqlalchemy import select

from opsorch.runbooks import queries, store
from opsorch.runbooks.database import Database, open_file
from opsorch.runbooks.live import LiveRun
from opsorch.runbooks.planfile import parse_plan
from opsorch.runbooks.plans import Plan
from opsorch.runbooks.requests import RunQuery, completion_of
from opsorch.runbooks.results import plan_result
from opsorch.runbooks.states import Outcome
from opsorch.runbooks.tables import ensure_schema, events, micros

BEGIN = datetime.datetime(2026, 3, 1, 8, 0, tzinfo=datetime.UTC)
LEASE = "lease-of-the-test"


def plan_text(steps: str, head: str = "") -> bytes:
    """Write a plan file around the YAML of its steps, which may be indented as a block."""
    top = "title: T\nservice: svc-a\nteam: team-a\nenvironment: prod\n"
    return f"{top}{head}\nsteps:\n{steps}".encode()


def plan_with(*steps: dict[str, Any], **head: Any) -> Plan:
    """Make a plan of steps given as mappings; YAML is a superset of JSON."""
    import json

    filled = [{"title": step["id"].upper(), **step} for step in steps]
    scope = {"service": "svc-a", "team": "team-a", "environment": "prod"}
    given = {"id": "plan-t", "title": "A plan", **scope, **head, "steps": filled}
    return parse_plan(json.dumps(given).encode(), "plan-t.yaml")


def chain(*ids: str, **head: Any) -> Plan:
    """Make a plan of manual steps, each after the one before."""
    pairs = itertools.pairwise((None, *ids))
    steps = [{"id": b, **({"dependsOn": [a]} if a else {})} for a, b in pairs]
    return plan_with(*steps, **head)


class Runs:
    """What a process does with runs; ``fresh`` opens the file anew for every call."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path
        self.fresh = fresh
        self.now = BEGIN
        self._database: Database | None = None
        with self.database().writing() as connection:
            ensure_schema(connection)

    def database(self) -> Database:
        if self.fresh or self._database is None:
            self.close()
            self._database = open_file(self.path)
        return self._database

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def tick(self) -> int:
        self.now += datetime.timedelta(seconds=1)
        return micros(self.now)

    def start(self, plan: Plan, actor: str = "kim", **more: Any) -> str:
        self.tick()
        with self.database().writing() as connection:
            run = store.start(connection, plan, actor=actor, at=self.now, **more)
            run.save()
            return run.id

    def change(self, run_id: str, act: Any) -> None:
        """Load a run, let ``act(run, at_us)`` change it, and save it."""
        at_us = self.tick()
        with self.database().writing() as connection:
            run: LiveRun = store.load(connection, run_id)
            act(run, at_us)
            run.save()

    def complete(self, run_id: str, step_id: str, note: str = "", actor: str = "kim") -> None:
        payload = {"runId": run_id, "stepId": step_id, "note": note, "actor": actor}
        completion = completion_of(payload)
        self.change(completion.run_id, lambda run, at_us: run.complete(completion, at_us=at_us))

    def execute(self, run_id: str, step_id: str, outcome: Outcome, output: str = "out") -> None:
        self.change(run_id, lambda run, at_us: run.claim(step_id, lease=LEASE, at_us=at_us))
        self.change(
            run_id,
            lambda run, at_us: run.finish(
                step_id, outcome, lease=LEASE, at_us=at_us, runner="test", output=output
            ),
        )

    def get(self, run_id: str) -> dict[str, Any]:
        with self.database().reading() as connection:
            run, plan = queries.get_run(connection, run_id)
            return {**run, "plan": plan_result(plan)}

    def find(self, payload: dict[str, Any]) -> list[str]:
        with self.database().reading() as connection:
            return [run["id"] for run in queries.find_runs(connection, RunQuery.of(payload))]

    def statuses(self, run_id: str) -> str:
        """Return the statuses of run and steps as one text, ``blocked: a=ready b=pending``."""
        run = self.get(run_id)
        return f"{run['status']}: " + " ".join(f"{s['stepId']}={s['status']}" for s in run["steps"])

    def step(self, run_id: str, step_id: str) -> dict[str, Any]:
        return next(s for s in self.get(run_id)["steps"] if s["stepId"] == step_id)

    def events(self, run_id: str) -> list[tuple[str, str, str, str]]:
        ordered = select(events).where(events.c.run_id == run_id).order_by(events.c.id)
        with self.database().reading() as connection:
            rows = connection.execute(ordered)
            return [(r.step_id, r.from_status, r.to_status, r.actor) for r in rows]
