"""Requests through the application: routes, bodies, identity, errors, audit."""

import json
import pathlib
from typing import Any

import pytest
from gunicorn.http.errors import InvalidChunkSize, InvalidHeader, NoMoreData

from opsorch.errors import (
    Conflict,
    PluginBusy,
    PluginCrashed,
    ProviderError,
    RateLimited,
    ReportedError,
    RpcTimeout,
)
from opsorch.gateway.app import load_settings
from opsorch.gateway.bodies import MAX_DROPPED_BYTES
from opsorch.observability import logs
from opsorch.plugin.outcome import MAYBE
from tests.gateway.support import Canned, Here, an_app

INCIDENT = {"id": "i", "title": "t"}


@pytest.fixture
def here() -> Here:
    return an_app()


def test_a_route_calls_its_method_with_the_checked_payload(here: Here) -> None:
    provider = here.put("incident", Canned([]))
    answer = here.client.post("/incidents/query", json={"limit": 3, "scope": {"team": "a"}})
    assert (answer.status_code, answer.json) == (200, [])
    assert answer.content_type == "application/json"
    method, payload, context, repeatable = provider.seen[0]
    assert (method, payload) == ("incident.query", {"limit": 3, "scope": {"team": "a"}})
    assert repeatable
    assert 0 < context.deadline.remaining() <= 30


def test_a_write_is_not_repeatable(here: Here) -> None:
    provider = here.put("incident", Canned(INCIDENT))
    assert here.client.post("/incidents", json={"title": "t"}).status_code == 201
    assert provider.seen[0][3] is False


def test_numbers_reach_the_plugin_as_they_were_written(here: Here) -> None:
    seen = []

    class Raw(Canned):
        def call(self, method: str, payload: bytes, context: Any, *, repeatable: bool) -> bytes:
            seen.append(payload)
            return b"[]"

    here.put("incident", Raw())
    body = b'{"metadata":{"a":1.10,"b":123456789012345678901234567890,"c":1E+2,"d":-0.0}}'
    assert here.client.post("/incidents/query", data=body).status_code == 200
    assert b'"metadata":{"a":1.10,"b":123456789012345678901234567890,"c":1E+2,"d":-0.0}' in seen[0]


@pytest.mark.parametrize(
    ("path", "seen_id"),
    [
        ("/incidents/a%2Fb", "a/b"),
        ("/incidents/a%252Fb", "a%2Fb"),
        ("/incidents/a+b", "a+b"),
        ("/incidents/a%3Fb%23c", "a?b#c"),
        ("/incidents/%C3%A9", "é"),
        ("/incidents/%20x/", " x"),
        ("/incidents/..", ".."),
        ("/incidents/query", "query"),
        ("http://gateway.example/incidents/a%2Fb", "a/b"),
    ],
)
def test_an_id_is_decoded_once(here: Here, path: str, seen_id: str) -> None:
    provider = here.put("incident", Canned(INCIDENT))
    environ = {"RAW_URI": path}
    answer = here.client.get("/", environ_overrides=environ)
    assert answer.status_code == 200
    assert provider.seen[0][1] == {"id": seen_id}


@pytest.mark.parametrize("path", ["/incidents/%zz", "/incidents/%FF", "/incidents/%", "*"])
def test_a_path_that_is_no_utf8_is_refused_in_json(here: Here, path: str) -> None:
    answer = here.client.get("/", environ_overrides={"RAW_URI": path})
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "path",
    [
        "/incidents//timeline",
        "/incidents/%20/timeline",
        "/incidentsfoo",
        "//incidents",
        "/incidents//",
        "/nope",
        "/incidents/a/b/c",
        "/services/x",
    ],
)
def test_other_paths_are_not_found(here: Here, path: str) -> None:
    answer = here.client.get("/", environ_overrides={"RAW_URI": path})
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert "not found" in answer.json["message"]
    assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("//teams/team-nova", "//teams/team-nova"),
        ("/teams//?token=x", "/teams//"),
        ("/nope/%zz", "/nope/%zz"),
        ("http://gateway.example//x%2fy", "//x%2fy"),
        ("/" + "x" * 400, "/" + "x" * 299),
    ],
)
def test_a_path_is_told_as_it_was_sent(here: Here, target: str, path: str) -> None:
    answer = here.client.get("/", environ_overrides={"RAW_URI": target})
    [line] = here.log.events("request.completed")
    assert line["path"] == path
    assert answer.status_code == 400 or f"There is no {path} here" in answer.json["message"]


