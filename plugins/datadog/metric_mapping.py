"""Datadog's timeseries and metric lists to ours.

Source: https://docs.datadoghq.com/api/latest/metrics/ (query timeseries data across multiple
products; get a list of metrics).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opsorch.errors import BadRequest, ProviderError
from opsorch.observability.redact import clean_text
from opsorch.plugin.payload import Json, without_empty
from opsorch.plugin.times import epoch_time
from opsorch.plugin.vendor import as_list, as_objects, as_text, as_texts, object_in, text_at
from opsorch_plugins.datadog.client import first_error
from opsorch_plugins.datadog.tags import split_tag

# Datadog's kinds of metrics as ours; others pass in their own word.
_TYPES: Final[Mapping[str, str]] = {"rate": "gauge"}


@dataclass(frozen=True, slots=True)
class Frame:
    """What every series of an answer shares.

    Attributes:
        name: Name of the series.
        service_key: Tag key whose value is the service.
        url: Link to the query.
        metadata: Of every series.
        step_ms: Interval that was asked for, 0 for none.
    """

    name: str
    service_key: str
    url: str
    metadata: Json
    step_ms: int = 0


def series_of(body: Mapping[str, Any], frame: Frame) -> list[Json]:
    """Turn an answer into series.

    Raises:
        BadRequest: It says that the query is wrong, with HTTP 200.
        ProviderError: It is no such answer.
    """
    told = first_error(body.get("errors"))
    if told:
        raise BadRequest(f"Datadog refused the query: {clean_text(told)}")
    attributes = object_in(body, "data").get("attributes")
    if not isinstance(attributes, dict):
        raise ProviderError("Datadog gave an unexpected answer: data has no attributes")
    times = _times(attributes.get("times"))
    interval = _interval(attributes.get("times")) or frame.step_ms
    shared = {**frame.metadata, **({"interval": interval} if interval else {})}
    listed, values = as_list(attributes.get("series")), as_list(attributes.get("values"))
    return [
        _series(about, row, times, frame, shared)
        for about, row in zip(listed, values, strict=False)
        if isinstance(about, dict) and isinstance(row, list)
    ]


def _times(times: Any) -> list[str | None]:
    """Write the times of all points once; they are shared by the series."""
    return [epoch_time(moment, per_second=1000) for moment in as_list(times)]


def _interval(times: Any) -> int:
    """Return the milliseconds between the first two points: Datadog may widen what was asked."""
    pair = [moment for moment in as_list(times)[:2] if type(moment) is int]
    return max(0, pair[1] - pair[0]) if len(pair) == 2 else 0


def _series(
    about: Json, row: Sequence[Any], times: Sequence[str | None], frame: Frame, shared: Json
) -> Json:
    labels = dict(split_tag(tag) for tag in as_texts(about.get("group_tags")))
    points, dropped = _points(row, times)
    metadata = {**shared, "unit": _unit(about.get("unit")), "droppedPoints": dropped or None}
    optional = {
        "service": labels.get(frame.service_key),
        "labels": labels,
        "url": frame.url,
        "metadata": without_empty(metadata),
    }
    return {"name": frame.name, "points": points, **without_empty(optional)}


def _points(row: Sequence[Any], times: Sequence[str | None]) -> tuple[list[Json], int]:
    """Return the points, and the number of values that no strict JSON can hold."""
    points: list[Json] = []
    dropped = 0
    for moment, value in zip(times, row, strict=False):
        if moment is None or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if isinstance(value, int) or math.isfinite(value):
            points.append({"timestamp": moment, "value": value})
        else:
            dropped += 1
    return points, dropped


def _unit(unit: Any) -> str:
    """Write a unit and what it is counted per, for example ``byte/second``."""
    return "/".join(name for part in as_objects(unit)[:2] if (name := text_at(part, "name")))


def descriptor_of(row: Json, source: str, link: Callable[[str], str]) -> Json:
    """Turn a row of the metric list, with or without tag configuration, into a descriptor."""
    name = str(row.get("id") or "")
    attributes = object_in(row, "attributes")
    kind = as_text(attributes.get("metric_type")) or "unknown"
    return {
        "name": name,
        "type": _TYPES.get(kind, kind),
        "description": "",
        "labels": as_texts(attributes.get("tags")),
        "url": link(name),
        "metadata": {"source": source},
    }
