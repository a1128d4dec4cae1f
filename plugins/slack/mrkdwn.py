"""CommonMark to Slack's mrkdwn, in one pass over the tokens of a real parser.

No broadcast (``<!channel>`` and its like) survives unless it is allowed: it becomes text.
Sources: docs.slack.dev/messaging/formatting-message-text; spec.commonmark.org.
"""

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from markdown_it.token import Token

from opsorch_plugins.slack.parser import parser

_MARKERS: Final = {"strong": "*", "em": "_", "s": "~"}
_LINK_SCHEMES = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
# Characters that would end a link early; the parser has percent-encoded most of them.
_URL_ESCAPES = str.maketrans({"|": "%7C", "<": "%3C", ">": "%3E", "&": "&amp;"})
_INDENT: Final = "    "
_RULE: Final = "-" * 10
_FENCE: Final = "```"
# A cell above this width is not padded: one long cell must not multiply the size of a table.
_MAX_PADDED: Final = 60
# Of what begins with "<!", only a mention of a user group and a date page nobody at large. The
# list of broadcasts has changed before (<!group> was one), so all others count as broadcasts.
_COMMAND = re.compile(r"<(\s*!(?!subteam\^|date\^)[^<>]*)(>?)")
_OPENING_HASHES = re.compile(r"\s*#{1,6}\s+")


def escape(text: str) -> str:
    """Write the three characters that Slack takes for its own as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def neutralised(text: str) -> str:
    """Escape the broadcasts of a text in Slack's own format, so that they show and page nobody."""
    return _COMMAND.sub(lambda m: f"&lt;{m[1]}{'&gt;' if m[2] else ''}", text)


def convert(text: str, *, allow_broadcast: bool = False) -> str:
    """Turn Markdown into mrkdwn.

    Args:
        text: CommonMark, with tables, ``~~strike~~`` and Slack's mentions.
        allow_broadcast: Mentions of here, channel and everyone stay such.
    """
    rendering = _Rendering(allow_broadcast)
    for token in parser().parse(text):
        rendering.take(token)
    # Empty mark-up (a lone "#") renders to nothing; a message must not vanish for that.
    return rendering.result() or escape(text.strip())


def stripped(text: str) -> str:
    """Return the text of one line of Markdown without its mark-up, unescaped, blanks collapsed."""
    inline = parser().parseInline(_OPENING_HASHES.sub("", text, count=1))
    return " ".join(_plain(inline[0].children or []).split()) if inline else ""


def stripped_mrkdwn(text: str) -> str:
    """Return the text of one line in Slack's own format without links and entities."""
    shown = re.sub(r"<(?:[^<>|]*\|)?([^<>|]*)>", r"\1", text)
    shown = re.sub(r"(?<!\w)([*_~`])(?=\S)([^*_~`\n]+)\1(?!\w)", r"\2", shown)
    return " ".join(html.unescape(shown).split())


@dataclass
class _Frame:
    """An open block: what of it is rendered already, and how it will be closed."""

    kind: str
    parts: list[str] = field(default_factory=list)
    bullet: str = ""


class _Rendering:
    """Renders block tokens one after another; nested blocks wait on a stack."""

    def __init__(self, allow_broadcast: bool) -> None:
        self._allow = allow_broadcast
        self._stack = [_Frame("document")]
        self._rows: list[list[str]] = []

    def result(self) -> str:
        return "\n\n".join(self._stack[0].parts).strip("\n")

    def take(self, token: Token) -> None:
        kind = token.type
        if kind == "inline":
            self._inline(token)
        elif kind in ("fence", "code_block"):
            self._add(_fenced(token.content))
        elif kind == "hr":
            self._add(_RULE)
        elif kind == "tr_open":
            self._rows.append([])
        elif kind == "table_open":
            self._rows = []
        elif kind == "table_close":
            self._add(_table(self._rows))
        elif kind.removesuffix("_open") in _CONTAINERS and token.nesting == 1:
            bullet = f"{token.info}{token.markup} " if token.info else "• "
            self._stack.append(_Frame(kind.removesuffix("_open"), bullet=bullet))
        elif token.nesting == -1 and kind.removesuffix("_close") == self._stack[-1].kind:
            self._close()

    def _inline(self, token: Token) -> None:
        children = token.children or []
        kind = self._stack[-1].kind
        if kind in ("th", "td"):
            self._rows[-1].append(" ".join(_plain(children, urls=True).split()))
        else:
            self._add(_Inline(self._allow, bold=kind == "heading").render(children))

    def _add(self, text: str) -> None:
        if text:
            self._stack[-1].parts.append(text)

    def _close(self) -> None:
        frame = self._stack.pop()
        if frame.kind == "blockquote":
            self._add(_quoted("\n\n".join(frame.parts)))
        elif frame.kind == "list_item":
            self._add(_item(frame))
        else:
            self._add("\n".join(frame.parts))


_CONTAINERS: Final = frozenset(
    {"heading", "blockquote", "bullet_list", "ordered_list", "list_item", "th", "td"}
)


def _fenced(content: str) -> str:
    # A zero-width space keeps a fence within code from closing it.
    code = content.rstrip("\n").replace(_FENCE, "``\u200b`")
    if not code.strip():
        return ""
    return f"{_FENCE}\n{escape(code)}\n{_FENCE}"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n")) if text else ""


