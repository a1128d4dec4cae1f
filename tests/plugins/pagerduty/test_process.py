"""The plugin as a real process against a fake account over real HTTP."""

import time
from collections.abc import Iterator

import pytest

from opsorch.plugin.testing import PluginProcess, command_of, run_plugin
from opsorch_plugins.pagerduty.provider import PagerDutyIncidents, PagerDutyServices
from tests.fakes.pagerduty import (
    State,
    a_priority,
    a_service,
    a_team,
    a_user,
    an_incident,
    make_app,
)
from tests.fakes.server import FakeServer, Fault, serving
from tests.harness import free_port
from tests.plugins.support import Json, Plugin

TOKEN = "a-secret-of-the-test"
CORE = a_team("PTCORE1", "Core")
API = a_service("PSAPI01", "api", CORE)
WEB = a_service("PSWEB01", "web")


@pytest.fixture
def state() -> State:
    return State(
        authorization=f"Token token={TOKEN}",
        incidents=[an_incident(n, API if n % 2 else WEB) for n in range(1, 121)],
        services=[API, WEB],
        teams=[CORE],
        priorities=[a_priority("PP00001", "P1"), a_priority("PP00002", "P2")],
        users=[a_user("PU00001", "Ann", "ann@example.com")],
    )


@pytest.fixture
def fake(state: State) -> Iterator[FakeServer]:
    with serving(make_app(state)) as server:
        yield server


def config_for(fake: FakeServer) -> Json:
    return {
        "apiToken": TOKEN,
        "serviceID": "PSWEB01",
        "fromEmail": "ann@example.com",
        "apiURL": fake.url,
    }


@pytest.fixture
def incidents(fake: FakeServer) -> Iterator[Plugin]:
    with run_plugin(PagerDutyIncidents) as process:
        yield Plugin(process, config_for(fake), TOKEN)


def test_the_life_of_an_incident(incidents: Plugin, fake: FakeServer) -> None:
    """It is opened, taken up, noted, resolved, and its timeline tells so."""
    fields = {"priority": "p2", "incident_key": "disk", "assignees": ["PU00001"]}
    new = {"title": "Disk full", "description": "No space", "service": "API", "fields": fields}
    created = incidents("incident.create", new)
    assert (created["status"], created["severity"], created["service"]) == ("open", "high", "api")
    assert created["fields"]["assignees"] == ["Ann"]
    key = created["id"]
    assert incidents("incident.get", {"id": key})["description"] == "No space"
    again = incidents.error("incident.create", new)
    assert again["code"] == "bad_request"
    assert "matching dedup key" in again["message"]
    taken = incidents("incident.update", {"id": key, "input": {"status": "investigating"}})
    assert taken["status"] == "acknowledged"
    entry = {"body": "It is the log", "kind": "cause"}
    added = incidents("incident.timeline.append", {"id": key, "entry": entry, "input": entry})
    assert added == {"status": "ok"}
    closing = {"status": "closed", "fields": {"resolution": "rotated"}}
    number = str(created["fields"]["incidentNumber"])
    closed = incidents("incident.update", {"id": number, "input": closing})
    assert closed["status"] == "resolved"
    timeline = incidents("incident.timeline.get", {"id": key})
    assert {(e["kind"], e["body"]) for e in timeline} == {
        ("incident_created", "Triggered through the API."),
        ("note", "[cause] It is the log"),
        ("incident_resolved", "Resolved by Ops.\nrotated"),
    }


def test_queries_read_all_pages(incidents: Plugin, fake: FakeServer) -> None:
    """Two pages without a scope; the scope's names reach PagerDuty as ids."""
    found = incidents("incident.query", {"limit": 1000})
    assert len(found) == 120
    assert fake.count("GET", "/incidents") == 2
    assert len(incidents("incident.list")) == 100
    payload = {"scope": {"service": "api", "team": "core"}, "query": "trouble 11"}
    titles = {incident["title"] for incident in incidents("incident.query", payload)}
    assert titles == {"Trouble 11", *(f"Trouble {n}" for n in (111, 113, 115, 117, 119))}
    before = fake.count("GET", "/incidents")
    assert incidents("incident.query", {"scope": {"team": "nope"}}) == []
    assert fake.count("GET", "/incidents") == before


def test_old_open_incidents_are_found(incidents: Plugin, state: State) -> None:
    """PagerDuty's own window is a month."""
    old = an_incident(500, WEB, title="Old", created_at="2020-01-01T00:00:00Z")
    state.incidents = [old, an_incident(501, WEB, title="New")]
    assert [i["title"] for i in incidents("incident.query", {})] == ["New"]
    found = incidents("incident.query", {"statuses": ["open"]})
    assert [i["title"] for i in found] == ["New", "Old"]


def test_a_refused_include_is_done_without(incidents: Plugin, state: State) -> None:
    """The incident comes without its description."""
    state.knows_body = False
    found = incidents("incident.get", {"id": "PINC0001"})
    assert found["title"] == "Trouble 1"
    assert "description" not in found


def test_services(fake: FakeServer) -> None:
    """By name, tag, team and id."""
    with run_plugin(PagerDutyServices) as process:
        services = Plugin(process, config_for(fake), TOKEN)
        assert [s["name"] for s in services("service.query", {})] == ["api", "web"]
        for payload in (
            {"name": "AP"},
            {"tags": {"team": "core"}},
            {"scope": {"team": "Core"}},
            {"scope": {"service": "API"}},
            {"ids": ["PNONE01", "PSAPI01"]},
        ):
            assert [s["id"] for s in services("service.query", payload)] == ["PSAPI01"], payload
        about = services("plugin.describe")
        assert (about["name"], about["capability"]) == ("pagerduty", "service")
        assert services("plugin.check")["ok"] is True


