"""The runner of the demo world: every automated step takes the same time, without a thread.

What has become of a run is a function of what is stored and of the clock. Whoever calls first
writes it down.
"""

from typing import Final

from sqlalchemy import and_, or_, select
from sqlalchemy.engine import Connection

from opsorch.runbooks import store
from opsorch.runbooks.live import LiveRun, LiveStep
from opsorch.runbooks.states import STARTS, Outcome, StepStatus
from opsorch.runbooks.tables import runs, steps

RUNNER: Final = "simulated"
# The robot that the world blames for what no person does.
ACTOR: Final = "sre-bot"
# The lease of every simulated attempt: whoever looks first may write its end.
LEASE: Final = "simulated"
# A step whose id ends so fails, for demonstrations.
FAILS: Final = "-fails"


def due_runs(connection: Connection, now_us: int, step_us: int, run_id: str = "") -> list[str]:
    """Return the runs, or the one, in which something has happened that is not written yet."""
    ended = and_(steps.c.status == StepStatus.RUNNING, steps.c.started_us <= now_us - step_us)
    waiting = and_(
        steps.c.status == StepStatus.READY, steps.c.automated, runs.c.status.in_(list(STARTS))
    )
    statement = (
        select(runs.c.id)
        .join(steps, steps.c.run_id == runs.c.id)
        .where(or_(ended, waiting))
        .distinct()
        .order_by(runs.c.id)
    )
    if run_id:
        statement = statement.where(runs.c.id == run_id)
    return list(connection.scalars(statement))


def settle_due(connection: Connection, now_us: int, step_us: int, run_id: str = "") -> None:
    """Write down what has happened; the caller has the write lock and commits."""
    for due in due_runs(connection, now_us, step_us, run_id):
        run = store.load(connection, due)
        settle(run, now_us, step_us)
        run.save()


def settle(run: LiveRun, now_us: int, step_us: int) -> None:
    """Start the steps that are the runner's, and end those that are due, in order of time.

    A step begins at the instant that made it ready and ends ``step_us`` later, however late that
    is noticed.
    """
    while True:
        ready_us = run.changed_us
        for step in run.claimable():
            run.claim(step.state.id, lease=LEASE, at_us=ready_us, actor=ACTOR)
        ends = [((step.started_us or 0) + step_us, step.position, step) for step in run.running()]
        if not ends:
            return
        end_us, _, step = min(ends, key=lambda end: end[:2])
        if end_us > now_us:
            return
        finish(run, step, end_us)


def finish(run: LiveRun, step: LiveStep, at_us: int) -> None:
    """End an attempt as its step's name says."""
    fails = step.state.id.endswith(FAILS)
    work = step.fields.get("exec", {})
    said = " ".join([str(work.get("image", "")), *work.get("command", ()), *work.get("args", ())])
    run.finish(
        step.state.id,
        Outcome(exit_code=1 if fails else 0),
        lease=LEASE,
        at_us=at_us,
        runner=RUNNER,
        output=f"simulated: {said.strip()}",
    )
