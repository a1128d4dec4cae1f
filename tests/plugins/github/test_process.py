"""The plugin as a real process against a fake GitHub over real HTTP."""

import time
from collections.abc import Iterator

import pytest

from opsorch.plugin import Provider
from opsorch.plugin.testing import PluginProcess, command_of, run_plugin
from opsorch_plugins.github.provider import GitHubDeployments, GitHubTeams, GitHubTickets
from tests.fakes.github import State, a_deployment, a_run, a_team, an_issue, make_app
from tests.fakes.server import FakeServer, Fault, serving
from tests.harness import free_port
from tests.plugins.support import Plugin

TOKEN = "ghp_a-secret-of-the-test"


@pytest.fixture
def state() -> State:
    labels = [{"name": "bug"}, {"name": "team:core"}]
    issues = [
        an_issue(1, "Crash on start", labels=labels, assignees=[{"login": "ann"}]),
        an_issue(2, "A change", pull_request={"url": "..."}),
        an_issue(3, "Slow", state="closed", body="crash, then slow"),
    ]
    secret = [an_issue(1, "Crash in secret", repository="acme/secret")]
    runs = [a_run(1, "Deploy Production"), a_run(2, "CI", status="in_progress", conclusion=None)]
    return State(
        token=TOKEN,
        issues={"acme/web": issues, "acme/secret": secret},
        runs=runs,
        deployments=[a_deployment(5, "production")],
        statuses={5: [{"state": "failure", "created_at": "2024-05-06T09:00:00Z"}]},
        teams=[a_team(4, "core", "Core"), a_team(5, "web", "Web")],
        repo_teams={"web": ["web"]},
        members={"core": {"maintainer": ["ann"], "member": ["bob"]}},
        users={"ann": {"name": "Ann"}},
    )


@pytest.fixture
def fake(state: State) -> Iterator[FakeServer]:
    with serving(make_app(state)) as server:
        yield server


def running(provider_class: type[Provider], fake: FakeServer) -> Iterator[Plugin]:
    config = {
        "token": TOKEN,
        "owner": "acme",
        "repo": "web",
        "organization": "acme",
        "apiURL": fake.url,
        "timeoutSeconds": 5,
    }
    with run_plugin(provider_class) as process:
        yield Plugin(process, config, TOKEN)


@pytest.fixture
def tickets(fake: FakeServer) -> Iterator[Plugin]:
    yield from running(GitHubTickets, fake)


@pytest.fixture
def deployments(fake: FakeServer) -> Iterator[Plugin]:
    yield from running(GitHubDeployments, fake)


@pytest.fixture
def teams(fake: FakeServer) -> Iterator[Plugin]:
    yield from running(GitHubTeams, fake)


def test_tickets_are_listed_found_made_and_changed(tickets: Plugin, fake: FakeServer) -> None:
    """From the first query to the closed issue."""
    assert [t["id"] for t in tickets("ticket.query")] == ["3", "1"]
    assert [t["id"] for t in tickets("ticket.query", {"scope": {"team": "core"}})] == ["1"]
    payload = {"query": "crash repo:acme/secret", "statuses": ["open"]}
    assert tickets("ticket.query", payload) == []
    assert [t["id"] for t in tickets("ticket.query", {"query": "crash"})] == ["3", "1"]
    made = tickets("ticket.create", {"title": "New", "fields": {"labels": "bug"}})
    assert (made["id"], made["fields"]["labels"]) == ("4", ["bug"])
    changes = {"status": "wontfix", "assignees": ["ann"]}
    changed = tickets("ticket.update", {"id": "#4", "input": changes})
    assert (changed["status"], changed["assignees"]) == ("closed", ["ann"])
    assert changed["fields"]["state_reason"] == "not_planned"
    assert tickets("ticket.get", {"id": "acme/web#4"}) == changed
    assert all(seen.headers["Authorization"] == f"Bearer {TOKEN}" for seen in fake.seen)


def test_a_token_without_push_access(tickets: Plugin, state: State) -> None:
    """The issue is there, without what GitHub dropped."""
    state.can_push = False
    payload = {"title": "New", "assignees": ["ann"], "fields": {"labels": ["bug"]}}
    made = tickets("ticket.create", payload)
    assert made["metadata"]["dropped_assignees"] == ["ann"]
    assert made["metadata"]["dropped_labels"] == ["bug"]


def test_pages(tickets: Plugin, state: State, fake: FakeServer) -> None:
    """As many as are needed."""
    state.issues["acme/web"] = [an_issue(n, f"Issue {n}") for n in range(1, 251)]
    found = tickets("ticket.query", {"limit": 240})
    assert len({t["id"] for t in found}) == 240
    assert len(fake.seen) == 3
    found = tickets("ticket.query", {"query": "issue", "limit": 130})
    assert len({t["id"] for t in found}) == 130
    assert len(fake.seen) == 5


def test_deployments_of_both_sources(deployments: Plugin) -> None:
    """Runs and deployments answer alike."""
    [found] = deployments("deployment.query", {"scope": {"environment": "prod"}})
    assert (found["id"], found["status"], found["environment"]) == ("1", "success", "prod")
    assert deployments("deployment.get", {"id": "1"}) == found
    assert [d["id"] for d in deployments("deployment.query", {"statuses": ["running"]})] == ["2"]
    payload = {"metadata": {"workflow": "ci.yml"}}
    assert [d["id"] for d in deployments("deployment.query", payload)] == ["2"]
    deployments.config["deploymentSource"] = "deployments"
    [found] = deployments("deployment.query", {"statuses": ["failed"]})
    assert (found["id"], found["finishedAt"]) == ("5", "2024-05-06T09:00:00Z")
    assert deployments("deployment.get", {"id": "5"}) == found


