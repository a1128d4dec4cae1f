"""Markdown to mrkdwn: each row of the conversion, and what no text may do."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch_plugins.slack.mrkdwn import (
    convert,
    escape,
    neutralised,
    stripped,
    stripped_mrkdwn,
)
from tests.plugins.slack.support import BROADCAST

HOSTILE = st.lists(
    st.sampled_from(
        [
            *("<!channel>", "<!here|x>", "<!everyone>", "<!group>", "<!", "<", ">", "!channel>"),
            *("&lt;!channel&gt;", "&", "&lt;", "&#60;", "\\<", "\\", "`", "```", "```\n", "\n"),
            *("\n\n", "*", "**", "_", "~~", "[", "](", ")", "](https://x.example)", "|", "!["),
            *("https://x.example/", "<https://x.example/>", "> ", "- ", "1. ", "# ", "    ", "---"),
            *("|a|b|\n|-|-|\n|", "<@U0123456789>", "<@U0123456789|<!channel>>", "<!subteam^S1|"),
            *(
                "<!subteam^S0123456789>",
                "<#C0123456789|",
                "<!date^1^{d}|",
                "channel",
                "a b",
                "\u200b",
            ),
        ]
    )
    | st.text(max_size=5),
    max_size=25,
).map("".join)


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
        ("**x** __x__", "*x* *x*"),
        ("*x* _x_", "_x_ _x_"),
        ("***x*** **_x_** _**x**_", "*_x_* *_x_* *_x_*"),
        ("*a **b** c*", "_a *b* c_"),
        ("**a __b__ c**", "*a b c*"),
        ("**a\nb**", "*a*\n*b*"),
        ("~~x~~", "~x~"),
        ("`a < **b**`", "`a &lt; **b**`"),
        ("```py\nx < 1 & **y**\n```", "```\nx &lt; 1 &amp; **y**\n```"),
        ("~~~\na\n```\nb\n~~~", "```\na\n``\u200b`\nb\n```"),
        ("    at f(x)", "```\nat f(x)\n```"),
        ("# One\ntext", "*One*\n\ntext"),
        ("## **Two** _x_ ##", "*Two _x_*"),
        ("Three\n---", "*Three*"),
        ('[run](https://x.example "title")', "<https://x.example|run>"),
        (
            "[a [b] c](https://x.example/a_(b)?x=1&y=2)",
            "<https://x.example/a_(b)?x=1&amp;y=2|a [b] c>",
        ),
        ("[a|b & c](https://x.example/p|q)", "<https://x.example/p%7Cq|ab &amp; c>"),
        ("[a](https://x.example/a>b)", "<https://x.example/a%3Eb|a>"),
        ("[](https://x.example)", "<https://x.example>"),
        ("[**b** `c`](https://x.example)", "<https://x.example|b c>"),
        ("[`a](https://x.example)`", "[`a](https://x.example)`"),
        ("![alt](https://x.example/i.png)", "<https://x.example/i.png|alt>"),
        ("[![alt](https://i.example)](https://x.example)", "<https://x.example|alt>"),
        ("<https://x.example/a?b=1&c=2>", "<https://x.example/a?b=1&amp;c=2>"),
        ("<ops@x.example>", "<mailto:ops@x.example|ops@x.example>"),
        ("see https://x.example/_a_/b*c", "see https://x.example/_a_/b*c"),
        ("**https://x.example/a**", "*https://x.example/a*"),
        ("[m](mailto:a@x.example)", "<mailto:a@x.example|m>"),
        ("[j](javascript:alert(1))", "j (javascript:alert(1))"),
        ("[f](ftp://x.example) [r](/path)", "f (ftp://x.example) r (/path)"),
        ("<db:5432>", "&lt;db:5432&gt;"),
        ("- a\n- b\n  - c\n    - d", "• a\n• b\n    • c\n        • d"),
        ("* a\n\n+ b", "• a\n\n• b"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("1) a\n   b", "1) a\n    b"),
        ("> a **b**\n> c", "> a *b*\n> c"),
        ("***\n\na", f"{'-' * 10}\n\na"),
        (
            "| a | long |\n|---|---|\n| **x** | <y> |",
            "```\na | long\n--+-----\nx | &lt;y&gt;\n```",
        ),
        ("\\*a\\* &copy; &lt;b&gt;", "*a* © &lt;b&gt;"),
        ("<@U0123456789> <#C0123456789|ops> <!subteam^S0123456789>",) * 2,
        ("`<@U0123456789>`", "`&lt;@U0123456789&gt;`"),
        ("<!here> <!channel|x> <!everyone>", "&lt;!here&gt; &lt;!channel|x&gt; &lt;!everyone&gt;"),
        ("a * b ** c _d ~~e `f [g", "a * b ** c _d ~~e `f [g"),
        ("snake_case_name", "snake_case_name"),
        ("<b>html</b>", "&lt;b&gt;html&lt;/b&gt;"),
        ("a  \nb\\\nc", "a\nb\nc"),
        ("[ERROR]: timeout", "[ERROR]: timeout"),
        ("#", "#"),
        ("", ""),
    ],
)
def test_markdown_becomes_mrkdwn(markdown: str, mrkdwn: str) -> None:
    """One row for each construct."""
    assert convert(markdown) == mrkdwn


def test_code_in_a_list_keeps_its_own_indentation() -> None:
    """What follows an item is indented, but for code."""
    markdown = "- a\n\n  ```\n  x:\n    y\n  ```\n- > q\n-\n"
    assert convert(markdown) == "• a\n```\nx:\n  y\n```\n• > q\n•"


def test_deep_nesting_loses_no_text() -> None:
    """A line of many brackets is a line of an alert."""
    for mark in ("> ", ">", "- "):
        assert "deep" in convert(f"before\n\n{mark * 80}deep\n\nafter")


@given(st.text(alphabet=st.characters(categories=["L", "N"]), max_size=40))
def test_plain_text_stays_as_it_is(text: str) -> None:
    """And so does what has been converted already."""
    sentence = f"word {text} & word < word"
    once = convert(sentence)
    assert once == escape(sentence)
    assert convert(once) == once


@settings(max_examples=400, deadline=None)
@given(HOSTILE)
def test_no_text_pages_anybody(text: str) -> None:
    """Whatever surrounds a broadcast, it arrives as text; the conversion itself never fails."""
    assert not BROADCAST.search(convert(text))
    assert not BROADCAST.search(neutralised(text))


@settings(max_examples=200, deadline=None)
@given(HOSTILE)
def test_control_characters_of_slack_come_from_mark_up_only(text: str) -> None:
    """Each angle bracket opens a link or mention, or a quote; each ampersand an entity."""
    links = r"<(?:https?://|mailto:)[^<>|\s]*(?:\|[^<>|]*)?>"
    mentions = r"<(?:@[UW]|#[CGD]|!subteam\^S)[A-Z0-9]+(?:\|[^<>|\n]*)?>"
    left = re.sub(rf"{links}|{mentions}", "", convert(text))
    left = re.sub(r"&(?:amp|lt|gt);", "", left)
    left = re.sub(r"(?m)^(?: *(?:•|\d+[.)]) )* *(?:> ?)+", "", left)
    assert not re.search("[<&]", left)


@settings(max_examples=100, deadline=None)
@given(HOSTILE)
def test_allowed_broadcasts_are_the_three_only(text: str) -> None:
    """With allowBroadcast too, what is no known broadcast is text."""
    found = re.findall(r"<!([^>^|]*)", convert(text, allow_broadcast=True))
    assert set(found) <= {"here", "channel", "everyone", "subteam"}


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 40_000, "![" * 20_000, "*a " * 20_000, "**a_ " * 20_000, ">" * 40_000),
        *("<" * 40_000, "`a" * 20_000, "&#" * 20_000, "- " * 20_000, "[a](" * 10_000),
        *("*a " * 10_000 + "**b** " * 10_000 + "a* " * 10_000, "https://a " * 10_000),
        "|" + "a|" * 5_000 + "\n|" + "-|" * 5_000 + "\n" + "x|\n" * 5_000,
    ],
    ids=lambda text: text[:6],
)
def test_hostile_text_takes_linear_time(text: str) -> None:
    """A square of these sizes would take minutes."""
    began = time.process_time()
    convert(text)
    neutralised(text)
    assert time.process_time() - began < 8


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("## **Disk** [full](https://x.example) `db1`", "Disk full db1"),
        ("a\nb  c", "a b c"),
        ("1. x & <y> \\*z\\*", "1. x & <y> *z*"),
        ("<@U0123456789>", "<@U0123456789>"),
        ("   ", ""),
    ],
)
def test_headers_lose_their_markup(text: str, header: str) -> None:
    """A header is plain text on one line, which needs no escaping."""
    assert stripped(text) == header


def test_headers_in_slacks_own_format() -> None:
    """Links, entities and markers are taken off."""
    assert stripped_mrkdwn("*a* <https://x|b> <https://y> &lt;c&gt; d_e_f `g`") == (
        "a b https://y <c> d_e_f g"
    )


def test_other_commands_in_slacks_own_format() -> None:
    """Groups and dates pass; what might be a broadcast does not."""
    text = "<!subteam^S1> <!date^1^{date}|x> <!group> <! here> <!channel <<!everyone>>"
    assert neutralised(text) == (
        "<!subteam^S1> <!date^1^{date}|x> &lt;!group&gt; &lt;! here&gt; &lt;!channel"
        " <&lt;!everyone&gt;>"
    )
