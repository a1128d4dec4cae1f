"""From Atlassian Document Format to Markdown.

Whatever the document holds, its text comes out: unknown nodes give what is in them.

Source: https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from opsorch.plugin.payload import Json
from opsorch.plugin.vendor import object_in, objects_in
from opsorch_plugins.jira.adf_inline import (
    ATTACHMENT,
    INLINE_NODES,
    MAX_DEPTH,
    card_of,
    escaped_text,
    to_lines,
    to_one_line,
    words_of,
)

# A list may follow a paragraph without a blank line only where it begins like this.
_INTERRUPTS = re.compile(r"(?:[-*]|1[.)]) \S")
_MAX_NUMBER: Final = 999_999_999


def to_markdown(document: Any) -> str:
    """Write a document as Markdown; "" where it is none or empty."""
    return _joined(_blocks(document, _Place()))


@dataclass(frozen=True)
class _Place:
    """Where a block stands: how deep, and which marker its list item has, if any."""

    depth: int = 0
    item_marker: str = ""

    def inside(self, item_marker: str = "") -> "_Place":
        return _Place(self.depth + 1, item_marker)


@dataclass(frozen=True)
class _Block:
    """A written block; ``marker`` is that of a list."""

    text: str
    kind: str = ""
    marker: str = ""


@dataclass
class _Writer:
    """Collects the blocks of one container."""

    place: _Place
    blocks: list[_Block] = field(default_factory=list)
    inline: list[Json] = field(default_factory=list)

    def add(self, text: str, kind: str = "", marker: str = "") -> None:
        if text:
            self.blocks.append(_Block(text, kind, marker))

    def flush(self) -> None:
        """Write inline nodes that stand among blocks as a paragraph."""
        waiting, self.inline = self.inline, []
        self.add("\n".join(to_lines(waiting)), "paragraph")

    def marker(self, first: str, second: str) -> str:
        """Choose a list's marker: neighbours would merge, and ``- - -`` would be a rule."""
        beside = self.blocks[-1].marker if self.blocks else self.place.item_marker
        return second if beside == first else first


def _blocks(container: Any, place: _Place) -> list[_Block]:
    writer = _Writer(place)
    for node in objects_in(container, "content"):
        kind = str(node.get("type"))
        if kind in INLINE_NODES:
            writer.inline.append(node)
            continue
        writer.flush()
        if place.depth >= MAX_DEPTH:
            writer.add(escaped_text(words_of(node)), "paragraph")
        else:
            _BLOCKS.get(kind, _unknown)(writer, node)
    writer.flush()
    return writer.blocks


def _joined(blocks: Iterable[_Block], *, in_item: bool = False) -> str:
    """Join blocks by blank lines; in a list item a list may follow its paragraph at once."""
    out = ""
    last = _Block("")
    for block in blocks:
        tight = in_item and last.kind == "paragraph" and block.marker
        gap = "\n" if tight and _INTERRUPTS.match(block.text) else "\n\n"
        out += f"{gap if out else ''}{block.text}"
        last = block
    return out


def _prefixed(text: str, prefix: str, first: str | None = None) -> str:
    """Put a prefix before each line; none of its white space is left on blank lines."""
    begin = prefix if first is None else first
    lines = text.split("\n")
    written = [f"{begin}{lines[0]}", *(f"{prefix}{line}" if line else prefix for line in lines[1:])]
    return "\n".join(w if line else w.rstrip() for w, line in zip(written, lines, strict=True))


def _paragraph(writer: _Writer, node: Json) -> None:
    writer.add("\n".join(to_lines(node.get("content"))), "paragraph")


def _heading(writer: _Writer, node: Json) -> None:
    level = object_in(node, "attrs").get("level")
    depth = level if isinstance(level, int) and 1 <= level <= 6 else 1
    text = to_one_line(node.get("content"))
    # Number signs at the end would be taken for a closing sequence.
    text = re.sub(r"(^|\s)(#+)$", r"\1\\\2", text)
    writer.add(f"{'#' * depth} {text}".rstrip())


def _bullet_list(writer: _Writer, node: Json) -> None:
    marker = writer.marker("-", "*")
    items = [_item(child, marker, writer.place) for child in objects_in(node, "content")]
    writer.add("\n".join(items), "list", marker)


