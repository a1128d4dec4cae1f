"""Logs: the same lines whoever asks, found by every filter, and in line with the metrics."""

import collections
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch.deadline import Deadline
from opsorch.errors import BadRequest, UpstreamTimeout
from opsorch_plugins.demo import logs, metrics
from opsorch_plugins.demo.catalogue import SCENARIOS, SERVICE_BY_ID, services_of, team_of
from opsorch_plugins.demo.logsearch import search_test
from opsorch_plugins.demo.routes import STREAMS
from tests.plugins.demo.support import ANCHOR, a_world, all_logs, minutes, moment_of, text

SEVERITIES = {"debug", "info", "warning", "error", "critical"}


def ask(world=None, *, filters=(), **payload):
    expression = payload.pop("expression", {})
    given = [{"field": a, "operator": b, "value": c} for a, b, c in filters]
    asked = {"expression": {"filters": given, **expression}, **payload}
    return logs.query(asked, world or a_world())["entries"]


@pytest.fixture(scope="module")
def hour():
    """Every line of the last hour, and of the staging environment."""
    return all_logs(a_world(), ANCHOR - minutes(60), ANCHOR)


def test_an_entry_says_everything():
    """One of a scenario, whole."""
    (found,) = ask(
        metadata={"scenarioId": "slo-exhaustion"}, filters=[("error", "!=", "")], limit=1
    )
    when = moment_of(found.pop("timestamp"))
    assert ANCHOR - minutes(2) < when < ANCHOR
    line_id, request_id = found["metadata"].pop("id"), found["fields"].pop("requestId")
    assert re.fullmatch(r"log-[0-9a-f]{8}-[0-9a-f]{12}-c", line_id)
    assert re.fullmatch(r"req-[0-9a-f]{12}", request_id)
    instance, number = found["labels"].pop("instance"), found["message"].rpartition(" ")[2]
    assert instance in SERVICE_BY_ID["svc-checkout"].instance_names
    assert found["labels"].pop("region") in ("eu-west", "us-east")
    assert found == {
        "message": "payments_upstream_timeout: svc-payments gave no answer within 1500 ms,"
        f" cart {number}",
        "severity": "error",
        "service": "svc-checkout",
        "labels": {"env": "prod", "team": "team-velocity", "version": "v2.31.4"},
        "fields": {
            "error": "payments_upstream_timeout",
            "scenarioId": "slo-exhaustion",
            "scenarioName": "SLO exhaustion",
        },
        "metadata": {"source": "demo"},
    }


def test_without_anything_it_is_the_last_hundred_of_the_hour(hour):
    assert ask() == hour[:100]
    assert ask(limit=0, start=None, end="0001-01-01T00:00:00Z") == hour[:100]
    assert ask(limit=5000) == hour[:1000]
    assert ask(limit=7) == hour[:7]
    assert all(moment_of(entry["timestamp"]) < ANCHOR for entry in hour)
    assert len(hour) > 5000


def test_every_entry_has_the_shape_of_the_contract(hour):
    assert {entry["severity"] for entry in hour} == SEVERITIES
    assert {entry["service"] for entry in hour} == set(SERVICE_BY_ID)
    for entry in hour:
        assert set(entry["labels"]) == {"env", "team", "region", "instance", "version"}
        assert all(isinstance(value, str) for value in entry["labels"].values())
        assert entry["labels"]["team"] == team_of(entry["service"])
        assert entry["labels"]["env"] in ("prod", "staging")
    ids = [entry["metadata"]["id"] for entry in hour]
    assert len(ids) == len(set(ids))
    times = [moment_of(entry["timestamp"]) for entry in hour]
    assert times == sorted(times, reverse=True)


def test_a_window_is_half_open_and_cuts_the_same_lines_out(hour):
    first, last = hour[900]["timestamp"], hour[300]["timestamp"]
    assert ask(start=first, end=last, limit=1000) == hour[301:901]
    assert ask(start=first, end=first) == []


