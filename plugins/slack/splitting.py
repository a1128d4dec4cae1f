"""Cutting and splitting mrkdwn to Slack's sizes without breaking entities, links and code."""

import re
from typing import Final

_FENCE: Final = "```"
_CLOSING: Final = f"\n{_FENCE}"
_REOPENING: Final = f"{_FENCE}\n"
_ENTITY = re.compile(r"&(?:amp|lt|gt);")
_SEPARATORS: Final = ("\n\n", "\n", " ")


def cut(text: str, limit: int) -> str:
    """Return the text, or its begin with an ellipsis, in at most ``limit`` characters (over 20)."""
    if len(text) <= limit:
        return text
    head = text[: _whole(text, limit - 1, 0)].rstrip()
    if not _inside_code(head):
        return f"{head}…"
    head = text[: _whole(text, limit - 1 - len(_CLOSING), 0)].rstrip()
    return f"{head}…{_CLOSING if _inside_code(head) else ''}"


def split(text: str, limit: int) -> list[str]:
    """Split at a blank line, else a line, else a word, into parts of at most ``limit`` characters.

    A code fence that is split is closed in the one part and opened again in the next.
    Parts that are blank are left out.
    """
    parts: list[str] = []
    start, prefix = 0, ""
    while start < len(text):
        if len(text) - start + len(prefix) <= limit:
            parts.append(prefix + text[start:])
            break
        end = _end_of_part(text, start, start + limit - len(prefix) - len(_CLOSING))
        part = prefix + text[start:end].rstrip()
        inside = _inside_code(part)
        parts.append(part + (_CLOSING if inside else ""))
        prefix = _REOPENING if inside else ""
        start = _next_start(text, end)
    shown = [part for part in parts if part.replace(_FENCE, "").strip()]
    return shown or [part for part in parts if part.strip()]


def _inside_code(text: str) -> bool:
    return text.count(_FENCE) % 2 == 1


def _next_start(text: str, end: int) -> int:
    """Step over the separator; the indentation of a line stays."""
    newline = end < len(text) and text[end] == "\n"
    while end < len(text) and text[end] == ("\n" if newline else " "):
        end += 1
    return end


def _end_of_part(text: str, start: int, latest: int) -> int:
    """Return where a part ends: past ``start``, at ``latest`` at most.

    The second half is looked through first, so that an early blank line makes no tiny part.
    """
    for earliest in (start + (latest - start) // 2, start + 1):
        for separator in _SEPARATORS:
            found = text.rfind(separator, earliest, latest)
            if found > start:
                return _whole(text, found, start)
    return _whole(text, latest, start)


def _whole(text: str, end: int, start: int) -> int:
    """Move an end back so that it lies within no link, mention, entity or run of backticks.

    Where nothing would be left after ``start``, the end stays.
    """
    moved = end
    opening = text.rfind("<", start, moved)
    if opening > start and text.find(">", opening, moved) < 0 and _closes(text, opening, moved):
        moved = opening
    ampersand = text.rfind("&", max(start, moved - 4), moved)
    if ampersand >= 0 and (entity := _ENTITY.match(text, ampersand)) and entity.end() > moved:
        moved = ampersand
    while start < moved < len(text) and text[moved - 1] == text[moved] == "`":
        moved -= 1
    return moved if moved > start else end


def _closes(text: str, opening: int, end: int) -> bool:
    """Tell whether what opens with ``<`` is a link or mention that closes behind ``end``."""
    closing = text.find(">", end, opening + 3000)
    return closing >= 0 and "\n" not in text[opening:closing]
