"""Dashboard, gateway, plugin and a fake PagerDuty, over real HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.support import (
    SECRET,
    Json,
    answered,
    answers_to,
    at,
    command_lines,
    env_of,
    examples_of,
    failed,
    guarded_gateway,
    limited,
    lost_answers,
    pages_are_not_passed_on,
    sent_once,
)
from tests.fakes.pagerduty import (
    LINKS,
    State,
    a_priority,
    a_service,
    a_team,
    a_user,
    an_incident,
    make_app,
    ref,
)
from tests.fakes.server import FakeServer, Fault, Seen, serving
from tests.harness import Answer, Gateway, free_port

SENDER = "ann@example.com"
CORE = a_team("PTCORE1", "Core")
API = a_service("PSAPI01", "api", CORE)
WEB = a_service("PSWEB01", "web")
ANN = a_user("PUANN01", "Ann", SENDER)
P2 = a_priority("PPRIO02", "P2")


def a_state(authorization: str = f"Token token={SECRET}") -> State:
    many = [an_incident(n, WEB, urgency="low") for n in range(1, 131)]
    special = an_incident(
        900,
        API,
        id="PSPECIAL",
        title="Disk full on db1",
        priority=ref("priority", P2),
        assignments=[{"assignee": ref("user", ANN)}],
    )
    return State(
        authorization,
        incidents=[*many, special],
        services=[API, WEB],
        teams=[CORE],
        priorities=[a_priority("PPRIO01", "P1"), P2],
        users=[ANN],
    )


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeServer]:
    with serving(make_app(a_state())) as server:
        yield server


def config_for(url: str) -> Json:
    return {
        "apiToken": SECRET,
        "serviceID": "PSWEB01",
        "fromEmail": SENDER,
        "apiURL": url,
        "timeoutSeconds": 2,
    }


@pytest.fixture(scope="module")
def gateway(way: str, fake: FakeServer) -> Iterator[Gateway]:
    config = config_for(fake.url)
    env = env_of("pagerduty", way, {"INCIDENT": config, "SERVICE": config})
    with guarded_gateway(env) as running:
        yield running


def create(gateway: Gateway, **given: Any) -> Json:
    created: Json = answered(gateway.request("POST", "/incidents", {"title": "x", **given}), 201)
    return created


def test_incidents_with_every_filter(gateway: Gateway, fake: FakeServer) -> None:
    """Text, statuses, severities, scope, limit and metadata; the shape is the contract's."""
    payload = {
        "query": "DISK db1",
        "statuses": ["open", "acknowledged"],
        "severities": ["high", "p5"],
        "scope": {"service": "api", "team": "core", "environment": "prod"},
        "limit": 5,
        "metadata": {"user_ids": ["PUANN01"], "since": "2020-01-01T00:00:00Z"},
    }
    [found] = answered(gateway.request("POST", "/incidents/query", payload))
    assert (found["id"], found["status"], found["severity"]) == ("PSPECIAL", "open", "high")
    assert found["service"] == "api"
    assert found["url"] == f"{LINKS}/incidents/PINC0900"
    assert found["createdAt"].endswith("Z") and found["updatedAt"].endswith("Z")
    assert found["fields"]["assignees"] == ["Ann"]
    assert found["metadata"]["service_url"].startswith(LINKS)
    assert fake.seen[-1].headers["Authorization"] == f"Token token={SECRET}"
    none = {"scope": {"service": "no such service"}}
    assert answered(gateway.request("POST", "/incidents/query", none)) == []


def test_incidents_beyond_one_page(gateway: Gateway) -> None:
    """The vendor's pages are of 100."""
    payload = {"limit": 120, "scope": {"service": "web"}, "severities": ["medium"]}
    found = answered(gateway.request("POST", "/incidents/query", payload))
    assert len({incident["id"] for incident in found}) == 120