def test_overlapping_windows_at_other_times_have_the_same_lines(hour):
    later = a_world(ANCHOR + minutes(600))
    start, end = ANCHOR - minutes(7.5), ANCHOR - minutes(4.25)
    expected = [e for e in hour if start <= moment_of(e["timestamp"]) < end]
    assert ask(later, start=text(start), end=text(end), limit=1000) == expected[:1000]


def test_nothing_is_told_of_the_future(hour):
    assert ask(end=text(ANCHOR + minutes(50)), start=text(ANCHOR - minutes(60))) == hour[:100]
    assert ask(start=text(ANCHOR), end=text(ANCHOR + minutes(50))) == []


def test_a_resolved_incident_leaves_the_past_as_it_was(hour):
    later = ANCHOR + minutes(30)
    ended = {**a_world().ended, "inc-scenario-001": ANCHOR, "inc-scenario-002": ANCHOR}
    world = a_world(later, ended=ended)
    asked = {"start": text(ANCHOR - minutes(60)), "end": text(ANCHOR), "limit": 1000}
    assert ask(world, **asked) == hour[:1000]


def text_of(entry, field):
    """A named part of an entry as the specification has it; None where there is none."""
    if field in ("service", "severity", "message"):
        return entry[field]
    for bag in ("labels", "fields"):
        for name in (field, field.removeprefix(f"{bag}.")):
            if name in entry[bag] and (name == field or field.startswith(f"{bag}.")):
                return str(entry[bag][name])
    return None


FITS = {
    "=": lambda own, value: own == value,
    "!=": lambda own, value: own != value,
    "contains": lambda own, value: own is not None and value in own,
    "regex": lambda own, value: own is not None and re.search(value, own) is not None,
}


def passes(entry, payload):
    """The rules of the specification, read literally."""
    expression, scope = payload.get("expression", {}), payload.get("scope", {})
    for item in expression.get("filters", []):
        if not FITS[item["operator"]](text_of(entry, item["field"]), item["value"]):
            return False
    words = [word.lower() for word in expression.get("severityIn", [])]
    words = [{"warn": "warning", "fatal": "critical"}.get(word, word) for word in words]
    if words and entry["severity"] not in words:
        return False
    texts = [entry["message"], *map(str, entry["fields"].values())]
    for word in expression.get("search", "").lower().split():
        if not any(word in own.lower() for own in texts):
            return False
    if scope.get("service") not in (None, entry["service"]):
        return False
    if scope.get("environment") not in (None, entry["labels"]["env"]):
        return False
    if "team" in scope and entry["service"] not in services_of(scope["team"]):
        return False
    return all(
        entry["fields"].get(key, entry["metadata"].get(key)) == value
        for key, value in payload.get("metadata", {}).items()
    )


FILTERS = st.one_of(
    st.tuples(
        st.sampled_from(["service", "severity", "labels.env", "instance", "fields.nothing"]),
        st.sampled_from(["=", "!="]),
        st.sampled_from(["svc-checkout", "error", "prod", "checkout-0", ""]),
    ),
    st.tuples(
        st.sampled_from(["message", "path", "fields.error", "status", "labels.version", "job"]),
        st.sampled_from(["contains", "regex"]),
        st.sampled_from(["timeout", "50", "/v1/", "v2", "check", ""]),
    ),
    st.tuples(
        st.just("message"),
        st.just("regex"),
        st.sampled_from([r"failed with 50[34]", r"^GET .* in \d+ ms$", r"\bpool\b", "(?i)STRIPE"]),
    ),
)
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "expression": st.fixed_dictionaries(
            {},
            optional={
                "search": st.sampled_from(["timeout", "POST CHECKOUT", "503", "gc paused", "x9 y"]),
                "severityIn": st.lists(
                    st.sampled_from(["ERROR", "warn", "fatal", "info", "notice"]), max_size=3
                ),
                "filters": st.lists(
                    FILTERS.map(
                        lambda item: dict(zip(("field", "operator", "value"), item, strict=True))
                    ),
                    max_size=2,
                ),
            },
        ),
        "scope": st.fixed_dictionaries(
            {},
            optional={
                "service": st.sampled_from(["svc-checkout", "svc-database", "svc-none"]),
                "team": st.sampled_from(["team-velocity", "team-data", "team-none"]),
                "environment": st.sampled_from(["prod", "staging", "qa"]),
            },
        ),
        "metadata": st.sampled_from(
            [
                {},
                {"scenarioId": "slo-exhaustion"},
                {"scenarioId": "cascading-failure", "error": "db_pool_exhausted"},
                {"scenarioId": "none"},
                {"source": "demo", "status": 200},
                {"traceId": "0" * 32},
                {"traceId": "short"},
            ]
        ),
        "limit": st.sampled_from([0, 1, 40, 1000]),
    },
)


