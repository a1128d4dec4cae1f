"""The query of GitHub's issue search, in which a caller's words stay words.

A qualifier that a caller slips in (``repo:other/private``) would show what the token can read
elsewhere. So quotes, brackets, backslashes and what does not print are taken out, and each word
that GitHub would read as more than a word stands in quotes.

Sources: https://docs.github.com/en/search-github/getting-started-with-searching-on-github/
understanding-the-search-syntax and .../troubleshooting-search-queries (256 characters);
https://docs.github.com/en/search-github/searching-on-github/searching-issues-and-pull-requests
"""

from collections.abc import Iterable
from typing import Final

from opsorch.errors import BadRequest

MAX_TEXT: Final = 256
_OPERATORS: Final = frozenset({"AND", "OR", "NOT"})
# A backslash would escape the quote that ends a quoted word. Curly quotes may count as quotes.
_TAKEN_OUT: Final = dict.fromkeys(map(ord, '"\\()[]{}“”„'))


def safe_terms(text: str) -> str:
    """Write a caller's text as words of a search; "" where nothing of it can be searched for.

    Raises:
        BadRequest: It is longer than GitHub takes.
    """
    printable = "".join(c if c.isprintable() else " " for c in text.translate(_TAKEN_OUT))
    terms = " ".join(_safe_word(word) for word in printable.split())
    if len(terms) > MAX_TEXT:
        raise BadRequest(f"query is too long: GitHub searches for {MAX_TEXT} characters at most")
    return terms


def _safe_word(word: str) -> str:
    # The colons of other scripts: should GitHub fold them, they must not become qualifiers.
    risky = any(colon in word for colon in ":：﹕︓") or word[0] in "-－﹣−–"
    return f'"{word}"' if risky or word.upper() in _OPERATORS else word


def can_quote(value: str) -> bool:
    """Tell whether a value can stand in quotes: GitHub knows no escape for a quote there."""
    return value.isprintable() and not any(c in value for c in '"\\“”„')


def qualified(terms: str, qualifiers: Iterable[str]) -> str:
    """Join words and qualifiers to one query."""
    return " ".join([terms, *qualifiers]) if terms else " ".join(qualifiers)


def login_qualifier(name: str, login: str) -> str:
    """Write a qualifier with a checked login; an app's login has another form in searches."""
    if login.endswith("[bot]"):
        return f"{name}:app/{login.removesuffix('[bot]')}"
    return f"{name}:{login}"
