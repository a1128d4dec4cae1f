"""From Prometheus' JSON to metric series and descriptors: pure and total.

Source: prometheus.io, "HTTP API" (expression query result formats, querying metadata, exemplars).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from opsorch.errors import BadRequest, ProviderError
from opsorch.plugin.payload import Json, without_empty
from opsorch.plugin.times import epoch_time
from opsorch.plugin.vendor import as_list, as_object, as_objects

MAX_EXEMPLARS: Final = 50
SOURCE: Final = "prometheus"

# Source: OpenMetrics, "Metric types". Prometheus says "unknown" since 2.52, "untyped" before.
TYPES: Final[Mapping[str, str]] = {
    "counter": "counter",
    "gauge": "gauge",
    "histogram": "histogram",
    "gaugehistogram": "histogram",
    "summary": "summary",
    "info": "info",
    "stateset": "stateset",
}
UNKNOWN_TYPE: Final = "unknown"
# Parts of a histogram, summary or counter carry one of these after the name that metadata knows.
_PART_SUFFIXES: Final = ("_bucket", "_sum", "_count", "_total")
# Source: prometheus.io, "Metric and label naming", base units.
_UNITS: Final = (
    *("seconds", "bytes", "ratio", "celsius", "meters"),
    *("volts", "amperes", "joules", "grams"),
)
# Tracing libraries do not agree on a spelling.
_TRACE_LABELS: Final = ("trace_id", "traceID", "traceId", "TraceID")


@dataclass(frozen=True, slots=True)
class Frame:
    """What all series of one answer share.

    Attributes:
        name: Name of a series that has no ``__name__``.
        service_label: Label that holds the service.
        url: Link to the query.
        metadata: Goes into the metadata of each series.
        max_series: Series beyond it are dropped.
    """

    name: str
    service_label: str
    url: str
    metadata: Json
    max_series: int


def texts_of(given: Any) -> dict[str, str]:
    """Read an object of strings; whatever is none is empty."""
    return {str(k): str(v) for k, v in as_object(given).items()}


def series_of(data: Any, frame: Frame) -> list[Json]:
    """Turn the data of a query into series.

    Raises:
        BadRequest: The query is a string.
        ProviderError: It is no result of a query.
    """
    entries = _entries(data)
    kept = entries[: frame.max_series]
    truncated = {"truncated": True} if len(kept) < len(entries) else {}
    stamps = _Stamps()
    return [_series(entry, frame, truncated, stamps) for entry in kept]


def _entries(data: Any) -> list[Json]:
    """Bring every result type into the form of a matrix."""
    kind, result = as_object(data).get("resultType"), as_object(data).get("result")
    if kind == "string":
        raise BadRequest("the query is a string; a metric query must yield numbers")
    if not isinstance(result, list) or kind not in ("matrix", "vector", "scalar"):
        raise ProviderError("Prometheus' answer holds no result of a query")
    if kind == "scalar":
        return [{"metric": {}, "values": [result]}]
    entries = as_objects(result)
    return entries if kind == "matrix" else [_as_matrix(entry) for entry in entries]


def _as_matrix(entry: Json) -> Json:
    return {
        "metric": entry.get("metric"),
        "values": [entry["value"]] if "value" in entry else [],
        "histograms": [entry["histogram"]] if "histogram" in entry else [],
    }


def _series(
    entry: Json, frame: Frame, more: Mapping[str, Any], stamps: Callable[[Any], str | None]
) -> Json:
    labels = texts_of(entry.get("metric"))
    name = labels.pop("__name__", frame.name)
    points, dropped, native = _points(entry, stamps)
    metadata = without_empty(
        {**frame.metadata, **more, "droppedPoints": dropped, "nativeHistogram": native or None}
    )
    service = labels.get(frame.service_label)
    optional = without_empty({"service": service, "url": frame.url})
    return {"name": name, "labels": labels, "points": points, **optional, "metadata": metadata}


class _Stamps:
    """Writes sample times, each distinct one once: the series of an answer share theirs."""

    def __init__(self) -> None:
        self._written: dict[Any, str | None] = {}

    def __call__(self, seconds: Any) -> str | None:
        """Return the time, or None where it is none."""
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            return None
        if seconds not in self._written:
            self._written[seconds] = epoch_time(seconds)
        return self._written[seconds]


def _points(
    entry: Json, stamps: Callable[[Any], str | None]
) -> tuple[list[Json], dict[str, int], bool]:
    """Return the points that JSON can hold, a count of the others by kind, and "is native"."""
    values, histograms = as_list(entry.get("values")), as_list(entry.get("histograms"))
    native = bool(histograms) and not values
    points: list[Json] = []
    dropped: Counter[str] = Counter()
    for sample in histograms if native else values:
        stamp, text = _sample(sample)
        if native:
            text = as_object(text).get("count")
        time, value = stamps(stamp), number_of(text)
        fault = "invalid" if time is None or value is None else _unfit(value)
        if fault:
            dropped[fault] += 1
        else:
            points.append({"timestamp": time, "value": value})
    return points, dict(dropped), native


def _sample(sample: Any) -> tuple[Any, Any]:
    return tuple(sample) if isinstance(sample, list) and len(sample) == 2 else (None, None)


def number_of(text: Any) -> float | None:
    """Read a sample value, a number as text; None where it is none."""
    if not isinstance(text, str):
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _unfit(value: float) -> str:
    """Name what JSON cannot hold, as Prometheus writes it; "" for a number."""
    if math.isnan(value):
        return "NaN"
    return "" if math.isfinite(value) else "+Inf" if value > 0 else "-Inf"


def attach_exemplars(series: Sequence[Json], data: Any, stamps: Any = None) -> None:
    """Put exemplars into the metadata of the series they belong to, at most 50 each.

    A series of an aggregation stands for every series that has all of its labels.
    """
    groups = [group for group in as_list(data) if _is_group(group)]
    written = stamps or _Stamps()
    for one in series:
        own = one["labels"].items()
        fitting = (g for g in groups if own <= g["seriesLabels"].items())
        found = [_exemplar(e, written) for g in fitting for e in g["exemplars"]]
        kept = [exemplar for exemplar in found if exemplar][:MAX_EXEMPLARS]
        if kept:
            one["metadata"]["exemplars"] = kept


def _is_group(group: Any) -> bool:
    return (
        isinstance(group, dict)
        and isinstance(group.get("seriesLabels"), dict)
        and isinstance(group.get("exemplars"), list)
    )


def _exemplar(given: Any, stamps: Callable[[Any], str | None]) -> Json | None:
    if not isinstance(given, dict):
        return None
    labels = texts_of(given.get("labels"))
    time, value = stamps(given.get("timestamp")), number_of(given.get("value"))
    if time is None or value is None or _unfit(value):
        return None
    trace = next((labels[name] for name in _TRACE_LABELS if labels.get(name)), None)
    optional = without_empty({"traceID": trace, "labels": labels})
    return {"timestamp": time, "value": value, **optional}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What ``/api/v1/metadata`` tells of metrics: entries of type, help and unit by name."""

    entries: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Any) -> "Catalogue":
        """Read the endpoint's data; whatever is no object counts as empty."""
        return cls(as_object(data))

    def about(self, name: str) -> list[Json]:
        """Return the entries of a metric, or of the metric that it is a part of."""
        for candidate in (name, *_without_part(name)):
            found = self.entries.get(candidate)
            if isinstance(found, list) and found:
                return as_objects(found)
        return []


def _without_part(name: str) -> Iterable[str]:
    return (name[: -len(suffix)] for suffix in _PART_SUFFIXES if name.endswith(suffix))


def descriptor_of(name: str, catalogue: Catalogue, labels: Sequence[str], url: str) -> Json:
    """Describe one metric."""
    told = catalogue.about(name)
    first = told[0] if told else {}
    unit = str(first.get("unit") or "") or _unit_of(name)
    metadata: Json = {"source": SOURCE}
    if len(told) > 1:
        metadata["variants"] = len(told) - 1
    return {
        "name": name,
        "type": TYPES.get(str(first.get("type")), UNKNOWN_TYPE),
        "description": str(first.get("help") or ""),
        "labels": list(labels),
        **without_empty({"unit": unit, "url": url}),
        "metadata": metadata,
    }


def _unit_of(name: str) -> str:
    """Read the unit from the end of a name, that of the whole where it names a part."""
    for candidate in (name, *_without_part(name)):
        unit = next((unit for unit in _UNITS if candidate.endswith(f"_{unit}")), "")
        if unit:
            return unit
    return ""
