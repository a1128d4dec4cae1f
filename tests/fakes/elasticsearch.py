"""A small Elasticsearch, or OpenSearch, that evaluates the query DSL over documents in memory.

Mappings are explicit or dynamic (text with ``.keyword``, numbers, booleans, dates), so that term,
phrase and wildcard queries behave by type; what a type cannot take fails its shards. Queries,
fields of the request and parameters that are not known are refused, so that a mistake never looks
like an empty answer. A point in time gets a new id with every page, and only the newest is taken.

Sources: elastic.co/guide/en/elasticsearch/reference/8.17: query-dsl.html, search-search.html,
paginate-search-results.html, point-in-time-api.html, regexp-syntax.html, field-data-types
(mapping-types.html), search-field-caps.html, common-options.html; the operators of
query-dsl-simple-query-string-query.html are read as Lucene's SimpleQueryParser documents them;
docs.opensearch.org/docs/latest/search-plugins/searching-data/point-in-time-api.
"""

import base64
import datetime
import fnmatch
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import flask
import luqum.exceptions
import luqum.thread
import luqum.tree

Json = dict[str, Any]
Test = Callable[["Document"], bool]

MAX_WINDOW = 10_000
TEXT = {"text", "match_only_text"}
NUMBERS = {"long", "double"}
DATES = {"date", "date_nanos"}


# --- documents and mappings ---------------------------------------------------------------------


@dataclass(eq=False)
class Document:
    index: "Index" = field(repr=False)
    id: str
    source: Json
    number: int
    flat: dict[str, list[Any]] = field(default_factory=dict)
    tokens: dict[str, list[str]] = field(default_factory=dict)

    def words(self, path: str) -> list[str]:
        if path not in self.tokens:
            values = self.flat.get(path, [])
            self.tokens[path] = [word for value in values for word in analysed(value)]
        return self.tokens[path]


@dataclass(eq=False)
class Index:
    """One index. ``keywords``: new text fields are keywords, as templates for ECS map them."""

    name: str
    mapping: dict[str, str] = field(default_factory=dict)
    keywords: bool = False
    documents: list[Document] = field(default_factory=list, repr=False)

    def add(self, source: Json, document_id: str) -> None:
        document = Document(self, document_id, source, next(_NUMBERS))
        for path, value in leaves(source):
            document.flat.setdefault(path, []).append(value)
            if value is not None and path not in self.mapping:
                self.mapping[path] = self._dynamic(value)
                if self.mapping[path] == "text":
                    self.mapping[f"{path}.keyword"] = "keyword"
        self.documents.append(document)

    def _dynamic(self, value: Any) -> str:
        for kind, name in ((bool, "boolean"), (int, "long"), (float, "double")):
            if isinstance(value, kind):
                return name
        if re.fullmatch(r"\d{4}-\d\d-\d\d(T.*)?", value):
            return "date"
        return "keyword" if self.keywords else "text"

    def of(self, name: str) -> tuple[str, str]:
        """Type of a field, "" where it is not mapped, and the path of its values."""
        if name in ("_id", "_index"):
            return "keyword", name
        kind = self.mapping.get(name, "")
        multi = name.removesuffix(".keyword")
        return kind, multi if multi != name and self.mapping.get(multi) in TEXT else name

    def values(self, document: Document, path: str) -> list[Any]:
        meta = {"_id": document.id, "_index": self.name}
        return [meta[path]] if path in meta else document.flat.get(path, [])


_NUMBERS: Iterator[int] = iter(range(10**9))


