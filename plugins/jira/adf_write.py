"""From Markdown to Atlassian Document Format, in the shape that Jira accepts.

Jira refuses a whole document (INVALID_INPUT) for one empty text node, a line break in a text, or
a node in a place where the schema has none. So headings, rules and quotes inside list items and
quotes become paragraphs, and code keeps no mark but a link.

Sources: https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/, its pages
of nodes and marks, and the schema that they link to; https://spec.commonmark.org/0.31.2/.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markdown_it.token import Token

from opsorch.plugin.payload import Json

# The order in which marks are written, and nested when they are read back.
MARKS: Final = ("link", "strong", "em", "strike", "code")
SAFE_SCHEMES: Final = ("http", "https", "mailto")
# The parser drops what is nested deeper; such a text is written as it stands.
MAX_NESTING: Final = 60

# Line and paragraph separators count as line breaks, too.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_BREAKS = re.compile(r"[\r\n]")

_MARK_OF: Final = {"strong": "strong", "em": "em", "s": "strike"}


def _parser() -> MarkdownIt:
    # Without "reference": a line such as "[ERROR]: disk full" would vanish as a definition.
    options = {"html": False, "maxNesting": MAX_NESTING}
    parser = MarkdownIt("commonmark", options).enable("strikethrough")
    return parser.disable(["reference", "html_block", "html_inline"])


_PARSER: Final = _parser()


def to_adf(markdown: str) -> Json:
    """Write Markdown as a document."""
    text = _CONTROL.sub(" ", markdown)
    tokens = _PARSER.parse(text)
    if any(token.level >= MAX_NESTING - 1 for token in tokens):
        return document(_plain(text))
    return document(_Blocks(tokens).until(None, _IN_DOCUMENT))


def document(blocks: Iterable[Json]) -> Json:
    """Make a document of blocks."""
    return {"type": "doc", "version": 1, "content": list(blocks)}


def plain_paragraph(text: str) -> Json:
    """Make a paragraph of a text that is no Markdown; line breaks are kept."""
    inline = _Inline()
    for number, line in enumerate(text.splitlines()):
        if number:
            inline.line_break()
        inline.text(line.strip())
    return _node("paragraph", inline.content())


def is_safe(href: str) -> bool:
    """Tell whether a link of this address may be made."""
    return href.partition(":")[0].casefold() in SAFE_SCHEMES and ":" in href


def _plain(text: str) -> list[Json]:
    return [plain_paragraph(part) for part in re.split(r"\n\s*\n", text) if part.strip()]


def _node(kind: str, content: list[Json], **attributes: Any) -> Json:
    """Make a node; absent are empty content and empty attributes."""
    node: Json = {"type": kind}
    if attributes:
        node["attrs"] = attributes
    if content:
        node["content"] = content
    return node


_IN_DOCUMENT: Final = "document"
_IN_QUOTE: Final = "quote"
_IN_ITEM: Final = "item"


class _Blocks:
    """Walks through the parser's tokens once; each method returns the nodes of one block."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens: Iterator[Token] = iter(tokens)

    def until(self, closing: str | None, place: str) -> list[Json]:
        """Return the nodes up to a closing token."""
        nodes: list[Json] = []
        for token in self._tokens:
            if token.type == closing:
                break
            nodes += _BLOCKS[token.type](self, token, place)
        return nodes

    def paragraph(self, token: Token, place: str) -> list[Json]:
        return [_node("paragraph", _inline(self._inner()))]

    def heading(self, token: Token, place: str) -> list[Json]:
        if place == _IN_DOCUMENT:
            content = _inline(self._inner(), breaks=False)
            return [_node("heading", content, level=int(token.tag[1:]))]
        return [_node("paragraph", _inline(self._inner(), breaks=False, bold=True))]

    def bullet_list(self, token: Token, place: str) -> list[Json]:
        return [_node("bulletList", self.until("bullet_list_close", place))]

    def ordered_list(self, token: Token, place: str) -> list[Json]:
        start = int(token.attrs.get("start", 1))
        attributes = {"order": start} if start != 1 else {}
        return [_node("orderedList", self.until("ordered_list_close", place), **attributes)]

    def list_item(self, token: Token, place: str) -> list[Json]:
        content = self.until("list_item_close", _IN_ITEM)
        if not content or content[0]["type"] not in ("paragraph", "codeBlock"):
            content.insert(0, {"type": "paragraph"})
        return [_node("listItem", content)]

    def quote(self, token: Token, place: str) -> list[Json]:
        inner = self.until("blockquote_close", _IN_QUOTE if place == _IN_DOCUMENT else place)
        if place != _IN_DOCUMENT:
            return inner
        return [_node("blockquote", inner or [{"type": "paragraph"}])]

    def code(self, token: Token, place: str) -> list[Json]:
        text = token.content.removesuffix("\n")
        info = unescapeAll(token.info).split()
        language = info[0] if info else ""
        attributes = {"language": language} if language else {}
        return [_node("codeBlock", [{"type": "text", "text": text}] if text else [], **attributes)]

    def rule(self, token: Token, place: str) -> list[Json]:
        if place == _IN_DOCUMENT:
            return [{"type": "rule"}]
        return [_node("paragraph", [{"type": "text", "text": "---"}])]

    def _inner(self) -> Token:
        """Take the inline token of a paragraph or heading, and its closing token."""
        inline = next(self._tokens)
        next(self._tokens)
        return inline


