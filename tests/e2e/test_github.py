"""Dashboard, gateway, plugin and a fake GitHub, over real HTTP."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.support import (
    SECRET,
    Json,
    answered,
    answers_to,
    at,
    env_of,
    examples_of,
    failed,
    guarded_gateway,
    limited,
    pages_are_not_passed_on,
    sent_once,
)
from tests.fakes.github import State, a_deployment, a_run, a_team, an_issue, make_app
from tests.fakes.server import FakeServer, Fault, Seen, serving
from tests.harness import Answer, Gateway, free_port

CAPABILITIES = ("TICKET", "DEPLOYMENT", "TEAM")
TOKEN = f"ghp_{SECRET}"


def labelled(*names: str) -> list[Json]:
    return [{"name": name} for name in names]


def a_state(token: str = TOKEN) -> State:
    """A repository with issues, a pull request, runs and teams."""
    issues = [an_issue(n, f"Ordinary {n}", user={"login": "eve"}) for n in range(101, 251)]
    issues += [
        an_issue(11, "A change", pull_request={"url": "..."}, labels=labelled("bug")),
        an_issue(
            12,
            "Checkout fails",
            body="@bob saw it",
            labels=labelled("bug", "team:core", "env:prod"),
            assignees=[{"login": "ann"}],
            milestone={"number": 3, "title": "May"},
        ),
        an_issue(13, "Checkout is slow", state="closed", labels=labelled("bug")),
    ]
    secret = [an_issue(1, "Checkout in secret", repository="acme/secret")]
    runs = [
        a_run(9876543210, "Deploy Production", conclusion="failure"),
        a_run(9876543209, "Deploy Production"),
        a_run(9876543208, "CI", status="in_progress", conclusion=None),
    ]
    return State(
        token=token,
        issues={"acme/web": issues, "acme/secret": secret},
        runs=runs,
        deployments=[a_deployment(5, "production"), a_deployment(6, "eu")],
        statuses={5: [{"state": "success", "created_at": "2024-05-06T09:00:00Z"}]},
        teams=[a_team(4, "core", "Core"), a_team(2024, "web", "Web", privacy="secret")],
        repo_teams={"web": ["web"]},
        members={"core": {"maintainer": ["ann"], "member": ["bob"]}},
        users={"ann": {"name": "Ann Lee", "email": "ann@acme.test"}},
    )


@pytest.fixture(scope="module")
def state() -> State:
    return a_state()


@pytest.fixture(scope="module")
def fake(state: State) -> Iterator[FakeServer]:
    with serving(make_app(state)) as server:
        yield server


def config_of(url: str, **more: Any) -> Json:
    return {
        "token": TOKEN,
        "owner": "acme",
        "repo": "web",
        "organization": "acme",
        "apiURL": url,
        "timeoutSeconds": 3,
        **more,
    }


def env_for(way: str, config: Json) -> dict[str, str]:
    return env_of("github", way, dict.fromkeys(CAPABILITIES, config))


@pytest.fixture(scope="module")
def gateway(way: str, fake: FakeServer, state: State) -> Iterator[Gateway]:
    # What one gateway has made must not be there for the next.
    state.issues = a_state().issues
    with guarded_gateway(env_for(way, config_of(fake.url))) as running:
        yield running


def test_tickets_with_every_filter(gateway: Gateway, fake: FakeServer) -> None:
    """All of them narrow the list, and the shape is the contract's."""
    payload = {
        "statuses": ["open"],
        "assignees": ["ann"],
        "reporter": "robot",
        "scope": {"service": "web", "team": "core", "environment": "prod"},
        "limit": 5,
        "metadata": {
            "labels": ["bug"],
            "milestone": 3,
            "since": "2024-05-06T08:00:00Z",
            "mentioned": "bob",
        },
    }
    [found] = answered(gateway.request("POST", "/tickets/query", payload))
    assert (found["id"], found["key"], found["status"]) == ("12", "acme/web#12", "open")
    assert found["url"] == "https://github.test/acme/web/issues/12"
    assert found["createdAt"] == "2024-05-06T07:12:00Z"
    assert fake.seen[-1].headers["Authorization"] == f"Bearer {TOKEN}"
    unassigned = {"assignees": ["unassigned"], "metadata": {"labels": "bug"}}
    found = answered(gateway.request("POST", "/tickets/query", unassigned))
    assert [t["id"] for t in found] == ["13"]


def test_a_search_stays_in_the_repository(gateway: Gateway) -> None:
    """Neither another repository nor a pull request is found."""
    payload = {"query": "checkout", "statuses": ["open", "closed"]}
    found = answered(gateway.request("POST", "/tickets/query", payload))
    assert sorted(t["id"] for t in found) == ["12", "13"]
    payload = {"query": "checkout repo:acme/secret"}
    assert answered(gateway.request("POST", "/tickets/query", payload)) == []