def leaves(source: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(source, dict):
        for key, value in source.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(source, list):
        for value in source:
            yield from leaves(value, path)
    else:
        yield path, source


def analysed(value: Any) -> list[str]:
    return [word.lower() for word in re.findall(r"\w+(?:[.']\w+)*", str(value))]


# --- state and errors ---------------------------------------------------------------------------


@dataclass
class PointInTime:
    indices: list[Index]
    until: float


@dataclass
class State:
    """What the cluster holds, and what it asks of a caller.

    ``users``: Authorization header -> whether it may read; nobody is asked where it is empty.
    ``busy``: searches that are refused with 429 from now on. ``pits``: it has points in time.
    """

    indices: list[Index] = field(default_factory=list)
    opensearch: bool = False
    users: dict[str, bool] = field(default_factory=dict)
    busy: int = 0
    pits: bool = True
    expensive: bool = True
    timed_out: bool = False
    open_pits: dict[str, PointInTime] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def basic_auth(self, user: str, password: str, *, reads: bool = True) -> None:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.users[f"Basic {pair}"] = reads

    def api_key(self, key_id: str, key: str) -> None:
        pair = base64.b64encode(f"{key_id}:{key}".encode()).decode()
        self.users[f"ApiKey {pair}"] = True


class Refused(Exception):
    """An error in Elasticsearch's own form."""

    def __init__(self, status: int, kind: str, reason: str, **more: Any) -> None:
        super().__init__(reason)
        cause = {"type": kind, "reason": reason, **more}
        self.status = status
        self.cause = cause
        self.body = {"error": {"root_cause": [cause], **cause}, "status": status}


class ShardFailed(Exception):
    """One index cannot run the query."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


def unfit(kind: str, reason: str) -> Refused:
    return Refused(400, kind, reason)


# --- the query DSL ------------------------------------------------------------------------------


def compiled(query: Json, index: Index, state: State) -> Test:
    """Make a query a test of this index's documents."""
    if not isinstance(query, dict) or len(query) != 1:
        raise unfit("parsing_exception", "[_na] query malformed, no start_object after query name")
    [(name, body)] = query.items()
    if name not in QUERIES:
        raise unfit("parsing_exception", f"unknown query [{name}]")
    if not state.expensive and name in ("wildcard", "regexp", "prefix"):
        raise unfit(
            "illegal_argument_exception",
            f"[{name}] queries cannot be executed when 'search.allow_expensive_queries' is set"
            " to false.",
        )
    return QUERIES[name](body, index, state)


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


def _bool(body: Json, index: Index, state: State) -> Test:
    known = {"must", "filter", "should", "must_not", "minimum_should_match"}
    if set(body) - known:
        raise unfit("parsing_exception", f"[bool] query does not support {set(body) - known}")
    parts = {
        name: [compiled(q, index, state) for q in _listed(body.get(name, []))]
        for name in ("must", "filter", "should", "must_not")
    }
    needed = [*parts["must"], *parts["filter"]]
    least = int(body.get("minimum_should_match", 0 if needed else min(1, len(parts["should"]))))

    def test(document: Document) -> bool:
        return (
            all(part(document) for part in needed)
            and not any(part(document) for part in parts["must_not"])
            and (not least or sum(part(document) for part in parts["should"]) >= least)
        )

    return test


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _comparable(kind: str, value: Any) -> Any:
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
        test(_comparable(kind, v)) for v in index.values(document, path) if _kept(kind, v)
    )


def _term(body: Json, index: Index, state: State) -> Test:
    name, settings = _one_field(body, "value", "case_insensitive")
    return _equals(name, [settings["value"]], index)


def _terms(body: Json, index: Index, state: State) -> Test:
    [(name, values)] = body.items()
    if not isinstance(values, list):
        raise unfit("parsing_exception", "[terms] query requires an array of terms")
    if len(values) > 65_536:
        raise unfit("illegal_argument_exception", "The number of terms has exceeded the maximum")
    return _equals(name, values, index)


def _equals(name: str, values: list[Any], index: Index) -> Test:
    kind, _ = index.of(name)
    wanted = {_comparable(kind, value) for value in values} if kind else set()
    return _matches(name, index, lambda value: value in wanted)


_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


def _range(body: Json, index: Index, state: State) -> Test:
    name, settings = _one_field(body, "", "gt", "gte", "lt", "lte", "format")
    kind, _ = index.of(name)
    if settings.pop("format", "strict_date_optional_time_nanos") != (
        "strict_date_optional_time_nanos"
    ):
        raise unfit("illegal_argument_exception", "Invalid format")
    bounds = [(_BOUNDS[bound], _comparable(kind, value)) for bound, value in settings.items()]
    return _matches(name, index, lambda value: all(test(value, bound) for test, bound in bounds))


def _textual(name: str, index: Index, query: str) -> None:
    kind, _ = index.of(name)
    if kind in NUMBERS | DATES | {"boolean"}:
        raise ShardFailed(
            "query_shard_exception",
            f"Can only use {query} queries on keyword, text and wildcard fields -"
            f" not on [{name}] which is of type [{kind}]",
        )


