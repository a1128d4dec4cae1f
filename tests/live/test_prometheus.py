"""The adapter against real Prometheus and Alertmanager, as a plugin and behind the gateway."""

import contextlib
import datetime
import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from opsorch.plugin import Provider
from opsorch.plugin.testing import run_plugin
from opsorch_plugins.prometheus.alert_mapping import fingerprint_of
from opsorch_plugins.prometheus.provider import PrometheusAlerts, PrometheusMetrics
from tests.harness import Gateway, free_port, running_gateway
from tests.live.conftest import (
    DATA_END,
    DATA_START,
    HOSTILE,
    PASSWORD,
    USER,
    Server,
    Tls,
    wait_until,
)

pytestmark = pytest.mark.live

Json = dict[str, Any]


def rfc3339(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat().replace("+00:00", "Z")


HOUR = {"start": rfc3339(DATA_START), "end": rfc3339(DATA_END), "step": 60}

# What a test calls: an RPC method and its payload; the answer is {"result"} or {"error"}.
Caller = Callable[..., Json]


@contextlib.contextmanager
def plugin(provider: type[Provider], config: Mapping[str, Any]) -> Iterator[Caller]:
    """Call a plugin process as the gateway would."""
    with run_plugin(provider) as process:

        def call(method: str, payload: Any = None, *, timeout_ms: int = 30_000) -> Json:
            context = {"timeoutMs": timeout_ms}
            return process.call(method, payload, config=config, context=context)

        yield call


ROUTES = {
    "metric.query": "/metrics/query",
    "metric.describe": "/metrics/describe",
    "alert.query": "/alerts/query",
}


@contextlib.contextmanager
def whole_gateway(provider: type[Provider], config: Mapping[str, Any]) -> Iterator[Caller]:
    """Call the gateway over HTTP, the adapter running as its plugin."""
    name = f"OPSORCH_{provider.capability.upper()}"
    env = {f"{name}_PLUGIN": "bundled:prometheus", f"{name}_CONFIG": json.dumps(config)}
    with running_gateway(env) as gateway:
        yield lambda method, payload=None, **_: _over_http(gateway, method, payload)


def _over_http(gateway: Gateway, method: str, payload: Any) -> Json:
    if method == "alert.get":
        answer = gateway.request("GET", f"/alerts/{payload['id']}")
    else:
        answer = gateway.request("POST", ROUTES[method], payload or {})
    if answer.status != 200:
        return {"error": answer.json}
    return {"result": answer.json["metrics"] if method == "metric.describe" else answer.json}


WAYS = {"plugin": plugin, "gateway": whole_gateway}


@pytest.fixture(scope="module", params=WAYS)
def metrics(request: pytest.FixtureRequest, prometheus: Server) -> Iterator[Caller]:
    with WAYS[request.param](PrometheusMetrics, {"url": prometheus.url}) as call:
        yield call


@pytest.fixture(scope="module", params=WAYS)
def alerts(
    request: pytest.FixtureRequest, alertmanager: Server, some_alerts: None, prometheus: Server
) -> Iterator[Caller]:
    config = {
        "alertmanagerURL": alertmanager.url,
        "url": prometheus.url,
        "severityMap": {"warn.ing": "medium"},
    }
    with WAYS[request.param](PrometheusAlerts, config) as call:
        yield call


def post(url: str, body: Any) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read() or b"null")


