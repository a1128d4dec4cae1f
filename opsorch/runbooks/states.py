"""How steps and runs move from state to state: tables and pure functions, no database.

The transitions of a step::

    pending -> ready            every dependency succeeded or was skipped
    ready -> blocked -> ready   no runner may take it; one may again
    ready -> running            a runner claims it
    running -> succeeded | failed | ready (again, with the next attempt)
    ready | blocked | failed -> succeeded    an operator completes it
    pending | ready | blocked -> skipped     optional, and nothing required is left
    pending | ready | blocked | running -> cancelled
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class StepStatus(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    BLOCKED = "blocked"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class RunStatus(StrEnum):
    """Where a run stands."""

    CREATED = "created"
    RUNNING = "running"
    BLOCKED = "blocked"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Trigger(StrEnum):
    """What moves a step."""

    UNLOCK = "unlock"
    HOLD = "hold"
    RELEASE = "release"
    CLAIM = "claim"
    SUCCEED = "succeed"
    RETRY = "retry"
    FAIL = "fail"
    COMPLETE = "complete"
    SKIP = "skip"
    CANCEL = "cancel"


_S: Final = StepStatus
_WAITING: Final = (_S.PENDING, _S.READY, _S.BLOCKED)

TRANSITIONS: Final[Mapping[Trigger, Mapping[StepStatus, StepStatus]]] = {
    Trigger.UNLOCK: {_S.PENDING: _S.READY},
    Trigger.HOLD: {_S.READY: _S.BLOCKED},
    Trigger.RELEASE: {_S.BLOCKED: _S.READY},
    Trigger.CLAIM: {_S.READY: _S.RUNNING},
    Trigger.SUCCEED: {_S.RUNNING: _S.SUCCEEDED},
    Trigger.RETRY: {_S.RUNNING: _S.READY},
    Trigger.FAIL: {_S.RUNNING: _S.FAILED},
    Trigger.COMPLETE: dict.fromkeys((_S.READY, _S.BLOCKED, _S.FAILED), _S.SUCCEEDED),
    Trigger.SKIP: dict.fromkeys(_WAITING, _S.SKIPPED),
    Trigger.CANCEL: dict.fromkeys((*_WAITING, _S.RUNNING), _S.CANCELLED),
}

# A dependency in one of these holds up nothing.
DONE: Final = frozenset({_S.SUCCEEDED, _S.SKIPPED})
# A run in one of these changes no more, and one that is not in STARTS starts no automated step.
ENDED: Final = frozenset({RunStatus.COMPLETED, RunStatus.CANCELLED})
STARTS: Final = frozenset({RunStatus.CREATED, RunStatus.RUNNING, RunStatus.BLOCKED})


class IllegalTransition(ValueError):
    """A trigger does not apply to a step in this status; a defect of the caller."""


def after(status: StepStatus, trigger: Trigger) -> StepStatus:
    """Return the status that a trigger leads to.

    Raises:
        IllegalTransition: It leads nowhere from this status.
    """
    try:
        return TRANSITIONS[trigger][status]
    except KeyError as exc:
        raise IllegalTransition(f"{trigger} does not apply to a step that is {status}") from exc


@dataclass(frozen=True, slots=True)
class StepState:
    """What the status of a run depends on.

    Attributes:
        started: It has been started at some time.
    """

    id: str
    status: StepStatus
    depends_on: tuple[str, ...] = ()
    automated: bool = False
    optional: bool = False
    started: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """A step that is to change, and why."""

    step_id: str
    trigger: Trigger


def first_status(depends_on: Sequence[str]) -> StepStatus:
    """Return the status of a step when its run starts."""
    return _S.PENDING if depends_on else _S.READY


def consequences(steps: Sequence[StepState]) -> list[Move]:
    """Return what the statuses of a run's steps bring about, in the order of the plan.

    Steps whose dependencies are done become ready; once every required step is done, optional
    ones that have not begun are skipped. A plan of nothing but optional steps is worked through.
    """
    required = [step for step in steps if not step.optional]
    if required and all(step.status in DONE for step in required):
        return [
            Move(step.id, Trigger.SKIP)
            for step in steps
            if step.optional and step.status in TRANSITIONS[Trigger.SKIP]
        ]
    done = {step.id for step in steps if step.status in DONE}
    return [
        Move(step.id, Trigger.UNLOCK)
        for step in steps
        if step.status is _S.PENDING and done.issuperset(step.depends_on)
    ]


def run_status(steps: Sequence[StepState], *, cancelled: bool = False) -> RunStatus:
    """Return where a run stands; the first rule that holds decides."""
    statuses = {step.status for step in steps}
    rules = (
        (RunStatus.CANCELLED, cancelled),
        (RunStatus.FAILED, any(s.status is _S.FAILED and not s.optional for s in steps)),
        (RunStatus.COMPLETED, statuses <= DONE),
        (RunStatus.CREATED, not any(s.started or s.status not in _WAITING for s in steps)),
        (RunStatus.RUNNING, any(_moves_by_itself(step) for step in steps)),
    )
    return next((status for status, holds in rules if holds), RunStatus.BLOCKED)


def missing_dependencies(step: StepState, steps: Iterable[StepState]) -> list[str]:
    """Return what a step waits for, in the order of the plan."""
    return [other.id for other in steps if other.id in step.depends_on and other.status not in DONE]


def moved(step: StepState, trigger: Trigger) -> StepState:
    """Return the step after a trigger."""
    status = after(step.status, trigger)
    begun = status not in (*_WAITING, _S.SKIPPED, _S.CANCELLED)
    return replace(step, status=status, started=step.started or begun)


def _moves_by_itself(step: StepState) -> bool:
    return step.status is _S.RUNNING or (step.status is _S.READY and step.automated)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt of a runner ended.

    Attributes:
        exit_code: None where the workload did not end by itself.
        error: Why it failed, in one line; "" where the exit code says all.
    """

    exit_code: int | None
    error: str = ""


def verdict(outcome: Outcome, *, tolerant: bool) -> tuple[Trigger, dict[str, str]]:
    """Tell what an attempt means for its step: the trigger, and fields that explain it.

    ``tolerant`` steps take any exit status for done.
    """
    if outcome.error or outcome.exit_code is None:
        return Trigger.FAIL, {"error": outcome.error or "it did not end by itself"}
    if outcome.exit_code == 0:
        return Trigger.SUCCEED, {}
    said = f"exit status {outcome.exit_code}"
    return (Trigger.SUCCEED, {"warning": said}) if tolerant else (Trigger.FAIL, {"error": said})