def test_the_life_of_an_incident(gateway: Gateway, fake: FakeServer) -> None:
    """Opened, read, taken up, noted, resolved; a link leads to each."""
    created = create(
        gateway,
        title="Mail is late",
        description="The queue grows",
        severity="sev3",
        service="api",
        fields={"priority": "P2", "assignees": ["PUANN01"]},
    )
    path = f"/incidents/{created['id']}"
    assert created["url"] == f"{LINKS}{path}"
    assert (created["service"], created["fields"]["urgency"]) == ("api", "low")
    assert answered(gateway.request("GET", path))["description"] == "The queue grows"
    number = created["fields"]["incidentNumber"]
    assert answered(gateway.request("GET", f"/incidents/{number}"))["id"] == created["id"]
    change = {"status": "acknowledged", "title": "Mail is very late", "severity": "high"}
    changed = answered(gateway.request("PATCH", path, change))
    assert (changed["status"], changed["title"]) == ("acknowledged", "Mail is very late")
    assert fake.seen[-1].json["incident"] == {
        "type": "incident_reference",
        "title": "Mail is very late",
        "status": "acknowledged",
        "urgency": "high",
    }
    entry = {"body": "A worker hangs", "kind": "cause", "actor": {"name": "Ann"}}
    answered(gateway.request("POST", f"{path}/timeline", entry), 201)
    closing = {"status": "resolved", "fields": {"resolution": "restarted"}}
    assert answered(gateway.request("PATCH", path, closing))["status"] == "resolved"
    timeline = answered(gateway.request("GET", f"{path}/timeline"))
    by_kind = {entry["kind"]: entry for entry in timeline}
    assert by_kind["note"]["body"] == "[cause] A worker hangs\nby Ann"
    assert by_kind["note"]["incidentId"] == created["id"]
    assert by_kind["note"]["actor"]["name"] == "Ann"
    assert by_kind["incident_resolved"]["body"].endswith("restarted")
    assert by_kind["incident_created"]["metadata"]["html_url"].startswith(LINKS)


def test_an_unknown_service_falls_back_and_says_so(gateway: Gateway) -> None:
    """The configured service takes it."""
    created = create(gateway, service="payments")
    assert created["service"] == "web"
    assert created["metadata"]["requested_service"] == "payments"


def test_services_with_every_filter(gateway: Gateway) -> None:
    """Ids, name, tags, scope, limit and metadata."""
    payload = {
        "ids": ["PSAPI01", "PSWEB01", "PNONE01"],
        "name": "a",
        "tags": {"team": "CORE", "status": "active"},
        "scope": {"team": "core", "service": "API"},
        "limit": 3,
        "metadata": {"team_id": "PTCORE1"},
    }
    [found] = answered(gateway.request("POST", "/services/query", payload))
    assert (found["id"], found["name"]) == ("PSAPI01", "api")
    assert found["url"] == f"{LINKS}/service-directory/PSAPI01"
    assert found["tags"] == {"team_0": "Core", "team": "Core", "status": "active"}
    assert [s["name"] for s in answered(gateway.request("GET", "/services"))] == ["api", "web"]


def test_what_is_not_there(gateway: Gateway) -> None:
    """An incident, its timeline, and something to change."""
    failed(gateway.request("GET", "/incidents/PNONE"), 404, "not_found")
    failed(gateway.request("GET", "/incidents/PNONE/timeline"), 404, "not_found")
    body = failed(gateway.request("PATCH", "/incidents/PNONE", {"title": "x"}), 404, "not_found")
    assert "PNONE" in body["message"]
    append = gateway.request("POST", "/incidents/PNONE/timeline", {"body": "x"})
    failed(append, 404, "not_found")


def test_requests_that_do_not_fit(gateway: Gateway, fake: FakeServer) -> None:
    """The adapter's refusals and PagerDuty's both are 400 and name what is wrong."""
    answer = gateway.request("POST", "/incidents/query", {"statuses": ["bogus"]})
    assert "triggered" in failed(answer, 400, "bad_request")["message"]
    failed(gateway.request("GET", "/incidents/..%2Fusers"), 400, "bad_request")
    answer = gateway.request("PATCH", "/incidents/PSPECIAL", {"description": "new"})
    assert "description" in failed(answer, 400, "bad_request")["message"]
    key = {"fields": {"incident_key": f"key-of-{gateway.port}"}}
    create(gateway, **key)
    answer = gateway.request("POST", "/incidents", {"title": "again", **key})
    assert "matching dedup key" in failed(answer, 400, "bad_request")["message"]


def test_refused_credentials(gateway: Gateway, fake: FakeServer) -> None:
    """The vendor's 401 is not the caller's."""
    body = json.dumps({"error": {"message": f"bad token {SECRET}"}})
    fake.fail_next(Fault(status=401, body=body), times=2)
    told = failed(gateway.request("POST", "/incidents/query", {}), 502, "auth_failed")
    assert "apiToken" in told["message"]
    failed(gateway.request("POST", "/services/query", {}), 502, "auth_failed")


