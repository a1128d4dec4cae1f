"""Metrics: pure functions of the world and the query, filtered, grouped and bounded as said."""

import itertools
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch.deadline import Deadline
from opsorch.errors import BadRequest, UpstreamTimeout
from opsorch_plugins.demo import metrics
from opsorch_plugins.demo.catalogue import EFFECTS, SERVICE_BY_ID, services_of, team_of
from opsorch_plugins.demo.measures import METRIC_BY_NAME, METRICS, REQUESTS
from tests.plugins.demo.support import ANCHOR, a_world, minutes, moment_of, text

HTTP = 15
NOW = ANCHOR


def ask(name, world=None, *, filters=(), **payload):
    expression = payload.pop("expression", {})
    given = [{"label": a, "operator": b, "value": c} for a, b, c in filters]
    expression = {"metricName": name, "filters": given, **expression}
    return metrics.query({"expression": expression, **payload}, world or a_world())


def values(series):
    return [point["value"] for point in series["points"]]


def test_a_series_says_everything():
    start, end = ANCHOR - minutes(2), ANCHOR
    (found,) = ask(
        "db_connections_active",
        scope={"service": "svc-database", "environment": "prod"},
        start=text(start),
        end=text(end),
    )
    points = found.pop("points")
    assert [point["timestamp"] for point in points] == [
        text(ANCHOR - minutes(n)) for n in (2, 1, 0)
    ]
    assert all(90 < point["value"] <= 100 for point in points)
    assert found == {
        "name": "db_connections_active",
        "service": "svc-database",
        "labels": {"service": "svc-database", "env": "prod", "database": "primary"},
        "url": "https://demo.opsorch.example/metric/db_connections_active?service=svc-database"
        "&env=prod&database=primary&start=2026-01-14T15%3A28%3A00Z&end=2026-01-14T15%3A30%3A00Z"
        "&step=60",
        "metadata": {
            "unit": "connections",
            "type": "gauge",
            "anomalies": [{"scenarioId": "cascading-failure", "start": text(ANCHOR - minutes(38))}],
            "seriesCount": 1,
            "release": "v14.12",
            "team": "team-data",
            "source": "demo",
        },
    }


@pytest.mark.parametrize("metric", METRICS, ids=lambda item: item.name)
def test_every_metric_has_the_labels_and_the_services_it_describes(metric):
    found = ask(metric.name)
    (described,) = [d for d in metrics.describe({}, a_world()) if d["name"] == metric.name]
    assert {series["service"] for series in found} == set(described["metadata"]["services"])
    for series in found:
        assert list(series["labels"]) == described["labels"]
        assert len(series["points"]) == 31
    environments = {series["labels"]["env"] for series in found}
    assert environments == {"prod", "staging"}
    keys = [tuple(series["labels"].values()) for series in found]
    assert len(keys) == len(set(keys))


def test_the_metrics_of_section_five_are_on_their_services():
    on = {d["name"]: d["metadata"]["services"] for d in metrics.describe({}, a_world())}
    assert len(on[REQUESTS]) == HTTP
    infra = {"svc-database", "svc-cache", "svc-logging", "svc-feature-flags"}
    assert set(SERVICE_BY_ID) - set(on["http_errors_ratio"]) == infra
    assert len(on["cpu_usage_ratio"]) == len(on["replicas_ready"]) == 19
    assert on["external_request_duration_seconds"] == ["svc-notifications", "svc-payments"]
    assert on["cache_hit_ratio"] == ["svc-cache", "svc-catalog", "svc-search", "svc-shipping"]
    assert on["certificate_expiry_days"] == ["svc-api-gateway"]
    assert len(on) == 25


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda item: f"{item.cause}-{item.metric}")
def test_every_effect_meets_series_whose_base_is_its_own(effect):
    bases = METRIC_BY_NAME[effect.metric].bases[effect.service]
    met = [base for labels, base in bases if set(effect.labels) <= set(labels)]
    assert met
    if effect.mode == "level":
        assert set(met) == {effect.base}


