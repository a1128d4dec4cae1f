"""Answers to log.query, computed from the world and the query alone."""

import json
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any, Final

from opsorch.deadline import Deadline
from opsorch.errors import UpstreamTimeout
from opsorch.plugin.payload import object_of, scope_of
from opsorch.plugin.times import format_time
from opsorch.runbooks.tables import micros
from opsorch_plugins.demo.journal import Journal
from opsorch_plugins.demo.lines import entry_of
from opsorch_plugins.demo.logsearch import Search, search_of
from opsorch_plugins.demo.matching import Json
from opsorch_plugins.demo.shapes import SITE
from opsorch_plugins.demo.world import World

# So many lines are looked at; then the answer is what was found.
MOST_CANDIDATES: Final = 200_000


def query(payload: Mapping[str, Any], world: World, deadline: Deadline | None = None) -> Json:
    """Answer log.query.

    Raises:
        BadRequest: A field does not fit; names it.
        UpstreamTimeout: The deadline passed while lines were looked through.
    """
    asked = search_of(payload, world)
    entries = [] if asked.hopeless else list(_found(asked, world, deadline))
    return {"entries": entries, "url": _url_of(payload, asked)}


def _found(asked: Search, world: World, deadline: Deadline | None) -> Iterator[Json]:
    """Yield the entries that fit, the newest first, at most ``limit``."""
    journal = Journal(world, asked.services, asked.environments)
    found = candidates = 0
    for lines in journal.newest_first(micros(asked.start), micros(asked.end)):
        if deadline is not None and deadline.expired:
            raise UpstreamTimeout("the log query took too long; narrow its window or its filters")
        for line in lines:
            candidates += 1
            if candidates > MOST_CANDIDATES:
                return
            if asked.severities is not None and line.severity not in asked.severities:
                continue
            entry = entry_of(line, journal.places[line.environment], world)
            if all(test(entry) for test in asked.tests):
                yield entry
                found += 1
                if found == asked.limit:
                    return


def _url_of(payload: Mapping[str, Any], asked: Search) -> str:
    """Return the address of the same query on the demo site."""
    expression = object_of(payload, "expression")
    filters = expression.get("filters")
    parts = {
        "start": format_time(asked.start),
        "end": format_time(asked.end),
        "limit": str(asked.limit),
        "search": str(expression.get("search") or ""),
        "severity": ",".join(expression.get("severityIn") or ()),
        "filters": json.dumps(filters, ensure_ascii=False) if filters else "",
        **scope_of(payload),
    }
    given = {name: value for name, value in parts.items() if value}
    return f"{SITE}/log?{urllib.parse.urlencode(given, errors='replace')}"