def test_without_a_raw_target_the_decoded_path_serves(here: Here) -> None:
    provider = here.put("incident", Canned(INCIDENT))
    environ = {"RAW_URI": None, "REQUEST_URI": None}
    answer = here.client.get("/incidents/é", environ_overrides=environ)
    assert answer.status_code == 200
    assert provider.seen[0][1] == {"id": "é"}


@pytest.mark.parametrize(
    "headers", [{"Host": "x" * 300}, {"Connection": "upgrade", "Upgrade": "websocket"}]
)
def test_headers_that_no_route_can_serve_are_named(here: Here, headers: dict[str, str]) -> None:
    answer = here.client.get("/services", headers=headers)
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request")
    assert "Host and Upgrade" in answer.json["message"]


@pytest.mark.parametrize("verb", ["PUT", "DELETE", "GET"])
def test_a_wrong_method_names_those_that_are_offered(here: Here, verb: str) -> None:
    answer = here.client.open("/logs/query", method=verb)
    assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


def test_head_answers_wherever_get_does(here: Here) -> None:
    assert here.client.head("/health").status_code == 200
    assert here.client.get("/health").json == {"status": "ok"}
    assert here.client.get("/").json == {"status": "ok"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "not valid JSON"),
        (b"[]", "must be an object"),
        (b'"x"', "must be an object"),
        (b'\xef\xbb\xbf{"title":"t"}', "not valid JSON"),
        (b'{"title":"\xff"}', "not valid JSON"),
        (b'{"title":"t"} x', "not valid JSON"),
        (b'{"title":"t"}{"bogus":1}', "not valid JSON"),
        (b'{"title":"\\ud800"}', "not valid JSON"),
        (b'{"title":"t","metadata":{"a":1e400}}', "out of range"),
        (b'{"title":"t","metadata":{"a":1e999999999}}', "out of range"),
        (b'{"title":"t","metadata":{"a":1e-' + b"9" * 30 + b"}}", "out of range"),
        (b'{"title":"t","metadata":{"a":0e' + b"9" * 30 + b"}}", "out of range"),
        (b'{"title":"t","metadata":{"a":' + b"9" * 5000 + b"}}", "out of range"),
        (b'{"title":"t","metadata":{"a":NaN}}', "not valid JSON"),
        (b'{"title":"t","bogus":1}', "bogus: unknown field"),
        (b'{"title":"t","metadata":' + b'{"a":' * 101 + b"1" + b"}" * 102, "100 levels"),
        (b'{"title":"t","metadata":{"a":' + b"[" * 9000 + b"]" * 9000 + b"}}", "100 levels"),
    ],
)
def test_a_bad_body_is_refused_with_a_reason(here: Here, body: bytes, words: str) -> None:
    provider = here.put("incident", Canned(INCIDENT))
    answer = here.client.post("/incidents", data=body)
    assert (answer.status_code, answer.json["code"]) == (400, "bad_request")
    assert words in answer.json["message"]
    assert not provider.seen


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"limit":1e400}', "limit: the number 1e400 is out of range."),
        (
            b'{"metadata":{"a":[{"b":1},{"c":-1e999}]}}',
            "metadata.a.1.c: the number -1e999 is out of range.",
        ),
        (b"1e400", "The body: the number 1e400 is out of range."),
        (b'{"query":"ab\xff"}', "The body is not valid JSON: it is not UTF-8 (byte 12)."),
        (
            b'{"limit":1,"metadata":{"a":["\\ud83d\\ude00","x\\ud800"]}}',
            "The body is not valid JSON: metadata.a.1 must not hold half of a surrogate pair.",
        ),
        (
            b'{"metadata":{"a\\udc00b":1}}',
            "The body is not valid JSON: metadata.a b must not hold half of a surrogate pair.",
        ),
        (b'{"query":"\\ud800"', "The body is not valid JSON: Input data was truncated."),
        (b"[1]", "The body must be an object."),
        (b'{"limit":9223372036854775808}', f"limit must be a whole number from 0 to {2**63 - 1}."),
        (
            b'{"z":1,"scope":{"b":1,"a":2},"y":2,"query":7}',
            "query must be a string; {}.".format(
                "; ".join(f"{name}: unknown field" for name in ("scope.a", "scope.b", "y", "z"))
            ),
        ),
    ],
)
def test_what_is_wrong_with_a_body_is_told_by_its_place(
    here: Here, body: bytes, message: str
) -> None:
    here.put("incident", Canned([]))
    answer = here.client.post("/incidents/query", data=body)
    assert (answer.status_code, answer.json["message"]) == (400, message)


