"""The queries that look at fields: term, range, wildcard, phrase and their like."""

import re
from collections.abc import Callable
from typing import Any

from tests.fakes.elasticsearch.documents import (
    DATES,
    NUMBERS,
    TEXT,
    Document,
    Index,
    Json,
    ShardFailed,
    State,
    Test,
    analysed,
    nanos,
    unfit,
)


def _one_field(body: Any, main: str, *options: str) -> tuple[str, Json]:
    """Read ``{field: value}`` or ``{field: {main: value, ...}}``."""
    if not isinstance(body, dict) or len(body) != 1:
        raise unfit("parsing_exception", "query doesn't support multiple fields")
    [(name, value)] = body.items()
    settings = value if isinstance(value, dict) else {main: value}
    unknown = set(settings) - {main, *options}
    if unknown or not name:
        raise unfit("parsing_exception", f"query does not support {sorted(unknown)}")
    return name, settings


def comparable(kind: str, value: Any) -> Any:
    """Turn a value into what a field of this type compares; fail the shard where it is none."""
    try:
        if kind == "long":
            if not re.fullmatch(r"-?\d+(\.0*)?", str(value)):
                raise ValueError
            return int(float(value))
        if kind == "double":
            return float(value)
        if kind == "boolean":
            return {"true": True, "false": False, "": False}[str(value).lower()]
        if kind in DATES:
            return nanos(value)
    except (ValueError, KeyError) as exc:
        wrong = "number_format_exception" if kind in NUMBERS else "illegal_argument_exception"
        raise ShardFailed(wrong, f'For input string: "{value}"') from exc
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kept(kind: str, value: Any) -> bool:
    """A dynamic keyword ignores what is longer than 256 characters."""
    return value is not None and (kind != "keyword" or len(str(value)) <= 256)


def _matches(name: str, index: Index, test: Callable[[Any], bool]) -> Test:
    """Test each token of a text field, each value of another."""
    kind, path = index.of(name)
    if not kind:
        return lambda document: False
    if kind in TEXT:
        return lambda document: any(map(test, document.words(path)))
    return lambda document: any(
        test(comparable(kind, v)) for v in index.values(document, path) if _kept(kind, v)
    )


def term(body: Json, index: Index, state: State) -> Test:
    name, settings = _one_field(body, "value", "case_insensitive")
    return _equals(name, [settings["value"]], index)


def terms(body: Json, index: Index, state: State) -> Test:
    [(name, values)] = body.items()
    if not isinstance(values, list):
        raise unfit("parsing_exception", "[terms] query requires an array of terms")
    if len(values) > 65_536:
        raise unfit("illegal_argument_exception", "The number of terms has exceeded the maximum")
    return _equals(name, values, index)


def _equals(name: str, values: list[Any], index: Index) -> Test:
    kind, _ = index.of(name)
    wanted = {comparable(kind, value) for value in values} if kind else set()
    return _matches(name, index, lambda value: value in wanted)


_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


def within(body: Json, index: Index, state: State) -> Test:
    name, settings = _one_field(body, "", "gt", "gte", "lt", "lte", "format")
    kind, _ = index.of(name)
    if settings.pop("format", "strict_date_optional_time_nanos") != (
        "strict_date_optional_time_nanos"
    ):
        raise unfit("illegal_argument_exception", "Invalid format")
    bounds = [(_BOUNDS[bound], comparable(kind, value)) for bound, value in settings.items()]
    return _matches(name, index, lambda value: all(test(value, bound) for test, bound in bounds))


def _textual(name: str, index: Index, query: str) -> None:
    kind, _ = index.of(name)
    if kind in NUMBERS | DATES | {"boolean"}:
        raise ShardFailed(
            "query_shard_exception",
            f"Can only use {query} queries on keyword, text and wildcard fields -"
            f" not on [{name}] which is of type [{kind}]",
        )


