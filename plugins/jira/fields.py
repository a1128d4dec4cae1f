"""From what a caller gives to the fields of a Jira issue.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-post
"""

import datetime
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import Json, object_of, required_text, strings_of, text_of
from opsorch.plugin.vendor import as_list, as_object
from opsorch_plugins.jira.adf_write import document, plain_paragraph, to_adf
from opsorch_plugins.jira.people import People

log = logging.getLogger("opsorch.plugin")

MAX_SUMMARY: Final = 255
# Some texts take the parser quadratic time, so their length is bounded. Jira's own limit, of the
# text without marks, is lower (jira.text.field.character.limit, 32,767 unless changed).
MAX_MARKDOWN: Final = 40_000
_ISSUE_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*-[0-9]+", re.ASCII)
_CUSTOM_FIELD = re.compile(r"customfield_[0-9]+", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LINE_BREAKS = re.compile(r"\s*[\r\n\u2028\u2029]+\s*")
# The people among the fields need a look-up; they are written elsewhere.
_PEOPLE: Final = frozenset({"assignee", "assignees"})


def issue_id(value: str, field: str = "id") -> str:
    """Return an issue's key, in capitals, or its number.

    Raises:
        BadRequest: It is neither.
    """
    given = value.strip()
    if _ISSUE_KEY.fullmatch(given):
        return given.upper()
    if given.isascii() and given.isdigit():
        return given
    raise BadRequest(f"{field} must be an issue key such as OPS-1, or an issue's number")


def markdown_of(given: Json, name: str, *, where: str = "") -> list[Json]:
    """Return a Markdown text as blocks of a document, [] where it is absent or blank.

    Raises:
        BadRequest: It is no string, or too long for Jira.
    """
    text = text_of(given, name, where=where)
    if len(text) > MAX_MARKDOWN:
        raise BadRequest(f"{where}{name} is too long; {MAX_MARKDOWN} characters are taken at most")
    blocks: list[Json] = to_adf(text)["content"]
    return blocks


def _where(name: str) -> str:
    return f"fields.{name}"


def _named(name: str, value: Any) -> Any:
    """Take a name, or an object as Jira has it."""
    if isinstance(value, str) and value.strip():
        return {"name": value.strip()}
    if isinstance(value, dict):
        return value
    raise BadRequest(f"{_where(name)} must be a name or an object")


def _issue_type(name: str, value: Any) -> Any:
    if isinstance(value, str) and value.strip():
        return {"name": value.strip()}
    raise BadRequest(f"{_where(name)} must be the name of an issue type")


def labels_of(value: Any, where: str) -> list[str]:
    """Take a list of labels, or one text with commas; Jira's labels hold no blanks."""
    entries = value.split(",") if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise BadRequest(f"{where} must be a list of strings")
    return list(dict.fromkeys("-".join(entry.split()) for entry in entries if entry.strip()))


def _names(name: str, value: Any) -> list[Json]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise BadRequest(f"{_where(name)} must be a list of names")
    return [{"name": entry.strip()} for entry in value if entry.strip()]


def _parent(name: str, value: Any) -> Json:
    if not isinstance(value, str):
        raise BadRequest(f"{_where(name)} must be an issue key")
    parent = issue_id(value, _where(name))
    return {"id": parent} if parent.isdigit() else {"key": parent}


def _date(name: str, value: Any) -> str:
    try:
        if not isinstance(value, str) or not _DATE.fullmatch(value.strip()):
            raise ValueError("not of the form")
        return datetime.date.fromisoformat(value.strip()).isoformat()
    except ValueError as exc:
        raise BadRequest(f"{_where(name)} must be a date, YYYY-MM-DD") from exc


Writer = Callable[[str, Any], Any]
# Our name, Jira's name, how the value is written, and what null means in an update.
_TABLE: Final[Mapping[str, tuple[str, Writer, Any]]] = {
    "issueType": ("issuetype", _issue_type, None),
    "issuetype": ("issuetype", _issue_type, None),
    "priority": ("priority", _named, None),
    "labels": ("labels", lambda name, value: labels_of(value, _where(name)), []),
    "components": ("components", _names, []),
    "fixVersions": ("fixVersions", _names, []),
    "parent": ("parent", _parent, None),
    "dueDate": ("duedate", _date, None),
}


def _bag(fields: Json, project: str, *, nulls: bool) -> Json:
    """Write the bag, but for people.

    Args:
        fields: What the caller gave.
        project: The only project that may be named.
        nulls: Null clears a field; else it is as if not given.

    Raises:
        BadRequest: A key is not known, or a value does not fit; names it.
    """
    written: Json = {}
    for name, value in fields.items():
        if _CUSTOM_FIELD.fullmatch(name):
            written[name] = value
        elif name == "project":
            _check_project(value, project)
        elif name in _TABLE:
            target, write, empty = _TABLE[name]
            if value is not None:
                written[target] = write(name, value)
            elif nulls and target != "issuetype":
                written[target] = empty
        elif name not in _PEOPLE:
            known = ", ".join(sorted({*_TABLE, *_PEOPLE} - {"issuetype"}))
            raise BadRequest(
                f"{_where(name)} is not supported; use {known} or customfield_<number>"
            )
    return written


def _check_project(value: Any, project: str) -> None:
    named = value.get("key") if isinstance(value, dict) else value
    if not isinstance(named, str) or named.strip().upper() != project:
        raise BadRequest("fields.project must be the configured projectKey, or be left out")


def created(given: Json, project: str, issue_type: str) -> Json:
    """Write a CreateTicketInput as fields of a new issue, but for the people.

    Raises:
        BadRequest: Something is missing or does not fit; names it.
    """
    bag = object_of(given, "fields")
    summary, lead = _summary(required_text(given, "title"))
    description = markdown_of(given, "description")
    fields: Json = {
        "project": {"key": project},
        "summary": summary,
        "issuetype": {"name": issue_type},
        **_bag(bag, project, nulls=False),
    }
    blocks = [*lead, *description]
    if blocks:
        fields["description"] = document(blocks)
    more = labels_of(object_of(given, "metadata").get("labels") or [], "metadata.labels")
    if more:
        fields["labels"] = list(dict.fromkeys([*fields.get("labels", []), *more]))
    return fields


def updated(given: Json, project: str, described: Callable[[], Any]) -> Json:
    """Write an UpdateTicketInput as the changed fields of an issue, but for the people.

    Args:
        given: The input.
        project: The only project that may be named.
        described: Returns the description that the issue has; asked where a title too long for
            Jira has to go into it.

    Raises:
        BadRequest: Something does not fit; names it.
    """
    bag = {name: v for name, v in object_of(given, "fields").items() if name != "resolution"}
    fields = _bag(bag, project, nulls=True)
    lead: list[Json] = []
    if given.get("title") is not None:
        fields["summary"], lead = _summary(required_text(given, "title"))
    if given.get("description") is not None:
        blocks = markdown_of(given, "description")
        fields["description"] = document([*lead, *blocks]) if lead or blocks else None
    elif lead:
        present = described()
        kept = as_list(as_object(present).get("content"))
        fields["description"] = document([*lead, *kept])
    return fields


def _summary(title: str) -> tuple[str, list[Json]]:
    """Return a title in one line that Jira takes, and the whole one as blocks where it was cut."""
    line = _LINE_BREAKS.sub(" ", title).strip()
    if len(line) <= MAX_SUMMARY:
        return line, []
    return f"{line[: MAX_SUMMARY - 1]}…", [plain_paragraph(line)]


def assignee_of(given: Json, people: People) -> tuple[bool, Json | None]:
    """Tell whether an assignee is given, and which; None is nobody.

    ``assignees`` wins over ``fields.assignee``, that over ``fields.assignees``. Jira has one.

    Raises:
        BadRequest: A value does not fit or the person is not known.
    """
    bag = object_of(given, "fields")
    stated: list[tuple[str, list[str]]] = []
    if given.get("assignees") is not None:
        stated.append(("assignees", strings_of(given, "assignees")))
    if "assignee" in bag:
        stated.append(("fields.assignee", [text_of(bag, "assignee", where="fields.")]))
    if bag.get("assignees") is not None:
        stated.append(("fields.assignees", strings_of(bag, "assignees", where="fields.")))
    for name, people_given in stated:
        everybody = [person.strip() for person in people_given if person.strip()]
        if len(everybody) > 1:
            log.warning("jira: an issue has one assignee; %s more dropped", len(everybody) - 1)
        if everybody:
            return True, _account(everybody[0], name, people)
    return bool(stated), None


def reporter_of(given: Json, people: People) -> Json | None:
    """Return the reporter, or None where none is given."""
    return _account(text_of(given, "reporter").strip(), "reporter", people)


def _account(person: str, field: str, people: People) -> Json | None:
    return {"accountId": people.required(person, field)} if person else None
