"""The query DSL: each query by its name, and how they are joined."""

from collections.abc import Callable
from typing import Any

from tests.fakes.elasticsearch import leaves, texts
from tests.fakes.elasticsearch.documents import Document, Index, Json, State, Test, unfit


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


QUERIES: dict[str, Callable[[Any, Index, State], Test]] = {
    "match_all": lambda body, index, state: lambda document: True,
    "match_none": lambda body, index, state: lambda document: False,
    "bool": _bool,
    "term": leaves.term,
    "terms": leaves.terms,
    "range": leaves.within,
    "wildcard": leaves.wildcard,
    "prefix": leaves.prefix,
    "regexp": leaves.regexp,
    "exists": leaves.exists,
    "match_phrase": leaves.match_phrase,
    "multi_match": leaves.multi_match,
    "ids": leaves.ids,
    "simple_query_string": texts.simple_query_string,
    "query_string": texts.query_string,
}
