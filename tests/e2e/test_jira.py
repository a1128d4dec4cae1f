"""Dashboard, gateway, plugin and a small Jira site, over real HTTP."""

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
from tests.fakes.jira import State, make_app, status
from tests.fakes.server import FakeServer, Fault, Seen, serving
from tests.harness import Answer, Gateway, free_port

ROWS = 130
ANN: Json = {
    "accountId": "acc-ann",
    "displayName": "Ann",
    "active": True,
    "emailAddress": "ann@example.com",
    "findable": "ann@example.com",
}


def a_state(**more: Any) -> State:
    state = State(users=[ANN], components=["checkout"], **more)
    for number in range(ROWS):
        state.add(f"Row {number}", status=status("Done"))
    checkout = [{"id": "0", "name": "checkout"}]
    state.add(
        "Disk full on node 7",
        components=checkout,
        labels=["team:core", "prod", "urgent"],
        priority={"id": "2", "name": "High"},
        issuetype={"id": "4", "name": "Bug"},
        assignee={"accountId": "acc-ann", "displayName": "Ann"},
        status=status("In Progress"),
    )
    state.add("Disk full elsewhere", components=checkout)
    return state


@pytest.fixture(scope="module")
def state() -> State:
    return a_state(token=SECRET)


@pytest.fixture(scope="module")
def fake(state: State) -> Iterator[FakeServer]:
    with serving(make_app(state)) as server:
        yield server


def config_of(fake: FakeServer, state: State, **more: Any) -> Json:
    return {
        "apiURL": fake.url,
        "email": state.email,
        "apiToken": state.token,
        "projectKey": state.project,
        "timeoutSeconds": 3,
        **more,
    }


@pytest.fixture(scope="module")
def gateway(way: str, fake: FakeServer, state: State) -> Iterator[Gateway]:
    with guarded_gateway(env_of("jira", way, {"TICKET": config_of(fake, state)})) as running:
        yield running


def is_search(seen: Seen) -> bool:
    return seen.path.endswith("/search/jql")


def is_create(seen: Seen) -> bool:
    return seen.method == "POST" and seen.path.endswith("/issue")


def test_every_filter(gateway: Gateway, fake: FakeServer) -> None:
    """All of them narrow the list to one ticket, in the shape of the contract."""
    payload = {
        "query": "disk full",
        "statuses": ["open", "In Review"],
        "assignees": ["ann@example.com", "unassigned"],
        "reporter": "me",
        "scope": {"service": "Checkout", "team": "core", "environment": "prod"},
        "limit": 5,
        "metadata": {
            "labels": ["urgent"],
            "issueTypes": ["Bug"],
            "priorities": ["High"],
            "components": ["checkout"],
            "updatedWithin": "-1d",
        },
    }
    [found] = answered(gateway.request("POST", "/tickets/query", payload))
    assert (found["title"], found["status"]) == ("Disk full on node 7", "In Progress")
    assert found["assignees"] == ["acc-ann"]
    assert found["url"] == f"{fake.url}/browse/{found['key']}"
    assert found["fields"]["statusCategory"] == "in_progress"
    assert found["metadata"]["assignee_name"] == "Ann"
    assert found["createdAt"].endswith("Z") and found["createdAt"] > "2020"


def test_more_than_one_page(gateway: Gateway, fake: FakeServer) -> None:
    """A hundred issues are a page of the site."""
    before = fake.count("POST", "/search/jql")
    payload = {"query": "row", "limit": ROWS}
    found = answered(gateway.request("POST", "/tickets/query", payload))
    assert len({ticket["id"] for ticket in found}) == ROWS
    assert fake.count("POST", "/search/jql") == before + 2
    assert len(answered(gateway.request("POST", "/tickets/query", {}))) == 50


def test_create_get_and_update(gateway: Gateway, state: State) -> None:
    """A ticket's life, as a dashboard sees it."""
    made = answered(
        gateway.request(
            "POST",
            "/tickets",
            {
                "title": "Made by the test",
                "description": "See **this**:\n\n- a\n- b",
                "assignees": ["ann@example.com"],
                "fields": {"issueType": "Bug", "priority": "High", "labels": ["on call"]},
            },
        ),
        201,
    )
    path = f"/tickets/{made['key']}"
    assert answered(gateway.request("GET", path)) == made
    assert made["description"] == "See **this**:\n\n- a\n- b"
    assert made["fields"]["labels"] == ["on-call"]
    found = answered(gateway.request("POST", "/tickets/query", {"query": "made by the test"}))
    assert made["id"] in [ticket["id"] for ticket in found]
    change = {"title": "Changed", "status": "In Progress", "assignees": [], "description": ""}
    changed = answered(gateway.request("PATCH", path, change))
    assert (changed["title"], changed["status"]) == ("Changed", "In Progress")
    assert "assignees" not in changed and "description" not in changed
    close = {
        "status": "resolved",
        "fields": {"resolution": "Fixed"},
        "metadata": {"comment": "Done."},
    }
    closed = answered(gateway.request("PATCH", path, close))
    assert (closed["status"], closed["fields"]["resolution"]) == ("Done", "Fixed")
    assert len(state.comments[made["key"]]) == 1
    body = failed(gateway.request("PATCH", path, {"status": "In Review"}), 400, "bad_request")
    assert "reachable: To Do" in body["message"]