def fetched(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


DISK = {"alertname": "Disk", "severity": "critical", "service": 'a"b\\'}
NET = {"alertname": "Net", "severity": "warn.ing", "service": "net", "env": "prod"}
MUTED = {"alertname": "Muted", "severity": "critical", "service": "mute"}
PARENT = {"alertname": "Parent", "severity": "info", "service": "net"}
CHILD = {"alertname": "Child", "severity": "CRITICAL", "service": "net"}


@pytest.fixture(scope="module")
def some_alerts(alertmanager: Server) -> None:
    """Five alerts: one silenced, one inhibited by another; wait until Alertmanager says so."""
    base = f"{alertmanager.url}/api/v2"
    now = time.time()
    posted = [
        {
            "labels": labels,
            "annotations": {"summary": f"{labels['alertname']} is in trouble"},
            "startsAt": rfc3339(round(now) - 600 + n),
            "endsAt": rfc3339(round(now) + 36_000),
            "generatorURL": "http://prometheus.test/graph",
        }
        for n, labels in enumerate((DISK, NET, MUTED, PARENT, CHILD))
    ]
    matcher = {"name": "alertname", "value": "Muted", "isRegex": False, "isEqual": True}
    silence = {
        "matchers": [matcher],
        "startsAt": rfc3339(round(now) - 1),
        "endsAt": rfc3339(round(now) + 36_000),
        "createdBy": "live test",
        "comment": "works on it",
    }
    post(f"{base}/silences", silence)
    post(f"{base}/alerts", posted)

    def settled() -> bool:
        states = {
            alert["labels"]["alertname"]: alert["status"]["state"]
            for alert in fetched(f"{base}/alerts")
        }
        calm = {"Disk": "active", "Net": "active", "Parent": "active"}
        return states == {**calm, "Muted": "suppressed", "Child": "suppressed"}

    wait_until(settled)


def result(frame: Json) -> Any:
    assert "error" not in frame, frame
    return frame["result"]


def error(frame: Json) -> Json:
    assert "result" not in frame, frame
    failed: Json = frame["error"]
    return failed


def query(metric: str = "http_requests", **more: Any) -> Json:
    return {"expression": {"metricName": metric, **more}, **HOUR}


# --- metrics ------------------------------------------------------------------------------------


def test_filters_grouping_and_aggregation(metrics: Caller) -> None:
    """The sums are those of the samples that were stored."""
    payload = query(
        filters=[
            {"label": "method", "operator": "!=", "value": "DELETE"},
            {"label": "status", "operator": "=~", "value": "2..|5.."},
            {"label": "service", "operator": "not contains", "value": "or vector"},
        ],
        aggregation="sum",
        groupBy=["service", "method"],
    )
    payload["scope"] = {"environment": "prod"}
    found = result(metrics("metric.query", payload))
    last = {(s["service"], s["labels"]["method"]): s["points"][-1] for s in found}
    end = rfc3339(DATA_END)
    assert last == {
        ("api", "GET"): {"timestamp": end, "value": 7200.0},
        ("api", "POST"): {"timestamp": end, "value": 5400.0},
        ("db", "GET"): {"timestamp": end, "value": 14_400.0},
    }
    assert all(len(series["points"]) == 61 for series in found)


@pytest.mark.parametrize(
    ("word", "value"), [("avg", 2100.0 * 2), ("max", 7200.0), ("count", 3.0), ("p50", 3600.0)]
)
def test_aggregations(metrics: Caller, word: str, value: float) -> None:
    """Each word has the meaning that Prometheus gives it."""
    payload = {**query(aggregation=word), "scope": {"service": "api", "environment": "prod"}}
    [series] = result(metrics("metric.query", payload))
    assert series["points"][-1]["value"] == pytest.approx(value)
    assert series["name"] == "http_requests"


def test_functions_over_a_range(metrics: Caller) -> None:
    """A rate inside a sum: the rate that the samples were made with."""
    payload = {**query(aggregation="sum"), "scope": {"service": "api", "environment": "prod"}}
    payload["metadata"] = {"function": "rate", "range": "5m"}
    [series] = result(metrics("metric.query", payload))
    assert series["points"][-1]["value"] == pytest.approx(3.5)
    assert series["metadata"]["query"] == ('sum(rate(http_requests{service="api",env="prod"}[5m]))')


@pytest.mark.parametrize(
    ("operator", "value", "found"),
    [
        ("contains", ".", ["a.b"]),
        ("not contains", "x", ["a.b", "}", "ü \U0001f600"]),
        ("=", "ü \U0001f600", ["ü \U0001f600"]),
        ("=", "}", ["}"]),
        ("contains", "\U0001f600", ["ü \U0001f600"]),
        ("=", "\ufffd\x00\x7f\r\t\n", []),
    ],
)
def test_values_of_any_kind(metrics: Caller, operator: str, value: str, found: list[str]) -> None:
    """What Prometheus reads is what was asked."""
    filters = [{"label": "value", "operator": operator, "value": value}]
    series = result(metrics("metric.query", query("text", filters=filters)))
    assert sorted(s["labels"]["value"] for s in series) == found


def test_an_injection_finds_the_one_series_with_that_label(metrics: Caller) -> None:
    """A value that looks like PromQL stays a value, in filters and in the scope."""
    filters = [{"label": "service", "operator": "=", "value": HOSTILE}]
    for payload in (query(filters=filters), {**query(), "scope": {"service": HOSTILE}}):
        [series] = result(metrics("metric.query", payload))
        assert series["service"] == HOSTILE
        assert series["points"][-1]["value"] == 57_600.0
    assert result(metrics("metric.query", query("up or vector(1)"))) == []
    assert result(metrics("metric.query", query("inf"))) == []
    assert result(metrics("metric.query", query("bool", aggregation="sum"))) == []
    refused = error(metrics("metric.query", query(aggregation="topk(5,x) or sum")))
    assert refused["code"] == "bad_request"


def test_odd_samples_are_counted(metrics: Caller) -> None:
    """NaN and infinities never break the reply."""
    [series] = result(metrics("metric.query", {**query("odd_samples"), "step": 60}))
    dropped = series["metadata"]["droppedPoints"]
    assert dropped["NaN"] == dropped["+Inf"] == dropped["-Inf"] == 1
    assert [point["value"] for point in series["points"][:2]] == [1.0, 0.0]


def test_instant_queries_and_raw_promql(metrics: Caller) -> None:
    """One point at the end; raw PromQL as it is; nonsense and strings are refused."""
    payload = {**query(), "scope": {"service": "db"}, "metadata": {"instant": True}}
    [series] = result(metrics("metric.query", payload))
    assert series["points"] == [{"timestamp": HOUR["end"], "value": 14_400.0}]
    raw = {**HOUR, "metadata": {"query": "scalar(vector(4)) * 2"}}
    [series] = result(metrics("metric.query", raw))
    assert {point["value"] for point in series["points"]} == {8.0}
    for text in ("up{", '"text"', "sum(http_requests) by (inf)"):
        payload = {**HOUR, "metadata": {"query": text, "instant": True}}
        assert error(metrics("metric.query", payload))["code"] == "bad_request"


def test_the_largest_query_that_is_let_through_is_answered(metrics: Caller) -> None:
    """The limit here and Prometheus' own agree."""
    start = DATA_END - 11_000
    times = {"start": rfc3339(start), "end": rfc3339(DATA_END)}
    expression = {"expression": {"metricName": "http_requests"}, "scope": {"service": "db"}}
    [series] = result(metrics("metric.query", {**expression, **times, "step": 1}))
    assert len(series["points"]) > 3600
    times["start"] = rfc3339(start - 1)
    refused = error(metrics("metric.query", {**expression, **times, "step": 1}))
    assert "smallest step that fits is 2" in refused["message"]


def test_labels_of_prometheus_3_are_refused_by_prometheus_2(metrics: Caller) -> None:
    """The quoted form is left to the server, whose refusal is the caller's to mend."""
    filters = [{"label": "a.b", "value": "x"}]
    refused = error(metrics("metric.query", query(filters=filters)))
    assert refused["code"] == "bad_request"


def test_links_open_and_show_the_same_query(metrics: Caller) -> None:
    """The page is there, and its query yields what was answered."""
    payload = {**query(), "scope": {"service": HOSTILE}}
    [series] = result(metrics("metric.query", payload))
    with urllib.request.urlopen(series["url"], timeout=10) as page:
        assert page.status == 200
        assert "Prometheus" in page.read().decode()
    link = urllib.parse.urlsplit(series["url"])
    shown = urllib.parse.parse_qs(link.query)
    assert shown["g0.range_input"] == ["3600s"]
    query_string = urllib.parse.urlencode({"query": shown["g0.expr"][0], "time": DATA_END})
    answer = fetched(f"{link.scheme}://{link.netloc}/api/v1/query?{query_string}")
    assert [entry["metric"]["service"] for entry in answer["data"]["result"]] == [HOSTILE]


def test_describe_tells_of_recent_metrics(metrics: Caller) -> None:
    """Prometheus' own metrics, within the scope of its target, with types and labels."""
    wanted = {"prometheus_build_info": "gauge", "prometheus_http_requests_total": "counter"}
    histogram = "prometheus_http_request_duration_seconds_bucket"

    def described() -> Any:
        found = result(metrics("metric.describe", {"service": "prom"}))
        by_name = {d["name"]: d for d in found}
        return by_name if {*wanted, histogram} <= set(by_name) else None

    by_name = wait_until(described)
    assert {name: by_name[name]["type"] for name in wanted} == wanted
    assert by_name[histogram]["type"] == "histogram"
    assert by_name[histogram]["unit"] == "seconds"
    assert by_name["prometheus_build_info"]["description"]
    assert "http_requests" not in by_name, "described though its samples are old"
    assert result(metrics("metric.describe", {"service": "nobody"})) == []


def test_describe_tells_labels_where_metrics_are_few(prometheus: Server) -> None:
    """An enforced matcher narrows names and labels alike."""
    only = [{"label": "__name__", "operator": "=~", "value": "up|scrape_samples_scraped"}]
    config = {"url": prometheus.url, "enforcedMatchers": only}
    hidden = {"url": prometheus.url, "enforcedMatchers": [{"label": "job", "operator": "!="}]}
    with plugin(PrometheusMetrics, {**hidden, "describeLabelLimit": 0}) as call:
        assert wait_until(lambda: result(call("metric.describe", {})))
    hidden["enforcedMatchers"] = [{"label": "job", "operator": "!=", "value": "self"}]
    with plugin(PrometheusMetrics, hidden) as call:
        names = [d["name"] for d in result(call("metric.describe", {}))]
        assert "ALERTS" in names and "up" not in names
    with plugin(PrometheusMetrics, config) as call:
        found = wait_until(lambda: result(call("metric.describe", {})))
        assert [d["name"] for d in found] == ["scrape_samples_scraped", "up"]
        assert [d["labels"] for d in found] == [["instance", "job", "service"]] * 2
        refused = error(call("metric.query", {"metadata": {"query": "up"}}))
        assert refused["code"] == "bad_request"


def test_post_and_long_queries(prometheus: Server) -> None:
    """A query too long for a URL is answered like any other."""
    long = " + ".join(["vector(1)"] * 1500)
    with plugin(PrometheusMetrics, {"url": prometheus.url, "httpMethod": "POST"}) as call:
        assert len(result(call("metric.query", query()))) == 6
        [series] = result(call("metric.query", {**HOUR, "metadata": {"query": long}}))
        assert series["points"][0]["value"] == 1500.0


# --- alerts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "titles"),
    [
        ([], ["Child", "Disk", "Muted", "Net", "Parent"]),
        (["firing"], ["Disk", "Net", "Parent"]),
        (["suppressed"], ["Child", "Muted"]),
        (["silenced"], ["Muted"]),
        (["inhibited"], ["Child"]),
        (["open", "muted"], ["Child", "Disk", "Muted", "Net", "Parent"]),
        (["resolved", "acknowledged"], []),
    ],
)
def test_statuses(alerts: Caller, statuses: list[str], titles: list[str]) -> None:
    """Each word finds the alerts that are in this state."""
    found = result(alerts("alert.query", {"statuses": statuses}))
    assert sorted(alert["title"] for alert in found) == titles


