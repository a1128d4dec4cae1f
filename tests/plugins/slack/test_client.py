"""Errors, retries, credentials, links and what Slack says beside the message."""

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
from opsorch_plugins.slack.mapping import ERROR_OF_CODE, error_type_of, sent_at
from opsorch_plugins.slack.provider import SlackMessaging
from tests.plugins.slack.support import (
    API,
    CHANNEL,
    LIST,
    LOOKUP,
    PERMALINK,
    POST,
    TOKEN,
    Json,
    accept,
    bodies,
    message,
    posted,
    refused,
    requests_to,
)

Build = Callable[..., SlackMessaging]


@pytest.mark.case("slack", 13)
@pytest.mark.parametrize(
    ("headers", "wait_s"), [({"Retry-After": "7"}, 7), ({}, 30), ({"Retry-After": "soon"}, 30)]
)
def test_a_rate_limit_is_told_at_once(
    http: requests_mock.Mocker, slack_of: Build, call: Call, headers: Json, wait_s: int
) -> None:
    """A post is never repeated, however short the wait would be."""
    http.post(POST, status_code=429, headers=headers, json=refused("ratelimited"))
    with pytest.raises(RateLimited, match=rf"429 \(ratelimited\).*channel {CHANNEL}") as limited:
        slack_of().send(message(), call)
    assert limited.value.retry_after_s == wait_s
    assert limited.value.outcome_unknown is False
    assert http.call_count == 1


def test_a_rate_limit_may_come_with_status_200(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """The code decides then."""
    http.post(POST, json=refused("message_limit_exceeded"), headers={"Retry-After": "3"})
    with pytest.raises(RateLimited, match="message_limit_exceeded") as limited:
        slack_of().send(message(), call)
    assert limited.value.retry_after_s == 3
    assert http.call_count == 1


@pytest.mark.case("slack", 14)
@pytest.mark.parametrize(
    ("failure", "error", "unknown"),
    [
        ({"exc": requests.exceptions.ReadTimeout}, UpstreamTimeout, True),
        ({"status_code": 408}, UpstreamTimeout, True),
        ({"status_code": 504}, UpstreamTimeout, True),
        ({"status_code": 500}, ProviderError, True),
        ({"status_code": 503, "json": refused("service_unavailable")}, ProviderError, True),
        ({"json": refused("fatal_error")}, ProviderError, True),
        ({"json": refused("request_timeout")}, ProviderError, True),
        ({"json": refused("never_heard_of")}, ProviderError, True),
        ({"json": {"ok": False}}, ProviderError, True),
        (
            {"exc": requests.exceptions.ConnectionError(ConnectionResetError())},
            UpstreamUnreachable,
            True,
        ),
        (
            {"exc": requests.exceptions.ConnectionError(ConnectionRefusedError())},
            UpstreamUnreachable,
            False,
        ),
        ({"exc": requests.exceptions.ConnectTimeout}, UpstreamUnreachable, False),
        ({"exc": requests.exceptions.SSLError}, UpstreamUnreachable, False),
    ],
)
def test_a_post_is_sent_once_and_a_lost_answer_is_said(
    http: requests_mock.Mocker,
    slack_of: Build,
    call: Call,
    pauses: list[float],
    failure: Json,
    error: type[OpsOrchError],
    unknown: bool,
) -> None:
    """Whether it may have been delivered is part of the error, and of its words."""
    http.post(POST, **failure)
    with pytest.raises(error, match=f"channel {CHANNEL}") as failed:
        slack_of().send(message("the-content"), call)
    assert type(failed.value) is error
    assert failed.value.outcome_unknown is unknown
    assert ("may have" in str(failed.value)) is unknown
    assert "the-content" not in str(failed.value)
    assert (http.call_count, pauses) == (1, [])


@pytest.mark.case("slack", 15)
@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (refused("invalid_auth"), AuthFailed, "invalid_auth"),
        (refused("missing_scope", needed="chat:write"), AuthFailed, "missing_scope.* chat:write"),
        (refused("not_in_channel"), BadRequest, r"not_in_channel; invite .* chat:write\.public"),
        (refused("channel_not_found"), NotFound, "channel_not_found; .*needs the app invited"),
        (refused("thread_not_found"), NotFound, "thread_not_found"),
        (
            refused(
                "invalid_blocks",
                response_metadata={"messages": ["[ERROR] too long [json-pointer:/blocks/3/text]"]},
            ),
            BadRequest,
            r"invalid_blocks: \[ERROR\] too long \[json-pointer:/blocks/3/text\]",
        ),
        (refused("restricted_action_read_only_channel"), BadRequest, "read_only_channel"),
        (refused("slack_connect_blocked_file_type"), BadRequest, "slack_connect_blocked"),
    ],
)
def test_refusals_of_slack(
    http: requests_mock.Mocker,
    slack_of: Build,
    call: Call,
    answer: Json,
    error: type[OpsOrchError],
    words: str,
) -> None:
    """The code of Slack is part of the message, with what can be done about it."""
    http.post(POST, json=answer)
    with pytest.raises(error, match=rf"{words}.*\(channel {CHANNEL}\)") as failed:
        slack_of().send(message(), call)
    assert failed.value.outcome_unknown is False
    assert http.call_count == 1


