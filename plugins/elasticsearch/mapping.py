"""Hits as log entries: pure, and no more Python an entry than its fields need.

Source: elastic.co/guide/en/elasticsearch/reference/8.17/search-search.html, response body.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import msgspec

from opsorch.plugin.payload import Json
from opsorch_plugins.elasticsearch.concepts import Candidates, severity_class
from opsorch_plugins.elasticsearch.links import document_path
from opsorch_plugins.elasticsearch.timestamps import sort_time, timestamp_of

SOURCE: Final = "elasticsearch"
MAX_LABELS: Final = 128
MAX_LABEL_VALUE: Final = 256
MAX_DEPTH: Final = 20

Path = tuple[str, ...]

# Objects whose leaves all are labels, and single fields that are.
_LABEL_OBJECTS: Final = ("labels", "kubernetes.labels")
_LABEL_FIELDS: Final = (
    "host.name",
    "container.name",
    "kubernetes.namespace",
    "kubernetes.pod.name",
)


class Hit(msgspec.Struct):
    """One entry of ``hits.hits``."""

    source: Any = msgspec.field(name="_source", default=None)
    index: str = msgspec.field(name="_index", default="")
    id: str = msgspec.field(name="_id", default="")
    score: Any = msgspec.field(name="_score", default=None)
    sort: list[Any] | None = None
    highlight: Any = None


class Hits(msgspec.Struct):
    """The object ``hits``."""

    hits: list[Hit]


class Shards(msgspec.Struct):
    """How the shards fared."""

    failed: int = 0
    failures: list[Any] = []


class Page(msgspec.Struct):
    """The answer to one search."""

    hits: Hits
    timed_out: bool = False
    terminated_early: bool | None = None
    pit_id: str | None = None
    shards: Shards = msgspec.field(name="_shards", default_factory=Shards)

    @property
    def partial(self) -> bool:
        """Some of what was asked for may be missing."""
        return self.timed_out or self.shards.failed > 0 or bool(self.terminated_early)

    @property
    def last_sort(self) -> list[Any] | None:
        """The place behind which the next page begins."""
        return self.hits.hits[-1].sort if self.hits.hits else None


def paths_of(name: str) -> tuple[Path, ...]:
    """Return where a dotted name may be: each dot is either part of a key or a level."""
    parts = name.split(".")
    if len(parts) > 6:
        return ((name,), tuple(parts))
    found = []
    for joints in product(".\0", repeat=len(parts) - 1):
        text = "".join(a + b for a, b in zip(parts, (*joints, ""), strict=True))
        found.append(tuple(text.split("\0")))
    return tuple(found)


def value_at(source: Mapping[str, Any], path: Path) -> Any:
    """Return what is at a path, None where nothing or null is there."""
    value = source.get(path[0])
    for key in path[1:]:
        if type(value) is not dict:
            return None
        value = value.get(key)
    return value


def remove(source: Json, path: Path) -> None:
    """Take a path out, and the objects that are empty then."""
    if len(path) == 1:
        source.pop(path[0], None)
        return
    inner = source.get(path[0])
    if type(inner) is dict:
        remove(inner, path[1:])
        if not inner:
            del source[path[0]]


def _all_paths(names: Iterable[str]) -> tuple[Path, ...]:
    return tuple(path for name in names for path in paths_of(name))


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the parts of an entry are, worked out once for a configuration."""

    timestamps: tuple[Path, ...]
    messages: tuple[Path, ...]
    namespaces: frozenset[Path]
    severities: tuple[Path, ...]
    services: tuple[Path, ...]
    document_link: str | None = None

    @classmethod
    def of(
        cls, candidates: Candidates, timestamp_field: str, document_link: str | None = None
    ) -> "Reading":
        """Prepare the paths.

        Args:
            candidates: The fields of each concept.
            timestamp_field: Field of the time.
            document_link: What links of documents begin with.
        """
        messages = _all_paths(candidates["message"])
        severities = _all_paths(candidates["severity"])
        services = _all_paths(candidates["service"])
        others = {path[:-1] for path in (*severities, *services) if len(path) > 1}
        return cls(
            _all_paths((timestamp_field,)),
            messages,
            # An object ``log`` that holds log.level is a namespace, not a message.
            frozenset(path for path in messages if path in others),
            severities,
            services,
            document_link,
        )

    def entries(self, hits: Iterable[Hit], *, partial: bool = False) -> list[Json]:
        """Map hits; what has no document is left out. The documents are used up."""
        shared = {"source": SOURCE, "partial": True} if partial else {"source": SOURCE}
        return [self._entry(hit, shared) for hit in hits if type(hit.source) is dict]

    def _entry(self, hit: Hit, shared: Json) -> Json:
        source: Json = hit.source
        metadata = _metadata(hit, shared, self.document_link)
        entry: Json = {"metadata": metadata}
        stamp = self._timestamp(source, hit)
        if stamp:
            entry["timestamp"] = stamp
        entry["message"] = self._message(source)
        self._severity(source, entry, metadata)
        self._service(source, entry)
        labels = labels_of(source)
        if labels:
            entry["labels"] = labels
        if source:
            entry["fields"] = source
        return entry

    def _timestamp(self, source: Json, hit: Hit) -> str | None:
        for path in self.timestamps:
            value = value_at(source, path)
            if value is not None:
                remove(source, path)
                return timestamp_of(value) or sort_time(hit.sort)
        return sort_time(hit.sort)

    def _message(self, source: Json) -> str:
        """Take the first text out; where no candidate is a text, the first of any kind."""
        other: Path | None = None
        for path in self.messages:
            value = value_at(source, path)
            if type(value) is str:
                remove(source, path)
                return value
            if value is None or (type(value) is dict and path in self.namespaces):
                continue
            other = other or path
        if other is None:
            return ""
        value = value_at(source, other)
        remove(source, other)
        return msgspec.json.encode(value).decode()

    def _severity(self, source: Json, entry: Json, metadata: Json) -> None:
        for path in self.severities:
            value = value_at(source, path)
            if type(value) is str or type(value) is int:
                raw = str(value)
                severity = severity_class(raw)
                if severity:
                    remove(source, path)
                    entry["severity"] = severity
                    if raw != severity:
                        metadata["severityRaw"] = raw
                    return

    def _service(self, source: Json, entry: Json) -> None:
        for path in self.services:
            value = value_at(source, path)
            if type(value) is str and value:
                remove(source, path)
                entry["service"] = value
                return