@pytest.mark.parametrize(
    ("payload", "titles"),
    [
        ({"severities": ["critical"]}, ["Child", "Disk", "Muted"]),
        ({"severities": ["medium", "info"]}, ["Net", "Parent"]),
        ({"severities": ["warnxing"]}, []),
        ({"scope": {"service": 'a"b\\'}}, ["Disk"]),
        ({"scope": {"service": "net", "environment": "prod"}}, ["Net"]),
        ({"metadata": {"matchers": ["service=~n.*", 'env=""']}}, ["Child", "Parent"]),
        ({"metadata": {"matchers": 'service="a\\"b\\\\"'}}, ["Disk"]),
        ({"metadata": {"receiver": "def.*"}, "query": "NET IS"}, ["Net"]),
        ({"metadata": {"receiver": "nobody"}}, []),
        ({"metadata": {"groups": True}, "severities": ["info"]}, ["Parent"]),
    ],
)
def test_severities_scopes_and_matchers(alerts: Caller, payload: Json, titles: list[str]) -> None:
    """What is asked for is what Alertmanager is asked for, special characters and all."""
    found = wait_until(
        lambda: (
            (answer := result(alerts("alert.query", payload))) is not None
            and sorted(alert["title"] for alert in answer) == titles
        )
    )
    assert found


