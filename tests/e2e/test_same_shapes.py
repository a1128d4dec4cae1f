"""One dashboard, one set of requests: every source of metrics and logs answers them alike.

The demo's metrics and log lines are copied into the fakes of the vendors, in these vendors' own
forms and words, so that all hold the same; then the same request must find the same everywhere.
"""

import contextlib
import datetime
import itertools
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from opsorch.providers.registry import adapters
from tests.e2e.support import SECRET, Json, answered, env_of, failed, guarded_gateway
from tests.fakes import datadog, elasticsearch, prometheus
from tests.fakes.server import serving
from tests.harness import Answer, Gateway

# The demo's story around its "now", which lies in the past: nothing of it changes any more.
DEMO = {"anchor": "2026-01-14T15:30:00Z"}
WINDOW = {"start": "2026-01-14T15:00:00Z", "end": "2026-01-14T15:20:00Z"}
# The same window as other clients write it.
ELSEWHERE = {"start": "2026-01-14T17:00:00+02:00", "end": "2026-01-14T10:20:00.000000-05:00"}
STEP_S = 60
METRIC = "http_requests_total"
SERVICES = ("svc-checkout", "svc-search")
BOTH = "|".join(SERVICES)
CHECKOUT = {"service": "svc-checkout", "environment": "prod"}

# How applications and their agents spell what the demo calls so.
ELASTIC_WORDS = {
    "critical": "FATAL",
    "error": "ERROR",
    "warning": "Warn",
    "info": "NOTICE",
    "debug": "debug",
}
DATADOG_WORDS = {
    "critical": "emergency",
    "error": "error",
    "warning": "warn",
    "info": "notice",
    "debug": "debug",
}

Sources = Mapping[str, Gateway]


def moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def in_prometheus(series: list[Json]) -> prometheus.State:
    return prometheus.State(
        [
            prometheus.Series(
                {"__name__": METRIC, **one["labels"]},
                [(moment(p["timestamp"]).timestamp(), p["value"]) for p in one["points"]],
            )
            for one in series
        ]
    )


def in_elasticsearch(lines: list[Json]) -> elasticsearch.State:
    index = elasticsearch.Index("logs-app-prod", {"@timestamp": "date"}, keywords=True)
    for number, line in enumerate(lines):
        labels = line["labels"]
        document = {
            "@timestamp": line["timestamp"],
            "message": line["message"],
            "log": {"level": ELASTIC_WORDS[line["severity"]]},
            "service": {"name": line["service"], "environment": labels["env"]},
            "labels": {"team": labels["team"]},
            "app": line["fields"],
        }
        index.add(document, f"d{number:05}")
    state = elasticsearch.State([index])
    state.basic_auth("ops", SECRET)
    return state


def in_datadog(series: list[Json], lines: list[Json]) -> datadog.State:
    state = datadog.State(api_key=f"api-{SECRET}", app_key=f"app-{SECRET}")
    for one in series:
        points = [
            (int(moment(p["timestamp"]).timestamp() * 1000), p["value"]) for p in one["points"]
        ]
        # Datadog keeps tags in lower case.
        tags = {key: value.lower() for key, value in one["labels"].items()}
        state.series.append({"metric": METRIC, "tags": tags, "points": points})
    for number, line in enumerate(lines):
        tags = [f"{key}:{line['labels'][key]}" for key in ("env", "team")]
        state.logs.append(
            datadog.a_log(
                number,
                line["message"],
                moment(line["timestamp"]),
                status=DATADOG_WORDS[line["severity"]],
                service=line["service"],
                tags=tags,
                attributes=line["fields"],
            )
        )
    return state


def everything(demo: Gateway) -> tuple[list[Json], list[Json]]:
    """What the demo has of the two services: series, and log lines."""
    label = {"label": "service", "operator": "=~", "value": BOTH}
    asked = {"expression": {"metricName": METRIC, "filters": [label]}, **WINDOW, "step": STEP_S}
    series = answered(demo.request("POST", "/metrics/query", asked))
    field = {"field": "service", "operator": "regex", "value": f"^({BOTH})$"}
    asked = {"expression": {"filters": [field]}, **WINDOW, "limit": 1000}
    lines = answered(demo.request("POST", "/logs/query", asked))["entries"]
    assert len(series) > 20 and 100 < len(lines) < 1000
    return series, lines


