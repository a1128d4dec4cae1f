"""Markdown becomes the nodes that Jira takes."""

from typing import Any

import pytest

from opsorch_plugins.jira.adf_write import plain_paragraph, to_adf
from tests.fakes.jira_adf import faults_of
from tests.plugins.jira.support import doc, paragraph

Json = dict[str, Any]
BREAK: Json = {"type": "hardBreak"}


def text(words: str, *marks: str | Json) -> Json:
    found = [{"type": mark} if isinstance(mark, str) else mark for mark in marks]
    return {"type": "text", "text": words, **({"marks": found} if found else {})}


def link(href: str) -> Json:
    return {"type": "link", "attrs": {"href": href}}


def item(*blocks: Json) -> Json:
    return {"type": "listItem", "content": list(blocks)}


def code(words: str, language: str = "") -> Json:
    attributes = {"attrs": {"language": language}} if language else {}
    content = {"content": [{"type": "text", "text": words}]} if words else {}
    return {"type": "codeBlock", **attributes, **content}


ROWS: list[tuple[str, list[Json]]] = [
    ("one\n\ntwo", [paragraph("one"), paragraph("two")]),
    ("one\ntwo", [paragraph("one", BREAK, "two")]),
    ("one  \ntwo\\\nthree", [paragraph("one", BREAK, "two", BREAK, "three")]),
    ("one\r\ntwo", [paragraph("one", BREAK, "two")]),
    (
        "### t *i*",
        [
            {
                "type": "heading",
                "attrs": {"level": 3},
                "content": [text("t "), text("i", "em")],
            }
        ],
    ),
    (
        "- a\n  * b\n    1. c\n- d",
        [
            {
                "type": "bulletList",
                "content": [
                    item(
                        paragraph("a"),
                        {
                            "type": "bulletList",
                            "content": [
                                item(
                                    paragraph("b"),
                                    {"type": "orderedList", "content": [item(paragraph("c"))]},
                                )
                            ],
                        },
                    ),
                    item(paragraph("d")),
                ],
            }
        ],
    ),
    (
        "4. a",
        [{"type": "orderedList", "attrs": {"order": 4}, "content": [item(paragraph("a"))]}],
    ),
    ("```python\nx = 1\n\ny\n```", [code("x = 1\n\ny", "python")]),
    ("```\n```", [code("")]),
    ("    indented", [code("indented")]),
    (
        "`c` **b** *i* ~~s~~ [l](https://x.test)",
        [
            paragraph(
                text("c", "code"),
                " ",
                text("b", "strong"),
                " ",
                text("i", "em"),
                " ",
                text("s", "strike"),
                " ",
                text("l", link("https://x.test")),
            )
        ],
    ),
    ("***bi***", [paragraph(text("bi", "strong", "em"))]),
    (
        "**[`c`](mailto:a@b.test)**",
        [paragraph(text("c", link("mailto:a@b.test"), "code"))],
    ),
    ("<https://x.test/a>", [paragraph(text("https://x.test/a", link("https://x.test/a")))]),
    ("[](https://x.test)", [paragraph(text("https://x.test", link("https://x.test")))]),
    ("![alt](https://x.test/i)", [paragraph(text("alt", link("https://x.test/i")))]),
    ("![alt](i.png)", [paragraph("![alt](i.png)")]),
    ("[a](javascript:x)", [paragraph("[a](javascript:x)")]),
    ("[a](/relative)", [paragraph("[a](/relative)")]),
    ("[**a**](ftp://x)", [paragraph("[", text("a", "strong"), "](ftp://x)")]),
    ("> q\n> r", [{"type": "blockquote", "content": [paragraph("q", BREAK, "r")]}]),
    ("---", [{"type": "rule"}]),
    ("<b>no</b> &amp; html", [paragraph("<b>no</b> & html")]),
    ("[ERROR]: disk full", [paragraph("[ERROR]: disk full")]),
    ("| a | b |\n|---|---|", [paragraph("| a | b |", BREAK, "|---|---|")]),
    ("a&#10;b\x07c", [paragraph("a b c")]),
    ("", []),
    (" \n\n ", []),
]


@pytest.mark.parametrize(("markdown", "blocks"), ROWS)
def test_each_row_of_the_table(markdown: str, blocks: list[Json]) -> None:
    """Blocks, marks and attributes are exactly these."""
    assert to_adf(markdown) == doc(*blocks)
    assert faults_of(to_adf(markdown)) == []


NOT_THERE: list[tuple[str, list[Json]]] = [
    (
        "- # h",
        [{"type": "bulletList", "content": [item(paragraph(text("h", "strong")))]}],
    ),
    ("- ***", [{"type": "bulletList", "content": [item(paragraph("---"))]}]),
    ("- > q", [{"type": "bulletList", "content": [item(paragraph("q"))]}]),
    ("-", [{"type": "bulletList", "content": [item({"type": "paragraph"})]}]),
    (
        "- - a",
        [
            {
                "type": "bulletList",
                "content": [
                    item(
                        {"type": "paragraph"},
                        {"type": "bulletList", "content": [item(paragraph("a"))]},
                    )
                ],
            }
        ],
    ),
    (">", [{"type": "blockquote", "content": [{"type": "paragraph"}]}]),
    ("> > q", [{"type": "blockquote", "content": [paragraph("q")]}]),
    ("> # h", [{"type": "blockquote", "content": [paragraph(text("h", "strong"))]}]),
]


@pytest.mark.parametrize(("markdown", "blocks"), NOT_THERE)
def test_what_may_not_stand_there_becomes_a_paragraph(markdown: str, blocks: list[Json]) -> None:
    """Jira would refuse the whole document."""
    assert to_adf(markdown) == doc(*blocks)
    assert faults_of(to_adf(markdown)) == []


def test_a_plain_text_is_no_markdown() -> None:
    """Only its line breaks mean something."""
    assert plain_paragraph("*a*\n\n# b") == paragraph("*a*", BREAK, "# b")
    assert plain_paragraph("") == {"type": "paragraph"}


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ("text", "Atlassian Document"),
        (doc(paragraph(text(""))), "empty"),
        (doc(paragraph(text("a\nb"))), "line break"),
        (doc({"type": "blockquote", "content": [{"type": "rule"}]}), "rule inside"),
        (doc(paragraph(text("a", "code", "em"))), "code goes with"),
        (doc({"type": "bulletList"}), "is empty"),
        ({"type": "doc", "content": []}, "version"),
    ],
)
def test_the_judge_of_documents_finds_faults(document: Any, fault: str) -> None:
    """It is no judge that says yes to everything."""
    assert any(fault in found for found in faults_of(document))
