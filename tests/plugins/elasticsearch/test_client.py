"""Errors, retries, nodes, credentials and answers that are none."""

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import requests
import requests_mock

from opsorch.errors import (
    AuthFailed,
    BadRequest,
    NotFound,
    OpsOrchError,
    ProviderError,
    RateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from opsorch.plugin import Call
from opsorch_plugins.elasticsearch.provider import ElasticsearchLogs
from tests.plugins.elasticsearch.support import ADDRESS, SEARCH, Json, answer, hits, problem

Build = Callable[..., ElasticsearchLogs]

PASSWORD = "pa55-w0rd-of-test"
FIRST, SECOND = "http://one.test:9200", "http://two.test:9200"
HTML = {"text": f"<html>{PASSWORD}</html>", "headers": {"Content-Type": "text/html"}}


@pytest.mark.case("elasticsearch", 12)
@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (
            {"status_code": 400, "json": problem("parsing_exception", "unknown query [x]")},
            BadRequest,
            r"parsing_exception: unknown query \[x\]",
        ),
        ({"status_code": 400, "json": {"error": "plain words"}}, BadRequest, "plain words"),
        ({"status_code": 400, "json": {"error": {"reason": "only"}}}, BadRequest, "only"),
        ({"status_code": 400, **HTML}, BadRequest, "HTTP 400$"),
        (
            {
                "status_code": 400,
                "json": problem("x", "'search.allow_expensive_queries' is set to false."),
            },
            BadRequest,
            "contains, regex and prefix filters are disabled",
        ),
        ({"status_code": 413, "text": ""}, BadRequest, "413"),
        (
            {"status_code": 404, "json": problem("index_not_found_exception", status=404)},
            NotFound,
            "nothing matches indexPattern",
        ),
        ({"status_code": 404, **HTML}, ProviderError, "no Elasticsearch under addresses"),
        (
            {"status_code": 404, "json": problem("search_context_missing_exception")},
            ProviderError,
            "search_context_missing",
        ),
        ({"status_code": 408, "text": ""}, UpstreamTimeout, "search timed out"),
        (
            {"status_code": 500, "json": problem("search_phase_execution_exception", "all shards")},
            ProviderError,
            "search_phase_execution_exception: all shards",
        ),
        ({"status_code": 500, **HTML}, ProviderError, "HTTP 500$"),
        ({"status_code": 302, "headers": {"Location": "http://x/"}}, ProviderError, "redirects"),
    ],
)
def test_what_people_can_do_decides_the_code(
    http: requests_mock.Mocker,
    logs_of: Build,
    call: Call,
    reply: Json,
    error: type[OpsOrchError],
    words: str,
) -> None:
    """The server's own words are passed on, a page is not; none of these is tried again."""
    http.post(SEARCH, **reply)
    with pytest.raises(error, match=words) as failed:
        logs_of().query({}, call)
    assert type(failed.value) is error
    assert "<html>" not in failed.value.message
    assert http.call_count == 1