@contextlib.contextmanager
def all_sources() -> Iterator[dict[str, Gateway]]:
    """Run a gateway on each source of metrics and logs."""
    with contextlib.ExitStack() as stack:

        def gateway(env: dict[str, str]) -> Gateway:
            return stack.enter_context(guarded_gateway(env))

        demo = gateway(env_of("demo", "in-process", {"METRIC": DEMO, "LOG": DEMO}))
        series, lines = everything(demo)
        app = prometheus.make_app(in_prometheus(series))
        metrics = {"url": stack.enter_context(serving(app)).url}
        app = elasticsearch.make_app(in_elasticsearch(lines))
        logs = {
            "addresses": [stack.enter_context(serving(app)).url],
            "username": "ops",
            "password": SECRET,
            "kibanaURL": "https://kibana.example.com",
        }
        app = datadog.make_app(in_datadog(series, lines))
        both = {
            "apiKey": f"api-{SECRET}",
            "appKey": f"app-{SECRET}",
            "apiURL": stack.enter_context(serving(app)).url,
        }
        yield {
            "demo": demo,
            "prometheus": gateway(env_of("prometheus", "in-process", {"METRIC": metrics})),
            "elasticsearch": gateway(env_of("elasticsearch", "in-process", {"LOG": logs})),
            "datadog": gateway(env_of("datadog", "in-process", {"METRIC": both, "LOG": both})),
        }


@pytest.fixture(scope="module")
def gateways() -> Iterator[dict[str, Gateway]]:
    with all_sources() as running:
        yield running


@pytest.fixture(scope="module")
def metric_sources(gateways: dict[str, Gateway]) -> Sources:
    return {name: gateways[name] for name in adapters("metric")}


@pytest.fixture(scope="module")
def log_sources(gateways: dict[str, Gateway]) -> Sources:
    return {name: gateways[name] for name in adapters("log")}


def asked_of_all(sources: Sources, path: str, payload: Json) -> dict[str, Answer]:
    assert len(sources) == 3
    return {name: gateway.request("POST", path, payload) for name, gateway in sources.items()}


# --- metrics ---------------------------------------------------------------------------------


def a_metric_query(**more: Any) -> Json:
    expression = {"metricName": METRIC, "aggregation": "sum", "groupBy": ["service", "env"]}
    expression |= more.pop("expression", {})
    return {"expression": expression, **WINDOW, "step": STEP_S, **more}


def drawn(series: list[Json]) -> dict[str, dict[str, float]]:
    """What a dashboard draws of the copied services: lines by their labels, values by time.

    Without the end: Datadog's range does not reach it, the others have a point there.
    """
    return {
        " ".join(f"{key}={value}" for key, value in sorted(one.get("labels", {}).items())): {
            p["timestamp"]: p["value"] for p in one["points"] if p["timestamp"] != WINDOW["end"]
        }
        for one in series
        if one.get("service", SERVICES[0]) in SERVICES
    }


METRIC_QUERIES = {
    "grouped": a_metric_query(),
    "scoped": a_metric_query(scope=CHECKOUT),
    "one number": a_metric_query(expression={"groupBy": []}, scope={"service": "svc-search"}),
    "largest": a_metric_query(expression={"aggregation": "max"}),
    "filtered": a_metric_query(
        expression={"filters": [{"label": "status", "operator": "=", "value": "500"}]}
    ),
    "excluded": a_metric_query(
        expression={"filters": [{"label": "env", "operator": "!=", "value": "staging"}]}
    ),
    "one of two": a_metric_query(
        expression={"filters": [{"label": "service", "operator": "=~", "value": BOTH}]}
    ),
    "another zone": a_metric_query(**ELSEWHERE),
}