def test_teams_and_their_members(teams: Plugin, fake: FakeServer) -> None:
    """Profiles are read once; one that is missing costs a name."""
    assert [t["id"] for t in teams("team.query", {"name": "co"})] == ["core"]
    assert [t["id"] for t in teams("team.query", {"scope": {"service": "web"}})] == ["web"]
    assert teams("team.get", {"id": "4"})["metadata"]["members_count"] == 2
    for _ in range(2):
        members = teams("team.members", {"teamID": "core"})
        assert [(m["name"], m["role"]) for m in members] == [("Ann", "owner"), ("bob", "member")]
    assert fake.count("GET", "/users/ann") == 1


def test_description_and_check(
    tickets: Plugin, deployments: Plugin, teams: Plugin, state: State
) -> None:
    """Each tells what it is, and whether its token will do."""
    state.scopes = "gist, read:org"
    expected = {"ticket": False, "deployment": False, "team": True}
    for plugin in (tickets, deployments, teams):
        about = plugin("plugin.describe")
        assert about["name"] == "github"
        assert all(method.startswith(about["capability"]) for method in about["methods"])
        assert about["config"]["properties"]["token"]["writeOnly"] is True
        assert plugin("plugin.check")["ok"] is expected[about["capability"]]
    state.sso_needed = True
    refused = tickets("plugin.check")
    assert refused["ok"] is False and "SSO" in str(refused["checks"])
    tickets.config = {}
    assert "token, owner, repo" in str(tickets("plugin.check")["checks"])


def test_errors_have_their_codes(tickets: Plugin, state: State, fake: FakeServer) -> None:
    """What a person can do about it decides the code."""
    assert tickets.error("ticket.get", {"id": "99"})["code"] == "not_found"
    assert tickets.error("ticket.get", {"id": "2"})["code"] == "not_found"
    assert tickets.error("ticket.get", {"id": "x"})["code"] == "bad_request"
    assert tickets.error("ticket.nonsense")["code"] == "bad_request"
    invalid = tickets.error("ticket.create", {"title": "x", "fields": {"milestone": 404}})
    assert invalid["code"] == "bad_request"
    assert "Issue.milestone: invalid" in invalid["message"]
    state.has_issues = False
    assert "disabled" in tickets.error("ticket.create", {"title": "x"})["message"]
    state.has_issues, state.remaining = True, 0
    limited = tickets.error("ticket.query")
    assert limited["code"] == "rate_limited" and 3500 < limited["retryAfter"] <= 3600
    state.remaining = None
    tickets.config["token"] = "other"
    assert tickets.error("ticket.query")["code"] == "auth_failed"
    tickets.config["apiURL"] = f"http://127.0.0.1:{free_port()}"
    assert tickets.error("ticket.query")["code"] == "upstream_unreachable"
    tickets.config = {"token": TOKEN, "owner": "a/b", "repo": "web"}
    assert tickets.error("ticket.query")["code"] == "invalid_config"


def test_a_renamed_repository(tickets: Plugin, state: State, fake: FakeServer) -> None:
    """Reads follow it, writes say that it has moved."""
    state.moved = {"acme/old": "acme/web"}
    tickets.config["repo"] = "old"
    assert [t["id"] for t in tickets("ticket.query")] == ["3", "1"]
    moved = tickets.error("ticket.create", {"title": "New"})
    assert moved["code"] == "provider_error"
    assert "update owner and repo" in moved["message"]
    assert fake.count("POST") == 1
    assert len(state.issues["acme/web"]) == 3


def test_a_passing_trouble_is_bridged(tickets: Plugin, fake: FakeServer) -> None:
    """A lost connection and a short rate limit cost time, not the answer."""
    fake.fail_next(Fault(drop=True))
    fake.fail_next(Fault(status=403, headers={"Retry-After": "0"}))
    assert len(tickets("ticket.query")) == 2
    assert len(fake.seen) == 3


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(hang=True, apply_first=True), "upstream_timeout"),
        (Fault(drop=True, apply_first=True), "upstream_unreachable"),
        (Fault(status=502, apply_first=True), "provider_error"),
    ],
)
def test_a_lost_create_is_sent_once_and_says_so(
    tickets: Plugin, state: State, fake: FakeServer, fault: Fault, code: str
) -> None:
    """The issue is there: whoever repeats the create has two."""
    fake.fail_next(fault)
    began = time.monotonic()
    lost = tickets.error("ticket.create", {"title": "New"}, timeoutMs=2000)
    assert (lost["code"], lost["outcome"]) == (code, "unknown")
    assert time.monotonic() - began < 10
    assert fake.count("POST") == 1
    assert [issue["title"] for issue in state.issues["acme/web"]].count("New") == 1


def test_nothing_secret_is_written(fake: FakeServer) -> None:
    """Neither replies nor the log hold the token, whatever the server answers."""
    replies = []
    process = PluginProcess(command_of(GitHubTickets))
    config = {"accessToken": TOKEN, "repo": "acme/web", "apiURL": fake.url, "bogus": 1}
    try:
        for status in (401, 403, 404, 422, 500):
            fake.fail_next(Fault(status=status, body=f'{{"message": "{TOKEN}"}}'))
            replies.append(process.call("ticket.query", {}, config=config))
        replies.append(process.send_line(b"{nonsense"))
    finally:
        log = process.close()
    assert [reply["error"]["code"] for reply in replies] == [
        "auth_failed",
        "auth_failed",
        "not_found",
        "bad_request",
        "provider_error",
        "bad_request",
    ]
    assert TOKEN not in str(replies)
    assert TOKEN not in log
    assert "unknown field(s) ignored: bogus" in log
