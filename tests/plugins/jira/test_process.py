"""The plugin as a real process against a site that evaluates its JQL and checks its documents."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from opsorch.plugin.testing import run_plugin
from opsorch_plugins.jira.provider import JiraTickets
from tests.fakes.jira import State, make_app, status
from tests.fakes.server import FakeServer, Fault, Seen, serving
from tests.harness import free_port
from tests.plugins.support import Json, Plugin

ANN: Json = {
    "accountId": "acc-ann",
    "displayName": "Ann",
    "active": True,
    "emailAddress": "ann@example.test",
    "findable": "ann ann@example.test",
}
BOB: Json = {"accountId": "acc-bob", "displayName": "Bob", "active": True, "findable": "bob@x.test"}
HOSTILE = 'x" OR project = SECRET OR summary ~ "\\'


@pytest.fixture
def state() -> State:
    state = State(users=[ANN, BOB], components=["Checkout", "Web"])
    ann = {"accountId": "acc-ann", "displayName": "Ann"}
    state.add("Disk full", labels=["db", "team:core"], assignee=ann)
    state.add(
        "Login bug", status=status("In Progress"), components=[{"id": "0", "name": "Checkout"}]
    )
    state.add("Old thing", status=status("Done"), labels=["env:prod"], priority={"name": "High"})
    state.add("Odd one", labels=[HOSTILE], updated="2020-01-01T00:00:00.000+0000")
    state.add("Elsewhere", project={"key": "SECRET"})
    return state


@pytest.fixture
def fake(state: State) -> Iterator[FakeServer]:
    with serving(make_app(state)) as server:
        yield server


class Tickets(Plugin):
    """A plugin process with its configuration."""

    def titles(self, **query: Any) -> list[str]:
        return [ticket["title"] for ticket in self("ticket.query", query)]


@pytest.fixture
def plugin(fake: FakeServer, state: State) -> Iterator[Tickets]:
    config = {
        "apiURL": fake.url,
        "email": state.email,
        "apiToken": state.token,
        "projectKey": state.project,
    }
    with run_plugin(JiraTickets) as process:
        yield Tickets(process, config, state.token)


def test_the_site_finds_what_is_asked_for(plugin: Tickets) -> None:
    """Each filter means to the site what it means here."""
    assert plugin.titles() == ["Odd one", "Old thing", "Login bug", "Disk full"]
    assert plugin.titles(query="LOGIN") == ["Login bug"]
    assert plugin.titles(query="login (disk*") == []
    assert plugin.titles(statuses=["open"]) == ["Odd one", "Login bug", "Disk full"]
    assert plugin.titles(statuses=["in progress", "done"]) == ["Old thing", "Login bug"]
    assert plugin.titles(assignees=["ann@example.test"]) == ["Disk full"]
    assert plugin.titles(assignees=["me", ""]) == ["Odd one", "Old thing", "Login bug"]
    assert plugin.titles(assignees=["nobody@example.test"]) == []
    assert plugin.titles(reporter="me", limit=1) == ["Odd one"]
    assert plugin.titles(scope={"service": "checkout"}) == ["Login bug"]
    assert plugin.titles(scope={"service": "db", "team": "core"}) == ["Disk full"]
    assert plugin.titles(scope={"environment": "prod"}) == ["Old thing"]
    assert plugin.titles(metadata={"priorities": "High"}) == ["Old thing"]
    assert "Odd one" not in plugin.titles(metadata={"updatedWithin": "-1d"})
    plugin.config["allowRawJQL"] = True
    assert plugin.titles(metadata={"jql": 'labels = db OR project = "SECRET"'}) == ["Disk full"]


def test_a_hostile_value_is_only_a_value(plugin: Tickets) -> None:
    """It finds the one issue that has it as a label, and nothing of another project."""
    assert plugin.titles(scope={"team": HOSTILE}) == ["Odd one"]
    assert plugin.titles(metadata={"labels": HOSTILE}) == ["Odd one"]
    assert plugin.titles(query=HOSTILE) == []
    error = plugin.error("ticket.query", {"reporter": HOSTILE})
    assert (error["code"], "does not exist" in error["message"]) == ("bad_request", True)


def test_short_pages_are_all_read(plugin: Tickets, state: State, fake: FakeServer) -> None:
    """The site decides how long a page is."""
    for number in range(20):
        state.add(f"Row {number}")
    state.page_cap = 7
    assert len(plugin.titles(query="row")) == 20
    assert fake.count("POST", "/search/jql") == 3
    assert len(plugin.titles(query="row", limit=8)) == 8


def test_a_ticket_lives(plugin: Tickets, state: State) -> None:
    """Created, found before the search knows of it, changed, moved, closed with a comment."""
    made = plugin(
        "ticket.create",
        {
            "title": "New one",
            "description": "# Why\n\n- a\n  1. b\n\n```\nx\n```",
            "assignees": ["ann@example.test"],
            "fields": {"issueType": "Bug", "components": ["Web"], "customfield_10001": 7},
        },
    )
    assert made["description"] == "# Why\n\n- a\n  1. b\n\n```\nx\n```"
    assert made["metadata"]["assignee_name"] == "Ann"
    assert made["id"] not in state.indexed
    assert plugin.titles(query="new one") == ["New one"]
    changed = plugin(
        "ticket.update",
        {"id": made["key"], "input": {"title": "Newer", "status": "in_progress", "assignees": []}},
    )
    assert (changed["title"], changed["status"]) == ("Newer", "In Progress")
    assert "assignees" not in changed
    closed = plugin(
        "ticket.update",
        {
            "id": made["id"],
            "input": {
                "status": "closed",
                "description": "",
                "fields": {"resolution": "Fixed"},
                "metadata": {"comment": "**done**"},
            },
        },
    )
    assert closed["fields"]["statusCategory"] == "done"
    assert closed["fields"]["resolution"] == "Fixed"
    assert "description" not in closed
    assert len(state.comments[made["key"]]) == 1
    again = plugin("ticket.update", {"id": made["key"], "input": {"status": "done"}})
    assert again["status"] == "Done"
    error = plugin.error("ticket.update", {"id": made["key"], "input": {"status": "In Review"}})
    assert "reachable: To Do" in error["message"]
    reopened = plugin(
        "ticket.update",
        {"id": made["key"], "input": {"status": "open", "metadata": {"comment": "again"}}},
    )
    assert reopened["status"] == "To Do"
    assert len(state.comments[made["key"]]) == 2


def test_the_sites_refusals_reach_the_caller(plugin: Tickets, state: State) -> None:
    """In its own words."""
    for fields, words in (
        ({"issueType": "Epos"}, "issuetype: Specify a valid issuetype"),
        ({"customfield_9": 1}, "customfield_9: Field 'customfield_9' cannot be set"),
        ({"assignee": "acc-none"}, "assignee: specify a valid account id"),
    ):
        error = plugin.error("ticket.create", {"title": "x", "fields": fields})
        assert (error["code"], words in error["message"]) == ("bad_request", True)
    assert plugin.error("ticket.get", {"id": "OPS-404"})["code"] == "not_found"
    closed = next(
        k["key"] for k in state.issues.values() if k["fields"]["status"]["name"] == "Done"
    )
    error = plugin.error("ticket.update", {"id": closed, "input": {"title": "x"}})
    assert "not editable" in error["message"]


def test_describe_and_check(plugin: Tickets, state: State) -> None:
    """Missing permissions are named, and so is a token that does not count."""
    assert plugin("plugin.describe")["capability"] == "ticket"
    assert plugin("plugin.check")["ok"] is True
    state.permissions -= {"EDIT_ISSUES"}
    checks = plugin("plugin.check")["checks"]
    assert [c["message"] for c in checks if not c["ok"]] == [
        "the account lacks EDIT_ISSUES in the project"
    ]
    state.token = "another-token"
    refused = plugin("plugin.check")
    assert refused["ok"] is False and "401" in refused["checks"][-1]["message"]
    state.anonymous_when_refused = True
    assert plugin.error("ticket.query")["code"] == "auth_failed"


def is_create(seen: Seen) -> bool:
    return seen.method == "POST" and seen.path.endswith("/issue")


def test_a_create_whose_answer_is_lost_is_sent_once(
    plugin: Tickets, fake: FakeServer, state: State
) -> None:
    """It may have happened, and the error says so; here it has."""
    before = len(state.issues)
    for fault, code in (
        (Fault(drop=True, apply_first=True, when=is_create), "upstream_unreachable"),
        (Fault(hang=True, apply_first=True, when=is_create), "upstream_timeout"),
    ):
        fake.fail_next(fault)
        error = plugin.error("ticket.create", {"title": "x"}, timeoutMs=1500)
        assert (error["code"], error["outcome"]) == (code, "unknown")
    assert fake.count("POST", "/rest/api/3/issue") == 2
    assert len(state.issues) == before + 2


def test_failures_on_the_way(plugin: Tickets, fake: FakeServer) -> None:
    """Reads bridge what passes; the rest has its code, in time."""
    fake.fail_next(Fault(drop=True))
    fake.fail_next(Fault(status=503))
    assert len(plugin.titles()) == 4
    fake.fail_next(Fault(status=429, headers={"Retry-After": "3600"}))
    limited = plugin.error("ticket.query")
    assert (limited["code"], limited["retryAfter"]) == ("rate_limited", 3600)
    fake.fail_next(Fault(hang=True))
    began = time.monotonic()
    late = plugin.error("ticket.query", timeoutMs=1000)
    assert late["code"] == "upstream_timeout" and "outcome" not in late
    assert time.monotonic() - began < 10
    assert len(plugin.titles()) == 4


def test_a_missing_site_is_unreachable(plugin: Tickets) -> None:
    """Host and port are told; a write that never left has no unknown outcome."""
    address = f"127.0.0.1:{free_port()}"
    plugin.config["apiURL"] = f"http://{address}"
    error = plugin.error("ticket.create", {"title": "x"})
    assert error["code"] == "upstream_unreachable"
    assert address in error["message"] and "outcome" not in error
    plugin.config = {"apiURL": "odd-value"}
    invalid = plugin.error("ticket.query")
    assert invalid["code"] == "invalid_config"
    assert "apiToken, email, projectKey" in invalid["message"]
    assert "apiURL" in invalid["message"] and "odd-value" not in invalid["message"]
