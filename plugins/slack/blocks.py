"""Message blocks to Block Kit, within Slack's sizes.

Source of the limits: docs.slack.dev/reference/block-kit/blocks (50 blocks a message),
.../blocks/header-block (150 characters), .../blocks/section-block (text 3000; 10 fields of 2000).
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from opsorch.observability.redact import clean_text
from opsorch.plugin.payload import Json, object_of, text_of, word_of
from opsorch_plugins.slack.mrkdwn import (
    convert,
    escape,
    neutralised,
    stripped,
    stripped_mrkdwn,
)
from opsorch_plugins.slack.splitting import cut, split

Convert = Callable[[str], str]

MAX_BLOCKS: Final = 50
MAX_HEADER: Final = 150
MAX_SECTION: Final = 3000
MAX_FIELD: Final = 2000
MAX_FIELDS: Final = 10
NO_VALUE: Final = "-"
# Slack shows at most 50 sections of 3000 characters; what is far beyond is not even converted.
MAX_GIVEN: Final = 200_000


@dataclass(frozen=True, slots=True)
class Format:
    """How texts of a message are written, by ``metadata.format``.

    Attributes:
        kind: Type of Slack's text objects.
        section: Writes the text of a section or the value of a field.
        header: Writes the text of a header, which is always plain.
        top: Writes the top-level text.
    """

    kind: Literal["mrkdwn", "plain_text"]
    section: Convert
    header: Convert
    top: Convert

    def text(self, text: str) -> Json:
        """Make a text object."""
        return {"type": self.kind, "text": text}

    def field(self, key: str, value: str) -> str:
        """Write one field of a section: its key, then its value on a line of its own."""
        shown = self.section(value)
        shown = shown if shown.strip() else NO_VALUE
        name = " ".join(key.split())
        if self.kind == "plain_text":
            return f"{name}\n{shown}" if name else shown
        name = escape(name.replace("*", "").strip())
        return f"*{name}*\n{shown}" if name else shown


def _as_given(text: str) -> str:
    return text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def formats(*, allow_broadcast: bool) -> dict[str, Format]:
    """Return the formats by the words that ``metadata.format`` takes; "" is Markdown."""
    markdown = functools.partial(convert, allow_broadcast=allow_broadcast)
    slack = _as_given if allow_broadcast else neutralised
    return {
        "": Format("mrkdwn", markdown, stripped, markdown),
        "mrkdwn": Format("mrkdwn", slack, stripped_mrkdwn, slack),
        "plain": Format("plain_text", _as_given, _one_line, escape),
    }


@dataclass(frozen=True, slots=True)
class Built:
    """The blocks of a message, what was cut for their sake, and their text."""

    blocks: list[Json]
    warnings: list[str]
    summary: str


def sections_of(text: str, style: Format) -> list[Json]:
    """Turn a text that is already written in the format into as many sections as it takes."""
    parts = split(text, MAX_SECTION)
    return [{"type": "section", "text": style.text(part)} for part in parts]


def built(given: Sequence[Json], style: Format) -> Built:
    """Turn the blocks of a message into Slack's.

    Raises:
        BadRequest: A block's type is unknown, or a field of it has the wrong type; names it.
    """
    blocks: list[Json] = []
    warnings: list[str] = []
    lines: list[str] = []
    for index, block in enumerate(given):
        where = f"blocks[{index}]."
        make = word_of(_MAKERS, text_of(block, "type", where=where), f"{where}type")
        for made, line in make(block, where, style, warnings):
            blocks.append(made)
            lines.append(line)
    summary = "\n".join(line for line in lines if line)
    return Built(bounded(blocks, style, warnings), warnings, summary)


def bounded(blocks: list[Json], style: Format, warnings: list[str]) -> list[Json]:
    """Keep at most 50 blocks; the last one tells how many were left out."""
    if len(blocks) <= MAX_BLOCKS:
        return blocks
    left_out = len(blocks) - MAX_BLOCKS + 1
    told = f"{left_out} blocks were left out: Slack takes {MAX_BLOCKS} a message"
    warnings.append(told)
    return [*blocks[: MAX_BLOCKS - 1], {"type": "section", "text": style.text(told)}]


# A block and the line that stands for it in the top-level text.
_Made = Iterator[tuple[Json, str]]


def _header(block: Json, where: str, style: Format, warnings: list[str]) -> _Made:
    whole = style.header(text_of(block, "text", where=where))
    if not whole:
        return
    shown = cut(whole, MAX_HEADER)
    if shown != whole:
        warnings.append(f"{where}text was cut to {MAX_HEADER} characters")
    text = {"type": "plain_text", "text": shown, "emoji": True}
    yield {"type": "header", "text": text}, escape(whole)


def _section(block: Json, where: str, style: Format, warnings: list[str]) -> _Made:
    given = cut(text_of(block, "text", where=where), MAX_GIVEN)
    sections = sections_of(style.section(given), style) if given.strip() else []
    fields = _fields(block, where, style, warnings)
    groups = [fields[n : n + MAX_FIELDS] for n in range(0, len(fields), MAX_FIELDS)]
    for number, group in enumerate(groups):
        if number or not sections:
            sections.append({"type": "section"})
        sections[-1]["fields"] = [style.text(written) for written in group]
    for section in sections:
        yield section, _line_of(section, style)


def _line_of(section: Json, style: Format) -> str:
    """Return what stands for a section in the top-level text: its text, else its fields."""
    texts = [section["text"]] if "text" in section else section["fields"]
    whole = "\n".join(text["text"] for text in texts)
    return escape(whole) if style.kind == "plain_text" else whole


def _fields(block: Json, where: str, style: Format, warnings: list[str]) -> list[str]:
    written = []
    fields = object_of(block, "fields", where=where)
    for key in fields:
        whole = style.field(key, cut(_value(fields, key, f"{where}fields."), MAX_GIVEN))
        written.append(cut(whole, MAX_FIELD))
        if written[-1] != whole:
            warnings.append(f"{where}fields: a value was cut to {MAX_FIELD} characters")
    return written


def _value(fields: Json, key: str, where: str) -> str:
    """Return a field's value; numbers and booleans are text too, as they are written in JSON."""
    value = fields[key]
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return text_of({clean_text(key, 60): value}, clean_text(key, 60), where=where)


def _divider(*_: Any) -> _Made:
    yield {"type": "divider"}, ""


_MAKERS: Final[dict[str, Callable[[Json, str, Format, list[str]], _Made]]] = {
    "header": _header,
    "section": _section,
    "divider": _divider,
}