def test_requests_that_do_not_fit(gateway: Gateway) -> None:
    """The adapter's and the site's refusals are 400 and name what is wrong."""
    for method, path, payload, word in (
        ("POST", "/tickets", {"title": "x", "fields": {"project": "OTHER"}}, "fields.project"),
        ("POST", "/tickets", {"title": "x", "fields": {"issueType": "Epos"}}, "issuetype"),
        ("POST", "/tickets/query", {"statuses": ["Nowhere"]}, "Nowhere"),
        ("POST", "/tickets/query", {"metadata": {"jql": "project = SECRET"}}, "allowRawJQL"),
        ("GET", "/tickets/..%2Fmyself", None, "issue key"),
    ):
        body = failed(gateway.request(method, path, payload), 400, "bad_request")
        assert word in body["message"]


def test_what_is_not_there(gateway: Gateway) -> None:
    """A missing issue is 404; people who do not exist have no tickets."""
    failed(gateway.request("GET", "/tickets/OPS-99999"), 404, "not_found")
    payload = {"assignees": ["nobody@example.com"]}
    assert answered(gateway.request("POST", "/tickets/query", payload)) == []


def test_refused_credentials(gateway: Gateway, fake: FakeServer, state: State) -> None:
    """The site's 401 is not the caller's; a dead token is no empty list."""
    fake.fail_next(Fault(status=401, body=f"bad token {SECRET}"))
    failed(gateway.request("POST", "/tickets/query", {}), 502, "auth_failed")
    headers = {"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"}
    fake.fail_next(Fault(status=200, body='{"issues":[]}', headers=headers))
    failed(gateway.request("POST", "/tickets/query", {}), 502, "auth_failed")


def test_rate_limits(gateway: Gateway, fake: FakeServer) -> None:
    """How long to wait is passed on, for reads and writes."""
    fake.fail_next(Fault(status=429, headers={"Retry-After": "77"}), times=2)
    for path, payload in (("/tickets/query", {}), ("/tickets", {"title": "x"})):
        limited(gateway.request("POST", path, payload), 77)


def test_a_create_that_times_out_is_sent_once(
    gateway: Gateway, fake: FakeServer, state: State
) -> None:
    """The answer says that nobody knows, though the issue is there."""
    before = len(state.issues)
    fake.fail_next(Fault(hang=True, apply_first=True, when=is_create))

    def write() -> Answer:
        return gateway.request("POST", "/tickets", {"title": "lost answer"})

    sent_once(fake, "/rest/api/3/issue", write, 504, "upstream_timeout")
    assert len(state.issues) == before + 1


def test_a_created_ticket_that_cannot_be_read(gateway: Gateway, fake: FakeServer) -> None:
    """Is answered as far as it is known."""
    fake.fail_next(Fault(status=500, when=lambda seen: seen.method == "GET"))
    made = answered(gateway.request("POST", "/tickets", {"title": "half known"}), 201)
    assert made["metadata"]["partial"] is True
    assert (made["title"], made["status"]) == ("half known", "unknown")
    assert made["createdAt"] == "0001-01-01T00:00:00Z"


def test_troubles_of_reads(gateway: Gateway, fake: FakeServer) -> None:
    """What passes is bridged; silence is a timeout; a page for people is no answer."""
    fake.fail_next(Fault(drop=True, when=is_search))
    fake.fail_next(Fault(status=503, when=is_search))
    assert answered(gateway.request("POST", "/tickets/query", {"limit": 1}))
    fake.fail_next(Fault(hang=True))
    body = failed(gateway.request("POST", "/tickets/query", {}), 504, "upstream_timeout")
    assert "outcome" not in body
    pages_are_not_passed_on(fake, lambda: gateway.request("POST", "/tickets/query", {}))


def test_wrong_addresses_and_settings(way: str, fake: FakeServer, state: State) -> None:
    """A site that is not there, and settings that do not fit, are told by name."""
    address = f"127.0.0.1:{free_port()}"
    config = config_of(fake, state, apiURL=f"http://{address}")
    with guarded_gateway(env_of("jira", way, {"TICKET": config})) as gateway:
        body = failed(gateway.request("POST", "/tickets/query", {}), 502, "upstream_unreachable")
        assert address in body["message"]
    config = {"apiURL": "not-a-url", "apiToken": SECRET, "email": state.email}
    with guarded_gateway(env_of("jira", way, {"TICKET": config})) as gateway:
        body = failed(gateway.request("POST", "/tickets/query", {}), 502, "invalid_config")
        assert "apiURL" in body["message"] and "projectKey" in body["message"]
        assert "not-a-url" not in body["message"]
        assert gateway.request("GET", "/health").status == 200


def test_the_readme_works_as_written() -> None:
    """Its environment and its commands, but for the address of the site."""
    examples = examples_of("jira", curls=6)
    state = a_state(email="ops@example.com", token="your-api-token")
    # The tickets of the examples: one that nobody has, and OPS-1, which is open.
    state.issues["10001"]["fields"]["status"] = status("To Do")
    with serving(make_app(state)) as fake:
        env = at(fake.url, examples.env, "https://your-team.atlassian.net")
        answers = answers_to(examples, env)
    assert [answer.status for answer in answers] == [200, 200, 200, 201, 200, 200]
    titles = [ticket["title"] for ticket in answers[0].json]
    assert titles == ["Disk full elsewhere"]
    assert [ticket["title"] for ticket in answers[1].json] == ["Disk full on node 7"]
    assert answers[4].json["assignees"] == ["acc-ann"]
    assert answers[5].json["fields"]["resolution"] == "Fixed"
