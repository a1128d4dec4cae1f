"""The queries that are a language of their own: simple_query_string and Lucene's."""

import re
from typing import Any

import luqum.exceptions
import luqum.thread
import luqum.tree

from tests.fakes.elasticsearch import leaves
from tests.fakes.elasticsearch.documents import Index, Json, State, Test, analysed, unfit


def simple_query_string(body: Json, index: Index, state: State) -> Test:
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
            return leaves.prefixed(word[:-1], self.index)
        return self._term(word, phrase=False)

    def _term(self, text: str, *, phrase: bool) -> Test | None:
        return leaves.anywhere(text, self.index, phrase=phrase) if analysed(text) else None


def _not(test: Test) -> Test:
    return lambda document: not test(document)


def _joined(first: Test, operator: str, second: Test) -> Test:
    if operator == "and":
        return lambda document: first(document) and second(document)
    return lambda document: first(document) or second(document)


def query_string(body: Json, index: Index, state: State) -> Test:
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
            return leaves.exists({"field": _bare(tree.expr.value)}, index, State())
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
        return leaves.regexp({name: {"value": tree.value[1:-1], "flags": "NONE"}}, index, State())
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
    return leaves.within({name: {k: v for k, v in bounds.items() if v != "*"}}, index, State())


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
        return leaves.wildcard({name: {"value": value}}, index, State())
    if wild:
        return leaves.prefixed(bare.rstrip("*"), index)
    if not name or name == "*":
        return leaves.anywhere(bare, index, phrase=phrase)
    return leaves.phrase_in(name, bare, index, lenient=True)