def test_a_path_is_told_at_no_great_length(here: Here) -> None:
    here.put("incident", Canned([]))
    deep = b'{"' + b"x" * 5000 + b'":'
    body = b'{"metadata":' + deep * 90 + b"1e400" + b"}" * 91
    message = here.client.post("/incidents/query", data=body).json["message"]
    assert message.endswith("out of range.")
    assert len(message) < 300


def test_depth_is_measured_not_guessed(here: Here) -> None:
    here.put("incident", Canned(INCIDENT))
    wide = {"title": "t", "metadata": {"a": [[1]] * 200}}
    assert here.client.post("/incidents", json=wide).status_code == 201


@pytest.mark.parametrize("body", [b"", b"null", b"  ", b"{}"])
def test_an_empty_query_asks_for_all(here: Here, body: bytes) -> None:
    provider = here.put("incident", Canned(None))
    answer = here.client.post("/incidents/query", data=body)
    assert (answer.status_code, answer.json) == (200, [])
    assert provider.seen[0][1] == {"scope": {}}


def test_a_compressed_body_is_refused(here: Here) -> None:
    here.put("incident", Canned([]))
    answer = here.client.post(
        "/incidents/query", data=b"\x1f\x8b", headers={"Content-Encoding": "gzip"}
    )
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")
    plain = here.client.post(
        "/incidents/query", data=b"{}", headers={"Content-Encoding": "identity"}
    )
    assert plain.status_code == 200


def test_a_body_over_the_limit_is_refused() -> None:
    here = an_app({"OPSORCH_MAX_BODY_BYTES": "10"})
    here.put("incident", Canned([]))
    answer = here.client.post("/incidents/query", data=b"{}" + b" " * 20)
    assert (answer.status_code, answer.json["code"]) == (413, "payload_too_large")
    assert "OPSORCH_MAX_BODY_BYTES" in answer.json["message"]


def test_a_body_shorter_than_announced_is_refused(here: Here) -> None:
    here.put("incident", Canned([]))
    environ = {"CONTENT_LENGTH": "9"}
    answer = here.client.post("/incidents/query", data=b"{}", environ_overrides=environ)
    assert answer.status_code == 400
    assert "shorter" in answer.json["message"]


