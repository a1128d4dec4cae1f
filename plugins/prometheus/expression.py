"""From the expression of a metric query to its PromQL."""

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
    word_of,
)
from opsorch_plugins.prometheus.promql import (
    Matcher,
    label_name,
    label_text,
    matcher_of,
    scope_matchers,
    selector,
    utf8,
)
from opsorch_plugins.prometheus.settings import Settings, label_names

# Source: prometheus.io, "Operators", aggregation operators. The words are those of people.
AGGREGATIONS: Final[Mapping[str, str]] = {
    **{name: f"{name}(" for name in ("sum", "min", "max", "count", "stddev", "stdvar", "group")},
    **dict.fromkeys(("avg", "average", "mean"), "avg("),
    "p50": "quantile(0.5, ",
    "p90": "quantile(0.9, ",
    "p95": "quantile(0.95, ",
    "p99": "quantile(0.99, ",
}

# Source: prometheus.io, "Query functions": those that take one range and nothing else.
_FUNCTIONS = (
    "rate irate increase delta idelta deriv changes resets avg_over_time min_over_time"
    " max_over_time sum_over_time count_over_time last_over_time"
)
FUNCTIONS: Final[Mapping[str, str]] = {name: name for name in _FUNCTIONS.split()}

_RANGE = re.compile(r"(?:[0-9]{1,9}(?:ms|[smhdwy])){1,7}")
_MIN_RANGE_S = 60
_STEPS_A_RANGE = 4


@dataclass(frozen=True, slots=True)
class Expression:
    """A query as it goes upstream.

    Attributes:
        promql: The query text.
        name: The name of a series that has none of its own.
        scope_ignored: A scope was given, but raw PromQL does not take it.
    """

    promql: str
    name: str
    scope_ignored: bool = False


def expression_of(payload: Json, settings: Settings, step_s: int) -> Expression:
    """Build the PromQL of a metric query, or take the raw one of ``metadata.query``.

    Raises:
        BadRequest: Something is missing, unknown or not allowed; names the field.
    """
    metadata = object_of(payload, "metadata")
    raw = utf8(text_of(metadata, "query", where="metadata."), "metadata.query")
    if raw.strip():
        _refuse_raw(settings)
        return Expression(raw, raw, scope_ignored=bool(scope_of(payload)))
    expression = object_of(payload, "expression")
    if not expression:
        raise BadRequest("expression is required")
    metric = utf8(text_of(expression, "metricName", where="expression."), "expression.metricName")
    promql = _aggregated(
        expression, _ranged(metadata, _selected(metric.strip(), payload, settings), step_s)
    )
    return Expression(promql, metric.strip() or promql)


def scope_selector(
    metric: str, scope: Mapping[str, str], settings: Settings, filters: Sequence[Matcher] = ()
) -> str:
    """Write the selector of a metric ("" for any) within a scope and the enforced matchers."""
    scoped = scope_matchers(scope, label_names(settings))
    return selector(metric, [*filters, *scoped, *settings["enforcedMatchers"]])


def _refuse_raw(settings: Settings) -> None:
    if not settings["allowRawQuery"]:
        raise BadRequest("metadata.query is refused: the configuration sets allowRawQuery to false")
    if settings["enforcedMatchers"]:
        raise BadRequest("metadata.query is refused: the configuration has enforcedMatchers")


def _selected(metric: str, payload: Json, settings: Settings) -> str:
    filters = [matcher_of(*one) for one in filters_of(object_of(payload, "expression"))]
    if not metric and not any(matcher.excludes_empty for matcher in filters):
        raise BadRequest(
            "expression.metricName is required where no filter refuses the empty value"
        )
    return scope_selector(metric, scope_of(payload), settings, filters)


def _ranged(metadata: Json, selected: str, step_s: int) -> str:
    """Wrap the selector in the function of ``metadata.function``, if any."""
    function = text_of(metadata, "function", where="metadata.")
    given_range = text_of(metadata, "range", where="metadata.").strip()
    if not function.strip():
        if given_range:
            raise BadRequest("metadata.range needs metadata.function")
        return selected
    if given_range and not _RANGE.fullmatch(given_range):
        raise BadRequest("metadata.range must be a duration such as 30s, 5m or 1h30m")
    name = word_of(FUNCTIONS, function, "metadata.function")
    over = given_range or f"{max(_STEPS_A_RANGE * step_s, _MIN_RANGE_S)}s"
    return f"{name}({selected}[{over}])"


def _aggregated(expression: Json, inner: str) -> str:
    """Wrap in the aggregation, if any, grouped by the labels asked for."""
    word = text_of(expression, "aggregation", where="expression.")
    group_by = strings_of(expression, "groupBy", where="expression.")
    labels = dict.fromkeys(
        label_name(name, f"expression.groupBy[{i}]") for i, name in enumerate(group_by)
    )
    if not word.strip():
        if labels:
            raise BadRequest("expression.groupBy needs expression.aggregation")
        return inner
    opening = word_of(AGGREGATIONS, word, "expression.aggregation")
    grouping = f" by ({','.join(map(label_text, labels))})" if labels else ""
    return f"{opening}{inner}){grouping}"
