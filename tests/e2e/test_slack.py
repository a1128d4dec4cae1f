"""Dashboard, gateway, plugin and a fake Slack, over real HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.support import (
    SECRET,
    Json,
    answered,
    answers_to,
    env_of,
    examples_of,
    failed,
    guarded_gateway,
    in_process,
    limited,
    sent_once,
)
from tests.fakes.server import FakeServer, Fault, Seen, serving
from tests.fakes.slack import Channel, State, make_app
from tests.harness import Answer, Gateway, free_port

TOKEN = f"xoxb-{SECRET}"
README_TOKEN = "xoxb-your-token"
OPS = "C0123456789"
EMAIL = "oncall@example.com"
POST = "/api/chat.postMessage"


def a_state(token: str = TOKEN) -> State:
    """A workspace whose channel #incidents is on the third page of the list."""
    channels = [Channel(f"C{n:010}", f"team-{n}") for n in range(5)]
    return State(
        token,
        channels=[
            *channels,
            Channel(OPS, "incidents"),
            Channel("C0000000091", "old", archived=True),
            Channel("C0000000092", "secret", private=True, member=False),
            Channel("C0000000093", "open", member=False),
        ],
        emails={EMAIL: "U0123456789"},
        page_size=2,
    )


@pytest.fixture(scope="module")
def state(way: str) -> State:
    return a_state()


@pytest.fixture(scope="module")
def fake(state: State) -> Iterator[FakeServer]:
    with serving(make_app(state)) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(way: str, fake: FakeServer) -> Iterator[Gateway]:
    config = {"token": TOKEN, "apiURL": f"{fake.url}/api", "timeoutSeconds": 2}
    with guarded_gateway(env_of("slack", way, {"MESSAGING": config})) as running:
        yield running


def send(gateway: Gateway, channel: str, body: str = "hello", **more: Any) -> Answer:
    payload = {"channel": channel, "body": body, **more}
    return gateway.request("POST", "/messages/send", payload)


def sent(answer: Answer) -> Json:
    result: Json = answered(answer)
    return result


def is_post(seen: Seen) -> bool:
    return seen.path == POST


def test_a_message_in_markdown(gateway: Gateway, fake: FakeServer, state: State) -> None:
    """It arrives in Slack's format; id, time and link are Slack's."""
    body = "**Disk** at 91 % of `db1` & [more](https://x.example/a_(b))\n\n- one\n- two"
    result = sent(send(gateway, OPS, body))
    post = state.posts[-1]
    text = "*Disk* at 91 % of `db1` &amp; <https://x.example/a_(b)|more>\n\n• one\n• two"
    assert post["text"] == text
    assert post["blocks"] == [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]
    assert (result["id"], result["channel"]) == (post["ts"], OPS)
    assert result["sentAt"].endswith(".000100Z") and result["sentAt"].startswith("2023-11-14T")
    assert result["url"] == f"https://acme.slack.com/archives/{OPS}/p{post['ts'].replace('.', '')}"
    assert result["metadata"]["requested_channel"] == OPS
    seen = next(s for s in fake.seen if is_post(s))
    assert seen.headers["Authorization"] == f"Bearer {TOKEN}"


def test_nobody_is_paged(gateway: Gateway, state: State) -> None:
    """Whatever an alert says, in whatever part of a message."""
    alarm = "<!channel> <!here|x> <!everyone>"
    for metadata in ({}, {"format": "mrkdwn"}, {"format": "plain"}):
        blocks = [
            {"type": "header", "text": alarm},
            {"type": "section", "text": alarm, "fields": {alarm: alarm}},
        ]
        sent(send(gateway, OPS, alarm, blocks=blocks, metadata=metadata))
        sent(send(gateway, OPS, alarm, metadata=metadata))
    assert state.broadcasts == []


