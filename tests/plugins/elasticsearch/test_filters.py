"""Filters proven on a cluster that evaluates them, against what the documents themselves say."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests_mock
from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch.errors import BadRequest
from opsorch.plugin import Call
from opsorch_plugins.elasticsearch.concepts import severity_class
from opsorch_plugins.elasticsearch.provider import ElasticsearchLogs
from tests.fakes.elasticsearch import Document, Index, State, make_app, seeded
from tests.plugins.elasticsearch.support import ADDRESS, Json, answered_by

Build = Callable[..., ElasticsearchLogs]

ALL = {"start": "2024-05-01T00:00:00Z", "end": "2024-05-07T00:00:00Z", "limit": 10_000}


def one_filter(field: str, operator: str, value: str = "") -> Json:
    return {"expression": {"filters": [{"field": field, "operator": operator, "value": value}]}}


def ids(provider: ElasticsearchLogs, payload: Json) -> set[str]:
    found = provider.query({**ALL, **payload}, Call())["entries"]
    listed = [entry["metadata"]["_id"] for entry in found]
    assert len(set(listed)) == len(listed)
    return set(listed)


def expected(state: State, test: Callable[[Document], Any], prefix: str = "logs-") -> set[str]:
    indices = [index for index in state.indices if index.name.startswith(prefix)]
    return {d.id for index in indices for d in index.documents if test(d)}


def first(document: Document, *paths: str) -> Any:
    return next((document.flat[path][0] for path in paths if path in document.flat), None)


def service(d: Document) -> str:
    return str(first(d, "service.name", "service", "resource.attributes.service.name"))


def message(d: Document) -> str:
    return str(first(d, "message", "msg", "body.text"))


def level(d: Document) -> str:
    return severity_class(first(d, "log.level", "severity", "severity_text"))


def environment(d: Document) -> str:
    names = ("service.environment", "environment", "resource.attributes.deployment.environment")
    return str(first(d, *names))


def team(d: Document) -> str:
    return str(first(d, "labels.team", "team"))


def status(d: Document) -> int:
    return int(first(d, "http.response.status_code") or 0)


STATUS = "@http.response.status_code"

CASES: dict[str, tuple[Json, Callable[[Document], Any]]] = {
    "team": ({"scope": {"team": "payments"}}, lambda d: team(d) == "payments"),
    "environment": ({"scope": {"environment": "stage"}}, lambda d: environment(d) == "stage"),
    "two parts of a scope": (
        {"scope": {"service": "billing", "team": "platform"}},
        lambda d: service(d) == "billing" and team(d) == "platform",
    ),
    "severities": (
        {"expression": {"severityIn": ["Warning", "CRIT"]}},
        lambda d: level(d) in ("warning", "critical"),
    ),
    "severity shown": (one_filter("severity", "=", "error"), lambda d: level(d) == "error"),
    "severity not": (one_filter("severity", "!=", "error"), lambda d: level(d) != "error"),
    "not equal": (one_filter("team", "!=", "payments"), lambda d: team(d) != "payments"),
    "not equal, field missing": (
        one_filter("path", "!=", "/v1/items/1"),
        lambda d: first(d, "path") != "/v1/items/1",
    ),
    "text whole": (
        one_filter("path", "=", "/v1/items/301"),
        lambda d: first(d, "path") == "/v1/items/301",
    ),
    "contains, wildcards literal": (
        one_filter("message", "contains", "50% OF"),
        lambda d: "50% of" in message(d),
    ),
    "contains a star": (one_filter("message", "contains", "t*t"), lambda d: False),
    "not contains": (
        one_filter("service", "not contains", "API"),
        lambda d: "api" not in service(d),
    ),
    "prefix": (
        one_filter("resource.attributes.service.name", "startswith", "b"),
        lambda d: str(first(d, "resource.attributes.service.name")).startswith("b"),
    ),
    "regex, anchored": (
        one_filter("path", "regex", "^/v1/items/1[0-9]$"),
        lambda d: re.fullmatch("/v1/items/1[0-9]", str(first(d, "path"))),
    ),
    "regex, searching": (
        one_filter("labels.team", "=~", "form|xyz"),
        lambda d: "form" in str(first(d, "labels.team")),
    ),
    "regex, operators literal": (one_filter("path", "=~", "a~b&c<1-5>@#"), lambda d: False),
    "not regex": (
        one_filter("path", "!~", "^/v1/.*$"),
        lambda d: not str(first(d, "path")).startswith("/v1/"),
    ),
    "greater": (one_filter(STATUS, ">", "500"), lambda d: status(d) > 500),
    "at least": (one_filter(STATUS, ">=", "500"), lambda d: status(d) >= 500),
    "less": (one_filter(STATUS, "<", "300"), lambda d: 0 < status(d) < 300),
    "at most, fraction": (
        one_filter("duration", "<=", "2.5"),
        lambda d: "duration" in d.flat and d.flat["duration"][0] <= 2.5,
    ),
    "in": (
        one_filter("service", "in", "billing, checkout"),
        lambda d: service(d) in ("billing", "checkout"),
    ),
    "not in": (
        one_filter("service", "not in", "billing,checkout"),
        lambda d: service(d) not in ("billing", "checkout"),
    ),
    "exists": (one_filter("http", "exists"), lambda d: status(d) > 0),
    "exists, null": (one_filter("trace.id", "exists"), lambda d: False),
    "not exists": (one_filter("http", "not exists"), lambda d: status(d) == 0),
    "unmapped": (one_filter("no.such.field", "=", "x"), lambda d: False),
    "terms": (
        {"metadata": {"terms": {"host.name": ["host-1", "host-2"], "labels.canary": True}}},
        lambda d: first(d, "host.name") in ("host-1", "host-2") and d.flat["labels.canary"][0],
    ),
    "all words": (
        {"expression": {"search": "timeout database"}},
        lambda d: "timeout" in message(d),
    ),
    "either word": (
        {"expression": {"search": "timeout OR refused"}},
        lambda d: re.search("timeout|refused", message(d)),
    ),
    "without": (
        {"expression": {"search": "request NOT timeout AND -refused"}},
        lambda d: "request" in message(d),
    ),
    "phrase": ({"expression": {"search": '"logged in"'}}, lambda d: "logged in" in message(d)),
    "phrase, other order": ({"expression": {"search": '"in logged"'}}, lambda d: False),
    "word prefix": ({"expression": {"search": "refus*"}}, lambda d: "refused" in message(d)),
    "brackets": (
        {"expression": {"search": "disk (full OR empty) -cache"}},
        lambda d: "disk" in message(d),
    ),
    "times": (
        # Entry 11 is a nanosecond before the start, entry 4 is at the very end.
        {"start": "2024-05-06T06:59:49.123456790Z", "end": "2024-05-06T06:59:56.123456Z"},
        lambda d: 4 <= int(d.id[1:]) <= 10,
    ),
}  # fmt: skip


@pytest.mark.parametrize("types", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_filters_find_what_the_documents_say(
    cluster: requests_mock.Mocker, logs_of: Build, documents: State, case: str, types: bool
) -> None:
    """In three forms of documents at once, with and without knowledge of types."""
    payload, test = CASES[case]
    assert ids(logs_of(fieldTypes=types), payload) == expected(documents, test)


def test_a_word_of_an_analysed_service_is_found_unless_types_are_known(
    cluster: requests_mock.Mocker, logs_of: Build, documents: State
) -> None:
    """The limit of the clauses that know no types, and the way around it."""
    payload = {"scope": {"service": "api"}}
    exact = expected(documents, lambda d: service(d) == "api")
    wider = exact | expected(documents, lambda d: service(d) == "auth-api", "logs-flat")
    assert wider > exact
    assert ids(logs_of(), payload) == wider
    assert ids(logs_of(fieldTypes=True), payload) == exact


@pytest.mark.parametrize("mode", ["lucene", "text"])
def test_other_search_modes(
    cluster: requests_mock.Mocker, logs_of: Build, documents: State, mode: str
) -> None:
    """Lucene knows fields; a text knows nothing but itself."""
    provider = logs_of(searchMode=mode)
    search = {"lucene": "log.level:ERROR AND NOT timeout", "text": "timeout to database"}[mode]
    tests: dict[str, Callable[[Document], Any]] = {
        "lucene": lambda d: first(d, "log.level") == "ERROR" and "timeout" not in message(d),
        "text": lambda d: "timeout to database" in message(d),
    }
    found = ids(provider, {"expression": {"search": search}})
    assert found == expected(documents, tests[mode])


@pytest.mark.parametrize("search", ["a:(", "*x", '"', "a AND", "["])
def test_unreadable_lucene_is_the_callers_to_mend(
    cluster: requests_mock.Mocker, logs_of: Build, search: str
) -> None:
    """Other than in the simple syntax, where nothing is an error."""
    payload = {**ALL, "expression": {"search": search}}
    with pytest.raises(BadRequest):
        logs_of(searchMode="lucene").query(payload, Call())
    logs_of().query(payload, Call())


def test_sources_and_highlights(cluster: requests_mock.Mocker, logs_of: Build) -> None:
    """Only what is asked for is fetched, and found words are marked."""
    payload = {
        **ALL,
        "limit": 1,
        "expression": {"search": "timeout"},
        "scope": {"service": "checkout"},
        "metadata": {"highlight": True},
    }
    provider = logs_of(sourceIncludes=["@timestamp", "message", "msg", "body.*"])
    [entry] = provider.query(payload, Call())["entries"]
    marked = next(iter(entry["metadata"]["highlight"].values()))
    assert "<em>timeout</em>" in marked[0]
    assert "fields" not in entry and "service" not in entry


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_lines_around_an_entry(cluster: requests_mock.Mocker, logs_of: Build, order: str) -> None:
    """Its neighbours in time, within the scope, whatever the range and search say."""
    metadata = {"around": {"index": "logs-flat-2024.05", "id": "d01000", "n": 3}, "sort": order}
    payload = {"metadata": metadata, "expression": {"search": "nothing like it"}}
    entries = logs_of().query(payload, Call())["entries"]
    listed = [entry["metadata"]["_id"] for entry in entries]
    newest_first = [f"d{n:05}" for n in range(997, 1004)]
    assert listed == (newest_first if order == "desc" else newest_first[::-1])
    payload = {"metadata": metadata, "scope": {"environment": "stage"}}
    scoped = logs_of().query(payload, Call())["entries"]
    assert {entry["fields"].get("environment", "stage") for entry in scoped} == {"stage"}
    metadata["around"] = {"index": "secret-audit", "id": "s00001"}
    with pytest.raises(Exception, match="no such entry"):
        logs_of().query({"metadata": metadata}, Call())


def test_a_cursor_goes_through_everything(
    cluster: requests_mock.Mocker, logs_of: Build, documents: State
) -> None:
    """Page after page; entries of one moment may come twice, none is missed."""
    provider = logs_of()
    found: list[str] = []
    payload: Json = {**ALL, "limit": 700, "metadata": {}}
    for _ in range(10):
        entries = provider.query(payload, Call())["entries"]
        new = [e["metadata"]["_id"] for e in entries if e["metadata"]["_id"] not in found]
        if not new:
            break
        found += new
        payload["metadata"] = {"cursor": {"searchAfter": entries[-1]["metadata"]["sort"]}}
    assert set(found) == expected(documents, lambda d: True)


def test_numeric_levels_fail_their_shards_only(http: requests_mock.Mocker, logs_of: Build) -> None:
    """Words do not fit numbers: the rest is answered as partial; with types nothing fails."""
    words, numbers = Index("logs-words"), Index("logs-numbers")
    words.add({"@timestamp": "2024-05-06T06:00:00Z", "level": "error"}, "w")
    numbers.add({"@timestamp": "2024-05-06T06:00:00Z", "level": 50}, "n")
    answered_by(make_app(State([words, numbers])), http)
    payload = {**ALL, "expression": {"severityIn": ["error"]}}
    [entry] = logs_of().query(payload, Call())["entries"]
    assert entry["metadata"]["partial"] is True
    [entry] = logs_of(fieldTypes=True, indexPattern="logs-words").query(payload, Call())["entries"]
    assert "partial" not in entry["metadata"]
    provider = logs_of(fieldTypes=True, indexPattern="logs-numbers")
    assert provider.query(payload, Call()) == {"entries": []}
    [entry] = provider.query({**ALL, **one_filter("level", "=", "50")}, Call())["entries"]
    assert entry["severity"] == "50"


def test_types_are_kept_and_do_without(http: requests_mock.Mocker, logs_of: Build) -> None:
    """They are asked for once in five minutes; a refusal leaves the clauses that know none."""
    answered_by(make_app(seeded(30)), http)
    provider = logs_of(fieldTypes=True)
    now = [0.0]
    provider.types._memory._clock = lambda: now[0]
    payload = {**ALL, "scope": {"team": "payments"}}

    def asked() -> int:
        return sum("_field_caps" in request.path for request in http.request_history)

    before = provider.query(payload, Call())
    provider.query(payload, Call())
    assert asked() == 1
    now[0] = 301.0
    for refusal in ({"status_code": 403}, {"status_code": 500}, {"text": "[]"}):
        http.get(re.compile("_field_caps"), **refusal)
        assert provider.query(payload, Call()) == before
        now[0] += 301.0
    assert asked() == 4


def test_expensive_queries_may_be_switched_off(http: requests_mock.Mocker, logs_of: Build) -> None:
    """The message says which filters then do not work."""
    state = seeded(30)
    state.expensive = False
    answered_by(make_app(state), http)
    with pytest.raises(BadRequest, match="disabled on this cluster"):
        logs_of().query({**ALL, **one_filter("path", "contains", "x")}, Call())


# --- nothing leaves its place -------------------------------------------------------------------

SMALL = seeded(240)
TOKENS = [
    *("OR", "AND", "NOT", "|", "+", "-", "(", ")", '"', "*", "?", "\\", "~", "^", ":", "/"),
    *("[", "]", "{", "}", "<", ">", "!", "&&", "||", "service:billing"),
    *("service.name:*", "_exists_:log"),
    *("timeout", "refused", "request", "*:*", "timeout*", "api", "#1", '{"match_all":{}}', ""),
]  # fmt: skip
hostile = st.lists(st.sampled_from(TOKENS) | st.text(max_size=8), max_size=8).map(" ".join)


@contextlib.contextmanager
def small_cluster(**config: Any) -> Iterator[ElasticsearchLogs]:
    with requests_mock.Mocker() as http:
        answered_by(make_app(SMALL), http)
        yield ElasticsearchLogs({"addresses": [ADDRESS], "kibanaURL": "http://k", **config})


@pytest.mark.case("elasticsearch", 6)
@settings(max_examples=80, deadline=None)
@given(search=hostile, mode=st.sampled_from(["simple", "lucene", "text"]))
def test_no_search_reaches_beyond_the_scope(search: str, mode: str) -> None:
    """Whatever it says: it only narrows, and the simple syntax never fails."""
    scope = {"scope": {"service": "api", "environment": "prod"}}
    with small_cluster(searchMode=mode) as provider:
        inside = ids(provider, scope)
        assert inside
        try:
            found = ids(provider, {**scope, "expression": {"search": search}})
        except BadRequest:
            assert mode == "lucene"
            return
    assert found <= inside


KINDS: dict[str, Callable[[str, str], Any]] = {
    "=": lambda have, value: have == value,
    "!=": lambda have, value: have != value,
    "contains": lambda have, value: value.lower() in have.lower(),
    "startswith": lambda have, value: have.startswith(value),
    "in": lambda have, value: have in [part.strip() for part in value.split(",")],
    "regex": lambda have, value: re.search(re.escape(value), have),
}


@pytest.mark.case("elasticsearch", 6)
@settings(max_examples=80, deadline=None)
@given(value=hostile | st.sampled_from(["host-1", "HOST", "ost", "host-1,host-2"]), data=st.data())
def test_no_value_of_a_filter_is_anything_but_a_value(value: str, data: st.DataObject) -> None:
    """What a filter finds is what its words mean in Python."""
    operator = data.draw(st.sampled_from(sorted(KINDS)))
    if not value.isascii():
        # Python and Elasticsearch fold the case of other scripts differently.
        value = value.encode("ascii", "ignore").decode()
    told = "".join(f"\\{c}" if not c.isalnum() else c for c in value)
    sent = told if operator == "regex" else value
    with small_cluster() as provider:
        try:
            found = ids(provider, one_filter("host.name", operator, sent))
        except BadRequest:
            assert operator == "in" and not value.replace(",", "").strip()
            return
    test = KINDS[operator]
    assert found == expected(SMALL, lambda d: test(str(first(d, "host.name") or ""), value)
                             if "host.name" in d.flat else operator == "!=")  # fmt: skip


@pytest.mark.case("elasticsearch", 8)
@settings(max_examples=60, deadline=None)
@given(field=hostile | st.text(max_size=300), operator=st.sampled_from(["=", "contains", "exists"]))
def test_no_name_of_a_field_reaches_beyond_the_scope(field: str, operator: str) -> None:
    """It is a name or it is refused."""
    scope = {"scope": {"team": "payments"}}
    with small_cluster() as provider:
        inside = ids(provider, scope)
        with contextlib.suppress(BadRequest):
            assert ids(provider, {**scope, **one_filter(field, operator, "host-1")}) <= inside
