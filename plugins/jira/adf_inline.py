"""From the inline nodes of Atlassian Document Format to one paragraph of Markdown.

The Markdown reads back as it was meant: characters with a meaning are escaped where they would
have it, and a letter right beside a mark is written as a character reference, because there a
delimiter would not count as one (https://spec.commonmark.org/0.31.2/#left-flanking-delimiter-run).
"""

import datetime
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace

from opsorch.plugin.payload import Json
from opsorch.plugin.vendor import as_objects, object_in, objects_in, text_at
from opsorch_plugins.jira.adf_write import MARKS, is_safe

# Nodes nested deeper than this are read as their text alone.
MAX_DEPTH: Final = 60
ATTACHMENT: Final = "[attachment]"

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]*);")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_LINES = re.compile("\r\n|[\r\n\u2028\u2029]")
_DELIMITERS: Final = {"strong": "**", "em": "_", "strike": "~~"}
_PLAIN_TARGET = re.compile(r"[^\s<>()\\]+")

Mark = tuple[str, str]


@dataclass(frozen=True)
class Run:
    """A piece of text under the same marks.

    Attributes:
        text: What a reader sees.
        marks: Pairs of mark and address ("" but for links), outermost first.
        literal: Written as it is, without escaping.
    """

    text: str
    marks: tuple[Mark, ...] = ()
    literal: bool = False

    @property
    def code(self) -> bool:
        """Whether the text is inline code."""
        return ("code", "") in self.marks


def _attribute(node: Json, *names: str) -> str:
    attributes = object_in(node, "attrs")
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    return ""


def _mention(node: Json) -> str:
    return _attribute(node, "text") or f"@{_attribute(node, 'id')}"


