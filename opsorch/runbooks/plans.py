"""What a plan is: frozen records, as read from a file and as kept with each run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Self

import msgspec

from opsorch.observability.redact import MASK, looks_secret
from opsorch.plugin.payload import without_empty

Json = dict[str, Any]


class Presence(StrEnum):
    """Whether a step of some type has an ``exec``."""

    FORBIDDEN = "forbidden"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class StepType:
    """What a type of step means.

    Attributes:
        runs: Whether its steps have an ``exec``.
        needs_note: The note of whoever completes it is the record, so it must be there.
        tolerant: Any exit status counts as done.
    """

    runs: Presence
    needs_note: bool = False
    tolerant: bool = False


STEP_TYPES: Final[Mapping[str, StepType]] = {
    "manual": StepType(Presence.FORBIDDEN),
    "record": StepType(Presence.FORBIDDEN, needs_note=True),
    "observe": StepType(Presence.OPTIONAL, tolerant=True),
    "invoke": StepType(Presence.OPTIONAL),
    "verify": StepType(Presence.OPTIONAL),
    "automated": StepType(Presence.REQUIRED),
}


@dataclass(frozen=True, slots=True)
class Exec:
    """What a runner starts for an automated step.

    Attributes:
        timeout_s: Limit of one attempt in seconds; None is the runner's own.
        retries: How often it is tried again after a failure.
        on_lost: What becomes of it when its runner is gone: ``fail`` or ``retry``.
    """

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: int | None = None
    retries: int = 0
    on_lost: str = "fail"

    def shown(self) -> Json:
        """Write it as plan files have it; values of ``env`` that look secret are masked."""
        env = {name: MASK if looks_secret(name) else value for name, value in self.env.items()}
        shape = {
            "image": self.image,
            "command": list(self.command),
            "args": list(self.args),
            "env": env,
            "timeoutSeconds": self.timeout_s,
            "onLost": "" if self.on_lost == "fail" else self.on_lost,
        }
        return without_empty(shape) | ({"retries": self.retries} if self.retries else {})


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan."""

    id: str
    title: str
    type: str = "manual"
    description: str = ""
    reasoning: str = ""
    depends_on: tuple[str, ...] = ()
    exec: Exec | None = None
    optional: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def automated(self) -> bool:
        """Whether a runner does it, not an operator."""
        return self.exec is not None

    def shown_fields(self) -> Json:
        """Return the fields of the step in results: the file's, and what the engine adds."""
        added = without_empty(
            {"reasoning": self.reasoning, "exec": self.exec.shown() if self.exec else None}
        )
        return {**self.fields, **added, "automated": self.automated}


@dataclass(frozen=True, slots=True)
class Plan:
    """A valid plan.

    Attributes:
        origin: Where it comes from (source, file, commit); laid over ``metadata`` in results.
    """

    id: str
    title: str
    service: str
    team: str
    environment: str
    steps: tuple[Step, ...]
    description: str = ""
    version: str = ""
    url: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)

    @property
    def scope(self) -> dict[str, str]:
        """The scope of the plan and of its runs."""
        return {"service": self.service, "team": self.team, "environment": self.environment}

    def with_origin(self, **origin: str) -> "Plan":
        """Return the plan with facts about where it comes from; empty ones are left out."""
        return replace(self, origin=without_empty({**self.origin, **origin}))

    def snapshot(self) -> Json:
        """Write the whole plan as JSON, secrets of ``exec.env`` included; see ``from_snapshot``."""
        snapshot: Json = msgspec.to_builtins(self)
        return snapshot

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, Any]) -> Self:
        """Return the plan of which ``snapshot`` is the JSON."""
        return msgspec.convert(snapshot, cls)
