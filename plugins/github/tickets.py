"""The ticket provider: issues of one repository. Pull requests are never tickets."""

import itertools
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from opsorch.errors import BadRequest, NotFound, OpsOrchError
from opsorch.plugin import Call, Check, ConfigSpec, Provider, rpc
from opsorch.plugin.payload import Json, id_of, input_of
from opsorch.plugin.urls import url_part
from opsorch_plugins.github.checks import checked
from opsorch_plugins.github.client import PAGE_SIZE, GitHub, unexpected
from opsorch_plugins.github.mapping import assignees_of, labels_of, number_in, ticket_of
from opsorch_plugins.github.settings import TICKET_CONFIG
from opsorch_plugins.github.ticket_filter import TicketFilter, filter_of
from opsorch_plugins.github.ticket_input import body_of_create, body_of_update
from opsorch_plugins.github.words import missing_from

log = logging.getLogger("opsorch.plugin")

_ID = re.compile(r"(?:(?P<repository>[A-Za-z0-9._-]+/[A-Za-z0-9._-]+)?#)?(?P<number>[0-9]{1,18})")
_GONE: Final = "issues are disabled in this repository"


class GitHubTickets(Provider):
    """Issues of one repository."""

    name = "github"
    capability = "ticket"
    config: ClassVar[ConfigSpec] = TICKET_CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.github = GitHub(self.settings, self.redact)
        owner, repo = self.settings["owner"], self.settings["repo"]
        self._repository = f"{owner}/{repo}"
        self._path = f"/repos/{url_part(owner)}/{url_part(repo)}/issues"
        if self.settings["defaultState"] == "closed":
            log.warning("github config: defaultState closed is ignored: issues start open")

    @rpc("ticket.query")
    def query(self, payload: Json, call: Call) -> list[Json]:
        """Answer a TicketQuery, newest first.

        Raises:
            BadRequest: A status, login or number does not fit.
        """
        asked = filter_of(payload, self.settings)
        found = (ticket_of(issue, self.settings) for issue in self._issues(asked, call))
        return list(itertools.islice(found, asked.limit))

    def _issues(self, asked: TicketFilter, call: Call) -> Iterator[Json]:
        """Yield the issues asked for, page after page."""
        if asked.terms:
            size = PAGE_SIZE if asked.filters_here else min(PAGE_SIZE, asked.limit)
            found = self.github.items(
                "/search/issues", asked.search_parameters(), call, under="items", page_size=size
            )
        else:
            # The list holds pull requests, too: nobody knows how many issues a page has.
            found = self.github.items(self._path, asked.list_parameters(), call)
        for issue in found:
            if number_in(issue, "number") is None:
                log.warning("GitHub sent an issue without a number; it is left out")
            elif asked.keeps(issue):
                yield issue

    @rpc("ticket.get")
    def get(self, payload: Json, call: Call) -> Json:
        """Answer the issue of a number.

        Raises:
            BadRequest: The id is no number, ``#number`` or ``owner/repo#number``.
            NotFound: There is no such issue, or it is a pull request.
        """
        return ticket_of(self._issue(self._number(payload), call), self.settings)

    @rpc("ticket.create")
    def create(self, payload: Json, call: Call) -> Json:
        """Create an issue, once.

        Raises:
            BadRequest: The input does not fit, or issues are disabled.
        """
        body = body_of_create(payload, self.settings)
        return self._written("POST", self._path, body, call)

    @rpc("ticket.update")
    def update(self, payload: Json, call: Call) -> Json:
        """Change an issue, once; an input that changes nothing answers the issue as it is.

        Raises:
            BadRequest: The id or the input does not fit.
            NotFound: There is no such issue, or it is a pull request.
        """
        number = self._number(payload)
        changes = input_of(payload)
        # What can be refused without a call is; the issue is read first all the same.
        body_of_update(changes, {})
        issue = self._issue(number, call)
        body = body_of_update(changes, issue)
        if not body:
            return ticket_of(issue, self.settings)
        return self._written("PATCH", f"{self._path}/{number}", body, call)

    def check(self, call: Call) -> list[Check]:
        """Read one issue: proves token, repository and the permission to read."""
        return checked(
            lambda: self.github.probe(self._path, call),
            f"issues of {self._repository}",
            permission="Issues: read and write",
            scopes=("repo", "public_repo"),
        )

    def _issue(self, number: str, call: Call) -> Json:
        issue = self.github.get(f"{self._path}/{number}", call)
        found = number_in(issue, "number")
        if found is None:
            raise unexpected("an issue was due")
        if "pull_request" in issue:
            raise NotFound(f"ticket {number} not found: that number is a pull request")
        if str(found) != number:
            raise NotFound(f"ticket {number} not found: it was transferred to another repository")
        return issue

    def _written(self, verb: str, path: str, body: Json, call: Call) -> Json:
        """Send a change and say what GitHub left out of it without a word.

        A token without push access can create an issue, but its assignees and labels are dropped.
        Source: https://docs.github.com/en/rest/issues/issues, "Create an issue", assignees, labels
        """
        issue = self.github.write(verb, path, body, call, gone=_GONE)
        if number_in(issue, "number") is None:
            raise _made_unreadable()
        ticket = ticket_of(issue, self.settings)
        dropped = {
            "dropped_assignees": missing_from(body.get("assignees", []), assignees_of(issue)),
            "dropped_labels": missing_from(body.get("labels", []), labels_of(issue)),
        }
        ticket["metadata"] |= {name: names for name, names in dropped.items() if names}
        return ticket

    def _number(self, payload: Json) -> str:
        match = _ID.fullmatch(id_of(payload))
        if match is None:
            raise BadRequest("id must be the number of an issue: 12, #12 or owner/repo#12")
        repository = match["repository"] or self._repository
        if repository.casefold() != self._repository.casefold():
            raise BadRequest(f"id: only issues of {self._repository} are tickets here")
        return str(int(match["number"]))


def _made_unreadable() -> OpsOrchError:
    failed = unexpected("an issue was due")
    failed.outcome_unknown = True
    return failed