def _wildcard(body: Json, index: Index, state: State) -> Test:
    name, settings = _one_field(body, "value", "case_insensitive")
    _textual(name, index, "wildcard")
    flags = re.DOTALL | (re.IGNORECASE if settings.get("case_insensitive") else 0)
    parts = re.findall(r"\\.|[*?]|[^\\*?]|\\$", settings["value"], re.DOTALL)
    wild = {"*": ".*", "?": "."}
    pattern = re.compile("".join(wild.get(p) or re.escape(p[-1]) for p in parts), flags)
    return _matches(name, index, lambda value: bool(pattern.fullmatch(value)))


def _prefix(body: Json, index: Index, state: State) -> Test:
    name, settings = _one_field(body, "value", "case_insensitive")
    _textual(name, index, "prefix")
    return _matches(name, index, lambda value: value.startswith(settings["value"]))


def _regexp(body: Json, index: Index, state: State) -> Test:
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


def _exists(body: Json, index: Index, state: State) -> Test:
    name = body["field"]

    def test(document: Document) -> bool:
        return any(
            value is not None
            for path, values in document.flat.items()
            for value in values
            if path == name or path.startswith(f"{name}.")
        )

    return test


def _match_phrase(body: Json, index: Index, state: State) -> Test:
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


def _multi_match(body: Json, index: Index, state: State) -> Test:
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


def _ids(body: Json, index: Index, state: State) -> Test:
    wanted = set(body["values"])
    return lambda document: document.id in wanted


def _simple_query_string(body: Json, index: Index, state: State) -> Test:
    known = {"query", "default_operator", "lenient", "flags"}
    if set(body) - known:
        raise unfit("parsing_exception", f"[simple_query_string] unsupported {set(body) - known}")
    flags = set(body.get("flags", "ALL").split("|"))
    parser = SimpleQuery(body["query"], flags, index, body.get("default_operator", "or").lower())
    return parser.test()


class SimpleQuery:
    """Reads from left to right; what makes no sense is dropped, and nothing is ever an error."""

    def __init__(self, text: str, flags: set[str], index: Index, default: str) -> None:
        self.text, self.flags, self.index, self.default = text, flags, index, default
        signs = {"+": "AND", "|": "OR", '"': "PHRASE", "(": "PRECEDENCE", ")": "PRECEDENCE"}
        self.ends = {sign for sign, flag in signs.items() if flag in flags}

    def test(self) -> Test:
        """What the text demands; nothing fits where it holds no term."""
        return self._range(0, len(self.text)) or (lambda document: False)

    def _range(self, at: int, end: int) -> Test | None:
        top: Test | None = None
        operator, negated = "", False
        while at < end:
            sign = self.text[at]
            if sign == "-" and "NOT" in self.flags:
                negated = not negated
                at += 1
                continue
            branch, at = self._item(at, end)
            if branch is not None:
                branch = _not(branch) if negated else branch
                top = _joined(top, operator or self.default, branch) if top else branch
                operator = ""
            elif sign in "+|" and sign in self.ends and top and not operator:
                operator = "and" if sign == "+" else "or"
            negated = False
        return top

    def _item(self, at: int, end: int) -> tuple[Test | None, int]:
        sign = self.text[at]
        if sign == "(" and sign in self.ends:
            close = self._closing(at, end)
            return (None, at + 1) if close is None else (self._range(at + 1, close), close + 1)
        if sign == '"' and sign in self.ends:
            close = self.text.find('"', at + 1, end)
            if close < 0:
                return None, at + 1
            phrase = self.text[at + 1 : close]
            return (self._term(phrase, phrase=True) if phrase else None), close + 1
        if sign in self.ends or sign.isspace():
            return None, at + 1
        start = at
        while at < end and self.text[at] not in self.ends and not self.text[at].isspace():
            at += 1
        return self._word(self.text[start:at]), at

    def _closing(self, at: int, end: int) -> int | None:
        depth = 0
        for place in range(at, end):
            depth += {"(": 1, ")": -1}.get(self.text[place], 0)
            if depth == 0:
                return place
        return None

    def _word(self, word: str) -> Test | None:
        if len(word) > 1 and word.endswith("*") and "PREFIX" in self.flags:
            return prefixed(word[:-1], self.index)
        return self._term(word, phrase=False)

    def _term(self, text: str, *, phrase: bool) -> Test | None:
        return anywhere(text, self.index, phrase=phrase) if analysed(text) else None


