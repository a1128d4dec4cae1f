"""A small Slack Web API for one workspace, in memory: five methods, their checks and refusals.

Requests are checked as the vendor documents: the token and its scopes, names and sizes of blocks,
JSON with a charset for writes, query parameters for reads. What would have notified everybody is
counted, by the rules of Slack's own format.

Sources: docs.slack.dev/reference/methods/{chat.postMessage, conversations.list,
users.lookupByEmail, chat.getPermalink, auth.test}; .../reference/block-kit/blocks/{header-block,
section-block}; .../apis/web-api/{pagination, rate-limits}; .../messaging/formatting-message-text.
"""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import flask

Json = dict[str, Any]
ALL_SCOPES = (
    "chat:write",
    "chat:write.public",
    "chat:write.customize",
    "channels:read",
    "groups:read",
    "users:read.email",
)
BROADCAST = re.compile(r"<!(?:here|channel|everyone|group)(?:\|[^>]*)?>")
TS = re.compile(r"[0-9]{10}\.[0-9]{6}")


@dataclass
class Channel:
    id: str
    name: str
    private: bool = False
    archived: bool = False
    member: bool = True


@dataclass
class State:
    """The workspace, and what happened in it."""

    token: str = "xoxb-fake-token"
    scopes: tuple[str, ...] = ALL_SCOPES
    channels: list[Channel] = field(default_factory=list)
    emails: dict[str, str] = field(default_factory=dict)
    page_size: int = 200
    first_ts: int = 1_700_000_000
    posts: list[Json] = field(default_factory=list)
    broadcasts: list[str] = field(default_factory=list)


class Refused(Exception):
    """Slack's way to say no: HTTP 200 and ``ok`` false."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.body = {"ok": False, "error": error, **more}


def make_app(state: State | None = None) -> flask.Flask:
    app = flask.Flask("fake-slack")
    app.config["STATE"] = state if state is not None else State()
    app.json.sort_keys = False
    app.register_error_handler(Refused, lambda refused: _answer(app, refused.body))
    for method, (verbs, scope, view) in _METHODS.items():
        _route(app, method, verbs, scope, view)
    app.add_url_rule("/api/<method>", "unknown", _unknown_method, methods=["GET", "POST"])
    return app


def _route(
    app: flask.Flask, method: str, verbs: list[str], scope: str, view: Callable[[State], Json]
) -> None:
    def answer() -> Any:
        state = app.config["STATE"]
        _authenticate(state)
        _need(state, scope)
        return _answer(app, {"ok": True, **view(state)})

    app.add_url_rule(f"/api/{method}", method.replace(".", "_"), answer, methods=verbs)


def _answer(app: flask.Flask, body: Json) -> flask.Response:
    response = flask.jsonify(body)
    response.headers["X-OAuth-Scopes"] = ",".join(app.config["STATE"].scopes)
    return response


def _unknown_method(method: str) -> Any:
    raise Refused("unknown_method", req_method=method)


def _authenticate(state: State) -> None:
    given = flask.request.headers.get("Authorization", "")
    if not given.startswith("Bearer "):
        raise Refused("not_authed")
    if given != f"Bearer {state.token}":
        raise Refused("invalid_auth")


def _need(state: State, scope: str) -> None:
    if scope and scope not in state.scopes:
        raise Refused("missing_scope", needed=scope, provided=",".join(state.scopes))


# --- methods ------------------------------------------------------------------------------------


def auth_test(state: State) -> Json:
    return {"url": "https://acme.slack.com/", "team": "Acme", "user": "opsbot", "team_id": "T1"}


def conversations_list(state: State) -> Json:
    query = flask.request.args
    types = query.get("types", "public_channel").split(",")
    for kind, scope in (("public_channel", "channels:read"), ("private_channel", "groups:read")):
        if kind in types:
            _need(state, scope)
    if not 0 < int(query.get("limit", "100")) < 1000:
        raise Refused("invalid_limit")
    wanted = [
        channel
        for channel in state.channels
        if ("private_channel" if channel.private else "public_channel") in types
        and not (channel.archived and query.get("exclude_archived") == "true")
    ]
    start = _position(query.get("cursor", ""))
    end = start + min(state.page_size, int(query.get("limit", "100")))
    cursor = base64.b64encode(f"next:{end}".encode()).decode() if end < len(wanted) else ""
    return {
        "channels": [_channel(channel) for channel in wanted[start:end]],
        "response_metadata": {"next_cursor": cursor},
    }


def _position(cursor: str) -> int:
    if not cursor:
        return 0
    match = re.fullmatch(rb"next:([0-9]+)", base64.b64decode(cursor))
    if match is None:
        raise Refused("invalid_cursor")
    return int(match[1])


def _channel(channel: Channel) -> Json:
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_private": channel.private,
        "is_archived": channel.archived,
        "is_member": channel.member,
    }


def users_lookup_by_email(state: State) -> Json:
    user_id = state.emails.get(flask.request.args.get("email", ""))
    if user_id is None:
        raise Refused("users_not_found")
    return {"user": {"id": user_id, "name": "someone"}}


def chat_get_permalink(state: State) -> Json:
    channel, ts = flask.request.args.get("channel", ""), flask.request.args.get("message_ts", "")
    for post in state.posts:
        if (post["channel"], post["ts"]) == (channel, ts):
            link = f"https://acme.slack.com/archives/{channel}/p{ts.replace('.', '')}"
            root = post.get("thread_ts")
            return {
                "channel": channel,
                "permalink": f"{link}?thread_ts={root}&cid={channel}" if root else link,
            }
    raise Refused("message_not_found")


def chat_post_message(state: State) -> Json:
    request = flask.request
    if "charset" not in request.headers.get("Content-Type", ""):
        raise Refused("missing_charset")
    message = request.get_json()
    if "token" in message:
        raise Refused("not_allowed_token_type")
    text, blocks = message.get("text", ""), message.get("blocks", [])
    if not text and not blocks:
        raise Refused("no_text")
    if len(text) > 40_000:
        raise Refused("msg_too_long")
    faults = _faults(blocks)
    if faults:
        raise Refused("invalid_blocks", response_metadata={"messages": faults})
    channel_id = _addressed(state, str(message.get("channel", "")))
    root = message.get("thread_ts")
    if root and not any(p["ts"] == root and p["channel"] == channel_id for p in state.posts):
        raise Refused("thread_not_found")
    ts = f"{state.first_ts + len(state.posts)}.000100"
    state.posts.append({**message, "channel": channel_id, "ts": ts})
    state.broadcasts += [m for t in _parsed_texts(message) for m in BROADCAST.findall(t)]
    shown = {"type": "message", "bot_id": "B0123456789", "text": text, "ts": ts}
    if root:
        shown["thread_ts"] = root
    return {"channel": channel_id, "ts": ts, "message": shown}


def _addressed(state: State, channel: str) -> str:
    """Return the id of a conversation; a user's id opens a direct one."""
    if channel in state.emails.values():
        return f"D{channel[1:]}"
    for known in state.channels:
        if channel in (known.id, known.name, f"#{known.name}"):
            if known.archived:
                raise Refused("is_archived")
            if not known.member and (known.private or "chat:write.public" not in state.scopes):
                raise Refused("channel_not_found" if known.private else "not_in_channel")
            return known.id
    raise Refused("channel_not_found")


