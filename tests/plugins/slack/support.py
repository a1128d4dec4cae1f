"""What the tests of this adapter share."""

import re
from typing import Any

import requests_mock

Json = dict[str, Any]

API = "https://slack.com/api"
TOKEN = "xoxb-a-token-of-the-test"
CHANNEL = "C0123456789"
TS = "1700000000.000100"
LINK = f"https://acme.slack.com/archives/{CHANNEL}/p1700000000000100"

POST = f"{API}/chat.postMessage"
LIST = f"{API}/conversations.list"
LOOKUP = f"{API}/users.lookupByEmail"
PERMALINK = f"{API}/chat.getPermalink"

# What pages everybody, by Slack's own rules, and whatever looks like a command that might.
BROADCAST = re.compile(r"<\s*!(?!subteam\^|date\^)")


def posted(channel: str = CHANNEL, **more: Any) -> Json:
    message = {"type": "message", "bot_id": "B0123456789", "ts": TS, **more}
    return {"ok": True, "channel": channel, "ts": TS, "message": message}


def refused(error: str, **more: Any) -> Json:
    return {"ok": False, "error": error, **more}


def accept(http: requests_mock.Mocker, channel: str = CHANNEL, **more: Any) -> None:
    """Let posts and links succeed."""
    http.post(POST, json=posted(channel, **more))
    http.get(PERMALINK, json={"ok": True, "channel": channel, "permalink": LINK})


def requests_to(http: requests_mock.Mocker, url: str) -> list[Any]:
    """The requests seen of a method, in order."""
    return [r for r in http.request_history if r.url.partition("?")[0] == url]


def bodies(http: requests_mock.Mocker) -> list[Json]:
    """The messages posted, as JSON."""
    return [request.json() for request in requests_to(http, POST)]


def body_of(http: requests_mock.Mocker) -> Json:
    """The one message posted."""
    [body] = bodies(http)
    return body


def parsed_texts(body: Json) -> list[str]:
    """The texts in which Slack looks for mentions: plain_text objects are not among them."""
    found = [body["text"]]
    for block in body["blocks"]:
        objects = [block.get("text"), *block.get("fields", [])]
        found += [o["text"] for o in objects if o and o["type"] == "mrkdwn"]
    return found


def message(body: str = "hello", **more: Any) -> Json:
    return {"channel": CHANNEL, "body": body, **more}
