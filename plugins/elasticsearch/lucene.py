"""Conditions and searches as Lucene text, for links that people open in Kibana.

Source: elastic.co/guide/en/elasticsearch/reference/8.17/query-dsl-query-string-query.html.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from opsorch_plugins.elasticsearch.conditions import Condition, Scalar, lucene_regex
from opsorch_plugins.elasticsearch.search import simple_syntax

_SPECIAL = re.compile(r'([-+=&|!(){}\[\]^"~*?:\\/\s])')
_UNESCAPABLE = re.compile(r"[<>]")
MAX_NESTING: Final = 20


def escape(text: str) -> str:
    """Make a text one literal term: ``<`` and ``>`` are removed, since nothing escapes them.

    The words AND, OR, NOT and TO would be operators, so their first letter is escaped, too.
    """
    escaped = _SPECIAL.sub(r"\\\1", _UNESCAPABLE.sub("", text))
    return f"\\{escaped}" if escaped in ("AND", "OR", "NOT", "TO") else escaped


def quoted(value: Scalar) -> str:
    """Write a value as a phrase."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def lucene_of(conditions: Iterable[Condition], search_mode: str, search: str) -> str:
    """Write a whole query; ``*`` where it demands nothing."""
    parts = [_search(search_mode, search)] if search.strip() else []
    parts += [_condition(condition) for condition in conditions]
    return " AND ".join(part for part in parts if part) or "*"


def _condition(condition: Condition) -> str:
    write = _WRITERS[condition.kind]
    terms = [
        term
        for field in condition.fields
        for term in write(escape(field), condition.values)
        if escape(field)
    ]
    joined = f"({' OR '.join(terms)})" if len(terms) != 1 else terms[0]
    return f"(*:* AND NOT {joined})" if condition.negated else joined


def _exact(field: str, values: tuple[Scalar, ...]) -> list[str]:
    return [f"{field}:{quoted(value)}" for value in values]


def _contains(field: str, values: tuple[Scalar, ...]) -> list[str]:
    return [f"{field}:*{escape(str(value))}*" for value in values]


def _prefix(field: str, values: tuple[Scalar, ...]) -> list[str]:
    return [f"{field}:{escape(str(value))}*" for value in values]


# A slash would end the regex; one that is escaped already stays so.
_REGEX_SLASH = re.compile(r"(\\.)|/", re.DOTALL)


def _regex(field: str, values: tuple[Scalar, ...]) -> list[str]:
    regexes = [lucene_regex(str(value)) for value in values]
    closed = [_REGEX_SLASH.sub(lambda m: m[1] or "\\/", regex) for regex in regexes]
    return [f"{field}:/{regex}/" for regex in closed]


def _in(field: str, values: tuple[Scalar, ...]) -> list[str]:
    return [f"{field}:({' OR '.join(map(quoted, values))})"]


def _range(form: str) -> "_Writer":
    def write(field: str, values: tuple[Scalar, ...]) -> list[str]:
        return [f"{field}:{form.format(quoted(value))}" for value in values]

    return write


def _exists(field: str, _: tuple[Scalar, ...]) -> list[str]:
    return [f"_exists_:{field}"]


_Writer = Callable[[str, tuple[Scalar, ...]], list[str]]
_WRITERS: Final[Mapping[str, _Writer]] = {
    "exact": _exact,
    "in": _in,
    "contains": _contains,
    "prefix": _prefix,
    "regex": _regex,
    "exists": _exists,
    "gt": _range("{{{} TO *]"),
    "gte": _range("[{} TO *]"),
    "lt": _range("[* TO {}}}"),
    "lte": _range("[* TO {}]"),
}


def _search(mode: str, text: str) -> str:
    if mode == "lucene":
        # It has run on the server already, so that it is whole.
        return f"({text.strip()})"
    if mode == "text":
        return quoted(text.strip())
    return _Simple(simple_syntax(text)).written()


_TOKEN = re.compile(r'"([^"]*)"|([()+|-])|([^\s()+|"]+)|"')


class _Simple:
    """Reads simple_query_string as its server does: left to right, what makes no sense dropped."""

    def __init__(self, text: str) -> None:
        self._tokens = [match.groups() for match in _TOKEN.finditer(text)]
        self._closing = self._brackets()

    def _brackets(self) -> dict[int, int]:
        """Pair the brackets; those without a partner, or nested too deep, are ignored."""
        opened: list[int] = []
        closing: dict[int, int] = {}
        for at, (_, sign, _) in enumerate(self._tokens):
            if sign == "(":
                opened.append(at)
            elif sign == ")" and opened:
                start = opened.pop()
                if len(opened) < MAX_NESTING:
                    closing[start] = at
        return closing

    def written(self) -> str:
        """Write it all, with a bracket around each pair."""
        return self._range(0, len(self._tokens))

    def _range(self, at: int, end: int) -> str:
        result, operator, negated = "", "", False
        while at < end:
            phrase, sign, word = self._tokens[at]
            if sign == "-":
                negated = not negated
                at += 1
                continue
            group = self._closing.get(at)
            item = self._range(at + 1, group) if group else _literal(phrase, word)
            if item:
                item = f"(*:* AND NOT {item})" if negated else item
                result = f"({result} {operator or 'AND'} {item})" if result else item
                operator = ""
            elif sign in ("+", "|") and result and not operator:
                operator = "OR" if sign == "|" else "AND"
            at = (group or at) + 1
            negated = False
        return result


def _literal(phrase: str | None, word: str | None) -> str:
    if phrase:
        return quoted(phrase)
    prefix = bool(word) and len(word or "") > 1 and (word or "").endswith("*")
    text = escape((word or "")[: -1 if prefix else None])
    return f"{text}*" if text and prefix else text
