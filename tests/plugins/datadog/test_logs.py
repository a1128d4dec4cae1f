"""Log queries."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest
import requests_mock

from opsorch.deadline import Deadline
from opsorch.errors import BadRequest, ProviderError
from opsorch.plugin import Call
from opsorch_plugins.datadog import logs as logs_module
from opsorch_plugins.datadog.log_words import STATUSES, severity_of, statuses_for
from opsorch_plugins.datadog.logs import DatadogLogs
from tests.plugins.datadog.support import APP, END, END_MS, LOGS, START, START_MS, Json, events

RANGE: Json = {"start": START, "end": END}


def query_text(http: requests_mock.Mocker) -> str:
    return str(http.last_request.json()["filter"]["query"])


@pytest.mark.case("datadog", 6)
def test_a_search_is_asked_within_its_scope_and_mapped(
    http: requests_mock.Mocker, logs: DatadogLogs, call: Call
) -> None:
    """The alternatives stand in parentheses: the scope holds for both."""
    event = events(
        "Disk full",
        service="x",
        host="i-1",
        tags=["env:prod", "team:core", "env:blue", "env:prod", "lonely"],
        attributes={"user": {"id": 7}, "none": None},
    )
    http.post(LOGS, json=event)
    payload = {"expression": {"search": "a OR b"}, "scope": {"service": "x"}, **RANGE}
    found = logs.query(payload, call)
    assert http.last_request.json() == {
        "filter": {
            "query": '(a OR b) service:"x"',
            "from": "2024-05-06T07:00:00.000Z",
            "to": "2024-05-06T08:00:00.000Z",
            "storage_tier": "indexes",
        },
        "sort": "-timestamp",
        "page": {"limit": 100},
    }
    assert found == {
        "entries": [
            {
                "timestamp": "2024-05-06T07:08:09.123Z",
                "message": "Disk full",
                "severity": "info",
                "service": "x",
                "labels": {"env": "prod,blue", "team": "core", "lonely": ""},
                "fields": {"user": {"id": 7}, "none": None},
                "metadata": {
                    "source": "datadog",
                    "log_id": "log-Disk full",
                    "host": "i-1",
                    "tags": ["env:prod", "team:core", "env:blue", "env:prod", "lonely"],
                    "url": f"{APP}/logs?event=log-Disk%20full",
                },
            }
        ],
        "url": (
            f"{APP}/logs?query=%28a%20OR%20b%29%20service%3A%22x%22"
            f"&from_ts={START_MS}&to_ts={END_MS}&live=false"
        ),
    }


@pytest.mark.case("datadog", 7)
@pytest.mark.parametrize(
    ("expression", "query"),
    [
        ({"search": "x) OR (env:prod"}, r"(x\) OR \(env\:prod)"),
        (
            {"filters": [{"field": "@who", "value": 'a" OR *:*'}]},
            r'@who:"a\" OR *:*"',
        ),
        ({}, "*"),
        ({"search": " * "}, "*"),
        ({"search": "* x"}, r"(\* x)"),
    ],
)
def test_text_holds_no_syntax(
    http: requests_mock.Mocker, logs: DatadogLogs, call: Call, expression: Json, query: str
) -> None:
    http.post(LOGS, json=events())
    assert logs.query({"expression": expression, **RANGE}, call)["entries"] == []
    assert query_text(http) == query


@pytest.mark.case("datadog", 7)
@pytest.mark.parametrize("search", ["x) OR (env:prod", 'a "', "(", "a\\", '"a" "b\\"'])
def test_a_raw_search_that_reaches_out_is_refused(
    http: requests_mock.Mocker, build: Callable[..., Any], call: Call, search: str
) -> None:
    raw = build(DatadogLogs, searchMode="raw")
    with pytest.raises(BadRequest, match=r"expression\.search: quotes, parentheses"):
        raw.query({"expression": {"search": search}, **RANGE}, call)
    with pytest.raises(BadRequest, match=r"metadata\.query: quotes, parentheses"):
        raw.query({"metadata": {"query": search}, **RANGE}, call)
    assert http.call_count == 0


def test_a_raw_search_goes_as_it_is_within_the_scope(
    http: requests_mock.Mocker, build: Callable[..., Any], call: Call
) -> None:
    """metadata.query takes the place of the search, in either mode."""
    http.post(LOGS, json=events())
    payload = {
        "expression": {"search": " @http.status_code:[500 TO 599] OR err* "},
        "scope": {"team": "core", "environment": "prod"},
    }
    build(DatadogLogs, searchMode="raw").query({**payload, **RANGE}, call)
    scope = 'team:"core" env:"prod"'
    assert query_text(http) == f"(@http.status_code:[500 TO 599] OR err*) {scope}"
    metadata = {"query": "a\nb", "other": "never a filter"}
    keys = {"team": "squad"}
    provider = build(DatadogLogs, tagKeys=keys)
    provider.query({**payload, "metadata": metadata, **RANGE}, call)
    assert query_text(http) == '(a b) squad:"core" env:"prod"'


@pytest.mark.parametrize(
    ("condition", "clause"),
    [
        ({"field": "@a.b", "value": "x"}, '@a.b:"x"'),
        ({"field": "host", "operator": "!=", "value": "x y*"}, '-host:"x y*"'),
        ({"field": "env", "operator": "contains", "value": "a b*"}, r"env:*a?b\**"),
        ({"field": "env", "operator": "not contains", "value": "<=~"}, r"-env:*\<\=\~*"),
        ({"field": "@x", "operator": "IN", "value": "a, b,a"}, '@x:("a" OR "b")'),
        ({"field": "@x", "operator": "not_in", "value": "a"}, '-@x:("a")'),
        ({"field": "@x", "operator": "exists"}, "@x:*"),
        ({"field": "env", "operator": "not exists", "value": "ignored"}, "-env:*"),
        ({"field": "@ms", "operator": ">=", "value": "1.5"}, "@ms:>=1.5"),
        ({"field": "@ms", "operator": "<", "value": "-2"}, "@ms:<-2"),
        ({"field": "@x", "operator": "=~", "value": "a|b"}, '@x:("a" OR "b")'),
        ({"field": "@x", "operator": "!~", "value": "a-.*"}, r"-@x:a\-*"),
        ({"field": "@x", "operator": "=~", "value": r"a\.b"}, '@x:"a.b"'),
        ({"field": "@x", "operator": "startsWith", "value": "/a b*"}, r"@x:/a?b\**"),
        ({"field": "message", "operator": "prefix", "value": "GET"}, "GET*"),
        ({"field": "severity", "value": "warning"}, "status:(warn OR warning)"),
        ({"field": "severity", "operator": "!=", "value": "Odd"}, '-status:("Odd")'),
        (
            {"field": "severity", "operator": "in", "value": "error, trace"},
            "status:(error OR trace)",
        ),
        ({"field": "severity", "operator": "exists"}, "severity:*"),
        ({"field": "status", "value": "warn"}, 'status:"warn"'),
        ({"field": "message", "value": "disk full"}, '"disk full"'),
        ({"field": "message", "operator": "not contains", "value": "ok"}, "-*ok*"),
        ({"field": "message", "operator": "in", "value": "a,b"}, '("a" OR "b")'),
    ],
)
def test_filters(
    http: requests_mock.Mocker, logs: DatadogLogs, call: Call, condition: Json, clause: str
) -> None:
    http.post(LOGS, json=events())
    logs.query({"expression": {"filters": [condition]}, **RANGE}, call)
    assert query_text(http) == clause


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ({"expression": {"filters": [{"field": "a b", "value": "x"}]}}, "filters[0].field"),
        ({"expression": {"filters": [{"field": "@", "value": "x"}]}}, "filters[0].field"),
        ({"expression": {"filters": [{"value": "x"}]}}, "filters[0].field"),
        ({"expression": {"filters": [{"field": "a", "value": " "}]}}, "filters[0].value"),
        ({"expression": {"filters": [{"field": "a", "operator": "like", "value": "x"}]}}, "'like'"),
        ({"expression": {"filters": [{"field": "a", "operator": ">", "value": "1"}]}}, "@ before"),
        ({"expression": {"filters": [{"field": "@a", "operator": ">", "value": "x"}]}}, "a number"),
        ({"expression": {"filters": [{"field": "@a", "operator": "in", "value": ","}]}}, "empty"),
        ({"expression": {"filters": [{"field": "message", "operator": "exists"}]}}, "message"),
        (
            {"expression": {"filters": [{"field": "@a", "operator": "=~", "value": "a+"}]}},
            "regular",
        ),
        ({"expression": {"filters": [{"field": "@a", "value": "a\x00"}]}}, "control"),
        ({"expression": {"search": "a\x1b[0m"}}, "control"),
        ({"expression": {"severityIn": ["a\x07"]}}, "control"),
        ({"scope": {"service": "a\u2028b"}}, "control"),
        ({"metadata": {"sort": "up"}}, "metadata.sort"),
        ({"metadata": {"storageTier": "tape"}}, "metadata.storageTier"),
        ({"metadata": {"indexes": [""]}}, "metadata.indexes"),
        ({"metadata": {"indexes": 5}}, "metadata.indexes"),
        ({"metadata": {"cursor": 5}}, "metadata.cursor"),
        ({"start": END, "end": START}, "start"),
        ({"limit": -1}, "limit"),
    ],
)
def test_what_does_not_fit_is_named_without_a_call(
    http: requests_mock.Mocker, logs: DatadogLogs, call: Call, payload: Json, word: str
) -> None:
    with pytest.raises(BadRequest) as told:
        logs.query({**RANGE, **payload}, call)
    assert word in told.value.message
    assert http.call_count == 0


def test_metadata_chooses_where_and_how(
    http: requests_mock.Mocker, build: Callable[..., Any], call: Call
) -> None:
    http.post(LOGS, json=events())
    provider = build(DatadogLogs, logIndexes=["main"], logStorageTier="flex")
    provider.query(RANGE, call)
    body = http.last_request.json()
    assert (body["filter"]["indexes"], body["filter"]["storage_tier"]) == (["main"], "flex")
    metadata = {"sort": "ASC", "indexes": "a, b", "storageTier": "indexes", "cursor": "here"}
    provider.query({**RANGE, "metadata": metadata}, call)
    body = http.last_request.json()
    assert (body["filter"]["indexes"], body["filter"]["storage_tier"]) == (["a", "b"], "indexes")
    assert (body["sort"], body["page"]) == ("timestamp", {"limit": 100, "cursor": "here"})


def test_without_times_it_is_the_last_hour(
    http: requests_mock.Mocker, logs: DatadogLogs, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime.datetime(2024, 5, 6, 8, 0, 0, 123456, tzinfo=datetime.UTC)
    monkeypatch.setattr(logs_module, "now", lambda: moment)
    http.post(LOGS, json=events())
    logs.query({"start": "0001-01-01T00:00:00Z"}, call)
    bounds = http.last_request.json()["filter"]
    assert bounds["from"] == "2024-05-06T07:00:00.123Z"
    assert bounds["to"] == "2024-05-06T08:00:00.123Z"


def full(count: int, after: str) -> Json:
    return {"json": events(*map(str, range(count)), after=after)}


@pytest.mark.case("datadog", 8)
def test_pages_are_read_until_the_limit(
    http: requests_mock.Mocker, logs: DatadogLogs, call: Call
) -> None:
    http.post(LOGS, [full(1000, "one"), full(500, "two")])
    assert len(logs.query({**RANGE, "limit": 1500}, call)["entries"]) == 1500
    places = [request.json()["page"] for request in http.request_history]
    assert places == [{"limit": 1000}, {"limit": 500, "cursor": "one"}]


@pytest.mark.case("datadog", 8)
@pytest.mark.parametrize(
    ("pages", "calls", "count"),
    [
        ([full(1000, "one"), full(1000, "one")], 2, 2000),
        ([full(1000, "one"), full(0, "two")], 2, 1000),
        ([full(1000, "")], 1, 1000),
        ([full(3, "one"), full(2, "")], 2, 5),
        ([full(2000, "one"), full(2000, "two"), full(2000, "three")], 3, 2500),
    ],
)
def test_pages_end(
    http: requests_mock.Mocker, logs: DatadogLogs, call: Call, pages: Any, calls: int, count: int
) -> None:
    """With the cursor, a cursor that repeats, an empty page, or enough."""
    http.post(LOGS, pages)
    assert len(logs.query({**RANGE, "limit": 2500}, call)["entries"]) == count
    assert http.call_count == calls


def test_the_limit_has_a_most(
    http: requests_mock.Mocker, build: Callable[..., Any], call: Call
) -> None:
    http.post(LOGS, json=events())
    provider = build(DatadogLogs, maxResults=20, defaultLimit=30)
    for limit in (0, 50):
        provider.query({**RANGE, "limit": limit}, call)
        assert http.last_request.json()["page"]["limit"] == 20


def test_without_time_for_a_page_the_answer_is_partial(
    http: requests_mock.Mocker, logs: DatadogLogs
) -> None:
    http.post(LOGS, [full(1000, "one")])
    found = logs.query({**RANGE, "limit": 1500}, Call(Deadline.after(0.9)))
    assert len(found["entries"]) == 1000
    assert all(entry["metadata"]["partial"] is True for entry in found["entries"])


@pytest.mark.parametrize(
    ("meta", "warnings"),
    [
        ({"status": "timeout"}, None),
        ({"status": "done", "warnings": [{"title": "T", "detail": "D"}, {}]}, ["T: D"]),
    ],
)
def test_a_partial_answer_says_so(
    http: requests_mock.Mocker, logs: DatadogLogs, call: Call, meta: Json, warnings: Any
) -> None:
    http.post(LOGS, json={**events("a"), "meta": meta})
    [entry] = logs.query(RANGE, call)["entries"]
    assert entry["metadata"]["partial"] is True
    assert entry["metadata"].get("warnings") == warnings


@pytest.mark.case("datadog", 9)
def test_severities_are_one_vocabulary(
    http: requests_mock.Mocker, logs: DatadogLogs, call: Call
) -> None:
    body = events("a", status="WARN")
    body["data"] += events("b", status="emergency")["data"]
    http.post(LOGS, json=body)
    expression = {"severityIn": ["critical", "Warning", "critical"]}
    found = logs.query({"expression": expression, **RANGE}, call)
    assert query_text(http) == (
        "status:(critical OR alert OR emergency OR fatal OR warn OR warning)"
    )
    assert [entry["severity"] for entry in found["entries"]] == ["warning", "critical"]


@pytest.mark.case("datadog", 9)
def test_unknown_severities_are_quoted(
    http: requests_mock.Mocker, logs: DatadogLogs, call: Call
) -> None:
    http.post(LOGS, json=events())
    logs.query({"expression": {"severityIn": ["error", 'a" OR b', " "]}, **RANGE}, call)
    assert query_text(http) == r'status:(error OR "a\" OR b")'


@pytest.mark.parametrize(
    ("status", "severity"),
    [
        ("emergency", "critical"),
        ("ALERT", "critical"),
        ("Critical", "critical"),
        ("fatal", "critical"),
        ("error", "error"),
        ("warn", "warning"),
        ("warning", "warning"),
        ("info", "info"),
        ("notice", "info"),
        ("ok", "info"),
        ("debug", "debug"),
        ("trace", "trace"),
        ("Custom", "custom"),
    ],
)
def test_what_is_shown_as_a_severity_is_found_by_it(status: str, severity: str) -> None:
    assert severity_of(status) == severity
    if severity in STATUSES:
        assert status.lower() in statuses_for([severity])[0]


def test_events_lack_what_they_may(
    http: requests_mock.Mocker, logs: DatadogLogs, call: Call
) -> None:
    """The message may be among the attributes; nothing else is needed."""
    data = [
        {"id": "1", "attributes": {"attributes": {"message": "from below"}}},
        {"id": "2", "attributes": {"message": "", "attributes": {"msg": "from msg"}}},
        {"id": 3, "attributes": {"timestamp": "x", "tags": "x", "status": None}},
        {},
    ]
    http.post(LOGS, json={"data": data})
    found = logs.query(RANGE, call)["entries"]
    assert [entry["message"] for entry in found] == ["from below", "from msg", "", ""]
    assert found[3] == {
        "timestamp": "0001-01-01T00:00:00Z",
        "message": "",
        "metadata": {"source": "datadog"},
    }


def test_an_answer_without_data_is_not_believed(
    http: requests_mock.Mocker, logs: DatadogLogs, call: Call
) -> None:
    http.post(LOGS, json={"meta": {}})
    with pytest.raises(ProviderError, match="data is no list"):
        logs.query(RANGE, call)


def test_the_check_searches(http: requests_mock.Mocker, logs: DatadogLogs, call: Call) -> None:
    http.get("https://api.datadoghq.com/api/v1/validate", json={"valid": True})
    http.post(LOGS, json=events())
    assert all(check.ok for check in logs.check(call))
    assert http.last_request.json()["page"] == {"limit": 1}