SPANS = st.integers(0, 90), st.integers(1, 1800)
NAMES = [
    REQUESTS,
    "http_errors_ratio",
    "cpu_usage_ratio",
    "kafka_consumer_lag",
    "events_ingested_total",
    "websocket_disconnects_total",
]
LABELS = ["service", "env", "instance", "method", "status", "region", "nothing"]
PATTERNS = ["svc-.*", "svc-(web|search)", "5..", "GET|PUT", "", ".*-0", "prod"]


def filters():
    exact = st.tuples(
        st.sampled_from(LABELS),
        st.sampled_from(["=", "!="]),
        st.sampled_from(["svc-search", "prod", "staging", "500", "GET", "search-0", "apac", ""]),
    )
    pattern = st.tuples(
        st.sampled_from(LABELS), st.sampled_from(["=~", "!~"]), st.sampled_from(PATTERNS)
    )
    return st.lists(st.one_of(exact, pattern), max_size=3)


SCOPES = st.fixed_dictionaries(
    {},
    optional={
        "service": st.sampled_from(["svc-search", "svc-analytics", "svc-none"]),
        "team": st.sampled_from(["team-aurora", "team-lumen", "team-none"]),
        "environment": st.sampled_from(["prod", "staging", "qa"]),
    },
)


def passes(labels, wanted, scope):
    """The rules of the specification, read literally."""
    for label, operator, value in wanted:
        own = labels.get(label) or ""
        same = own == value if operator in ("=", "!=") else bool(re.match(f"(?:{value})\\Z", own))
        if same != (operator in ("=", "=~")):
            return False
    return (
        scope.get("service") in (None, labels["service"])
        and scope.get("environment") in (None, labels["env"])
        and ("team" not in scope or labels["service"] in services_of(scope["team"]))
    )


JOINS = {
    "sum": math.fsum,
    "avg": lambda row: math.fsum(row) / len(row),
    "max": max,
    "min": min,
    "count": len,
}


@pytest.mark.case("demo", 15)
@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    wanted=filters(),
    scope=SCOPES,
    group_by=st.lists(st.sampled_from(LABELS), max_size=2, unique=True),
    aggregation=st.sampled_from(["", *JOINS]),
)
def test_filters_scope_and_groups_are_what_the_rules_say(
    name, wanted, scope, group_by, aggregation
):
    """Alone and combined, checked against rules written out independently."""
    window = {"start": text(ANCHOR - minutes(50)), "step": 900}
    everything = ask(name, **window)
    rows = [series for series in everything if passes(series["labels"], wanted, scope)]
    expression = {"groupBy": group_by, "aggregation": aggregation}
    found = ask(name, filters=wanted, scope=scope, expression=expression, **window)
    if not group_by and not aggregation:
        assert found == rows
        return
    groups = {}
    for row in rows:
        key = tuple((n, row["labels"][n]) for n in group_by if n in row["labels"])
        groups.setdefault(key, []).append(values(row))
    join = JOINS[aggregation or ("sum" if name.endswith("_total") else "avg")]
    expected = {
        key: [join(column) for column in zip(*members, strict=True)]
        for key, members in groups.items()
    }
    assert len(found) == len(expected)
    for series in found:
        key = tuple(series.get("labels", {}).items())
        assert values(series) == pytest.approx(expected[key], rel=2e-5)


@settings(max_examples=60, deadline=None)
@given(back=st.integers(0, 3000), length=st.integers(0, 120), step=st.integers(1, 700))
def test_points_lie_at_start_and_every_step_up_to_the_end(back, length, step):
    start = ANCHOR - minutes(back)
    end = start + minutes(length)
    (found,) = ask(
        "conversion_rate",
        filters=[("env", "=", "prod")],
        start=text(start),
        end=text(end),
        step=step,
    )
    stamps = [moment_of(point["timestamp"]) for point in found["points"]]
    last = min(end, NOW)
    assert stamps[0] == start
    assert all((b - a).total_seconds() == step for a, b in itertools.pairwise(stamps))
    assert (last - stamps[-1]).total_seconds() < step
    assert stamps[-1] <= last