def _ordered_list(writer: _Writer, node: Json) -> None:
    marker = writer.marker(".", ")")
    order = object_in(node, "attrs").get("order")
    items = objects_in(node, "content")
    start = 1
    if isinstance(order, int) and 0 <= order <= _MAX_NUMBER - len(items):
        start = int(order)
    numbers = range(start, start + len(items))
    texts = [_item(c, f"{n}{marker}", writer.place) for n, c in zip(numbers, items, strict=True)]
    writer.add("\n".join(texts), "list", marker)


def _item(node: Json, marker: str, place: _Place) -> str:
    blocks = _blocks(node, place.inside(marker))
    text = _joined(blocks, in_item=True)
    # As wide as the marker: content that is indented less is no part of an item.
    return _prefixed(text, " " * (len(marker) + 1), f"{marker} ")


def _task_list(writer: _Writer, node: Json) -> None:
    """Write tasks and decisions; a list among the items belongs to the one before it."""
    marker = writer.marker("-", "*")
    lines: list[str] = []
    for child in objects_in(node, "content"):
        if str(child.get("type")).endswith("List"):
            inner = _joined(_blocks({"content": [child]}, writer.place.inside()))
            lines.append(_prefixed(inner, "  "))
            continue
        box = ""
        if str(child.get("type")).lower().endswith("taskitem"):
            box = "[x] " if object_in(child, "attrs").get("state") == "DONE" else "[ ] "
        text = _joined(_blocks(child, writer.place.inside(marker)), in_item=True)
        lines.append(_prefixed(f"{box}{text}", "  ", f"{marker} "))
    writer.add("\n".join(lines), "list", marker)


def _quote(writer: _Writer, node: Json) -> None:
    writer.add(_prefixed(_joined(_blocks(node, writer.place.inside())), "> "))


def _expand(writer: _Writer, node: Json) -> None:
    title = object_in(node, "attrs").get("title")
    if isinstance(title, str):
        writer.add(escaped_text(title), "paragraph")
    _unknown(writer, node)


def _code(writer: _Writer, node: Json) -> None:
    text = "".join(str(child.get("text") or "") for child in objects_in(node, "content"))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    language = object_in(node, "attrs").get("language")
    info = re.sub(r"[`\s]+", "-", language) if isinstance(language, str) else ""
    info = re.sub(r"([\\&])", r"\\\1", info)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    writer.add("\n".join([f"{fence}{info}", *([text] if text else []), fence]))


def _card(writer: _Writer, node: Json) -> None:
    writer.add(card_of(node), "paragraph")


def _table(writer: _Writer, node: Json) -> None:
    """Write a table with pipes; its first row is the head, whatever cells it has."""
    rows = [
        [_cell(cell, writer.place) for cell in objects_in(row, "content")]
        for row in objects_in(node, "content")
    ]
    width = max((len(row) for row in rows), default=0)
    if not width:
        return
    lines = [f"| {' | '.join([*row, *[''] * (width - len(row))])} |" for row in rows]
    lines.insert(1, f"|{' --- |' * width}")
    writer.add("\n".join(lines))


def _cell(node: Json, place: _Place) -> str:
    blocks = [block.text for block in _blocks(node, place.inside())]
    return " ".join(" ".join(blocks).split()).replace("|", "\\|")


def _unknown(writer: _Writer, node: Json) -> None:
    """Write what is in the node; where that is nothing, its own text."""
    inner = _blocks(node, writer.place.inside(writer.place.item_marker))
    writer.blocks += inner
    if not inner:
        writer.add(escaped_text(words_of(node)), "paragraph")


_BLOCKS: Final[dict[str, Callable[[_Writer, Json], None]]] = {
    "paragraph": _paragraph,
    "heading": _heading,
    "bulletList": _bullet_list,
    "orderedList": _ordered_list,
    "taskList": _task_list,
    "decisionList": _task_list,
    "blockquote": _quote,
    "panel": _quote,
    "expand": _expand,
    "nestedExpand": _expand,
    "codeBlock": _code,
    "rule": lambda writer, node: writer.add("---"),
    "table": _table,
    "media": lambda writer, node: writer.add(ATTACHMENT, "paragraph"),
    "blockCard": _card,
    "embedCard": _card,
}