def _date(node: Json) -> str:
    """Write a date node, milliseconds since 1970, as ISO date."""
    stamp = _attribute(node, "timestamp")
    try:
        moment = datetime.datetime.fromtimestamp(int(stamp) / 1000, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return stamp
    return moment.date().isoformat()


def card_of(node: Json) -> str:
    """Return the address of a card."""
    return _attribute(node, "url") or text_at(node, "attrs", "data", "url")


# Source: https://developer.atlassian.com/cloud/jira/platform/apis/document/nodes/mention/ and the
# pages of the other nodes beside it.
_WORDS_OF: Final[dict[str, Callable[[Json], str]]] = {
    "mention": _mention,
    "emoji": lambda node: _attribute(node, "text", "shortName"),
    "date": _date,
    "status": lambda node: _attribute(node, "text"),
}
_LITERALS: Final[dict[str, Callable[[Json], str]]] = {
    "inlineCard": card_of,
    "mediaInline": lambda node: ATTACHMENT,
    "media": lambda node: ATTACHMENT,
}
INLINE_NODES: Final = frozenset({"text", "hardBreak", *_WORDS_OF, "inlineCard", "mediaInline"})


def words_of(node: Any) -> str:
    """Return all text in a node, however deep, without structure."""
    found: list[str] = []
    waiting = [node]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += reversed(item)
        elif isinstance(item, dict):
            found.append(_own_text(item))
            waiting.append(item.get("content"))
    return " ".join(text for text in found if text)


def _own_text(node: Json) -> str:
    kind = node.get("type")
    read = _WORDS_OF.get(kind) or _LITERALS.get(kind) if isinstance(kind, str) else None
    if read is not None:
        return read(node)
    text = node.get("text")
    return text if isinstance(text, str) else _attribute(node, "text", "url")


def _runs(nodes: Any, depth: int = 0) -> Iterator[Run | None]:
    """Yield the runs of inline nodes; None is a line break."""
    for node in as_objects(nodes):
        kind = node.get("type")
        if kind == "hardBreak":
            yield None
        elif isinstance(kind, str) and kind in _LITERALS:
            yield Run(_LITERALS[kind](node), _marks_of(node), literal=True)
        elif isinstance(node.get("content"), list):
            if depth < MAX_DEPTH:
                yield from _runs(node["content"], depth + 1)
            else:
                yield Run(words_of(node["content"]))
        else:
            yield from _text_runs(_own_text(node), _marks_of(node))


def _text_runs(text: str, marks: tuple[Mark, ...]) -> Iterator[Run | None]:
    """Yield the lines of a text; Jira writes none of several lines, but nothing is lost here."""
    joined = " " if ("code", "") in marks else None
    lines = [_LINES.sub(joined, text)] if joined else _LINES.split(text)
    for number, line in enumerate(lines):
        if number:
            yield None
        yield Run(_CONTROL.sub(" ", line), marks)


def _marks_of(node: Json) -> tuple[Mark, ...]:
    """Return the known marks of a node in the order of MARKS."""
    found: dict[str, str] = {}
    for mark in objects_in(node, "marks"):
        kind = mark.get("type")
        if kind == "link" and is_safe(_attribute(mark, "href")):
            found["link"] = _attribute(mark, "href").strip()
        elif isinstance(kind, str) and kind in MARKS and kind != "link":
            found[kind] = ""
    return tuple((kind, found[kind]) for kind in MARKS if kind in found)


def to_lines(nodes: Any) -> list[str]:
    """Write inline nodes as lines of Markdown, each fit to stand at the start of a line.

    A blank line stands for several breaks in a row; there is none at either end.
    """
    lines: list[list[Run]] = [[]]
    for run in _runs(nodes):
        if run is None:
            lines.append([])
        else:
            lines[-1].append(run)
    written = [_line_start_escaped(_line(runs)) for runs in lines]
    kept = [text for n, text in enumerate(written) if text or (n and written[n - 1])]
    while kept and not kept[-1]:
        kept.pop()
    return kept


def to_one_line(nodes: Any) -> str:
    """Write inline nodes as one line; breaks become spaces."""
    joined = [run or Run(" ") for run in _runs(nodes)]
    return _line(joined)


def escaped_text(text: str) -> str:
    """Write plain text as Markdown; line breaks are kept."""
    return "\n".join(to_lines([{"type": "text", "text": text}]))


def _line(runs: Iterable[Run]) -> str:
    return "".join(_atoms(_spaced_out(_trimmed(_merged(runs)))))


def _merged(runs: Iterable[Run]) -> list[Run]:
    merged: list[Run] = []
    for run in runs:
        last = merged[-1] if merged else None
        if not run.text:
            continue
        if last and (last.marks, last.literal) == (run.marks, run.literal) and not run.literal:
            merged[-1] = replace(last, text=last.text + run.text)
        else:
            merged.append(run)
    return merged


def _trimmed(runs: list[Run]) -> list[Run]:
    """Take the white space off both ends of a line."""
    while runs and not runs[0].code and not (first := runs[0].text.lstrip()):
        runs = runs[1:]
    if runs and not runs[0].code:
        runs = [replace(runs[0], text=first), *runs[1:]]
    while runs and not runs[-1].code and not (last := runs[-1].text.rstrip()):
        runs = runs[:-1]
    if runs and not runs[-1].code:
        runs = [*runs[:-1], replace(runs[-1], text=last)]
    return runs


def _shared(first: tuple[Mark, ...], second: tuple[Mark, ...]) -> tuple[Mark, ...]:
    """Return the marks that stay open between two runs."""
    shared: list[Mark] = []
    for left, right in zip(first, second, strict=False):
        if left != right:
            break
        shared.append(left)
    return tuple(shared)


def _spaced_out(runs: list[Run]) -> list[Run]:
    """Move white space at the edge of a mark out of it: a delimiter must touch its text."""
    out: list[Run] = []
    for number, run in enumerate(runs):
        before = runs[number - 1].marks if number else ()
        after = runs[number + 1].marks if number + 1 < len(runs) else ()
        if run.code or run.literal:
            out.append(run)
            continue
        inner = run.text.strip()
        if not inner:
            marks = _shared(_shared(before, run.marks), _shared(run.marks, after))
            out.append(replace(run, marks=marks))
            continue
        begin = len(run.text) - len(run.text.lstrip())
        out += [
            Run(run.text[:begin], _shared(before, run.marks)),
            replace(run, text=inner),
            Run(run.text[begin + len(inner) :], _shared(run.marks, after)),
        ]
    return _merged(out)


def _atoms(runs: list[Run]) -> Iterator[str]:
    """Yield the Markdown of a line, piece by piece."""
    last = Run("")
    for number, run in enumerate([*runs, Run("")]):
        kept = _shared(last.marks, run.marks)
        yield "".join(_closed(mark) for mark in reversed(last.marks[len(kept) :]))
        yield "".join(_opened(mark) for mark in run.marks[len(kept) :])
        following = runs[number + 1] if number + 1 < len(runs) else Run("")
        # Seen from a run, the mark that ends before it is one that opens on the way back.
        after_mark = _touches_mark(run, last, last.text[-1:])
        before_mark = _touches_mark(run, following, following.text[:1])
        yield _run(run, after_mark=after_mark, before_mark=before_mark)
        last = run


def _touches_mark(run: Run, other: Run, edge: str) -> bool:
    """Tell whether a delimiter between two runs counts only with no letter on this side of it.

    Args:
        run: The run on this side, outside the mark.
        other: The run inside the mark.
        edge: The character of ``other`` that is next to the delimiter.
    """
    kept = _shared(run.marks, other.marks)
    if len(kept) < len(run.marks):
        return False
    delimiters = [_opened(mark) for mark in other.marks[len(kept) :]]
    if not delimiters or delimiters[0] in ("", "["):
        return False
    intraword = delimiters in (["**"], ["~~"]) and _is_letter(edge)
    return not intraword


def _opened(mark: Mark) -> str:
    kind, _ = mark
    return "[" if kind == "link" else _DELIMITERS.get(kind, "")


def _closed(mark: Mark) -> str:
    kind, href = mark
    return f"]({_target(href)})" if kind == "link" else _DELIMITERS.get(kind, "")


def _target(href: str) -> str:
    """Write the address of a link, in angle brackets where it holds what would end it."""
    safe = _ENTITY.sub(lambda match: f"&amp;{match.group()[1:]}", href)
    if _PLAIN_TARGET.fullmatch(safe):
        return safe
    for character, encoded in (("\\", "%5C"), ("<", "%3C"), (">", "%3E")):
        safe = safe.replace(character, encoded)
    safe = re.sub(r"\s", "%20", safe)
    return f"<{safe}>"


def _run(run: Run, *, after_mark: bool, before_mark: bool) -> str:
    """Write the text of a run.

    Args:
        run: The run.
        after_mark: A closing delimiter stands right before it.
        before_mark: An opening delimiter stands right after it.
    """
    if run.code:
        return _code_span(run.text)
    if run.literal:
        left = " " if after_mark else ""
        return f"{left}{run.text} " if before_mark else f"{left}{run.text}"
    text = run.text
    written = _SPECIAL.sub(r"\\\g<0>", text)
    if text and before_mark and _is_letter(text[-1]):
        written = f"{written[:-1]}&#{ord(text[-1])};"
    if text and after_mark and _is_letter(text[0]):
        written = f"&#{ord(text[0])};{written[1:]}" if written[0] == text[0] else written
    return written


def _is_letter(character: str) -> bool:
    """Tell whether a delimiter beside this character would not count as one."""
    code = ord(character)
    return not (isWhiteSpace(code) or isMdAsciiPunct(code) or isPunctChar(character))


# Characters that have a meaning where they stand; all of them are punctuation. The last letter of
# a text may become a character reference, so what comes right before it is looked at, too.
_SPECIAL: Final = re.compile(
    r"""[`\[\]]
    | (?<!\s)\* | \*(?!\s)
    | (?<!.[^\W_])_ | _(?![^\W_].)
    | (?<=~)~ | ~(?=~) | \A~ | ~\Z
    | \\(?= [!-/:-@\[-`{-~] | .?\Z)
    | !\Z
    | <(?= [A-Za-z/!?] | \Z)
    | &(?= \#[0-9]{1,7}; | \#[xX][0-9a-fA-F]{1,6}; | [A-Za-z][A-Za-z0-9]*; | \Z)
    """,
    re.VERBOSE | re.DOTALL,
)


def _code_span(text: str) -> str:
    """Write inline code between so many backticks as it never holds in a row."""
    taken = {len(run) for run in re.findall(r"`+", text)}
    fence = "`" * next(n for n in range(1, len(taken) + 2) if n not in taken)
    edges = text[:1] + text[-1:]
    padded = "`" in edges or (edges == "  " and text.strip(" "))
    return f"{fence} {text} {fence}" if padded else f"{fence}{text}{fence}"


# What makes a line something else than a line of a paragraph, and where its backslash goes.
_LINE_STARTS: Final = (
    re.compile(r"^()(?=#{1,6}(?:\s|$))"),
    re.compile(r"^()(?=>)"),
    re.compile(r"^()(?=[-+](?:\s|$))"),
    re.compile(r"^()(?=(?:=+|-+)\s*$)"),
    re.compile(r"^([0-9]{1,9})(?=[.)](?:\s|$))"),
)


def _line_start_escaped(line: str) -> str:
    for pattern in _LINE_STARTS:
        if pattern.match(line):
            return pattern.sub(r"\1\\", line, count=1)
    return line
