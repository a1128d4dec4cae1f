"""A MetricQuery as Datadog's query text.

Sources: https://docs.datadoghq.com/metrics/advanced-filtering/ (AND, NOT and IN cannot be mixed
with ``!`` and ``,``), https://docs.datadoghq.com/dashboards/functions/rollup/.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from opsorch.errors import BadRequest
from opsorch.plugin.payload import (
    Json,
    filters_of,
    object_of,
    scope_of,
    strings_of,
    text_of,
    whole_of,
    word_of,
)
from opsorch_plugins.datadog.operators import operator_of
from opsorch_plugins.datadog.patterns import Pattern, patterns_of
from opsorch_plugins.datadog.tags import normal, scope_tags, tag_key, tag_value

# Source: https://docs.datadoghq.com/metrics/custom_metrics/#naming-custom-metrics
_METRIC_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,199}")
_AGGREGATIONS: Final = {
    **{word: word for word in ("avg", "sum", "min", "max", "count")},
    **{f"p{n}": f"p{n}" for n in (50, 75, 90, 95, 99)},
    "average": "avg",
    "mean": "avg",
}
_ROLLUPS: Final = {word: word for word in ("avg", "sum", "min", "max", "count")}
_WHAT: Final = "Datadog tag filters"
_OPERATORS: Final = frozenset({"=", "!=", "=~", "!~", "contains", "not contains"})


@dataclass(frozen=True, slots=True)
class MetricExpression:
    """What is sent, and what links and results tell of it.

    Attributes:
        query: The query text.
        name: The metric's name; the query's text where it was given as such.
        metric: The metric's name, "" where the query was given as text.
        aggregation: Aggregation over space, "" likewise.
        filters: What stands between the braces, "" likewise.
        group_by: Tag keys.
        scope_ignored: A scope was given and the query's text does not follow it.
    """

    query: str
    name: str
    metric: str = ""
    aggregation: str = ""
    filters: str = ""
    group_by: tuple[str, ...] = ()
    scope_ignored: bool = False


def expression_of(payload: Json, keys: Mapping[str, str]) -> MetricExpression:
    """Read expression, scope and metadata of a MetricQuery.

    Args:
        payload: The MetricQuery.
        keys: Tag keys of service, team and environment.

    Raises:
        BadRequest: There is nothing to query, or a part does not fit; names it.
    """
    scope = scope_of(payload)
    metadata = object_of(payload, "metadata")
    raw = text_of(metadata, "query", where="metadata.").strip()
    if raw:
        return MetricExpression(raw, raw, scope_ignored=bool(scope))
    expression = object_of(payload, "expression")
    metric = text_of(expression, "metricName", where="expression.").strip()
    if not _METRIC_NAME.fullmatch(metric):
        raise BadRequest(
            "expression.metricName must be a letter, then letters, digits, _ and .,"
            " 200 at most; a whole query goes into metadata.query"
        )
    word = text_of(expression, "aggregation", where="expression.").strip() or "avg"
    aggregation = word_of(_AGGREGATIONS, word, "expression.aggregation")
    filters = " AND ".join([*filter_clauses(expression), *scope_tags(scope, keys)]) or "*"
    group_by = _group_by(expression)
    grouped = f" by {{{','.join(group_by)}}}" if group_by else ""
    query = f"{aggregation}:{metric}{{{filters}}}{grouped}{_rollup(metadata)}"
    return MetricExpression(query, metric, metric, aggregation, filters, group_by)


def _group_by(expression: Json) -> tuple[str, ...]:
    given = strings_of(expression, "groupBy", where="expression.")
    keys = (tag_key(key, f"expression.groupBy[{i}]") for i, key in enumerate(given))
    return tuple(dict.fromkeys(keys))


def _rollup(metadata: Json) -> str:
    """Return the function that joins points over time, where metadata.rollup asks for it."""
    if metadata.get("rollup") is None:
        return ""
    rollup = object_of(metadata, "rollup", where="metadata.")
    where = "metadata.rollup."
    word = text_of(rollup, "method", where=where).strip() or "avg"
    method = word_of(_ROLLUPS, word, f"{where}method")
    seconds = whole_of(rollup, "seconds", least=1, where=where)
    return f".rollup({method})" if seconds is None else f".rollup({method}, {seconds})"


def filter_clauses(expression: Json) -> list[str]:
    """Write each filter as a clause; all of them must hold.

    Raises:
        BadRequest: A filter does not fit; names it.
    """
    return [_clause(one, f"{place}.") for one, place in filters_of(expression)]


def _clause(given: Json, where: str) -> str:
    key = tag_key(text_of(given, "label", where=where), f"{where}label")
    operator = operator_of(text_of(given, "operator", where=where), _OPERATORS, f"{where}operator")
    value = text_of(given, "value", where=where)
    if operator in ("=~", "!~"):
        return _matching(key, patterns_of(value, _WHAT), negated=operator == "!~")
    text = tag_value(value, f"{where}value")
    wildcard = "*" if "contains" in operator else ""
    negation = "NOT " if operator in ("!=", "not contains") else ""
    return f"{negation}{key}:{wildcard}{text}{wildcard}"


def _matching(key: str, patterns: Sequence[Pattern], *, negated: bool) -> str:
    if len(patterns) > 1:
        values = ",".join(dict.fromkeys(normal(pattern.text) for pattern in patterns))
        return f"{key} {'NOT IN' if negated else 'IN'} ({values})"
    [only] = patterns
    start, end = "*" if only.open_start else "", "*" if only.open_end else ""
    return f"{'NOT ' if negated else ''}{key}:{start}{normal(only.text)}{end}"