def _parsed_texts(message: Json) -> list[str]:
    """The texts that Slack looks through for mentions: plain_text objects are not among them."""
    found = [message.get("text", "")]
    for block in message.get("blocks", []):
        objects = [block.get("text"), *block.get("fields", [])]
        found += [o["text"] for o in objects if o and o["type"] == "mrkdwn"]
    return found


# --- Block Kit ----------------------------------------------------------------------------------


def _faults(blocks: list[Json]) -> list[str]:
    found = ["[ERROR] no more than 50 items allowed"] if len(blocks) > 50 else []
    for index, block in enumerate(blocks):
        where = f"/blocks/{index}"
        if block.get("type") == "header":
            found += _text_faults(block.get("text"), 150, f"{where}/text", ("plain_text",))
        elif block.get("type") == "section":
            found += _section_faults(block, where)
        elif block.get("type") != "divider":
            found.append(f"[ERROR] unsupported type [json-pointer:{where}/type]")
    return found


def _section_faults(block: Json, where: str) -> list[str]:
    fields = block.get("fields", [])
    if "text" not in block and not fields:
        return [f"[ERROR] missing required field: text [json-pointer:{where}]"]
    found = _text_faults(block["text"], 3000, f"{where}/text") if "text" in block else []
    if len(fields) > 10 or ("fields" in block and not fields):
        found.append(f"[ERROR] between 1 and 10 items allowed [json-pointer:{where}/fields]")
    for index, one in enumerate(fields):
        found += _text_faults(one, 2000, f"{where}/fields/{index}")
    return found


def _text_faults(
    text: Any, limit: int, where: str, types: tuple[str, ...] = ("plain_text", "mrkdwn")
) -> list[str]:
    if not isinstance(text, dict) or text.get("type") not in types:
        return [f"[ERROR] must be one of {types} [json-pointer:{where}/type]"]
    if not text.get("text"):
        return [f"[ERROR] must be more than 0 characters [json-pointer:{where}/text]"]
    if len(text["text"]) > limit:
        return [f"[ERROR] must be less than {limit + 1} characters [json-pointer:{where}/text]"]
    return []


_METHODS: dict[str, tuple[list[str], str, Callable[[State], Json]]] = {
    "auth.test": (["GET", "POST"], "", auth_test),
    "conversations.list": (["GET", "POST"], "", conversations_list),
    "users.lookupByEmail": (["GET", "POST"], "users:read.email", users_lookup_by_email),
    "chat.getPermalink": (["GET", "POST"], "", chat_get_permalink),
    "chat.postMessage": (["POST"], "chat:write", chat_post_message),
}