def _not(test: Test) -> Test:
    return lambda document: not test(document)


def _joined(first: Test, operator: str, second: Test) -> Test:
    if operator == "and":
        return lambda document: first(document) and second(document)
    return lambda document: first(document) or second(document)


def _query_string(body: Json, index: Index, state: State) -> Test:
    text = body["query"]
    try:
        tree = luqum.thread.parse(text)
    except luqum.exceptions.ParseError as exc:
        raise unfit("query_shard_exception", f"Failed to parse query [{text}]") from exc
    if tree is None:
        return lambda document: False
    return lucene_test(tree, index, body.get("default_operator", "or").lower())


def lucene_test(tree: Any, index: Index, default: str, name: str = "") -> Test:
    """Evaluate a parsed Lucene query."""

    def inner(node: Any, scope: str = name) -> Test:
        return lucene_test(node, index, default, scope)

    node = luqum.tree
    if isinstance(tree, node.SearchField):
        if tree.name == "_exists_":
            return _exists({"field": _bare(tree.expr.value)}, index, State())
        return inner(tree.expr, _bare(tree.name))
    if isinstance(tree, node.BaseGroup | node.Plus):
        return inner(tree.children[0])
    if isinstance(tree, node.Not | node.Prohibit):
        return _not(inner(tree.children[0]))
    if isinstance(tree, node.BaseOperation):
        either = isinstance(tree, node.OrOperation) or (
            isinstance(tree, node.UnknownOperation) and default == "or"
        )
        tests = [inner(child) for child in tree.children]
        return lambda document: (any if either else all)(test(document) for test in tests)
    if isinstance(tree, node.Range):
        return _lucene_range(tree, name, index)
    if isinstance(tree, node.Regex):
        return _regexp({name: {"value": tree.value[1:-1], "flags": "NONE"}}, index, State())
    if isinstance(tree, node.BaseApprox):
        return inner(tree.term)
    if not isinstance(tree, node.Word | node.Phrase):
        raise unfit("query_shard_exception", f"this fake does not evaluate {type(tree).__name__}")
    return _lucene_term(tree, name, index)


def _bare(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _lucene_range(tree: Any, name: str, index: Index) -> Test:
    low, high = (_bare(edge.value.strip('"')) for edge in (tree.low, tree.high))
    bounds = {
        "gte" if tree.include_low else "gt": low,
        "lte" if tree.include_high else "lt": high,
    }
    return _range({name: {k: v for k, v in bounds.items() if v != "*"}}, index, State())


def _lucene_term(tree: Any, name: str, index: Index) -> Test:
    value = tree.value
    if value == "*" and name in ("", "*"):
        return lambda document: True
    phrase = isinstance(tree, luqum.tree.Phrase)
    bare = _bare(value[1:-1] if phrase else value)
    wild = not phrase and re.search(r"(?<!\\)[*?]", value)
    if not phrase and value[:1] in "*?" and not name:
        raise unfit("query_shard_exception", "'*' or '?' not allowed as first character")
    if wild and name:
        return _wildcard({name: {"value": value}}, index, State())
    if wild:
        return prefixed(bare.rstrip("*"), index)
    if not name or name == "*":
        return anywhere(bare, index, phrase=phrase)
    return phrase_in(name, bare, index, lenient=True)


QUERIES: dict[str, Callable[[Any, Index, State], Test]] = {
    "match_all": lambda body, index, state: lambda document: True,
    "match_none": lambda body, index, state: lambda document: False,
    "bool": _bool,
    "term": _term,
    "terms": _terms,
    "range": _range,
    "wildcard": _wildcard,
    "prefix": _prefix,
    "regexp": _regexp,
    "exists": _exists,
    "match_phrase": _match_phrase,
    "multi_match": _multi_match,
    "ids": _ids,
    "simple_query_string": _simple_query_string,
    "query_string": _query_string,
}


def nanos(value: Any) -> int:
    """Nanoseconds since 1970 of a date in the forms that documents have here."""
    if isinstance(value, int):
        return value * 1_000_000
    match = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?)?", value
    )
    if match is None:
        raise ValueError(f"failed to parse date field [{value}]")
    date, clock, fraction, zone = match.groups()
    moment = datetime.datetime.fromisoformat(f"{date}T{clock or '00:00:00'}{zone or 'Z'}")
    return int(moment.timestamp()) * 10**9 + int((fraction or "").ljust(9, "0") or 0)


