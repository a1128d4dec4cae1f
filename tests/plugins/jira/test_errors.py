"""What Jira's failures become, and which requests run again."""

import base64
import datetime
from collections.abc import Callable
from typing import Any

import pytest
import requests
import requests_mock

from opsorch.deadline import Deadline
from opsorch.errors import (
    AuthFailed,
    BadRequest,
    InvalidConfig,
    NotFound,
    OpsOrchError,
    ProviderError,
    RateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from opsorch.plugin import Call
from opsorch_plugins.jira.provider import JiraTickets
from tests.plugins.jira.support import API, CONFIG, SEARCH, TOKEN, an_issue, page

Json = dict[str, Any]
Build = Callable[..., JiraTickets]


@pytest.mark.case("jira", 19)
def test_a_dead_token_is_not_an_empty_list(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Jira may answer 200 as if nobody had asked; 401 may repeat the token."""
    for reason in ("AUTHENTICATED_FAILED", "AUTHENTICATION_DENIED; x"):
        http.post(SEARCH, json=page(), headers={"X-Seraph-LoginReason": reason})
        with pytest.raises(AuthFailed, match="email and apiToken"):
            tickets_of().query({}, call)
    http.post(SEARCH, json=page(), headers={"X-Seraph-LoginReason": "OK"})
    assert tickets_of().query({}, call) == []
    for status in (401, 403):
        http.post(SEARCH, status_code=status, json={"errorMessages": [f"bad {TOKEN}"]})
        with pytest.raises(AuthFailed) as refused:
            tickets_of().query({}, call)
        assert TOKEN not in refused.value.message
    assert http.call_count == 5


def test_credentials_are_sent_as_basic_auth(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """In UTF-8, whatever netrc says."""
    http.post(SEARCH, json=page())
    tickets_of(email="üser@example.test").query({}, call)
    pair = base64.b64encode(f"üser@example.test:{TOKEN}".encode()).decode()
    assert http.last_request.headers["Authorization"] == f"Basic {pair}"


@pytest.mark.case("jira", 20)
def test_answers_that_are_none(http: requests_mock.Mocker, tickets_of: Build, call: Call) -> None:
    """A page for people, an object without issues."""
    html = {"text": "<html>log in</html>", "headers": {"Content-Type": "text/html"}}
    for answer in (html, {"json": {}}, {"json": {"issues": {}}}, {"json": []}):
        http.post(SEARCH, **answer)
        with pytest.raises(ProviderError, match="unexpected response") as failed:
            tickets_of().query({}, call)
        assert "log in" not in failed.value.message


@pytest.mark.case("jira", 20)
def test_a_missing_url_is_a_fault_of_the_configuration() -> None:
    """There is no host to fall back to."""
    config = {name: value for name, value in CONFIG.items() if name != "apiURL"}
    with pytest.raises(InvalidConfig, match=r"^jira config: missing required field\(s\): apiURL$"):
        JiraTickets(config)


@pytest.mark.parametrize(
    ("status", "error", "tries"),
    [
        (400, BadRequest, 1),
        (422, BadRequest, 1),
        (404, NotFound, 1),
        (408, UpstreamTimeout, 1),
        (409, ProviderError, 1),
        (410, ProviderError, 1),
        (418, ProviderError, 1),
        (500, ProviderError, 1),
        (502, ProviderError, 3),
        (503, ProviderError, 3),
        (504, UpstreamTimeout, 3),
    ],
)
def test_each_status_has_its_error(
    http: requests_mock.Mocker,
    tickets_of: Build,
    call: Call,
    status: int,
    error: type[OpsOrchError],
    tries: int,
) -> None:
    """Only what may pass by itself is tried again."""
    http.post(SEARCH, status_code=status, text="<html>trouble</html>")
    with pytest.raises(error) as failed:
        tickets_of().query({}, call)
    assert failed.type is error
    assert "<html>" not in failed.value.message
    assert failed.value.outcome_unknown is False
    assert http.call_count == tries


def test_jiras_words_reach_the_caller(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Joined, cut, without control characters and without secrets."""
    body = {
        "errorMessages": [f"Error in the JQL: {TOKEN}\n\x07x"],
        "errors": {"labels": "no blanks", "field": "y" * 400},
    }
    http.post(SEARCH, status_code=400, json=body)
    with pytest.raises(BadRequest) as refused:
        tickets_of().query({}, call)
    message = refused.value.message
    assert "Error in the JQL: *** x; labels: no blanks; field: yy" in message
    assert len(message) < 350 and message.isprintable()
    http.post(SEARCH, status_code=400, json={"message": "plain words"})
    with pytest.raises(BadRequest, match="plain words"):
        tickets_of().query({}, call)


def test_a_secret_is_not_told_in_halves(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """It is taken out before the words are cut."""
    words = "x" * (300 - len(TOKEN) // 2) + TOKEN
    for status in (400, 404):
        http.post(SEARCH, status_code=status, json={"errorMessages": [words]})
        with pytest.raises(OpsOrchError) as refused:
            tickets_of().query({}, call)
        assert TOKEN[:5] not in refused.value.message


def test_a_short_rate_limit_is_waited_for(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, pauses: list[float]
) -> None:
    """As long as Jira says."""
    limited = {"status_code": 429, "headers": {"Retry-After": "3"}}
    http.post(SEARCH, [limited, limited, {"json": page(an_issue())}])
    assert len(tickets_of().query({}, call)) == 1
    assert pauses == [3.0, 3.0]


def _in_seconds(seconds: float) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"Retry-After": "77"}, 77, 77),
        ({"X-RateLimit-Reset": _in_seconds(7200)}, 6000, 7200),
        ({"X-RateLimit-Reset": "2001-01-01T10:00Z"}, 1, 1),
        ({"X-RateLimit-Reset": "soon"}, 30, 30),
        ({}, 30, 30),
    ],
)
def test_a_long_rate_limit_is_told_at_once(
    http: requests_mock.Mocker, tickets_of: Build, headers: dict[str, str], low: int, high: int
) -> None:
    """With the time to wait and the reason; half a minute where no time is told."""
    headers["RateLimit-Reason"] = "jira-quota-based"
    http.post(SEARCH, status_code=429, headers=headers)
    with pytest.raises(RateLimited, match="jira-quota-based") as limited:
        tickets_of().query({}, Call(Deadline.after(20)))
    assert limited.value.retry_after_s is not None
    assert low <= limited.value.retry_after_s <= high


