"""Datadog's two query languages, as far as its documentation tells: parsed, checked, evaluated.

Sources: docs.datadoghq.com/logs/explorer/search_syntax/ (operators, escapes, wildcards, attributes,
ranges) and docs.datadoghq.com/metrics/advanced-filtering/ (functional and boolean tag filters).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Test = Callable[[Json], bool]


class Malformed(Exception):
    """The query cannot be parsed."""


RESERVED = {"service", "status", "host"}


@dataclass(frozen=True)
class Token:
    """``kind``: open, close, minus, and, or, term. A term has a field and a value.

    A value is a list of characters, of which those in a pair ("*", True) are wildcards.
    """

    kind: str
    field: str = ""
    value: tuple[tuple[str, bool], ...] = ()
    quoted: bool = False
    group: bool = False


def log_tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char.isspace():
            at += 1
        elif char == "(":
            tokens.append(Token("open"))
            at += 1
        elif char == ")":
            tokens.append(Token("close"))
            at += 1
        elif char == "-":
            tokens.append(Token("minus"))
            at += 1
        else:
            token, at = _term(text, at)
            tokens.append(token)
    return tokens


def _term(text: str, at: int) -> tuple[Token, int]:
    if text[at] == '"':
        value, at = _quoted(text, at)
        return Token("term", value=value, quoted=True), at
    start = at
    chars, at = _bare(text, at)
    word = text[start:at]
    if at < len(text) and text[at] == ":":
        field = "".join(char for char, _ in chars)
        if not re.fullmatch(r"\*|@?[A-Za-z][\w.\-/]*", field):
            raise Malformed(f"no field: {field}")
        return _valued(field, text, at + 1)
    if word in ("AND", "OR", "NOT"):
        return Token({"NOT": "minus"}.get(word, word.lower())), at
    if not chars:
        raise Malformed(f"unexpected {text[at]!r}")
    return Token("term", value=tuple(chars)), at


def _valued(field: str, text: str, at: int) -> tuple[Token, int]:
    if at >= len(text) or text[at].isspace():
        raise Malformed(f"no value for {field}")
    if text[at] == "(":
        return Token("term", field=field, group=True), at
    if text[at] == '"':
        value, at = _quoted(text, at)
        return Token("term", field, value, quoted=True), at
    match = re.compile(r"(>=|<=|>|<)(-?[0-9.]+)(?=[\s)]|$)").match(text, at)
    if match:
        value = tuple((char, True) for char in match[1]) + tuple((c, False) for c in match[2])
        return Token("term", field, value), match.end()
    chars, at = _bare(text, at)
    if not chars or (at < len(text) and text[at] == ":"):
        raise Malformed(f"no value for {field}")
    return Token("term", field, tuple(chars)), at


def _quoted(text: str, at: int) -> tuple[tuple[tuple[str, bool], ...], int]:
    at += 1
    chars = []
    while at < len(text) and text[at] != '"':
        if text[at] == "\\":
            at += 1
            if at >= len(text):
                break
        chars.append((text[at], False))
        at += 1
    if at >= len(text):
        raise Malformed("a quote is not closed")
    return tuple(chars), at + 1


def _bare(text: str, at: int) -> tuple[list[tuple[str, bool]], int]:
    chars: list[tuple[str, bool]] = []
    while at < len(text):
        char = text[at]
        if char == "\\":
            if at + 1 >= len(text):
                raise Malformed("a backslash at the end")
            chars.append((text[at + 1], False))
            at += 2
            continue
        if char.isspace() or char in '():"':
            break
        if char in "!&|><={}[]#~^+":
            raise Malformed(f"{char} must be escaped")
        chars.append((char, char in "*?"))
        at += 1
    return chars, at


def log_test(query: str) -> Test:
    """Parse a search and return what it demands of an event's attributes.

    Raises:
        Malformed: It cannot be parsed.
    """
    if query.strip() in ("", "*"):
        return lambda event: True
    parser = _LogParser(log_tokens(query))
    test = parser.any_of("")
    if parser.left():
        raise Malformed("a parenthesis is not opened")
    return test


class _LogParser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def left(self) -> bool:
        return self._at < len(self._tokens)

    def _kind(self) -> str:
        return self._tokens[self._at].kind if self.left() else ""

    def any_of(self, field: str) -> Test:
        tests = [self._all_of(field)]
        while self._kind() == "or":
            self._at += 1
            tests.append(self._all_of(field))
        return lambda event: any(test(event) for test in tests)

    def _all_of(self, field: str) -> Test:
        tests = [self._one(field)]
        while self._kind() not in ("", "or", "close"):
            if self._kind() == "and":
                self._at += 1
            tests.append(self._one(field))
        return lambda event: all(test(event) for test in tests)

    def _one(self, field: str) -> Test:
        kind = self._kind()
        if kind not in ("minus", "open", "term"):
            raise Malformed(f"unexpected {kind or 'end'}")
        token = self._tokens[self._at]
        self._at += 1
        if kind == "minus":
            negated = self._one(field)
            return lambda event: not negated(event)
        if kind == "open" or token.group:
            if token.group:
                if field or self._kind() != "open":
                    raise Malformed("a group within a value")
                self._at += 1
            inner = self.any_of(token.field or field)
            if self._kind() != "close":
                raise Malformed("a parenthesis is not closed")
            self._at += 1
            return inner
        if token.field and field:
            raise Malformed("a field within a value")
        return _leaf(token, token.field or field)


def _leaf(token: Token, field: str) -> Test:
    operator = "".join(char for char, special in token.value if special and char in "<>=")
    if operator:
        return _compared(field, operator, float("".join(c for c, s in token.value if not s)))
    pattern = "".join(
        {"*": ".*", "?": "."}[char] if special else re.escape(char) for char, special in token.value
    )
    if not field:
        regex = re.compile(pattern, re.IGNORECASE | re.DOTALL)
        return lambda event: regex.search(str(event.get("message", ""))) is not None
    whole = re.compile(pattern, re.IGNORECASE | re.DOTALL)
    return lambda event: any(whole.fullmatch(text) for text in field_values(event, field))


def _compared(field: str, operator: str, bound: float) -> Test:
    tests: Mapping[str, Callable[[float], bool]] = {
        ">": lambda v: v > bound,
        ">=": lambda v: v >= bound,
        "<": lambda v: v < bound,
        "<=": lambda v: v <= bound,
    }
    compare = tests[operator]

    def test(event: Json) -> bool:
        values = [v for v in field_values(event, field) if re.fullmatch(r"-?\d+(\.\d+)?", v)]
        return any(compare(float(value)) for value in values)

    return test


def field_values(event: Json, field: str) -> list[str]:
    """The values of a field: an attribute with @, a reserved attribute, else a tag."""
    if field.startswith("@"):
        value: Any = event.get("attributes", {})
        for name in field[1:].split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return (
            [] if value is None else [str(value).lower() if value in (True, False) else str(value)]
        )
    if field in RESERVED and event.get(field):
        return [str(event[field])]
    tags = (tag.partition(":") for tag in event.get("tags", []))
    return [value for key, _, value in tags if key == field]


_QUERY = re.compile(
    r"(?P<agg>[a-z0-9]+):(?P<metric>[A-Za-z][\w.]*)\{(?P<filter>[^{}]*)\}"
    r"(?: by \{(?P<by>[^{}]+)\})?(?:\.rollup\((?P<rollup>[a-z]+)(?:, ?\d+)?\))?"
)
_METRIC_TOKEN = re.compile(r"\s+|\(|\)|,|[^\s(),]+")
AGGREGATIONS = {"avg", "sum", "min", "max", "count", "p50", "p75", "p90", "p95", "p99"}


@dataclass(frozen=True)
class MetricQuery:
    """A parsed metric query."""

    aggregation: str
    metric: str
    test: Test
    group_by: tuple[str, ...]


def metric_query(text: str) -> MetricQuery:
    """Parse a query of one metric.

    Raises:
        Malformed: It cannot be parsed.
    """
    match = _QUERY.fullmatch(text)
    if not match or match["agg"] not in AGGREGATIONS:
        raise Malformed("Invalid query")
    group_by = tuple(match["by"].split(",")) if match["by"] else ()
    if not all(re.fullmatch(r"[A-Za-z][\w\-./]*", key) for key in group_by):
        raise Malformed("Invalid group")
    return MetricQuery(match["agg"], match["metric"], metric_test(match["filter"]), group_by)


def metric_test(text: str) -> Test:
    """Parse a boolean tag filter and return what it demands of a map of tags.

    Raises:
        Malformed: It cannot be parsed.
    """
    if text.strip() == "*":
        return lambda tags: True
    parser = _TagParser([token for token in _METRIC_TOKEN.findall(text) if token.strip()])
    test = parser.any_of()
    if parser.tokens:
        raise Malformed(f"unexpected {parser.tokens[0]}")
    return test


class _TagParser:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens

    def _next(self, wanted: str = "") -> str:
        if not self.tokens or (wanted and self.tokens[0] != wanted):
            raise Malformed(f"expected {wanted or 'more'}")
        return self.tokens.pop(0)

    def _is(self, word: str) -> bool:
        return bool(self.tokens) and self.tokens[0] == word

    def any_of(self) -> Test:
        tests = [self._all_of()]
        while self._is("OR"):
            self._next()
            tests.append(self._all_of())
        return lambda tags: any(test(tags) for test in tests)

    def _all_of(self) -> Test:
        tests = [self._one()]
        while self._is("AND"):
            self._next()
            tests.append(self._one())
        return lambda tags: all(test(tags) for test in tests)

    def _one(self) -> Test:
        if self._is("NOT"):
            self._next()
            negated = self._one()
            return lambda tags: not negated(tags)
        if self._is("("):
            self._next()
            inner = self.any_of()
            self._next(")")
            return inner
        token = self._next()
        if self._is("IN") or self._is("NOT"):
            return self._listed(token)
        key, colon, value = token.partition(":")
        if not colon or not value or not re.fullmatch(r"[A-Za-z][\w\-./]*", key):
            raise Malformed(f"no tag: {token}")
        if not re.fullmatch(r"\*?[\w\-.:/]*\*?", value):
            raise Malformed(f"no value: {value}")
        regex = re.compile(re.escape(value).replace(r"\*", ".*"))
        return lambda tags: key in tags and regex.fullmatch(tags[key]) is not None

    def _listed(self, key: str) -> Test:
        negated = self._is("NOT")
        if negated:
            self._next()
        self._next("IN")
        self._next("(")
        values = {self._next()}
        while self._is(","):
            self._next()
            values.add(self._next())
        self._next(")")
        if values & {"(", ")", ","}:
            raise Malformed("no list of values")
        return lambda tags: (tags.get(key) in values) != negated