# --- searching ----------------------------------------------------------------------------------


_SEARCH_KEYS = {
    *("query", "size", "from", "sort", "_source", "track_total_hits", "timeout", "pit"),
    *("search_after", "highlight", "terminate_after"),
}


def search(state: State, body: Json, indices: list[Index], pit: str | None = None) -> Json:
    """Run one search request; ``pit`` is the id that the answer carries."""
    unknown = set(body) - _SEARCH_KEYS
    if unknown:
        raise unfit("parsing_exception", f"unknown key {sorted(unknown)} in the request body")
    size, start = body.get("size", 10), body.get("from", 0)
    if start + size > MAX_WINDOW:
        raise unfit(
            "illegal_argument_exception",
            "Result window is too large, from + size must be less than or equal to: [10000] but"
            f" was [{start + size}].",
        )
    if not re.fullmatch(r"\d+(ms|s|m)", body.get("timeout", "1s")):
        raise unfit("parse_exception", "failed to parse setting [timeout]")
    found, failures = _matching(state, body.get("query", {"match_all": {}}), indices)
    if failures and len(failures) == len(indices):
        raise unfit(failures[0]["reason"]["type"], failures[0]["reason"]["reason"])
    keys = _sort_keys(state, body, in_pit=pit is not None)
    ordered = sorted(found, key=lambda document: _place(document, keys))
    ordered = _after(ordered, body, keys)
    shown = ordered[start : start + size]
    reply: Json = {
        "took": 1,
        "timed_out": state.timed_out,
        "_shards": {
            "total": len(indices),
            "successful": len(indices) - len(failures),
            "skipped": 0,
            "failed": len(failures),
        },
        "hits": {"max_score": None, "hits": [_hit(document, body, keys) for document in shown]},
    }
    if failures:
        reply["_shards"]["failures"] = failures
    return {"pit_id": pit, **reply} if pit else reply


def _matching(state: State, query: Json, indices: list[Index]) -> tuple[list[Document], list[Json]]:
    found: list[Document] = []
    failures: list[Json] = []
    for index in indices:
        try:
            test = compiled(query, index, state)
            found += [document for document in index.documents if test(document)]
        except ShardFailed as failed:
            reason = {"type": failed.kind, "reason": failed.reason}
            failures.append({"shard": 0, "index": index.name, "reason": reason})
    return found, failures


@dataclass(frozen=True)
class SortKey:
    name: str
    descending: bool
    implied: bool = False


def _sort_keys(state: State, body: Json, *, in_pit: bool) -> list[SortKey]:
    keys = []
    for entry in body.get("sort", []):
        [(name, settings)] = entry.items()
        keys.append(SortKey(name, settings.get("order") == "desc"))
    if in_pit and not state.opensearch:
        keys.append(SortKey("_shard_doc", descending=False))
    return [*keys, SortKey("_shard_doc", descending=False, implied=True)] if keys else keys


def _sort_value(document: Document, key: SortKey) -> Any:
    if key.name in ("_shard_doc", "_id"):
        return document.number if key.name == "_shard_doc" else document.id
    kind, path = document.index.of(key.name)
    values = [v for v in document.index.values(document, path) if v is not None]
    if not values:
        # Sorted last, in either direction.
        return -(2**63) if key.descending else 2**63 - 1
    value = _comparable(kind, values[0])
    return value // 1_000_000 if kind == "date" else value


def _place(document: Document, keys: Iterable[SortKey]) -> list[Any]:
    return [_Turned(_sort_value(document, key), key.descending) for key in keys]


class _Turned:
    """A sort value that compares in its key's direction."""

    def __init__(self, value: Any, descending: bool) -> None:
        self.value, self.descending = value, descending

    def __lt__(self, other: "_Turned") -> bool:
        low, high = (other, self) if self.descending else (self, other)
        return bool(low.value < high.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Turned) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]


