"""Where messages go: the forms of a channel, look-ups, what is kept of them, threads."""

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
)
from opsorch.plugin import Call
from opsorch_plugins.slack import channels as channels_module
from opsorch_plugins.slack.channels import CACHE_S, MAX_PAGES, Channels, Target, target_of
from opsorch_plugins.slack.message import thread_ts_of
from opsorch_plugins.slack.provider import SlackMessaging
from tests.plugins.slack.support import (
    CHANNEL,
    LIST,
    LOOKUP,
    POST,
    Json,
    accept,
    bodies,
    body_of,
    message,
    posted,
    refused,
    requests_to,
)

Build = Callable[..., SlackMessaging]
EMAIL = "oncall@example.com"
USER = "U0123456789"


def to(channel: str, **more: Any) -> Json:
    return {"channel": channel, "body": "hello", **more}


def page(names: dict[str, str], cursor: str = "") -> Json:
    found = [{"id": i, "name": n, "name_normalized": n} for n, i in names.items()]
    return {"ok": True, "channels": found, "response_metadata": {"next_cursor": cursor}}


@pytest.mark.parametrize(
    ("channel", "target"),
    [
        ("<#C123ABC>", Target("id", "C123ABC")),
        ("<#C123ABC|name>", Target("id", "C123ABC")),
        ("https://acme.slack.com/archives/C123ABC", Target("id", "C123ABC")),
        ("https://acme.slack.com/archives/C123ABC/p1700000000000100?x=1", Target("id", "C123ABC")),
        ("https://acme.enterprise.slack.com/archives/G12345678/", Target("id", "G12345678")),
        (
            "https://acme.evil.example/archives/C12",
            Target("name", "https://acme.evil.example/archives/c12"),
        ),
        ("C0123456789", Target("id", "C0123456789")),
        ("G01234567", Target("id", "G01234567")),
        ("D0123456789", Target("id", "D0123456789")),
        ("U0123456789", Target("id", "U0123456789")),
        ("W0123456789", Target("id", "W0123456789")),
        ("<@U0123456789>", Target("id", "U0123456789")),
        ("<@W012|x>", Target("id", "W012")),
        ("C0123", Target("name", "c0123")),
        ("c0123456789", Target("name", "c0123456789")),
        (EMAIL, Target("email", EMAIL)),
        ("#Incidents", Target("name", "incidents")),
        ("incidents", Target("name", "incidents")),
        ("Vorfälle", Target("name", "vorfälle")),
        ("x@", Target("name", "x@")),
    ],
)
def test_forms_of_a_channel(channel: str, target: Target) -> None:
    """The first form that fits decides."""
    assert target_of(channel) == target


@pytest.mark.parametrize(
    ("channel", "fault"), [("", "channel is required"), ("#", "required"), ("@jo", "handle")]
)
def test_channels_that_cannot_be_addressed(
    http: requests_mock.Mocker, slack_of: Build, call: Call, channel: str, fault: str
) -> None:
    """They are refused without a call."""
    with pytest.raises(BadRequest, match=fault):
        slack_of().send(to(channel), call)
    assert http.call_count == 0