def test_a_passing_trouble_of_a_read_is_bridged(
    http: requests_mock.Mocker, tickets_of: Build, call: Call, pauses: list[float]
) -> None:
    """Half a second, then one."""
    lost = {"exc": requests.exceptions.ConnectionError}
    http.post(SEARCH, [lost, {"exc": requests.exceptions.ReadTimeout}, {"json": page()}])
    assert tickets_of().query({}, call) == []
    assert pauses == [0.5, 1.0]


def test_a_site_that_cannot_be_reached(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Host, port and kind of failure are told."""
    http.post(SEARCH, exc=requests.exceptions.ConnectTimeout)
    with pytest.raises(UpstreamUnreachable, match=r"example\.atlassian\.test:443.*connect timeout"):
        tickets_of().query({}, call)
    assert http.call_count == 3


def test_a_budget_that_ends_between_pages_is_an_error(
    http: requests_mock.Mocker, tickets_of: Build
) -> None:
    """Not a list that looks whole."""
    now = [0.0]

    def answer(request: Any, context: Any) -> Json:
        now[0] += 20
        return page(an_issue(), nextPageToken=str(now[0]))

    http.post(SEARCH, json=answer)
    with pytest.raises(UpstreamTimeout):
        tickets_of().query({"limit": 500}, Call(Deadline.after(30, lambda: now[0])))
    assert http.call_count == 2


def test_redirects_are_not_followed(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Neither of reads nor of writes."""
    headers = {"Location": "https://login.test/?x=1"}
    http.post(SEARCH, status_code=302, headers=headers)
    http.post(f"{API}/issue", status_code=307, headers=headers)
    with pytest.raises(ProviderError, match=r"redirects to login\.test"):
        tickets_of().query({}, call)
    with pytest.raises(ProviderError, match=r"redirects to login\.test"):
        tickets_of().create({"title": "x"}, call)
    assert http.call_count == 2


def test_other_lists_are_checked_too(
    http: requests_mock.Mocker, tickets_of: Build, call: Call
) -> None:
    """Users and components."""
    http.get(f"{API}/user/search", json={"users": []})
    http.get(f"{API}/project/OPS/components", json={"values": []})
    for payload in ({"assignees": ["a@b.test"]}, {"scope": {"service": "x"}}):
        with pytest.raises(ProviderError, match="no list"):
            tickets_of().query(payload, call)