def wildcard(body: Json, index: Index, state: State) -> Test:
    name, settings = _one_field(body, "value", "case_insensitive")
    _textual(name, index, "wildcard")
    flags = re.DOTALL | (re.IGNORECASE if settings.get("case_insensitive") else 0)
    parts = re.findall(r"\\.|[*?]|[^\\*?]|\\$", settings["value"], re.DOTALL)
    wild = {"*": ".*", "?": "."}
    pattern = re.compile("".join(wild.get(p) or re.escape(p[-1]) for p in parts), flags)
    return _matches(name, index, lambda value: bool(pattern.fullmatch(value)))


def prefix(body: Json, index: Index, state: State) -> Test:
    name, settings = _one_field(body, "value", "case_insensitive")
    _textual(name, index, "prefix")
    return _matches(name, index, lambda value: value.startswith(settings["value"]))


def regexp(body: Json, index: Index, state: State) -> Test:
    name, settings = _one_field(body, "value", "flags", "max_determinized_states")
    _textual(name, index, "regexp")
    if settings.get("flags") != "NONE":
        raise unfit("illegal_argument_exception", "this fake knows the flags NONE only")
    try:
        pattern = re.compile(python_regex(settings["value"]), re.DOTALL)
    except re.error as exc:
        raise ShardFailed("illegal_argument_exception", f"regexp: {exc}") from exc
    return _matches(name, index, lambda value: bool(pattern.fullmatch(value)))


def python_regex(lucene: str) -> str:
    """Lucene's syntax without its optional operators, as Python's: quotes mark literal text."""
    found = []
    for part in re.findall(r'"[^"]*"|\\.|[\s\S]', lucene):
        if part[0] == '"':
            if len(part) < 2:
                raise ShardFailed("illegal_argument_exception", "expected '\"'")
            found.append(re.escape(part[1:-1]))
        elif part[0] == "\\":
            found.append(part if part[1:] in "dDwWsS" else re.escape(part[1:]))
        else:
            found.append(f"\\{part}" if part == "$" else part)
    text = "".join(found)
    return re.sub(r"(?<!\[)\^", r"\\^", text)


def exists(body: Json, index: Index, state: State) -> Test:
    name = body["field"]

    def test(document: Document) -> bool:
        return any(
            value is not None
            for path, values in document.flat.items()
            for value in values
            if path == name or path.startswith(f"{name}.")
        )

    return test


def match_phrase(body: Json, index: Index, state: State) -> Test:
    name, settings = _one_field(body, "query")
    return phrase_in(name, settings["query"], index, lenient=False)


def phrase_in(name: str, text: Any, index: Index, *, lenient: bool) -> Test:
    kind, path = index.of(name)
    if kind not in TEXT:
        try:
            return _equals(name, [text], index)
        except ShardFailed:
            if lenient:
                return lambda document: False
            raise
    words = analysed(text)

    def test(document: Document) -> bool:
        have = document.words(path)
        places = range(len(have) - len(words) + 1)
        return bool(words) and any(have[at : at + len(words)] == words for at in places)

    return test


def multi_match(body: Json, index: Index, state: State) -> Test:
    if body.get("type") != "phrase" or body.get("fields") != ["*"]:
        raise unfit("illegal_argument_exception", "this fake knows phrases over all fields only")
    return anywhere(body["query"], index, phrase=True)


def anywhere(text: str, index: Index, *, phrase: bool) -> Test:
    """One term or phrase, in any field."""
    tests = []
    for name, kind in index.mapping.items():
        if phrase or kind not in TEXT:
            tests.append(phrase_in(name, text, index, lenient=True))
        else:
            tests.append(_all_words(name, analysed(text), index))
    return lambda document: any(test(document) for test in tests)


def _all_words(path: str, words: list[str], index: Index) -> Test:
    return lambda document: bool(words) and set(words) <= set(document.words(path))


def prefixed(text: str, index: Index) -> Test:
    tests = []
    for name, kind in index.mapping.items():
        if kind in TEXT or kind == "keyword":
            start = text.lower() if kind in TEXT else text
            tests.append(_matches(name, index, lambda value, start=start: value.startswith(start)))
    return lambda document: any(test(document) for test in tests)


def ids(body: Json, index: Index, state: State) -> Test:
    wanted = set(body["values"])
    return lambda document: document.id in wanted
