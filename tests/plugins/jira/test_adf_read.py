"""Documents become Markdown that people and programs can read."""

from typing import Any

import pytest

from opsorch_plugins.jira.adf_read import to_markdown
from tests.plugins.jira.support import doc, paragraph
from tests.plugins.jira.test_adf_write import BREAK, code, item, link, text

Json = dict[str, Any]


def node(kind: str, *content: Json, **attributes: Any) -> Json:
    attrs = {"attrs": attributes} if attributes else {}
    return {"type": kind, **attrs, **({"content": list(content)} if content else {})}


def cell(*words: str, kind: str = "tableCell") -> Json:
    return node(kind, *[paragraph(w) for w in words])


ROWS: list[tuple[Json, str]] = [
    (doc(paragraph("one"), paragraph("two", BREAK, "three")), "one\n\ntwo\nthree"),
    (doc(paragraph("a", BREAK, BREAK, "b", BREAK)), "a\n\nb"),
    (doc(paragraph(), paragraph("a"), paragraph(" ")), "a"),
    (doc(node("heading", text("t"), level=2)), "## t"),
    (doc(node("heading", text("a ##"), level=1)), "# a \\##"),
    (
        doc(
            node(
                "bulletList",
                item(paragraph("a"), node("bulletList", item(paragraph("b")))),
                item(paragraph("c")),
            )
        ),
        "- a\n  - b\n- c",
    ),
    (
        doc(node("orderedList", item(paragraph("a"), code("x")), item(paragraph("b")))),
        "1. a\n\n   ```\n   x\n   ```\n2. b",
    ),
    (doc(node("orderedList", item(paragraph("a")), order=9)), "9. a"),
    (
        doc(node("bulletList", item(paragraph("a"))), node("bulletList", item(paragraph("b")))),
        "- a\n\n* b",
    ),
    (doc(code("a\n```\nb", "sh")), "````sh\na\n```\nb\n````"),
    (
        doc(paragraph(text("b", "strong"), text(" i ", "em"), text("s", "strike"))),
        "**b** _i_ ~~s~~",
    ),
    (doc(paragraph(text("x`y", "code"), text("u", "underline"))), "``x`y``u"),
    (doc(paragraph(text("l", link("https://x.test/a")))), "[l](https://x.test/a)"),
    (doc(paragraph(text("l", link("https://x.test/(a) b")))), "[l](<https://x.test/(a)%20b>)"),
    (doc(paragraph(text("l", link("javascript:alert(1)")))), "l"),
    (doc(node("blockquote", paragraph("a"), paragraph("b"))), "> a\n>\n> b"),
    (doc(paragraph("a"), node("rule")), "a\n\n---"),
    (
        doc(
            node(
                "table",
                node("tableRow", cell("h", kind="tableHeader"), cell("i|j", kind="tableHeader")),
                node("tableRow", cell("a", "b"), cell()),
                node("tableRow", cell("c")),
            )
        ),
        "| h | i\\|j |\n| --- | --- |\n| a b |  |\n| c |  |",
    ),
    (doc(node("panel", paragraph("note"), panelType="info")), "> note"),
    (doc(node("expand", paragraph("inside"), title="More *")), "More \\*\n\ninside"),
    (
        doc(
            node(
                "taskList",
                node("taskItem", text("done"), state="DONE"),
                node("taskItem", text("open"), state="TODO"),
                node("taskList", node("taskItem", text("sub"), state="TODO")),
            )
        ),
        "- [x] done\n- [ ] open\n  - [ ] sub",
    ),
    (doc(node("decisionList", node("decisionItem", text("yes"), state="DECIDED"))), "- yes"),
    (doc(paragraph("hi ", node("mention", id="1", text="@Ann"))), "hi @Ann"),
    (doc(paragraph(node("mention", id="1"))), "@1"),
    (doc(paragraph(node("emoji", shortName=":x:", text="❌"))), "❌"),
    (doc(paragraph(node("emoji", shortName=":own:"))), ":own:"),
    (doc(paragraph(node("date", timestamp="1763719200000"))), "2025-11-21"),
    (doc(paragraph(node("date", timestamp="soon"))), "soon"),
    (doc(paragraph(node("status", text="LATE", color="red"))), "LATE"),
    (
        doc(paragraph("see ", node("inlineCard", url="https://x.test/a_b_c"))),
        "see https://x.test/a_b_c",
    ),
    (doc(node("blockCard", data={"url": "https://x.test"})), "https://x.test"),
    (doc(node("mediaSingle", node("media", id="1", type="file"))), "[attachment]"),
    (doc(paragraph("a ", node("mediaInline", id="1"))), "a [attachment]"),
    (doc(node("layoutSection", node("layoutColumn", paragraph("a")))), "a"),
    (doc(node("unheardOf", paragraph("a"), node("another", text("b")))), "a\n\nb"),
    (doc(node("extension", text="macro")), "macro"),
    (doc(paragraph(text("sub", {"type": "subsup", "attrs": {"type": "sub"}}))), "sub"),
]


@pytest.mark.parametrize(("document", "markdown"), ROWS)
def test_each_row_of_the_table(document: Json, markdown: str) -> None:
    """The Markdown is exactly this."""
    assert to_markdown(document) == markdown


@pytest.mark.parametrize(
    ("words", "markdown"),
    [
        ("login bug", "login bug"),
        ("snake_case and C:\\temp and 3 * 4 & co", "snake_case and C:\\temp and 3 * 4 & co"),
        ("*a* _b_ `c` ~~d~~", "\\*a\\* \\_b\\_ \\`c\\` \\~\\~d\\~\\~"),
        ("[a](b)", "\\[a\\](b)"),
        ("# a", "\\# a"),
        ("#a", "#a"),
        ("- a", "\\- a"),
        ("-5 degrees", "-5 degrees"),
        ("1. a", "1\\. a"),
        ("1.5", "1.5"),
        ("> a", "\\> a"),
        ("===", "\\==="),
        ("&lt; <b>", "\\&lt; \\<b>"),
        ("a < b", "a < b"),
    ],
)
def test_plain_text_is_escaped_only_where_needed(words: str, markdown: str) -> None:
    """So that it stays readable."""
    assert to_markdown(doc(paragraph(words))) == markdown


@pytest.mark.parametrize("nothing", [None, "", 1, [], {}, {"type": "doc"}, {"content": "x"}])
def test_what_is_no_document_is_empty(nothing: Any) -> None:
    """Jira has null for no description."""
    assert to_markdown(nothing) == ""
