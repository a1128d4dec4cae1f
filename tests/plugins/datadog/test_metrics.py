"""Metric queries and descriptions."""

import datetime
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.errors import BadRequest, ProviderError
from opsorch.plugin import Call
from opsorch_plugins.datadog import metrics as metrics_module
from opsorch_plugins.datadog.metrics import DatadogMetrics
from tests.fakes.datadog import strict
from tests.plugins.datadog.support import (
    APP,
    END,
    END_MS,
    METRICS,
    START,
    START_MS,
    TIMESERIES,
    Json,
    sent,
    timeseries,
)

RANGE: Json = {"start": START, "end": END}


def asked(http: requests_mock.Mocker) -> Json:
    """The attributes of the last request."""
    attributes: Json = http.last_request.json()["data"]["attributes"]
    return attributes


def query_text(http: requests_mock.Mocker) -> str:
    return str(asked(http)["queries"][0]["query"])


@pytest.mark.case("datadog", 1)
def test_a_query_is_asked_and_mapped(
    http: requests_mock.Mocker, metrics: DatadogMetrics, call: Call
) -> None:
    """Query text, interval and bounds; two series, nulls skipped."""
    http.post(
        TIMESERIES,
        json=timeseries(
            {
                "tags": ["host:b", "service:web", "lonely"],
                "values": [1, None, 2.5],
                "unit": [{"name": "byte"}, {"name": "second"}],
            },
            {"tags": ["host:c"], "values": [None, None, None]},
        ),
    )
    payload = {
        "expression": {
            "metricName": "system.cpu.user",
            "aggregation": "sum",
            "filters": [{"label": "host", "operator": "!=", "value": "A"}],
            "groupBy": ["host"],
        },
        "scope": {"environment": "prod"},
        "step": 60,
        **RANGE,
    }
    first, second = metrics.query(payload, call)
    query = "sum:system.cpu.user{NOT host:a AND env:prod} by {host}"
    assert http.last_request.json() == {
        "data": {
            "type": "timeseries_request",
            "attributes": {
                "from": START_MS,
                "to": END_MS,
                "interval": 60000,
                "queries": [{"data_source": "metrics", "name": "query1", "query": query}],
            },
        }
    }
    assert first == {
        "name": "system.cpu.user",
        "service": "web",
        "labels": {"host": "b", "service": "web", "lonely": ""},
        "points": [
            {"timestamp": "2024-05-06T07:00:00Z", "value": 1},
            {"timestamp": "2024-05-06T07:02:00Z", "value": 2.5},
        ],
        "url": (
            f"{APP}/metric/explorer?exp_metric=system.cpu.user"
            "&exp_scope=NOT%20host%3Aa%20AND%20env%3Aprod&exp_agg=sum&exp_group=host"
            f"&from_ts={START_MS}&to_ts={END_MS}&live=false"
        ),
        "metadata": {"source": "datadog", "query": query, "interval": 60000, "unit": "byte/second"},
    }
    assert second["points"] == [] and "service" not in second


def test_the_interval_that_came_is_told(
    http: requests_mock.Mocker, metrics: DatadogMetrics, call: Call
) -> None:
    """Datadog widens it for long ranges; without points it is what was asked for."""
    wide = timeseries({"values": [1, 2]}, times=[START_MS, START_MS + 300_000])
    http.post(TIMESERIES, [{"json": wide}, {"json": timeseries({"values": []}, times=[0])}])
    payload = {"expression": {"metricName": "a.b"}, "step": 1, **RANGE}
    [one] = metrics.query(payload, call)
    assert one["metadata"]["interval"] == 300_000
    [one] = metrics.query(payload, call)
    assert one["metadata"]["interval"] == 1000


@pytest.mark.case("datadog", 2)
@pytest.mark.parametrize(
    ("value", "clause"),
    [
        ("a,b} or {*", "host:a_b__or___"),
        ("x AND y", "host:x_and_y"),
        (" Web-1.Example:8080/x ", "host:web-1.example:8080/x"),
        ("Ünï", "host:ünï"),
        ("x" * 300, f"host:{'x' * 200}"),
    ],
)
def test_values_are_stored_tags_and_hold_no_syntax(
    http: requests_mock.Mocker, metrics: DatadogMetrics, call: Call, value: str, clause: str
) -> None:
    http.post(TIMESERIES, json=timeseries())
    filters = [{"label": "host", "operator": "=", "value": value}]
    metrics.query({"expression": {"metricName": "m", "filters": filters}, **RANGE}, call)
    assert query_text(http) == f"avg:m{{{clause}}}"


