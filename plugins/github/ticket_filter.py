"""What a TicketQuery asks for: parameters of the list or the search, and what is left to us."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import (
    Json,
    limit_of,
    object_of,
    scope_of,
    strings_of,
    text_of,
    words_of,
)
from opsorch.plugin.times import format_time, given_time
from opsorch.plugin.vendor import text_in
from opsorch_plugins.github.mapping import assignees_of, labels_of
from opsorch_plugins.github.search import can_quote, login_qualifier, qualified, safe_terms
from opsorch_plugins.github.words import STATES, login, logins, texts

DEFAULT_LIMIT: Final = 100
MOST: Final = 1000
UNASSIGNED: Final = "unassigned"
_MILESTONE = re.compile(r"[0-9]{1,9}|\*|none")


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """A checked TicketQuery.

    Attributes:
        repository: ``owner/repo``, in configured spelling.
        terms: Safe words to search for; "" lists instead.
        state: ``open``, ``closed`` or ``all``.
        assignees: Logins, or ``unassigned``; any of them.
        reporter: Login, or "".
        labels: All of them.
        scoped: For each part of the scope the labels of which one must be there, case folded.
        more: Parameters of the list alone: milestone, since, mentioned.
        limit: Tickets at most.
    """

    repository: str
    terms: str
    state: str
    assignees: tuple[str, ...]
    reporter: str
    labels: tuple[str, ...]
    scoped: tuple[frozenset[str], ...]
    more: Mapping[str, str]
    limit: int

    def list_parameters(self) -> dict[str, str]:
        """Return the parameters of GET /repos/{owner}/{repo}/issues.

        Source: https://docs.github.com/en/rest/issues/issues, "List repository issues"
        """
        parameters = {"state": self.state, "sort": "created", "direction": "desc", **self.more}
        if len(self.assignees) == 1:
            [one] = self.assignees
            parameters["assignee"] = "none" if one == UNASSIGNED else one
        if self.reporter:
            parameters["creator"] = self.reporter
        sendable = [label for label in self.labels if "," not in label]
        if sendable:
            parameters["labels"] = ",".join(sendable)
        return parameters

    def search_parameters(self) -> dict[str, str]:
        """Return the parameters of GET /search/issues.

        Source: https://docs.github.com/en/rest/search/search, "Search issues and pull requests"
        """
        qualifiers = [f"repo:{self.repository}", "is:issue", "in:title,body"]
        if self.state != "all":
            qualifiers.append(f"state:{self.state}")
        if len(self.assignees) == 1:
            [one] = self.assignees
            unassigned = one == UNASSIGNED
            qualifiers.append("no:assignee" if unassigned else login_qualifier("assignee", one))
        if self.reporter:
            qualifiers.append(login_qualifier("author", self.reporter))
        qualifiers += [f'label:"{label}"' for label in self.labels if can_quote(label)]
        return {"q": qualified(self.terms, qualifiers), "sort": "created", "order": "desc"}

    @property
    def filters_here(self) -> bool:
        """Tell whether issues that GitHub sends may be left out, pull requests aside."""
        return bool(self.scoped or self.labels or len(self.assignees) > 1)

    def keeps(self, issue: Json) -> bool:
        """Tell whether an issue that GitHub sent is one of those asked for."""
        if "pull_request" in issue or not self._is_ours(issue):
            return False
        labels = {label.casefold() for label in labels_of(issue)}
        return (
            all(label.casefold() in labels for label in self.labels)
            and all(labels & accepted for accepted in self.scoped)
            and (len(self.assignees) < 2 or self._is_assigned(issue))
        )

    def _is_ours(self, issue: Json) -> bool:
        """Tell whether an issue found by search is of the configured repository."""
        place = text_in(issue, "repository_url").casefold()
        return not self.terms or place.endswith(f"/repos/{self.repository.casefold()}")

    def _is_assigned(self, issue: Json) -> bool:
        assigned = {name.casefold() for name in assignees_of(issue)}
        wanted = {name.casefold() for name in self.assignees}
        return bool(assigned & wanted) or (UNASSIGNED in wanted and not assigned)


def filter_of(payload: Json, settings: Mapping[str, Any]) -> TicketFilter:
    """Read a TicketQuery.

    Raises:
        BadRequest: A field does not fit; names it.
    """
    metadata = object_of(payload, "metadata")
    states = words_of(STATES, strings_of(payload, "statuses"), "statuses")
    reporter = text_of(payload, "reporter").strip()
    return TicketFilter(
        repository=f"{settings['owner']}/{settings['repo']}",
        terms=_terms(payload),
        state=states[0] if len(states) == 1 else "all",
        assignees=tuple(_assignees(strings_of(payload, "assignees"))),
        reporter=login(reporter, "reporter") if reporter else "",
        labels=tuple(texts(metadata, "labels", "metadata.")),
        scoped=tuple(_scoped(scope_of(payload), settings)),
        more=_more(metadata),
        limit=limit_of(payload, default=DEFAULT_LIMIT, most=MOST),
    )


def _terms(payload: Json) -> str:
    text = text_of(payload, "query").strip()
    terms = safe_terms(text)
    if text and not terms:
        raise BadRequest("query holds nothing that GitHub can search for")
    return terms


def _assignees(given: list[str]) -> list[str]:
    if any(name.strip().casefold() == UNASSIGNED for name in given):
        named = [name for name in given if name.strip().casefold() != UNASSIGNED]
        return [UNASSIGNED, *logins(named, "assignees")]
    return logins(given, "assignees")


def _scoped(scope: Mapping[str, str], settings: Mapping[str, Any]) -> list[frozenset[str]]:
    """Return the labels that stand for each part of the scope, case folded."""
    accepted = []
    repo = settings["repo"].casefold()
    own_names = (repo, f"{settings['owner'].casefold()}/{repo}")
    for part, prefix in (("service", "service"), ("team", "team"), ("environment", "env")):
        value = scope.get(part, "").casefold()
        if value and not (part == "service" and value in own_names):
            accepted.append(frozenset({value, f"{prefix}:{value}"}))
    return accepted


def _more(metadata: Json) -> dict[str, str]:
    """Check the parameters that only the list has."""
    more = {}
    milestone = metadata.get("milestone")
    if milestone is not None:
        whole = isinstance(milestone, int) and not isinstance(milestone, bool)
        word = str(milestone) if whole or isinstance(milestone, str) else ""
        if not _MILESTONE.fullmatch(word):
            raise BadRequest("metadata.milestone must be a number, '*' or 'none'")
        more["milestone"] = word
    since = given_time(metadata, "since", where="metadata.")
    if since:
        more["since"] = format_time(since.replace(microsecond=0))
    mentioned = text_of(metadata, "mentioned", where="metadata.").strip()
    if mentioned:
        more["mentioned"] = login(mentioned, "metadata.mentioned")
    return more