@pytest.mark.case("demo", 15)
@settings(max_examples=100, deadline=None)
@given(payload=PAYLOADS)
def test_queries_find_exactly_what_the_rules_say(hour, payload):
    """Fields alone and combined, checked against rules written out independently."""
    start = ANCHOR - minutes(9)
    recent = [entry for entry in hour if moment_of(entry["timestamp"]) >= start]
    expected = [entry for entry in recent if passes(entry, payload)]
    found = logs.query({**payload, "start": text(start)}, a_world())["entries"]
    assert found == expected[: payload.get("limit") or 100]


@pytest.mark.case("demo", 15)
@pytest.mark.parametrize(
    "payload",
    [
        {"expression": {"search": "timeout"}},
        {"expression": {"severityIn": ["Error", "FATAL"]}},
        {"expression": {"filters": [{"field": "status", "operator": "=", "value": "503"}]}},
        {"expression": {"filters": [{"field": "labels.env", "operator": "!=", "value": "prod"}]}},
        {"expression": {"filters": [{"field": "path", "operator": "contains", "value": "v1"}]}},
        {"expression": {"filters": [{"field": "message", "operator": "regex", "value": "gc .*5"}]}},
        {"scope": {"service": "svc-checkout"}},
        {"scope": {"team": "team-platform"}},
        {"scope": {"environment": "staging"}},
        {"metadata": {"scenarioId": "circuit-breaker-cascade"}},
    ],
)
def test_each_field_alone_narrows_what_is_found(hour, payload):
    """No field is ignored."""
    found = logs.query({**payload, "limit": 1000}, a_world())["entries"]
    assert found == [entry for entry in hour if passes(entry, payload)][:1000]
    assert len(found) > 0
    assert len(found) < len(hour)


@pytest.mark.parametrize(
    ("search", "message", "fields", "expected"),
    [
        ("slow card", "Card is SLOW", {}, True),
        ("slow card", "card", {"error": "slow"}, True),
        ("slow card", "card", {"slow": "error"}, False),
        ('"slow card"', "a slow card", {}, True),
        ('"slow card"', "card slow", {}, False),
        ('"slow card"', "slow", {"x": "card"}, False),
        ("a OR b", "b", {}, True),
        ("a c OR b", "a", {}, False),
        ("a or b", "a", {}, False),
        ("a or b", "a or b", {}, True),
        ("504", "x", {"status": 504}, True),
        ('say "open', "they say open end", {}, True),
        ("OR", "x", {}, True),
        ('"OR"', "x", {}, False),
        ('OR a OR ""', "a", {}, True),
        ("STRASSE", "straße", {}, True),
    ],
)
def test_search_has_words_phrases_and_or(search, message, fields, expected):
    assert search_test(search)({"message": message, "fields": fields}) is expected


@given(st.text(max_size=40))
def test_any_search_is_a_search(search):
    assert search_test(search)({"message": "x", "fields": {}}) in (True, False)


