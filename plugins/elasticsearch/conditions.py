"""What must hold of a log entry: read from the query once, written as clauses or as Lucene text.

A condition names fields, an operator and values. Values reach Elasticsearch as JSON strings of
term-level queries, so they cannot become operators; wildcards and regexes are escaped here.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import (
    Json,
    filters_of,
    object_of,
    scope_of,
    strings_of,
    text_of,
)
from opsorch_plugins.elasticsearch.concepts import (
    CONCEPT_OF_NAME,
    Candidates,
    severity_words,
)

Scalar = str | int | float | bool

MAX_FIELD_NAME: Final = 256
MAX_VALUES: Final = 10_000
_UNFIT_FIELD = re.compile(r"[*\x00-\x1f\x7f]")
_META_FIELDS: Final = frozenset({"_id", "_index"})
_AT_FIELDS: Final = frozenset({"@timestamp", "@version"})


@dataclass(frozen=True, slots=True)
class Condition:
    """One or more fields, of which any may fit.

    Attributes:
        fields: Names as Elasticsearch has them.
        kind: A key of the tables of ``clauses`` and ``lucene``.
        negated: It must not hold; entries without the field fit then.
        values: What the field is compared with; none for ``exists``.
    """

    fields: tuple[str, ...]
    kind: str
    negated: bool = False
    values: tuple[Scalar, ...] = ()


# Operator -> kind and negation.
OPERATORS: Final[Mapping[str, tuple[str, bool]]] = {
    "": ("exact", False),
    "=": ("exact", False),
    "==": ("exact", False),
    "!=": ("exact", True),
    "contains": ("contains", False),
    "not contains": ("contains", True),
    "startswith": ("prefix", False),
    "prefix": ("prefix", False),
    "regex": ("regex", False),
    "=~": ("regex", False),
    "not regex": ("regex", True),
    "!~": ("regex", True),
    ">": ("gt", False),
    ">=": ("gte", False),
    "<": ("lt", False),
    "<=": ("lte", False),
    "in": ("in", False),
    "not in": ("in", True),
    "exists": ("exists", False),
    "not exists": ("exists", True),
}


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads conditions with the configured names of fields."""

    candidates: Candidates
    timestamp_field: str

    def conditions(self, payload: Json) -> list[Condition]:
        """Return everything that a LogQuery demands, but for its times and its search.

        Raises:
            BadRequest: A field, operator or value does not fit; names its place.
        """
        expression = object_of(payload, "expression")
        found = [
            Condition(self.candidates[part], "exact", values=(value,))
            for part, value in scope_of(payload).items()
        ]
        severities = strings_of(expression, "severityIn", where="expression.")
        if any(word.strip() for word in severities):
            words = severity_words([word for word in severities if word.strip()])
            found.append(Condition(self.candidates["severity"], "in", values=tuple(words)))
        found += [self._filter(entry, f"{place}.") for entry, place in filters_of(expression)]
        terms = object_of(object_of(payload, "metadata"), "terms", where="metadata.")
        found += [self._term(name, value) for name, value in terms.items()]
        return found

    def _filter(self, entry: Json, where: str) -> Condition:
        operator = " ".join(text_of(entry, "operator", where=where).lower().split())
        if operator not in OPERATORS:
            known = ", ".join(name for name in OPERATORS if name)
            raise BadRequest(f"{where}operator is unknown; use one of {known}")
        kind, negated = OPERATORS[operator]
        name = text_of(entry, "field", where=where)
        concept, fields = self._fields(name, f"{where}field")
        value = text_of(entry, "value", where=where)
        values = _values(kind, value, f"{where}value")
        if concept == "severity" and kind in ("exact", "in"):
            # What entries show is the class; whoever filters by it means all of its spellings.
            kind, values = "in", tuple(severity_words([str(value) for value in values]))
        return Condition(fields, kind, negated, values)

    def _term(self, name: str, value: Any) -> Condition:
        where = f"metadata.terms.{name[:MAX_FIELD_NAME]}"
        values = value if isinstance(value, list) else [value]
        if not 0 < len(values) <= MAX_VALUES or not all(map(_is_scalar, values)):
            raise BadRequest(f"{where} must be a text, a number, true, false or a list of them")
        _, fields = self._fields(name, where)
        kind = "in" if isinstance(value, list) else "exact"
        return Condition(fields, kind, values=tuple(values))

    def _fields(self, name: str, where: str) -> tuple[str | None, tuple[str, ...]]:
        """Return the concept that a name means, if any, and its fields."""
        concept = CONCEPT_OF_NAME.get(name)
        if concept:
            return concept, self.candidates[concept]
        known = name in _AT_FIELDS or name == self.timestamp_field
        # Queries written for several vendors mark attributes so: @http.status_code.
        bare = name[1:] if name.startswith("@") and not known else name
        if not _is_field(bare):
            raise BadRequest(f"{where} is not the name of a field")
        return None, (bare,)


def _is_field(name: str) -> bool:
    if not 0 < len(name) <= MAX_FIELD_NAME or _UNFIT_FIELD.search(name):
        return False
    ends = name[0] + name[-1]
    reserved = name.startswith("_") and name not in _META_FIELDS
    return not reserved and "." not in ends and ends.strip() == ends


def _is_scalar(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int)


