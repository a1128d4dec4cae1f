"""Metric queries and descriptions against canned replies."""

import contextlib
import json
import urllib.parse
from collections.abc import Callable
from typing import Any

import promql_parser
import pytest
import requests_mock
from hypothesis import given
from hypothesis import strategies as st

from opsorch.deadline import Deadline
from opsorch.errors import BadRequest, ProviderError
from opsorch.plugin import Call
from opsorch_plugins.prometheus.provider import PrometheusMetrics
from tests.plugins.prometheus.support import EMPTY, NOW, PROMETHEUS, answer, sent

Build = Callable[..., PrometheusMetrics]

RANGE = f"{PROMETHEUS}/api/v1/query_range"
INSTANT = f"{PROMETHEUS}/api/v1/query"
HOUR = {"start": "2024-05-06T06:00:00Z", "end": "2024-05-06T07:00:00Z", "step": 60}
GO_ZERO = "0001-01-01T00:00:00Z"


def asked(http: requests_mock.Mocker) -> str:
    """The PromQL of the last request."""
    return sent(http.last_request)["query"][0]


@pytest.mark.case("prometheus", 1)
def test_a_filtered_metric_is_queried_and_mapped(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """Metric, filter, range and step reach Prometheus; its points come back with UTC times."""
    metric = {"__name__": "http_requests_total", "method": "POST", "service": "api"}
    values = [[1714975200, "10"], [1714975260.5, "12.5"]]
    http.get(RANGE, json=answer("matrix", [{"metric": metric, "values": values}]))
    filters = [{"label": "method", "operator": "=", "value": "POST"}]
    payload = {"expression": {"metricName": "http_requests_total", "filters": filters}, **HOUR}

    [series] = metrics_of().query(payload, call)

    parameters = sent(http.last_request)
    assert parameters["query"] == ['http_requests_total{method="POST"}']
    assert parameters["start"] == ["1714975200.000"]
    assert parameters["end"] == ["1714978800.000"]
    assert parameters["step"] == ["60"]
    assert parameters["timeout"] == ["30s"]
    assert series["name"] == "http_requests_total"
    assert series["labels"] == {"method": "POST", "service": "api"}
    assert series["service"] == "api"
    assert series["points"] == [
        {"timestamp": "2024-05-06T06:00:00Z", "value": 10.0},
        {"timestamp": "2024-05-06T06:01:00.5Z", "value": 12.5},
    ]
    assert series["metadata"] == {
        "source": "prometheus",
        "query": 'http_requests_total{method="POST"}',
        "step": 60,
    }


@pytest.mark.case("prometheus", 2)
def test_scope_aggregation_and_grouping_reach_the_query(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """A scope becomes matchers, an aggregation wraps the selector, and nothing found is []."""
    http.get(RANGE, json=EMPTY)
    scope = {"service": "api", "environment": "prod"}
    name = {"metricName": "http_requests_total"}

    assert metrics_of().query({"expression": name, "scope": scope}, call) == []
    assert asked(http) == 'http_requests_total{service="api",env="prod"}'

    grouped = {**name, "aggregation": "SUM", "groupBy": ["method", "status", "method"]}
    assert metrics_of().query({"expression": grouped}, call) == []
    assert asked(http) == "sum(http_requests_total) by (method,status)"


@pytest.mark.case("prometheus", 3)
def test_raw_promql_goes_upstream_as_it_is(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """Raw PromQL replaces the expression; that the scope was not applied is said on each series."""
    raw = ' sum(rate(http_requests_total{path="/a b&c"}[5m])) / 2 '
    http.get(RANGE, json=answer("matrix", [{"metric": {}, "values": [[1714975200, "1"]]}]))
    payload = {
        "expression": {"metricName": "ignored"},
        "scope": {"service": "api"},
        "metadata": {"query": raw},
        **HOUR,
    }

    [series] = metrics_of(externalURL="https://prom.example.com/p").query(payload, call)

    assert asked(http) == raw
    assert series["metadata"]["scopeIgnored"] is True
    assert series["name"] == raw
    page, _, query = series["url"].partition("?")
    assert page == "https://prom.example.com/p/graph"
    assert f"g0.expr={urllib.parse.quote(raw, safe='')}&" in query
    assert urllib.parse.parse_qs(query) == {
        "g0.expr": [raw],
        "g0.tab": ["0"],
        "g0.range_input": ["3600s"],
        "g0.end_input": ["2024-05-06 07:00:00"],
    }


HOSTILE = ['x"} or vector(1) or up{a="', "back\\slash", "line\nfeed", "\U0001f600", "}"]


@pytest.mark.case("prometheus", 4)
@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_never_leaves_its_place(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, value: str
) -> None:
    """The query that was sent parses as one selector with exactly this value."""
    http.get(RANGE, json=EMPTY)
    filters = [{"label": "a", "operator": "=", "value": value}]
    metrics_of().query({"expression": {"metricName": "up", "filters": filters}}, call)
    parsed = promql_parser.parse(asked(http))
    assert isinstance(parsed, promql_parser.VectorSelector)
    assert [(m.name, m.value) for m in parsed.matchers.matchers] == [("a", value)]


NASTY = st.text(st.sampled_from('ab"\\{}[]()=~,\n\r\t\x00 |.*+') | st.characters(codec="utf-8"))


@pytest.mark.case("prometheus", 4)
@given(name=NASTY, value=NASTY, service=NASTY, group=NASTY)
def test_no_input_changes_the_form_of_the_query(
    name: str, value: str, service: str, group: str
) -> None:
    """Whatever the words are, they are refused or the query is one aggregation of one selector."""
    payload = {
        "expression": {
            "metricName": f"m{name}",
            "filters": [{"label": "a", "operator": "contains", "value": value}],
            "aggregation": "max",
            "groupBy": [f"g{group}"],
        },
        "scope": {"service": service},
    }
    with requests_mock.Mocker() as http:
        http.get(RANGE, json=EMPTY)
        http.post(RANGE, json=EMPTY)
        with contextlib.suppress(BadRequest):
            PrometheusMetrics({"url": PROMETHEUS}).query(payload, Call(Deadline.after(30)))
        if http.call_count == 0:
            assert not group.isprintable()
            return
        parsed = promql_parser.parse(asked(http))
    assert isinstance(parsed, promql_parser.AggregateExpr)
    assert list(parsed.modifier.labels) == [f"g{group}".strip()]
    told = {m.name: m.value for m in parsed.expr.matchers.matchers}
    assert told.get("service", "") == service.strip()
    assert (parsed.expr.name or told["__name__"]) == f"m{name}".strip()


@pytest.mark.case("prometheus", 5)
@pytest.mark.parametrize("name", ["up or vector(1)", "inf", "a.b"])
def test_unusual_metric_names_are_quoted(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, name: str
) -> None:
    """What is no plain metric name stands as a quoted name in the braces."""
    http.get(RANGE, json=EMPTY)
    filters = [{"label": "a", "value": "b"}]
    metrics_of().query({"expression": {"metricName": name, "filters": filters}}, call)
    assert asked(http) == f'{{__name__="{name}",a="b"}}'


@pytest.mark.case("prometheus", 6)
@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ({"metricName": "up", "aggregation": "topk(5,x) or sum"}, "expression.aggregation"),
        (
            {"metricName": "up", "filters": [{"label": "a", "operator": '=="x"} or'}]},
            "expression.filters[0].operator",
        ),
        ({"metricName": "up", "filters": [{"label": " ", "value": "x"}]}, "filters[0].label"),
        ({"metricName": "up", "filters": [{"label": "a\nb"}]}, "filters[0].label"),
        ({"metricName": "up", "groupBy": ["a"]}, "expression.groupBy needs expression.aggregation"),
        ({"metricName": "up", "aggregation": "sum", "groupBy": [""]}, "expression.groupBy[0]"),
        ({"metricName": ""}, "expression.metricName"),
        ({"filters": [{"label": "a", "operator": "=~", "value": ".*"}]}, "expression.metricName"),
        ({"metricName": 5}, "expression.metricName"),
        ({"metricName": "a\ud800"}, "expression.metricName"),
        ({}, "expression is required"),
    ],
)
def test_unfit_expressions_are_refused_without_a_call(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, expression: Any, field: str
) -> None:
    """Each fault names its field, and Prometheus hears nothing of it."""
    with pytest.raises(BadRequest) as refused:
        metrics_of().query({"expression": expression}, call)
    assert field in refused.value.message
    assert http.call_count == 0


@pytest.mark.case("prometheus", 6)
def test_unknown_words_are_answered_with_the_accepted_ones(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """A caller who misspelt an aggregation or operator learns the right words."""
    with pytest.raises(BadRequest, match=r"avg.*p95.*stddev.*sum"):
        metrics_of().query({"expression": {"metricName": "up", "aggregation": "summ"}}, call)
    filters = [{"label": "a", "operator": "like", "value": "x"}]
    with pytest.raises(BadRequest, match=r"!=.*=~.*contains, not contains"):
        metrics_of().query({"expression": {"metricName": "up", "filters": filters}}, call)


@pytest.mark.case("prometheus", 6)
def test_a_label_beyond_the_classic_grammar_is_quoted_and_left_to_the_server(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """Prometheus 3 takes such labels; the refusal of an older one reaches the caller."""
    body = {"status": "error", "errorType": "bad_data", "error": "unexpected string"}
    http.get(RANGE, status_code=400, json=body)
    filters = [{"label": "a b}", "value": "x"}]
    with pytest.raises(BadRequest, match="unexpected string"):
        metrics_of().query({"expression": {"metricName": "up", "filters": filters}}, call)
    assert asked(http) == 'up{"a b}"="x"}'


@pytest.mark.case("prometheus", 7)
@pytest.mark.parametrize(
    ("times", "message"),
    [
        (
            {"start": "2024-05-06T07:00:00Z", "end": "2024-05-06T06:00:00Z"},
            "start must not be after end",
        ),
        ({"step": -1}, "step"),
        ({"step": 1.5}, "step"),
        ({"step": True}, "step"),
        (
            {"start": "2024-05-01T00:00:00Z", "end": "2024-05-11T00:00:00Z", "step": 1},
            "smallest step that fits is 79",
        ),
        ({"start": "yesterday"}, "start"),
    ],
)
def test_unfit_times_are_refused_without_a_call(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, times: Any, message: str
) -> None:
    """Times that Prometheus would refuse never reach it."""
    with pytest.raises(BadRequest, match=message):
        metrics_of().query({"expression": {"metricName": "up"}, **times}, call)
    assert http.call_count == 0


@pytest.mark.case("prometheus", 8)
@pytest.mark.parametrize("times", [{}, {"start": GO_ZERO, "end": GO_ZERO, "step": 0}])
def test_times_not_given_are_the_last_hour(
    http: requests_mock.Mocker,
    metrics_of: Build,
    call: Call,
    fixed_now: object,
    times: dict[str, Any],
) -> None:
    """Missing times and the zero times of Go callers both mean the last hour in 15 s steps."""
    http.get(RANGE, json=EMPTY)
    assert metrics_of().query({"expression": {"metricName": "up"}, **times}, call) == []
    parameters = sent(http.last_request)
    assert float(parameters["end"][0]) == NOW.timestamp()
    assert float(parameters["start"][0]) == NOW.timestamp() - 3600
    assert parameters["step"] == ["15"]


def test_the_look_back_is_configurable_and_the_step_grows_with_the_range(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, fixed_now: object
) -> None:
    """A day is asked for in about 240 steps."""
    http.get(RANGE, json=EMPTY)
    build = metrics_of(defaultLookbackSeconds=86_400)
    build.query({"expression": {"metricName": "up"}}, call)
    parameters = sent(http.last_request)
    assert float(parameters["start"][0]) == NOW.timestamp() - 86_400
    assert parameters["step"] == ["360"]


def test_start_may_equal_end(http: requests_mock.Mocker, metrics_of: Build, call: Call) -> None:
    """One moment is a range of one point."""
    http.get(RANGE, json=EMPTY)
    moment = "2024-05-06T07:00:00+02:00"
    payload = {"expression": {"metricName": "up"}, "start": moment, "end": moment}
    assert metrics_of().query(payload, call) == []
    assert sent(http.last_request)["start"] == ["1714971600.000"]


@pytest.mark.case("prometheus", 9)
def test_what_json_cannot_hold_is_left_out_and_counted(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """NaN and infinities never reach the reply; how many there were is said."""
    texts = ["NaN", "+Inf", "-Inf", "1e+00", "NaN", "1e999"]
    values = [[1714975200 + n, text] for n, text in enumerate(texts)]
    http.get(RANGE, json=answer("matrix", [{"metric": {"__name__": "up"}, "values": values}]))
    [series] = metrics_of().query({"expression": {"metricName": "up"}, **HOUR}, call)
    assert series["points"] == [{"timestamp": "2024-05-06T06:00:03Z", "value": 1.0}]
    assert series["metadata"]["droppedPoints"] == {"NaN": 2, "+Inf": 2, "-Inf": 1}
    assert json.dumps(series, allow_nan=False)


def test_functions_wrap_the_selector_inside_the_aggregation(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """rate and its kin need no raw PromQL; the range is four steps by default, or a minute."""
    http.get(RANGE, json=EMPTY)
    expression = {"metricName": "x_total", "aggregation": "sum", "groupBy": ["job"]}
    for metadata, step, expected in (
        ({"function": "rate", "range": "5m"}, 15, "sum(rate(x_total[5m])) by (job)"),
        ({"function": "Increase"}, 15, "sum(increase(x_total[60s])) by (job)"),
        ({"function": "max_over_time"}, 60, "sum(max_over_time(x_total[240s])) by (job)"),
        ({"function": "rate", "range": "1h30m"}, 15, "sum(rate(x_total[1h30m])) by (job)"),
    ):
        payload = {"expression": expression, "metadata": metadata, **HOUR, "step": step}
        metrics_of().query(payload, call)
        assert asked(http) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("average", "avg(up)"),
        ("mean", "avg(up)"),
        ("p50", "quantile(0.5, up)"),
        ("P95", "quantile(0.95, up)"),
        ("p99", "quantile(0.99, up)"),
        ("group", "group(up)"),
        ("stdvar", "stdvar(up)"),
    ],
)
def test_aggregations_have_their_names(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, word: str, expected: str
) -> None:
    """People's words for aggregations become PromQL's."""
    http.get(RANGE, json=EMPTY)
    metrics_of().query({"expression": {"metricName": "up", "aggregation": word}}, call)
    assert asked(http) == expected


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"function": "absent"}, "metadata.function"),
        ({"function": "rate", "range": "5m] or up[1m"}, "metadata.range"),
        ({"range": "5m"}, "metadata.range needs metadata.function"),
        ({"query": 5}, "metadata.query"),
        ({"query": "up\ud800"}, "metadata.query"),
        ({"limit": 0}, "metadata.limit"),
        ({"limit": "9"}, "metadata.limit"),
        ({"instant": "yes"}, "metadata.instant"),
        ({"exemplars": 1}, "metadata.exemplars"),
    ],
)
def test_unfit_metadata_is_refused_without_a_call(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, metadata: Any, field: str
) -> None:
    """Each known key is checked by name."""
    with pytest.raises(BadRequest, match=field):
        metrics_of().query({"expression": {"metricName": "up"}, "metadata": metadata}, call)
    assert http.call_count == 0


