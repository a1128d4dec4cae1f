"""A normalized message to the body of chat.postMessage."""

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.observability.redact import clean_text
from opsorch.plugin.payload import Json, object_of, objects_of, text_of
from opsorch_plugins.slack.blocks import MAX_GIVEN, Built, Format, bounded, built, sections_of
from opsorch_plugins.slack.mapping import TIMESTAMP
from opsorch_plugins.slack.splitting import cut

# Slack may split, or repeat, what is above 4000
# (docs.slack.dev/reference/methods/chat.postMessage, "Truncating content").
MAX_TEXT: Final = 3000

_IN_LINK = re.compile(r"/archives/[A-Z0-9]+/p([0-9]{10})([0-9]{6})/?", re.ASCII)

# Keys of the metadata that Slack is told of, by the type that they must have.
_OPTIONS: Final[tuple[tuple[str, type, str], ...]] = (
    ("unfurlLinks", bool, "unfurl_links"),
    ("unfurlMedia", bool, "unfurl_media"),
    ("username", str, "username"),
    ("iconEmoji", str, "icon_emoji"),
    ("iconUrl", str, "icon_url"),
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The body of chat.postMessage but for ``channel``, and what was cut for its sake."""

    body: Json
    warnings: list[str]


def prepared(payload: Mapping[str, Any], styles: Mapping[str, Format]) -> Prepared:
    """Check a message and write it as Slack takes it.

    Raises:
        BadRequest: It is empty, or a part of it does not fit; names the part.
    """
    metadata = object_of(payload, "metadata")
    style = _style_of(metadata, styles)
    body = cut(text_of(payload, "body"), MAX_GIVEN)
    made = built(objects_of(payload, "blocks"), style)
    text, made = _with_text(body, made, style)
    if not text.strip():
        raise BadRequest("message is empty")
    return Prepared(
        {
            "text": text,
            "blocks": made.blocks,
            **_thread(text_of(payload, "threadRef").strip(), metadata),
            **_options(metadata),
        },
        made.warnings,
    )


def _with_text(body: str, made: Built, style: Format) -> tuple[str, Built]:
    """Return the top-level text, and the blocks: those of the body where no others say anything."""
    top = style.top(body)
    if not top.strip():
        return cut(made.summary, MAX_TEXT), made
    warnings = list(made.warnings)
    text = cut(top, MAX_TEXT)
    if made.summary.strip():
        if text != top:
            warnings.append(f"body was cut to {MAX_TEXT} characters: blocks are shown in its place")
        return text, Built(made.blocks, warnings, made.summary)
    shown = top if style.top == style.section else style.section(body)
    blocks = sections_of(shown, style)
    return text, Built(bounded(blocks, style, warnings), warnings, made.summary)


def _style_of(metadata: Mapping[str, Any], styles: Mapping[str, Format]) -> Format:
    word = text_of(metadata, "format", where="metadata.").strip()
    if word not in styles:
        accepted = ", ".join(sorted(filter(None, styles)))
        shown = clean_text(word, 60)
        raise BadRequest(f"metadata.format: {shown!r} is unknown; use one of {accepted}")
    return styles[word]


def _thread(given: str, metadata: Mapping[str, Any]) -> Json:
    if not given:
        return {}
    answer: Json = {"thread_ts": thread_ts_of(given)}
    if True in (metadata.get("replyBroadcast"), metadata.get("reply_broadcast")):
        answer["reply_broadcast"] = True
    return answer


def thread_ts_of(reference: str) -> str:
    """Return the timestamp of the thread that a reference names: a message's id, or its link.

    Raises:
        BadRequest: It is neither.
    """
    if TIMESTAMP.fullmatch(reference):
        return reference
    try:
        parts = urllib.parse.urlsplit(reference)
        query = urllib.parse.parse_qs(parts.query)
    except ValueError:
        parts, query = urllib.parse.urlsplit(""), {}
    match = _IN_LINK.fullmatch(parts.path)
    if parts.scheme not in ("http", "https") or match is None:
        raise BadRequest(
            "threadRef must be the id of a message (seconds.microseconds) or its permalink"
        )
    root = query.get("thread_ts", [""])[0]
    return root if TIMESTAMP.fullmatch(root) else f"{match[1]}.{match[2]}"


def _options(metadata: Mapping[str, Any]) -> Json:
    found: Json = {}
    for key, kind, name in _OPTIONS:
        value = metadata.get(key)
        if isinstance(value, kind) and value != "":
            found[name] = value
    return found