def _after(ordered: list[Document], body: Json, keys: list[SortKey]) -> list[Document]:
    if "search_after" not in body:
        return ordered
    shown = [key for key in keys if not key.implied]
    after = body["search_after"]
    if len(after) != len(shown):
        raise unfit(
            "illegal_argument_exception",
            f"search_after has {len(after)} value(s) but sort has {len(shown)}.",
        )
    if body.get("from"):
        raise unfit("illegal_argument_exception", "`from` parameter must be set to 0")
    place = [_Turned(v, key.descending) for v, key in zip(after, shown, strict=True)]
    return [document for document in ordered if place < _place(document, shown)]


def _hit(document: Document, body: Json, keys: list[SortKey]) -> Json:
    hit: Json = {"_index": document.index.name, "_id": document.id, "_score": None}
    source = _filtered(document.source, body.get("_source", True))
    if source is not None:
        hit["_source"] = source
    shown = [key for key in keys if not key.implied]
    if shown:
        hit["sort"] = [_sort_value(document, key) for key in shown]
    marked = _highlighted(document, body) if "highlight" in body else {}
    return {**hit, "highlight": marked} if marked else hit


def _filtered(source: Json, wanted: Any) -> Json | None:
    if wanted is True or wanted is False:
        return source if wanted else None
    includes, excludes = wanted.get("includes", ["*"]), wanted.get("excludes", [])
    return _picked(source, "", includes, excludes)


def _picked(source: Json, prefix: str, includes: list[str], excludes: list[str]) -> Json:
    found: Json = {}
    for key, value in source.items():
        path = f"{prefix}{key}"
        if any(fnmatch.fnmatchcase(path, pattern) for pattern in excludes):
            continue
        if isinstance(value, dict):
            inner = _picked(value, f"{path}.", includes, excludes)
            found |= {key: inner} if inner else {}
        elif any(fnmatch.fnmatchcase(path, pattern) for pattern in includes):
            found[key] = value
    return found


def _highlighted(document: Document, body: Json) -> Json:
    """Mark the words that any phrase or search of the query has."""
    words = {word for text in _searched(body["query"]) for word in analysed(text)}
    marked = {}
    for path, kind in document.index.mapping.items():
        if kind in TEXT and words & set(document.words(path)):
            text = str(document.flat[path][0])
            mark = r"\b(" + "|".join(map(re.escape, sorted(words))) + r")\b"
            marked[path] = [re.sub(mark, r"<em>\1</em>", text, flags=re.IGNORECASE)]
    return marked


def _searched(query: Any) -> Iterator[str]:
    if isinstance(query, dict):
        for name, body in query.items():
            if name in ("simple_query_string", "query_string", "multi_match"):
                yield body["query"]
            elif name == "match_phrase":
                yield from map(str, body.values())
            else:
                yield from _searched(body)
    elif isinstance(query, list):
        for entry in query:
            yield from _searched(entry)


# --- HTTP ---------------------------------------------------------------------------------------


def make_app(state: State | None = None) -> flask.Flask:
    app = flask.Flask("fake-elasticsearch")
    app.config["STATE"] = state if state is not None else State()
    app.url_map.merge_slashes = False
    app.before_request(lambda: _gate(app.config["STATE"]))
    app.register_error_handler(Refused, lambda refused: (refused.body, refused.status))
    app.register_error_handler(404, lambda _: ({"error": "no handler found for uri"}, 400))
    for path, view, methods in _ROUTES:
        _route(app, path, view, methods)
    return app


def _route(app: flask.Flask, path: str, view: Callable[..., Any], methods: tuple[str, ...]) -> None:
    def answer(**parts: str) -> Any:
        return view(app.config["STATE"], **parts)

    app.add_url_rule(path, view.__name__, answer, methods=methods)


def _gate(state: State) -> Any:
    request = flask.request
    if state.users:
        reads = state.users.get(request.headers.get("Authorization", ""))
        if reads is None:
            return _unauthorized(state)
        if not reads and request.path != "/":
            raise Refused(403, "security_exception", "action [indices:data/read/search] is refused")
    if request.data and request.mimetype != "application/json":
        raise Refused(406, "media_type_header_exception", "Content-Type header is not supported")
    with state.lock:
        if state.busy and request.path.endswith("_search"):
            state.busy -= 1
            raise Refused(429, "es_rejected_execution_exception", "rejected execution of search")
    return None


def _unauthorized(state: State) -> Any:
    if state.opensearch:
        return flask.Response("Unauthorized", 401)
    refused = Refused(401, "security_exception", "unable to authenticate user for REST request")
    return refused.body, 401, {"WWW-Authenticate": 'Basic realm="security", ApiKey'}