def test_unknown_metadata_is_ignored(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """Keys of other providers do no harm; booleans of Thanos and Mimir are passed on."""
    http.get(RANGE, json=EMPTY)
    metadata = {"other": {"x": 1}, "dedup": False, "partial_response": True, "query": " "}
    metrics_of().query({"expression": {"metricName": "up"}, "metadata": metadata}, call)
    parameters = sent(http.last_request)
    assert parameters["dedup"] == ["false"]
    assert parameters["partial_response"] == ["true"]
    assert "other" not in parameters
    metrics_of().query({"expression": {"metricName": "up"}, "metadata": {"dedup": "no"}}, call)
    assert "dedup" not in sent(http.last_request)


def test_instant_queries_ask_for_one_moment(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """metadata.instant takes the value at the end; a vector is a series with one point each."""
    entry = {"metric": {"__name__": "up", "job": "a"}, "value": [1714978800, "1"]}
    http.get(INSTANT, json=answer("vector", [entry]))
    payload = {"expression": {"metricName": "up"}, "metadata": {"instant": True}, **HOUR}
    [series] = metrics_of().query(payload, call)
    parameters = sent(http.last_request)
    assert parameters["time"] == ["1714978800.000"]
    assert "start" not in parameters and "step" not in parameters
    assert series["points"] == [{"timestamp": "2024-05-06T07:00:00Z", "value": 1.0}]
    assert series["metadata"]["instant"] is True


def test_scalars_are_a_series_and_strings_are_refused(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """A number alone is a series without labels; text is no metric."""
    http.get(INSTANT, json=answer("scalar", [1714978800, "4.5"]))
    payload = {"metadata": {"instant": True, "query": "4.5"}}
    [series] = metrics_of().query(payload, call)
    assert (series["name"], series["labels"]) == ("4.5", {})
    assert series["points"] == [{"timestamp": "2024-05-06T07:00:00Z", "value": 4.5}]
    http.get(INSTANT, json=answer("string", [1714978800, "x"]))
    with pytest.raises(BadRequest, match="string"):
        metrics_of().query({"metadata": {"instant": True, "query": '"x"'}}, call)


def test_series_without_a_name_take_that_of_the_query(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """An aggregation drops the metric's name; the reply has it all the same."""
    http.get(RANGE, json=answer("matrix", [{"metric": {}, "values": []}]))
    expression = {"metricName": "up", "aggregation": "sum"}
    [series] = metrics_of().query({"expression": expression}, call)
    assert series["name"] == "up"
    assert series["labels"] == {} and series["points"] == []


def test_native_histograms_show_their_count(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """A histogram sample has no single value; its count stands for it, and the reply says so."""
    histogram = {"count": "7", "sum": "3.5", "buckets": [[0, "0", "1", "7"]]}
    entry = {"metric": {"__name__": "latency"}, "histograms": [[1714975200, histogram]]}
    http.get(RANGE, json=answer("matrix", [entry]))
    [series] = metrics_of().query({"expression": {"metricName": "latency"}, **HOUR}, call)
    assert series["points"] == [{"timestamp": "2024-05-06T06:00:00Z", "value": 7.0}]
    assert series["metadata"]["nativeHistogram"] is True
    http.get(INSTANT, json=answer("vector", [{"metric": {}, "histogram": [1, histogram]}]))
    payload = {"expression": {"metricName": "latency"}, "metadata": {"instant": True}}
    [series] = metrics_of().query(payload, call)
    assert series["points"][0]["value"] == 7.0


def test_series_beyond_the_limit_are_cut_and_that_is_said(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """metadata.limit and maxSeries keep the first series; the smaller of both rules."""
    entries = [{"metric": {"n": str(n)}, "values": []} for n in range(5)]
    http.get(RANGE, json=answer("matrix", entries))
    payload: dict[str, Any] = {"expression": {"metricName": "up"}}
    for configured, limit, kept in ((3, None, 3), (3, 2, 2), (2, 9, 2)):
        metadata = {} if limit is None else {"limit": limit}
        found = metrics_of(maxSeries=configured).query({**payload, "metadata": metadata}, call)
        assert len(found) == kept
        assert all(series["metadata"]["truncated"] is True for series in found)
    assert "truncated" not in metrics_of().query(payload, call)[0]["metadata"]


def test_warnings_of_the_server_are_passed_on(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """A partial answer says so on each series."""
    series = [{"metric": {"n": str(n)}, "values": []} for n in range(2)]
    body = answer("matrix", series, warnings=["a store is missing"], infos=["not a counter"])
    http.get(RANGE, json=body)
    for found in metrics_of().query({"expression": {"metricName": "up"}}, call):
        assert found["metadata"]["warnings"] == ["a store is missing"]
        assert found["metadata"]["infos"] == ["not a counter"]


def test_enforced_matchers_are_in_every_selector_and_forbid_raw_queries(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """What an operator enforces, no caller can leave out."""
    http.get(RANGE, json=EMPTY)
    enforced = [{"label": "tenant", "operator": "=~", "value": "a|b"}]
    provider = metrics_of(enforcedMatchers=enforced)
    payload = {"expression": {"metricName": "up"}, "scope": {"team": "core"}}
    provider.query(payload, call)
    assert asked(http) == 'up{team="core",tenant=~"a|b"}'
    with pytest.raises(BadRequest, match="enforcedMatchers"):
        provider.query({"metadata": {"query": "up"}}, call)
    with pytest.raises(BadRequest, match="allowRawQuery"):
        metrics_of(allowRawQuery=False).query({"metadata": {"query": "up"}}, call)
    assert http.call_count == 1


def test_enforced_matchers_do_not_make_a_selector_of_everything(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """A caller names a metric or a filter of their own."""
    provider = metrics_of(enforcedMatchers=[{"label": "tenant", "value": "a"}])
    with pytest.raises(BadRequest, match="metricName"):
        provider.query({"expression": {"metricName": " "}, "scope": {"team": "core"}}, call)
    http.get(RANGE, json=EMPTY)
    filters = [{"label": "job", "operator": "contains", "value": "x"}]
    provider.query({"expression": {"filters": filters}}, call)
    assert asked(http) == '{job=~".*x.*",tenant="a"}'


def test_configured_labels_stand_for_the_scope(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """Whoever calls their services "app" says so once."""
    metric = {"__name__": "up", "app": "api"}
    http.get(RANGE, json=answer("matrix", [{"metric": metric, "values": []}]))
    scope = {"service": "api", "environment": "prod"}
    payload = {"expression": {"metricName": "up"}, "scope": scope}
    [series] = metrics_of(labels={"service": "app"}).query(payload, call)
    assert asked(http) == 'up{app="api",env="prod"}'
    assert series["service"] == "api"


def test_exemplars_are_attached_to_their_series(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """Each series gets the exemplars whose labels it has, fifty at most, with their trace."""
    series = [{"metric": {"__name__": "up", "job": job}, "values": []} for job in ("a", "b")]
    http.get(RANGE, json=answer("matrix", series))
    exemplar = {"labels": {"trace_id": "t1"}, "value": "0.5", "timestamp": 1714975200.25}
    unusable = [{"value": "NaN", "timestamp": 1}, "odd", {"value": "1"}]
    groups = [
        {
            "seriesLabels": {"__name__": "up", "job": "a", "pod": "x"},
            "exemplars": [*unusable, *([exemplar] * 60)],
        },
        {"seriesLabels": None},
    ]
    http.get(f"{PROMETHEUS}/api/v1/query_exemplars", json={"status": "success", "data": groups})
    payload = {"expression": {"metricName": "up"}, "metadata": {"exemplars": True}, **HOUR}
    first, second = metrics_of().query(payload, call)
    assert len(first["metadata"]["exemplars"]) == 50
    assert first["metadata"]["exemplars"][0] == {
        "timestamp": "2024-05-06T06:00:00.25Z",
        "value": 0.5,
        "traceID": "t1",
        "labels": {"trace_id": "t1"},
    }
    assert "exemplars" not in second["metadata"]


def test_a_server_without_exemplars_still_answers(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """Exemplars are an extra: their failure is said, the series come all the same."""
    http.get(RANGE, json=answer("matrix", [{"metric": {}, "values": []}]))
    http.get(f"{PROMETHEUS}/api/v1/query_exemplars", status_code=404)
    payload = {"expression": {"metricName": "up"}, "metadata": {"exemplars": True}}
    [series] = metrics_of().query(payload, call)
    assert "404" in series["metadata"]["exemplarsError"]


@pytest.mark.parametrize("data", [None, [], {"resultType": "matrix"}, {"result": []}, "text"])
def test_an_answer_that_is_no_result_is_a_provider_error(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, data: Any
) -> None:
    """What is no result of a query is not taken for "nothing found"."""
    http.get(RANGE, json={"status": "success", "data": data})
    with pytest.raises(ProviderError):
        metrics_of().query({"expression": {"metricName": "up"}}, call)


def test_odd_series_and_samples_cost_only_themselves(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """One malformed element does not cost the whole answer."""
    values = [[1714975200, "1"], [1, 2, 3], None, ["x", "1"], [1e30, "1"], [1714975201, "odd"]]
    entries = [None, {"metric": None, "values": values}, {"metric": {"a": 1}, "values": 5}]
    http.get(RANGE, json=answer("matrix", entries))
    first, second = metrics_of().query({"expression": {"metricName": "up"}, **HOUR}, call)
    assert first["points"] == [{"timestamp": "2024-05-06T06:00:00Z", "value": 1.0}]
    assert first["metadata"]["droppedPoints"] == {"invalid": 5}
    assert second["labels"] == {"a": "1"}


NAMES = f"{PROMETHEUS}/api/v1/label/__name__/values"
METADATA = f"{PROMETHEUS}/api/v1/metadata"
LABELS = f"{PROMETHEUS}/api/v1/labels"


def success(data: Any) -> dict[str, Any]:
    return {"status": "success", "data": data}


@pytest.mark.case("prometheus", 15)
def test_describe_tells_types_of_the_metrics_in_scope(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, fixed_now: object
) -> None:
    """Names come of the scope, types of the metadata, parts of a histogram of its base name."""
    names = ["rpc_seconds_bucket", "temp_celsius", "x_total", "plain"]
    http.get(NAMES, json=success(names))
    http.get(LABELS, json=success(["__name__", "job", "service"]))
    told = {
        "rpc_seconds": [{"type": "histogram", "help": "Time of calls.", "unit": ""}],
        "x_total": [
            {"type": "counter", "help": "X.", "unit": "items"},
            {"type": "gauge", "help": "Other X.", "unit": ""},
        ],
        "plain": [{"type": "gaugehistogram", "help": "", "unit": ""}],
    }
    http.get(METADATA, json=success(told))

    found = metrics_of().describe_metrics({"service": "api"}, call)

    parameters = sent(http.request_history[0])
    assert parameters["match[]"] == ['{service="api"}']
    assert float(parameters["end"][0]) - float(parameters["start"][0]) == 6 * 3600
    assert [(d["name"], d["type"], d.get("unit")) for d in found] == [
        ("rpc_seconds_bucket", "histogram", "seconds"),
        ("temp_celsius", "unknown", "celsius"),
        ("x_total", "counter", "items"),
        ("plain", "histogram", None),
    ]
    assert found[0]["description"] == "Time of calls."
    assert found[0]["labels"] == ["job", "service"]
    assert sent(http.last_request)["match[]"] == ['plain{service="api"}']
    assert found[2]["metadata"] == {"source": "prometheus", "variants": 1}
    assert found[0]["url"].startswith(f"{PROMETHEUS}/graph?g0.expr=rpc_seconds_bucket&g0.tab=1&")


@pytest.mark.case("prometheus", 15)
@pytest.mark.parametrize("failure", [{"status_code": 500}, {"text": "<html>"}, {"json": {}}])
def test_describe_does_without_the_metadata(
    http: requests_mock.Mocker, metrics_of: Build, call: Call, failure: dict[str, Any]
) -> None:
    """When types cannot be had, each is unknown; labels are a list all the same."""
    http.get(NAMES, json=success(["up", "x_total"]))
    http.get(METADATA, **failure)
    http.get(LABELS, **failure)
    found = metrics_of().describe_metrics({"service": "api"}, call)
    assert [(d["type"], d["description"], d["labels"]) for d in found] == [("unknown", "", [])] * 2


def test_describe_asks_for_labels_only_of_few_metrics(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """Beyond the limit a request for each metric would take too long."""
    http.get(NAMES, json=success(["a", "b", "c"]))
    http.get(METADATA, json=success({}))
    found = metrics_of(describeLabelLimit=2).describe_metrics({}, call)
    assert [d["labels"] for d in found] == [[], [], []]
    assert "match[]" not in sent(http.request_history[0])


def test_describe_keeps_to_the_enforced_matchers(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """Neither names nor labels tell of another tenant's series."""
    http.get(NAMES, json=success(["up"]))
    http.get(METADATA, json=success({}))
    http.get(LABELS, json=success([]))
    metrics_of(enforcedMatchers=[{"label": "t", "value": "a"}]).describe_metrics({}, call)
    assert sent(http.request_history[0])["match[]"] == ['{t="a"}']
    assert sent(http.last_request)["match[]"] == ['up{t="a"}']
    hidden = [{"label": "t", "operator": "!=", "value": "a"}]
    metrics_of(enforcedMatchers=hidden).describe_metrics({}, call)
    assert sent(http.request_history[3])["match[]"] == ['{__name__!="",t!="a"}']


def test_describe_of_an_empty_server(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """Nothing there is an empty list, whether the server writes [] or null; more is not asked."""
    for data in ([], None):
        http.get(NAMES, json=success(data))
        assert metrics_of().describe_metrics({}, call) == []
    assert http.call_count == 2
    http.get(NAMES, json=success({"a": 1}))
    with pytest.raises(ProviderError, match="no list"):
        metrics_of().describe_metrics({}, call)


def test_check_asks_for_a_constant(
    http: requests_mock.Mocker, metrics_of: Build, call: Call
) -> None:
    """The check needs the credentials to work and no data to be there."""
    http.get(INSTANT, json=answer("vector", []))
    [check] = metrics_of().check(call)
    assert check.ok
    assert asked(http) == "vector(1)"