def test_a_trace_is_found_by_its_id_however_long_the_window(hour):
    entry = next(e for e in hour[2000:] if "traceId" in e["fields"])
    trace_id = entry["fields"]["traceId"]
    expected = [e for e in hour if e["fields"].get("traceId") == trace_id]
    begun = time.process_time()
    asked = {"start": text(ANCHOR - minutes(60 * 24 * 30)), "metadata": {"traceId": trace_id}}
    assert ask(**asked) == expected
    assert time.process_time() - begun < 1
    assert len(expected) >= 3


def test_a_request_leaves_one_line_a_service_along_the_dependencies(hour):
    traces = collections.defaultdict(list)
    for entry in hour:
        if "traceId" in entry["fields"]:
            traces[entry["fields"]["traceId"]].append(entry)
    routes = {
        (route.method, re.sub("{n}", r"\\d+", route.path), route.services)
        for stream in STREAMS
        for route in stream.routes
    }
    whole = [
        lines
        for lines in traces.values()
        if ANCHOR - minutes(58) < moment_of(lines[0]["timestamp"]) < ANCHOR - minutes(2)
    ]
    assert len(whole) > 800
    for lines in whole:
        services = [line["service"] for line in lines]
        assert len(services) == len(set(services))
        method, path = lines[0]["fields"]["method"], lines[0]["fields"]["path"]
        assert any(
            (method, frozenset(services)) == (m, s) and re.fullmatch(p, path) for m, p, s in routes
        )
        assert len({line["fields"]["requestId"] for line in lines}) == 1
        # The service where the request came in is the last to be done, and took the longest.
        assert lines[0]["fields"]["latencyMs"] == max(e["fields"]["latencyMs"] for e in lines)


def share_failing(world, service, start, end):
    entries = all_logs(world, start, end, scope={"service": service, "environment": "prod"})
    requests = [entry for entry in entries if "traceId" in entry["fields"]]
    failed = [entry for entry in requests if entry["fields"]["status"] >= 500]
    return len(failed) / len(requests)


def test_requests_fail_as_often_as_the_metric_says():
    world = a_world()
    spans = [("svc-payments", 85, 58), ("svc-search", 1740, 1500), ("svc-checkout", 1000, 400)]
    for service, begin, end in spans:
        start, stop = ANCHOR - minutes(begin), ANCHOR - minutes(end)
        asked = {
            "expression": {"metricName": "http_errors_ratio"},
            "scope": {"service": service, "environment": "prod"},
            "start": text(start),
            "end": text(stop),
        }
        (series,) = metrics.query(asked, world)
        ratios = [point["value"] for point in series["points"]]
        mean = sum(ratios) / len(ratios)
        assert share_failing(world, service, start, stop) == pytest.approx(mean, rel=0.35)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda item: item.id)
def test_error_lines_carry_the_signature_of_their_scenario(scenario):
    entries = ask(
        metadata={"scenarioId": scenario.id}, limit=1000, start=text(ANCHOR - minutes(95))
    )
    assert len(entries) > 15
    assert {entry["fields"]["error"] for entry in entries} == {scenario.signature}
    assert all(scenario.signature in entry["message"] for entry in entries)
    assert {entry["severity"] for entry in entries} <= {"error", "critical"}
    assert scenario.service in {entry["service"] for entry in entries}
    oldest = moment_of(entries[-1]["timestamp"])
    assert oldest >= ANCHOR - minutes(scenario.begins_min)


def test_traffic_follows_its_scenario():
    def requests(path, begin, end):
        entries = all_logs(
            a_world(),
            ANCHOR - minutes(begin),
            ANCHOR - minutes(end),
            scope={"service": path, "environment": "prod"},
        )
        return sum("traceId" in entry["fields"] for entry in entries) / (begin - end)

    assert requests("svc-search", 10, 0) > 1.8 * requests("svc-search", 40, 20)
    assert requests("svc-recommendation", 9, 0) < 0.75 * requests("svc-recommendation", 40, 20)