def banner(state: State) -> Any:
    if state.opensearch:
        version = {"distribution": "opensearch", "number": "2.11.1"}
    else:
        version = {"number": "8.17.0", "build_flavor": "default"}
    return {"name": "node-1", "cluster_name": "fake", "version": version}


def _body() -> Json:
    body = flask.request.get_json(silent=True)
    if flask.request.data and not isinstance(body, dict):
        raise unfit("parsing_exception", "the body is no JSON object")
    return body or {}


def resolved(state: State, expression: str) -> list[Index]:
    """The indices of a multi-target expression."""
    found: dict[str, Index] = {}
    for name in re.split(r",(?![^<]*>)", expression):
        if name.startswith("-"):
            barred = [n for n in found if fnmatch.fnmatchcase(n, name[1:])]
            found = {n: index for n, index in found.items() if n not in barred}
            continue
        plain = _date_math(name)
        hits = [i for i in state.indices if fnmatch.fnmatchcase(i.name, plain)]
        if "*" in plain:
            hits = [i for i in hits if not i.name.startswith(".") or plain.startswith(".")]
        elif not hits:
            raise Refused(404, "index_not_found_exception", f"no such index [{plain}]", index=plain)
        found |= {index.name: index for index in hits}
    return list(found.values())


def _date_math(name: str) -> str:
    if not name.startswith("<"):
        return name
    today = datetime.datetime.now(datetime.UTC).strftime("%Y.%m.%d")
    return re.sub(r"\{now/d\}", today, name[1:-1])


def search_index(state: State, target: str) -> Any:
    body = _body()
    if "pit" in body:
        raise unfit("action_request_validation_exception", "[indices] cannot be used with pit")
    return search(state, body, resolved(state, target))


def search_pit(state: State) -> Any:
    body = _body()
    if "pit" not in body:
        return search(state, body, resolved(state, "*"))
    with state.lock:
        pit = state.open_pits.get(body["pit"]["id"])
        if pit is None or pit.until < time.monotonic():
            raise Refused(404, "search_context_missing_exception", "No search context found")
        new = body["pit"]["id"] if state.opensearch else uuid.uuid4().hex
        del state.open_pits[body["pit"]["id"]]
        state.open_pits[new] = PointInTime(pit.indices, _until(body["pit"].get("keep_alive", "")))
    return search(state, body, pit.indices, new)


def _until(keep_alive: str) -> float:
    match = re.fullmatch(r"(\d+)([sm])", keep_alive)
    if match is None:
        raise unfit("illegal_argument_exception", "failed to parse [keep_alive]")
    return time.monotonic() + int(match[1]) * (60 if match[2] == "m" else 1)


def _opened(state: State, target: str) -> str:
    pit = uuid.uuid4().hex
    until = _until(flask.request.args.get("keep_alive", ""))
    frozen = [
        Index(i.name, dict(i.mapping), i.keywords, list(i.documents))
        for i in resolved(state, target)
    ]
    with state.lock:
        state.open_pits[pit] = PointInTime(frozen, until)
    return pit


def open_pit(state: State, target: str) -> Any:
    if state.opensearch or not state.pits:
        return {"error": "no handler found for uri", "status": 400}, 400
    return {"id": _opened(state, target)}


def open_point_in_time(state: State, target: str) -> Any:
    if not state.opensearch or not state.pits:
        raise Refused(403, "security_exception", "no permissions for point_in_time/create")
    return {"pit_id": _opened(state, target), "creation_time": 1}


def close_pit(state: State) -> Any:
    with state.lock:
        freed = state.open_pits.pop(_body()["id"], None)
    return {"succeeded": True, "num_freed": int(freed is not None)}, 200 if freed else 404


def close_point_in_time(state: State) -> Any:
    ids = _body()["pit_id"]
    with state.lock:
        freed = [{"pit_id": i, "successful": bool(state.open_pits.pop(i, None))} for i in ids]
    return {"pits": freed}


def field_caps(state: State, target: str) -> Any:
    wanted = flask.request.args["fields"].split(",")
    told: Json = {}
    for index in resolved(state, target):
        for name in wanted:
            kind = index.mapping.get(name)
            if any(path.startswith(f"{name}.") for path in index.mapping) and not kind:
                kind = "object"
            if kind:
                told.setdefault(name, {})[kind] = {"type": kind, "searchable": True}
    return {"indices": [i.name for i in resolved(state, target)], "fields": told}


