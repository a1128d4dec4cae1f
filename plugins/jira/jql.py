"""Writing JQL: values that stay in their quotes, words that stay words, clauses.

Sources: https://support.atlassian.com/jira-software-cloud/docs/use-advanced-search-with-jira-query-language-jql/
(quotes and reserved characters) and
https://support.atlassian.com/jira-software-cloud/docs/search-for-issues-using-the-text-field/
(characters with a meaning in a text search).
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from opsorch.errors import BadRequest

_TEXT_SPECIAL = re.compile(r'[+\-&|!(){}\[\]^~*?\\/:"]')
# Operators of a text search, in capitals only; in small letters they are words like any other.
_TEXT_OPERATOR = re.compile(r"(?<!\w)(?:AND|OR|NOT)(?!\w)")
_BACKSLASHED: Final = r"\\\g<0>"
_ORDER_BY = re.compile(r"\border\s+by\b", re.IGNORECASE)
_CLOSING: Final = {")": "(", "]": "["}
# Control characters, halves of surrogate pairs, line and paragraph separators.
_UNPRINTABLE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


def quoted(value: str) -> str:
    """Write a value as one quoted string of JQL, whatever it holds."""
    spaced = "".join(" " if unicodedata.category(c) in _UNPRINTABLE else c for c in value)
    escaped = spaced.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def text_clause(words: str) -> str:
    """Search for words in all text fields; nothing in them steers the search."""
    plain = _TEXT_OPERATOR.sub(lambda match: match.group().lower(), words.strip())
    return f"text ~ {quoted(_TEXT_SPECIAL.sub(_BACKSLASHED, plain))}"


def one_of(field: str, values: Iterable[str]) -> str:
    """Compare a field with a list of values."""
    return f"{field} IN ({','.join(map(quoted, dict.fromkeys(values)))})"


def equals(field: str, value: str) -> str:
    """Compare a field with one value."""
    return f"{field} = {quoted(value)}"


def any_of(clauses: Iterable[str]) -> str:
    """Join clauses by OR, in brackets where there are several; "" where there is none."""
    given = list(dict.fromkeys(clauses))
    return f"({' OR '.join(given)})" if len(given) > 1 else "".join(given)


def all_of(clauses: Iterable[str]) -> str:
    """Join the clauses that are not "" by AND."""
    return " AND ".join(clause for clause in clauses if clause)


def raw_clause(jql: str) -> str:
    """Bracket JQL that somebody wrote, so that it cannot leave its place; "" where it is blank.

    Raises:
        BadRequest: A quote or bracket in it is not closed, it sorts, or it has a backslash
            outside quotes, which could make a quote that is none.
    """
    if not jql.strip():
        return ""
    outside = _outside_quotes(jql)
    if "\\" in outside:
        raise BadRequest("metadata.jql: a backslash may stand inside quotes only")
    if _ORDER_BY.search(outside):
        raise BadRequest("metadata.jql must not have ORDER BY")
    open_brackets: list[str] = []
    for character in outside:
        if character in _CLOSING.values():
            open_brackets.append(character)
        elif character in _CLOSING and (
            not open_brackets or open_brackets.pop() != _CLOSING[character]
        ):
            raise BadRequest("metadata.jql: a bracket closes that was not opened")
    if open_brackets:
        raise BadRequest("metadata.jql: a bracket is not closed")
    return f"({jql.strip()})"


def _outside_quotes(jql: str) -> str:
    """Return the JQL with each quoted string replaced by a pair of quotes."""
    outside: list[str] = []
    quote = ""
    escaped = False
    for character in jql:
        if not quote:
            outside.append(character)
            quote = character if character in "\"'" else ""
        elif escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == quote:
            outside.append(character)
            quote = ""
    if quote:
        raise BadRequest("metadata.jql: a quote is not closed")
    return "".join(outside)
