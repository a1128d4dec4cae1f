"""Dashboard, gateway, plugin and a fake Prometheus and Alertmanager, over real HTTP."""

import json
import time
import urllib.parse
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
    plugins_of,
)
from tests.fakes.prometheus import Series, State, make_app
from tests.fakes.server import FakeServer, Fault, Seen, serving
from tests.harness import Gateway, free_port

START = 1_714_975_200.0
HOUR = {"start": "2024-05-06T06:00:00Z", "end": "2024-05-06T07:00:00Z", "step": 60}
DISK_ID = "c846d303498f26d9"


def counter(rate: float, **labels: str) -> Series:
    samples = [(START + 15 * n, rate * 15 * n) for n in range(241)]
    return Series({"__name__": "http_requests_total", **labels}, samples)


def an_alert(number: int, name: str, state: str, **more: Any) -> Json:
    return {
        "fingerprint": DISK_ID if name == "Disk" else f"{number:016x}",
        "labels": {"alertname": name, "severity": "critical", "service": "api", "env": "prod"},
        "annotations": {"summary": f"{name} happened"},
        "receivers": [{"name": "pager"}],
        "startsAt": f"2024-05-06T07:{number:02}:00.120Z",
        "endsAt": "2024-05-06T09:00:00Z",
        "updatedAt": "2024-05-06T07:30:00Z",
        "status": {"state": state, "silencedBy": [], "inhibitedBy": [], **more},
    }


def a_state() -> State:
    series = [
        counter(2, service="api", env="prod", method="GET", status="200"),
        counter(1, service="api", env="prod", method="POST", status="500"),
        counter(8, service="api", env="stage", method="GET", status="200"),
        Series({"__name__": "broken"}, [(START, float("nan")), (START + 60, 1.0)]),
    ]
    told = {"http_requests_total": [{"type": "counter", "help": "Requests.", "unit": ""}]}
    alerts = [
        an_alert(1, "Disk", "active"),
        an_alert(2, "Slow", "active"),
        an_alert(3, "Muted", "suppressed", silencedBy=["s1"]),
    ]
    silence = {"id": "s1", "comment": "works", "createdBy": "ops", "endsAt": "2024-05-06T10:00:00Z"}
    return State(series, metadata=told, alerts=alerts, silences={"s1": silence})


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeServer]:
    with serving(make_app(a_state())) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(way: str, fake: FakeServer) -> Iterator[Gateway]:
    config = {
        "url": fake.url,
        "alertmanagerURL": fake.url,
        "bearerToken": SECRET,
        "headers": {"X-Extra": f"header-{SECRET}"},
        "timeoutSeconds": 3,
    }
    with guarded_gateway(env_of("prometheus", way, {"METRIC": config, "ALERT": config})) as running:
        yield running


def query(**more: Any) -> Json:
    return {"expression": {"metricName": "http_requests_total"}, **HOUR, **more}


def test_metrics_with_every_filter(gateway: Gateway, fake: FakeServer) -> None:
    """Expression, scope, times and metadata all reach the server; shapes are the contract's."""
    expression = {
        "metricName": "http_requests_total",
        "filters": [
            {"label": "method", "operator": "=", "value": "GET"},
            {"label": "status", "operator": "contains", "value": "20"},
        ],
        "aggregation": "sum",
        "groupBy": ["service", "env"],
    }
    scope = {"service": "api", "environment": "prod"}
    metadata = {"function": "rate", "range": "5m", "limit": 5}
    payload = query(expression=expression, scope=scope, metadata=metadata)
    [series] = answered(gateway.request("POST", "/metrics/query", payload))
    assert series["labels"] == {"service": "api", "env": "prod"}
    assert series["service"] == "api"
    assert series["points"][-1] == {"timestamp": "2024-05-06T07:00:00Z", "value": 2}
    shown = urllib.parse.parse_qs(urllib.parse.urlsplit(series["url"]).query)
    assert shown["g0.expr"] == [series["metadata"]["query"]]
    assert fake.seen[-1].headers["Authorization"] == f"Bearer {SECRET}"


