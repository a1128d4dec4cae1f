"""A LogQuery as one search in Datadog's syntax, every clause of which holds."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import (
    Json,
    filters_of,
    object_of,
    scope_of,
    strings_of,
    text_of,
)
from opsorch_plugins.datadog.log_syntax import (
    escaped,
    printable,
    quoted,
    raw_search,
    simple_search,
)
from opsorch_plugins.datadog.log_words import statuses_for
from opsorch_plugins.datadog.operators import operator_of
from opsorch_plugins.datadog.patterns import Pattern, patterns_of

# Source: https://docs.datadoghq.com/logs/explorer/search_syntax/#attributes-search
_FIELD = re.compile(r"@?[A-Za-z][A-Za-z0-9_.\-/]{0,198}")
_NUMBER = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?")
# Free text: a search without a field's name looks at the message.
_MESSAGE: Final = "message"
# Our name of what Datadog calls status, where words are compared.
_SEVERITY: Final = "severity"
_WORDS: Final = frozenset({"=", "!=", "in", "not in"})
# What people write for a search of everything.
_ANYTHING: Final = "*"
_WHAT: Final = "Datadog log searches"
_VALUELESS: Final = frozenset({"exists", "not exists"})
_RANGES: Final = frozenset({">", ">=", "<", "<="})
_OPERATORS: Final = (
    frozenset({"=", "!=", "=~", "!~", "contains", "not contains", "startswith", "in", "not in"})
    | _VALUELESS
    | _RANGES
)


def search_of(payload: Json, keys: Mapping[str, str], *, raw: bool) -> str:
    """Write search, severities, filters and scope, joined by blanks, which mean AND.

    Args:
        payload: A LogQuery.
        keys: Tag keys of service, team and environment.
        raw: ``expression.search`` is in Datadog's own syntax.

    Raises:
        BadRequest: A part does not fit; names it.
    """
    expression = object_of(payload, "expression")
    clauses = [
        _free_text(expression, object_of(payload, "metadata"), raw=raw),
        _severities(expression),
        *filter_clauses(expression),
        *(
            f"{keys[part]}:{quoted(printable(value, f'scope.{part}'))}"
            for part, value in scope_of(payload).items()
        ),
    ]
    return " ".join(clause for clause in clauses if clause) or _ANYTHING


def _free_text(expression: Json, metadata: Json, *, raw: bool) -> str:
    given = text_of(metadata, "query", where="metadata.")
    if given.strip():
        return raw_search(_one_line(given, "metadata.query"), "metadata.query")
    field = "expression.search"
    text = _one_line(text_of(expression, "search", where="expression."), field)
    if text.strip() == _ANYTHING:
        return ""
    return raw_search(text, field) if raw else simple_search(text)


def _one_line(text: str, field: str) -> str:
    """Return a text without line ends and tabs, which part words as blanks do."""
    return printable(re.sub(r"[\t\r\n]", " ", text), field)


def _severities(expression: Json) -> str:
    asked = strings_of(expression, "severityIn", where="expression.")
    for word in asked:
        printable(word, "expression.severityIn")
    return _statuses(asked) if any(word.strip() for word in asked) else ""


def _statuses(severities: Iterable[str]) -> str:
    """Write the statuses of severities in our vocabulary; unknown words as they are."""
    known, unknown = statuses_for(severities)
    return f"status:({' OR '.join([*known, *map(quoted, unknown)])})"


def filter_clauses(expression: Json) -> list[str]:
    """Write each filter as a clause.

    Raises:
        BadRequest: A filter does not fit; names it.
    """
    return [_clause(one, f"{place}.") for one, place in filters_of(expression)]


def _clause(given: Json, where: str) -> str:
    field = text_of(given, "field", where=where).strip()
    if not _FIELD.fullmatch(field):
        raise BadRequest(
            f"{where}field must be a letter, or @ and a letter, then letters, digits and _ . - /"
        )
    operator = operator_of(text_of(given, "operator", where=where), _OPERATORS, f"{where}operator")
    value = printable(text_of(given, "value", where=where), f"{where}value").strip()
    if operator in _VALUELESS:
        if field == _MESSAGE:
            raise BadRequest(f"{where}operator: every log has a message")
        return f"{'-' if operator.startswith('not') else ''}{field}:*"
    if not value:
        raise BadRequest(f"{where}value must not be blank")
    if operator in _RANGES:
        return _range(field, operator, value, where)
    write, negated = _WRITERS[operator]
    if field == _SEVERITY and operator in _WORDS:
        severities = _parts(value) if "in" in operator else [value]
        return f"{'-' if negated else ''}{_statuses(severities)}"
    name = "" if field == _MESSAGE else f"{field}:"
    return f"{'-' if negated else ''}{name}{write(value)}"


def _range(field: str, operator: str, value: str, where: str) -> str:
    """Write a comparison, which Datadog knows for attributes that are measures alone."""
    if not field.startswith("@"):
        raise BadRequest(f"{where}operator {operator} needs an attribute: a field with @ before it")
    if not _NUMBER.fullmatch(value):
        raise BadRequest(f"{where}value must be a number for the operator {operator}")
    return f"{field}:{operator}{value}"


def _any_of(values: list[str]) -> str:
    return f"({' OR '.join(map(quoted, dict.fromkeys(values)))})"


def _parts(value: str) -> list[str]:
    values = [part.strip() for part in value.split(",") if part.strip()]
    if not values:
        raise BadRequest("a filter's list of values must not be empty")
    return values


def _listed(value: str) -> str:
    return _any_of(_parts(value))


def _matching(value: str) -> str:
    patterns = patterns_of(value, _WHAT)
    if len(patterns) > 1:
        return _any_of([pattern.text for pattern in patterns])
    return _wildcard(patterns[0])


def _wildcard(pattern: Pattern) -> str:
    if pattern.literal:
        return quoted(pattern.text)
    start, end = "*" if pattern.open_start else "", "*" if pattern.open_end else ""
    return f"{start}{escaped(pattern.text)}{end}"


def _containing(value: str) -> str:
    return f"*{escaped(value)}*"


def _starting(value: str) -> str:
    return f"{escaped(value)}*"


_WRITERS: Final[Mapping[str, tuple[Callable[[str], str], bool]]] = {
    "=": (quoted, False),
    "!=": (quoted, True),
    "contains": (_containing, False),
    "not contains": (_containing, True),
    "startswith": (_starting, False),
    "in": (_listed, False),
    "not in": (_listed, True),
    "=~": (_matching, False),
    "!~": (_matching, True),
}