def _values(kind: str, value: str, where: str) -> tuple[Scalar, ...]:
    if kind == "exists":
        return ()
    if kind != "in":
        return (value,)
    values = tuple(part.strip() for part in value.split(",") if part.strip())
    if not 0 < len(values) <= MAX_VALUES:
        raise BadRequest(f"{where} must name 1 to {MAX_VALUES} values, with commas between them")
    return values


# --- clauses ------------------------------------------------------------------------------------
# Source: elastic.co/guide/en/elasticsearch/reference/8.17/term-level-queries.html.


class FieldTypes:
    """Which queries suit a field. Without knowledge of the mapping: the field and its .keyword."""

    def exact(self, field: str) -> list[str]:
        """Name the fields on which a term query finds whole values."""
        return [field] if field in _META_FIELDS else [field, f"{field}.keyword"]

    def phrase(self, field: str) -> bool:
        """Tell whether only a phrase query finds whole values."""
        return False

    def textual(self, field: str) -> list[str]:
        """Name the fields on which wildcards, prefixes and regexes run."""
        return self.exact(field)

    def compared(self, field: str) -> list[str]:
        """Name the fields whose values have an order or presence."""
        return [field]

    def fits(self, field: str, values: Iterable[Scalar]) -> tuple[Scalar, ...]:
        """Keep the values that the field can have."""
        return tuple(values)


GENERIC: Final = FieldTypes()


@dataclass(frozen=True, slots=True)
class ClauseWriter:
    """Writes conditions as clauses of a bool query."""

    message_fields: frozenset[str]
    types: FieldTypes = GENERIC

    def clause(self, condition: Condition) -> Json:
        """Return a clause that holds where the condition holds, its negation left aside."""
        write = _WRITERS[condition.kind]
        should = [
            alternative
            for field in condition.fields
            for alternative in write(self, field, self.types.fits(field, condition.values))
        ]
        # A bool query without clauses would match everything.
        return {"bool": {"should": should, "minimum_should_match": 1}} if should else _NOTHING

    def phrases(self, field: str, values: Iterable[Scalar]) -> list[Json]:
        return [{"match_phrase": {field: value}} for value in values]

    def analysed(self, field: str) -> bool:
        return field in self.message_fields or self.types.phrase(field)


_NOTHING: Final[Json] = {"match_none": {}}


def _exact(writer: ClauseWriter, field: str, values: tuple[Scalar, ...]) -> list[Json]:
    if writer.analysed(field):
        return writer.phrases(field, values)
    return [{"term": {name: value}} for name in writer.types.exact(field) for value in values]


def _in(writer: ClauseWriter, field: str, values: tuple[Scalar, ...]) -> list[Json]:
    if writer.analysed(field):
        return writer.phrases(field, values)
    return [{"terms": {name: list(values)}} for name in writer.types.exact(field) if values]


def _contains(writer: ClauseWriter, field: str, values: tuple[Scalar, ...]) -> list[Json]:
    clauses: list[Json] = []
    for value in map(str, values):
        pattern = {"value": f"*{escape_wildcard(value)}*", "case_insensitive": True}
        clauses += [{"wildcard": {name: pattern}} for name in writer.types.textual(field)]
    return clauses + (writer.phrases(field, values) if writer.analysed(field) else [])


def _prefix(writer: ClauseWriter, field: str, values: tuple[Scalar, ...]) -> list[Json]:
    return [{"prefix": {name: v}} for name in writer.types.textual(field) for v in values]


def _regex(writer: ClauseWriter, field: str, values: tuple[Scalar, ...]) -> list[Json]:
    clauses = []
    for value in map(str, values):
        query = {"value": lucene_regex(value), "flags": "NONE", "max_determinized_states": 10_000}
        clauses += [{"regexp": {name: query}} for name in writer.types.textual(field)]
    return clauses


def _ranges(bound: str) -> "_Writer":
    def write(writer: ClauseWriter, field: str, values: tuple[Scalar, ...]) -> list[Json]:
        names = writer.types.compared(field)
        return [{"range": {name: {bound: value}}} for name in names for value in values]

    return write


def _exists(writer: ClauseWriter, field: str, _: tuple[Scalar, ...]) -> list[Json]:
    return [{"exists": {"field": name}} for name in writer.types.compared(field)]


_Writer = Callable[[ClauseWriter, str, tuple[Scalar, ...]], list[Json]]
_WRITERS: Final[Mapping[str, _Writer]] = {
    "exact": _exact,
    "in": _in,
    "contains": _contains,
    "prefix": _prefix,
    "regex": _regex,
    "exists": _exists,
    **{bound: _ranges(bound) for bound in ("gt", "gte", "lt", "lte")},
}


def escape_wildcard(value: str) -> str:
    """Make a text literal in a wildcard query."""
    return re.sub(r"([\\*?])", r"\\\1", value)


def lucene_regex(pattern: str) -> str:
    """Turn a regex that searches into one of Lucene's, which match the whole value.

    Source: elastic.co/guide/en/elasticsearch/reference/8.17/regexp-syntax.html: anchors are not
    known, and quotes mark literal text.
    """
    begins = pattern.startswith("^")
    ends = re.search(r"(?<!\\)(?:\\\\)*\$\Z", pattern) is not None
    body = pattern[1 if begins else 0 : -1 if ends else None]
    body = re.sub(r'\\.|"', lambda m: r"\"" if m[0] == '"' else m[0], body, flags=re.DOTALL)
    if "|" in body and not (begins and ends):
        body = f"({body})"
    return f"{'' if begins else '.*'}{body}{'' if ends else '.*'}"
