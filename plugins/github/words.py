"""What callers may write where GitHub wants a login, labels or a number."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import Json

# Users managed by an enterprise have an underscore in their login, apps the suffix.
# Source: https://docs.github.com/en/enterprise-cloud@latest/authentication/
# authenticating-with-saml-single-sign-on/authenticating-with-a-managed-user-account
_LOGIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\[bot\])?")

# Words for an issue's state. Source: https://docs.github.com/en/rest/issues/issues, parameter state
STATES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("open", "new", "todo", "triage", "reopened"), "open"),
    **dict.fromkeys(("in_progress", "in_review"), "open"),
    **dict.fromkeys(("closed", "resolved", "done", "completed", "fixed"), "closed"),
    **dict.fromkeys(("cancelled", "wontfix", "not_planned"), "closed"),
}
_NOT_PLANNED: Final = frozenset({"cancelled", "wontfix", "not_planned"})


def reason_for(word: str, *, was_closed: bool) -> str:
    """Return the ``state_reason`` that goes with a status word, "" where none does.

    Source: https://docs.github.com/en/rest/issues/issues, "Update an issue", state_reason
    """
    word = word.strip().casefold()
    if STATES[word] == "open":
        return "reopened" if was_closed else ""
    return "not_planned" if word in _NOT_PLANNED else "completed"


def login(value: str, field: str) -> str:
    """Return a login without the ``@`` that people put before it.

    Raises:
        BadRequest: It cannot be one.
    """
    name = value.strip().removeprefix("@")
    if not _LOGIN.fullmatch(name):
        raise BadRequest(f"{field}: a GitHub login has letters, digits and hyphens only")
    return name


def logins(values: Iterable[str], field: str) -> list[str]:
    """Check several logins; each counts once, letter case aside."""
    return united(login(value, field) for value in values)


def texts(values: Json, name: str, where: str) -> list[str]:
    """Return a field that is a list of strings or one string with commas; blanks are left out.

    Raises:
        BadRequest: It is something else.
    """
    value = values.get(name)
    if value is None:
        return []
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRequest(f"{where}{name} must be a list of strings, or one string with commas")
    return [item.strip() for item in value if item.strip()]


def united(*lists: Iterable[str]) -> list[str]:
    """Join lists of names, each name once, letter case aside, the first spelling kept."""
    found: dict[str, str] = {}
    for values in lists:
        for value in values:
            found.setdefault(value.casefold(), value)
    return list(found.values())


def milestone_number(value: Any) -> int:
    """Return the number of a milestone.

    Raises:
        BadRequest: It is none.
    """
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadRequest("fields.milestone must be the number of a milestone")
    return value


def missing_from(wanted: Iterable[str], got: Iterable[str]) -> list[str]:
    """Return the names that are not among those that came back, letter case aside."""
    known = {name.casefold() for name in got}
    return [name for name in wanted if name.casefold() not in known]