def _metadata(hit: Hit, shared: Json, document_link: str | None) -> Json:
    metadata = {**shared, "_index": hit.index, "_id": hit.id}
    if hit.score is not None:
        metadata["_score"] = hit.score
    if hit.sort is not None:
        metadata["sort"] = hit.sort
    if hit.highlight:
        metadata["highlight"] = hit.highlight
    if document_link:
        metadata["url"] = document_link + document_path(hit.index, hit.id)
    return metadata


def _label_roots() -> dict[str, list[tuple[str, Path]]]:
    """Return, by the key at the top of a document, the label names and the paths below it."""
    roots: dict[str, list[tuple[str, Path]]] = {}
    for name in (*_LABEL_OBJECTS, *_LABEL_FIELDS):
        for path in paths_of(name):
            roots.setdefault(path[0], []).append((name, path[1:]))
    return roots


# Few documents have many of these keys, and flat ones have none: only those are looked into.
_LABEL_ROOTS: Final = _label_roots()


def labels_of(source: Mapping[str, Any]) -> dict[str, str]:
    """Return an entry's labels, by the names under which a filter finds them."""
    labels = {
        name: value
        for name, value in source.items()
        if type(value) is str and len(value) <= MAX_LABEL_VALUE
    }
    for root in [key for key in source if key in _LABEL_ROOTS]:
        for name, path in _LABEL_ROOTS[root]:
            value: Any = source[root]
            for key in path:
                value = value.get(key) if type(value) is dict else None
            if value is None:
                continue
            if type(value) is dict:
                if name in _LABEL_OBJECTS:
                    _add_leaves(labels, name, value, MAX_DEPTH)
            elif name in _LABEL_FIELDS:
                _add(labels, name, value)
    if len(labels) > MAX_LABELS:
        return dict(list(labels.items())[:MAX_LABELS])
    return labels


def _add_leaves(labels: dict[str, str], name: str, value: Json, depth: int) -> None:
    for key, inner in value.items():
        if type(inner) is dict and depth:
            _add_leaves(labels, f"{name}.{key}", inner, depth - 1)
        else:
            _add(labels, f"{name}.{key}", inner)


def _add(labels: dict[str, str], name: str, value: Any) -> None:
    kind = type(value)
    if kind is bool:
        labels[name] = "true" if value else "false"
    elif kind is int or kind is float:
        labels[name] = str(value)
    elif kind is str and len(value) <= MAX_LABEL_VALUE:
        labels[name] = value


def cursor_of(sort: Sequence[Any], order: str) -> list[Any]:
    """Return the ``search_after`` that continues an earlier answer without a point in time.

    Only the time is compared then. Entries of the very same moment come once more: the caller
    may see some twice, and misses none.
    """
    first = sort[0]
    if isinstance(first, int) and not isinstance(first, bool):
        return [first + 1 if order == "desc" else first - 1]
    return [first]
