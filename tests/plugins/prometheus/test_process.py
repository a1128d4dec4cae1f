"""The plugin as a real process against a fake server over real HTTP."""

import contextlib
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from opsorch.plugin.testing import PluginProcess, command_of, run_plugin
from opsorch_plugins.prometheus.provider import PrometheusAlerts, PrometheusMetrics
from tests.fakes.prometheus import Series, State, make_app
from tests.fakes.server import FakeServer, Fault, serving
from tests.harness import free_port
from tests.plugins.support import Json, Plugin

START = 1_714_975_200.0
HOUR = {"start": "2024-05-06T06:00:00Z", "end": "2024-05-06T07:00:00Z", "step": 60}
SECRET = "a-secret-of-the-test"


def counter(labels: dict[str, str], rate: float) -> Series:
    samples = [(START + 15 * n, rate * 15 * n) for n in range(241)]
    return Series({"__name__": "http_requests_total", **labels}, samples)


def an_alert(name: str, state: str, **more: Any) -> Json:
    return {
        "fingerprint": f"{zlib.crc32(name.encode()):016x}",
        "labels": {"alertname": name, "severity": "critical", "service": "api"},
        "annotations": {"summary": f"{name} happened"},
        "receivers": [{"name": "pager"}],
        "startsAt": "2024-05-06T07:07:00.120Z",
        "endsAt": "2024-05-06T09:00:00Z",
        "updatedAt": "2024-05-06T07:30:00Z",
        "status": {"state": state, "silencedBy": [], "inhibitedBy": [], **more},
    }


@pytest.fixture
def state() -> State:
    series = [
        counter({"service": "api", "env": "prod", "method": "GET"}, 2.0),
        counter({"service": "api", "env": "prod", "method": "POST"}, 1.0),
        counter({"service": 'x"} or vector(1) or up{a="', "env": "prod"}, 5.0),
        Series({"__name__": "broken"}, [(START, float("nan")), (START + 60, 1.0)]),
    ]
    told = {"http_requests_total": [{"type": "counter", "help": "Requests.", "unit": ""}]}
    silenced = an_alert("Muted", "suppressed", silencedBy=["s1"])
    alerts = [an_alert("Disk", "active"), an_alert("Slow", "active"), silenced]
    silence = {"id": "s1", "comment": "works", "createdBy": "ops", "endsAt": "2024-05-06T10:00:00Z"}
    return State(series, metadata=told, alerts=alerts, silences={"s1": silence})


@pytest.fixture
def fake(state: State) -> Iterator[FakeServer]:
    with serving(make_app(state)) as server:
        yield server


@pytest.fixture
def metrics(fake: FakeServer) -> Iterator[Plugin]:
    with run_plugin(PrometheusMetrics) as process:
        yield Plugin(process, {"url": fake.url}, SECRET)


@pytest.fixture
def alerts(fake: FakeServer) -> Iterator[Plugin]:
    with run_plugin(PrometheusAlerts) as process:
        yield Plugin(process, {"alertmanagerURL": fake.url}, SECRET)


def query(**expression: Any) -> Json:
    return {"expression": {"metricName": "http_requests_total", **expression}, **HOUR}


def test_metrics_are_filtered_grouped_and_aggregated(metrics: Plugin) -> None:
    """The numbers are those of the server, over its own evaluation of the query."""
    filters = [{"label": "method", "operator": "=~", "value": "GET|POST"}]
    payload = query(filters=filters, aggregation="sum", groupBy=["service"])
    payload["scope"] = {"service": "api", "environment": "prod"}
    payload["metadata"] = {"function": "rate", "range": "5m"}
    [series] = metrics("metric.query", payload)
    assert series["labels"] == {"service": "api"}
    assert series["points"][-1] == {"timestamp": "2024-05-06T07:00:00Z", "value": 3.0}
    assert len(series["points"]) == 61


def test_a_hostile_value_is_only_a_value(metrics: Plugin) -> None:
    """It finds the one series that has it as a label."""
    hostile = 'x"} or vector(1) or up{a="'
    payload = {**query(), "scope": {"service": hostile}}
    [series] = metrics("metric.query", payload)
    assert series["service"] == hostile


def test_what_is_not_a_number_does_not_stop_the_plugin(metrics: Plugin) -> None:
    """A NaN is left out and counted, and the next call is answered."""
    for _ in range(2):
        [series] = metrics("metric.query", query(metricName="broken"))
        assert series["metadata"]["droppedPoints"]["NaN"] >= 1
        assert all(point["value"] == 1.0 for point in series["points"])