# The table of the specification, code by code.
CODES = {
    "auth_failed": "invalid_auth not_authed account_inactive token_revoked token_expired"
    " not_allowed_token_type no_permission org_login_required ekm_access_denied access_denied"
    " two_factor_setup_required missing_scope",
    "not_found": "channel_not_found users_not_found user_not_found thread_not_found"
    " message_not_found",
    "bad_request": "not_in_channel is_archived restricted_action"
    " restricted_action_thread_only_channel msg_too_long msg_blocks_too_long no_text"
    " invalid_blocks invalid_blocks_format too_many_attachments invalid_arguments"
    " invalid_arg_name invalid_post_type cannot_reply_to_message messages_tab_disabled"
    " slack_connect_canvas_sharing_blocked",
    "rate_limited": "ratelimited rate_limited message_limit_exceeded",
    "provider_error": "fatal_error internal_error service_unavailable request_timeout"
    " team_added_to_org something_new",
}


@pytest.mark.parametrize(("code", "words"), CODES.items())
def test_every_code_has_its_error(code: str, words: str) -> None:
    """Unknown ones are the provider's fault, not the caller's."""
    assert {error_type_of(word).code for word in words.split()} == {code}
    listed = {word for group in CODES.values() for word in group.split()}
    assert set(ERROR_OF_CODE) <= listed


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequest),
        (401, AuthFailed),
        (403, AuthFailed),
        (404, ProviderError),
        (422, BadRequest),
    ],
)
def test_statuses_without_words_of_slack(
    http: requests_mock.Mocker, slack_of: Build, call: Call, status: int, error: type[OpsOrchError]
) -> None:
    """A proxy's page is not repeated."""
    http.post(POST, status_code=status, text="<html>login</html>")
    with pytest.raises(error, match=f"HTTP {status}") as failed:
        slack_of().send(message(), call)
    assert type(failed.value) is error
    assert "login" not in str(failed.value)
    assert failed.value.outcome_unknown is False


