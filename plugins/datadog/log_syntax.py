"""Datadog's log search syntax: literals that cannot break out, and searches that are whole.

Source: https://docs.datadoghq.com/logs/explorer/search_syntax/ (operators are case sensitive;
special characters are escaped by a backslash; within quotes wildcards are literal).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from opsorch.errors import BadRequest

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SPECIAL = re.compile(r'([-!&|><=(){}\[\]"*?:#\\~^+])')
_QUOTE_SPECIAL = re.compile(r'(["\\])')
_OPERATORS: Final = frozenset({"AND", "OR", "NOT"})
MAX_NESTING: Final = 50


def printable(text: str, field: str) -> str:
    """Return a text that holds no control characters.

    Raises:
        BadRequest: It does; names the field.
    """
    if _CONTROL.search(text):
        raise BadRequest(f"{field} holds control characters")
    return text


def quoted(text: str) -> str:
    """Write a text as one literal in quotes."""
    return '"' + _QUOTE_SPECIAL.sub(r"\\\1", text) + '"'


def escaped(text: str) -> str:
    """Write a text outside of quotes as one literal; blanks become the wildcard ``?``."""
    return re.sub(r"\s", "?", _SPECIAL.sub(r"\\\1", text))


def literal_word(word: str) -> str:
    """Write a word of a free-text search as itself.

    An operator's name is taken as a word only in quotes, and ``@`` begins the name of an
    attribute, which no escape prevents.
    """
    return quoted(word) if word in _OPERATORS or "@" in word else escaped(word)


_TOKEN = re.compile(
    r"""(?P<blank>\s+)|"(?P<phrase>[^"]*)"|(?P<open>\()|(?P<close>\))
    |(?P<minus>(?<![^\s(])-(?=\S))|(?P<word>[^\s()"]+|")""",
    re.VERBOSE,
)
# The same where parentheses are letters like others.
_FLAT_TOKEN = re.compile(
    r"""(?P<blank>\s+)|"(?P<phrase>[^"]*)"|(?P<minus>(?<!\S)-(?=\S))|(?P<word>[^\s"]+|")""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    """A part of a search: ``kind`` is word, phrase, open, close, minus, AND, OR or NOT."""

    kind: str
    text: str


def simple_search(text: str) -> str:
    """Write a search of words, phrases, AND, OR, NOT, ``-`` and parentheses as Datadog's.

    Operators that join or negate nothing, and parentheses that do not balance, are words. Returns
    "" where there is nothing to search for.
    """
    tokens = list(_tokens(_TOKEN, text))
    if not _balanced(tokens):
        tokens = list(_tokens(_FLAT_TOKEN, text))
    written = _Writer(_without_empty_groups(tokens)).written()
    return f"({written})" if written else ""


def _tokens(pattern: re.Pattern[str], text: str) -> Iterator[_Token]:
    for match in pattern.finditer(text):
        kind = str(match.lastgroup)
        token = match[kind]
        if kind == "word" and token in _OPERATORS:
            kind = token
        if token.strip():
            yield _Token(kind, token)


def _balanced(tokens: Sequence[_Token]) -> bool:
    depth = 0
    for token in tokens:
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if not 0 <= depth <= MAX_NESTING:
            return False
    return depth == 0


def _without_empty_groups(tokens: Sequence[_Token]) -> list[_Token]:
    kept: list[_Token] = []
    for token in tokens:
        if token.kind == "close" and kept and kept[-1].kind == "open":
            kept.pop()
        else:
            kept.append(token)
    return kept


class _Writer:
    """Writes tokens whose parentheses balance and are never empty."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def written(self) -> str:
        """Write what stands up to the end, or to the parenthesis that closes."""
        parts: list[str] = []
        operator = ""
        while self._more():
            kind = self._tokens[self._at].kind
            if kind in ("AND", "OR") and parts and not operator and self._more(1):
                operator = kind
                self._at += 1
                continue
            parts += [operator, self._operand()] if operator else [self._operand()]
            operator = ""
        return " ".join(parts)

    def _more(self, ahead: int = 0) -> bool:
        at = self._at + ahead
        return at < len(self._tokens) and self._tokens[at].kind != "close"

    def _operand(self) -> str:
        negation = ""
        while self._tokens[self._at].kind in ("minus", "NOT") and self._more(1):
            negation = "" if negation else "-"
            self._at += 1
        token = self._tokens[self._at]
        self._at += 1
        if token.kind == "open":
            inner = self.written()
            self._at += 1
            return f"{negation}({inner})"
        text = quoted(token.text) if token.kind == "phrase" else literal_word(token.text)
        return f"{negation}{text}"


_RAW_TOKEN = re.compile(r'\\.|"(?:[^"\\]|\\.)*"|[()"\\]', re.DOTALL)


def raw_search(text: str, field: str) -> str:
    """Put a search in Datadog's own syntax into parentheses, so that what follows holds for it all.

    Raises:
        BadRequest: Its quotes or parentheses do not balance, so that it would reach beyond them.
    """
    depth = 0
    for token in _RAW_TOKEN.findall(text):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth < 0 or token in ('"', "\\"):
            break
    else:
        if depth == 0:
            return f"({text.strip()})" if text.strip() else ""
    raise BadRequest(f"{field}: quotes, parentheses and backslashes must balance")
