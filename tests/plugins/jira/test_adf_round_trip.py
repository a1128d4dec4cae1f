"""Markdown to documents and back, over inputs of any kind."""

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opsorch_plugins.jira.adf_inline import words_of
from opsorch_plugins.jira.adf_read import to_markdown
from opsorch_plugins.jira.adf_write import to_adf
from tests.fakes.jira_adf import faults_of

Json = dict[str, Any]

# --- documents as Jira may hold them, in the form that writing gives ------------------------------

_WORDS = st.text(
    st.sampled_from("abzé 1_*`[]()<>!#+-=.&;~\\|:/\"'{}日&lt\u00a0—\t"), min_size=1, max_size=12
)
_TEXTS = _WORDS.map(str.strip).filter(bool)
_HREFS = st.sampled_from(
    ["https://x.test/a", "https://x.test/a_(b)?c=1&amp=2&lt;", "mailto:a@b.test", "http://h/*_*"]
)


@st.composite
def _text_nodes(draw: st.DrawFn) -> Json:
    node: Json = {"type": "text", "text": draw(_TEXTS)}
    marks = [m for m in ("strong", "em", "strike") if draw(st.integers(0, 3)) == 0]
    found: list[Json] = [{"type": mark} for mark in marks]
    if draw(st.integers(0, 5)) == 0:
        found = [{"type": "code"}]
    if draw(st.integers(0, 5)) == 0:
        found.insert(0, {"type": "link", "attrs": {"href": draw(_HREFS)}})
    return {**node, "marks": found} if found else node


def _joined(nodes: list[Json]) -> list[Json]:
    """Merge neighbours of equal marks; no break at an end or after another."""
    out: list[Json] = []
    for node in nodes:
        last = out[-1] if out else {"type": "hardBreak"}
        if node["type"] == "hardBreak":
            out += [node] if last["type"] == "text" else []
        elif last["type"] == "text" and last.get("marks") == node.get("marks"):
            out[-1] = {**last, "text": last["text"] + node["text"]}
        else:
            out.append(node)
    return out[:-1] if out and out[-1]["type"] == "hardBreak" else out


_BREAK = st.just({"type": "hardBreak"})
_INLINE = st.lists(st.one_of(_text_nodes(), _text_nodes(), _BREAK), min_size=1, max_size=6).map(
    _joined
)
_LINE = st.lists(_text_nodes(), min_size=1, max_size=4).map(_joined)
_PARAGRAPHS = _INLINE.filter(bool).map(lambda nodes: {"type": "paragraph", "content": nodes})
_CODE_TEXT = st.text(st.sampled_from("ab `~\n\t\\#>-"), min_size=1, max_size=20)


@st.composite
def _code(draw: st.DrawFn) -> Json:
    node: Json = {"type": "codeBlock"}
    if draw(st.booleans()):
        node["attrs"] = {"language": draw(st.sampled_from(["python", "c++", "a&amp;b", "x_y"]))}
    if draw(st.booleans()):
        node["content"] = [{"type": "text", "text": draw(_CODE_TEXT)}]
    return node