def test_a_message_without_a_channel_goes_to_the_default_one(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """In any form."""
    accept(http)
    result = slack_of(defaultChannel=f"<#{CHANNEL}|ops>").send({"body": "x"}, call)
    assert body_of(http)["channel"] == CHANNEL
    assert result["metadata"]["requested_channel"] == f"<#{CHANNEL}|ops>"


@pytest.mark.case("slack", 8)
def test_a_name_is_looked_up_once(http: requests_mock.Mocker, slack_of: Build, call: Call) -> None:
    """Page after page until it is found; the second message needs no look-up."""
    accept(http, "C0000000001")
    pages = [page({"other": "C0000000009"}, "next="), page({"incidents": "C0000000001"})]
    http.get(LIST, [{"json": one} for one in pages])
    slack = slack_of()
    results = [slack.send(to(name), call) for name in ("#Incidents", "incidents")]
    assert [body["channel"] for body in bodies(http)] == ["C0000000001"] * 2
    first, second = requests_to(http, LIST)
    assert first.qs == {
        "types": ["public_channel,private_channel"],
        "exclude_archived": ["true"],
        "limit": ["200"],
    }
    assert second.qs["cursor"] == ["next="]
    assert results[0]["metadata"]["requested_channel"] == "#Incidents"


def test_a_kept_name_is_looked_up_again_after_ten_minutes(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """Channels are renamed."""
    now = [0.0]
    http.get(LIST, json=page({"incidents": "C0000000001"}))
    known = Channels(slack_of().client, clock=lambda: now[0])
    for moment, calls in ((0.0, 1), (CACHE_S - 1, 1), (CACHE_S, 2), (CACHE_S + 1, 2)):
        now[0] = moment
        assert known.address_of(Target("name", "incidents"), call) == "C0000000001"
        assert http.call_count == calls


def test_what_is_kept_is_bounded(
    http: requests_mock.Mocker,
    slack_of: Build,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A workspace of many channels does not fill memory."""
    monkeypatch.setattr(channels_module, "MAX_CACHED", 5)
    names = [{f"n{i}-{n}": "C0000000001" for n in range(3)} for i in range(4)]
    http.get(LIST, [{"json": page(found, f"c{i}")} for i, found in enumerate(names)])
    known = Channels(slack_of().client)
    assert known.address_of(Target("name", "n3-2"), call) == "C0000000001"
    assert len(known._known) <= 5


@pytest.mark.case("slack", 9)
def test_a_name_goes_to_slack_where_it_may_not_be_looked_up(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """The second try asks for public channels only, which needs one scope less."""
    accept(http)
    http.get(LIST, json=refused("missing_scope", needed="channels:read"))
    result = slack_of().send(to("Incidents"), call)
    assert body_of(http)["channel"] == "#incidents"
    assert result["channel"] == CHANNEL
    assert [request.qs["types"] for request in requests_to(http, LIST)] == [
        ["public_channel,private_channel"],
        ["public_channel"],
    ]


def test_public_channels_are_found_without_the_scope_for_private_ones(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """The second list has it."""
    accept(http)
    answers = [refused("missing_scope", needed="groups:read"), page({"ops": "C0000000001"})]
    http.get(LIST, [{"json": answer} for answer in answers])
    slack_of().send(to("ops"), call)
    assert body_of(http)["channel"] == "C0000000001"


@pytest.mark.parametrize(
    "failure",
    [
        {"json": refused("internal_error")},
        {"json": refused("invalid_auth")},
        {"status_code": 500},
        {"status_code": 429, "headers": {"Retry-After": "3600"}},
        {"exc": requests.exceptions.ReadTimeout},
        {"exc": requests.exceptions.ConnectionError},
        {"text": "<html>"},
        {"json": {"ok": True, "channels": None}},
        {"json": {"ok": True, "channels": [None, {"id": 7, "name": "ops"}, {"name": "ops"}]}},
    ],
)
def test_a_failed_look_up_does_not_keep_a_message(
    http: requests_mock.Mocker, slack_of: Build, call: Call, failure: Json
) -> None:
    """Slack decides on the name."""
    accept(http)
    http.get(LIST, **failure)
    slack_of().send(to("ops"), call)
    assert body_of(http)["channel"] == "#ops"


def test_a_look_up_leaves_half_of_the_time(
    http: requests_mock.Mocker, slack_of: Build, pauses: list[float]
) -> None:
    """A rate limit of 20 s is not waited for within a budget of 30 s."""
    accept(http)
    http.get(LIST, status_code=429, headers={"Retry-After": "20"})
    slack_of().send(to("ops"), Call(Deadline.after(30)))
    assert pauses == []
    assert body_of(http)["channel"] == "#ops"


def test_the_pages_of_a_look_up_are_bounded(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """The method allows about 20 calls a minute."""
    accept(http)
    http.get(LIST, json=page({"other": "C0000000009"}, "again"))
    slack_of().send(to("ops"), call)
    assert len(requests_to(http, LIST)) == MAX_PAGES == 20
    assert body_of(http)["channel"] == "#ops"


def test_a_kept_id_that_slack_no_longer_knows_is_dropped(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """The error is told, the message is not sent again, and the next one looks the name up."""
    http.get(LIST, json=page({"ops": "C0000000001"}))
    accept(http)
    slack = slack_of()
    slack.send(to("ops"), call)
    http.post(POST, json=refused("channel_not_found"))
    with pytest.raises(NotFound, match=r"channel_not_found; .*invited \(channel C0000000001\)"):
        slack.send(to("ops"), call)
    assert (len(bodies(http)), len(requests_to(http, LIST))) == (2, 1)
    accept(http)
    slack.send(to("ops"), call)
    assert len(requests_to(http, LIST)) == 2


def test_names_are_sent_as_given_where_look_ups_are_off(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """Ids are still read out of links."""
    accept(http)
    slack = slack_of(resolveChannels=False)
    slack.send(to(" Ops "), call)
    slack.send(to(f"https://acme.slack.com/archives/{CHANNEL}"), call)
    assert [body["channel"] for body in bodies(http)] == ["Ops", CHANNEL]
    assert requests_to(http, LIST) == []


@pytest.mark.case("slack", 10)
def test_a_message_to_an_email_address_is_a_direct_one(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """Slack opens the conversation; its id is the result's channel."""
    accept(http, "D0123456789")
    http.get(LOOKUP, json={"ok": True, "user": {"id": USER}})
    slack = slack_of()
    result = slack.send(to(EMAIL), call)
    assert (body_of(http)["channel"], result["channel"]) == (USER, "D0123456789")
    assert result["metadata"]["requested_channel"] == EMAIL
    slack.send(to(EMAIL), call)
    [lookup] = requests_to(http, LOOKUP)
    assert lookup.qs == {"email": [EMAIL]}


@pytest.mark.case("slack", 11)
def test_an_unknown_email_address_is_not_found(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """Nothing is posted."""
    http.get(LOOKUP, json=refused("users_not_found"))
    with pytest.raises(NotFound, match=rf"users_not_found \(email {EMAIL}\)"):
        slack_of().send(to(EMAIL), call)
    assert bodies(http) == []


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (refused("missing_scope", needed="users:read.email"), AuthFailed, "users:read.email"),
        ({"ok": True, "user": None}, ProviderError, "names no user"),
        (refused("ratelimited"), RateLimited, "ratelimited"),
    ],
)
def test_a_failed_look_up_of_an_address_is_told(
    http: requests_mock.Mocker,
    slack_of: Build,
    call: Call,
    answer: Json,
    error: type[OpsOrchError],
    words: str,
) -> None:
    """There is nothing else to post to; nothing is posted, so nothing is unknown."""
    http.get(LOOKUP, json=answer)
    with pytest.raises(error, match=words) as failed:
        slack_of().send(to(EMAIL), call)
    assert failed.value.outcome_unknown is False
    assert bodies(http) == []


@pytest.mark.case("slack", 12)
@pytest.mark.parametrize(
    "reference",
    [
        "1699999999.000200",
        "https://acme.slack.com/archives/C012/p1699999999000200",
        "https://acme.slack.com/archives/C012/p1700000000000100?thread_ts=1699999999.000200&cid=C012",
        " 1699999999.000200 ",
    ],
)
@pytest.mark.parametrize("key", ["replyBroadcast", "reply_broadcast"])
def test_a_reply_goes_to_its_thread(
    http: requests_mock.Mocker, slack_of: Build, call: Call, reference: str, key: str
) -> None:
    """Named by the id of an earlier result, or by its link."""
    accept(http, thread_ts="1699999999.000200")
    payload = message(threadRef=reference, metadata={key: True})
    result = slack_of().send(payload, call)
    body = body_of(http)
    assert (body["thread_ts"], body["reply_broadcast"]) == ("1699999999.000200", True)
    assert result["metadata"]["thread_ts"] == "1699999999.000200"


@pytest.mark.case("slack", 12)
@pytest.mark.parametrize(
    "reference",
    [
        *("abc", "1700000000", "1700000000.1", "https://acme.slack.com/archives/C012", "p17"),
        *("https://[::1", "ftp://acme.slack.com/archives/C012/p1700000000000100"),
        "https://acme.slack.com/archives/C012/p17000000000001000",
    ],
)
def test_a_thread_that_cannot_be_read_makes_no_call(
    http: requests_mock.Mocker, slack_of: Build, call: Call, reference: str
) -> None:
    """The message says what is accepted."""
    with pytest.raises(BadRequest, match="threadRef must be the id"):
        slack_of().send(message(threadRef=reference), call)
    assert http.call_count == 0


def test_a_broadcast_of_a_reply_needs_a_thread(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """And the value true."""
    accept(http)
    slack_of().send(message(metadata={"replyBroadcast": True}), call)
    slack_of().send(
        message(threadRef="1699999999.000200", metadata={"replyBroadcast": "yes"}), call
    )
    assert all("reply_broadcast" not in body for body in bodies(http))


def test_an_odd_thread_in_a_link_is_not_taken() -> None:
    """The message of the link itself is."""
    link = "https://a.slack.com/archives/C012/p1700000000000100?thread_ts=x"
    assert thread_ts_of(link) == "1700000000.000100"


def test_the_channel_of_a_result_is_the_one_of_the_reply(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """Where Slack names none, it is the one that was asked for."""
    accept(http)
    http.post(POST, json={**posted(), "channel": None})
    assert slack_of().send(message(), call)["channel"] == CHANNEL
