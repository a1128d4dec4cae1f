"""Dashboard, gateway, plugins and a fake Datadog, over real HTTP."""

import datetime
import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.support import (
    Json,
    answered,
    answers_to,
    env_of,
    examples_of,
    failed,
    guarded_gateway,
    in_process,
    limited,
    lost_answers,
    pages_are_not_passed_on,
    sent_once,
)
from tests.fakes.datadog import (
    State,
    a_definition,
    a_log,
    a_monitor,
    an_incident,
    make_app,
)
from tests.fakes.server import FakeServer, Fault, Seen, serving
from tests.harness import Answer, Gateway, free_port, running_gateway

CAPABILITIES = ("METRIC", "LOG", "ALERT", "INCIDENT", "SERVICE")
APP = "https://app.datadoghq.com"

# As the guide to custom images has them, word for word: the stack around Datadog (its services come
# from another vendor there), and the fields that it calls required.
API_KEY, APP_KEY = "dd_api_key", "dd_app_key"
TOKEN = "your-secure-token"
STACK = """
OPSORCH_METRIC_CONFIG={"apiKey":"dd_api_key","appKey":"dd_app_key","site":"datadoghq.com"}
OPSORCH_LOG_CONFIG={"apiKey":"dd_api_key","appKey":"dd_app_key","site":"datadoghq.com"}
OPSORCH_ALERT_CONFIG={"apiKey":"dd_api_key","appKey":"dd_app_key","site":"datadoghq.com"}
OPSORCH_INCIDENT_CONFIG={"apiKey":"dd_api_key","appKey":"dd_app_key","site":"datadoghq.com"}
"""
REQUIRED_FIELDS = """
{
  "apiKey": "your-datadog-api-key",
  "appKey": "your-datadog-app-key",
  "site": "datadoghq.com"
}
"""
SECRETS = (API_KEY, APP_KEY, TOKEN)

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
POINT_MS = int(NOW.timestamp() - 600) * 1000


def a_series(host: str, service: str, value: float) -> Json:
    return {
        "metric": "system.cpu.user",
        "tags": {"host": host, "service": service, "env": "prod", "team": "core"},
        "points": [(POINT_MS, value)],
        "unit": [{"name": "percent"}, None],
    }


