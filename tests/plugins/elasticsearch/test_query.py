"""The request of a query: clauses, times, limits, and what is refused before any call."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest
import requests_mock

from opsorch.errors import BadRequest
from opsorch.plugin import Call
from opsorch_plugins.elasticsearch.provider import ElasticsearchLogs
from tests.plugins.elasticsearch.support import (
    ADDRESS,
    FIELDS,
    SEARCH,
    Json,
    answer,
    as_json,
    both,
    either,
    filters,
    hit,
    sent,
)

Build = Callable[..., ElasticsearchLogs]

pytestmark = pytest.mark.usefixtures("fixed_now")


def one_filter(field: str, operator: str, value: str = "") -> Json:
    return {"expression": {"filters": [{"field": field, "operator": operator, "value": value}]}}


def spellings(*words: str) -> list[str]:
    return [form for word in words for form in (word, word.upper(), word.capitalize())]


@pytest.mark.case("elasticsearch", 1)
def test_a_query_is_one_bool_of_filters(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """Everything is a filter, so that nothing is scored and nothing widens anything."""
    newest = {"@timestamp": "2024-05-06T06:59:00Z", "message": "disk full", "severity": "ERROR"}
    older = {"@timestamp": "2024-05-06T06:58:00Z", "msg": "bad", "level": "fatal", "service": "api"}
    http.post(SEARCH, json=answer([hit(1, newest), hit(2, older)]))
    payload = {
        "expression": {"search": "disk -cache", "severityIn": ["error", "critical"]},
        "scope": {"service": "api", "team": "payments", "environment": "prod"},
        "start": "2024-05-06T06:00:00.000000001Z",
        "end": "2024-05-06T09:00:00.123456789+02:00",
        "limit": 100,
    }
    found = as_json(logs_of().query(payload, call))
    body = sent(http)
    assert http.last_request.path == "/logs-%2A/_search"
    assert http.last_request.headers["Content-Type"] == "application/json"
    assert http.last_request.headers["Accept"] == "application/json"
    assert "gzip" in http.last_request.headers["Accept-Encoding"]
    assert body.pop("query") == {
        "bool": {
            "filter": [
                {
                    "range": {
                        "@timestamp": {
                            "gte": "2024-05-06T06:00:00.000000001Z",
                            "lte": "2024-05-06T07:00:00.123456789Z",
                            "format": "strict_date_optional_time_nanos",
                        }
                    }
                },
                {
                    "simple_query_string": {
                        "query": "disk -cache",
                        "default_operator": "and",
                        "lenient": True,
                        "flags": "AND|OR|NOT|PHRASE|PRECEDENCE|PREFIX|WHITESPACE",
                    }
                },
                both("term", FIELDS["service"], "api"),
                both("term", FIELDS["team"], "payments"),
                both("term", FIELDS["environment"], "prod"),
                both(
                    "terms",
                    FIELDS["severity"],
                    spellings(
                        *("error", "err", "severe"),
                        *("critical", "crit", "fatal", "emergency", "emerg", "alert", "panic"),
                    ),
                ),
            ]
        }
    }
    assert body.pop("timeout") in ("29s", "30s")
    assert body == {
        "size": 100,
        "sort": [{"@timestamp": {"order": "desc", "unmapped_type": "date"}}],
        "_source": True,
        "track_total_hits": False,
    }
    assert [entry["message"] for entry in found["entries"]] == ["disk full", "bad"]
    assert [entry["severity"] for entry in found["entries"]] == ["error", "critical"]
    assert found["entries"][1]["service"] == "api"
    assert "url" not in found


@pytest.mark.case("elasticsearch", 2)
@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"start": "0001-01-01T00:00:00Z", "end": "0001-01-01T00:00:00Z"},
        {"start": "", "end": None},
    ],
)
def test_times_not_given_are_the_last_hour(
    http: requests_mock.Mocker, logs_of: Build, call: Call, payload: Json
) -> None:
    """Go's zero times mean the same as none."""
    http.post(SEARCH, json=answer())
    assert logs_of().query({**payload, "scope": {}, "limit": 0}, call) == {"entries": []}
    bounds = sent(http)["query"]["bool"]["filter"][0]["range"]["@timestamp"]
    assert (bounds["gte"], bounds["lte"]) == ("2024-05-06T06:00:00Z", "2024-05-06T07:00:00Z")
    assert sent(http)["size"] == 1000