@pytest.mark.case("datadog", 2)
@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ({"metricName": "m", "filters": [{"label": "a b", "value": "x"}]}, "filters[0].label"),
        ({"metricName": "m{*}"}, "metricName"),
        ({"metricName": ""}, "metricName"),
        ({}, "metadata.query"),
        ({"metricName": "1m"}, "metricName"),
        ({"metricName": "m", "aggregation": "median"}, "expression.aggregation"),
        ({"metricName": "m", "groupBy": ["a,b"]}, "groupBy[0]"),
        ({"metricName": "m", "filters": [{"label": "a", "value": " "}]}, "filters[0].value"),
        ({"metricName": "m", "filters": [{"label": "a", "operator": ">", "value": "1"}]}, "'>'"),
        ({"metricName": "m", "filters": [{"label": "a", "operator": "in", "value": "1"}]}, "'in'"),
    ],
)
def test_what_is_no_query_is_refused_without_a_call(
    http: requests_mock.Mocker, metrics: DatadogMetrics, call: Call, expression: Json, word: str
) -> None:
    with pytest.raises(BadRequest, match=r".") as told:
        metrics.query({"expression": expression, **RANGE}, call)
    assert word in told.value.message
    assert http.call_count == 0


@pytest.mark.case("datadog", 3)
@pytest.mark.parametrize(
    ("operator", "value", "clause"),
    [
        ("=~", "a|b", "host IN (a,b)"),
        ("!~", "a|B|a", "host NOT IN (a,b)"),
        ("=~", "web-.*", "host:web-*"),
        ("=~", ".*web", "host:*web"),
        ("!~", ".*web.*", "NOT host:*web*"),
        ("=~", ".+", "host:*"),
        ("=~", "^web$", "host:web"),
        ("=~", "^(a|b)$", "host IN (a,b)"),
        ("not regex", "(?:a|b)", "host NOT IN (a,b)"),
        ("=~", r"a\.b", "host:a.b"),
        ("contains", "We b", "host:*we_b*"),
        ("Not_Contains", "x", "NOT host:*x*"),
        ("==", "x", "host:x"),
        ("", "x", "host:x"),
    ],
)
def test_operators(
    http: requests_mock.Mocker,
    metrics: DatadogMetrics,
    call: Call,
    operator: str,
    value: str,
    clause: str,
) -> None:
    http.post(TIMESERIES, json=timeseries())
    filters = [{"label": "host", "operator": operator, "value": value}]
    metrics.query({"expression": {"metricName": "m", "filters": filters}, **RANGE}, call)
    assert query_text(http) == f"avg:m{{{clause}}}"


@pytest.mark.case("datadog", 3)
@pytest.mark.parametrize(
    "regex",
    [
        "a[0-9]",
        "a.b",
        "a.*|b",
        "(a)|(b)",
        "((a|b))",
        "(a\\)",
        "",
        "|",
        "a|",
        r"\d",
        "a\\",
        ".*.*",
        "a+",
    ],
)
def test_other_regexes_are_refused(metrics: DatadogMetrics, call: Call, regex: str) -> None:
    filters = [{"label": "host", "operator": "=~", "value": regex}]
    with pytest.raises(BadRequest, match="Datadog tag filters have no regular expressions"):
        metrics.query({"expression": {"metricName": "m", "filters": filters}, **RANGE}, call)