def test_describe_and_check(incidents: Plugin, state: State) -> None:
    """The check finds what would fail later."""
    about = incidents("plugin.describe")
    assert about["methods"] == [
        "incident.create",
        "incident.get",
        "incident.list",
        "incident.query",
        "incident.timeline.append",
        "incident.timeline.get",
        "incident.update",
    ]
    assert incidents("plugin.check")["ok"] is True
    state.forbidden = {"services"}
    incidents.config["fromEmail"] = "bob@example.com"
    told = incidents("plugin.check")
    assert [(c["name"], c["ok"]) for c in told["checks"]] == [
        ("configuration", True),
        ("incidents", True),
        ("serviceID", False),
        ("fromEmail", False),
    ]
    assert "services.read" in told["checks"][2]["message"]


def test_errors_have_their_codes(incidents: Plugin, fake: FakeServer, state: State) -> None:
    """What a person can do about it decides the code."""
    note = {"id": "PINC0001", "entry": {"body": "x"}}
    assert incidents.error("incident.get", {"id": "PNONE"})["code"] == "not_found"
    assert incidents.error("incident.timeline.get", {"id": "PNONE"})["code"] == "not_found"
    assert incidents.error("incident.nonsense")["code"] == "bad_request"
    fake.fail_next(Fault(status=429, headers={"ratelimit-reset": "41"}))
    limited = incidents.error("incident.timeline.append", note)
    assert (limited["code"], limited["retryAfter"]) == ("rate_limited", 41)
    state.forbidden = {"writing"}
    assert "read-only" in incidents.error("incident.timeline.append", note)["message"]
    state.forbidden = set()
    incidents.config["fromEmail"] = "bob@example.com"
    unknown = incidents.error("incident.timeline.append", note)
    assert unknown["code"] == "bad_request" and "Check fromEmail" in unknown["message"]
    incidents.config["apiToken"] = "wrong-token"
    assert incidents.error("incident.query")["code"] == "auth_failed"
    incidents.config = {"apiURL": "odd-value"}
    invalid = incidents.error("incident.query")
    assert invalid["code"] == "invalid_config" and "odd-value" not in invalid["message"]


def test_passing_trouble_is_bridged(incidents: Plugin, fake: FakeServer) -> None:
    """A lost connection and a 503 cost time, not the answer."""
    fake.fail_next(Fault(drop=True))
    fake.fail_next(Fault(status=503))
    assert len(incidents("incident.query", {"limit": 7})) == 7
    assert len(fake.seen) == 3


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(hang=True, apply_first=True), "upstream_timeout"),
        (Fault(drop=True, apply_first=True), "upstream_unreachable"),
    ],
)
def test_a_create_whose_answer_is_lost_is_sent_once(
    incidents: Plugin, fake: FakeServer, state: State, fault: Fault, code: str
) -> None:
    """It took effect, and the error says that it may have."""
    fake.fail_next(fault)
    began = time.monotonic()
    lost = incidents.error("incident.create", {"title": "Once"}, timeoutMs=2000)
    assert (lost["code"], lost["outcome"]) == (code, "unknown")
    assert time.monotonic() - began < 10
    assert fake.count("POST") == 1
    assert [i["title"] for i in state.incidents].count("Once") == 1


def test_a_missing_server_is_unreachable() -> None:
    """Host and port are told; a create that never left has a known outcome."""
    address = f"127.0.0.1:{free_port()}"
    config = {
        "apiToken": TOKEN,
        "serviceID": "P1",
        "fromEmail": "a@b",
        "apiURL": f"http://{address}",
    }
    with run_plugin(PagerDutyIncidents) as process:
        error = process.call("incident.create", {"title": "x"}, config=config)["error"]
    assert error["code"] == "upstream_unreachable"
    assert address in error["message"] and "refused" in error["message"]
    assert "outcome" not in error


def test_nothing_secret_is_written(fake: FakeServer) -> None:
    """Neither replies nor the log hold the token or the sender, whatever the server answers."""
    config = {**config_for(fake), "bogus": 1}
    replies = []
    process = PluginProcess(command_of(PagerDutyIncidents))
    try:
        for fault in (Fault(status=401, body=TOKEN), Fault(status=400, body=f'"{TOKEN}"')):
            fake.fail_next(fault)
            replies.append(process.call("incident.query", {}, config=config))
        body = (
            f'{{"incidents": [null, {{"id": ""}}, {{"id": "P1", "title": "x"}}], "t": "{TOKEN}"}}'
        )
        fake.fail_next(Fault(status=200, body=body))
        replies.append(process.call("incident.query", {}, config=config))
        replies.append(process.send_line(b"{nonsense"))
    finally:
        log = process.close()
    codes = [reply.get("error", {}).get("code") for reply in replies]
    assert codes == ["auth_failed", "bad_request", None, "bad_request"]
    assert [incident["id"] for incident in replies[2]["result"]] == ["P1"]
    for secret in (TOKEN, "ann@example.com"):
        assert secret not in str(replies)
        assert secret not in log
    assert "unknown field(s) ignored: bogus" in log
    assert "without id" in log
