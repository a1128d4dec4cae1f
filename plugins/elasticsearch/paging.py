"""More entries than one request gives: a point in time, or from and size where there is none.

Sources: elastic.co/guide/en/elasticsearch/reference/8.17/paginate-search-results.html and
point-in-time-api.html; docs.opensearch.org/docs/latest/search-plugins/searching-data/point-in-time.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from opsorch.deadline import Deadline
from opsorch.errors import OpsOrchError, ProviderError
from opsorch.plugin import Call
from opsorch.plugin.payload import Json
from opsorch.plugin.vendor import as_object
from opsorch_plugins.elasticsearch.client import Cluster, page_of
from opsorch_plugins.elasticsearch.indices import IndexPattern
from opsorch_plugins.elasticsearch.mapping import Hit, Page
from opsorch_plugins.elasticsearch.settings import MAX_WINDOW

log = logging.getLogger("opsorch.plugin")

KEEP_ALIVE: Final = "1m"
# With less time left another page is not begun.
LEAST_TIME_S: Final = 1.0
# A point in time that is not closed ends by itself; closing must not hold up an answer.
CLOSE_TIMEOUT_S: Final = 2.0
# Servers without the API, or users without the right to it.
_NO_POINT_IN_TIME: Final = frozenset({400, 403, 404, 405})


@dataclass(frozen=True, slots=True)
class Search:
    """One search, but for its size and place.

    Attributes:
        index: What is searched.
        body: The request: query, sort and so on.
        limit: Entries wanted.
        page_size: Entries of one request.
    """

    index: IndexPattern
    body: Json
    limit: int
    page_size: int


@dataclass(slots=True)
class Found:
    """What a search found."""

    hits: list[Hit] = field(default_factory=list)
    partial: bool = False

    def add(self, page: Page) -> None:
        """Take a page in."""
        self.hits += page.hits.hits
        self.partial |= page.partial


@dataclass(frozen=True, slots=True)
class _PointInTime:
    """How one of the two families opens, uses and closes a point in time."""

    open_path: str
    opened: str
    close_path: str
    closing: Callable[[str], Json]
    tiebreaker: tuple[Json, ...] = ()


_ELASTICSEARCH: Final = _PointInTime("_pit", "id", "/_pit", lambda pit: {"id": pit})
_OPENSEARCH: Final = _PointInTime(
    "_search/point_in_time",
    "pit_id",
    "/_search/point_in_time",
    lambda pit: {"pit_id": [pit]},
    ({"_id": {"order": "asc"}},),
)


def find(cluster: Cluster, search: Search, call: Call) -> Found:
    """Run a search to its limit, or as far as the time reaches.

    Raises:
        OpsOrchError: Any page failed; what was found before is dropped.
    """
    if search.limit <= search.page_size:
        found = Found()
        found.add(_one(cluster, search, search.limit, call))
        return found
    family = _OPENSEARCH if cluster.is_opensearch(call) else _ELASTICSEARCH
    pit = _open(cluster, family, search.index, call)
    if pit is None:
        return _by_offset(cluster, search, call)
    pages = _Pages(cluster, family, pit)
    try:
        return pages.find(search, call)
    finally:
        pages.close(call)


def _one(cluster: Cluster, search: Search, size: int, call: Call, **place: Any) -> Page:
    body = {"size": size, **search.body, **place, "timeout": server_timeout(call)}
    return cluster.search(f"/{search.index.path}/_search", body, call)


def server_timeout(call: Call) -> str:
    """Let the server give up no later than the caller does."""
    return f"{max(1, int(call.deadline.remaining()))}s"


def _open(cluster: Cluster, family: _PointInTime, index: IndexPattern, call: Call) -> str | None:
    """Open a point in time; None where the server refuses."""
    reply = cluster.send_once_more(
        "POST",
        f"/{index.path}/{family.open_path}",
        call,
        params={"keep_alive": KEEP_ALIVE},
        accept=_NO_POINT_IN_TIME,
    )
    if reply.status in _NO_POINT_IN_TIME:
        log.warning("no point in time (HTTP %d): paging by from and size", reply.status)
        return None
    body = reply.json()
    pit = as_object(body).get(family.opened)
    if not isinstance(pit, str):
        raise ProviderError("Elasticsearch opened a point in time without an id")
    return pit


class _Pages:
    """The pages of one point in time."""

    def __init__(self, cluster: Cluster, family: _PointInTime, pit: str) -> None:
        self._cluster = cluster
        self._family = family
        self._pit = pit

    def find(self, search: Search, call: Call) -> Found:
        found = Found()
        place: Json = {}
        while len(found.hits) < search.limit:
            if found.hits and call.deadline.remaining() < LEAST_TIME_S:
                found.partial = True
                break
            size = min(search.page_size, search.limit - len(found.hits))
            page = self._page(search, size, place, call)
            found.add(page)
            after = page.last_sort
            if len(page.hits.hits) < size or after is None:
                # A page that is not full is the last one.
                break
            place = {"search_after": after}
        return found

    def _page(self, search: Search, size: int, place: Json, call: Call) -> Page:
        body = {
            "size": size,
            **search.body,
            **place,
            "sort": [*search.body["sort"], *self._family.tiebreaker],
            "pit": {"id": self._pit, "keep_alive": KEEP_ALIVE},
            "timeout": server_timeout(call),
        }
        page = page_of(self._cluster.send("POST", "/_search", call, json=body))
        # Before it is judged: a page that is refused has the newest id, too.
        self._pit = page.pit_id or self._pit
        return self._cluster.judged(page)

    def close(self, call: Call) -> None:
        """Free what the server keeps; a failure of that is only logged."""
        left = max(call.deadline.remaining(), LEAST_TIME_S / 2)
        own = replace(call, deadline=Deadline.after(min(left, CLOSE_TIMEOUT_S)))
        body = self._family.closing(self._pit)
        try:
            self._cluster.send_once_more("DELETE", self._family.close_path, own, json=body)
        except OpsOrchError as error:
            log.warning("a point in time stays open for its minute: %s", error.message)


def _by_offset(cluster: Cluster, search: Search, call: Call) -> Found:
    """Page by from and size, up to the window that servers allow."""
    found = Found()
    limit = min(search.limit, MAX_WINDOW)
    while len(found.hits) < limit:
        if found.hits and call.deadline.remaining() < LEAST_TIME_S:
            found.partial = True
            return found
        size = min(search.page_size, limit - len(found.hits))
        place = {"from": len(found.hits)} if found.hits else {}
        page = _one(cluster, search, size, call, **place)
        found.add(page)
        if len(page.hits.hits) < size:
            return found
    found.partial |= search.limit > limit
    return found
