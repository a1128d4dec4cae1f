"""Free text: ``expression.search`` as a clause, in the configured reading.

Source: elastic.co/guide/en/elasticsearch/reference/8.17/query-dsl-simple-query-string-query.html,
query-dsl-query-string-query.html, query-dsl-multi-match-query.html.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from opsorch.plugin.payload import Json

SIMPLE_FLAGS: Final = "AND|OR|NOT|PHRASE|PRECEDENCE|PREFIX|WHITESPACE"

# Quoted text is passed over; words count between blanks and brackets. A backslash means nothing,
# since the flag ESCAPE is not set.
_WORD = re.compile(
    r"""("[^"]*")|(?<![^\s()])(?:(AND|OR)(?![^\s()])|NOT(?:\s+|(?![^\s()])))""",
)


def simple_syntax(text: str) -> str:
    """Replace the bare words AND, OR and NOT by the operators of simple_query_string.

    NOT loses the blanks behind it: a minus negates only what it stands at.
    """

    def operator(match: re.Match[str]) -> str:
        kept, word = match.groups()
        return str(kept) if kept else {"AND": "+", "OR": "|"}.get(word, "-")

    return _WORD.sub(operator, text)


def _simple(text: str) -> Json:
    return {
        "simple_query_string": {
            "query": simple_syntax(text),
            "default_operator": "and",
            "lenient": True,
            "flags": SIMPLE_FLAGS,
        }
    }


def _lucene(text: str) -> Json:
    return {
        "query_string": {
            "query": text,
            "default_operator": "and",
            "lenient": True,
            "allow_leading_wildcard": False,
            "max_determinized_states": 10_000,
        }
    }


def _text(text: str) -> Json:
    return {"multi_match": {"query": text, "type": "phrase", "fields": ["*"], "lenient": True}}


_MODES: Final[Mapping[str, Callable[[str], Json]]] = {
    "simple": _simple,
    "lucene": _lucene,
    "text": _text,
}


def search_clause(mode: str, text: str) -> Json | None:
    """Return the clause of a search; None where there is nothing to search for."""
    return _MODES[mode](text) if text.strip() else None