def test_without_times_it_is_the_last_half_hour_each_minute():
    for zero in ({}, {"start": None, "end": "0001-01-01T00:00:00Z", "step": 0}):
        (found,) = ask("conversion_rate", filters=[("env", "=", "prod")], **zero)
        stamps = [point["timestamp"] for point in found["points"]]
        assert (stamps[0], stamps[-1]) == (text(ANCHOR - minutes(30)), text(ANCHOR))
        assert len(stamps) == 31


def test_nothing_is_told_of_the_future():
    (found,) = ask("conversion_rate", filters=[("env", "=", "prod")], end=text(ANCHOR + minutes(9)))
    assert found["points"][-1]["timestamp"] == text(ANCHOR - minutes(0))
    later = {"start": text(ANCHOR + minutes(1)), "end": text(ANCHOR + minutes(5))}
    assert ask("conversion_rate", **later) == []


def test_a_value_depends_on_its_instant_alone():
    world = a_world(ANCHOR + minutes(90))
    wide = {}
    for series in ask(REQUESTS, world, start=text(ANCHOR - minutes(120)), step=30):
        for point in series["points"]:
            wide[(tuple(series["labels"].values()), point["timestamp"])] = point["value"]
    narrow = ask(REQUESTS, start=text(ANCHOR - minutes(33)), step=90)
    pairs = [
        (wide[(tuple(series["labels"].values()), point["timestamp"])], point["value"])
        for series in narrow
        for point in series["points"]
    ]
    assert len(pairs) > 5000
    assert all(left == right for left, right in pairs)


def test_failed_requests_are_the_share_that_the_ratio_says():
    scope = {"service": "svc-payments", "environment": "prod"}
    expression = {"aggregation": "sum", "groupBy": ["status"]}
    # Whole, and long after the scenario rose.
    window = {"start": text(ANCHOR - minutes(85)), "end": text(ANCHOR - minutes(65)), "step": 1200}
    by_status = {
        series["labels"]["status"]: values(series)[1] - values(series)[0]
        for series in ask(REQUESTS, scope=scope, expression=expression, **window)
    }
    failed = by_status["500"] + by_status["503"]
    (ratio,) = ask("http_errors_ratio", scope=scope, **{**window, "step": 60})
    mean = sum(values(ratio)) / len(values(ratio))
    assert failed / sum(by_status.values()) == pytest.approx(mean, rel=0.05)


def test_staging_has_a_tenth_of_the_traffic_and_no_anomalies():
    expression = {"aggregation": "sum", "groupBy": ["env"]}
    window = {
        "start": text(ANCHOR - minutes(120)),
        "end": text(ANCHOR - minutes(100)),
        "step": 1200,
    }
    prod, staging = ask("events_ingested_total", expression=expression, **window)
    share = (values(staging)[1] - values(staging)[0]) / (values(prod)[1] - values(prod)[0])
    assert 0.07 < share < 0.14
    for effect in EFFECTS:
        for series in ask(effect.metric, scope={"environment": "staging"}, step=600):
            assert series["metadata"]["anomalies"] == []


def test_baseline_adds_the_same_series_without_anomalies():
    scope = {"service": "svc-checkout", "environment": "prod"}
    wanted = [("quantile", "=", "0.95")]
    name = "http_request_duration_seconds"
    (plain,) = ask(name, scope=scope, filters=wanted)
    both = ask(name, scope=scope, filters=wanted, metadata={"baseline": True})
    assert both[0] == plain
    (baseline,) = both[1:]
    assert baseline["labels"] == {**plain["labels"], "variant": "baseline"}
    assert max(values(baseline)) < 0.5 < 1.2 < min(values(plain))
    assert baseline["metadata"]["anomalies"] == []
    assert ask(name, scope=scope, filters=wanted, metadata={"baseline": False}) == [plain]


