"""Errors, retries and credentials of the HTTP client."""

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import requests
import requests_mock

from opsorch.deadline import Deadline
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
from opsorch_plugins.pagerduty.provider import PagerDutyIncidents, PagerDutyServices
from tests.plugins.pagerduty.support import (
    API,
    CONFIG,
    FULL,
    INCIDENTS,
    TOKEN,
    Json,
    page,
)

Build = Callable[..., PagerDutyIncidents]

NEW = {"title": "Disk full"}
NOTES = f"{INCIDENTS}/P1/notes"
NOTE = {"id": "P1", "entry": {"body": "x"}}
NONE = {"json": page("incidents", [])}


def refusal(message: str, errors: Any = None, code: int = 2001) -> Json:
    return {"error": {"message": message, "code": code, "errors": errors}}


def nested(depth: int) -> Json:
    """An object within an object within another."""
    found: Json = {}
    for _ in range(depth):
        found = {"a": found}
    return found


@pytest.mark.case("pagerduty", 9)
@pytest.mark.parametrize(
    ("fault", "error", "unknown"),
    [
        ({"status_code": 500, "text": "<html>oops</html>"}, ProviderError, False),
        ({"exc": requests.exceptions.ReadTimeout}, UpstreamTimeout, True),
        (
            {"exc": requests.exceptions.ConnectionError(ConnectionRefusedError())},
            UpstreamUnreachable,
            False,
        ),
        ({"exc": requests.exceptions.ConnectTimeout}, UpstreamUnreachable, False),
        (
            {"exc": requests.exceptions.ConnectionError(ConnectionResetError())},
            UpstreamUnreachable,
            True,
        ),
        ({"status_code": 408}, UpstreamTimeout, True),
        ({"status_code": 504}, UpstreamTimeout, True),
        ({"status_code": 502}, ProviderError, True),
        ({"status_code": 503}, ProviderError, True),
        ({"status_code": 409}, ProviderError, False),
        ({"status_code": 302, "headers": {"Location": f"{API}/elsewhere"}}, ProviderError, True),
        ({"status_code": 307, "headers": {"Location": f"{API}/elsewhere"}}, ProviderError, False),
        ({"status_code": 200, "text": "<html>"}, ProviderError, True),
        ({"status_code": 201, "json": {}}, ProviderError, True),
        ({"status_code": 304}, ProviderError, True),
        ({"status_code": 404, "json": refusal("Not Found")}, NotFound, False),
    ],
)
def test_a_create_is_sent_once_whatever_happens(
    http: requests_mock.Mocker,
    provider: PagerDutyIncidents,
    call: Call,
    fault: dict[str, Any],
    error: type[OpsOrchError],
    unknown: bool,
) -> None:
    """Where the incident may have been created all the same, the error says so."""
    http.post(INCIDENTS, **fault)
    with pytest.raises(error) as failed:
        provider.create(NEW, call)
    assert type(failed.value) is error
    assert failed.value.outcome_unknown is unknown
    assert ("may have taken effect" in failed.value.message) is unknown
    assert "oops" not in failed.value.message
    assert [r.method for r in http.request_history] == ["POST"]