def test_a_channel_beyond_the_first_page(gateway: Gateway, fake: FakeServer) -> None:
    """The list is followed page by page, once."""
    before = fake.count("GET", "conversations.list")
    assert sent(send(gateway, "#Incidents"))["channel"] == OPS
    assert fake.count("GET", "conversations.list") == before + 3
    assert sent(send(gateway, "incidents"))["channel"] == OPS
    assert fake.count("GET", "conversations.list") == before + 3


def test_blocks_options_and_limits(gateway: Gateway, state: State) -> None:
    """Too much of everything still arrives, and what was cut is told."""
    code = "\n".join(f"line {n}" for n in range(900))
    blocks = [
        {"type": "header", "text": "**H** " + "x" * 200},
        {
            "type": "section",
            "text": f"```\n{code}\n```",
            "fields": {f"k{n}": f"v{n}" for n in range(12)},
        },
        *[{"type": "divider"}] * 60,
    ]
    metadata = {"username": "Pager", "iconEmoji": ":fire:", "unfurlLinks": False}
    result = sent(send(gateway, OPS, "summary", blocks=blocks, metadata=metadata))
    post = state.posts[-1]
    assert len(post["blocks"]) == 50
    assert (post["text"], post["username"], post["unfurl_links"]) == ("summary", "Pager", False)
    fields = [f["text"] for block in post["blocks"] for f in block.get("fields", [])]
    assert fields == [f"*k{n}*\nv{n}" for n in range(12)]
    assert len(result["metadata"]["warnings"]) == 2


def test_a_thread(gateway: Gateway, state: State) -> None:
    """Opened by the id of a result, or by its link."""
    root = sent(send(gateway, OPS, "root"))
    metadata = {"replyBroadcast": True}
    reply = sent(send(gateway, OPS, "reply", threadRef=root["id"], metadata=metadata))
    assert reply["metadata"]["thread_ts"] == root["id"]
    assert state.posts[-1]["reply_broadcast"] is True
    assert f"thread_ts={root['id']}" in reply["url"]
    again = sent(send(gateway, OPS, "again", threadRef=reply["url"]))
    assert again["metadata"]["thread_ts"] == root["id"]
    body = failed(send(gateway, OPS, "x", threadRef="1600000000.000001"), 404, "not_found")
    assert "thread_not_found" in body["message"]
    failed(send(gateway, OPS, "x", threadRef="abc"), 400, "bad_request")


def test_a_direct_message_by_email(gateway: Gateway) -> None:
    """Slack opens the conversation; an unknown address is not found."""
    assert sent(send(gateway, EMAIL))["channel"] == "D0123456789"
    body = failed(send(gateway, "nobody@example.com"), 404, "not_found")
    assert "users_not_found" in body["message"]


def test_refusals(gateway: Gateway, state: State) -> None:
    """Slack's own code, and what can be done about it."""
    count = len(state.posts)
    body = failed(send(gateway, "C0000099999"), 404, "not_found")
    assert "channel_not_found" in body["message"] and "C0000099999" in body["message"]
    body = failed(send(gateway, "C0000000091"), 400, "bad_request")
    assert "is_archived" in body["message"]
    body = failed(send(gateway, "C0000000092"), 404, "not_found")
    assert "invited" in body["message"]
    failed(send(gateway, "@jo"), 400, "bad_request")
    failed(send(gateway, OPS, "&nbsp;"), 400, "bad_request")
    image = [{"type": "image", "text": "x"}]
    failed(send(gateway, OPS, "x", blocks=image), 400, "bad_request")
    assert len(state.posts) == count


def test_refused_credentials_and_scopes(gateway: Gateway, state: State) -> None:
    """Slack's refusal is not the caller's; a missing scope is named."""
    kept = state.token, state.scopes
    try:
        state.scopes = ()
        body = failed(send(gateway, OPS), 502, "auth_failed")
        assert "missing_scope" in body["message"] and "chat:write" in body["message"]
        state.scopes, state.token = kept[1], "xoxb-another"
        body = failed(send(gateway, OPS), 502, "auth_failed")
        assert "invalid_auth" in body["message"]
    finally:
        state.token, state.scopes = kept


