"""The plugin as a real process against a fake Slack over real HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from opsorch.plugin.testing import PluginProcess, command_of, run_plugin
from opsorch_plugins.slack.provider import SlackMessaging
from tests.fakes.server import FakeServer, Fault, serving
from tests.fakes.slack import Channel, State, make_app
from tests.harness import free_port
from tests.plugins.support import Json, Plugin

SECRET = "xoxb-a-secret-of-the-process-test"
OPS = "C0000000042"


@pytest.fixture
def state() -> State:
    channels = [Channel(f"C{n:010}", f"team-{n}") for n in range(5)]
    return State(SECRET, channels=[*channels, Channel(OPS, "ops", private=True)], page_size=2)


@pytest.fixture
def fake(state: State) -> Iterator[FakeServer]:
    with serving(make_app(state)) as server:
        yield server


class Slack(Plugin):
    """A plugin process with its configuration."""

    def send(self, channel: str, body: str = "hello", **more: Any) -> Json:
        sent: Json = self("messaging.send", {"channel": channel, "body": body, **more})
        return sent

    def refused(self, channel: str, body: str = "hello") -> Json:
        return self.error("messaging.send", {"channel": channel, "body": body})


@pytest.fixture
def slack(fake: FakeServer) -> Iterator[Slack]:
    with run_plugin(SlackMessaging) as process:
        yield Slack(process, {"token": SECRET, "apiURL": f"{fake.url}/api"}, SECRET)


def test_a_message_and_its_thread(slack: Slack, fake: FakeServer, state: State) -> None:
    """The id of the one result opens the thread of the other."""
    first = slack.send("#ops", "**Disk** of `db1` <!channel>")
    assert (first["channel"], first["sentAt"]) == (OPS, "2023-11-14T22:13:20.000100Z")
    assert first["url"] == f"https://acme.slack.com/archives/{OPS}/p1700000000000100"
    reply = slack.send(OPS, "fixed", threadRef=first["id"])
    assert reply["metadata"]["thread_ts"] == first["id"]
    again = slack.send(OPS, "really", threadRef=reply["url"])
    assert again["metadata"]["thread_ts"] == first["id"]
    assert fake.count("GET", "conversations.list") == 3
    assert state.posts[0]["text"] == "*Disk* of `db1` &lt;!channel&gt;"
    assert state.broadcasts == []


def test_describe_and_check(slack: Slack, state: State) -> None:
    """The check tells who the bot is and what it may not do."""
    about = slack("plugin.describe")
    assert (about["name"], about["capability"]) == ("slack", "messaging")
    assert slack("plugin.check")["ok"] is True
    state.scopes = ("channels:read",)
    result = slack("plugin.check")
    assert result["ok"] is False
    assert "grant the app the scope chat:write" in str(result)
    state.token = "another"
    assert "invalid_auth" in str(slack("plugin.check"))


def test_failures(slack: Slack, fake: FakeServer, state: State) -> None:
    """The protocol's errors, with what the caller needs to know of them."""
    assert slack.refused("C0000099999")["code"] == "not_found"
    assert slack.error("messaging.nonsense")["code"] == "bad_request"
    assert slack.refused("", "x")["message"] == "channel is required"
    fake.fail_next(Fault(status=429, headers={"Retry-After": "7"}))
    assert slack.refused(OPS)["retryAfter"] == 7
    fake.fail_next(Fault(apply_first=True, drop=True))
    lost = slack.refused(OPS)
    assert (lost["code"], lost["outcome"]) == ("upstream_unreachable", "unknown")
    assert len(state.posts) == 1
    fake.fail_next(Fault(apply_first=True, hang=True))
    before = len(fake.seen)
    late = slack.error("messaging.send", {"channel": OPS, "body": "x"}, timeoutMs=1500)
    assert (late["code"], late["outcome"]) == ("upstream_timeout", "unknown")
    assert len(fake.seen) == before + 1
    assert len(state.posts) == 2
    slack.config["apiURL"] = f"http://127.0.0.1:{free_port()}/api"
    refused = slack.refused(OPS)
    assert refused["code"] == "upstream_unreachable"
    assert "outcome" not in refused


def test_nothing_secret_is_written(fake: FakeServer) -> None:
    """Neither replies nor the log hold the token, whatever Slack answers."""
    process = PluginProcess(command_of(SlackMessaging))
    config = {"token": SECRET, "apiURL": f"{fake.url}/api", "bogus": 1}
    payload = {"channel": OPS, "body": "x"}
    try:
        fake.fail_next(Fault(status=200, body=f'{{"ok": false, "error": "bad {SECRET}"}}'))
        replies = [process.call("messaging.send", payload, config=config)]
        fake.fail_next(Fault(status=401, body=SECRET))
        replies.append(process.call("messaging.send", payload, config=config))
        replies.append(process.call("messaging.send", payload, config={"token": f" http{SECRET}"}))
        replies.append(process.send_line(b"{nonsense"))
    finally:
        log = process.close()
    codes = [reply["error"]["code"] for reply in replies]
    assert codes == ["provider_error", "auth_failed", "invalid_config", "bad_request"]
    assert SECRET not in f"{replies} {log}"
    assert "unknown field(s) ignored: bogus" in log