@pytest.mark.case("pagerduty", 12)
def test_a_rate_limited_note_is_not_repeated(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """PagerDuty's own header says how long to wait; it is the caller's to do so."""
    headers = {"ratelimit-reset": "17", "Retry-After": "99"}
    http.post(NOTES, status_code=429, headers=headers, json=refusal("Rate Limit Exceeded"))
    with pytest.raises(RateLimited, match="Try again in 17 s") as limited:
        provider.append(NOTE, call)
    assert limited.value.retry_after_s == 17
    assert http.call_count == 1


@pytest.mark.case("pagerduty", 13)
def test_a_rate_limited_query_waits_as_long_as_it_is_told(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, pauses: list[float]
) -> None:
    """The caller sees the answer only."""
    http.get(INCIDENTS, [{"status_code": 429, "headers": {"ratelimit-reset": "1"}}, NONE])
    assert provider.query({}, call) == []
    assert http.call_count == 2
    assert pauses == [1.0]


def test_a_rate_limit_that_outlasts_the_budget_is_told_at_once(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, pauses: list[float]
) -> None:
    """Retry-After counts where PagerDuty's own header is missing or odd."""
    headers = {"ratelimit-reset": "inf", "Retry-After": "77"}
    http.get(INCIDENTS, status_code=429, headers=headers)
    with pytest.raises(RateLimited) as limited:
        provider.query({}, call)
    assert limited.value.retry_after_s == 77
    assert (http.call_count, pauses) == (1, [])


def test_a_rate_limit_without_a_time_is_tried_again_and_then_30_seconds(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, pauses: list[float]
) -> None:
    """The pauses between tries are short; what callers are told is not."""
    http.get(INCIDENTS, status_code=429)
    with pytest.raises(RateLimited) as limited:
        provider.query({}, call)
    assert limited.value.retry_after_s == 30
    assert pauses == [0.5, 1.0]


@pytest.mark.parametrize(
    "fault",
    [
        {"status_code": 502},
        {"status_code": 503},
        {"status_code": 504},
        {"exc": requests.exceptions.ReadTimeout},
        {"exc": requests.exceptions.ConnectTimeout},
        {"exc": requests.exceptions.ConnectionError(ConnectionRefusedError())},
    ],
)
def test_passing_trouble_of_reads_is_bridged(
    http: requests_mock.Mocker,
    provider: PagerDutyIncidents,
    call: Call,
    pauses: list[float],
    fault: dict[str, Any],
) -> None:
    """Twice at most."""
    http.get(INCIDENTS, [fault, fault, NONE])
    assert provider.query({}, call) == []
    assert pauses == [0.5, 1.0]
    http.get(INCIDENTS, **fault)
    before = http.call_count
    with pytest.raises(OpsOrchError):
        provider.query({}, call)
    assert http.call_count == before + 3


@pytest.mark.case("pagerduty", 14)
def test_refused_credentials_are_told_without_them(
    http: requests_mock.Mocker,
    call: Call,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The configured token is the one that is sent, and never the one that is shown."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.pagerduty.test login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    http.get(INCIDENTS, status_code=401, json=refusal(f"Token token=secret123 {'x' * 400}"))
    with pytest.raises(AuthFailed, match="answered HTTP 401") as failed:
        PagerDutyIncidents({**CONFIG, "apiToken": "secret123"}).query({}, call)
    assert "secret123" not in failed.value.message
    assert "Check apiToken" in failed.value.message
    assert http.last_request.headers["Authorization"] == "Token token=secret123"
    assert http.call_count == 1


def test_oauth_tokens_are_bearers(http: requests_mock.Mocker, build: Build, call: Call) -> None:
    """authScheme bearer; the User-Agent names the adapter."""
    http.get(INCIDENTS, **NONE)
    build(authScheme="bearer").query({}, call)
    headers = http.last_request.headers
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["User-Agent"].startswith("opsorch-pagerduty/")


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (403, refusal("Access Denied"), AuthFailed, "Access Denied. Check apiToken"),
        (402, refusal("no teams"), ProviderError, "lacks this ability"),
        (400, refusal("Bad", ["a", "b"]), BadRequest, "HTTP 400: Bad: a; b"),
        (
            422,
            refusal("Bad", {"title": ["is empty"], "x": "y"}),
            BadRequest,
            "title: is empty; x: y",
        ),
        (400, {"error": "plain"}, BadRequest, "HTTP 400: plain"),
        (400, {"message": "flat"}, BadRequest, "HTTP 400: flat"),
        (400, refusal("Bad", {"a": {"b": [1, None, "c"]}}), BadRequest, "a: b: c"),
        (400, [], BadRequest, "HTTP 400$"),
        (400, refusal("Bad", nested(700)), BadRequest, "HTTP 400: Bad$"),
        (409, refusal("Conflict"), ProviderError, "HTTP 409: Conflict"),
        (410, refusal("Gone"), ProviderError, "HTTP 410: Gone"),
        (418, {}, ProviderError, "HTTP 418"),
        (500, refusal("Oops"), ProviderError, "HTTP 500: Oops"),
        (408, {}, UpstreamTimeout, "api.pagerduty.test ran out of time"),
    ],
)
def test_what_a_refusal_means(
    http: requests_mock.Mocker,
    provider: PagerDutyIncidents,
    call: Call,
    status: int,
    body: Any,
    error: type[OpsOrchError],
    words: str,
) -> None:
    """The vendor's words, whatever form they have, and what to do."""
    http.get(INCIDENTS, status_code=status, json=body)
    with pytest.raises(error, match=words) as failed:
        provider.query({}, call)
    assert type(failed.value) is error
    assert http.call_count == 1


@pytest.mark.parametrize(
    "body",
    [refusal("Requester User Not Found", []), refusal("You must specify a user", [], code=2016)],
)
def test_a_sender_whom_pagerduty_does_not_know_is_told(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, body: Json
) -> None:
    """The field to mend is named, its value is not shown."""
    http.post(NOTES, status_code=400, json=body)
    with pytest.raises(BadRequest, match="Check fromEmail") as failed:
        provider.append(NOTE, call)
    assert "ops@example.com" not in failed.value.message