def test_alerts_come_newest_first_and_limited(alerts: Caller) -> None:
    """The limit keeps the newest."""
    found = result(alerts("alert.query", {"limit": 2}))
    assert [alert["title"] for alert in found] == ["Child", "Parent"]


def test_silences_are_explained(alerts: Caller) -> None:
    """Who, why and until when."""
    payload = {"statuses": ["silenced"], "metadata": {"silences": True}}
    [found] = result(alerts("alert.query", payload))
    [silence] = found["fields"]["silences"]
    assert (silence["createdBy"], silence["comment"]) == ("live test", "works on it")
    assert [silence["id"]] == found["fields"]["silencedBy"]


def test_groups_have_their_labels(alerts: Caller) -> None:
    """Alertmanager groups by alertname here; grouping happens a moment after the posting."""

    def grouped() -> Any:
        found = result(alerts("alert.query", {"metadata": {"groups": True}}))
        return found if len(found) == 5 else None

    for alert in wait_until(grouped):
        assert alert["fields"]["groupLabels"] == {"alertname": alert["title"]}


def test_an_alert_by_its_id(alerts: Caller) -> None:
    """The id is Alertmanager's fingerprint, computed here in the same way."""
    found = result(alerts("alert.get", {"id": fingerprint_of(DISK)}))
    assert found["title"] == "Disk"
    assert found["description"] == "Disk is in trouble"
    assert found["fields"]["receivers"] == ["default"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["createdAt"])
    assert error(alerts("alert.get", {"id": "0" * 16}))["code"] == "not_found"
    assert error(alerts("alert.get", {"id": "nonsense"}))["code"] == "not_found"