def a_state(api_key: str = API_KEY, app_key: str = APP_KEY) -> State:
    logs = [
        a_log(n, f"line {n}", NOW - datetime.timedelta(seconds=n + 1), service="api")
        for n in range(1100)
    ]
    logs += [
        a_log(
            5000 + n,
            text,
            NOW - datetime.timedelta(seconds=30 + n),
            service=service,
            status=status,
            tags=["env:prod", "team:core"],
            attributes={"http": {"status_code": code}},
        )
        for n, (text, service, status, code) in enumerate(
            [
                ("a timeout", "web", "error", 504),
                ("connection refused", "web", "emergency", 502),
                ("a timeout elsewhere", "api", "error", 504),
                ("connection refused elsewhere", "api", "WARN", 500),
                ("all is well", "web", "ok", 200),
            ]
        )
    ]
    groups = {
        "host:a": {"name": "host:a", "status": "Alert", "last_triggered_ts": POINT_MS // 1000}
    }
    special = {
        "tags": ["service:web", "team:core", "env:prod"],
        "priority": 1,
        "state": {"groups": groups},
    }
    fields = {
        "services": ["web"],
        "teams": ["core"],
        "summary": "No space left",
        "severity": "SEV-1",
    }
    return State(
        api_key,
        app_key,
        series=[a_series("a", "web", 1.5), a_series("b", "web", 2.5), a_series("c", "api", 9.0)],
        metrics=[
            {"id": f"m.{n}", "type": "metrics", "seen": [{"service": "web" if n < 5 else "api"}]}
            for n in range(1010)
        ],
        logs=logs,
        monitors=[
            a_monitor(12, "CPU is high", "Alert", **special),
            *(a_monitor(n, f"Monitor {n}", tags=["service:api"]) for n in range(100, 1110)),
        ],
        incidents=[
            *(an_incident(n, f"Trouble {n}") for n in range(1, 131)),
            an_incident(1234, "Disk full on db1", fields),
        ],
        definitions=[
            *(a_definition(n, {"schema-version": "v2", "dd-service": f"s{n}"}) for n in range(110)),
            a_definition(
                999,
                {
                    "schema-version": "v2.2",
                    "dd-service": "web",
                    "team": "core",
                    "tier": "1",
                    "tags": ["env:prod"],
                },
            ),
        ],
    )


@pytest.fixture(scope="module")
def state() -> State:
    return a_state()


@pytest.fixture(scope="module")
def fake(state: State) -> Iterator[FakeServer]:
    with serving(make_app(state)) as server:
        yield server


def addressed(config: str, url: str, **more: Any) -> Json:
    """A configuration as it stands, but for the address."""
    return {**json.loads(config), "apiURL": url, **more}


def stack_env(way: str, url: str, **more: Any) -> dict[str, str]:
    """The guide's stack; its configuration of alerts serves the services as well."""
    lines = [line.partition("=") for line in STACK.split()]
    configs = {name.split("_")[1]: addressed(config, url, **more) for name, _, config in lines}
    configs["SERVICE"] = configs["ALERT"]
    assert set(configs) == set(CAPABILITIES)
    return {**env_of("datadog", way, configs), "OPSORCH_BEARER_TOKEN": TOKEN}


@pytest.fixture(scope="module")
def gateway(way: str, fake: FakeServer) -> Iterator[Gateway]:
    with guarded_gateway(stack_env(way, fake.url), *SECRETS) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(way: str, fake: FakeServer) -> Iterator[Gateway]:
    """A gateway whose calls have two seconds."""
    with guarded_gateway(stack_env(way, fake.url, timeoutSeconds=2), *SECRETS) as running:
        yield running


def send(gateway: Gateway, method: str, path: str, body: Any = None) -> Answer:
    """Ask with the token; no answer shows a secret."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = gateway.request(method, path, body, headers=headers)
    assert not any(secret in str(answer) for secret in SECRETS)
    return answer


def test_metrics_with_every_filter(gateway: Gateway, fake: FakeServer) -> None:
    """Name, aggregation, filters, groups, scope, step and range; the keys are headers."""
    payload = {
        "expression": {
            "metricName": "system.cpu.user",
            "aggregation": "max",
            "filters": [
                {"label": "host", "operator": "=~", "value": "a|b|c"},
                {"label": "host", "operator": "!=", "value": "b"},
            ],
            "groupBy": ["host"],
        },
        "start": (NOW - datetime.timedelta(hours=1)).isoformat(),
        "end": NOW.isoformat(),
        "step": 60,
        "scope": {"service": "web", "team": "core", "environment": "prod"},
        "metadata": {"rollup": {"method": "avg", "seconds": 60}},
    }
    [found] = answered(send(gateway, "POST", "/metrics/query", payload))
    assert (found["labels"], found["name"]) == ({"host": "a"}, "system.cpu.user")
    [point] = found["points"]
    assert point["value"] == 1.5 and point["timestamp"].endswith("Z")
    assert found["metadata"]["unit"] == "percent"
    link = urllib.parse.urlsplit(found["url"])
    shown = urllib.parse.parse_qs(link.query)
    assert f"{link.scheme}://{link.netloc}{link.path}" == f"{APP}/metric/explorer"
    assert shown["exp_metric"] == ["system.cpu.user"] and shown["exp_group"] == ["host"]
    headers = fake.seen[-1].headers
    assert (headers["Dd-Api-Key"], headers["Dd-Application-Key"]) == (API_KEY, APP_KEY)


def test_metrics_are_described_beyond_one_page(gateway: Gateway) -> None:
    """By cursor; a scope narrows them."""
    found = answered(send(gateway, "GET", "/metrics/describe"))["metrics"]
    assert len({metric["name"] for metric in found}) == 1010
    assert found[0]["url"] == f"{APP}/metric/summary?metric=m.0"
    payload = {"service": "web"}
    narrowed = answered(send(gateway, "POST", "/metrics/describe", payload))["metrics"]
    assert [metric["name"] for metric in narrowed] == [f"m.{n}" for n in range(5)]


def test_logs_with_every_filter(gateway: Gateway) -> None:
    """A search of alternatives, severities, filters, scope, range and limit."""
    payload = {
        "expression": {
            "search": 'timeout OR "connection refused"',
            "severityIn": ["error", "critical"],
            "filters": [
                {"field": "@http.status_code", "operator": ">=", "value": "500"},
                {"field": "env", "operator": "=", "value": "prod"},
                {"field": "message", "operator": "not contains", "value": "elsewhere"},
            ],
        },
        "start": (NOW - datetime.timedelta(hours=1)).isoformat(),
        "end": NOW.isoformat(),
        "scope": {"service": "web", "team": "core", "environment": "prod"},
        "limit": 10,
        "metadata": {"sort": "asc"},
    }
    found = answered(send(gateway, "POST", "/logs/query", payload))
    entries = found["entries"]
    assert [(e["message"], e["severity"]) for e in entries] == [
        ("connection refused", "critical"),
        ("a timeout", "error"),
    ]
    assert {entry["service"] for entry in entries} == {"web"}
    assert entries[0]["labels"] == {"env": "prod", "team": "core"}
    assert entries[0]["fields"] == {"http": {"status_code": 502}}
    assert entries[0]["metadata"]["url"].startswith(f"{APP}/logs?event=")
    link = urllib.parse.urlsplit(found["url"])
    query = urllib.parse.parse_qs(link.query)["query"][0]
    assert query.startswith('(timeout OR "connection refused") status:(error OR critical OR')


@pytest.mark.parametrize("search", ["a OR timeout", "x) OR (service:api", 'a" OR *:*', "-zzz"])
def test_a_search_never_leaves_its_scope(gateway: Gateway, search: str) -> None:
    """Whatever it holds."""
    payload = {"expression": {"search": search}, "scope": {"service": "web"}, "limit": 1000}
    found = answered(send(gateway, "POST", "/logs/query", payload))["entries"]
    assert {entry["service"] for entry in found} <= {"web"}


def test_logs_beyond_one_page(gateway: Gateway, fake: FakeServer) -> None:
    """The vendor's pages are of 1,000, and no more than is wanted is asked for."""
    before = fake.count("POST", "/logs/")
    payload = {"expression": {"search": "line"}, "limit": 1050}
    found = answered(send(gateway, "POST", "/logs/query", payload))["entries"]
    assert [entry["message"] for entry in found] == [f"line {n}" for n in range(1050)]
    assert fake.count("POST", "/logs/") == before + 2
    assert fake.seen[-1].json["page"]["limit"] == 50


def test_alerts_with_every_filter(gateway: Gateway, fake: FakeServer) -> None:
    """Text, statuses, severities, scope, limit and metadata."""
    payload = {
        "query": "cpu",
        "statuses": ["firing", "warning"],
        "severities": ["critical", "high"],
        "scope": {"service": "web", "team": "core", "environment": "prod"},
        "limit": 5,
        "metadata": {"type": "metric alert", "muted": False},
    }
    [found] = answered(send(gateway, "POST", "/alerts/query", payload))
    assert (found["id"], found["status"], found["severity"]) == ("12", "firing", "critical")
    assert (found["service"], found["url"]) == ("web", f"{APP}/monitors/12")
    assert found["createdAt"] == "2024-01-02T03:04:05.123456Z"
    assert found["fields"]["groups"][0]["status"] == "firing"
    assert answered(send(gateway, "GET", "/alerts/12"))["title"] == "CPU is high"
    before = fake.count("GET", "/monitor")
    assert len(answered(send(gateway, "POST", "/alerts/query", {}))) == 1011
    assert fake.count("GET", "/monitor") == before + 2


def test_incidents_with_every_filter(gateway: Gateway) -> None:
    """Text, statuses, severities, scope and limit; more than one page of the vendor's."""
    payload = {
        "query": "DISK db1",
        "statuses": ["open", "investigating"],
        "severities": ["critical"],
        "scope": {"service": "web", "team": "core"},
        "limit": 5,
    }
    [found] = answered(send(gateway, "POST", "/incidents/query", payload))
    assert (found["title"], found["severity"]) == ("Disk full on db1", "critical")
    assert (found["service"], found["url"]) == ("web", f"{APP}/incidents/1234")
    assert found["createdAt"].endswith("Z") and found["updatedAt"].endswith("Z")
    many = {"severities": ["medium"], "limit": 120}
    found = answered(send(gateway, "POST", "/incidents/query", many))
    assert len({incident["id"] for incident in found}) == 120


@pytest.mark.parametrize("has_cells", [True, False])
def test_the_life_of_an_incident(gateway: Gateway, state: State, has_cells: bool) -> None:
    """Opened, read, taken up, noted, closed; whichever timeline the API has."""
    state.has_cells = has_cells
    new = {
        "title": "Mail is late",
        "description": "The queue grows",
        "severity": "sev3",
        "service": "mail",
        "fields": {"team": "core", "root_cause": "load"},
        "metadata": {"customer_impacted": True},
    }
    created = answered(send(gateway, "POST", "/incidents", new), 201)
    path = f"/incidents/{created['id']}"
    public = created["metadata"]["public_id"]
    assert created["url"] == f"{APP}/incidents/{public}"
    assert (created["service"], created["severity"]) == ("mail", "medium")
    assert created["metadata"]["customer_impact_scope"] == "unknown"
    assert answered(send(gateway, "GET", path))["description"] == "The queue grows"
    assert answered(send(gateway, "GET", f"/incidents/{public}"))["id"] == created["id"]
    change = {"status": "acknowledged", "title": "Mail is very late", "severity": "high"}
    changed = answered(send(gateway, "PATCH", path, change))
    assert (changed["status"], changed["title"]) == ("investigating", "Mail is very late")
    assert "unapplied" not in changed["metadata"]
    entry = {
        "body": "A worker hangs",
        "at": "2024-05-06T09:08:09+02:00",
        "actor": {"name": "Ann"},
    }
    answered(send(gateway, "POST", f"{path}/timeline", entry), 201)
    closed = answered(send(gateway, "PATCH", f"/incidents/{public}", {"status": "closed"}))
    assert closed["status"] == "resolved"
    timeline = answered(send(gateway, "GET", f"{path}/timeline"))
    notes = [e for e in timeline if e["body"] == "A worker hangs\n- via OpsOrch: Ann"]
    [note] = notes
    assert note["kind"] == ("note" if has_cells else "todo")
    assert note["incidentId"] == created["id"]
    if has_cells:
        assert note["at"] == "2024-05-06T07:08:09Z"


def test_services_with_every_filter(gateway: Gateway, fake: FakeServer) -> None:
    """Ids, name, tags, scope and limit; the one that fits is on the second page."""
    payload = {
        "ids": ["web", "none"],
        "name": "WE",
        "tags": {"team": "core", "tier": "1"},
        "scope": {"service": "web", "team": "core", "environment": "prod"},
        "limit": 1,
    }
    [found] = answered(send(gateway, "POST", "/services/query", payload))
    assert (found["id"], found["name"]) == ("web", "web")
    assert found["url"] == f"{APP}/apm/services/web"
    assert fake.seen[-1].query.startswith("page%5Bsize%5D=100&page%5Bnumber%5D=1")
    assert len(answered(send(gateway, "GET", "/services"))) == 111


def test_what_is_not_there(gateway: Gateway) -> None:
    """A monitor, an incident, its timeline, and something to change."""
    missing = "/incidents/ffffffff-0000-0000-0000-000000000000"
    failed(send(gateway, "GET", "/alerts/77"), 404, "not_found")
    failed(send(gateway, "GET", "/alerts/abc"), 404, "not_found")
    failed(send(gateway, "GET", "/incidents/424242"), 404, "not_found")
    failed(send(gateway, "GET", f"{missing}/timeline"), 404, "not_found")
    told = failed(send(gateway, "PATCH", missing, {"title": "x"}), 404, "not_found")
    assert "ffffffff" in told["message"]
    failed(send(gateway, "POST", f"{missing}/timeline", {"body": "x"}), 404, "not_found")


def test_requests_that_do_not_fit(gateway: Gateway) -> None:
    """The adapter's refusals and Datadog's both are 400 and name what is wrong."""
    for path, payload, word in (
        ("/alerts/query", {"statuses": ["bogus"]}, "no data"),
        ("/incidents/query", {"severities": ["bogus"]}, "critical"),
        ("/metrics/query", {"expression": {"metricName": "m{*}"}}, "metricName"),
        ("/metrics/query", {"metadata": {"query": "nonsense"}}, "Invalid query"),
        ("/logs/query", {"metadata": {"query": "a) OR (b"}}, "parentheses"),
        ("/logs/query", {"metadata": {"query": "a OR"}}, "invalid query"),
    ):
        told = failed(send(gateway, "POST", path, payload), 400, "bad_request")
        assert word in told["message"]


def test_refused_credentials(gateway: Gateway, fake: FakeServer, state: State) -> None:
    """The vendor's 403 is not the caller's; the missing scope is named."""
    body = json.dumps({"errors": [f"Forbidden {API_KEY} {APP_KEY}"]})
    fake.fail_next(Fault(status=403, body=body))
    told = failed(send(gateway, "POST", "/logs/query", {}), 502, "auth_failed")
    assert "logs_read_data" in told["message"] and "site" in told["message"]
    state.forbidden = {"incident_write"}
    try:
        told = failed(send(gateway, "POST", "/incidents", {"title": "x"}), 502, "auth_failed")
    finally:
        state.forbidden = set()
    assert "incident_write" in told["message"]


def test_rate_limits(gateway: Gateway, fake: FakeServer) -> None:
    """How long to wait is passed on; a write is not tried again."""
    headers = {"X-RateLimit-Reset": "77", "X-RateLimit-Name": "logs_list"}
    fake.fail_next(Fault(status=429, headers=headers), times=2)
    for path, body in (("/logs/query", {}), ("/incidents", {"title": "x"})):
        answer = send(gateway, "POST", path, body)
        limited(answer, 77)
        assert "logs_list" in answer.json["message"]


def test_other_failures_of_the_server(gateway: Gateway, fake: FakeServer) -> None:
    """They are 502, without the server's page."""
    pages_are_not_passed_on(fake, lambda: send(gateway, "POST", "/services/query", {}))
    fake.fail_next(Fault(status=200, body="[]"))
    failed(send(gateway, "POST", "/services/query", {}), 502, "provider_error")


def test_a_lost_connection_is_bridged(gateway: Gateway, fake: FakeServer) -> None:
    """Reads are tried again, a search by POST too."""
    fake.fail_next(Fault(drop=True, when=lambda seen: seen.path.endswith("/events/search")))
    payload = {"expression": {"search": "well"}}
    [entry] = answered(send(gateway, "POST", "/logs/query", payload))["entries"]
    assert entry["message"] == "all is well"


def is_create(seen: Seen) -> bool:
    return (seen.method, seen.path) == ("POST", "/api/v2/incidents")


def test_timeouts(hasty: Gateway, fake: FakeServer) -> None:
    """A silent server is upstream_timeout; then all is well."""
    fake.fail_next(Fault(hang=True))
    told = failed(send(hasty, "GET", "/alerts/12"), 504, "upstream_timeout")
    assert fake.url.removeprefix("http://") in told["message"]
    assert answered(send(hasty, "GET", "/alerts/12"))["id"] == "12"


@pytest.mark.parametrize(("fault", "status", "code"), lost_answers(is_create))
def test_a_create_whose_answer_is_lost(
    hasty: Gateway, fake: FakeServer, fault: Fault, status: int, code: str
) -> None:
    """It is sent once, and the caller is told that it may have taken effect."""
    fake.fail_next(fault)
    title = f"Once, {code}, {hasty.port}"
    sent_once(
        fake,
        "/api/v2/incidents",
        lambda: send(hasty, "POST", "/incidents", {"title": title}),
        status,
        code,
    )
    found = answered(send(hasty, "POST", "/incidents/query", {"query": title}))
    assert [incident["title"] for incident in found] == [title]


def test_wrong_addresses_and_settings(way: str) -> None:
    """A server that is not there, and settings that do not fit, are told by name."""
    address = f"127.0.0.1:{free_port()}"
    configs = {
        "ALERT": addressed(REQUIRED_FIELDS, f"http://{address}"),
        "LOG": {"apiKey": "kept-to-itself", "site": "datadoghq.com"},
        "METRIC": addressed(REQUIRED_FIELDS, "//odd-value", site="mars-value"),
    }
    env = env_of("datadog", way, configs)
    with running_gateway(env) as gateway:
        answer = gateway.request("POST", "/alerts/query", {})
        assert address in failed(answer, 502, "upstream_unreachable")["message"]
        told = failed(gateway.request("POST", "/logs/query", {}), 502, "invalid_config")
        assert "appKey" in told["message"]
        told = failed(gateway.request("POST", "/metrics/query", {}), 502, "invalid_config")
        assert "site" in told["message"] and "apiURL" in told["message"]
        assert "odd-value" not in told["message"] and "mars-value" not in told["message"]
        assert gateway.request("GET", "/health").status == 200
        log = gateway.log()
    for hidden in ("kept-to-itself", "your-datadog-api-key", "your-datadog-app-key"):
        assert hidden not in log


def test_the_readme_works_as_written(way: str) -> None:
    """Its environment and its commands, but for the address of the server."""
    examples = examples_of("datadog", curls=13)
    keys = json.loads(REQUIRED_FIELDS)
    env = examples.env if way == "plugin" else in_process("datadog", examples.env)
    with serving(make_app(a_state(keys["apiKey"], keys["appKey"]))) as fake:
        for name in CAPABILITIES:
            variable = f"OPSORCH_{name}_CONFIG"
            assert json.loads(env[variable]) == keys
            env[variable] = json.dumps(addressed(env[variable], fake.url))
        answers = answers_to(examples, env)
    statuses = [200, 200, 200, 200, 200, 200, 200, 201, 200, 201, 200, 200, 200]
    assert [answer.status for answer in answers] == statuses, [a.body for a in answers]
    assert all(answer.json for answer in answers)
    assert len(answers[1].json["metrics"]) == 5
    assert [entry["service"] for entry in answers[2].json["entries"]] == ["web", "web"]
    assert answers[8].json["status"] == "investigating"
    assert answers[11].json["status"] == "resolved"
    assert any(entry["kind"] == "note" for entry in answers[10].json)
    assert [service["id"] for service in answers[12].json] == ["web"]