def test_a_refusal_with_another_status_is_still_slacks(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """The status counts for 408, 429 and 5xx only."""
    http.post(POST, status_code=403, json=refused("is_archived"))
    with pytest.raises(BadRequest, match="is_archived"):
        slack_of().send(message(), call)


@pytest.mark.case("slack", 16)
@pytest.mark.parametrize(
    "failure",
    [
        {"status_code": 500},
        {"json": refused("message_not_found")},
        {"json": {"ok": True}},
        {"json": {"ok": True, "permalink": "javascript:alert(1)"}},
        {"text": "<html>"},
        {"exc": requests.exceptions.ConnectTimeout},
    ],
)
def test_a_message_without_its_link_is_sent_all_the_same(
    http: requests_mock.Mocker, slack_of: Build, call: Call, failure: Json
) -> None:
    """The link is left out."""
    http.post(POST, json=posted())
    http.get(PERMALINK, **failure)
    result = slack_of().send(message(), call)
    assert "url" not in result
    assert len(bodies(http)) == 1


def test_a_link_is_asked_for_again(
    http: requests_mock.Mocker, slack_of: Build, call: Call, pauses: list[float]
) -> None:
    """Reading is harmless: at most twice more, with growing pauses."""
    accept(http)
    link = {"json": {"ok": True, "permalink": "https://acme.slack.com/x"}}
    http.get(PERMALINK, [{"status_code": 503}, {"exc": requests.exceptions.ReadTimeout}, link])
    assert slack_of().send(message(), call)["url"] == "https://acme.slack.com/x"
    assert pauses == [0.5, 1.0]


def test_a_link_takes_five_seconds_at_most(
    http: requests_mock.Mocker, slack_of: Build, call: Call, pauses: list[float]
) -> None:
    """A longer wait is not taken, and its request may not take longer either."""
    http.post(POST, json=posted())
    http.get(PERMALINK, status_code=429, headers={"Retry-After": "6"})
    assert "url" not in slack_of().send(message(), call)
    [asked] = requests_to(http, PERMALINK)
    assert max(asked.timeout) <= 5
    assert pauses == []


def test_no_link_is_asked_for_where_that_is_off(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """One call less a message."""
    accept(http)
    assert "url" not in slack_of(permalinks=False).send(message(), call)
    assert http.call_count == 1


@pytest.mark.case("slack", 17)
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"text": "<html>", "headers": {"Content-Type": "text/html"}}, r"unexpected.*text/html"),
        ({"json": []}, "unexpected response"),
        ({"json": {"ts": "1700000000.000100"}}, "unexpected response"),
        ({"json": {"ok": "yes"}}, "unexpected response"),
        ({"status_code": 302, "json": {}}, "unexpected response"),
        ({"json": {"ok": True, "channel": CHANNEL}}, "sent, but the reply had no timestamp"),
        ({"json": {"ok": True, "ts": 1700000000.0001}}, "sent, but the reply had no timestamp"),
    ],
)
def test_answers_that_cannot_be_used(
    http: requests_mock.Mocker, slack_of: Build, call: Call, answer: Json, words: str
) -> None:
    """The message may be there: that is said."""
    http.post(POST, **answer)
    with pytest.raises(ProviderError, match=words) as failed:
        slack_of().send(message(), call)
    assert failed.value.outcome_unknown is True
    assert http.call_count == 1