def _lists(blocks: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    item = st.builds(
        lambda first, rest: {"type": "listItem", "content": [first, *rest]},
        st.one_of(_PARAGRAPHS, _PARAGRAPHS, _code()),
        st.lists(blocks, max_size=2),
    )
    items = st.lists(item, min_size=1, max_size=3)
    bullets = items.map(lambda i: {"type": "bulletList", "content": i})
    orders = st.sampled_from([1, 0, 2, 9, 123])
    ordered = st.builds(
        lambda i, n: {
            "type": "orderedList",
            **({"attrs": {"order": n}} if n != 1 else {}),
            "content": i,
        },
        items,
        orders,
    )
    return st.one_of(bullets, ordered)


_IN_ITEM = st.recursive(st.one_of(_PARAGRAPHS, _code()), _lists, max_leaves=5)
_QUOTES = st.lists(_IN_ITEM, min_size=1, max_size=3).map(
    lambda blocks: {"type": "blockquote", "content": blocks}
)
_HEADINGS = st.builds(
    lambda level, nodes: {"type": "heading", "attrs": {"level": level}, "content": nodes},
    st.integers(1, 6),
    _LINE,
)
_DOCUMENTS = st.lists(
    st.one_of(_IN_ITEM, _QUOTES, _HEADINGS, st.just({"type": "rule"})), max_size=5
).map(lambda blocks: {"type": "doc", "version": 1, "content": blocks})


def _clean(document: Json) -> Json:
    """White space at the edges of lines and marks is not kept: bring it to where it ends up."""
    return to_adf(to_markdown(document))


@settings(max_examples=400, deadline=None)
@given(_DOCUMENTS)
def test_a_document_comes_back_as_it_was(document: Json) -> None:
    """Reading a document and writing it again gives the same blocks, marks and texts."""
    assert faults_of(document) == []
    assert to_adf(to_markdown(document)) == document


# --- Markdown of any kind ------------------------------------------------------------------------

_PIECES = st.sampled_from(
    [
        *("a", "word", " ", " ", "\n", "\n\n", "  \n", "\n    ", "\n  ", "\t", "é", "日", "\u00a0"),
        *("*", "**", "_", "__", "***", "~~", "~", "`", "``", "```", "```py\n", "[", "](", ")"),
        *("[a](https://x.test)", "![i](https://x.test/i)", "<https://x.test>", "<b>", "&amp;"),
        *("&#10;", "&#42;", "\\", "- ", "* ", "+ ", "1. ", "2) ", "- [x] ", "> ", "# ", "## ", "#"),
        *("---", "===", "***", "|", "!", "[x]: y", "(javascript:x)", "\r\n", "\x00", "\x07", "="),
    ]
)
_MARKDOWN = st.lists(_PIECES, max_size=25).map("".join)


@settings(max_examples=800, deadline=None)
@given(st.one_of(_MARKDOWN, st.text(max_size=60)))
@example("- \n  - \n    -")
@example("**a *b**c*")
@example("[ERROR]: disk full")
@example("a\n***b***\n===")
def test_any_markdown_makes_a_document_that_jira_takes(markdown: str) -> None:
    """It is valid, and stays the same once it has been read and written again."""
    document = to_adf(markdown)
    assert faults_of(document) == []
    again = _clean(document)
    assert faults_of(again) == []
    assert _clean(again) == again
    assert _letters(words_of(again)) == _letters(words_of(document))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("abc019", min_size=1, max_size=8), min_size=1, max_size=30), st.data())
def test_no_word_is_lost(words: list[str], data: st.DataObject) -> None:
    """Whatever stands between words, each of them reaches the document, in order."""
    between = st.sampled_from([" ", "\n", "\n\n", "\n- ", "\n  - ", "\n> ", " **", "** ", "\n# "])
    markdown = "".join(word + data.draw(between) for word in words)
    assert "".join(words) == re.sub(r"[^a-z0-9]", "", words_of(to_adf(markdown)))


def _letters(text: str) -> str:
    return re.sub(r"\s", "", text)


# --- documents that nobody promised --------------------------------------------------------------

_KINDS = st.sampled_from(
    [
        *("doc", "paragraph", "text", "bulletList", "listItem", "table", "tableRow", "tableCell"),
        *("panel", "expand", "taskList", "taskItem", "mention", "emoji", "date", "status", "media"),
        *("inlineCard", "codeBlock", "heading", "hardBreak", "layoutColumn", "nobody", "blockCard"),
    ]
)
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8))
_ANY_NODE = st.recursive(
    st.fixed_dictionaries({"type": st.one_of(_KINDS, _SCALARS), "text": _SCALARS}),
    lambda inner: st.fixed_dictionaries(
        {
            "type": st.one_of(_KINDS, _SCALARS),
            "content": st.one_of(_SCALARS, st.lists(st.one_of(inner, _SCALARS), max_size=4)),
            "attrs": st.one_of(
                _SCALARS,
                st.dictionaries(
                    st.sampled_from(["text", "url", "level", "order", "timestamp", "state"]),
                    _SCALARS,
                ),
            ),
            "marks": st.one_of(_SCALARS, st.lists(st.one_of(_SCALARS, inner), max_size=2)),
        }
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(_SCALARS, _ANY_NODE))
def test_reading_never_fails(document: Any) -> None:
    """Odd types, missing parts and unknown nodes cost no ticket."""
    markdown = to_markdown(document)
    assert faults_of(to_adf(markdown)) == []


@pytest.mark.parametrize("kind", ["bulletList", "blockquote", "panel", "nobody"])
def test_depth_is_bounded(kind: str) -> None:
    """A document nested without end is read, and its text is there."""
    node: Json = {"type": "paragraph", "content": [{"type": "text", "text": "deep"}]}
    for _ in range(5000):
        inner = {"type": "listItem", "content": [node]} if kind == "bulletList" else node
        node = {"type": kind, "content": [inner]}
    assert "deep" in to_markdown({"type": "doc", "version": 1, "content": [node]})


@pytest.mark.parametrize("opening", ["> ", "- ", "*a ", "[", "**", "1. "])
def test_markdown_nested_without_end_keeps_its_text(opening: str) -> None:
    """What the parser would drop is written as it stands."""
    document = to_adf(opening * 400 + "deep" + " b*" * 300)
    assert faults_of(document) == []
    assert "deep" in words_of(document)
