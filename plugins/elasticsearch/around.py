"""The lines before and after one entry: ``metadata.around``."""

from dataclasses import dataclass, replace
from typing import Final

from opsorch.errors import BadRequest, NotFound
from opsorch.plugin import Call
from opsorch.plugin.payload import Json, object_of, required_text
from opsorch_plugins.elasticsearch.client import Cluster
from opsorch_plugins.elasticsearch.mapping import cursor_of
from opsorch_plugins.elasticsearch.paging import Found, Search, find

DEFAULT_LINES: Final = 10
MAX_LINES: Final = 1000


@dataclass(frozen=True, slots=True)
class Around:
    """An entry, by what its metadata says, and how many lines to show on either side."""

    index: str
    id: str
    lines: int

    @classmethod
    def of(cls, metadata: Json) -> "Around | None":
        """Read ``metadata.around``; None where it is not asked for.

        Raises:
            BadRequest: It is no {index, id, n}.
        """
        if metadata.get("around") is None:
            return None
        asked = object_of(metadata, "around", where="metadata.")
        where = "metadata.around."
        lines = asked.get("n", DEFAULT_LINES)
        if isinstance(lines, bool) or not isinstance(lines, int) or not 1 <= lines <= MAX_LINES:
            raise BadRequest(f"{where}n must be a whole number between 1 and {MAX_LINES}")
        index = required_text(asked, "index", where=where)
        return cls(index, required_text(asked, "id", where=where), lines)

    def find(self, cluster: Cluster, search: Search, field: str, order: str, call: Call) -> Found:
        """Find the entry and its neighbours among what the search's filters leave.

        Args:
            cluster: Where.
            search: The search, without a time range.
            field: Field of the time.
            order: ``asc`` or ``desc``.
            call: Its deadline covers all three requests.

        Raises:
            NotFound: There is no such entry in the configured indices.
        """
        itself = {
            "bool": {"filter": [{"ids": {"values": [self.id]}}, {"term": {"_index": self.index}}]}
        }
        one = replace(search, body={**search.body, "query": itself}, limit=1, page_size=1)
        hits = find(cluster, one, call).hits
        if not hits or not hits[0].sort:
            raise NotFound("metadata.around: no such entry in indexPattern")
        at = hits[0].sort[:1]
        newer = self._side(search, field, "asc", at, self.lines)
        # From the very moment on: the entry itself is one more.
        older = self._side(search, field, "desc", cursor_of(at, "desc"), self.lines + 1)
        found, before = find(cluster, newer, call), find(cluster, older, call)
        descending = [*reversed(found.hits), *before.hits]
        found.hits = descending if order == "desc" else descending[::-1]
        found.partial |= before.partial
        return found

    def _side(self, search: Search, field: str, order: str, after: list[object], n: int) -> Search:
        body = {**search.body, "sort": sort_by(field, order), "search_after": after}
        return replace(search, body=body, limit=n, page_size=n)


def sort_by(field: str, order: str) -> list[Json]:
    """Return the sort of a search; an index without the field does not fail it."""
    return [{field: {"order": order, "unmapped_type": "date"}}]
