"""The ticket provider."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from opsorch.errors import BadRequest, OpsOrchError
from opsorch.plugin import Call, Check, ConfigSpec, Provider, rpc
from opsorch.plugin.payload import (
    Json,
    id_of,
    input_of,
    limit_of,
    object_of,
    text_of,
    without_empty,
)
from opsorch.plugin.vendor import object_in
from opsorch_plugins.jira import fields as written
from opsorch_plugins.jira.adf_write import document
from opsorch_plugins.jira.change import Change, StatusChange
from opsorch_plugins.jira.client import Jira
from opsorch_plugins.jira.components import Components
from opsorch_plugins.jira.mapping import FIELDS, ticket_of
from opsorch_plugins.jira.people import People
from opsorch_plugins.jira.query import MatchesNothing, QueryWriter
from opsorch_plugins.jira.recent import RecentIssues
from opsorch_plugins.jira.settings import CONFIG
from opsorch_plugins.jira.site import Site

log = logging.getLogger("opsorch.plugin")

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1000
# Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-permissions/
_TO_READ: Final = ("BROWSE_PROJECTS",)
_TO_WRITE: Final = (
    "CREATE_ISSUES",
    "EDIT_ISSUES",
    "TRANSITION_ISSUES",
    "ASSIGN_ISSUES",
    "ADD_COMMENTS",
)


class JiraTickets(Provider):
    """Issues of one Jira Cloud project."""

    name = "jira"
    capability = "ticket"
    config: ClassVar[ConfigSpec] = CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.jira = Jira(self.settings, self.redact)
        self._project: str = self.settings["projectKey"]
        self._components = Components(self.jira, self._project)
        self._site = Site(self.settings, self.jira)
        self._recent = RecentIssues()
        self._fields = tuple(dict.fromkeys([*FIELDS, *self.settings["extraFields"]]))

    @rpc("ticket.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """Answer a TicketQuery, the newest key first.

        Raises:
            BadRequest: A field does not fit, here or by Jira's own words.
        """
        limit = limit_of(payload, default=DEFAULT_LIMIT, most=MAX_LIMIT)
        people = People(self.jira, call)
        writer = QueryWriter(self.settings, people, self._components, call)
        try:
            jql = writer.jql(payload)
        except MatchesNothing:
            return []
        issues = self.jira.search(jql, self._fields, limit, self._recent.ids(), call)
        return self._tickets(issues, call)

    @rpc("ticket.get")
    def get(self, payload: Json, call: Call) -> Json:
        """Answer one issue, by its key or number.

        Raises:
            NotFound: There is none, or this account may not see it.
        """
        return self._ticket(written.issue_id(id_of(payload)), call)

    @rpc("ticket.create")
    def create(self, payload: Json, call: Call) -> Json:
        """Create an issue. Sent once; what cannot be read back afterwards is left out.

        Raises:
            BadRequest: A field does not fit, here or by Jira's own words.
        """
        fields = written.created(payload, self._project, self.settings["defaultIssueType"])
        people = People(self.jira, call)
        _, assignee = written.assignee_of(payload, people)
        reporter = written.reporter_of(payload, people)
        fields |= without_empty({"assignee": assignee, "reporter": reporter})
        made = self.jira.create(fields, call)
        self._recent.add(made["id"])
        try:
            return self._ticket(made["key"], call)
        except OpsOrchError as error:
            # An error here would be an invitation to create it again.
            log.warning("jira: %s was created but cannot be read: %s", made["key"], error.message)
            return self._partial(made, fields["summary"], call)

    @rpc("ticket.update")
    def update(self, payload: Json, call: Call) -> Json:
        """Change an issue: its fields first, then its status. Nothing is written twice.

        Raises:
            BadRequest: A field does not fit, or no transition leads to the status.
            OpsOrchError: The message says which part was saved.
        """
        issue = written.issue_id(id_of(payload))
        given = input_of(payload)
        changed = self._change_of(issue, given, call).apply(self.jira, call)
        if not changed:
            return self._ticket(issue, call)
        self._recent.add(issue)
        try:
            ticket = self._ticket(issue, call)
        except OpsOrchError as error:
            error.message += " (the change was saved; only reading it back failed)"
            raise
        self._recent.add(ticket["id"])
        return ticket

    def check(self, call: Call) -> list[Check]:
        """Ask who the token belongs to, then which permissions that account has."""
        person = self.jira.myself(call)
        known = isinstance(person.get("accountId"), str)
        account = Check("account", ok=known, message="" if known else "Jira names no account")
        keys = (*_TO_READ, *_TO_WRITE)
        had = self.jira.my_permissions(self._project, keys, call)
        return [
            account,
            _permission_check("read", _TO_READ, had),
            _permission_check("write", _TO_WRITE, had),
        ]

    def _change_of(self, issue: str, given: Json, call: Call) -> Change:
        """Work out what an update has to do; reads, and writes nothing."""

        def described() -> Any:
            found = self.jira.issue(issue, ["description"], call)
            return object_in(found, "fields").get("description")

        fields = written.updated(given, self._project, described)
        has_assignee, assignee = written.assignee_of(given, People(self.jira, call))
        if has_assignee:
            fields["assignee"] = assignee
        comment = written.markdown_of(object_of(given, "metadata"), "comment", where="metadata.")
        remark = document(comment) if comment else None
        status = text_of(given, "status").strip()
        resolution = object_of(given, "fields").get("resolution")
        if not status:
            if resolution is not None:
                raise BadRequest("fields.resolution is only taken together with a status")
            return Change(issue, fields, remark, None)
        change = StatusChange.to(status, issue, fields, resolution, self.jira, call)
        return Change(issue, fields, remark, change)

    def _ticket(self, issue: str, call: Call) -> Json:
        return self._tickets([self.jira.issue(issue, self._fields, call)], call)[0]

    def _tickets(self, issues: list[Json], call: Call) -> list[Json]:
        address = self._site.address(call) if issues else ""
        source = self.settings["source"]
        extra = self.settings["extraFields"]
        return [
            ticket_of(issue, lambda key: self._site.link(address, key), source, extra)
            for issue in issues
        ]

    def _partial(self, made: Json, title: str, call: Call) -> Json:
        """Make the ticket of an issue of which only the id and the key are known."""
        link = self._site.link(self._site.address(call), made["key"])
        return {
            "id": made["id"],
            "key": made["key"],
            "title": title,
            "status": "unknown",
            **({"url": link} if link else {}),
            "metadata": {"source": self.settings["source"], "partial": True},
        }


def _permission_check(name: str, keys: Iterable[str], had: Mapping[str, Any]) -> Check:
    missing = [key for key in keys if not _has(had.get(key))]
    message = f"the account lacks {', '.join(missing)} in the project" if missing else ""
    return Check(f"permissions to {name}", ok=not missing, message=message)


def _has(permission: Any) -> bool:
    return isinstance(permission, dict) and permission.get("havePermission") is True