class Breaking:
    """A body whose connection breaks after two bytes, or whose chunks are none."""

    def __init__(self, error: Exception) -> None:
        self.error, self.left = error, b"{ "

    def read(self, size: int) -> bytes:
        told, self.left = self.left, b""
        if not told:
            raise self.error
        return told


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), NoMoreData(), InvalidChunkSize(b"z"), InvalidHeader("x")]
)
@pytest.mark.parametrize(("path", "status"), [("/incidents/query", 400), ("/nowhere", 404)])
def test_a_body_that_breaks_off_is_no_defect(
    here: Here, error: Exception, path: str, status: int
) -> None:
    here.put("incident", Canned([]))
    environ = {
        "wsgi.input": Breaking(error),
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_LENGTH": "",
        "wsgi.input_terminated": True,
    }
    answer = here.client.post(path, environ_overrides=environ)
    assert answer.status_code == status
    assert answer.headers["X-Request-ID"]
    assert not here.log.events("request.failed")


class Endless:
    """A body that never ends; counts what was read of it."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def read(self, size: int) -> bytes:
        self.read_bytes += size
        return b" " * size


@pytest.mark.parametrize(("path", "status"), [("/incidents/query", 413), ("/nowhere", 404)])
def test_a_body_without_end_is_dropped_within_bounds(here: Here, path: str, status: int) -> None:
    here.put("incident", Canned([]))
    body = Endless()
    environ = {"wsgi.input": body, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    assert here.client.post(path, environ_overrides=environ).status_code == status
    assert body.read_bytes <= MAX_DROPPED_BYTES + 1024 * 1024 + 1


def test_describe_reads_the_query_string(here: Here) -> None:
    provider = here.put("metric", Canned([{"name": "m"}]))
    answer = here.client.get("/metrics/describe?service=a&service=b&team=&other=x")
    assert answer.json == {"metrics": [{"name": "m", "type": "", "description": "", "labels": []}]}
    assert provider.seen[0][1] == {"service": "a"}


def test_other_query_strings_are_not_looked_at(here: Here) -> None:
    provider = here.put("service", Canned([]))
    assert here.client.get("/services?scope=x&limit=y").status_code == 200
    assert provider.seen[0][1] == {"scope": {}}


def test_listing_all_services_sends_the_empty_query(here: Here) -> None:
    provider = here.put("service", Canned([]))
    assert here.client.get("/services").status_code == 200
    assert here.client.post("/services/query").status_code == 200
    listed, queried = (payload for _, payload, _, _ in provider.seen)
    assert listed == queried


@pytest.mark.parametrize(
    ("headers", "echoed"),
    [
        ({"X-Request-ID": "a b"}, "a b"),
        ({"X-Request-ID": " ", "X-Amzn-Trace-Id": "t"}, "t"),
        ({"X-Correlation-ID": "c", "X-Trace-ID": "d"}, "c"),
        ({"X-Trace-ID": "d"}, "d"),
        ({"X-Request-ID": "x" * 200}, "x" * 200),
    ],
)
def test_a_request_id_is_echoed(here: Here, headers: dict[str, str], echoed: str) -> None:
    assert here.client.get("/nope", headers=headers).headers["X-Request-ID"] == echoed


@pytest.mark.parametrize("odd", ["x" * 201, "é", "a\tb", ""])
def test_an_odd_request_id_is_replaced(here: Here, odd: str) -> None:
    told = here.client.get("/health", headers={"X-Request-ID": odd}).headers["X-Request-ID"]
    assert told
    assert told != odd


def test_the_context_of_a_call_names_the_caller(here: Here) -> None:
    provider = here.put("incident", Canned([]))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Request-ID": "r", "X-User-Id": "kim", "traceparent": trace}
    here.client.post("/incidents/query", headers=headers)
    here.client.post("/incidents/query", headers={"traceparent": "nonsense"})
    first, second = provider.seen[0][2], provider.seen[1][2]
    assert (first.request_id, first.actor, first.traceparent) == ("r", "kim", trace)
    assert (second.actor, second.traceparent) == ("unknown", "")


def test_the_name_of_a_caller_is_utf8(here: Here) -> None:
    """WSGI hands over each byte as one character."""
    provider = here.put("incident", Canned([]))
    names = ["Zoë".encode().decode("latin-1"), "Noà".encode().decode("latin-1"), "Zo\xeb"]
    for name in names:
        here.client.post("/incidents/query", environ_overrides={"HTTP_X_USER_ID": name})
    assert [seen[2].actor for seen in provider.seen] == ["Zoë", "Noà", "Zo\ufffd"]


def test_success_is_audited_and_failure_is_not(here: Here) -> None:
    here.put("incident", Canned(INCIDENT))
    headers = {"X-Request-ID": "r1", "X-Actor-Type": " Copilot ", "X-Actor-ID": "bot"}
    here.client.post("/incidents", json={"title": "t"}, headers=headers)
    here.client.post("/incidents", json={"title": ""})
    here.client.get("/health")
    [line] = here.log.audit
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "logger": "opsorch.audit",
        "request_id": "r1",
        "actor_type": "copilot",
        "actor_id": "bot",
        "action": "incident.created",
    }


@pytest.mark.parametrize(
    ("error", "status", "more"),
    [
        (Conflict("c"), 409, {}),
        (RateLimited("r"), 429, {"Retry-After": "1"}),
        (ReportedError("r", code="rate_limited", retry_after_s=2.1), 429, {"Retry-After": "3"}),
        (ReportedError("r", code="unauthorized"), 502, {}),
        (ReportedError("r", code="jira_down"), 502, {}),
        (PluginBusy("b", retry_after_s=0.2), 503, {"Retry-After": "1"}),
        (RpcTimeout("t", sent=True), 504, {}),
    ],
)
def test_errors_have_their_status(
    here: Here, error: Exception, status: int, more: dict[str, str]
) -> None:
    here.put("incident", Canned(error))
    answer = here.client.post("/incidents/query")
    assert answer.status_code == status
    assert set(answer.json) == {"code", "message"}
    assert all(answer.headers[name] == value for name, value in more.items())


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (RpcTimeout("t", sent=True), True),
        (RpcTimeout("t", sent=False), False),
        (PluginCrashed("c", sent=True), True),
        (ReportedError("r", outcome_unknown=True), True),
        (ReportedError("r"), False),
        (PluginBusy("b"), False),
    ],
)
def test_a_write_with_a_lost_answer_says_so(here: Here, error: Exception, unknown: bool) -> None:
    here.put("incident", Canned(error))
    body = here.client.post("/incidents", json={"title": "t"}).json
    assert (body.get("outcome") == "unknown") is unknown
    assert ("is not known" in body["message"]) is unknown


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("it failed; its log says where", "it failed; its log says where. {whether}"),
        ("It is lost.", "It is lost. {whether}"),
        (f"It is lost. {MAYBE}", f"It is lost. {MAYBE} Look before you repeat it."),
        ("It may have acted: look before you repeat it. It wrote: a",) * 2,
    ],
)
def test_a_lost_answer_is_told_in_whole_sentences_and_once(
    here: Here, said: str, told: str
) -> None:
    here.put("incident", Canned(ReportedError(said, outcome_unknown=True)))
    body = here.client.post("/incidents", json={"title": "t"}).json
    whether = "Whether it took effect upstream is not known: look before you repeat it."
    assert body["message"] == told.format(whether=whether)


def test_a_write_whose_result_does_not_fit_may_have_taken_effect(here: Here) -> None:
    here.put("incident", Canned(b'"ok"'))
    body = here.client.post("/incidents", json={"title": "t"}).json
    assert (body["code"], body["outcome"]) == ("provider_error", "unknown")


def test_a_defect_tells_the_request_id_and_no_more(here: Here) -> None:
    here.put("incident", Canned(ZeroDivisionError("secret detail")))
    answer = here.client.post("/incidents/query", headers={"X-Request-ID": "r9"})
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert "r9" in answer.json["message"]
    assert "secret detail" not in answer.text
    [event] = here.log.events("request.failed")
    assert event["request_id"] == "r9"
    assert "ZeroDivisionError" in json.dumps(event)
    counted = 'capability="incident",code="internal_error",method="incident.query"} 1.0'
    assert counted in here.client.get("/metrics").text


def test_too_many_calls_of_one_capability_are_refused_at_once(here: Here) -> None:
    class Nested(Canned):
        def call(self, method: str, payload: bytes, context: Any, *, repeatable: bool) -> bytes:
            inner = an_inner_call(here)
            self.result = inner
            return b"[]"

    def an_inner_call(here: Here) -> Any:
        return here.gateway.registry["incident"].admission.__enter__

    provider = here.put("incident", Nested(), most=1)
    assert here.client.post("/incidents/query").status_code == 200
    provider.result()
    answer = here.client.post("/incidents/query")
    assert (answer.status_code, answer.json["code"]) == (503, "plugin_busy")
    assert answer.headers["Retry-After"] == "1"
    assert "OPSORCH_INCIDENT_MAX_CONCURRENCY" in answer.json["message"]


def test_one_line_a_request_is_logged(here: Here) -> None:
    here.put("incident", Canned(Conflict("c")))
    here.client.post("/incidents/query", headers={"X-Request-ID": "r"})
    [line] = here.log.events("request.completed")
    assert (line["method"], line["path"], line["status"]) == ("POST", "/incidents/query", 409)
    assert (line["code"], line["operation"], line["request_id"]) == (
        "conflict",
        "incident.query",
        "r",
    )
    assert (line["level"], line["message"]) == ("info", "c")


def test_what_went_well_has_an_empty_message_in_the_log(here: Here) -> None:
    here.put("incident", Canned(b"[]"))
    here.client.post("/incidents/query")
    [line] = here.log.events("request.completed")
    assert (line["level"], line["message"]) == ("info", "")


def test_a_failure_of_ours_or_upstream_is_a_warning_with_its_reason(here: Here) -> None:
    here.put("incident", Canned(ProviderError("v" * 600)))
    here.client.post("/incidents/query")
    [line] = here.log.events("request.completed")
    assert (line["level"], line["message"]) == ("warning", "v" * 500)


def test_no_id_of_a_request_outlives_it(here: Here) -> None:
    here.put("incident", Canned(ValueError("a defect")))
    here.client.post("/incidents/query", headers={"X-Request-ID": "first"})
    here.client.get("/health", headers={"X-Request-ID": "second"})
    assert [line["request_id"] for line in here.log.events("request.failed")] == ["first"]
    assert [e["request_id"] for e in here.log.events("request.completed")] == ["first", "second"]
    logs.emit("gateway.stopping", worker=1, reason="for the test")
    [outside] = here.log.events("gateway.stopping")
    assert "request_id" not in outside


def test_nothing_configured_says_what_to_set(here: Here) -> None:
    answer = here.client.post("/tickets/query", data=b"not json")
    assert (answer.status_code, answer.json["code"]) == (501, "ticket_provider_missing")
    assert "OPSORCH_TICKET_PLUGIN" in answer.json["message"]


def test_gunicorns_refusals_are_translated() -> None:
    import werkzeug.exceptions as failures

    from opsorch.gateway.errors import _translated
    from opsorch.gateway.identity import facts_of
    from opsorch.gateway.state import set_facts

    app = an_app().client.application
    with app.test_request_context("/x"):
        set_facts(facts_of(__import__("flask").request.headers))
        assert _translated(failures.RequestEntityTooLarge()).code == "payload_too_large"
        assert _translated(failures.BadRequest("why")).code == "bad_request"
        assert _translated(failures.BadGateway()).code == "internal_error"


def test_settings_come_from_the_environment_and_from_the_folder(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("OPSORCH_PORT=1\nOPSORCH_WORKERS=3\n")
    monkeypatch.setenv("OPSORCH_PORT", "2")
    settings = load_settings(tmp_path)
    assert (settings.address[1], settings.workers) == (2, 3)
