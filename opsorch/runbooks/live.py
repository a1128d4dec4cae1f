"""A run inside a write transaction: claim, finish and complete its steps.

Every change is conditional on the status that it was decided on, takes the dependents and the
status of the run along, and leaves an event. The caller opens the transaction
(``Database.writing``) and commits it; ``LiveRun.save`` writes what belongs to the whole run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import insert, update
from sqlalchemy.engine import Connection, Row

from opsorch.errors import BadRequest, Conflict, NotFound
from opsorch.plugin.payload import without_empty
from opsorch.plugin.times import format_time
from opsorch.runbooks.plans import STEP_TYPES
from opsorch.runbooks.states import (
    ENDED,
    STARTS,
    Outcome,
    RunStatus,
    StepState,
    StepStatus,
    Trigger,
    consequences,
    missing_dependencies,
    moved,
    run_status,
    verdict,
)
from opsorch.runbooks.tables import events, moment, runs, steps

Json = dict[str, Any]

# Who acts where no operator does.
SYSTEM: Final = "system"
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Completion:
    """What an operator says on completing a step; ``requests.completion_of`` checks it."""

    run_id: str
    step_id: str
    actor: str
    note: str


@dataclass(slots=True)
class LiveStep:
    """A step of a run in a write transaction."""

    state: StepState
    type: str
    position: int
    actor: str
    note: str
    started_us: int | None
    finished_us: int | None
    updated_us: int
    attempt: int
    lease_owner: str | None
    fields: Json

    @property
    def status(self) -> StepStatus:
        """Where the step stands."""
        return self.state.status


class LiveRun:
    """A run in a write transaction. Nothing of it is to be used after the transaction."""

    def __init__(
        self,
        connection: Connection,
        row: Row[Any],
        live_steps: Mapping[str, LiveStep],
        *,
        new: bool = False,
    ) -> None:
        """Take over what was read; a new run is one that this transaction began."""
        self._connection = connection
        self.id: str = row.id
        self.status = RunStatus(row.status)
        self.steps = live_steps
        # The instant of the last change, from which steps that it made ready have been waiting.
        self.changed_us: int = row.updated_us
        # Nobody has seen a new run yet, so it may keep its first instant.
        self._saved_us: int = row.updated_us - new
        self._revision: int = row.revision
        self._events: list[Json] = []

    @property
    def states(self) -> list[StepState]:
        """The states of all steps, in the order of the plan."""
        return [step.state for step in self.steps.values()]

    def claimable(self) -> list[LiveStep]:
        """Return the steps that a runner may start, in the order of the plan."""
        if self.status not in STARTS:
            return []
        return [
            step
            for step in self.steps.values()
            if step.state.automated and step.status is StepStatus.READY
        ]

    def running(self) -> list[LiveStep]:
        """Return the steps that are being executed, in the order of the plan."""
        return [step for step in self.steps.values() if step.status is StepStatus.RUNNING]

    def claim(
        self,
        step_id: str,
        *,
        lease: str,
        at_us: int,
        until_us: int | None = None,
        actor: str = SYSTEM,
    ) -> LiveStep:
        """Take a step for a runner, who is named by a lease token; see ``claimable``.

        Raises:
            Conflict: It was taken meanwhile.
        """
        values = {
            "actor": actor,
            "started_us": at_us,
            "lease_owner": lease,
            "lease_until_us": until_us,
        }
        return self._move(step_id, Trigger.CLAIM, values, actor=actor, at_us=at_us)

    def finish(
        self,
        step_id: str,
        outcome: Outcome,
        *,
        lease: str,
        at_us: int,
        runner: str,
        output: str = "",
    ) -> LiveStep:
        """Record how an attempt ended; only whoever holds the lease may.

        Raises:
            Conflict: Another one holds the lease, or the step is no longer running.
        """
        step = self.steps[step_id]
        if step.lease_owner != lease:
            raise _changed(step_id)
        trigger, said = verdict(outcome, tolerant=STEP_TYPES[step.type].tolerant)
        facts = {
            "output": output,
            "runner": runner,
            "exitCode": outcome.exit_code,
            "attempt": step.attempt,
            "durationMs": (at_us - (step.started_us or at_us)) // 1000,
        }
        values = {
            "finished_us": at_us,
            "lease_owner": None,
            "lease_until_us": None,
            "note": said.get("error", ""),
            "fields": {**step.fields, **without_empty(facts), **said},
        }
        return self._move(step_id, trigger, values, actor=step.actor, at_us=at_us)

    def hold(self, step_id: str, reason: str, *, at_us: int) -> LiveStep:
        """Block a step that no runner may take; an operator can complete it."""
        values = {"note": reason}
        return self._move(step_id, Trigger.HOLD, values, actor=SYSTEM, at_us=at_us, note=reason)

    def release(self, step_id: str, *, at_us: int) -> LiveStep:
        """Give a blocked step to the runners again."""
        return self._move(step_id, Trigger.RELEASE, {"note": ""}, actor=SYSTEM, at_us=at_us)

    def complete(self, completion: Completion, *, at_us: int) -> LiveStep:
        """Complete a step for an operator.

        Raises:
            NotFound: The run has no such step.
            Conflict: The run has ended, or the step is not in a state to be completed.
            BadRequest: A runner does it, or a note is required.
        """
        step = self.steps.get(completion.step_id)
        if step is None:
            raise NotFound(f"run {self.id} has no step {completion.step_id}")
        if self.status in ENDED:
            raise Conflict(f"run {self.id} is {self.status}")
        self._check_completable(step)
        overrides = step.status is StepStatus.FAILED
        if not completion.note.strip() and (overrides or STEP_TYPES[step.type].needs_note):
            why = "overrides a failed step" if overrides else f"completes a {step.type} step"
            raise BadRequest(f"a note is required: it {why} ({step.state.id})")
        values: Json = {
            "actor": completion.actor,
            "note": completion.note,
            "finished_us": at_us,
            "started_us": at_us if step.started_us is None else step.started_us,
        }
        if overrides:
            earlier = step.fields.get("error") or step.note
            values["fields"] = {**step.fields, "error": earlier, "overridden": True}
        return self._move(
            step.state.id,
            Trigger.COMPLETE,
            values,
            actor=completion.actor,
            at_us=at_us,
            note=completion.note,
        )

    def save(self) -> None:
        """Write the run's own status, instant and revision, and the events since the last save."""
        if not self._events:
            return
        self._connection.execute(insert(events), self._events)
        self._events = []
        # Whoever polls by updatedAt must see each write, whatever the clock does.
        self._saved_us = max(self.changed_us, self._saved_us + 1)
        self._revision += 1
        self._connection.execute(
            update(runs)
            .where(runs.c.id == self.id)
            .values(status=self.status, updated_us=self._saved_us, revision=self._revision)
        )

    def _check_completable(self, step: LiveStep) -> None:
        step_id, status = step.state.id, step.status
        if status is StepStatus.PENDING:
            waiting = ", ".join(missing_dependencies(step.state, self.states))
            raise Conflict(f"step {step_id} waits for: {waiting}")
        if status is StepStatus.RUNNING:
            raise Conflict(f"step {step_id} is being executed")
        if status is StepStatus.SUCCEEDED:
            at = format_time(moment(step.finished_us or step.updated_us))
            raise Conflict(f"step {step_id} was completed by {step.actor} at {at}")
        if status in (StepStatus.SKIPPED, StepStatus.CANCELLED):
            raise Conflict(f"step {step_id} is {status}")
        if status is StepStatus.READY and step.state.automated:
            raise BadRequest(f"step {step_id} runs automatically")

    def _move(
        self,
        step_id: str,
        trigger: Trigger,
        values: Mapping[str, Any],
        *,
        actor: str,
        at_us: int,
        note: str = "",
    ) -> LiveStep:
        """Move one step, and whatever follows from it."""
        step = self._change(step_id, trigger, values, actor=actor, at_us=at_us, note=note)
        while moves := consequences(self.states):
            for move in moves:
                self._change(move.step_id, move.trigger, {}, actor=SYSTEM, at_us=at_us)
        self.status = run_status(self.states, cancelled=self.status is RunStatus.CANCELLED)
        self.changed_us = max(self.changed_us, at_us)
        return step

    def _change(
        self,
        step_id: str,
        trigger: Trigger,
        values: Mapping[str, Any],
        *,
        actor: str,
        at_us: int,
        note: str = "",
    ) -> LiveStep:
        """Write one transition, on condition that the step still is as it was read."""
        step = self.steps[step_id]
        state = moved(step.state, trigger)
        lease = steps.c.lease_owner
        statement = (
            update(steps)
            .where(steps.c.run_id == self.id, steps.c.step_id == step_id)
            .where(steps.c.status == step.status)
            .where(lease.is_(None) if step.lease_owner is None else lease == step.lease_owner)
            .values(**values, status=state.status, updated_us=at_us)
        )
        if self._connection.execute(statement).rowcount != 1:
            raise _changed(step_id)
        self._events.append(
            {
                "run_id": self.id,
                "step_id": step_id,
                "at_us": at_us,
                "actor": actor,
                "from_status": step.status,
                "to_status": state.status,
                "note": note or values.get("note", ""),
            }
        )
        step.state, step.updated_us = state, at_us
        for name, value in values.items():
            if name != "lease_until_us":
                setattr(step, name, value)
        return step


def _changed(step_id: str) -> Conflict:
    return Conflict(f"step {step_id} has changed meanwhile; look at the run again")