def test_alert_links_open_and_name_the_alert(alerts: Caller, alertmanager: Server) -> None:
    """The page is there, and the matchers of the link find this one alert."""
    found = result(alerts("alert.get", {"id": fingerprint_of(DISK)}))
    page, _, fragment = found["url"].partition("/#/alerts?")
    assert page == alertmanager.url
    with urllib.request.urlopen(page, timeout=10) as response:
        assert "Alertmanager" in response.read().decode()
    shown = urllib.parse.parse_qs(fragment)["filter"][0]
    matchers = re.findall(r'\w+="(?:[^"\\]|\\.)*"', shown)
    assert shown == f"{{{','.join(matchers)}}}"
    parameters = urllib.parse.urlencode([("filter", matcher) for matcher in matchers])
    listed = fetched(f"{alertmanager.url}/api/v2/alerts?{parameters}")
    assert [alert["fingerprint"] for alert in listed] == [found["id"]]


def test_pending_alerts_come_of_prometheus(alerts: Caller) -> None:
    """Alertmanager has not heard of them yet; matchers narrow them like others."""

    def pending(**more: Any) -> Any:
        found = result(alerts("alert.query", {"statuses": ["pending"], **more}))
        return {alert["title"]: alert for alert in found}

    both = wait_until(lambda: len(found := pending()) == 2 and found)
    slow = both["SlowSoon"]
    assert (slow["status"], slow["severity"], slow["service"]) == ("pending", "warning", "api")
    assert slow["fields"]["rule"]["durationSeconds"] == 36_000
    assert result(alerts("alert.get", {"id": slow["id"]}))["title"] == "SlowSoon"
    narrowed = {"severities": ["warning"], "metadata": {"matchers": "service=~a.*"}}
    assert list(wait_until(lambda: pending(**narrowed))) == ["SlowSoon"]
    assert pending(scope={"service": "nobody"}) == {}


def test_refusals_of_alertmanager_reach_the_caller(alerts: Caller) -> None:
    """A regex that it does not understand is the caller's to mend."""
    for metadata in ({"receiver": "("}, {"matchers": 'service=~"("'}):
        refused = error(alerts("alert.query", {"metadata": metadata}))
        assert refused["code"] == "bad_request"
        assert "regexp" in refused["message"]


# --- servers in trouble, credentials, TLS -------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_ended_is_unreachable(spare_prometheus: Server, way: str) -> None:
    """It is told by host and port, and found again when it is back."""
    with WAYS[way](PrometheusMetrics, {"url": spare_prometheus.url}) as call:
        assert result(call("metric.query", query())) == []
        spare_prometheus.end()
        failed = error(call("metric.query", query()))
    assert failed["code"] == "upstream_unreachable"
    assert spare_prometheus.url.removeprefix("http://") in failed["message"]


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_hangs_is_a_timeout(spare_prometheus: Server, way: str) -> None:
    """The budget holds, and the next call after its recovery is answered."""
    config = {"url": spare_prometheus.url, "timeoutSeconds": 2}
    with WAYS[way](PrometheusMetrics, config) as call:
        assert result(call("metric.query", query())) == []
        spare_prometheus.freeze()
        failed = error(call("metric.query", query()))
        spare_prometheus.thaw()
        assert result(call("metric.query", query())) == []
    assert failed["code"] == "upstream_timeout"
    assert "within 2 s" in failed["message"]