def test_the_version_is_the_one_that_ran_then():
    found = all_logs(
        a_world(), ANCHOR - minutes(95), ANCHOR - minutes(55), scope={"service": "svc-payments"}
    )
    seen = collections.defaultdict(set)
    for entry in found:
        if entry["labels"]["env"] == "prod":
            before = (ANCHOR - moment_of(entry["timestamp"])).total_seconds() / 60
            seen[entry["labels"]["version"]].add(57 < before <= 93)
    assert seen == {"v2.8.3": {True}, "v2.8.2": {False}}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"limit": -1}, "limit must be"),
        ({"start": "2026-01-14T15:00:00Z", "end": "2026-01-14T14:00:00Z"}, "start must not be"),
        ({"start": "2025-12-14T15:29:59Z"}, "start: the window may be at most 31 days"),
        ({"end": "noon"}, "end must be an RFC 3339 time"),
        ({"expression": {"search": 1}}, "expression.search must be a string"),
        ({"expression": {"severityIn": "error"}}, "expression.severityIn must be a list"),
        ({"expression": {"filters": [{"operator": "="}]}}, "expression.filters.field is required"),
        (
            {"expression": {"filters": [{"field": "a", "operator": "~"}]}},
            "expression.filters.operator: '~' is unknown; use one of =, !=, contains, regex",
        ),
        (
            {"expression": {"filters": [{"field": "a", "operator": "regex", "value": "["}]}},
            "expression.filters.value is no valid regex",
        ),
        (
            {"expression": {"filters": [{"field": "a", "operator": "regex", "value": "x" * 201}]}},
            "at most 200 characters",
        ),
        ({"scope": {"service": 1}}, "scope.service must be a string"),
        ({"metadata": "x"}, "metadata must be an object"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(payload, message):
    with pytest.raises(BadRequest, match=message):
        logs.query(payload, a_world())


def test_the_budget_ends_a_search_that_finds_little():
    """Two hundred thousand lines are looked at; the newest that fit are the answer."""
    asked = {"start": text(ANCHOR - minutes(60 * 24 * 31)), "limit": 1000}
    asked["expression"] = {"search": "partition compacted"}
    begun = time.process_time()
    entries = ask(**asked)
    assert time.process_time() - begun < 20
    assert 10 < len(entries) < 1000
    assert moment_of(entries[-1]["timestamp"]) > ANCHOR - minutes(60 * 24 * 3)


def test_a_deadline_ends_a_search():
    passed = Deadline.after(0, clock=lambda: 5.0)
    with pytest.raises(UpstreamTimeout, match="narrow its window"):
        logs.query({}, a_world(), passed)


def test_the_default_query_is_fast():
    logs.query({}, a_world())
    best = min(_seconds_of_one_query() for _ in range(5))
    assert best < 0.5


def _seconds_of_one_query():
    begun = time.perf_counter()
    logs.query({}, a_world())
    return time.perf_counter() - begun


def test_the_url_repeats_the_query():
    asked = {
        "start": "2026-01-14T15:00:00Z",
        "limit": 5,
        "scope": {"service": "svc-web"},
        "expression": {
            "search": 'a "b c"',
            "severityIn": ["error", "warn"],
            "filters": [{"field": "path", "operator": "=", "value": "ä/"}],
        },
    }
    assert logs.query(asked, a_world())["url"] == (
        "https://demo.opsorch.example/log?start=2026-01-14T15%3A00%3A00Z"
        "&end=2026-01-14T15%3A30%3A00Z&limit=5&search=a+%22b+c%22&severity=error%2Cwarn"
        "&filters=%5B%7B%22field%22%3A+%22path%22%2C+%22operator%22%3A+%22%3D%22%2C"
        "+%22value%22%3A+%22%C3%A4%2F%22%7D%5D&service=svc-web"
    )


def test_another_seed_and_environment_make_another_world():
    other = a_world(seed="other", environment="live")
    found = ask(other, limit=1000)
    assert {entry["labels"]["env"] for entry in found} == {"live", "staging"}
    ids = {entry["metadata"]["id"] for entry in found}
    assert ids.isdisjoint(entry["metadata"]["id"] for entry in ask(limit=1000))