def test_a_redirect_is_not_followed(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """Neither with the token nor with the message."""
    http.post(POST, status_code=307, headers={"Location": "https://elsewhere.example/"})
    with pytest.raises(ProviderError, match="redirects"):
        slack_of().send(message(), call)
    assert http.call_count == 1


@pytest.mark.case("slack", 19)
def test_the_token_never_shows(http: requests_mock.Mocker, slack_of: Build, call: Call) -> None:
    """Whatever Slack says, and wherever."""
    for answer in (
        {"json": refused(f"bad_{TOKEN}")},
        {"json": refused("missing_scope", needed=TOKEN)},
        {"json": refused("invalid_arguments", response_metadata={"messages": [f"x {TOKEN}"]})},
        {"json": refused(f"x{TOKEN}"), "status_code": 500},
    ):
        http.post(POST, **answer)
        with pytest.raises(OpsOrchError, match=r"\*\*\*") as failed:
            slack_of().send(message(), call)
        assert TOKEN not in str(failed.value)
    warned = {**posted(), "warning": TOKEN, "response_metadata": {"warnings": ["a", TOKEN]}}
    accept(http)
    http.post(POST, json=warned)
    result = slack_of().send(message(), call)
    assert result["metadata"]["warnings"] == ["***", "a"]


@pytest.mark.case("slack", 19)
def test_the_configured_token_wins_over_netrc(
    http: requests_mock.Mocker,
    slack_of: Build,
    call: Call,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is in the header of every request, and nowhere else."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine slack.com login other password wrong\n")
    monkeypatch.setenv("NETRC", str(netrc))
    accept(http)
    http.get(LIST, json={"ok": True, "channels": []})
    http.get(LOOKUP, json={"ok": True, "user": {"id": "U0123456789"}})
    for channel in ("ops", "oncall@example.com"):
        slack_of().send({"channel": channel, "body": "x"}, call)
    assert http.call_count == 6
    for request in http.request_history:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert request.headers["User-Agent"].startswith("opsorch-python/")
        assert TOKEN not in f"{request.url} {request.text}"
    assert requests_to(http, POST)[0].headers["Content-Type"] == "application/json; charset=utf-8"


def test_words_of_slack_are_cut_and_cleaned(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """300 characters, no control characters."""
    words = ["\x1b[31m\nred " + "x" * 900]
    http.post(POST, json=refused("invalid_blocks", response_metadata={"messages": words}))
    with pytest.raises(BadRequest) as failed:
        slack_of().send(message(), call)
    assert "[31m red xxx" in str(failed.value)
    assert "\x1b" not in str(failed.value)
    assert len(str(failed.value)) < 400


def test_warnings_of_slack_are_passed_on(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """Each once, with our own behind them; a bot without an id is no trouble."""
    accept(http)
    answer = {**posted(), "warning": "missing_charset,superfluous", "message": None}
    answer["response_metadata"] = {"warnings": ["missing_charset", 7]}
    http.post(POST, json=answer)
    blocks = [{"type": "header", "text": "x" * 200}]
    result = slack_of(source="acme").send(message(blocks=blocks), call)
    assert result["metadata"] == {
        "source": "acme",
        "requested_channel": CHANNEL,
        "warnings": [
            "missing_charset",
            "superfluous",
            "blocks[0].text was cut to 150 characters",
        ],
    }


@pytest.mark.parametrize(
    ("ts", "moment"),
    [
        ("1700000000.000100", "2023-11-14T22:13:20.000100Z"),
        ("1700000000.123456", "2023-11-14T22:13:20.123456Z"),
        ("1700000000.000000", "2023-11-14T22:13:20.000000Z"),
        ("not-a-time", "0001-01-01T00:00:00Z"),
    ],
)
def test_times_keep_every_digit(ts: str, moment: str) -> None:
    """A float would lose some of them."""
    assert sent_at(ts) == moment


def test_no_time_left_is_a_timeout_without_a_post(
    http: requests_mock.Mocker, slack_of: Build
) -> None:
    """Then nothing has been sent."""
    with pytest.raises(UpstreamTimeout) as failed:
        slack_of().send(message(), Call(Deadline.after(0)))
    assert failed.value.outcome_unknown is False
    assert http.call_count == 0


def checked(provider: SlackMessaging, call: Call) -> dict[str, tuple[bool, str]]:
    return {c.name: (c.ok, c.message) for c in provider.check(call)}


def test_the_check_names_missing_scopes(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """The cheapest call tells the token's owner and scopes."""
    who = {"ok": True, "user": "opsbot", "team": "Acme"}
    http.post(f"{API}/auth.test", json=who, headers={"X-OAuth-Scopes": "chat:write, groups:read"})
    found = checked(slack_of(), call)
    assert found["token"] == (True, "opsbot in Acme")
    assert found["scope chat:write"] == (True, "")
    assert found["optional scopes"][0] is True
    assert "channels:read (names of public channels)" in found["optional scopes"][1]
    assert "groups:read" not in found["optional scopes"][1]
    http.post(f"{API}/auth.test", json=who, headers={"X-OAuth-Scopes": "channels:read"})
    assert checked(slack_of(), call)["scope chat:write"] == (
        False,
        "grant the app the scope chat:write",
    )
    http.post(f"{API}/auth.test", json=who)
    assert checked(slack_of(), call) == {"token": (True, "opsbot in Acme")}
    http.post(f"{API}/auth.test", json=refused("token_revoked"))
    with pytest.raises(AuthFailed, match="token_revoked"):
        slack_of().check(call)


def test_another_root_of_the_api(http: requests_mock.Mocker, call: Call) -> None:
    """GovSlack has one; a slash at its end does not matter."""
    root = "https://slack-gov.com/api"
    http.post(f"{root}/chat.postMessage", json=posted())
    config: dict[str, Any] = {"token": TOKEN, "apiURL": f"{root}/", "permalinks": False}
    assert SlackMessaging(config).send(message(), call)["id"]