def test_tickets_beyond_a_page(gateway: Gateway, fake: FakeServer) -> None:
    """As many pages as are needed."""
    before = len(fake.seen)
    found = answered(gateway.request("POST", "/tickets/query", {"reporter": "eve", "limit": 150}))
    assert len({t["id"] for t in found}) == 150
    assert len(fake.seen) - before == 2
    found = answered(gateway.request("POST", "/tickets/query", {"query": "ordinary", "limit": 120}))
    assert len({t["id"] for t in found}) == 120


def test_a_ticket_is_made_changed_and_read(gateway: Gateway, fake: FakeServer) -> None:
    """What was sent is there, and the link leads to it."""
    body = {
        "title": "Made here",
        "description": "By a test.",
        "assignees": ["ann"],
        "fields": {"labels": ["bug"], "milestone": 4},
    }
    made = answered(gateway.request("POST", "/tickets", body), 201)
    assert made["fields"]["labels"] == ["bug"]
    assert made["url"].endswith(f"/acme/web/issues/{made['id']}")
    changes = {"status": "wontfix", "assignees": [], "description": "", "title": "Changed"}
    path = f"/tickets/{made['id']}"
    changed = answered(gateway.request("PATCH", path, changes))
    assert (changed["title"], changed["status"]) == ("Changed", "closed")
    assert changed["fields"]["state_reason"] == "not_planned"
    assert answered(gateway.request("GET", path)) == changed
    assert answered(gateway.request("GET", f"/tickets/acme%2Fweb%23{made['id']}")) == changed
    assert fake.seen[-1].path.endswith(f"/repos/acme/web/issues/{made['id']}")


def test_deployments(gateway: Gateway) -> None:
    """Every filter, one run, and its link."""
    payload = {
        "query": "deploy",
        "statuses": ["failed", "queued"],
        "versions": [f"{9876543210:040x}"],
        "scope": {"service": "acme/web", "environment": "production"},
        "limit": 3,
        "metadata": {"branch": "feature", "event": "push", "workflow": "deploy-production.yml"},
    }
    [found] = answered(gateway.request("POST", "/deployments/query", payload))
    assert (found["id"], found["status"], found["environment"]) == ("9876543210", "failed", "prod")
    assert found["url"] == "https://github.test/acme/web/actions/runs/9876543210"
    assert answered(gateway.request("GET", "/deployments/9876543210")) == found
    running = answered(gateway.request("GET", "/deployments/9876543208"))
    assert (running["status"], running["finishedAt"]) == ("running", "0001-01-01T00:00:00Z")
    elsewhere = {"scope": {"service": "api"}}
    assert answered(gateway.request("POST", "/deployments/query", elsewhere)) == []


def test_teams(gateway: Gateway) -> None:
    """Every filter, one by slug and by id, and its members."""
    payload = {
        "name": "WE",
        "tags": {"privacy": "secret"},
        "scope": {"service": "web", "team": "web"},
        "limit": 5,
    }
    [found] = answered(gateway.request("POST", "/teams/query", payload))
    assert (found["id"], found["url"]) == ("web", "https://github.test/orgs/acme/teams/web")
    assert answered(gateway.request("GET", "/teams/2024"))["id"] == "web"
    assert answered(gateway.request("GET", "/teams/@acme%2Fcore"))["id"] == "core"
    members = answered(gateway.request("GET", "/teams/core/members"))
    assert [(m["name"], m["role"]) for m in members] == [("Ann Lee", "owner"), ("bob", "member")]


def test_requests_that_do_not_fit(gateway: Gateway) -> None:
    """The adapter's and GitHub's refusals both are 400 and name what is wrong."""
    answer = gateway.request("POST", "/tickets/query", {"statuses": ["bogus"]})
    assert "statuses" in failed(answer, 400, "bad_request")["message"]
    answer = gateway.request("POST", "/tickets", {"title": "x", "fields": {"milestone": 404}})
    assert "Issue.milestone: invalid" in failed(answer, 400, "bad_request")["message"]
    failed(gateway.request("GET", "/tickets/1%2F..%2F2"), 400, "bad_request")
    failed(gateway.request("GET", "/deployments/x"), 400, "bad_request")
    failed(gateway.request("GET", "/teams/other%2Fcore"), 400, "bad_request")


def test_what_is_not_there(gateway: Gateway) -> None:
    """And what is a pull request."""
    for path in ("/tickets/9999", "/tickets/11", "/deployments/1", "/teams/none/members"):
        failed(gateway.request("GET", path), 404, "not_found")