def test_metrics_beyond_the_limit_are_cut_and_that_is_said(gateway: Gateway) -> None:
    """Prometheus has no pages; the reply says when there was more."""
    found = answered(gateway.request("POST", "/metrics/query", query(metadata={"limit": 2})))
    assert [series["metadata"]["truncated"] for series in found] == [True, True]
    assert len(answered(gateway.request("POST", "/metrics/query", query()))) == 3


def test_a_sample_that_is_no_number_costs_only_itself(gateway: Gateway) -> None:
    """The capability keeps answering."""
    for _ in range(2):
        payload = query(expression={"metricName": "broken"})
        [series] = answered(gateway.request("POST", "/metrics/query", payload))
        assert series["metadata"]["droppedPoints"]["NaN"] >= 1


def test_descriptions(gateway: Gateway) -> None:
    """Both ways to ask give the metrics of the scope."""
    by_query = answered(gateway.request("GET", "/metrics/describe?service=api&environment=prod"))
    scope = {"service": "api", "environment": "prod"}
    by_body = answered(gateway.request("POST", "/metrics/describe", scope))
    [found] = by_query["metrics"]
    assert (found["name"], found["type"]) == ("http_requests_total", "counter")
    assert found["labels"] == ["env", "method", "service", "status"]
    assert [d["name"] for d in by_body["metrics"]] == ["http_requests_total"]


def test_alerts_with_every_filter(gateway: Gateway) -> None:
    """Status, severity, scope, text, matcher, receiver and limit narrow the list."""
    payload = {
        "query": "HAPPENED",
        "statuses": ["firing"],
        "severities": ["Critical", "warning"],
        "scope": {"service": "api", "environment": "prod"},
        "limit": 1,
        "metadata": {"matchers": ['alertname!="Nothing"'], "receiver": "pag.*"},
    }
    [found] = answered(gateway.request("POST", "/alerts/query", payload))
    assert (found["title"], found["status"]) == ("Slow", "firing")
    assert found["createdAt"] == "2024-05-06T07:02:00.12Z"
    fragment = found["url"].partition("/#/alerts?")[2]
    assert 'alertname="Slow"' in urllib.parse.parse_qs(fragment)["filter"][0]
    payload = {"statuses": ["silenced"], "metadata": {"silences": True}}
    [muted] = answered(gateway.request("POST", "/alerts/query", payload))
    assert muted["fields"]["silences"][0]["comment"] == "works"
    assert answered(gateway.request("POST", "/alerts/query", {"statuses": ["resolved"]})) == []


def test_one_alert(gateway: Gateway) -> None:
    """It is found by its id; another is not found."""
    found = answered(gateway.request("GET", f"/alerts/{DISK_ID}"))
    assert (found["id"], found["title"]) == (DISK_ID, "Disk")
    failed(gateway.request("GET", f"/alerts/{'0' * 16}"), 404, "not_found")
    failed(gateway.request("GET", "/alerts/..%2Fx"), 404, "not_found")


def test_requests_that_do_not_fit(gateway: Gateway, fake: FakeServer) -> None:
    """The adapter's and the server's refusals both are 400 and name what is wrong."""
    expression = {"metricName": "up", "aggregation": "topk(5,x) or sum"}
    body = failed(
        gateway.request("POST", "/metrics/query", query(expression=expression)), 400, "bad_request"
    )
    assert "expression.aggregation" in body["message"]
    raw = {"metadata": {"query": "up{"}}
    body = failed(gateway.request("POST", "/metrics/query", raw), 400, "bad_request")
    assert "parse error" in body["message"]
    payload = {"statuses": ["bogus"]}
    body = failed(gateway.request("POST", "/alerts/query", payload), 400, "bad_request")
    assert "firing" in body["message"]


