"""Types of fields, where the cluster tells them: which query finds a value exactly.

Source: elastic.co/guide/en/elasticsearch/reference/8.17/search-field-caps.html, mapping-types.html.
"""

import logging
import re
import time
from collections.abc import Iterable, Mapping
from typing import Final

from opsorch.deadline import Clock
from opsorch.errors import OpsOrchError
from opsorch.plugin import Call
from opsorch.plugin.memory import Memory
from opsorch.plugin.vendor import object_in
from opsorch_plugins.elasticsearch.client import Cluster
from opsorch_plugins.elasticsearch.conditions import (
    GENERIC,
    Condition,
    FieldTypes,
    Scalar,
)
from opsorch_plugins.elasticsearch.indices import IndexPattern

log = logging.getLogger("opsorch.plugin")

Kinds = frozenset[str]

KEPT_S: Final = 300.0
_SHARE_OF_TIME: Final = 3
_REFUSED: Final = frozenset({400, 403, 404, 405})
_TEXT: Final[Kinds] = frozenset({"text", "match_only_text", "annotated_text", "search_as_you_type"})
_NUMBERS: Final[Kinds] = frozenset(
    {
        *("long", "integer", "short", "byte", "unsigned_long"),
        *("double", "float", "half_float", "scaled_float"),
    }
)
_NOT_TEXTUAL: Final[Kinds] = _NUMBERS | {"boolean", "date", "date_nanos", "ip"}
# No values of their own.
_CONTAINERS: Final[Kinds] = frozenset({"object", "nested"})
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


class KnownTypes(FieldTypes):
    """What the mapping says. Names that it does not list are treated as without knowledge."""

    def __init__(self, kinds: Mapping[str, Kinds]) -> None:
        self._kinds = kinds

    def exact(self, field: str) -> list[str]:
        kinds = self._of(field)
        if not kinds:
            return super().exact(field)
        names = [field] if kinds - _TEXT else []
        return names + (self._keyword(field) if kinds & _TEXT else [])

    def phrase(self, field: str) -> bool:
        return bool(self._of(field) & _TEXT) and not self._keyword(field)

    def textual(self, field: str) -> list[str]:
        kinds = self._of(field)
        if not kinds:
            return super().textual(field)
        return [] if kinds <= _NOT_TEXTUAL else [field, *self._keyword(field)]

    def fits(self, field: str, values: Iterable[Scalar]) -> tuple[Scalar, ...]:
        kinds = self._of(field)
        if not kinds or not kinds <= _NUMBERS:
            return tuple(values)
        return tuple(value for value in values if _NUMBER.fullmatch(str(value)))

    def _of(self, field: str) -> Kinds:
        return self._kinds.get(field, frozenset()) - _CONTAINERS

    def _keyword(self, field: str) -> list[str]:
        name = f"{field}.keyword"
        return [name] if self._of(name) else []


class TypeCatalogue:
    """Asks for types and keeps them for five minutes. Thread-safe."""

    def __init__(self, cluster: Cluster, *, clock: Clock = time.monotonic) -> None:
        self._cluster = cluster
        self._memory = Memory[str, dict[str, Kinds]](KEPT_S, 1, clock=clock)

    def types(self, index: IndexPattern, conditions: Iterable[Condition], call: Call) -> FieldTypes:
        """Return the types of the conditions' fields, as far as they can be had."""
        fields = {name for condition in conditions for name in condition.fields if "," not in name}
        wanted = fields | {f"{name}.keyword" for name in fields}
        known = self._memory.get(str(index)) or {}
        missing = sorted(wanted - known.keys())
        if missing:
            known = {**known, **self._asked(index, missing, call)}
            self._memory.put(str(index), known)
        found = {name: known[name] for name in wanted if known.get(name)}
        return KnownTypes(found) if found else GENERIC

    def _asked(self, index: IndexPattern, names: list[str], call: Call) -> dict[str, Kinds]:
        unknown = dict.fromkeys(names, Kinds())
        try:
            reply = self._cluster.send(
                "GET",
                f"/{index.path}/_field_caps",
                call.within_share(1 / _SHARE_OF_TIME),
                params={"fields": ",".join(names)},
                accept=_REFUSED,
            )
        except OpsOrchError as error:
            log.warning("types of fields are unknown: %s", error.message)
            return unknown
        body = reply.json_or_none() if reply.status not in _REFUSED else None
        told = object_in(body, "fields")
        return {**unknown, **{str(n): Kinds(k) for n, k in told.items() if isinstance(k, dict)}}
