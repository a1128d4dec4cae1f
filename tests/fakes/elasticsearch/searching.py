"""A search: what matches, sorted, cut into pages, and shown."""

import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.fakes.elasticsearch.documents import (
    MAX_WINDOW,
    TEXT,
    Document,
    Index,
    Json,
    ShardFailed,
    State,
    analysed,
    unfit,
)
from tests.fakes.elasticsearch.dsl import compiled
from tests.fakes.elasticsearch.leaves import comparable

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
    value = comparable(kind, values[0])
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
