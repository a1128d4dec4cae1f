"""The plugins as real processes against a fake organisation over real HTTP."""

import contextlib
import datetime
from collections.abc import Iterator
from typing import Any

import pytest

from opsorch.plugin.testing import run_plugin
from opsorch_plugins.datadog.provider import (
    DatadogAlerts,
    DatadogIncidents,
    DatadogLogs,
    DatadogMetrics,
    DatadogServices,
)
from tests.fakes.datadog import (
    API_KEY,
    APP_KEY,
    State,
    a_definition,
    a_log,
    a_monitor,
    an_incident,
    make_app,
)
from tests.fakes.server import FakeServer, Fault, serving
from tests.harness import free_port
from tests.plugins.support import Plugin

Json = dict[str, Any]

NOW = datetime.datetime(2024, 5, 6, 8, tzinfo=datetime.UTC)
RANGE = {"start": "2024-05-06T07:00:00Z", "end": "2024-05-06T08:00:00Z"}


@pytest.fixture
def state() -> State:
    ago = [NOW - datetime.timedelta(seconds=n + 1) for n in range(1200)]
    return State(
        series=[
            {
                "metric": "system.cpu.user",
                "tags": {"host": host, "service": service, "env": "prod"},
                "points": [(int(NOW.timestamp() - 600) * 1000, value)],
                "unit": [{"name": "percent"}, None],
            }
            for host, service, value in (("a", "web", 1.5), ("b", "web", 2.5), ("c", "api", 9.0))
        ],
        metrics=[
            {
                "id": f"m.{n}",
                "type": "metrics",
                "seen": [{"service": "web" if n % 2 else "api", "env": "prod"}],
            }
            for n in range(2100)
        ],
        logs=[
            a_log(n, f"line {n}", when, service="web" if n % 2 else "api")
            for n, when in enumerate(ago)
        ],
        monitors=[a_monitor(n, f"Monitor {n}") for n in range(1, 1003)],
        incidents=[an_incident(n, f"Trouble {n}") for n in range(1, 131)],
        definitions=[
            a_definition(n, {"dd-service": f"s{n}", "schema-version": "v2"}) for n in range(150)
        ],
    )


@pytest.fixture
def fake(state: State) -> Iterator[FakeServer]:
    with serving(make_app(state)) as server:
        yield server


@contextlib.contextmanager
def plugin_of(provider_class: Any, fake: FakeServer) -> Iterator[Plugin]:
    with run_plugin(provider_class) as process:
        config = {"apiKey": API_KEY, "appKey": APP_KEY, "apiURL": fake.url}
        yield Plugin(process, config, API_KEY)


@pytest.fixture
def incidents(fake: FakeServer) -> Iterator[Plugin]:
    with plugin_of(DatadogIncidents, fake) as plugin:
        yield plugin


def test_metrics(fake: FakeServer) -> None:
    """Filters and groups are Datadog's own work; the list has three pages."""
    with plugin_of(DatadogMetrics, fake) as plugin:
        expression = {
            "metricName": "system.cpu.user",
            "aggregation": "sum",
            "filters": [{"label": "host", "operator": "!=", "value": "B"}],
            "groupBy": ["host"],
        }
        payload: Json = {"expression": expression, "step": 60, **RANGE}
        found = plugin("metric.query", payload)
        assert {one["labels"]["host"]: one["points"][0]["value"] for one in found} == {
            "a": 1.5,
            "c": 9.0,
        }
        [one] = plugin("metric.query", {**payload, "scope": {"service": "web"}})
        assert (one["labels"], one["metadata"]["unit"]) == ({"host": "a"}, "percent")
        regex = {"label": "host", "operator": "=~", "value": "b|c"}
        one_of = {"metricName": "system.cpu.user", "aggregation": "max", "filters": [regex]}
        [one] = plugin("metric.query", {"expression": one_of, **RANGE})
        assert one["points"][0]["value"] == 9.0
        assert len(plugin("metric.describe", {})) == 2100
        assert fake.count("GET", "/api/v2/metrics") == 3
        assert len(plugin("metric.describe", {"service": "web"})) == 1050
        told = plugin.error("metric.query", {"metadata": {"query": "nonsense"}, **RANGE})
        assert told["code"] == "bad_request" and "Invalid query" in told["message"]
        assert plugin("plugin.check")["ok"] is True


