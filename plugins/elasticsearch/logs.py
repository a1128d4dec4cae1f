"""The log provider: queries against Elasticsearch or OpenSearch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from opsorch.errors import AuthFailed, BadRequest
from opsorch.observability.redact import clean_text, redactor_for
from opsorch.plugin import Call, Check, ConfigSpec, Provider, rpc
from opsorch.plugin.payload import Json, flag_of, limit_of, object_of, text_of
from opsorch.plugin.times import now
from opsorch_plugins.elasticsearch.around import Around, sort_by
from opsorch_plugins.elasticsearch.client import Cluster
from opsorch_plugins.elasticsearch.concepts import candidates_of
from opsorch_plugins.elasticsearch.conditions import GENERIC, ClauseWriter, Condition, Reader
from opsorch_plugins.elasticsearch.indices import IndexPattern
from opsorch_plugins.elasticsearch.links import Links
from opsorch_plugins.elasticsearch.lucene import lucene_of
from opsorch_plugins.elasticsearch.mapping import Reading, cursor_of
from opsorch_plugins.elasticsearch.paging import Search, find, server_timeout
from opsorch_plugins.elasticsearch.search import search_clause
from opsorch_plugins.elasticsearch.settings import (
    CONFIG,
    MAX_WINDOW,
    hidden_texts,
    kibana_of,
)
from opsorch_plugins.elasticsearch.types import TypeCatalogue
from opsorch_plugins.elasticsearch.window import Window, window_of

_ORDERS = ("desc", "asc")


@dataclass(frozen=True, slots=True)
class Query:
    """A LogQuery, read and checked."""

    index: IndexPattern
    window: Window
    conditions: Sequence[Condition]
    search: str
    order: str
    limit: int
    highlight: bool
    cursor: list[Any] | None
    around: Around | None


class ElasticsearchLogs(Provider):
    """Log queries against one cluster."""

    name = "elasticsearch"
    capability = "log"
    config: ClassVar[ConfigSpec] = CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        hidden = {"passwords": hidden_texts(self.settings)}
        self.redact = redactor_for({**config, **self.settings, **hidden})
        self.index = IndexPattern.of(self.settings["indexPattern"])
        self.cluster = Cluster(self.settings, self.redact)
        self.types = TypeCatalogue(self.cluster)
        field: str = self.settings["timestampField"]
        candidates = candidates_of(self.settings["fieldMap"])
        self._reader = Reader(candidates, field)
        self._message_fields = frozenset(candidates["message"])
        self._links = self._links_of(field)
        prefix = self._links.document_prefix() if self._links else None
        self._reading = Reading.of(candidates, field, prefix)

    def _links_of(self, field: str) -> Links | None:
        base = kibana_of(self.settings)
        data_view = self.settings["dataViewID"] or self.settings["indexPattern"]
        return Links(base, data_view, field) if base else None

    @rpc("log.query")
    def query(self, payload: Json, call: Call) -> Json:
        """Answer a LogQuery with entries, newest first unless asked otherwise.

        Raises:
            BadRequest: The query does not fit, here or by the server's own word.
            NotFound: Nothing matches the configured indices.
        """
        query = self._read(payload)
        search = self._search(query, call)
        if query.around:
            field = self.settings["timestampField"]
            found = query.around.find(self.cluster, search, field, query.order, call)
        else:
            found = find(self.cluster, search, call)
        result: Json = {"entries": self._reading.entries(found.hits, partial=found.partial)}
        url = self._url(query)
        return {**result, "url": url} if url else result

    def check(self, call: Call) -> list[Check]:
        """Ask for the version, then for nothing of the configured indices."""
        checks = [self._check_banner(call)]
        body = {"size": 0, "timeout": server_timeout(call)}
        self.cluster.search(f"/{self.index.path}/_search", body, call)
        return [*checks, Check("indexPattern", ok=True, message=f"{self.index} can be searched")]

    def _check_banner(self, call: Call) -> Check:
        try:
            version = self.cluster.banner(call)
        except AuthFailed as refused:
            if "HTTP 403" not in refused.message:
                raise
            # Searching does not need it.
            return Check("cluster", ok=True, message="answers, and does not tell its version")
        name = clean_text(str(version.get("distribution") or "elasticsearch"), 60)
        number = clean_text(str(version.get("number") or "of unknown version"), 60)
        return Check("cluster", ok=True, message=f"{name} {number} answers")

    # --- reading ---------------------------------------------------------------------------

    def _read(self, payload: Json) -> Query:
        expression = object_of(payload, "expression")
        metadata = object_of(payload, "metadata")
        order = metadata.get("sort") or "desc"
        if order not in _ORDERS:
            raise BadRequest("metadata.sort must be asc or desc")
        return Query(
            index=self._index(metadata),
            window=window_of(
                payload,
                now(),
                lookback_s=self.settings["defaultLookbackSeconds"],
                max_span_s=self.settings["maxSpanSeconds"],
            ),
            conditions=self._reader.conditions(payload),
            search=text_of(expression, "search", where="expression."),
            order=order,
            limit=self._limit(payload),
            highlight=bool(flag_of(metadata, "highlight", where="metadata.")),
            cursor=_cursor(metadata, order),
            around=Around.of(metadata),
        )

    def _limit(self, payload: Json) -> int:
        most: int = self.settings["maxResults"]
        return min(limit_of(payload, default=self.settings["defaultLimit"], most=most), most)

    def _index(self, metadata: Json) -> IndexPattern:
        override = text_of(metadata, "index", where="metadata.").strip()
        if not override:
            return self.index
        if not self.settings["allowIndexOverride"]:
            raise BadRequest("metadata.index: set allowIndexOverride to allow it")
        return self.index.narrowed(override)

    # --- writing ---------------------------------------------------------------------------

    def _search(self, query: Query, call: Call) -> Search:
        body: Json = {
            "query": {"bool": self._clauses(query, call)},
            "sort": sort_by(self.settings["timestampField"], query.order),
            "_source": self._source(),
            "track_total_hits": False,
        }
        if query.highlight:
            body["highlight"] = {"fields": {"*": {}}}
        if self.settings["terminateAfter"]:
            body["terminate_after"] = self.settings["terminateAfter"]
        if query.cursor is None or query.around:
            return Search(query.index, body, query.limit, self.settings["pageSize"])
        # One request, since a cursor continues without a point in time.
        limit = min(query.limit, MAX_WINDOW)
        return Search(query.index, {**body, "search_after": query.cursor}, limit, limit)

    def _clauses(self, query: Query, call: Call) -> Json:
        """Put everything into filter and must_not: no scores, and nothing widens another."""
        types = GENERIC
        if self.settings["fieldTypes"] and query.conditions:
            types = self.types.types(query.index, query.conditions, call)
        writer = ClauseWriter(self._message_fields, types)
        filters: list[Json] = []
        if not query.around:
            filters.append(query.window.clause(self.settings["timestampField"]))
            clause = search_clause(self.settings["searchMode"], query.search)
            filters += [clause] if clause else []
        filters += [writer.clause(one) for one in query.conditions if not one.negated]
        barred = [writer.clause(one) for one in query.conditions if one.negated]
        return {"filter": filters, "must_not": barred} if barred else {"filter": filters}

    def _source(self) -> bool | Json:
        includes = self.settings["sourceIncludes"]
        excludes = self.settings["sourceExcludes"]
        if not includes and not excludes:
            return True
        chosen = {"includes": includes, "excludes": excludes}
        return {name: patterns for name, patterns in chosen.items() if patterns}

    def _url(self, query: Query) -> str:
        if not self._links:
            return ""
        lucene = lucene_of(query.conditions, self.settings["searchMode"], query.search)
        opensearch = self.cluster.known_opensearch
        return self._links.query(query.window, lucene, opensearch=opensearch)


def _cursor(metadata: Json, order: str) -> list[Any] | None:
    if metadata.get("cursor") is None:
        return None
    place = object_of(metadata, "cursor", where="metadata.").get("searchAfter")
    if not isinstance(place, list) or not place or isinstance(place[0], list | dict):
        raise BadRequest("metadata.cursor must be {searchAfter: [...]}, an entry's metadata.sort")
    return cursor_of(place, order)