_BLOCKS: Final[dict[str, Callable[[_Blocks, Token, str], list[Json]]]] = {
    "paragraph_open": _Blocks.paragraph,
    "heading_open": _Blocks.heading,
    "bullet_list_open": _Blocks.bullet_list,
    "ordered_list_open": _Blocks.ordered_list,
    "list_item_open": _Blocks.list_item,
    "blockquote_open": _Blocks.quote,
    "fence": _Blocks.code,
    "code_block": _Blocks.code,
    "hr": _Blocks.rule,
}


class _Inline:
    """Collects inline nodes under the marks that are open; neighbours with equal marks merge."""

    def __init__(self) -> None:
        self._nodes: list[Json] = []
        self._open: dict[str, int] = {}
        self._hrefs: list[str] = []

    def change(self, mark: str, by: int) -> None:
        """Open (1) or close (-1) a mark; it may be open more than once."""
        self._open[mark] = self._open.get(mark, 0) + by

    def open_link(self, href: str) -> None:
        """Open a link, which is text where its address is not safe."""
        self._hrefs.append(href)
        self._length = self._size()
        if not is_safe(href):
            self.text("[")

    def close_link(self) -> None:
        """Close the link; one without text shows its address."""
        href = self._hrefs[-1]
        if not is_safe(href):
            self._hrefs.pop()
            self.text(f"]({href})")
            return
        if self._size() == self._length:
            self.text(href)
        self._hrefs.pop()

    def image(self, alt: str, href: str) -> None:
        """Write an image as a link to it."""
        if not is_safe(href):
            self.text(f"![{alt}]({href})")
        elif self._hrefs:
            self.text(alt or href)
        else:
            self.open_link(href)
            self.text(alt)
            self.close_link()

    def text(self, text: str, *, code: bool = False) -> None:
        """Write text under the open marks; code takes none but a link."""
        text = _BREAKS.sub(" ", _CONTROL.sub(" ", text))
        marks = [mark for mark in MARKS if self._open.get(mark) and not code]
        found: list[Json] = [{"type": mark} for mark in marks]
        if self._hrefs and is_safe(self._hrefs[-1]):
            found.insert(0, {"type": "link", "attrs": {"href": self._hrefs[-1]}})
        if code:
            found.append({"type": "code"})
        last = self._nodes[-1] if self._nodes else {}
        if not text:
            return
        if last.get("type") == "text" and last.get("marks", []) == found:
            last["text"] += text
        else:
            self._nodes.append(
                {"type": "text", "text": text, **({"marks": found} if found else {})}
            )

    def line_break(self) -> None:
        """Break the line, unless it is empty."""
        if self._nodes and self._nodes[-1]["type"] != "hardBreak":
            self._nodes.append({"type": "hardBreak"})

    def content(self) -> list[Json]:
        """Return the nodes, without a break at the end."""
        ends_with_break = self._nodes and self._nodes[-1]["type"] == "hardBreak"
        return self._nodes[:-1] if ends_with_break else self._nodes

    def _size(self) -> int:
        return sum(len(node.get("text", "")) for node in self._nodes)


def _inline(token: Token, *, breaks: bool = True, bold: bool = False) -> list[Json]:
    """Make inline nodes of a paragraph's or heading's tokens.

    Emphasis nests without bound, so the tokens are walked flat.
    """
    inline = _Inline()
    if bold:
        inline.change("strong", 1)
    for child in token.children or []:
        name, _, edge = child.type.rpartition("_")
        if child.type in ("softbreak", "hardbreak"):
            inline.line_break() if breaks else inline.text(" ")
        elif child.type == "code_inline":
            inline.text(child.content, code=True)
        elif child.type == "link_open":
            inline.open_link(str(child.attrs["href"]))
        elif child.type == "link_close":
            inline.close_link()
        elif child.type == "image":
            inline.image(child.content, str(child.attrs["src"]))
        elif name in _MARK_OF:
            inline.change(_MARK_OF[name], 1 if edge == "open" else -1)
        else:
            inline.text(child.content)
    return inline.content()
