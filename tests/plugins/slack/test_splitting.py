"""Cutting and splitting to Slack's sizes."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsorch_plugins.slack.splitting import cut, split

TEXTS = st.lists(
    st.sampled_from(
        ["word ", "word", "\n", "\n\n", "&amp;", "&lt;", "<https://x.example|two words>", "`c d`"]
    )
    | st.sampled_from(["x" * 30, "<", ">", "  "]),
    max_size=60,
).map("".join)


@pytest.mark.case("slack", 5)
def test_a_split_fence_is_closed_and_opened_again() -> None:
    """Every part has as many fences as it needs, and no code is lost."""
    code = "\n".join(f"line {n} of the code" for n in range(200))
    text = f"before\n\n```\n{code}\n```\n\nafter"
    parts = split(text, 1000)
    assert len(parts) > 3
    assert all(len(part) <= 1000 and part.count("```") % 2 == 0 for part in parts)
    kept = "\n".join(parts).replace("```\n", "").replace("\n```", "")
    assert [line for line in kept.split("\n") if line.startswith("line")] == code.split("\n")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a" * 10 + "\n\n" + "b c d\nefghij", ["a" * 10, "b c d\nefghij"]),
        ("aaaa aaaa\nbbbb bbbb bb", ["aaaa aaaa", "bbbb bbbb bb"]),
        ("aaaaaaa bbbbbbb ccccccc", ["aaaaaaa bbbbbbb", "ccccccc"]),
        ("a" * 45, ["a" * 16, "a" * 16, "a" * 13]),
        ("aaaaaaaaaaaaa &amp;&amp;&amp;", ["aaaaaaaaaaaaa", "&amp;&amp;&amp;"]),
        ("aaaaaaaaaaaaaa&amp;bbbbbbb", ["aaaaaaaaaaaaaa", "&amp;bbbbbbb"]),
        ("aaaaaaaaa\n    indented again", ["aaaaaaaaa", "    indented again"]),
        ("   \n\n  ", []),
        ("", []),
    ],
)
def test_parts_end_at_blank_lines_lines_and_words(text: str, parts: list[str]) -> None:
    """In this order; entities stay whole."""
    assert split(text, 20) == parts


def test_links_are_not_split() -> None:
    """A link that fits goes into the next part as a whole."""
    link = "<https://x.example/abc|a label of words>"
    assert split(f"{'a ' * 15}{link} b", 50) == [("a " * 15).strip(), f"{link} b"]
    assert split(f"{'a' * 20} <{'b ' * 40}", 50)[0].startswith("a" * 20)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.integers(50, 90))
def test_splitting_loses_nothing_but_blanks(text: str, limit: int) -> None:
    """Parts fit, and together hold every character that shows."""
    parts = split(text, limit)
    assert all(0 < len(part) <= limit for part in parts)
    assert re.sub(r"\s", "", "".join(parts)) == re.sub(r"\s", "", text)


@settings(max_examples=300, deadline=None)
@given(TEXTS.map(lambda text: text.replace("<", "").replace(">", "")), st.integers(25, 90))
def test_a_cut_text_fits_and_breaks_no_entity(text: str, limit: int) -> None:
    """It ends with an ellipsis where something is missing."""
    short = cut(text, limit)
    assert len(short) <= limit
    assert (short == text) is (len(text) <= limit)
    assert not re.search(r"&(?!amp;|lt;|gt;)", short)


def test_a_cut_within_code_closes_it() -> None:
    """The rest of the message would be code otherwise."""
    short = cut("```\n" + "x\n" * 100 + "```", 50)
    assert len(short) <= 50
    assert short.endswith("…\n```")


def test_a_cut_link_is_left_out() -> None:
    """Half a link would show as text."""
    assert cut("see <https://x.example/long|label of it>", 30) == "see…"