def test_refused_credentials(gateway: Gateway, fake: FakeServer, state: State) -> None:
    """GitHub's 401 and 403 are not the caller's; single sign-on is named."""
    fake.fail_next(Fault(status=401, body=f"bad token {SECRET}"))
    failed(gateway.request("POST", "/tickets/query", {}), 502, "auth_failed")
    state.sso_needed = True
    try:
        body = failed(gateway.request("POST", "/teams/query", {}), 502, "auth_failed")
    finally:
        state.sso_needed = False
    assert "SSO" in body["message"] and "https" not in body["message"]


def test_rate_limits(gateway: Gateway, fake: FakeServer, state: State) -> None:
    """How long to wait is passed on, whichever limit it is."""
    fake.fail_next(Fault(status=403, headers={"Retry-After": "77"}))
    limited(gateway.request("POST", "/tickets/query", {}), 77)
    state.remaining, state.reset = 0, time.time() + 1800
    try:
        answer = gateway.request("POST", "/deployments/query", {})
    finally:
        state.remaining = None
    failed(answer, 429, "rate_limited")
    assert 1700 < int(answer.headers["Retry-After"]) <= 1800


def test_a_create_that_times_out_is_sent_once(
    gateway: Gateway, fake: FakeServer, state: State
) -> None:
    """The issue is there, and the answer says that nobody knows."""
    fake.fail_next(Fault(hang=True, apply_first=True, when=lambda seen: seen.method == "POST"))
    began = time.monotonic()

    def write() -> Answer:
        return gateway.request("POST", "/tickets", {"title": "Lost on the way"})

    sent_once(fake, "/issues", write, 504, "upstream_timeout")
    assert time.monotonic() - began < 10
    titles = [issue["title"] for issue in state.issues["acme/web"]]
    assert "Lost on the way" in titles
    state.issues["acme/web"] = [
        issue for issue in state.issues["acme/web"] if issue["title"] != "Lost on the way"
    ]


def test_a_silent_server_is_a_timeout(gateway: Gateway, fake: FakeServer) -> None:
    """Then all is well again."""
    fake.fail_next(Fault(hang=True))
    failed(gateway.request("GET", "/tickets/12"), 504, "upstream_timeout")
    assert answered(gateway.request("GET", "/tickets/12"))["id"] == "12"


def test_other_failures_of_the_server(gateway: Gateway, fake: FakeServer) -> None:
    """They are 502, without the server's page."""
    pages_are_not_passed_on(fake, lambda: gateway.request("GET", "/tickets/12"))


def test_a_lost_connection_is_bridged(gateway: Gateway, fake: FakeServer) -> None:
    """Reads are tried again."""

    def is_list_of_runs(seen: Seen) -> bool:
        return seen.path.endswith("/actions/runs")

    fake.fail_next(Fault(drop=True, when=is_list_of_runs))
    assert len(answered(gateway.request("POST", "/deployments/query", {}))) == 3


def test_the_deployments_api_instead_of_runs(way: str, fake: FakeServer) -> None:
    """The other source, chosen by a setting."""
    config = config_of(fake.url, deploymentSource="deployments")
    with guarded_gateway(env_for(way, config)) as gateway:
        found = answered(gateway.request("POST", "/deployments/query", {}))
        assert [(d["id"], d["status"]) for d in found] == [("6", "queued"), ("5", "success")]
        assert answered(gateway.request("GET", "/deployments/5"))["environment"] == "prod"


def test_wrong_addresses_and_settings(way: str) -> None:
    """A server that is not there, and a setting that does not fit, are told by name."""
    address = f"127.0.0.1:{free_port()}"
    env = env_for(way, config_of(f"http://{address}"))
    env["OPSORCH_TEAM_CONFIG"] = json.dumps({"token": TOKEN})
    env["OPSORCH_DEPLOYMENT_CONFIG"] = json.dumps(config_of("odd-value"))
    with guarded_gateway(env) as gateway:
        body = failed(gateway.request("POST", "/tickets/query", {}), 502, "upstream_unreachable")
        assert address in body["message"]
        body = failed(gateway.request("POST", "/tickets", {"title": "x"}), 502, body["code"])
        assert "outcome" not in body
        body = failed(gateway.request("POST", "/teams/query", {}), 502, "invalid_config")
        assert "organization" in body["message"]
        body = failed(gateway.request("POST", "/deployments/query", {}), 502, "invalid_config")
        assert "apiURL" in body["message"] and "odd-value" not in body["message"]
        assert gateway.request("GET", "/health").status == 200


def test_the_readme_works_as_written() -> None:
    """Its environment and its commands, but for the address of GitHub."""
    examples = examples_of("github", curls=10)
    with serving(make_app(a_state("github_pat_example"))) as fake:
        answers = answers_to(examples, at(fake.url, examples.env, "https://api.github.com"))
    assert [answer.status for answer in answers] == [201] + [200] * 9, answers
    assert all(answer.json for answer in answers)
