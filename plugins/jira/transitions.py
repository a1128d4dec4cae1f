"""From a status that is asked for to the transition that leads there: pure.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-transitions-get
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.observability.redact import clean_text
from opsorch.plugin.payload import Json
from opsorch.plugin.vendor import as_text, object_in

# Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-workflow-status-categories/
CATEGORY_OF: Final[Mapping[str, str]] = {
    "open": "new",
    "todo": "new",
    "new": "new",
    "in_progress": "indeterminate",
    "closed": "done",
    "resolved": "done",
    "done": "done",
}
# Every issue has these.
_ALWAYS_SET: Final = frozenset({"summary", "issuetype", "project", "reporter"})


@dataclass(frozen=True)
class Found:
    """A transition that leads to the status, if any.

    Attributes:
        transition: Jira's object, or None.
        doubtful: The issue may be in the status already: look before going.
    """

    transition: Json | None
    doubtful: bool


def find(status: str, transitions: Iterable[Json]) -> Found:
    """Look for the transition to a status: by the status' name, the transition's, the category."""
    usable = [t for t in transitions if t.get("isAvailable") is not False]
    wanted = _folded(status)
    category = CATEGORY_OF.get(wanted)
    tries: tuple[Callable[[Json], bool], ...] = (
        lambda t: _folded(object_in(t, "to").get("name")) == wanted,
        lambda t: _folded(t.get("name")) == wanted,
        lambda t: category is not None and _category(object_in(t, "to")) == category,
    )
    chosen = next((t for fits in tries for t in usable if fits(t)), None)
    # Only a transition that leaves one certain other status proves where the issue is not.
    directed = chosen is not None and chosen.get("isGlobal") is False and not chosen.get("looped")
    return Found(chosen, doubtful=category is not None or not directed)


def is_in(status: str, present: Any) -> bool:
    """Tell whether a status object of Jira is the status, by name, or by category for a word."""
    wanted = _folded(status)
    if not isinstance(present, dict):
        return False
    category = CATEGORY_OF.get(wanted)
    return _folded(present.get("name")) == wanted or (
        category is not None and _category(present) == category
    )


def unreachable(status: str, transitions: Iterable[Json]) -> BadRequest:
    """Make the error of a status that no transition leads to; lists those that can be reached."""
    names = dict.fromkeys(
        clean_text(str(object_in(t, "to").get("name")), 60)
        for t in transitions
        if t.get("isAvailable") is not False and object_in(t, "to").get("name")
    )
    reachable = ", ".join(names) or "nothing"
    return BadRequest(
        f"status: {clean_text(status, 60)!r} cannot be reached from the present status;"
        f" reachable: {reachable}"
    )


def fields_on_screen(transition: Json) -> Mapping[str, Json]:
    """Return the fields of a transition's screen, by id."""
    fields = object_in(transition, "fields")
    return {i: f for i, f in fields.items() if isinstance(f, dict)}


def open_requirements(transition: Json, values: Mapping[str, Any]) -> list[str]:
    """Return the ids of the screen's required fields that neither have a default nor a value."""
    return [
        field_id
        for field_id, field in fields_on_screen(transition).items()
        if field.get("required") is True
        and field.get("hasDefaultValue") is not True
        and field_id not in _ALWAYS_SET
        and values.get(field_id) in (None, "", [], {})
    ]


def missing_fields(transition: Json, ids: Iterable[str]) -> BadRequest:
    """Make the error of required fields without a value."""
    fields = fields_on_screen(transition)
    named = [f"{i} ({clean_text(str(fields[i].get('name') or i), 60)})" for i in ids]
    return BadRequest(f"status: this change needs a value of {', '.join(named)}; give it in fields")


def _category(status: Json) -> str:
    category = status.get("statusCategory")
    return str(category.get("key")) if isinstance(category, dict) else ""


def _folded(value: Any) -> str:
    return as_text(value).strip().casefold()