def _item(frame: _Frame) -> str:
    """Put a bullet before an item, and indent what follows; code keeps its own indentation."""
    if not frame.parts:
        return frame.bullet.rstrip()
    lines: list[str] = []
    in_code = False
    for line in "\n".join(frame.parts).split("\n"):
        fence = line.strip() == _FENCE
        keep = in_code or fence or not line or not lines
        lines.append(line if keep else f"{_INDENT}{line}")
        in_code ^= fence
    joint = "\n" if frame.parts[0].startswith(_FENCE) else ""
    return f"{frame.bullet}{joint}" + "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Draw a table with padded columns, in a fence."""
    columns = max(map(len, rows), default=0)
    widths = [0] * columns
    for row in rows:
        for column, cell in enumerate(row):
            widths[column] = max(widths[column], min(len(cell), _MAX_PADDED))
    drawn = [" | ".join(f"{c:<{w}}" for c, w in zip(r, widths, strict=False)) for r in rows]
    drawn[1:1] = ["-+-".join("-" * width for width in widths)]
    return _fenced("\n".join(line.rstrip() for line in drawn))


class _Inline:
    """Renders the inline tokens of one block."""

    def __init__(self, allow_broadcast: bool, *, bold: bool) -> None:
        self._allow = allow_broadcast
        self._out: list[str] = []
        # A marker within its own kind (bold in a heading) would end it: it is left out.
        self._open: list[str] = []
        self._shown: list[str] = ["*"] if bold else []
        self._bold = bold

    def render(self, tokens: Sequence[Token]) -> str:
        remaining = iter(_bold_outside(tokens))
        for token in remaining:
            if token.type == "link_open":
                self._out.append(_linked(token, _label_of(remaining)))
            elif token.nesting:
                self._mark(token)
            else:
                self._out.append(self._leaf(token))
        text = "".join(self._out)
        return f"*{text}*" if self._bold and text else text

    def _mark(self, token: Token) -> None:
        marker = _MARKERS.get(token.type.rpartition("_")[0], "")
        if token.nesting == 1:
            shown = "" if marker in self._shown else marker
            self._open.append(shown)
            self._shown += [shown] if shown else []
            self._out.append(shown)
        elif self._open:
            shown = self._open.pop()
            if shown:
                self._shown.pop()
            self._out.append(shown)

    def _leaf(self, token: Token) -> str:
        if token.type in ("softbreak", "hardbreak"):
            # Slack's markers do not reach over the end of a line.
            return f"{''.join(reversed(self._shown))}\n{''.join(self._shown)}"
        if token.type == "code_inline":
            return f"{token.markup}{escape(token.content)}{token.markup}"
        if token.type == "image":
            return _link(str(token.attrs.get("src", "")), _plain(token.children or []))
        if token.type == "slack_mention" or (token.type == "slack_broadcast" and self._allow):
            return f"<{token.content[1:-1].replace('&', '&amp;')}>"
        return escape(token.content)


def _bold_outside(tokens: Sequence[Token]) -> list[Token]:
    """Let bold enclose italics where both mark the same text: the order is CommonMark's choice."""
    ordered = [token for token in tokens if token.nesting or token.type != "text" or token.content]
    tokens = tuple(ordered)
    opened: list[int] = []
    for index, token in enumerate(tokens):
        if token.nesting == 1:
            opened.append(index)
        elif token.nesting == -1 and opened:
            start = opened.pop()
            around = tokens[start - 1].type if start else ""
            after = tokens[index + 1].type if index + 1 < len(tokens) else ""
            if (token.type, around, after) == ("strong_close", "em_open", "em_close"):
                ordered[start - 1], ordered[start] = ordered[start], ordered[start - 1]
                ordered[index], ordered[index + 1] = ordered[index + 1], ordered[index]
    return ordered


def _label_of(remaining: Iterator[Token]) -> str:
    """Consume the tokens up to the end of a link; return their text."""
    inside: list[Token] = []
    for token in remaining:
        if token.type == "link_close":
            break
        inside.append(token)
    return _plain(inside)


def _linked(token: Token, label: str) -> str:
    url = str(token.attrs.get("href", ""))
    if token.markup == "autolink" and not _LINK_SCHEMES.match(url):
        return escape(f"<{label}>")
    is_url = token.markup == "autolink" and not url.lower().startswith("mailto:")
    return _link(url, "" if is_url else label)


def _link(url: str, label: str) -> str:
    """Write a link, or its label and URL as text where Slack would not link it."""
    label = " ".join(label.replace("|", "").split())
    if not _LINK_SCHEMES.match(url):
        return escape(f"{label} ({url})" if label and url else label or url)
    target = url.translate(_URL_ESCAPES)
    return f"<{target}|{escape(label)}>" if label else f"<{target}>"


def _plain(tokens: Iterable[Token], *, urls: bool = False) -> str:
    """Return the text of inline tokens without mark-up, unescaped.

    Args:
        tokens: Inline tokens.
        urls: Add the URL of a link after its text.
    """
    out: list[str] = []
    links: list[str] = []
    for token in tokens:
        if token.type == "image":
            out.append(_plain(token.children or []))
        elif token.type == "link_open":
            links.append("" if token.markup == "autolink" else str(token.attrs.get("href", "")))
        elif token.type == "link_close":
            url = links.pop() if links else ""
            out.append(f" ({url})" if urls and url else "")
        else:
            out.append(" " if token.type in ("softbreak", "hardbreak") else token.content)
    return "".join(out)
