"""Errors, retries, rate limits and credentials of the HTTP client."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import requests
import requests_mock

from opsorch.deadline import Deadline
from opsorch.errors import (
    AuthFailed,
    BadRequest,
    Conflict,
    NotFound,
    OpsOrchError,
    ProviderError,
    RateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from opsorch.plugin import Call, Dispatcher
from opsorch_plugins.datadog.client import first_error
from opsorch_plugins.datadog.provider import (
    DatadogAlerts,
    DatadogIncidents,
    DatadogLogs,
    DatadogMetrics,
    DatadogServices,
)
from tests.plugins.datadog.support import (
    API,
    API_KEY,
    APP_KEY,
    CONFIG,
    DEFINITIONS,
    INCIDENTS,
    LOGS,
    METRICS,
    MONITORS,
    TIMESERIES,
    UUID,
    Json,
    events,
    incident,
)

VALIDATE = f"{API}/api/v1/validate"
NEW: Json = {"title": "Disk full"}
RANGE: Json = {"start": "2024-05-06T07:00:00Z", "end": "2024-05-06T08:00:00Z"}
QUERY: Json = {"expression": {"metricName": "m"}, **RANGE}
READS = [
    (DatadogMetrics, "metric.query", "POST", TIMESERIES, QUERY, "timeseries_query"),
    (DatadogMetrics, "metric.describe", "GET", METRICS, {}, "metrics_read"),
    (DatadogLogs, "log.query", "POST", LOGS, RANGE, "logs_read_data"),
    (DatadogAlerts, "alert.query", "GET", MONITORS, {}, "monitors_read"),
    (DatadogAlerts, "alert.get", "GET", f"{MONITORS}/1", {"id": "1"}, "monitors_read"),
    (DatadogIncidents, "incident.query", "GET", INCIDENTS, {}, "incident_read"),
    (DatadogServices, "service.query", "GET", DEFINITIONS, {}, "apm_service_catalog_read"),
]
WRITES = [
    ("incident.create", "POST", INCIDENTS, NEW),
    ("incident.update", "PATCH", f"{INCIDENTS}/{UUID}", {"id": UUID, "input": NEW}),
    (
        "incident.timeline.append",
        "POST",
        f"{INCIDENTS}/{UUID}/timeline",
        {"id": UUID, "entry": {"body": "x"}},
    ),
]


def ask(provider: Any, method: str, payload: Json, call: Call) -> Any:
    return getattr(provider, provider.handlers[method])(payload, call)


@pytest.mark.case("datadog", 18)
@pytest.mark.parametrize(("kind", "method", "verb", "url", "payload", "scope"), READS)
@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_name_the_scope(
    http: requests_mock.Mocker,
    build: Callable[..., Any],
    call: Call,
    kind: Any,
    method: str,
    verb: str,
    url: str,
    payload: Json,
    scope: str,
    status: int,
) -> None:
    """Datadog answers a bad key, a missing scope and a wrong site alike; all three are told."""
    http.request(verb, url, status_code=status, json={"errors": [f"Forbidden {API_KEY}"]})
    with pytest.raises(AuthFailed) as told:
        ask(build(kind), method, payload, call)
    assert all(word in told.value.message for word in ("apiKey and appKey", scope, "site"))
    assert API_KEY not in told.value.message
    assert http.call_count == 1


@pytest.mark.case("datadog", 18)
@pytest.mark.parametrize(("method", "verb", "url", "payload"), WRITES)
def test_a_refused_write_names_the_scope_of_writing(
    http: requests_mock.Mocker,
    incidents: DatadogIncidents,
    call: Call,
    method: str,
    verb: str,
    url: str,
    payload: Json,
) -> None:
    http.request(verb, url, status_code=403, json={"errors": ["Forbidden"]})
    with pytest.raises(AuthFailed, match="scope incident_write"):
        ask(incidents, method, payload, call)


@pytest.mark.case("datadog", 18)
def test_the_status_decides_and_keys_are_taken_out(http: requests_mock.Mocker, call: Call) -> None:
    """Numbers within the text do not pick the code."""
    text = f"monitor 404 of {API_KEY} and {APP_KEY} is odd {'x' * 900}"
    http.get(MONITORS, status_code=400, json={"errors": [text, "second"]})
    with pytest.raises(BadRequest) as told:
        Dispatcher(DatadogAlerts).call("alert.query", CONFIG, {}, call)
    assert "monitor 404 of *** and *** is odd" in told.value.message
    assert len(told.value.message) < 400
    assert "second" not in told.value.message


@pytest.mark.parametrize(
    ("errors", "text"),
    [
        (["a", "b"], "a"),
        ([{"title": "T", "detail": "D", "status": "400"}], "T: D"),
        ([{"detail": "D"}], "D"),
        ([{}, "", 5, "b"], "b"),
        ("a", "a"),
        (None, None),
        ({"detail": "x"}, "x"),
    ],
)
def test_the_text_of_an_error(errors: Any, text: str | None) -> None:
    assert first_error(errors) == text


STATUSES: list[tuple[int, type[OpsOrchError], int]] = [
    (400, BadRequest, 1),
    (422, BadRequest, 1),
    (404, ProviderError, 1),
    (408, UpstreamTimeout, 1),
    (409, Conflict, 1),
    (500, ProviderError, 1),
    (502, ProviderError, 3),
    (503, ProviderError, 3),
    (504, UpstreamTimeout, 3),
]


@pytest.mark.parametrize(("status", "error", "calls"), STATUSES)
def test_the_status_of_a_list_is_mapped(
    http: requests_mock.Mocker,
    alerts: DatadogAlerts,
    call: Call,
    pauses: list[float],
    status: int,
    error: type[OpsOrchError],
    calls: int,
) -> None:
    http.get(MONITORS, status_code=status, json={"errors": ["no"]})
    with pytest.raises(error) as told:
        alerts.query({}, call)
    assert type(told.value) is error
    assert f"HTTP {status}" in told.value.message
    assert http.call_count == calls
    assert pauses == [0.5, 1.5][: calls - 1]


@pytest.mark.parametrize(("kind", "method", "verb", "url", "payload", "scope"), READS)
def test_a_missing_path_is_no_missing_thing(
    http: requests_mock.Mocker,
    build: Callable[..., Any],
    call: Call,
    kind: Any,
    method: str,
    verb: str,
    url: str,
    payload: Json,
    scope: str,
) -> None:
    """Only what has an id can be not found."""
    http.request(verb, url, status_code=404, json={"errors": ["Not found"]})
    with pytest.raises(OpsOrchError) as told:
        ask(build(kind), method, payload, call)
    assert told.value.code == ("not_found" if method == "alert.get" else "provider_error")


@pytest.mark.case("datadog", 19)
@pytest.mark.parametrize(("kind", "method", "verb", "url", "payload", "scope"), READS[:4])
def test_a_read_waits_as_long_as_it_is_told(
    http: requests_mock.Mocker,
    build: Callable[..., Any],
    call: Call,
    pauses: list[float],
    kind: Any,
    method: str,
    verb: str,
    url: str,
    payload: Json,
    scope: str,
) -> None:
    """A search by POST is a read."""
    answer: Any = events() if kind is DatadogLogs else {"data": {"attributes": {}}}
    answer = [] if kind is DatadogAlerts else answer
    answer = {"data": []} if method == "metric.describe" else answer
    limited = {"status_code": 429, "headers": {"X-RateLimit-Reset": "1", "Retry-After": "20"}}
    http.request(verb, url, [limited, {"json": answer}])
    ask(build(kind), method, payload, call)
    assert http.call_count == 2
    assert pauses == [1.0]


@pytest.mark.case("datadog", 19)
@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"X-RateLimit-Reset": "900", "X-RateLimit-Name": "logs_list"}, 900),
        ({"Retry-After": "120", "X-RateLimit-Period": "3600"}, 120),
        ({"X-RateLimit-Reset": "soon", "X-RateLimit-Period": "3600"}, 3600),
        ({}, 60),
    ],
)
def test_a_limit_beyond_the_deadline_is_told_at_once(
    http: requests_mock.Mocker, logs: DatadogLogs, call: Call, headers: Any, wait_s: int
) -> None:
    http.post(LOGS, status_code=429, headers=headers, json={"errors": ["Too many requests"]})
    with pytest.raises(RateLimited) as told:
        logs.query(RANGE, call)
    assert told.value.retry_after_s == wait_s
    assert f"Try again in {wait_s} s" in told.value.message
    assert ("logs_list" in told.value.message) == ("X-RateLimit-Name" in headers)
    assert http.call_count == 1


@pytest.mark.case("datadog", 19)
@pytest.mark.parametrize(("method", "verb", "url", "payload"), WRITES)
@pytest.mark.parametrize(
    ("fault", "error", "unknown"),
    [
        ({"status_code": 429, "headers": {"X-RateLimit-Reset": "0"}}, RateLimited, False),
        ({"status_code": 503}, ProviderError, True),
        ({"status_code": 502}, ProviderError, True),
        ({"status_code": 500, "text": "<html>oops</html>"}, ProviderError, False),
        ({"status_code": 504}, UpstreamTimeout, True),
        ({"status_code": 408}, UpstreamTimeout, True),
        ({"status_code": 400, "json": {"errors": ["no"]}}, BadRequest, False),
        ({"status_code": 409}, Conflict, False),
        ({"status_code": 302, "headers": {"Location": f"{API}/x"}}, ProviderError, True),
        ({"status_code": 307, "headers": {"Location": f"{API}/x"}}, ProviderError, False),
        ({"status_code": 304}, ProviderError, True),
        ({"exc": requests.exceptions.ReadTimeout}, UpstreamTimeout, True),
        ({"exc": requests.exceptions.ConnectTimeout}, UpstreamUnreachable, False),
        (
            {"exc": requests.exceptions.ConnectionError(ConnectionRefusedError())},
            UpstreamUnreachable,
            False,
        ),
        (
            {"exc": requests.exceptions.ConnectionError(ConnectionResetError())},
            UpstreamUnreachable,
            True,
        ),
    ],
)
def test_a_write_is_sent_once_whatever_happens(
    http: requests_mock.Mocker,
    incidents: DatadogIncidents,
    call: Call,
    method: str,
    verb: str,
    url: str,
    payload: Json,
    fault: Any,
    error: type[OpsOrchError],
    unknown: bool,
) -> None:
    http.request(verb, url, **fault)
    with pytest.raises(error) as told:
        ask(incidents, method, payload, call)
    assert type(told.value) is error
    assert told.value.outcome_unknown is unknown
    assert ("may have taken effect" in told.value.message) is unknown
    assert "<html>" not in told.value.message
    assert http.call_count == 1


@pytest.mark.case("datadog", 19)
def test_two_failures_of_a_read_are_bridged(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call, pauses: list[float]
) -> None:
    http.get(MONITORS, [{"status_code": 503}, {"status_code": 503}, {"json": []}])
    assert alerts.query({}, call) == []
    assert pauses == [0.5, 1.5]


@pytest.mark.case("datadog", 19)
@pytest.mark.parametrize(("kind", "method", "verb", "url", "payload", "scope"), READS)
@pytest.mark.parametrize("text", ["<html>", "5", '"x"', "null", ""])
def test_an_answer_that_is_none_is_not_believed(
    http: requests_mock.Mocker,
    build: Callable[..., Any],
    call: Call,
    kind: Any,
    method: str,
    verb: str,
    url: str,
    payload: Json,
    scope: str,
    text: str,
) -> None:
    http.request(verb, url, text=text, headers={"Content-Type": "text/html"})
    with pytest.raises(ProviderError, match="Check site and apiURL") as told:
        ask(build(kind), method, payload, call)
    assert "<html>" not in told.value.message
    assert told.value.code == "provider_error"


@pytest.mark.case("datadog", 19)
def test_a_list_where_an_object_belongs(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    http.get(INCIDENTS, json=[])
    with pytest.raises(ProviderError, match="it is no object"):
        incidents.query({}, call)


@pytest.mark.case("datadog", 19)
def test_a_refused_connection_is_unreachable(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call
) -> None:
    http.get(MONITORS, exc=requests.exceptions.ConnectionError(ConnectionRefusedError()))
    with pytest.raises(UpstreamUnreachable, match=r"api\.datadoghq\.com:443 is unreachable"):
        alerts.query({}, call)
    assert http.call_count == 3


@pytest.mark.parametrize("location", [f"{API}/elsewhere", "https://login.example.com/"])
def test_redirects_are_not_followed(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call, location: str
) -> None:
    """They would carry the keys along."""
    http.get(MONITORS, status_code=302, headers={"Location": location})
    with pytest.raises(ProviderError, match="not followed"):
        alerts.query({}, call)
    assert http.call_count == 1


def test_no_call_passes_its_deadline(http: requests_mock.Mocker, alerts: DatadogAlerts) -> None:
    """A wait that does not fit is not begun."""
    http.get(MONITORS, status_code=503)
    with pytest.raises(ProviderError):
        alerts.query({}, Call(Deadline.after(0.3)))
    assert http.call_count == 1


def test_the_rest_of_a_limit_is_told_at_debug_level(
    http: requests_mock.Mocker,
    alerts: DatadogAlerts,
    call: Call,
    caplog: pytest.LogCaptureFixture,
) -> None:
    headers = {"X-RateLimit-Remaining": "42", "X-RateLimit-Name": "monitors"}
    http.get(MONITORS, json=[], headers=headers)
    with caplog.at_level(logging.DEBUG, logger="opsorch.plugin"):
        alerts.query({}, call)
    assert "rate limit monitors: 42 left" in caplog.text


@pytest.mark.parametrize(
    ("validate", "names"),
    [
        ({"status_code": 403, "json": {"errors": ["Forbidden"]}}, ["apiKey"]),
        ({"json": {"valid": False}}, ["apiKey"]),
        ({"exc": requests.exceptions.ConnectTimeout}, ["apiKey"]),
    ],
)
def test_a_check_ends_where_the_key_is_wrong(
    http: requests_mock.Mocker, alerts: DatadogAlerts, call: Call, validate: Any, names: list[str]
) -> None:
    http.get(VALIDATE, **validate)
    checks = alerts.check(call)
    assert [check.name for check in checks] == names
    assert not checks[-1].ok and checks[-1].message


def test_a_check_names_the_missing_scope(http: requests_mock.Mocker, call: Call) -> None:
    http.get(VALIDATE, json={"valid": True})
    http.get(MONITORS, status_code=403, json={"errors": ["Forbidden"]})
    told = Dispatcher(DatadogAlerts).call("plugin.check", CONFIG, None, call)
    assert told["ok"] is False
    assert [check["ok"] for check in told["checks"]] == [True, True, False]
    assert "monitors_read" in told["checks"][2]["message"]
    assert API_KEY not in json.dumps(told) and APP_KEY not in json.dumps(told)


def test_an_incident_that_is_not_there_is_not_found(
    http: requests_mock.Mocker, incidents: DatadogIncidents, call: Call
) -> None:
    http.get(f"{INCIDENTS}/{UUID}", [{"status_code": 404}, {"json": {"data": incident()}}])
    with pytest.raises(NotFound, match=f"Datadog has no incident {UUID}"):
        incidents.get({"id": UUID}, call)
    assert incidents.get({"id": UUID}, call)["id"] == UUID