def test_logs(fake: FakeServer) -> None:
    """More than one page, newest first; alternatives stay within the scope."""
    with plugin_of(DatadogLogs, fake) as plugin:
        found = plugin("log.query", {"limit": 1150, **RANGE})["entries"]
        assert [entry["message"] for entry in found] == [f"line {n}" for n in range(1150)]
        assert fake.count("POST", "/logs") == 2
        expression = {"search": '"line 10" OR "line 11"'}
        payload = {"expression": expression, "scope": {"service": "web"}, **RANGE}
        found = plugin("log.query", payload)["entries"]
        assert {entry["service"] for entry in found} == {"web"}
        assert {entry["message"] for entry in found} >= {"line 11", "line 111"}
        cursor = {"cursor": "broken"}
        assert plugin.error("log.query", {"metadata": cursor, **RANGE})["code"] == "bad_request"
        assert plugin("plugin.check")["ok"] is True


def test_alerts(fake: FakeServer, state: State) -> None:
    """Two pages; downtimes and groups are asked for."""
    groups = {"h": {"name": "h", "status": "Alert", "last_triggered_ts": 1714982400}}
    state.monitors[-1] = a_monitor(
        9999,
        "CPU is high",
        "Alert",
        priority=1,
        state={"groups": groups},
        matching_downtimes=[{"id": 1, "start": 1, "end": None}],
    )
    with plugin_of(DatadogAlerts, fake) as plugin:
        payload = {"statuses": ["firing"], "severities": ["P1"], "scope": {"service": "web"}}
        [found] = plugin("alert.query", payload)
        assert found["fields"]["triggeredAt"] == "2024-05-06T08:00:00Z"
        assert found["fields"]["muted"] is True
        assert fake.count("GET", "/api/v1/monitor") == 2
        assert plugin("alert.query", {"query": "cpu"})[0]["id"] == "9999"
        assert plugin("alert.get", {"id": "9999"})["title"] == "CPU is high"
        assert plugin.error("alert.get", {"id": "77777"})["code"] == "not_found"
        assert plugin("plugin.check")["ok"] is True


def test_services(fake: FakeServer) -> None:
    with plugin_of(DatadogServices, fake) as plugin:
        assert len(plugin("service.query", {})) == 150
        assert [s["id"] for s in plugin("service.query", {"name": "s149"})] == ["s149"]
        assert plugin("plugin.check")["ok"] is True


@pytest.mark.parametrize("has_cells", [True, False])
def test_the_life_of_an_incident(incidents: Plugin, state: State, has_cells: bool) -> None:
    """It is opened, taken up, noted, closed, and its timeline tells so."""
    state.has_cells = has_cells
    new = {
        "title": "Disk full",
        "description": "No space",
        "severity": "P2",
        "service": "web",
        "fields": {"team": "core", "causes": ["logs", "dumps"]},
    }
    created = incidents("incident.create", new)
    assert (created["status"], created["severity"], created["service"]) == ("open", "high", "web")
    assert created["fields"]["causes"] == ["logs", "dumps"]
    assert "unapplied" not in created["metadata"]
    public = str(created["metadata"]["public_id"])
    assert incidents("incident.get", {"id": public})["id"] == created["id"]
    taken = incidents("incident.update", {"id": public, "input": {"status": "acknowledged"}})
    assert taken["status"] == "investigating"
    entry = {"body": "It is the log", "at": "2024-05-06T09:08:09+02:00"}
    payload = {"id": created["id"], "entry": entry, "input": entry}
    assert incidents("incident.timeline.append", payload) == {"status": "ok"}
    closed = incidents("incident.update", {"id": created["id"], "input": {"status": "closed"}})
    assert closed["status"] == "resolved" and "resolved" in closed["metadata"]
    timeline = incidents("incident.timeline.get", {"id": public})
    kinds = {entry["kind"] for entry in timeline}
    if has_cells:
        [note] = timeline
        assert (note["kind"], note["at"]) == ("note", "2024-05-06T07:08:09Z")
    else:
        assert kinds == {"incident_created", "incident_detected", "incident_resolved", "todo"}
        [note] = [entry for entry in timeline if entry["kind"] == "todo"]
        assert note["metadata"]["completed_at"] == "2024-05-06T07:08:09Z"
    assert note["body"] == "It is the log"
    assert note["incidentId"] == created["id"]