def test_words_of_the_server_are_cut_and_cleaned(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """300 characters, no control characters, no credential."""
    words = f"{PASSWORD}\x1b[31m" + "x" * 900
    http.post(SEARCH, status_code=400, json=problem("a_type", words))
    with pytest.raises(BadRequest) as refused:
        logs_of(username="u", password=PASSWORD).query({}, call)
    assert len(refused.value.message) < 360
    assert "***" in refused.value.message and refused.value.message.isprintable()
    assert PASSWORD not in refused.value.message


@pytest.mark.case("elasticsearch", 13)
@pytest.mark.parametrize(
    ("status", "reply", "words"),
    [
        (401, {"json": problem("security_exception", PASSWORD, 401)}, "HTTP 401$"),
        (401, {"text": f"Unauthorized {PASSWORD}"}, "HTTP 401$"),
        (403, {"json": problem("security_exception", PASSWORD, 403)}, "read on indexPattern"),
        (403, {"text": PASSWORD}, "read on indexPattern"),
    ],
)
def test_refused_credentials_are_told_without_the_body(
    http: requests_mock.Mocker, logs_of: Build, call: Call, status: int, reply: Json, words: str
) -> None:
    """The status decides; such a body may repeat the credential."""
    http.post(SEARCH, status_code=status, **reply)
    with pytest.raises(AuthFailed, match=words) as refused:
        logs_of(username="ops", password=PASSWORD).query({}, call)
    assert PASSWORD not in refused.value.message
    assert http.call_count == 1


@pytest.mark.case("elasticsearch", 14)
def test_a_short_rate_limit_is_waited_for(
    http: requests_mock.Mocker, logs_of: Build, call: Call, pauses: list[float]
) -> None:
    """The caller sees the answer only."""
    limited = {"status_code": 429, "headers": {"Retry-After": "1"}}
    http.post(SEARCH, [limited, {"json": answer(hits(1))}])
    assert len(logs_of().query({}, call)["entries"]) == 1
    assert (http.call_count, pauses) == (2, [1.0])


@pytest.mark.case("elasticsearch", 14)
def test_a_long_rate_limit_is_told_at_once(
    http: requests_mock.Mocker, logs_of: Build, call: Call, pauses: list[float]
) -> None:
    """A wait beyond the deadline is the caller's to decide."""
    http.post(SEARCH, status_code=429, headers={"Retry-After": "120"})
    with pytest.raises(RateLimited) as limited:
        logs_of().query({}, call)
    assert limited.value.retry_after_s == 120
    assert (http.call_count, pauses) == (1, [])


@pytest.mark.case("elasticsearch", 14)
def test_a_busy_cluster_is_asked_three_times(
    http: requests_mock.Mocker, logs_of: Build, call: Call, pauses: list[float]
) -> None:
    """It names no time: the pauses are ours, and the caller comes back in a second."""
    busy = problem("es_rejected_execution_exception", "rejected", 429)
    http.post(SEARCH, status_code=429, json=busy)
    with pytest.raises(RateLimited, match="es_rejected_execution_exception") as limited:
        logs_of().query({}, call)
    assert limited.value.retry_after_s == 1
    assert (http.call_count, pauses) == (3, [0.2, 0.8])


@pytest.mark.case("elasticsearch", 15)
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<html>", "not JSON"),
        ("{}", "not that of an Elasticsearch search"),
        ("[]", "not that of an Elasticsearch search"),
        ('{"hits": {}}', "not that of an Elasticsearch search"),
        ('{"hits": {"hits": [{"_source": {"x": NaN}}]}}', "not JSON"),
        ('{"hits": {"hits": [{"_source": {"x": 1e400}}]}}', "not that of"),
        ('{"hits": {"hits": ' + "[" * 5000, "not"),
        ("", "not JSON"),
    ],
)
def test_success_by_status_alone_is_not_believed(
    http: requests_mock.Mocker, logs_of: Build, call: Call, body: str, words: str
) -> None:
    """A login page is no answer, and NaN is no number."""
    http.post(SEARCH, text=body)
    with pytest.raises(ProviderError, match=words) as failed:
        logs_of().query({}, call)
    assert type(failed.value) is ProviderError