@pytest.mark.parametrize("asked", METRIC_QUERIES.values(), ids=METRIC_QUERIES)
def test_metrics_are_the_same_lines(metric_sources: Sources, asked: Json) -> None:
    """The same series by the same labels, with the same points at the same times."""
    answers = asked_of_all(metric_sources, "/metrics/query", asked)
    demo = drawn(answered(answers.pop("demo")))
    assert demo
    for name, answer in answers.items():
        found = drawn(answered(answer))
        assert set(found) == set(demo), name
        for labels, points in found.items():
            # The demo rounds what it sums up to six digits.
            assert points == pytest.approx(demo[labels], rel=1e-4), (name, labels)


@pytest.mark.parametrize("asked", METRIC_QUERIES.values(), ids=METRIC_QUERIES)
def test_metrics_have_one_shape(metric_sources: Sources, asked: Json) -> None:
    """The same keys, of the same types; times in UTC, rising, within what was asked for."""
    grouped = bool(asked["expression"]["groupBy"])
    for name, answer in asked_of_all(metric_sources, "/metrics/query", asked).items():
        for series in answered(answer):
            assert (series["name"], series["metadata"]["source"]) == (METRIC, name)
            assert set(series) - {"service", "labels"} == {"name", "points", "url", "metadata"}
            assert ("service" in series) is grouped or name == "demo"
            assert ("labels" in series) is grouped
            assert all(isinstance(value, str) for value in series.get("labels", {}).values())
            assert urllib.parse.urlsplit(series["url"]).scheme in ("http", "https")
            assert all(set(point) == {"timestamp", "value"} for point in series["points"])
            assert all(type(point["value"]) in (int, float) for point in series["points"])
            check_times([point["timestamp"] for point in series["points"]])


def check_times(times: list[str]) -> None:
    assert times == sorted(times) and len(set(times)) == len(times) > 10
    assert all(time.endswith("Z") and "." not in time for time in times)
    assert times[0] == WINDOW["start"] and times[-1] <= WINDOW["end"]
    steps = {moment(later) - moment(sooner) for sooner, later in itertools.pairwise(times)}
    assert steps == {datetime.timedelta(seconds=STEP_S)}


@pytest.mark.parametrize(
    "asked",
    [
        a_metric_query(expression={"metricName": "no_such_metric"}),
        a_metric_query(scope={"service": "svc-none"}),
        a_metric_query(expression={"filters": [{"label": "env", "operator": "=", "value": "no"}]}),
    ],
)
def test_metrics_that_are_not_there_have_no_points(metric_sources: Sources, asked: Json) -> None:
    """Neither an error nor a made-up value."""
    for name, answer in asked_of_all(metric_sources, "/metrics/query", asked).items():
        assert all(not series["points"] for series in answered(answer)), name


# A part that no source takes, and what every refusal names.
UNFIT_METRICS = {
    "expression.metricName": a_metric_query(expression={"metricName": ""}),
    "expression.aggregation": a_metric_query(expression={"aggregation": "topk"}),
    "operator": a_metric_query(
        expression={"filters": [{"label": "env", "operator": "like", "value": "x"}]}
    ),
    "start must": a_metric_query(start=WINDOW["end"], end=WINDOW["start"]),
    "step": a_metric_query(step=-1),
}


@pytest.mark.parametrize(("named", "asked"), UNFIT_METRICS.items())
def test_unfit_metric_queries_are_refused_alike(
    metric_sources: Sources, named: str, asked: Json
) -> None:
    """The same status and code, and the part by its name."""
    for answer in asked_of_all(metric_sources, "/metrics/query", asked).values():
        assert named in failed(answer, 400, "bad_request")["message"]


# --- logs ------------------------------------------------------------------------------------


def a_log_query(**more: Any) -> Json:
    return {**WINDOW, "limit": 500, **more}


def one_filter(field: str, operator: str, value: str) -> Json:
    return {"filters": [{"field": field, "operator": operator, "value": value}]}


