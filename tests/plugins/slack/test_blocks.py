"""Bodies and blocks to Block Kit: sizes, order, formats."""

from collections.abc import Callable
from typing import Any

import pytest
import requests_mock
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from opsorch.errors import BadRequest
from opsorch.plugin import Call
from opsorch_plugins.slack.blocks import formats
from opsorch_plugins.slack.message import prepared
from opsorch_plugins.slack.provider import SlackMessaging
from tests.plugins.slack.support import (
    BROADCAST,
    CHANNEL,
    LINK,
    TS,
    Json,
    accept,
    body_of,
    message,
    parsed_texts,
)
from tests.plugins.slack.test_mrkdwn import HOSTILE

Build = Callable[..., SlackMessaging]
STYLES = formats(allow_broadcast=False)


def section(text: str) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def built(**payload: Any) -> Json:
    return prepared(payload, STYLES).body


@pytest.mark.case("slack", 1)
def test_a_body_becomes_a_section_and_the_text(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """One post; id, time and link are Slack's."""
    accept(http)
    body = "Hello **ops** [run](https://x.example/a_(b))"
    result = slack_of().send(message(body), call)
    converted = "Hello *ops* <https://x.example/a_(b)|run>"
    assert body_of(http) == {
        "channel": CHANNEL,
        "text": converted,
        "blocks": [section(converted)],
    }
    assert result == {
        "id": TS,
        "channel": CHANNEL,
        "sentAt": "2023-11-14T22:13:20.000100Z",
        "url": LINK,
        "metadata": {"source": "slack", "requested_channel": CHANNEL, "bot_id": "B0123456789"},
    }


@pytest.mark.case("slack", 2)
def test_a_broadcast_in_a_text_pages_nobody(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """It shows as text; a mention of one person stays."""
    accept(http)
    slack_of().send(message("a < b && <!channel> <@U0123456789>"), call)
    shown = "a &lt; b &amp;&amp; &lt;!channel&gt; <@U0123456789>"
    assert parsed_texts(body_of(http)) == [shown, shown]


@pytest.mark.case("slack", 3)
@pytest.mark.parametrize("style", [{}, {"format": "mrkdwn"}])
def test_a_broadcast_passes_where_the_configuration_allows_it(
    http: requests_mock.Mocker, slack_of: Build, call: Call, style: Json
) -> None:
    """Only there: no key of a message has the same effect."""
    accept(http)
    slack_of(allowBroadcast=True).send(message("all: <!channel>", metadata=style), call)
    assert parsed_texts(body_of(http)) == ["all: <!channel>"] * 2
    asked = {**style, "allowBroadcast": True, "linkNames": True, "parse": "full"}
    body = built(body="all: <!channel>", metadata=asked)
    assert parsed_texts(body) == ["all: &lt;!channel&gt;"] * 2
    assert set(body) == {"text", "blocks"}


@pytest.mark.case("slack", 4)
def test_blocks_are_cut_to_size_and_keep_their_order(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """Ten fields a section; the body is the text."""
    accept(http)
    fields = {f"k{n * 7 % 12}": f"value **{n}**" for n in range(12)}
    blocks = [
        {"type": "header", "text": "**H** " + "x" * 198},
        {"type": "section", "text": "some _text_", "fields": fields},
        {"type": "divider"},
    ]
    result = slack_of().send(message("summary", blocks=blocks), call)
    header, first, second, divider = body_of(http)["blocks"]
    assert header == {
        "type": "header",
        "text": {"type": "plain_text", "text": "H " + "x" * 147 + "…", "emoji": True},
    }
    assert first["text"] == {"type": "mrkdwn", "text": "some _text_"}
    assert (len(first["fields"]), len(second["fields"])) == (10, 2)
    assert [f["text"] for f in first["fields"] + second["fields"]] == [
        f"*k{n * 7 % 12}*\nvalue *{n}*" for n in range(12)
    ]
    assert set(second) == {"type", "fields"}
    assert divider == {"type": "divider"}
    assert body_of(http)["text"] == "summary"
    assert result["metadata"]["warnings"] == ["blocks[0].text was cut to 150 characters"]


@pytest.mark.case("slack", 5)
def test_a_long_section_arrives_whole() -> None:
    """In several sections, each within the limit, with fences balanced."""
    code = "\n".join(f"line {n:04} of some code" for n in range(240))
    text = f"{'word ' * 100}\n\n```\n{code}\n```\n\nthe end"
    assert len(text) > 6000
    blocks = built(blocks=[{"type": "section", "text": text, "fields": {"k": "v"}}])["blocks"]
    texts = [block["text"]["text"] for block in blocks]
    assert len(texts) >= 3
    assert all(len(t) <= 3000 and t.count("```") % 2 == 0 for t in texts)
    assert all(f"line {n:04}" in "".join(texts) for n in range(240))
    assert [("fields" in block) for block in blocks] == [False] * (len(blocks) - 1) + [True]


@pytest.mark.case("slack", 6)
def test_blocks_beyond_fifty_are_counted(
    http: requests_mock.Mocker, slack_of: Build, call: Call
) -> None:
    """The last one says how many are missing, and so does the result."""
    accept(http)
    blocks = [{"type": "section", "text": f"block {n}"} for n in range(60)]
    result = slack_of().send(message("", blocks=blocks), call)
    sent = body_of(http)["blocks"]
    assert len(sent) == 50
    assert [b["text"]["text"] for b in sent[:49]] == [f"block {n}" for n in range(49)]
    assert sent[49]["text"]["text"].startswith("11 blocks were left out")
    assert result["metadata"]["warnings"] == [sent[49]["text"]["text"]]


@pytest.mark.case("slack", 7)
@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        ({"blocks": [{"type": "divider"}, {"type": "image"}]}, r"blocks\[1\]\.type: 'image'"),
        ({"body": " ", "blocks": []}, "message is empty"),
        ({"blocks": [{"type": "divider"}, {"type": "section"}]}, "message is empty"),
        ({"blocks": [{"type": "header", "text": " \n"}]}, "message is empty"),
        ({"body": "&nbsp;"}, "message is empty"),
        ({"body": 7}, "body must be a string"),
        ({"blocks": {}}, "blocks must be a list"),
        ({"blocks": [{"type": "section", "text": []}]}, r"blocks\[0\]\.text must be a string"),
        ({"blocks": [{"type": "section", "fields": []}]}, r"blocks\[0\]\.fields must be"),
        ({"blocks": [{"type": "section", "fields": {"a": {}}}]}, r"blocks\[0\]\.fields\.a must"),
        ({"body": "x", "metadata": {"format": "html"}}, "metadata.format: 'html' is unknown"),
        ({"body": "x", "metadata": []}, "metadata must be an object"),
    ],
)
def test_messages_that_do_not_fit_make_no_call(
    http: requests_mock.Mocker, slack_of: Build, call: Call, payload: Json, fault: str
) -> None:
    """The message names what is wrong."""
    with pytest.raises(BadRequest, match=fault):
        slack_of().send({"channel": "#by-name", **payload}, call)
    assert http.call_count == 0


@pytest.mark.case("slack", 20)
def test_text_in_slacks_own_format_is_sent_as_it_is() -> None:
    """But for broadcasts, which page nobody in any format."""
    body = built(body="*x* <https://x.example|y> <!here>", metadata={"format": "mrkdwn"})
    assert parsed_texts(body) == ["*x* <https://x.example|y> &lt;!here&gt;"] * 2
    blocks = [{"type": "header", "text": "*x*\ny"}, {"type": "section", "fields": {"a*b": "*c*"}}]
    header, fields = built(blocks=blocks, metadata={"format": "mrkdwn"})["blocks"]
    assert header["text"]["text"] == "x y"
    assert fields["fields"] == [{"type": "mrkdwn", "text": "*ab*\n*c*"}]


@pytest.mark.case("slack", 20)
def test_plain_text_is_sent_as_given() -> None:
    """As plain_text, which Slack does not parse; the top-level text is parsed, so it is escaped."""
    body = built(body="*x* <b>", metadata={"format": "plain"})
    assert body["blocks"] == [
        {"type": "section", "text": {"type": "plain_text", "text": "*x* <b>"}}
    ]
    assert body["text"] == "*x* &lt;b&gt;"
    blocks = [{"type": "header", "text": "*h*"}, {"type": "section", "fields": {"*k*": "<!here>"}}]
    body = built(blocks=blocks, metadata={"format": "plain"})
    assert body["blocks"][0]["text"]["text"] == "*h*"
    assert body["blocks"][1]["fields"] == [{"type": "plain_text", "text": "*k*\n<!here>"}]
    assert body["text"] == "*h*\n*k*\n&lt;!here&gt;"


def test_the_text_of_blocks_stands_for_a_missing_body() -> None:
    """Headers and sections, line by line, escaped."""
    blocks = [
        {"type": "header", "text": "A & **b**"},
        {"type": "section", "text": "**c** <d>"},
        {"type": "divider"},
        {"type": "section", "fields": {"k": "v"}},
    ]
    assert built(blocks=blocks)["text"] == "A &amp; b\n*c* &lt;d&gt;\n*k*\nv"


def test_a_body_beside_empty_blocks_is_shown() -> None:
    """A divider alone would hide it."""
    body = built(body="hello", blocks=[{"type": "divider"}])
    assert body["blocks"] == [section("hello")]


def test_keys_and_values_of_fields() -> None:
    """Keys are escaped, empty values are a dash, numbers are text."""
    fields = {"a*b<": "", "n": 1, "t": True, " ": "alone", "z": None}
    [made] = built(blocks=[{"type": "section", "fields": fields}])["blocks"]
    assert [f["text"] for f in made["fields"]] == [
        *("*ab&lt;*\n-", "*n*\n1", "*t*\ntrue", "alone", "*z*\n-"),
    ]


def test_a_long_field_is_cut() -> None:
    """And that is said."""
    ready = prepared({"blocks": [{"type": "section", "fields": {"k": "x" * 3000}}]}, STYLES)
    [field] = ready.body["blocks"][0]["fields"]
    assert len(field["text"]) == 2000
    assert field["text"].endswith("…")
    assert ready.warnings == ["blocks[0].fields: a value was cut to 2000 characters"]


def test_a_long_body_arrives_whole_and_its_text_is_cut() -> None:
    """Only where blocks are shown instead of it, something is lost."""
    text = "\n".join(f"line {n:05}" for n in range(1000))
    ready = prepared({"body": text}, STYLES)
    shown = "\n".join(block["text"]["text"] for block in ready.body["blocks"])
    assert shown == text
    assert len(ready.body["text"]) <= 3000
    assert ready.warnings == []
    ready = prepared({"body": text, "blocks": [{"type": "header", "text": "h"}]}, STYLES)
    assert len(ready.body["blocks"]) == 1
    assert "body was cut" in ready.warnings[0]


def test_options_of_a_message() -> None:
    """Taken where their type fits, left out otherwise."""
    given_ = {
        "unfurlLinks": False,
        "unfurlMedia": True,
        "username": "Pager",
        "iconEmoji": ":fire:",
        "iconUrl": "https://x.example/i.png",
        "other": "x",
        "as_user": True,
        "replyBroadcast": True,
    }
    body = built(body="x", metadata=given_)
    assert {key: value for key, value in body.items() if key not in ("text", "blocks")} == {
        "unfurl_links": False,
        "unfurl_media": True,
        "username": "Pager",
        "icon_emoji": ":fire:",
        "icon_url": "https://x.example/i.png",
    }
    wrong = {"unfurlLinks": "no", "unfurlMedia": 1, "username": 7, "iconEmoji": "", "iconUrl": None}
    assert set(built(body="x", metadata=wrong)) == {"text", "blocks"}


@pytest.mark.parametrize("block", [{"text": "a\ud800"}, {"fields": {"k\udfff": "v\ud800"}}])
def test_half_a_character_is_refused(block: Json) -> None:
    """JSON can carry it, UTF-8 cannot; the refusal can be written all the same."""
    with pytest.raises(BadRequest, match="surrogate") as refused:
        built(blocks=[{"type": "section", **block}])
    assert refused.value.message.encode()


BLOCKS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["header", "section", "divider"])},
        optional={"text": HOSTILE, "fields": st.dictionaries(HOSTILE, HOSTILE, max_size=4)},
    ),
    max_size=4,
)


@settings(max_examples=250, deadline=None)
@given(HOSTILE, BLOCKS, st.sampled_from(["", "mrkdwn", "plain"]))
def test_no_message_pages_anybody(body: str, blocks: list[Json], style: str) -> None:
    """Whatever the body, blocks and format: no text that Slack parses holds a broadcast."""
    payload = {
        "body": body,
        "blocks": blocks,
        "metadata": {"format": style, "allowBroadcast": True},
    }
    try:
        sent = prepared(payload, STYLES).body
    except BadRequest:
        assume(False)
    assert not any(BROADCAST.search(text) for text in parsed_texts(sent))
    assert sent["text"].strip()
    assert sent["blocks"]
    for block in sent["blocks"]:
        texts = [o["text"] for o in [block.get("text"), *block.get("fields", [])] if o]
        assert block["type"] == "divider" or texts
        assert all(text.strip() for text in texts)