def test_half_a_character_costs_itself_only(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """Loggers cut texts anywhere, also inside of what JSON writes as two escapes."""
    http.post(SEARCH, text='{"hits": {"hits": [{"_source": {"message": "cut \\ud83d"}}]}}')
    [entry] = logs_of().query({}, call)["entries"]
    assert entry["message"] == "cut \ufffd"


@pytest.mark.case("elasticsearch", 15)
def test_what_is_answered_is_strict_json(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """Null inside documents survives, and numbers stay as they are."""
    source = '{"n": null, "i": 123456789012345678901234567890, "f": 1.25, "m": "null NaN"}'
    http.post(SEARCH, text='{"hits": {"hits": [{"_source": %s}]}}' % source)  # noqa: UP031  braces
    encoded = msgspec.json.encode(logs_of().query({}, call))

    def refuse(word: str) -> None:
        raise AssertionError(word)

    [entry] = json.loads(encoded, parse_constant=refuse)["entries"]
    assert entry["fields"] == json.loads(source)


def two(**more: Any) -> Json:
    return {"addresses": [FIRST, SECOND], **more}


@pytest.mark.case("elasticsearch", 16)
@pytest.mark.parametrize(
    "failure",
    [{"exc": ConnectionRefusedError}, *({"status_code": s, "text": ""} for s in (502, 503, 504))],
)
def test_the_next_node_is_asked_at_once_and_the_failed_one_skipped(
    http: requests_mock.Mocker, logs_of: Build, call: Call, pauses: list[float], failure: Json
) -> None:
    """Until half a minute has passed."""
    http.post(f"{FIRST}/logs-%2A/_search", **failure)
    http.post(f"{SECOND}/logs-%2A/_search", json=answer())
    provider = logs_of(**two())
    now = [0.0]
    provider.cluster._clock = lambda: now[0]
    for _ in range(2):
        assert provider.query({}, call) == {"entries": []}
    asked = [request.hostname for request in http.request_history]
    assert (asked, pauses) == (["one.test", "two.test", "two.test"], [])
    http.post(f"{SECOND}/logs-%2A/_search", **failure)
    with pytest.raises(OpsOrchError):
        provider.query({}, call)
    now[0] = 31.0
    http.post(f"{FIRST}/logs-%2A/_search", json=answer())
    assert provider.query({}, call) == {"entries": []}
    assert http.request_history[-1].hostname == "one.test"


def test_a_skipped_node_waits_behind_those_that_are_not(logs_of: Build) -> None:
    """After the last good one has failed, the next in turn may be one that failed before."""
    cluster = logs_of(addresses=[FIRST, SECOND, ADDRESS]).cluster
    now = [0.0]
    cluster._clock = lambda: now[0]
    cluster._good, cluster._skipped = 2, {0: 30.0}
    assert cluster._next_node([2]) == 1
    now[0] = 30.0
    assert cluster._next_node([2]) == 0


@pytest.mark.case("elasticsearch", 16)
def test_when_all_nodes_refuse_all_are_named(
    http: requests_mock.Mocker, logs_of: Build, call: Call, pauses: list[float]
) -> None:
    """Three tries in all, a pause only before one that asks the same node again."""
    for address in (FIRST, SECOND):
        http.post(f"{address}/logs-%2A/_search", exc=ConnectionRefusedError)
    with pytest.raises(UpstreamUnreachable) as lost:
        logs_of(**two()).query({}, call)
    assert lost.value.message == (
        "Elasticsearch is unreachable at one.test:9200, two.test:9200: connection refused."
    )
    assert (http.call_count, pauses) == (3, [0.8])


@pytest.mark.case("elasticsearch", 16)
def test_one_node_is_asked_three_times(
    http: requests_mock.Mocker, logs_of: Build, call: Call, pauses: list[float]
) -> None:
    """With one address all tries go there."""
    http.post(SEARCH, exc=requests.exceptions.ConnectTimeout)
    with pytest.raises(UpstreamUnreachable, match=r"elastic\.test:9200.*connect timeout"):
        logs_of().query({}, call)
    assert (http.call_count, pauses) == (3, [0.2, 0.8])


@pytest.mark.case("elasticsearch", 16)
def test_a_server_that_does_not_answer_is_a_timeout(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """Its whole time is used up then: no other node is asked."""
    http.post(f"{FIRST}/logs-%2A/_search", exc=requests.exceptions.ReadTimeout)
    with pytest.raises(UpstreamTimeout, match=r"one\.test:9200"):
        logs_of(**two()).query({}, call)
    assert http.call_count == 1


@pytest.mark.case("elasticsearch", 17)
@pytest.mark.parametrize(
    "more",
    [
        {"timed_out": True},
        {"terminated_early": True},
        {"_shards": {"failed": 1, "failures": [{"reason": {"type": "x", "reason": "y"}}]}},
    ],
)
def test_partial_answers_are_marked(
    http: requests_mock.Mocker, logs_of: Build, call: Call, more: Json
) -> None:
    """On every entry."""
    http.post(SEARCH, json=answer(hits(2), **more))
    found = logs_of().query({}, call)["entries"]
    assert [entry["metadata"]["partial"] for entry in found] == [True, True]
    http.post(SEARCH, json=answer(hits(1)))
    assert "partial" not in logs_of().query({}, call)["entries"][0]["metadata"]


@pytest.mark.case("elasticsearch", 17)
@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        (
            {"_shards": {"failed": 1, "failures": [{"reason": {"type": "a_type", "reason": "y"}}]}},
            ProviderError,
            "a_type: y",
        ),
        ({"_shards": {"failed": 1}}, ProviderError, "no reason given"),
        ({"timed_out": True}, UpstreamTimeout, "search timed out"),
    ],
)
def test_nothing_found_because_of_failures_is_an_error(
    http: requests_mock.Mocker,
    logs_of: Build,
    call: Call,
    more: Json,
    error: type[OpsOrchError],
    words: str,
) -> None:
    """An empty list would say that there is nothing."""
    http.post(SEARCH, json=answer(**more))
    with pytest.raises(error, match=words):
        logs_of().query({}, call)


@pytest.mark.case("elasticsearch", 18)
@pytest.mark.parametrize(
    "key",
    [
        base64.b64encode(b"an-id:a-long-key").decode(),
        "an-id:a-long-key",
        {"id": "an-id", "api_key": "a-long-key"},
    ],
)
def test_an_api_key_in_any_form_is_the_same_header(
    http: requests_mock.Mocker, logs_of: Build, call: Call, key: Any
) -> None:
    """It wins over all other credentials, and no form of it is ever shown."""
    http.post(SEARCH, json=answer())
    others = {"bearerToken": "other", "username": "u", "password": "other"}
    provider = logs_of(apiKey=key, **others)
    provider.query({}, call)
    encoded = base64.b64encode(b"an-id:a-long-key").decode()
    assert http.last_request.headers["Authorization"] == f"ApiKey {encoded}"
    assert provider.redact(f"{encoded} a-long-key an-id:a-long-key") == "*** *** ***"


@pytest.mark.parametrize(
    ("config", "header"),
    [
        ({"bearerToken": "tok", "username": "u", "password": "p"}, "Bearer tok"),
        ({"username": "u", "password": "pä:ss"}, "Basic dTpww6Q6c3M="),
        ({"addresses": "http://u:p%40ss@elastic.test:9200"}, "Basic dTpwQHNz"),
        ({"addresses": "http://x:y@elastic.test:9200", "serviceToken": "tok"}, "Bearer tok"),
        ({}, None),
    ],
)
def test_credentials(
    http: requests_mock.Mocker, logs_of: Build, call: Call, config: Json, header: str | None
) -> None:
    """Configured ones win over those of an address, which is shown without them."""
    http.post(SEARCH, json=answer())
    provider = logs_of(headers={"X-Extra": "more"}, **config)
    provider.query({}, call)
    assert http.last_request.headers.get("Authorization") == header
    assert http.last_request.headers["X-Extra"] == "more"
    assert provider.cluster.nodes[0].base_url == ADDRESS


def test_the_check_tells_version_and_index(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """Searching must work; the banner may be forbidden."""
    http.get(f"{ADDRESS}/", json={"version": {"number": "8.17.0"}})
    http.post(SEARCH, json=answer())
    checks = logs_of().check(call)
    assert [(c.name, c.ok) for c in checks] == [("cluster", True), ("indexPattern", True)]
    assert "8.17.0" in checks[0].message
    http.get(f"{ADDRESS}/", status_code=403)
    assert "does not tell" in logs_of().check(call)[0].message
    http.post(SEARCH, status_code=403)
    with pytest.raises(AuthFailed, match="read on indexPattern"):
        logs_of().check(call)
    http.get(f"{ADDRESS}/", status_code=401)
    with pytest.raises(AuthFailed, match="401"):
        logs_of().check(call)
    http.get(f"{ADDRESS}/", json={"hello": "world"})
    with pytest.raises(ProviderError, match="banner"):
        logs_of().check(call)


def test_an_unreachable_banner_is_no_guess(
    http: requests_mock.Mocker, logs_of: Build, call: Call
) -> None:
    """Only a refusal means that it is not OpenSearch."""
    http.get(f"{ADDRESS}/", exc=ConnectionRefusedError)
    with pytest.raises(UpstreamUnreachable):
        logs_of().query({"limit": 5000}, call)