LOG_QUERIES = {
    "scoped": a_log_query(scope=CHECKOUT),
    "the newest": a_log_query(scope=CHECKOUT, limit=7),
    "severities": a_log_query(expression={"severityIn": ["error", "critical"]}),
    "another spelling": a_log_query(expression={"severityIn": ["WARN"]}),
    "a service": a_log_query(expression=one_filter("service", "=", "svc-search")),
    "not a service": a_log_query(
        expression={"severityIn": ["error"], **one_filter("service", "!=", "svc-search")}
    ),
    "a word": a_log_query(
        scope={"service": "svc-search"}, expression=one_filter("message", "contains", "/search")
    ),
    "another zone": {**a_log_query(scope=CHECKOUT), **ELSEWHERE},
    "narrowed": a_log_query(
        scope={"service": "svc-checkout"},
        expression={"severityIn": ["error"], **one_filter("service", "=", "svc-checkout")},
        start="2026-01-14T15:05:00.5Z",
    ),
}


def told_entry(entry: Json) -> tuple[str, str, str, str]:
    """What a dashboard lists; a source may keep fewer digits of a second than another."""
    return (entry["timestamp"][:23], entry["severity"], entry["service"], entry["message"])


@pytest.mark.parametrize("asked", LOG_QUERIES.values(), ids=LOG_QUERIES)
def test_logs_are_the_same_lines(log_sources: Sources, asked: Json) -> None:
    """The same entries in the same order, their severities in our words."""
    answers = asked_of_all(log_sources, "/logs/query", asked)
    listed = {
        name: [told_entry(entry) for entry in answered(answer)["entries"]]
        for name, answer in answers.items()
    }
    # The demo has more services than were copied.
    demo = [entry for entry in listed["demo"] if entry[2] in SERVICES]
    assert demo
    assert listed["elasticsearch"] == demo
    assert listed["datadog"] == demo


@pytest.mark.parametrize("asked", LOG_QUERIES.values(), ids=LOG_QUERIES)
def test_logs_have_one_shape(log_sources: Sources, asked: Json) -> None:
    """The same keys, of the same types; times in UTC, newest first, within what was asked for."""
    keys = {"timestamp", "message", "severity", "service", "labels", "fields", "metadata"}
    for name, answer in asked_of_all(log_sources, "/logs/query", asked).items():
        body = answered(answer)
        assert set(body) == {"entries", "url"}
        assert urllib.parse.urlsplit(body["url"]).scheme in ("http", "https")
        for entry in body["entries"]:
            assert set(entry) == keys
            assert all(isinstance(value, str) for value in entry["labels"].values())
            assert isinstance(entry["fields"], dict)
            assert entry["metadata"]["source"] == name
        times = [entry["timestamp"] for entry in body["entries"]]
        assert all(time.endswith("Z") for time in times)
        moments = [moment(time) for time in times]
        assert moments == sorted(moments, reverse=True)
        assert all(moment(asked["start"]) <= one <= moment(asked["end"]) for one in moments)


def test_logs_are_cut_at_the_limit(log_sources: Sources) -> None:
    """To the newest ones."""
    for answer in asked_of_all(log_sources, "/logs/query", LOG_QUERIES["the newest"]).values():
        assert len(answered(answer)["entries"]) == 7


@pytest.mark.parametrize(
    "asked",
    [
        a_log_query(expression={"severityIn": ["no-such-severity"]}),
        a_log_query(scope={"service": "svc-none"}),
    ],
)
def test_logs_that_are_not_there_are_an_empty_list(log_sources: Sources, asked: Json) -> None:
    """An unknown severity is no error: a source may have words of its own."""
    for answer in asked_of_all(log_sources, "/logs/query", asked).values():
        assert answered(answer)["entries"] == []


UNFIT_LOGS = {
    "operator": a_log_query(expression=one_filter("service", "like", "x")),
    "start must": a_log_query(start=WINDOW["end"], end=WINDOW["start"]),
}


@pytest.mark.parametrize(("named", "asked"), UNFIT_LOGS.items())
def test_unfit_log_queries_are_refused_alike(log_sources: Sources, named: str, asked: Json) -> None:
    """The same status and code, and the part by its name."""
    for answer in asked_of_all(log_sources, "/logs/query", asked).values():
        assert named in failed(answer, 400, "bad_request")["message"]