def test_rate_limits(gateway: Gateway, fake: FakeServer) -> None:
    """How long to wait is passed on; the message is not sent again."""
    before = fake.count("POST", POST)
    fake.fail_next(Fault(status=429, headers={"Retry-After": "77"}, when=is_post))
    limited(send(gateway, OPS), 77)
    assert fake.count("POST", POST) == before + 1


def test_a_post_that_times_out_is_sent_once(
    gateway: Gateway, fake: FakeServer, state: State
) -> None:
    """It was delivered, and nobody knows: the error says so. Then all is well."""
    count = len(state.posts)
    fake.fail_next(Fault(hang=True, apply_first=True, when=is_post))
    body = sent_once(fake, POST, lambda: send(gateway, OPS), 504, "upstream_timeout")
    assert "may have" in body["message"]
    assert len(state.posts) == count + 1
    sent(send(gateway, OPS))


def test_other_lost_answers(gateway: Gateway, fake: FakeServer) -> None:
    """Each is one post, whose outcome is unknown, without Slack's page."""
    faults = [
        (Fault(drop=True, apply_first=True, when=is_post), "upstream_unreachable"),
        (Fault(status=500, body=f"<html>{SECRET}</html>", when=is_post), "provider_error"),
        (Fault(status=200, body="<html>log in</html>", when=is_post), "provider_error"),
        (
            Fault(status=200, body='{"ok": false, "error": "fatal_error"}', when=is_post),
            "provider_error",
        ),
    ]
    for fault, code in faults:
        fake.fail_next(fault)
        body = sent_once(fake, POST, lambda: send(gateway, OPS), 502, code)
        assert "<html>" not in body["message"]


def test_a_message_without_its_link(gateway: Gateway, fake: FakeServer) -> None:
    """It is sent; the link is left out."""

    def is_link(seen: Seen) -> bool:
        return seen.path == "/api/chat.getPermalink"

    fake.fail_next(Fault(status=200, body='{"ok": false, "error": "x"}', when=is_link))
    assert "url" not in sent(send(gateway, OPS))


def test_wrong_addresses_and_settings(way: str) -> None:
    """A server that is not there, and a setting that does not fit, are told by name."""
    address = f"127.0.0.1:{free_port()}"
    config = {"token": TOKEN, "apiURL": f"http://{address}/api"}
    with guarded_gateway(env_of("slack", way, {"MESSAGING": config})) as gateway:
        body = failed(send(gateway, OPS), 502, "upstream_unreachable")
        assert address in body["message"]
        assert "outcome" not in body
    hook = f"https://hooks.slack.com/services/{TOKEN}"
    with guarded_gateway(env_of("slack", way, {"MESSAGING": {"token": hook}})) as gateway:
        body = failed(send(gateway, OPS), 502, "invalid_config")
        assert "token" in body["message"] and "webhook" in body["message"]
        assert gateway.request("GET", "/health").status == 200


def test_the_readme_works_as_written(way: str) -> None:
    """Its environment and its commands, but for the address of Slack and a thread to reply to."""
    examples = examples_of("slack", curls=4)
    state = a_state(README_TOKEN)
    state.posts.append({"channel": OPS, "ts": "1700000000.000100", "text": "the root"})
    with serving(make_app(state)) as fake:
        config = json.loads(examples.env["OPSORCH_MESSAGING_CONFIG"])
        config["apiURL"] = f"{fake.url}/api"
        env = {**examples.env, "OPSORCH_MESSAGING_CONFIG": json.dumps(config)}
        if way == "in-process":
            env = in_process("slack", env)
        answers = answers_to(examples, env)
    assert [answer.status for answer in answers] == [200] * 4
    assert [answer.json["channel"] for answer in answers] == [OPS, OPS, OPS, "D0123456789"]
    assert all(answer.json["url"] for answer in answers)
    assert len(state.posts) == 5