def test_describe_and_check(metrics: Plugin, state: State) -> None:
    """Descriptions and the check go the same way as queries."""
    found = metrics("metric.describe", {"service": "api"})
    assert [(d["name"], d["type"]) for d in found] == [("http_requests_total", "counter")]
    assert found[0]["labels"] == ["env", "method", "service"]
    assert metrics("plugin.check")["ok"] is True
    about = metrics("plugin.describe")
    assert (about["name"], about["capability"]) == ("prometheus", "metric")
    assert about["methods"] == ["metric.describe", "metric.query"]
    state.authorization = "Bearer other"
    refused = metrics("plugin.check")
    assert refused["ok"] is False
    assert "401" in refused["checks"][0]["message"]


def test_alerts_are_filtered_by_the_server(alerts: Plugin, fake: FakeServer) -> None:
    """Statuses, severities, scope and matchers narrow the list; silences are told."""
    payload: Json = {
        "statuses": ["firing"],
        "severities": ["CRITICAL", "warn.ing"],
        "scope": {"service": "api"},
        "metadata": {"matchers": ['alertname!="Slow"'], "receiver": "page."},
    }
    [found] = alerts("alert.query", payload)
    assert (found["title"], found["status"]) == ("Disk", "firing")
    assert alerts("alert.get", {"id": found["id"]}) == found
    payload = {"statuses": ["silenced"], "metadata": {"silences": True}}
    [muted] = alerts("alert.query", payload)
    assert muted["fields"]["silences"][0]["createdBy"] == "ops"
    before = len(fake.seen)
    assert alerts("alert.query", {"statuses": ["resolved"]}) == []
    assert len(fake.seen) == before


def test_groups_and_check_of_alerts(alerts: Plugin, state: State) -> None:
    """Groups add their labels; the check tells the version and no more."""
    state.groups = [{"labels": {"team": "a"}, "receiver": {}, "alerts": state.alerts[:1]}]
    [found] = alerts("alert.query", {"metadata": {"groups": True}})
    assert found["fields"]["groupLabels"] == {"team": "a"}
    result = alerts("plugin.check")
    assert result["ok"] is True
    assert "not-for-callers" not in str(result)


def test_credentials_and_tenant_reach_the_server(metrics: Plugin, state: State) -> None:
    """Without them the server refuses, with them it answers."""
    state.basic_auth("ops", SECRET)
    state.tenant_needed = True
    refused = metrics.error("metric.query", query())
    assert refused["code"] == "auth_failed"
    metrics.config |= {"username": "ops", "password": SECRET}
    assert "set tenant" in metrics.error("metric.query", query())["message"]
    metrics.config["tenant"] = "one"
    assert len(metrics("metric.query", query())) == 3


def test_queries_by_post(metrics: Plugin, fake: FakeServer, state: State) -> None:
    """POST is used where configured, and GET where the server knows no POST."""
    metrics.config["httpMethod"] = "POST"
    assert len(metrics("metric.query", query())) == 3
    assert fake.seen[-1].method == "POST"
    state.posts = False
    assert len(metrics("metric.query", query())) == 3
    assert [seen.method for seen in fake.seen[-2:]] == ["POST", "GET"]


def test_errors_have_their_codes(metrics: Plugin, alerts: Plugin, fake: FakeServer) -> None:
    """What a person can do about it decides the code."""
    raw = {"metadata": {"query": "up{"}}
    assert metrics.error("metric.query", raw)["code"] == "bad_request"
    assert "parse error" in metrics.error("metric.query", raw)["message"]
    assert metrics.error("metric.query", {})["code"] == "bad_request"
    assert metrics.error("metric.nonsense")["code"] == "bad_request"
    assert alerts.error("alert.get", {"id": "0" * 16})["code"] == "not_found"
    wrong_receiver = {"metadata": {"matchers": "no matcher"}}
    assert alerts.error("alert.query", wrong_receiver)["code"] == "bad_request"
    fake.fail_next(Fault(status=429, headers={"Retry-After": "3600"}))
    limited = metrics.error("metric.query", query())
    assert (limited["code"], limited["retryAfter"]) == ("rate_limited", 3600)
    fake.fail_next(Fault(status=302, headers={"Location": fake.url}))
    assert "redirects" in metrics.error("metric.query", query())["message"]
    metrics.config["url"] += "/nowhere"
    assert "path prefix" in metrics.error("metric.query", query())["message"]
    metrics.config = {"url": "odd-value"}
    invalid = metrics.error("metric.query", query())
    assert invalid["code"] == "invalid_config"
    assert "url" in invalid["message"] and "odd-value" not in invalid["message"]