def test_refused_credentials(gateway: Gateway, fake: FakeServer) -> None:
    """The vendor's 401 is not the caller's."""
    fake.fail_next(Fault(status=401, body=f"bad token {SECRET}"), times=2)
    failed(gateway.request("POST", "/metrics/query", query()), 502, "auth_failed")
    failed(gateway.request("POST", "/alerts/query", {}), 502, "auth_failed")


def test_rate_limits(gateway: Gateway, fake: FakeServer) -> None:
    """How long to wait is passed on."""
    fake.fail_next(Fault(status=429, headers={"Retry-After": "77"}))
    limited(gateway.request("POST", "/metrics/query", query()), 77)


def test_timeouts(gateway: Gateway, fake: FakeServer) -> None:
    """A silent server, and one that gave up, are both upstream_timeout; then all is well."""
    fake.fail_next(Fault(hang=True))
    failed(gateway.request("POST", "/metrics/query", query()), 504, "upstream_timeout")
    given_up = json.dumps({"status": "error", "errorType": "timeout", "error": "too slow"})
    fake.fail_next(Fault(status=503, body=given_up))
    failed(gateway.request("POST", "/metrics/query", query()), 504, "upstream_timeout")
    assert answered(gateway.request("POST", "/metrics/query", query()))


def test_other_failures_of_the_server(gateway: Gateway, fake: FakeServer) -> None:
    """They are 502, without the server's page."""
    pages_are_not_passed_on(fake, lambda: gateway.request("POST", "/metrics/query", query()))


def test_a_lost_connection_is_bridged(gateway: Gateway, fake: FakeServer) -> None:
    """Reads are tried again."""

    def is_query(seen: Seen) -> bool:
        return seen.path == "/api/v1/query_range"

    fake.fail_next(Fault(drop=True, when=is_query))
    assert len(answered(gateway.request("POST", "/metrics/query", query()))) == 3


def test_no_secret_in_the_process_table(gateway: Gateway, way: str) -> None:
    """A plugin gets its configuration with the requests, not as an argument or a variable."""
    answered(gateway.request("POST", "/metrics/query", query()))
    plugins = plugins_of(gateway)
    assert bool(plugins) is (way == "plugin")
    assert all(SECRET not in shown for shown in plugins)


def test_wrong_addresses_and_settings(way: str) -> None:
    """A server that is not there, and a setting that does not fit, are told by name."""
    address = f"127.0.0.1:{free_port()}"
    metric = {"url": f"http://ops:{SECRET}@{address}"}
    alert = {"alertmanagerURL": "not-a-url", "bearerToken": SECRET}
    with guarded_gateway(env_of("prometheus", way, {"METRIC": metric, "ALERT": alert})) as gateway:
        answer = gateway.request("POST", "/metrics/query", query())
        body = failed(answer, 502, "upstream_unreachable")
        assert address in body["message"]
        body = failed(gateway.request("POST", "/alerts/query", {}), 502, "invalid_config")
        assert "alertmanagerURL" in body["message"]
        assert "not-a-url" not in body["message"]
        assert gateway.request("GET", "/health").status == 200


@pytest.fixture
def recent_fake() -> Iterator[FakeServer]:
    """A server that has a sample of now, too."""
    state = a_state()
    labels = {"__name__": "http_requests_total", "service": "api", "env": "prod"}
    state.series.append(Series(labels, [(time.time(), 5.0)]))
    with serving(make_app(state)) as server:
        yield server


def test_the_readme_works_as_written(recent_fake: FakeServer) -> None:
    """Its environment and its commands, but for the addresses of the servers."""
    examples = examples_of("prometheus", curls=6)
    env = at(recent_fake.url, examples.env, "http://localhost:9090", "http://localhost:9093")
    answers = answers_to(examples, env)
    assert [answer.status for answer in answers] == [200] * len(answers)
    assert all(answer.json for answer in answers)