_ROUTES: tuple[tuple[str, Callable[..., Any], tuple[str, ...]], ...] = (
    ("/", banner, ("GET",)),
    ("/_search", search_pit, ("POST",)),
    ("/_pit", close_pit, ("DELETE",)),
    ("/_search/point_in_time", close_point_in_time, ("DELETE",)),
    ("/<target>/_search", search_index, ("POST",)),
    ("/<target>/_pit", open_pit, ("POST",)),
    ("/<target>/_search/point_in_time", open_point_in_time, ("POST",)),
    ("/<target>/_field_caps", field_caps, ("GET",)),
)


# --- documents to ask for -----------------------------------------------------------------------

NEWEST = datetime.datetime(2024, 5, 6, 7, 0, 0, tzinfo=datetime.UTC)
SERVICES = ("api", "checkout", "auth-api", "billing")
ENVIRONMENTS = ("prod", "stage")
TEAMS = ("payments", "platform")
WORDS = (
    "request served in time",
    "connection timeout to database",
    "payment refused by the bank",
    "cache miss 50% of lookups",
    "user logged in",
    "disk almost full on volume",
)
_LEVELS = ("ERROR", "error", "Warn", "WARNING", "info", "NOTICE", "debug", "fatal", "TRACE")


def seeded(count: int = 3000, newest: datetime.datetime = NEWEST) -> State:
    """A cluster with ``count`` entries, one a second back from ``newest``, in three forms.

    A fourth index holds entries that no pattern ``logs-*`` finds.
    """
    ecs = Index(
        "logs-app-prod", {"@timestamp": "date", "message": "match_only_text"}, keywords=True
    )
    flat = Index("logs-flat-2024.05", {"@timestamp": "date"})
    otel = Index("logs-otel-default", {"@timestamp": "date", "body.text": "match_only_text"}, True)
    secret = Index("secret-audit", {"@timestamp": "date"}, keywords=True)
    chance = random.Random(20240506)
    for number in range(count):
        moment = newest - datetime.timedelta(seconds=number)
        form = (_ecs, _flat, _otel)[number % 3]
        (ecs, flat, otel)[number % 3].add(form(number, moment, chance), f"d{number:05}")
    for number in range(20):
        moment = newest - datetime.timedelta(seconds=number)
        secret.add(_ecs(number, moment, chance), f"s{number:05}")
    return State([ecs, flat, otel, secret])


def _facts(chance: random.Random) -> tuple[str, str, str, str, str]:
    choose = chance.choice
    return (
        choose(SERVICES),
        choose(ENVIRONMENTS),
        choose(TEAMS),
        choose(_LEVELS),
        choose(WORDS),
    )


def _ecs(number: int, moment: datetime.datetime, chance: random.Random) -> Json:
    service, environment, team, level, words = _facts(chance)
    return {
        "@timestamp": moment.isoformat().replace("+00:00", "Z"),
        "message": f"{words} #{number}",
        "log": {"level": level, "logger": f"{service}.main"},
        "service": {"name": service, "environment": environment, "version": "1.2"},
        "labels": {"team": team, "canary": number % 7 == 0},
        "host": {"name": f"host-{number % 5}"},
        "http": {"response": {"status_code": 200 + number % 400}},
        "tags": ["a", "b"],
        "trace": {"id": None},
    }


def _flat(number: int, moment: datetime.datetime, chance: random.Random) -> Json:
    service, environment, team, level, words = _facts(chance)
    return {
        "@timestamp": f"{moment.isoformat().replace('+00:00', '')}.123456Z",
        "msg": f"{words} #{number}",
        "severity": level,
        "service": service,
        "environment": environment,
        "team": team,
        "path": f"/v1/items/{number}",
        "duration": number / 4,
    }


def _otel(number: int, moment: datetime.datetime, chance: random.Random) -> Json:
    service, environment, team, level, words = _facts(chance)
    attributes = {"service.name": service, "deployment.environment": environment}
    return {
        "@timestamp": f"{moment.isoformat().replace('+00:00', '')}.123456789Z",
        "body": {"text": f"{words} #{number}"},
        "severity_text": level,
        "resource": {"attributes": attributes},
        "labels": {"team": team},
    }