def test_the_words_of_the_vendor_are_cut_and_clean(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """No secret at the cut, no control characters."""
    message = f"{'x' * 290} {TOKEN}\x1b[31m\n" + "y" * 500
    http.get(INCIDENTS, status_code=400, json=refusal(message))
    with pytest.raises(BadRequest) as failed:
        provider.query({}, call)
    told = failed.value.message
    assert len(told) < 400
    assert "secr" not in told
    assert told.isprintable()


@pytest.mark.case("pagerduty", 15)
@pytest.mark.parametrize(
    "body",
    [
        "<html>log in</html>",
        "[]",
        '{"incidents": [{"id": "P1"',
        "{}",
        '{"incidents": {}}',
        "",
        "null",
    ],
)
def test_an_answer_that_is_none_is_not_believed(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call, body: str
) -> None:
    """Status 200 alone is no answer."""
    http.get(INCIDENTS, text=body)
    with pytest.raises(ProviderError, match="unexpected response") as failed:
        provider.query({}, call)
    assert failed.value.code == "provider_error"
    assert failed.value.outcome_unknown is False
    assert "log in" not in failed.value.message


def test_reads_follow_redirects_to_the_same_host_only(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Credentials never leave for another host."""
    moved = {"status_code": 302, "headers": {"Location": "/v2/incidents"}}
    http.get(INCIDENTS, **moved)
    http.get(f"{API}/v2/incidents", **NONE)
    assert provider.query({}, call) == []
    http.get(INCIDENTS, status_code=302, headers={"Location": "https://evil.test/incidents"})
    with pytest.raises(ProviderError, match=r"redirects to evil\.test"):
        provider.query({}, call)
    assert "evil.test" not in [r.hostname for r in http.request_history]


def test_the_budget_covers_all_pages(
    http: requests_mock.Mocker, provider: PagerDutyIncidents
) -> None:
    """When it ends between pages there is an error, never part of a list."""
    passed_s = [0.0]

    def slowly(request: Any, context: Any) -> Json:
        passed_s[0] += 12.0
        return page("incidents", [{**FULL, "id": f"P{passed_s[0]:.0f}"}], more=True)

    http.get(INCIDENTS, json=slowly)
    call = Call(Deadline.after(30.0, lambda: passed_s[0]))
    with pytest.raises(UpstreamTimeout, match=r"pagerduty\.test:443 did not answer within 30 s"):
        provider.query({"limit": 1000}, call)
    assert http.call_count == 3


def test_a_base_url_may_end_in_a_slash_and_have_a_path(
    http: requests_mock.Mocker, build: Build, call: Call
) -> None:
    """No double slashes."""
    http.get(f"{API}/proxy/incidents", **NONE)
    assert build(apiURL=f"{API}/proxy/").query({}, call) == []


def test_an_address_beyond_ascii_is_sent_as_utf8(
    http: requests_mock.Mocker, build: Build, call: Call
) -> None:
    """Headers are bytes; these are the ones that mail uses."""
    http.post(NOTES, json={})
    build(fromEmail="jörg@exämple.com").append(NOTE, call)
    sent = http.last_request.headers["From"]
    assert sent.encode("latin-1").decode() == "jörg@exämple.com"


def test_check_looks_at_reading_service_and_user(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """One line each."""
    http.get(INCIDENTS, **NONE)
    http.get(f"{API}/services/PIJ90N7", json={"service": {"id": "PIJ90N7"}})
    http.get(f"{API}/users", json=page("users", [{"id": "PU1", "email": "Ops@example.com"}]))
    checks = provider.check(call)
    assert [(check.name, check.ok) for check in checks] == [
        ("incidents", True),
        ("serviceID", True),
        ("fromEmail", True),
    ]


def test_check_tells_what_is_missing(
    http: requests_mock.Mocker, provider: PagerDutyIncidents, call: Call
) -> None:
    """Scopes, the service, the user."""
    http.get(INCIDENTS, status_code=403, json=refusal("Access Denied"))
    http.get(f"{API}/services/PIJ90N7", status_code=404, json=refusal("Not Found"))
    http.get(f"{API}/users", json=page("users", [{"id": "PU1", "email": "other@example.com"}]))
    reading, service, user = provider.check(call)
    assert not (reading.ok or service.ok or user.ok)
    assert "incidents.read" in reading.message
    assert "no service PIJ90N7" in service.message
    assert "changes will be refused" in user.message
    http.get(f"{API}/users", status_code=403)
    assert provider.check(call)[2].ok
    assert "users.read" in provider.check(call)[2].message


def test_check_ends_where_pagerduty_does_not_answer(
    http: requests_mock.Mocker,
    provider: PagerDutyIncidents,
    services: PagerDutyServices,
    call: Call,
) -> None:
    """The next look would only take its time, too."""
    down = requests.exceptions.ConnectionError(ConnectionRefusedError())
    http.get(INCIDENTS, exc=down)
    [only] = provider.check(call)
    assert not only.ok and "refused" in only.message
    http.get(f"{API}/services", json=page("services", []))
    assert [(check.name, check.ok) for check in services.check(call)] == [("services", True)]