@pytest.mark.case("elasticsearch", 2)
@pytest.mark.parametrize(
    ("times", "field"),
    [
        ({"start": "2024-05-06T08:00:00Z", "end": "2024-05-06T07:00:00Z"}, "start"),
        ({"start": "2024-05-06T07:00:00.2Z", "end": "2024-05-06T07:00:00.123456789Z"}, "start"),
        (
            {"start": "2024-05-06T07:00:00.000000002Z", "end": "2024-05-06T07:00:00.000000001Z"},
            "st",
        ),
        ({"start": "2025-01-01T00:00:00Z"}, "start"),
        ({"end": "yesterday"}, "end"),
        ({"end": 5}, "end"),
        ({"start": "2024-05-06"}, "start"),
        ({"start": "0001-01-01T00:00:00+05:00"}, "start"),
        ({"start": "2024-05-06T07:00:60Z"}, "start"),
    ],
)
def test_unfit_times_are_refused_without_a_call(
    http: requests_mock.Mocker, logs_of: Build, call: Call, times: Json, field: str
) -> None:
    """The message names the field."""
    with pytest.raises(BadRequest, match=field):
        logs_of().query(times, call)
    assert http.call_count == 0


def test_ranges_may_be_open_or_bounded_by_configuration(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """No look-back means no lower bound; a longest range is kept."""
    http.post(SEARCH, json=answer())
    logs_of(defaultLookbackSeconds=0).query({}, call)
    assert "gte" not in sent(http)["query"]["bool"]["filter"][0]["range"]["@timestamp"]
    end = "2024-05-06T06:59:59.5Z"
    logs_of(defaultLookbackSeconds=90).query({"end": end}, call)
    bounds = sent(http)["query"]["bool"]["filter"][0]["range"]["@timestamp"]
    assert (bounds["gte"], bounds["lte"]) == ("2024-05-06T06:58:29.5Z", end)
    day = {"start": "2024-05-05T07:00:00Z", "end": "2024-05-06T07:00:00Z"}
    logs_of(maxSpanSeconds=86_400).query(day, call)
    with pytest.raises(BadRequest, match="86399 s"):
        logs_of(maxSpanSeconds=86_399).query(day, call)
    with pytest.raises(BadRequest, match="60 s"):
        logs_of(maxSpanSeconds=60, defaultLookbackSeconds=0).query({}, call)
    assert http.call_count == 3


@pytest.mark.parametrize(
    ("config", "limit", "size"),
    [
        ({}, None, 1000),
        ({"defaultLimit": 7}, 0, 7),
        ({"maxResults": 50}, 900, 50),
        ({"maxResults": 50}, 0, 50),
        ({"pageSize": 10_000}, 10_000, 10_000),
    ],
)
def test_limits(
    http: requests_mock.Mocker, logs_of: Build, call: Call, config: Json, limit: Any, size: int
) -> None:
    """None or 0 is the default; nothing goes beyond the most."""
    http.post(SEARCH, json=answer())
    logs_of(**config).query({"limit": limit}, call)
    assert sent(http)["size"] == size
    with pytest.raises(BadRequest, match="limit"):
        logs_of(**config).query({"limit": -1}, call)


@pytest.mark.case("elasticsearch", 5)
def test_wildcards_in_values_are_literal(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """Only the stars at both ends are ours."""
    http.post(SEARCH, json=answer())
    logs_of().query(one_filter("path", "Contains", "50%*?\\"), call)
    pattern = {"value": r"*50%\*\?\\*", "case_insensitive": True}
    assert filters(http) == [
        either({"wildcard": {"path": pattern}}, {"wildcard": {"path.keyword": pattern}})
    ]
    logs_of().query(one_filter("message", "not  contains", "a b"), call)
    [barred] = sent(http)["query"]["bool"]["must_not"]
    alternatives = barred["bool"]["should"]
    assert {"match_phrase": {"msg": "a b"}} in alternatives
    assert {"wildcard": {"msg": {"value": "*a b*", "case_insensitive": True}}} in alternatives


@pytest.mark.case("elasticsearch", 6)
def test_a_value_never_leaves_its_place(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """What looks like JSON or like operators stays one string beside the scope."""
    http.post(SEARCH, json=answer())
    hostile = '"}},{"match_all":{}'
    payload = one_filter("a.b", "=", hostile)
    payload["expression"]["search"] = "foo) OR (*"
    logs_of().query({**payload, "scope": {"service": "api"}}, call)
    search, scope, condition = filters(http)
    assert search["simple_query_string"]["query"] == "foo) | (*"
    assert scope == both("term", FIELDS["service"], "api")
    assert condition == both("term", ["a.b"], hostile)


@pytest.mark.case("elasticsearch", 7)
@pytest.mark.parametrize(
    ("regex", "sent_value"),
    [
        ("^err.*[0-9]$", "err.*[0-9]"),
        ("timeout", ".*timeout.*"),
        ("^a|b", "(a|b).*"),
        (r"cost \$", r".*cost \$.*"),
        (r"path\\$", r".*path\\"),
        ('"status":5', r".*\"status\":5.*"),
        ("", ".*.*"),
    ],
)
@pytest.mark.parametrize("operator", ["regex", "=~"])
def test_regexes_search_as_people_expect(
    http: requests_mock.Mocker,
    logs_of: Build,
    call: Call,
    regex: str,
    sent_value: str,
    operator: str,
) -> None:
    """Lucene's match whole values and know no anchors."""
    http.post(SEARCH, json=answer())
    logs_of().query(one_filter("x", operator, regex), call)
    query = {"value": sent_value, "flags": "NONE", "max_determinized_states": 10_000}
    assert filters(http) == [either({"regexp": {"x": query}}, {"regexp": {"x.keyword": query}})]


@pytest.mark.parametrize(
    ("operator", "value", "clause", "negated"),
    [
        ("", "v", both("term", ["x"], "v"), False),
        ("==", "v", both("term", ["x"], "v"), False),
        ("!=", "v", both("term", ["x"], "v"), True),
        ("startswith", "v", both("prefix", ["x"], "v"), False),
        ("PREFIX", "v*", both("prefix", ["x"], "v*"), False),
        (">", "5", either({"range": {"x": {"gt": "5"}}}), False),
        (">=", "5", either({"range": {"x": {"gte": "5"}}}), False),
        ("<", "5", either({"range": {"x": {"lt": "5"}}}), False),
        ("<=", "5", either({"range": {"x": {"lte": "5"}}}), False),
        ("in", "a, b,,", both("terms", ["x"], ["a", "b"]), False),
        ("not in", "a", both("terms", ["x"], ["a"]), True),
        ("exists", "ignored", either({"exists": {"field": "x"}}), False),
        ("not exists", "", either({"exists": {"field": "x"}}), True),
    ],
)
def test_operators(
    http: requests_mock.Mocker,
    logs_of: Build,
    call: Call,
    operator: str,
    value: str,
    clause: Json,
    negated: bool,
) -> None:
    """Each has its clause; negations go to must_not."""
    http.post(SEARCH, json=answer())
    logs_of().query(one_filter("x", operator, value), call)
    query = sent(http)["query"]["bool"]
    assert query["must_not" if negated else "filter"][0 if negated else 1] == clause


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("env", FIELDS["environment"]),
        ("team", FIELDS["team"]),
        ("@http.status_code", ["http.status_code"]),
        ("@timestamp", ["@timestamp"]),
        ("@version", ["@version"]),
        ("@when", ["@when"]),
        ("a b", ["a b"]),
    ],
)
def test_fields_of_filters(
    http: requests_mock.Mocker, logs_of: Build, call: Call, field: str, names: list[str]
) -> None:
    """Concepts expand, marks of portable queries go, names of times stay."""
    http.post(SEARCH, json=answer())
    logs_of(timestampField="@when").query(one_filter(field, "=", "v"), call)
    body = sent(http)["query"]["bool"]["filter"]
    assert body[1] == both("term", names, "v")
    assert "@when" in body[0]["range"]


def test_whole_values_of_the_message_are_phrases_and_ids_have_no_variant(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """A message is analysed text; an id has no .keyword."""
    http.post(SEARCH, json=answer())
    logs_of().query(one_filter("msg", "=", "disk full"), call)
    assert filters(http) == [either({"match_phrase": {"msg": "disk full"}})]
    logs_of().query(one_filter("_id", "in", "a,b"), call)
    assert filters(http) == [either({"terms": {"_id": ["a", "b"]}})]


def test_severities_are_asked_for_as_they_are_shown(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """A filter by the class finds all its spellings; unknown words are sent as they are."""
    http.post(SEARCH, json=answer())
    names = FIELDS["severity"]
    warnings = both("terms", names, spellings("warning", "warn"))
    logs_of().query({"expression": {"severityIn": ["WARN"]}}, call)
    assert filters(http) == [warnings]
    logs_of().query(one_filter("severity", "=", "warning"), call)
    assert filters(http) == [warnings]
    logs_of().query({"expression": {"severityIn": ["auDit", " "]}}, call)
    words = ["auDit", "audit", "AUDIT", "Audit"]
    assert filters(http) == [both("terms", names, words)]
    logs_of().query({"expression": {"severityIn": [" "]}}, call)
    assert filters(http) == []


@pytest.mark.parametrize(
    ("mode", "search", "clause"),
    [
        ("simple", "error OR warning", {"query": "error | warning"}),
        ("simple", "a AND NOT b", {"query": "a + -b"}),
        ("simple", "NOT (a OR b)", {"query": "-(a | b)"}),
        ("simple", '"a OR b" ANDy OR', {"query": '"a OR b" ANDy |'}),
        ("lucene", "a:b OR c", {"query": "a:b OR c", "allow_leading_wildcard": False}),
        ("text", "a OR b", {"query": "a OR b", "type": "phrase", "fields": ["*"]}),
    ],
)
def test_search_modes(
    http: requests_mock.Mocker, logs_of: Build, call: Call, mode: str, search: str, clause: Json
) -> None:
    """The configured reading decides which query it is."""
    http.post(SEARCH, json=answer())
    logs_of(searchMode=mode).query({"expression": {"search": search}}, call)
    [found] = filters(http)
    names = {"simple": "simple_query_string", "lucene": "query_string", "text": "multi_match"}
    query = found[names[mode]]
    assert {name: query[name] for name in clause} == clause
    assert query["lenient"] is True
    logs_of(searchMode=mode).query({"expression": {"search": "  "}}, call)
    assert filters(http) == []


@pytest.mark.case("elasticsearch", 8)
@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (one_filter("x", "like", "v"), r"expression\.filters\[0\]\.operator"),
        *((one_filter(name, "=", "v"), r"filters\[0\]\.field") for name in (
            "*", "", "a*", ".a", "a.", " a", "a ", "_source", "_type", "a\nb", "x" * 257, "@")),
        (one_filter("x", "in", " , "), r"filters\[0\]\.value"),
        ({"expression": {"filters": [{"field": 5}]}}, r"filters\[0\]\.field"),
        ({"expression": {"search": 5}}, r"expression\.search"),
        ({"expression": {"severityIn": "error"}}, r"expression\.severityIn"),
        ({"expression": []}, "expression"),
        ({"metadata": {"index": "secret-*"}}, r"metadata\.index"),
        ({"metadata": {"terms": {"a": {"b": 1}}}}, r"metadata\.terms\.a"),
        ({"metadata": {"terms": {"a": []}}}, r"metadata\.terms\.a"),
        ({"metadata": {"terms": {"a": float("nan")}}}, r"metadata\.terms\.a"),
        ({"metadata": {"terms": {"*": "v"}}}, r"metadata\.terms"),
        ({"metadata": {"sort": "up"}}, r"metadata\.sort"),
        ({"metadata": {"highlight": "yes"}}, r"metadata\.highlight"),
        ({"metadata": {"cursor": {}}}, r"metadata\.cursor"),
        ({"metadata": {"cursor": {"searchAfter": [[1]]}}}, r"metadata\.cursor"),
        ({"metadata": {"around": {"id": "x"}}}, r"metadata\.around\.index"),
        ({"metadata": {"around": {"id": "x", "index": "y", "n": 0}}}, r"metadata\.around\.n"),
    ],
)  # fmt: skip
def test_unfit_queries_are_refused_without_a_call(
    http: requests_mock.Mocker, logs_of: Build, call: Call, payload: Json, field: str
) -> None:
    """Nothing is dropped silently: the place is named."""
    with pytest.raises(BadRequest, match=field):
        logs_of().query(payload, call)
    assert http.call_count == 0


@pytest.mark.case("elasticsearch", 8)
def test_only_named_metadata_filters(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """Hints for others are ignored; terms are terms."""
    http.post(SEARCH, json=answer())
    logs_of().query({"metadata": {"requestId": "x", "terms": None}}, call)
    assert filters(http) == []
    terms = {"host.name": ["a", "b"], "http.status": 500, "ok": True}
    logs_of().query({"metadata": {"terms": terms}}, call)
    assert filters(http) == [
        both("terms", ["host.name"], ["a", "b"]),
        both("term", ["http.status"], 500),
        both("term", ["ok"], True),
    ]


@pytest.mark.parametrize(
    ("pattern", "index", "path"),
    [
        ("logs-*", "logs-app-*", "logs-app-%2A"),
        ("logs-*", "logs-*", "logs-%2A"),
        ("logs-*,-logs-secret-*", "logs-*", "logs-%2A%2C-logs-secret-%2A"),
        (["a", "eu:logs-*"], "eu:logs-x,a", "eu%3Alogs-x%2Ca"),
        ("<logs-{now/d}>", "<logs-{now/d}>", "%3Clogs-%7Bnow%2Fd%7D%3E"),
    ],
)
def test_an_index_may_be_narrowed(
    http: requests_mock.Mocker, logs_of: Build, call: Call, pattern: Any, index: str, path: str
) -> None:
    """Where it is allowed; what the configuration leaves out stays out."""
    http.post(f"{ADDRESS}/{path}/_search", json=answer())
    provider = logs_of(indexPattern=pattern, allowIndexOverride=True)
    assert provider.query({"metadata": {"index": index}}, call) == {"entries": []}


@pytest.mark.parametrize(
    ("pattern", "index"),
    [
        ("logs-*", "secret-*"),
        ("logs-*", "*"),
        ("logs-*", "_all"),
        ("*", "_all"),
        ("*", ".security-7"),
        ("*", "other:logs"),
        ("logs-*", "logs-a,secret"),
        ("logs-*", "-logs-a"),
        ("logs-*", "logs-/../secret"),
        ("logs-*", "logs-a,"),
        ("logs-*", "<logs-{now/d}>"),
        ("logs-*,-logs-secret-*", "logs-secret-1"),
    ],
)
def test_an_index_is_never_widened(
    http: requests_mock.Mocker, logs_of: Build, call: Call, pattern: str, index: str
) -> None:
    """Neither by wildcards nor by other clusters, hidden indices or paths."""
    provider = logs_of(indexPattern=pattern, allowIndexOverride=True)
    with pytest.raises(BadRequest, match=r"metadata\.index"):
        provider.query({"metadata": {"index": index}}, call)
    assert http.call_count == 0


def test_niceties_of_the_request(http: requests_mock.Mocker, logs_of: Build, call: Call) -> None:
    """Order, highlights, chosen fields, the guard rail and a mark for the slow log."""
    http.post(SEARCH, json=answer())
    provider = logs_of(sourceIncludes=["a.*"], sourceExcludes=["b"], terminateAfter=5000)
    marked = Call(call.deadline, request_id="req-1")
    provider.query({"metadata": {"sort": "asc", "highlight": True}}, marked)
    body = sent(http)
    assert body["sort"] == [{"@timestamp": {"order": "asc", "unmapped_type": "date"}}]
    assert body["highlight"] == {"fields": {"*": {}}}
    assert body["_source"] == {"includes": ["a.*"], "excludes": ["b"]}
    assert body["terminate_after"] == 5000
    assert http.last_request.headers["X-Opaque-Id"] == "req-1"
    provider.query({}, Call(call.deadline, request_id="a\nb"))
    assert "X-Opaque-Id" not in http.last_request.headers


def test_the_time_left_bounds_the_server(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """The server gives up no later than we do."""
    http.post(SEARCH, json=answer())
    logs_of().query({}, Call(call.deadline.within(5.5)))
    assert sent(http)["timeout"] == "5s"


@pytest.mark.parametrize(("order", "value"), [("desc", 1001), ("asc", 999)])
def test_a_cursor_continues_and_misses_nothing(
    http: requests_mock.Mocker, logs_of: Build, call: Call, order: str, value: int
) -> None:
    """One request; entries of the very same moment come once more."""
    http.post(SEARCH, json=answer())
    metadata = {"sort": order, "cursor": {"searchAfter": [1000, 77]}}
    logs_of(pageSize=10).query({"limit": 500, "metadata": metadata}, call)
    assert sent(http)["search_after"] == [value]
    assert sent(http)["size"] == 500
    assert http.call_count == 1


def test_now_is_the_end(
    http: requests_mock.Mocker, logs_of: Build, call: Call, fixed_now: datetime.datetime
) -> None:
    """A start without an end reaches to now."""
    http.post(SEARCH, json=answer())
    logs_of().query({"start": "2024-05-06T06:59:59.5Z"}, call)
    bounds = sent(http)["query"]["bool"]["filter"][0]["range"]["@timestamp"]
    assert bounds["lte"] == f"{fixed_now:%Y-%m-%dT%H:%M:%S}Z"