def test_a_slow_query_is_given_up_by_the_server_itself(prometheus: Server) -> None:
    """Prometheus is told how long anybody waits; either end may notice first."""
    heavy = "count_over_time((sum(rate(http_requests[5m])) by (method))[365d:1s])"
    with plugin(PrometheusMetrics, {"url": prometheus.url}) as call:
        payload = {**HOUR, "metadata": {"query": heavy}}
        failed = error(call("metric.query", payload, timeout_ms=1200))
    assert failed["code"] == "upstream_timeout"


def secured(server: Server, **more: Any) -> Json:
    return {"username": USER, "password": PASSWORD, "caFile": server.ca_file, **more}


@pytest.mark.parametrize("way", WAYS)
def test_tls_basic_auth_and_a_path_prefix(secured_prometheus: Server, way: str) -> None:
    """The three together, as behind many a company's proxy."""
    config = secured(secured_prometheus, url=f"{secured_prometheus.url}/")
    payload = {**HOUR, "metadata": {"query": "vector(7)"}}
    with WAYS[way](PrometheusMetrics, config) as call:
        [series] = result(call("metric.query", payload))
    assert series["points"][0]["value"] == 7.0
    assert series["url"].startswith(f"{secured_prometheus.url}/graph?")


def test_credentials_in_the_url(secured_prometheus: Server) -> None:
    """They work like configured ones and show nowhere."""
    url = secured_prometheus.url.replace("://", f"://{USER}:{PASSWORD}@")
    with plugin(PrometheusMetrics, {"url": url, "caFile": secured_prometheus.ca_file}) as call:
        answer = call("metric.query", {**HOUR, "metadata": {"query": "vector(7)"}})
        assert PASSWORD not in json.dumps(answer)
        [series] = result(answer)
        assert series["url"].startswith(f"{secured_prometheus.url}/graph?")


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"password": "wrong-password"}, "auth_failed", "HTTP 401"),
        ({"caFile": None}, "upstream_unreachable", "TLS"),
        ({"prefix": "/nowhere"}, "provider_error", "path prefix"),
        ({"scheme": "http"}, "provider_error", "HTTP 400"),
    ],
)
def test_what_is_wrong_with_the_connection_is_told(
    secured_prometheus: Server, change: Json, code: str, words: str
) -> None:
    """Password, certificate, prefix and scheme each have their own words."""
    url = secured_prometheus.url.replace("/prom", change.pop("prefix", "/prom"))
    url = url.replace("https", change.pop("scheme", "https"))
    config = {**secured(secured_prometheus, url=url), **change}
    with plugin(PrometheusMetrics, config) as call:
        failed = error(call("metric.query", query()))
    assert failed["code"] == code
    assert words in failed["message"]
    assert PASSWORD not in failed["message"] and "wrong-password" not in failed["message"]


def test_any_certificate_where_that_is_configured(secured_prometheus: Server) -> None:
    """insecureSkipVerify is for test systems, and works."""
    config = secured(secured_prometheus, url=secured_prometheus.url, insecureSkipVerify=True)
    config.pop("caFile")
    with plugin(PrometheusMetrics, config) as call:
        assert result(call("plugin.check"))["ok"] is True


def test_a_client_certificate(prometheus_of_known_clients: Server, tls: Tls) -> None:
    """It is shown where it is configured; without it the server ends the handshake."""
    server = prometheus_of_known_clients
    config = {"url": server.url, "caFile": server.ca_file}
    shown = {"certFile": str(tls.certificate), "keyFile": str(tls.key)}
    with plugin(PrometheusMetrics, {**config, **shown}) as call:
        assert result(call("plugin.check"))["ok"] is True
    with plugin(PrometheusMetrics, config) as call:
        assert error(call("metric.query", query()))["code"] == "upstream_unreachable"


def test_a_secured_alertmanager(secured_alertmanager: Server) -> None:
    """Alertmanager takes the same settings."""
    config = secured(secured_alertmanager, alertmanagerURL=secured_alertmanager.url)
    with plugin(PrometheusAlerts, config) as call:
        assert result(call("alert.query", {})) == []
        check = result(call("plugin.check"))
    assert check["ok"] is True
    assert "Alertmanager 0." in str(check["checks"])


def test_members_of_a_cluster(alertmanager: Server, spare_prometheus: Server) -> None:
    """A frozen member and one that is gone cost time only."""
    spare_prometheus.freeze()
    gone = f"http://127.0.0.1:{free_port()}"
    urls = [spare_prometheus.url, gone, alertmanager.url]
    config = {"alertmanagerURL": urls, "timeoutSeconds": 12}
    with plugin(PrometheusAlerts, config) as call:
        assert isinstance(result(call("alert.query", {})), list)