def test_a_passing_trouble_is_bridged(metrics: Plugin, fake: FakeServer) -> None:
    """A lost connection and a 503 cost time, not the answer."""
    fake.fail_next(Fault(drop=True))
    fake.fail_next(Fault(status=503))
    assert len(metrics("metric.query", query())) == 3
    assert len(fake.seen) == 3


def test_a_silent_server_is_a_timeout_within_the_budget(metrics: Plugin, fake: FakeServer) -> None:
    """The answer comes before the gateway would give up, and the next call is answered."""
    metrics("metric.query", query())
    fake.fail_next(Fault(hang=True))
    began = time.monotonic()
    late = metrics.error("metric.query", query(), timeoutMs=2000)
    assert late["code"] == "upstream_timeout"
    assert time.monotonic() - began < 10
    assert fake.url.removeprefix("http://") in late["message"]
    assert len(metrics("metric.query", query())) == 3


def test_a_missing_server_is_unreachable() -> None:
    """Host and port are told."""
    address = f"127.0.0.1:{free_port()}"
    with run_plugin(PrometheusMetrics) as process:
        error = process.call("metric.query", query(), config={"url": f"http://{address}"})["error"]
    assert error["code"] == "upstream_unreachable"
    assert address in error["message"] and "refused" in error["message"]


@contextlib.contextmanager
def broken_server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve each connection, one after another, by a function; yields the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stopping = threading.Event()

        def accept() -> None:
            while True:
                connection, _ = listening.accept()
                with connection, contextlib.suppress(OSError):
                    if stopping.is_set():
                        return
                    connection.recv(65536)
                    serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stopping.set()
            socket.create_connection(listening.getsockname()).close()
            thread.join()


def drip(connection: socket.socket) -> None:
    """Send a byte now and then, until the other side has enough."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    pause = threading.Event()
    while True:
        connection.sendall(b" ")
        pause.wait(0.05)


def reset(connection: socket.socket) -> None:
    """Close with a reset instead of an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    ("serve", "code"), [(drip, "upstream_timeout"), (reset, "upstream_unreachable")]
)
def test_a_server_that_drips_or_resets(serve: Any, code: str) -> None:
    """Bytes now and then do not stretch the budget; a reset is told as such."""
    with broken_server(serve) as address, run_plugin(PrometheusMetrics) as process:
        config = {"url": f"http://{address}", "timeoutSeconds": 2}
        error = process.call("metric.query", query(), config=config)["error"]
    assert error["code"] == code
    assert address in error["message"]


def test_describe_answers_though_types_hang(metrics: Plugin, fake: FakeServer) -> None:
    """What the answer can do without gets only a part of the time."""
    fake.fail_next(Fault(hang=True, when=lambda seen: seen.path == "/api/v1/metadata"))
    [found] = metrics("metric.describe", {"service": "api"}, timeoutMs=2000)
    assert found["type"] == "unknown"
    assert found["labels"] == ["env", "method", "service"]


def test_a_hanging_member_leaves_time_for_the_next(fake: FakeServer, state: State) -> None:
    """One member of a cluster cannot use up the time of all."""
    with serving(make_app(state)) as other, run_plugin(PrometheusAlerts) as process:
        other.fail_next(Fault(hang=True))
        config = {"alertmanagerURL": [other.url, fake.url]}
        frame = process.call("alert.query", {}, config=config, context={"timeoutMs": 3000})
        assert len(frame["result"]) == 3


def test_nothing_secret_is_written(fake: FakeServer, state: State) -> None:
    """Neither replies nor the log hold the password, whatever the server answers."""
    address = fake.url.replace("http://", f"http://ops:{SECRET}@")
    replies = []
    process = PluginProcess(command_of(PrometheusMetrics))
    try:
        for fault in (Fault(status=401, body=SECRET), Fault(status=400, body=f'"{SECRET}"')):
            fake.fail_next(fault)
            replies.append(process.call("metric.query", query(), config={"url": address}))
        config = {"url": address, "bogus": 1, "bearerToken": f"token-{SECRET}"}
        replies.append(process.call("metric.query", query(), config=config))
        replies.append(process.send_line(b"{nonsense"))
    finally:
        log = process.close()
    assert [r.get("error", {}).get("code") for r in replies] == [
        "auth_failed",
        "bad_request",
        None,
        "bad_request",
    ]
    assert SECRET not in str(replies)
    assert SECRET not in log
    assert "unknown field(s) ignored: bogus" in log
