"""From a TicketQuery to JQL."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin import Call
from opsorch.plugin.payload import Json, object_of, one_or_more_of, scope_of, strings_of, text_of
from opsorch_plugins.jira.components import Components
from opsorch_plugins.jira.jql import all_of, any_of, equals, one_of, raw_clause, text_clause
from opsorch_plugins.jira.people import People
from opsorch_plugins.jira.settings import SCOPE_PARTS, Settings

# Words that stand for a category of statuses; written otherwise ("Done") they are status names.
# Source: https://support.atlassian.com/jira-software-cloud/docs/jql-fields/ (statusCategory)
_TO_DO: Final = 'statusCategory = "To Do"'
_IN_PROGRESS: Final = 'statusCategory = "In Progress"'
_DONE: Final = "statusCategory = Done"
CATEGORY_CLAUSE: Final[Mapping[str, str]] = {
    "open": "statusCategory != Done",
    "todo": _TO_DO,
    "new": _TO_DO,
    "in_progress": _IN_PROGRESS,
    "closed": _DONE,
    "resolved": _DONE,
    "done": _DONE,
}
# How a label says which part of the scope its value belongs to.
LABEL_PREFIX: Final[Mapping[str, str]] = {
    "service": "service",
    "team": "team",
    "environment": "env",
}
_ME: Final = "me"
_NOBODY: Final = frozenset({"", "unassigned"})
_WITHIN = re.compile(r"-[0-9]+[mhdw]")


class MatchesNothing(Exception):
    """The query asks for somebody or something that does not exist."""


@dataclass(frozen=True)
class QueryWriter:
    """Writes the JQL of one call; may look up people and components."""

    settings: Settings
    people: People
    components: Components
    call: Call

    def jql(self, payload: Json) -> str:
        """Write a TicketQuery as JQL; the project always comes first.

        Raises:
            BadRequest: A field does not fit; names it.
            MatchesNothing: No issue can fit.
        """
        metadata = object_of(payload, "metadata")
        words = text_of(payload, "query")
        raw = self._raw(metadata)
        within = _within(metadata)
        listed = [
            *[equals("labels", label) for label in _texts(metadata, "labels")],
            *[
                one_of(field, values)
                for field, name in _LISTED.items()
                if (values := _texts(metadata, name))
            ],
        ]
        clauses = [
            equals("project", self.settings["projectKey"]),
            text_clause(words) if words.strip() else "",
            _status_clause(strings_of(payload, "statuses")),
            self._assignee_clause(strings_of(payload, "assignees")),
            self._reporter_clause(text_of(payload, "reporter").strip()),
            *self._scope_clauses(scope_of(payload)),
            *listed,
            within,
            raw,
        ]
        return f"{all_of(clauses)} ORDER BY key DESC"

    def _assignee_clause(self, people: list[str]) -> str:
        wanted = [person.strip() for person in people]
        if not wanted:
            return ""
        named = [person for person in wanted if person not in _NOBODY | {_ME}]
        ids = self.people.known(named)
        clauses = [one_of("assignee", ids)] if ids else []
        if _ME in wanted:
            clauses.append("assignee = currentUser()")
        if _NOBODY & set(wanted):
            clauses.append("assignee IS EMPTY")
        if not clauses:
            raise MatchesNothing
        return any_of(clauses)

    def _reporter_clause(self, person: str) -> str:
        if not person:
            return ""
        if person == _ME:
            return "reporter = currentUser()"
        found = self.people.id_of(person)
        if not found:
            raise MatchesNothing
        return equals("reporter", found)

    def _scope_clauses(self, scope: Mapping[str, str]) -> list[str]:
        return [self._scope_clause(part, scope[part]) for part in SCOPE_PARTS if part in scope]

    def _scope_clause(self, part: str, value: str) -> str:
        field = self.settings["scopeFields"].get(part)
        if field == "component" or (field is None and part == "service"):
            component = self.components.named(value, self.call)
            if component is not None:
                return equals("component", component)
            if field == "component":
                raise MatchesNothing
        if field in (None, "labels", "component"):
            return one_of("labels", [value, f"{LABEL_PREFIX[part]}:{value}"])
        return equals(field, value)

    def _raw(self, metadata: Mapping[str, Any]) -> str:
        jql = text_of(metadata, "jql", where="metadata.")
        if jql.strip() and not self.settings["allowRawJQL"]:
            raise BadRequest("metadata.jql is not allowed; set allowRawJQL in the configuration")
        return raw_clause(jql)


_LISTED: Final[Mapping[str, str]] = {
    "issuetype": "issueTypes",
    "priority": "priorities",
    "component": "components",
}


def _status_clause(statuses: list[str]) -> str:
    words = [word.strip() for word in statuses if word.strip()]
    named = [word for word in words if word not in CATEGORY_CLAUSE]
    clauses = [one_of("status", named)] if named else []
    clauses += [CATEGORY_CLAUSE[word] for word in words if word in CATEGORY_CLAUSE]
    return any_of(clauses)


def _within(metadata: Mapping[str, Any]) -> str:
    age = text_of(metadata, "updatedWithin", where="metadata.").strip()
    if age and not _WITHIN.fullmatch(age):
        raise BadRequest("metadata.updatedWithin must be like -90m, -24h, -7d or -2w")
    return f"updated >= {age}" if age else ""


def _texts(metadata: Mapping[str, Any], name: str) -> list[str]:
    """Return a string or a list of strings as list, blanks left out."""
    given = one_or_more_of(metadata, name, where="metadata.")
    return [text.strip() for text in given if text.strip()]