def test_incidents_are_searched_page_after_page(incidents: Plugin, fake: FakeServer) -> None:
    found = incidents("incident.query", {"statuses": ["open"], "limit": 120})
    assert [one["title"] for one in found[:2]] == ["Trouble 130", "Trouble 129"]
    assert len(found) == 120
    assert fake.count("GET", "/incidents/search") == 2
    assert len(incidents("incident.list")) == 100
    assert incidents("incident.query", {"severities": ["critical"]}) == []


def test_a_rule_of_the_organisation_is_told(incidents: Plugin, state: State) -> None:
    state.ignored_fields = {"severity"}
    created = incidents("incident.create", {"title": "x", "severity": "high"})
    assert created["metadata"]["unapplied"] == ["severity"]
    assert created["severity"] == "unknown"


def test_describe_and_check(incidents: Plugin, state: State) -> None:
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
    state.forbidden = {"incident_read"}
    told = incidents("plugin.check")
    assert [(c["name"], c["ok"]) for c in told["checks"]] == [
        ("configuration", True),
        ("apiKey", True),
        ("incident_read", False),
    ]
    incidents.config["appKey"] = "another-key-that-is-wrong"
    assert incidents("plugin.check")["checks"][1]["ok"] is True
    incidents.config["apiKey"] = "another-key-that-is-wrong"
    assert incidents("plugin.check")["checks"][1]["ok"] is False


def test_errors_have_their_codes(incidents: Plugin, fake: FakeServer, state: State) -> None:
    """What a person can do about it decides the code."""
    unknown = "ffffffff-0000-0000-0000-000000000000"
    assert incidents.error("incident.get", {"id": unknown})["code"] == "not_found"
    assert incidents.error("incident.get", {"id": "424242"})["code"] == "not_found"
    assert incidents.error("incident.timeline.get", {"id": unknown})["code"] == "not_found"
    odd = {"title": "x", "fields": {"state": {"type": "dropdown", "value": "odd"}}}
    told = incidents.error("incident.create", odd)
    assert told["code"] == "bad_request" and "invalid value of field state" in told["message"]
    state.forbidden = {"incident_write"}
    told = incidents.error("incident.create", {"title": "x"})
    assert told["code"] == "auth_failed" and "incident_write" in told["message"]
    state.forbidden, state.rate_limit = set(), state.used
    # The fake's limit starts anew in 17 s, more than this call has.
    limited = incidents.error("incident.query", {}, timeoutMs=3000)
    assert (limited["code"], limited["retryAfter"]) == ("rate_limited", 17)
    assert "fake_requests" in limited["message"]
    incidents.config = {"site": "odd-value"}
    invalid = incidents.error("incident.query")
    assert invalid["code"] == "invalid_config" and "odd-value" not in invalid["message"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(hang=True, apply_first=True), "upstream_timeout"),
        (Fault(drop=True, apply_first=True), "upstream_unreachable"),
    ],
)
def test_a_create_whose_answer_is_lost(
    incidents: Plugin, fake: FakeServer, state: State, fault: Fault, code: str
) -> None:
    """It is sent once, and the caller is told that it may have been done."""
    fake.fail_next(fault)
    told = incidents.error("incident.create", {"title": "Once"}, timeoutMs=1500)
    assert (told["code"], told["outcome"]) == (code, "unknown")
    assert fake.count("POST") == 1
    assert [one["attributes"]["title"] for one in state.incidents].count("Once") == 1


def test_a_create_that_never_left(incidents: Plugin) -> None:
    incidents.config["apiURL"] = f"http://127.0.0.1:{free_port()}"
    told = incidents.error("incident.create", {"title": "Once"})
    assert told["code"] == "upstream_unreachable" and "outcome" not in told


def test_no_secret_leaves_the_plugin(fake: FakeServer) -> None:
    """Neither in answers nor on stderr, whatever Datadog repeats."""
    config = {"apiKey": API_KEY, "appKey": APP_KEY, "apiURL": fake.url, "bogus": 1}
    with run_plugin(DatadogAlerts) as process:
        replies = []
        for status in (400, 403, 500):
            body = f'{{"errors": ["{API_KEY} {APP_KEY}"]}}'
            fake.fail_next(Fault(status=status, body=body))
            replies.append(process.call("alert.query", {}, config=config))
        replies.append(process.send_line(b"{nonsense"))
        log = process.close()
    codes = [reply["error"]["code"] for reply in replies]
    assert codes == ["bad_request", "auth_failed", "provider_error", "bad_request"]
    for secret in (API_KEY, APP_KEY):
        assert secret not in str(replies)
        assert secret not in log
    assert "unknown field(s) ignored: bogus" in log