@pytest.mark.case("datadog", 4)
@pytest.mark.parametrize(
    "times", [{}, {"start": "0001-01-01T00:00:00Z", "end": "0001-01-01T00:00:00Z"}]
)
def test_without_times_it_is_the_last_hour(
    http: requests_mock.Mocker,
    metrics: DatadogMetrics,
    call: Call,
    times: Json,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moment = datetime.datetime(2024, 5, 6, 8, tzinfo=datetime.UTC)
    monkeypatch.setattr(metrics_module, "now", lambda: moment)
    http.post(TIMESERIES, json=timeseries())
    assert metrics.query({"expression": {"metricName": "m"}, **times}, call) == []
    assert (asked(http)["from"], asked(http)["to"]) == (START_MS, END_MS)
    assert "interval" not in asked(http)


@pytest.mark.case("datadog", 4)
@pytest.mark.parametrize(
    "payload",
    [
        {"start": START, "end": START},
        {"start": END, "end": START},
        {"start": "yesterday"},
        {"step": -1},
        {"step": 1.5},
        {"step": True},
    ],
)
def test_ranges_and_steps_that_do_not_fit(
    http: requests_mock.Mocker, metrics: DatadogMetrics, call: Call, payload: Json
) -> None:
    with pytest.raises(BadRequest):
        metrics.query({"expression": {"metricName": "m"}, **RANGE, **payload}, call)
    assert http.call_count == 0


@pytest.mark.case("datadog", 4)
@pytest.mark.parametrize("errors", ["Error parsing query", ["Error parsing query", "b"]])
def test_an_error_with_status_200_is_a_bad_request(
    http: requests_mock.Mocker, metrics: DatadogMetrics, call: Call, errors: Any
) -> None:
    http.post(TIMESERIES, json={"errors": errors, "data": None})
    with pytest.raises(BadRequest, match="Error parsing query"):
        metrics.query({"metadata": {"query": "nonsense"}, **RANGE}, call)


@pytest.mark.case("datadog", 4)
def test_nan_is_dropped_and_counted(
    http: requests_mock.Mocker, metrics: DatadogMetrics, call: Call
) -> None:
    """What is left is strict JSON."""
    body = json.dumps(timeseries({"values": [float("nan"), 2, float("-inf")]}))
    assert "NaN" in body
    http.post(TIMESERIES, text=body)
    [one] = metrics.query({"expression": {"metricName": "m"}, **RANGE}, call)
    assert [point["value"] for point in one["points"]] == [2]
    assert one["metadata"]["droppedPoints"] == 2
    assert strict(json.dumps(one).encode()) == one


def test_values_that_are_no_numbers_cost_themselves_alone(
    http: requests_mock.Mocker, metrics: DatadogMetrics, call: Call
) -> None:
    body = timeseries({"values": ["x", True, 3]}, {"values": None}, times=[START_MS, True, 1e300])
    body["data"]["attributes"]["series"].append("no series")
    http.post(TIMESERIES, json=body)
    [one] = metrics.query({"expression": {"metricName": "m"}, **RANGE}, call)
    assert one["points"] == []


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": {"attributes": 1}}])
def test_an_answer_without_data_is_not_believed(
    http: requests_mock.Mocker, metrics: DatadogMetrics, call: Call, body: Json
) -> None:
    http.post(TIMESERIES, json=body)
    with pytest.raises(ProviderError, match="no attributes"):
        metrics.query({"expression": {"metricName": "m"}, **RANGE}, call)


def test_a_raw_query_goes_as_it_is(
    http: requests_mock.Mocker, metrics: DatadogMetrics, call: Call
) -> None:
    """Its text is the name, and a scope that it cannot follow is told."""
    http.post(TIMESERIES, json=timeseries({"values": [1]}))
    raw = "anomalies(avg:system.load.1{*}, 'basic', 2)"
    payload = {"metadata": {"query": raw}, "scope": {"service": "x"}, **RANGE}
    [one] = metrics.query(payload, call)
    assert query_text(http) == raw
    assert one["name"] == raw
    assert one["metadata"]["scopeIgnored"] is True
    assert one["url"] == f"{APP}/metric/explorer?from_ts={START_MS}&to_ts={END_MS}&live=false"


@pytest.mark.parametrize(
    ("rollup", "text"),
    [
        ({"method": "sum", "seconds": 300}, ".rollup(sum, 300)"),
        ({"method": "MAX"}, ".rollup(max)"),
        ({"seconds": 60}, ".rollup(avg, 60)"),
    ],
)
def test_a_rollup_is_asked_for(
    http: requests_mock.Mocker, metrics: DatadogMetrics, call: Call, rollup: Json, text: str
) -> None:
    """Never by itself: over time, sum inflates gauges."""
    http.post(TIMESERIES, json=timeseries())
    expression = {"metricName": "m", "aggregation": "mean", "groupBy": ["b", "a", "b"]}
    metrics.query({"expression": expression, "metadata": {"rollup": rollup}, **RANGE}, call)
    assert query_text(http) == f"avg:m{{*}} by {{b,a}}{text}"


@pytest.mark.parametrize(
    "rollup", [{"method": "x) + (y"}, {"seconds": 0}, {"seconds": "60"}, {"seconds": True}, 5]
)
def test_a_rollup_that_does_not_fit(metrics: DatadogMetrics, call: Call, rollup: Any) -> None:
    payload = {"expression": {"metricName": "m"}, "metadata": {"rollup": rollup}, **RANGE}
    with pytest.raises(BadRequest, match=r"metadata\.rollup"):
        metrics.query(payload, call)


def row(name: str, kind: str = "metrics", **attributes: Any) -> Json:
    return {"id": name, "type": kind, **({"attributes": attributes} if attributes else {})}


@pytest.mark.case("datadog", 5)
def test_metrics_of_a_scope_are_described_page_after_page(
    http: requests_mock.Mocker, metrics: DatadogMetrics, call: Call
) -> None:
    """Rows with a tag configuration have a type and labels."""
    configured = row("b.rate", "manage_tags", metric_type="rate", tags=["host", "env"])
    first = {"data": [row("a")], "meta": {"pagination": {"next_cursor": "next"}}}
    http.get(METRICS, [{"json": first}, {"json": {"data": [configured, {"type": "metrics"}]}}])
    payload = {"service": "Web", "team": "core ops", "environment": "prod"}
    found = metrics.describe_metrics(payload, call)
    common = {
        "window[seconds]": "3600",
        "page[size]": "1000",
        "filter[tags]": "service:web AND team:core_ops AND env:prod",
    }
    seen = [sent(request) for request in http.request_history]
    assert seen == [common, {**common, "page[cursor]": "next"}]
    assert found == [
        {
            "name": "a",
            "type": "unknown",
            "description": "",
            "labels": [],
            "url": f"{APP}/metric/summary?metric=a",
            "metadata": {"source": "datadog"},
        },
        {
            "name": "b.rate",
            "type": "gauge",
            "description": "",
            "labels": ["host", "env"],
            "url": f"{APP}/metric/summary?metric=b.rate",
            "metadata": {"source": "datadog"},
        },
    ]


def pages(cursors: list[Any], rows: int = 2) -> list[Json]:
    return [
        {
            "json": {
                "data": [row(f"m{page}.{n}") for n in range(rows)],
                "meta": {"pagination": {"next_cursor": cursor}},
            }
        }
        for page, cursor in enumerate(cursors)
    ]


@pytest.mark.case("datadog", 5)
@pytest.mark.parametrize(
    ("cursors", "calls"),
    [(["a", "b", None], 3), (["a", "a"], 2), (["a", ""], 2), (["a", 5], 2)],
)
def test_describing_ends_with_the_cursor(
    http: requests_mock.Mocker, metrics: DatadogMetrics, call: Call, cursors: list[Any], calls: int
) -> None:
    http.get(METRICS, pages(cursors))
    assert len(metrics.describe_metrics({}, call)) == 2 * calls
    assert http.call_count == calls


def test_describing_ends_with_enough(
    http: requests_mock.Mocker, build: Callable[..., Any], call: Call
) -> None:
    http.get(METRICS, pages(["a", "b", "c"]))
    found = build(DatadogMetrics, maxResults=3).describe_metrics({}, call)
    assert [one["name"] for one in found] == ["m0.0", "m0.1", "m1.0"]


def test_describing_ends_with_the_time(http: requests_mock.Mocker, metrics: DatadogMetrics) -> None:
    """What has come by then is the answer."""
    http.get(METRICS, pages(["a", "b", "c"]))
    assert len(metrics.describe_metrics({}, Call(Deadline.after(0.9)))) == 2


def test_the_check_looks_at_both_scopes(
    http: requests_mock.Mocker, metrics: DatadogMetrics, call: Call
) -> None:
    http.get("https://api.datadoghq.com/api/v1/validate", json={"valid": True})
    http.get(METRICS, json={"data": []})
    http.post(TIMESERIES, status_code=403, json={"errors": ["Forbidden"]})
    checks = metrics.check(call)
    assert [(check.name, check.ok) for check in checks] == [
        ("apiKey", True),
        ("metrics_read", True),
        ("timeseries_query", False),
    ]
    assert "timeseries_query" in checks[2].message
