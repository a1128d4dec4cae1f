"""The log provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from opsorch.errors import BadRequest
from opsorch.observability.redact import clean_text
from opsorch.plugin import Call, Check, ConfigSpec, Provider, rpc
from opsorch.plugin.payload import Json, limit_of, object_of, strings_of, text_of, word_of
from opsorch.plugin.times import now
from opsorch.plugin.vendor import as_list, object_in, text_at
from opsorch_plugins.datadog.checks import checked
from opsorch_plugins.datadog.client import Datadog, data_of, first_error, time_for_more
from opsorch_plugins.datadog.links import log_link, logs_link
from opsorch_plugins.datadog.log_mapping import LogReading, entry_of
from opsorch_plugins.datadog.log_query import search_of
from opsorch_plugins.datadog.settings import CONFIG, app_url, tag_keys
from opsorch_plugins.datadog.window import Window, rfc3339, window_of

# Source: https://docs.datadoghq.com/api/latest/logs/#search-logs-post (LogsListRequestPage).
PAGE: Final = 1000
_PATH: Final = "/api/v2/logs/events/search"
_SORTS: Final = {
    "desc": "-timestamp",
    "-timestamp": "-timestamp",
    "asc": "timestamp",
    "timestamp": "timestamp",
}
_TIERS: Final = {word: word for word in ("indexes", "flex", "online-archives")}


@dataclass(slots=True)
class _Found:
    """What the pages of a search held."""

    events: list[Json] = field(default_factory=list)
    partial: bool = False
    warnings: list[str] = field(default_factory=list)

    def take(self, body: Json) -> None:
        """Add a page."""
        self.events += data_of(body)
        meta = object_in(body, "meta")
        told = meta.get("warnings")
        for warning in as_list(told):
            text = first_error(warning)
            if text and text not in self.warnings:
                self.warnings.append(clean_text(text))
        self.partial |= meta.get("status") == "timeout" or bool(told)


class DatadogLogs(Provider):
    """Log searches."""

    name = "datadog"
    capability = "log"
    config: ClassVar[ConfigSpec] = CONFIG

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.datadog = Datadog(self.settings, self.redact, reads="logs_read_data")
        self._app = app_url(self.settings)
        self._keys = tag_keys(self.settings)

    @rpc("log.query")
    def query(self, payload: Json, call: Call) -> Json:
        """Answer a LogQuery with entries, newest first unless asked otherwise.

        Raises:
            BadRequest: The query does not fit, here or by Datadog's own word.
        """
        window = window_of(payload, self.settings["defaultLookbackSeconds"], now())
        search = search_of(payload, self._keys, raw=self.settings["searchMode"] == "raw")
        metadata = object_of(payload, "metadata")
        body = self._body(search, window, metadata)
        cursor = text_of(metadata, "cursor", where="metadata.").strip()
        found = self._found(body, cursor, self._limit(payload), call)
        shared: Json = {"partial": found.partial or None, "warnings": found.warnings}
        reading = LogReading(
            self.settings["source"], lambda event: log_link(self._app, event), shared
        )
        return {
            "entries": [entry_of(event, reading) for event in found.events],
            "url": logs_link(self._app, search, window),
        }

    def check(self, call: Call) -> list[Check]:
        """Look at the API key, then for one log of the last minute."""
        body = self._body("*", window_of({}, 60, now()), {})
        page = {**body, "page": {"limit": 1}}
        look = ("logs_read_data", lambda: self.datadog.search(_PATH, page, call))
        return checked(self.datadog, call, [look])

    def _limit(self, payload: Json) -> int:
        most: int = self.settings["maxResults"]
        return min(limit_of(payload, default=self.settings["defaultLimit"], most=most), most)

    def _body(self, search: str, window: Window, metadata: Json) -> Json:
        sort = text_of(metadata, "sort", where="metadata.").strip() or "desc"
        tier = text_of(metadata, "storageTier", where="metadata.").strip()
        indexes = _indexes_of(metadata) or self.settings["logIndexes"]
        criteria: Json = {
            "query": search,
            "from": rfc3339(window.start),
            "to": rfc3339(window.end),
            "storage_tier": (
                word_of(_TIERS, tier, "metadata.storageTier")
                if tier
                else self.settings["logStorageTier"]
            ),
        }
        if indexes:
            criteria["indexes"] = indexes
        return {"filter": criteria, "sort": word_of(_SORTS, sort, "metadata.sort")}

    def _found(self, body: Json, cursor: str, limit: int, call: Call) -> _Found:
        """Read page after page until there are enough, or no more, or no time is left."""
        found = _Found()
        seen = {"", cursor}
        while True:
            size = min(PAGE, limit - len(found.events))
            page: Json = {"limit": size, **({"cursor": cursor} if cursor else {})}
            before = len(found.events)
            answer = self.datadog.search(_PATH, {**body, "page": page}, call)
            found.take(answer)
            del found.events[before + size :]
            cursor = text_at(answer, "meta", "page", "after")
            if len(found.events) in (before, limit) or cursor in seen:
                return found
            if not time_for_more(call):
                found.partial = True
                return found
            seen.add(cursor)


def _indexes_of(metadata: Json) -> list[str]:
    """Return the indexes that a query names, as a list or as one text.

    Raises:
        BadRequest: They are neither.
    """
    given = metadata.get("indexes")
    if isinstance(given, str):
        return [name.strip() for name in given.split(",") if name.strip()]
    names = [name.strip() for name in strings_of(metadata, "indexes", where="metadata.")]
    if not all(names):
        raise BadRequest("metadata.indexes must not hold blank names")
    return names
