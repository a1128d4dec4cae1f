"""Messages: what an answer holds, threads, incidents, and the channels that misbehave."""

import pytest

from opsorch.deadline import Deadline
from opsorch.errors import BadRequest, NotFound, RateLimited, UpstreamTimeout
from opsorch.plugin import Call
from tests.plugins.demo.support import ANCHOR, text


def test_a_message_is_stored_and_answered_with_id_time_and_preview(demo):
    body = "x" * 100
    sent = demo.call(
        "messaging.send", {"channel": "#checkout", "body": body, "metadata": {"a": None, "b": 1}}
    )
    assert sent == {
        "id": "msg-0001",
        "channel": "#checkout",
        "sentAt": text(ANCHOR),
        "url": "https://demo.opsorch.example/messaging/msg-0001",
        "metadata": {
            "a": None,
            "b": 1,
            "channelType": "chat",
            "preview": "x" * 80,
            "source": "demo",
        },
    }
    assert demo.call("messaging.send", {"channel": "c", "body": "y"})["id"] == "msg-0002"


@pytest.mark.parametrize(
    ("channel", "kind"),
    [
        ("#ops", "chat"),
        ("#ops@night", "chat"),
        ("sms:+15550100", "sms"),
        ("kim@demo.example", "email"),
        ("pager", "generic"),
    ],
)
def test_the_channel_type_follows_the_name(demo, channel, kind):
    sent = demo.call("messaging.send", {"channel": channel, "body": "b"})
    assert sent["metadata"]["channelType"] == kind


def test_blocks_alone_make_a_message_and_its_preview(demo):
    blocks = [
        {"type": "header", "text": "Deploy"},
        {"type": "divider"},
        {"type": "section", "text": "done", "fields": {"a": "b"}},
    ]
    sent = demo.call("messaging.send", {"channel": "#c", "blocks": blocks})
    assert sent["metadata"]["preview"] == "Deploy done"


def test_a_thread_needs_an_earlier_message(demo):
    first = demo.call("messaging.send", {"channel": "#c", "body": "1"})["id"]
    reply = demo.call("messaging.send", {"channel": "#c", "body": "2", "threadRef": first})
    assert reply["metadata"]["threadRef"] == first
    with pytest.raises(NotFound, match="msg-0009 not found"):
        demo.call("messaging.send", {"channel": "#c", "body": "3", "threadRef": "msg-0009"})
    assert demo.call("messaging.send", {"channel": "#c", "body": "4"})["id"] == "msg-0003"


def test_a_message_about_an_incident_is_in_its_timeline(demo):
    given = {"channel": "#c", "body": "look", "metadata": {"incidentId": "inc-002"}}
    sent = demo.call("messaging.send", given, actor="lena")
    assert sent["metadata"]["incidentId"] == "inc-002"
    entry = demo.call("incident.timeline.get", {"id": "inc-002"})[-1]
    assert (entry["kind"], entry["actor"]["id"], entry["at"]) == ("message", "lena", text(ANCHOR))
    assert entry["body"] == "Message to #c: look"
    assert entry["metadata"] == {"messageId": sent["id"], "channel": "#c", "source": "demo"}


def test_a_message_about_an_unknown_incident_is_not_stored(demo):
    given = {"channel": "#c", "body": "b", "metadata": {"incidentId": "inc-0"}}
    with pytest.raises(NotFound, match="incident inc-0 not found"):
        demo.call("messaging.send", given)
    assert demo.call("messaging.send", {"channel": "#c", "body": "b"})["id"] == "msg-0001"


def test_the_channels_for_demonstrations_fail_as_promised(demo):
    with pytest.raises(NotFound, match="#demo-missing not found"):
        demo.call("messaging.send", {"channel": "#demo-missing", "body": "b"})
    with pytest.raises(RateLimited, match="#demo-throttled") as caught:
        demo.call("messaging.send", {"channel": "#demo-throttled", "body": "b"})
    assert caught.value.retry_after_s == 30


def test_the_slow_channel_answers_after_two_seconds(demo, monkeypatch):
    waits = []
    provider = demo.provider("messaging.send")
    monkeypatch.setattr(provider, "wait", waits.append)
    sent = demo.call("messaging.send", {"channel": "#demo-slow", "body": "b"})
    assert sent["id"] == "msg-0001"
    assert waits == [2.0]


def test_the_slow_channel_stores_nothing_when_the_budget_is_shorter(demo, monkeypatch):
    waits = []
    provider = demo.provider("messaging.send")
    monkeypatch.setattr(provider, "wait", waits.append)
    with pytest.raises(UpstreamTimeout, match="nothing was sent"):
        provider.send({"channel": "#demo-slow", "body": "b"}, Call(Deadline.after(0.5)))
    assert 0 < waits[0] <= 0.5
    assert demo.call("messaging.send", {"channel": "#c", "body": "b"})["id"] == "msg-0001"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"body": "b"}, "channel is required"),
        ({"channel": " ", "body": "b"}, "channel is required"),
        ({"channel": "#c"}, "body or blocks is required"),
        ({"channel": "#c", "body": " "}, "body or blocks is required"),
        ({"channel": "#c", "body": "b", "blocks": "x"}, "blocks must be a list"),
        ({"channel": "#c", "body": "b", "metadata": {"incidentId": 1}}, "metadata.incidentId"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(demo, payload, message):
    with pytest.raises(BadRequest, match=message):
        demo.call("messaging.send", payload)