def test_rate_limits(gateway: Gateway, fake: FakeServer) -> None:
    """How long to wait is passed on; a write is not tried again."""
    fake.fail_next(Fault(status=429, headers={"ratelimit-reset": "77"}), times=2)
    for answer in (
        gateway.request("POST", "/incidents/query", {}),
        gateway.request("POST", "/incidents/PSPECIAL/timeline", {"body": "x"}),
    ):
        limited(answer, 77)


def is_create(seen: Seen) -> bool:
    return (seen.method, seen.path) == ("POST", "/incidents")


def test_timeouts(gateway: Gateway, fake: FakeServer) -> None:
    """A silent server is upstream_timeout; then all is well."""
    fake.fail_next(Fault(hang=True))
    told = failed(gateway.request("POST", "/services/query", {}), 504, "upstream_timeout")
    assert fake.url.removeprefix("http://") in told["message"]
    assert answered(gateway.request("POST", "/services/query", {}))


@pytest.mark.parametrize(("fault", "status", "code"), lost_answers(is_create))
def test_a_create_whose_answer_is_lost(
    gateway: Gateway, fake: FakeServer, fault: Fault, status: int, code: str
) -> None:
    """It is sent once, and the caller is told that it may have taken effect."""
    fake.fail_next(fault)
    title = f"Once, {code}, {gateway.port}"

    def write() -> Answer:
        return gateway.request("POST", "/incidents", {"title": title})

    sent_once(fake, "", write, status, code)
    found = answered(gateway.request("POST", "/incidents/query", {"query": title}))
    assert [incident["title"] for incident in found] == [title]


def test_other_failures_of_the_server(gateway: Gateway, fake: FakeServer) -> None:
    """They are 502, without the server's page."""
    pages_are_not_passed_on(fake, lambda: gateway.request("POST", "/incidents/query", {}))


def test_a_lost_connection_is_bridged(gateway: Gateway, fake: FakeServer) -> None:
    """Reads are tried again."""
    fake.fail_next(Fault(drop=True, when=lambda seen: seen.path == "/incidents/PSPECIAL"))
    assert answered(gateway.request("GET", "/incidents/PSPECIAL"))["id"] == "PSPECIAL"


def test_no_command_line_holds_a_secret(gateway: Gateway, way: str) -> None:
    """Configurations travel over pipes."""
    answered(gateway.request("GET", "/incidents/PSPECIAL"))
    lines = command_lines()
    assert SECRET not in lines
    if way == "plugin":
        assert "pagerduty" in lines


def test_wrong_addresses_and_settings(way: str) -> None:
    """A server that is not there, and a setting that does not fit, are told by name."""
    address = f"127.0.0.1:{free_port()}"
    service = {"apiToken": SECRET, "apiURL": f"http://{address}"}
    incident = {"apiToken": SECRET, "fromEmail": "not-an-email", "apiURL": f"http://{address}"}
    env = env_of("pagerduty", way, {"INCIDENT": incident, "SERVICE": service})
    with guarded_gateway(env) as gateway:
        answer = gateway.request("POST", "/services/query", {})
        assert address in failed(answer, 502, "upstream_unreachable")["message"]
        told = failed(gateway.request("POST", "/incidents/query", {}), 502, "invalid_config")
        assert "serviceID" in told["message"] and "fromEmail" in told["message"]
        assert "not-an-email" not in told["message"]
        assert gateway.request("GET", "/health").status == 200


def test_the_readme_works_as_written() -> None:
    """Its environment and its commands, but for the address of the server."""
    state = a_state("Token token=your-rest-api-key")
    state.users.append(a_user("PUBOT01", "Bot", "oncall-bot@example.com"))
    state.services.append(a_service("PIJ90N7", "Default"))
    described = {"id": "PT4KHLK", "title": "Disk nearly full", "priority": ref("priority", P2)}
    state.incidents.append(an_incident(1234, API, **described))
    examples = examples_of("pagerduty", curls=9)
    with serving(make_app(state)) as fake:
        answers = answers_to(examples, at(fake.url, examples.env, "https://api.pagerduty.com"))
    assert [answer.status for answer in answers] == [200, 200, 200, 201, 200, 201, 200, 200, 200]
    assert all(answer.json for answer in answers)
    assert answers[7].json["status"] == "resolved"
    assert any(entry["kind"] == "note" for entry in answers[6].json)
