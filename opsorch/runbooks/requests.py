"""Payloads of the orchestration methods, checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import (
    all_words_in,
    limit_of,
    object_of,
    scope_of,
    strings_of,
    text_of,
    words_of,
)
from opsorch.runbooks.live import UNKNOWN, Completion
from opsorch.runbooks.plans import Plan
from opsorch.runbooks.states import RunStatus

DEFAULT_LIMIT: Final = 100
MOST: Final = 1000
MAX_ACTOR: Final = 256
MAX_NOTE: Final = 4096
MAX_QUERY: Final = 1000
MAX_IDS: Final = 1000

_STATUSES: Final[Mapping[str, str]] = {status: status for status in RunStatus}


def id_from(payload: Mapping[str, Any], name: str) -> str:
    """Return an id of the payload, trimmed.

    Raises:
        BadRequest: It is no string, blank, or can be no id: ``/`` and ``..`` name files.
    """
    value = _checked(payload, name).strip()
    if not value:
        raise BadRequest(f"{name} is required")
    if "/" in value or ".." in value:
        raise BadRequest(f"{name} must not contain '/' or '..'")
    return value


def completion_of(payload: Mapping[str, Any], actor: str = "") -> Completion:
    """Read the payload of ``orchestration.runs.steps.complete``.

    ``actor`` is who calls, for a payload that names nobody.

    Raises:
        BadRequest: A field is missing, of the wrong type or too long.
    """
    named = _checked(payload, "actor", most=MAX_ACTOR).strip()
    return Completion(
        run_id=id_from(payload, "runId"),
        step_id=id_from(payload, "stepId"),
        actor=named or actor.strip()[:MAX_ACTOR] or UNKNOWN,
        note=_checked(payload, "note", most=MAX_NOTE),
    )


@dataclass(frozen=True, slots=True)
class PlanQuery:
    """What ``orchestration.plans.query`` asks for."""

    query: str
    scope: Mapping[str, str]
    tags: Mapping[str, Any]
    step_type: Any
    limit: int

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> "PlanQuery":
        """Read the payload.

        Raises:
            BadRequest: A filter has the wrong type; names it.
        """
        return cls(
            query=_checked(payload, "query", most=MAX_QUERY),
            scope=scope_of(payload),
            tags=object_of(payload, "tags"),
            step_type=object_of(payload, "metadata").get("type"),
            limit=limit_of(payload, default=DEFAULT_LIMIT, most=MOST),
        )

    def over(self, plans: Iterable[Plan]) -> list[Plan]:
        """Return the plans that fit, by id, at most ``limit``."""
        found = [plan for plan in plans if self._fits(plan)]
        return sorted(found, key=lambda plan: plan.id)[: self.limit]

    def _fits(self, plan: Plan) -> bool:
        texts = (plan.title, plan.description, plan.id, *plan.tags.values())
        return (
            all(plan.scope[name] == value for name, value in self.scope.items())
            and all(plan.tags.get(name) == value for name, value in self.tags.items())
            and (self.step_type is None or any(s.type == self.step_type for s in plan.steps))
            and all_words_in(self.query, texts)
        )


@dataclass(frozen=True, slots=True)
class RunQuery:
    """What ``orchestration.runs.query`` asks for."""

    words: tuple[str, ...]
    statuses: tuple[str, ...]
    plan_ids: tuple[str, ...]
    scope: Mapping[str, str]
    created_by: str | None
    limit: int

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> "RunQuery":
        """Read the payload.

        Raises:
            BadRequest: A filter has the wrong type, or a status is unknown; names it.
        """
        plan_ids = tuple(dict.fromkeys(strings_of(payload, "planIds")))
        if len(plan_ids) > MAX_IDS:
            raise BadRequest(f"planIds must be at most {MAX_IDS}")
        created_by = object_of(payload, "metadata").get("createdBy")
        if created_by is not None and not isinstance(created_by, str):
            raise BadRequest("metadata.createdBy must be a string")
        scope = scope_of(payload)
        for text in (*plan_ids, *scope.values(), created_by or ""):
            _check_characters(text, "a filter")
        return cls(
            words=tuple(_checked(payload, "query", most=MAX_QUERY).casefold().split()),
            statuses=tuple(words_of(_STATUSES, strings_of(payload, "statuses"), "statuses")),
            plan_ids=plan_ids,
            scope=scope,
            created_by=created_by,
            limit=limit_of(payload, default=DEFAULT_LIMIT, most=MOST),
        )


def _checked(payload: Mapping[str, Any], name: str, *, most: int = MAX_QUERY) -> str:
    text = text_of(payload, name)
    if len(text) > most:
        raise BadRequest(f"{name} must be at most {most} characters")
    _check_characters(text, name)
    return text


def _check_characters(text: str, name: str) -> None:
    """Refuse what no database can hold: NUL and halves of characters."""
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
        raise BadRequest(f"{name} holds NUL or half a character")