def test_anomalies_name_their_scenario_or_alert_and_their_time():
    world = a_world(ANCHOR + minutes(60))
    world = a_world(ANCHOR + minutes(60), ended={**world.ended, "inc-scenario-001": ANCHOR})
    (found,) = ask(
        "conversion_rate", world, scope={"environment": "prod"}, start=text(ANCHOR - minutes(5))
    )
    assert found["metadata"]["anomalies"] == [
        {
            "scenarioId": "slo-exhaustion",
            "start": text(ANCHOR - minutes(66)),
            "end": text(ANCHOR),
        },
        {"alertId": "al-013", "start": text(ANCHOR - minutes(140))},
    ]
    late = {"start": text(ANCHOR + minutes(10)), "scope": {"environment": "prod"}}
    (found,) = ask("conversion_rate", world, **late)
    assert [a.get("alertId") for a in found["metadata"]["anomalies"]] == ["al-013"]


def test_counters_tell_their_resets_and_releases():
    scope = {"service": "svc-payments", "environment": "prod"}
    window = {"start": text(ANCHOR - minutes(100)), "end": text(ANCHOR), "step": 60}
    expression = {"aggregation": "sum"}
    (found,) = ask(REQUESTS, scope=scope, expression=expression, **window)
    resets = [text(ANCHOR - minutes(93)), text(ANCHOR - minutes(57))]
    assert found["metadata"]["resets"] == resets
    assert found["metadata"]["releases"] == [
        {"version": "v2.8.3", "at": resets[0]},
        {"version": "v2.8.2", "at": resets[1]},
    ]
    by_time = {point["timestamp"]: point["value"] for point in found["points"]}
    assert [by_time[at] for at in resets] == [0, 0]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({}, "expression.metricName is required"),
        ({"expression": {"metricName": " "}}, "expression.metricName is required"),
        ({"expression": {"metricName": 5}}, "expression.metricName must be a string"),
        ({"expression": []}, "expression must be an object"),
        ({"start": "2026-01-14T15:00:00Z", "end": "2026-01-14T14:00:00Z"}, "start must not be"),
        ({"start": "yesterday"}, "start must be an RFC 3339 time"),
        ({"step": -1}, "step must be a whole number"),
        ({"step": 1.5}, "step must be a whole number"),
        ({"step": True}, "step must be a whole number"),
        ({"start": "2025-01-14T15:30:00Z", "step": 1}, "step: 31536001 points .* of 2868 s fits"),
        ({"filters": [{"label": "a", "operator": "~"}]}, "expression.filters.operator: '~'"),
        ({"filters": [{"label": "", "operator": "="}]}, "expression.filters.label is required"),
        ({"filters": [{"label": "a", "operator": "=~", "value": "("}]}, "filters.value is no val"),
        ({"filters": [{"label": "a", "operator": "!~", "value": "x" * 201}]}, "at most 200"),
        ({"aggregation": "median"}, "expression.aggregation: 'median' .* avg, count, max, min"),
        ({"groupBy": "env"}, "expression.groupBy must be a list"),
        ({"metadata": {"baseline": "yes"}}, "metadata.baseline must be true or false"),
        ({"scope": {"team": 1}}, "scope.team must be a string"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(payload, message):
    parts = ("filters", "aggregation", "groupBy")
    own = {key: payload[key] for key in parts if key in payload}
    rest = {key: value for key, value in payload.items() if key not in parts}
    if rest.get("expression") is None and (own or rest):
        rest["expression"] = {"metricName": "cpu_usage_ratio", **own}
    with pytest.raises(BadRequest, match=message):
        metrics.query(rest, a_world())


@pytest.mark.parametrize("step", [10**12, 10**15, 2**70])
def test_a_step_beyond_all_windows_leaves_the_first_point(step):
    start = text(ANCHOR - minutes(5))
    for series in ask("conversion_rate", start=start, step=step):
        assert [point["timestamp"] for point in series["points"]] == [start]


def test_a_deadline_ends_a_query():
    asked = {"expression": {"metricName": "cpu_usage_ratio"}}
    passed = Deadline.after(0, clock=lambda: 5.0)
    with pytest.raises(UpstreamTimeout, match="narrow its window"):
        metrics.query(asked, a_world(), passed)


def test_a_deadline_ends_even_a_single_series():
    looks = itertools.count()
    asked = {
        "expression": {"metricName": "conversion_rate"},
        "scope": {"environment": "prod"},
        "start": text(ANCHOR - minutes(metrics.POINTS_AT_ONCE + 1)),
    }
    with pytest.raises(UpstreamTimeout):
        metrics.query(asked, a_world(), Deadline.after(1.5, clock=lambda: float(next(looks))))


def test_of_a_long_window_the_newest_resets_are_told():
    (found,) = ask(
        "events_ingested_total",
        scope={"environment": "prod"},
        expression={"aggregation": "sum"},
        start="0002-01-01T00:00:00Z",
        step=10**12,
    )
    resets = [moment_of(at) for at in found["metadata"]["resets"]]
    mondays = [at for at in resets if at.weekday() == 0 and at.hour == 0]
    assert len(mondays) == metrics.MOST_WEEKS
    assert mondays[-1] == ANCHOR.replace(hour=0, minute=0) - minutes(2 * 24 * 60)


def test_the_smallest_step_that_is_named_fits():
    (found,) = ask(
        "conversion_rate",
        scope={"environment": "prod"},
        start="2025-01-14T15:30:00Z",
        step=2868,
    )
    assert 10_900 < len(found["points"]) <= 11_000


def test_too_many_points_in_all_are_refused():
    window = {"start": text(ANCHOR - minutes(180)), "step": 1}
    with pytest.raises(BadRequest, match="points are too many for one answer"):
        ask(REQUESTS, **window)
    (found,) = ask(REQUESTS, expression={"aggregation": "sum"}, **window)
    assert len(found["points"]) == 180 * 60 + 1


def test_an_unknown_metric_or_scope_finds_nothing():
    assert ask("no_such_metric") == []
    assert ask("conversion_rate", scope={"service": "svc-checkout"}) == []
    assert ask("cpu_usage_ratio", scope={"environment": "qa"}) == []


def test_describe_honours_its_scope():
    world = a_world()
    everything = metrics.describe({}, world)
    names = [d["name"] for d in everything]
    assert names == sorted(names)
    found = metrics.describe({"service": "svc-realtime"}, world)
    assert {"websocket_connections_active", REQUESTS} <= {d["name"] for d in found}
    assert all(d["metadata"]["services"] == ["svc-realtime"] for d in found)
    owned = metrics.describe({"team": "team-lumen", "environment": "staging"}, world)
    assert {s for d in owned for s in d["metadata"]["services"]} == {"svc-analytics"}
    assert {team_of(s) for d in owned for s in d["metadata"]["services"]} == {"team-lumen"}
    assert metrics.describe({"environment": "qa"}, world) == []
    assert metrics.describe({"service": "svc-none"}, world) == []
    assert everything[0] == {
        "name": "batch_job_duration_seconds",
        "type": "gauge",
        "description": "How long the last run of a batch job took.",
        "labels": ["service", "env", "job"],
        "unit": "seconds",
        "url": "https://demo.opsorch.example/metric/batch_job_duration_seconds",
        "metadata": {"services": ["svc-warehouse"], "source": "demo"},
    }


def test_the_year_2020_has_no_anomalies():
    scope = {"service": "svc-checkout", "environment": "prod"}
    window = {"start": "2020-06-01T00:00:00Z", "end": "2020-06-02T00:00:00Z", "step": 300}
    (found,) = ask("http_errors_ratio", scope=scope, **window)
    assert max(values(found)) < 0.0045
    assert found["metadata"]["anomalies"] == []
    assert found["metadata"]["release"] == "v2.31.2"


def test_the_numbers_are_these_on_every_host_and_python():
    """Written down once: whoever changes them changes what users of the demo have seen."""
    found = {}
    for name in ("http_requests_total", "cpu_usage_ratio", "kafka_consumer_lag"):
        expression = {"aggregation": "sum", "groupBy": ["env"]}
        prod, staging = ask(name, expression=expression, start=text(ANCHOR), step=60)
        found[name] = (values(prod)[0], values(staging)[0])
    assert found == GOLDEN


GOLDEN = {
    "http_requests_total": (53704900.0, 6085250.0),
    "cpu_usage_ratio": (23.486, 8.1322),
    "kafka_consumer_lag": (46061.0, 334.0),
}
