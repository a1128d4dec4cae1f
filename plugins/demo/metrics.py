"""Answers to metric.query and metric.describe, computed from the world and the query alone."""

import datetime
import itertools
import math
import re
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opsorch.deadline import Deadline
from opsorch.errors import BadRequest, UpstreamTimeout
from opsorch.plugin.payload import (
    flag_of,
    object_of,
    objects_of,
    required_text,
    scope_of,
    strings_of,
    text_of,
    without_empty,
    word_of,
)
from opsorch.plugin.times import format_time, given_range
from opsorch_plugins.demo.anomalies import Anomalies, seconds
from opsorch_plugins.demo.catalogue import SERVICE_BY_ID, releases_of, team_of, version_at
from opsorch_plugins.demo.curves import WEEK_S, six_digits, week_of
from opsorch_plugins.demo.matching import Json
from opsorch_plugins.demo.measures import METRIC_BY_NAME, METRICS, Metric
from opsorch_plugins.demo.regexes import compiled
from opsorch_plugins.demo.series import Observatory, Series
from opsorch_plugins.demo.shapes import SITE, stamped, url_of
from opsorch_plugins.demo.world import STAGING, World

MOST_POINTS: Final = 11_000
MOST_POINTS_IN_ALL: Final = 500_000
DEFAULT_STEP_S: Final = 60
DEFAULT_SPAN_S: Final = 30 * 60
# So many weeks' resets of counters are told, the newest: nineteen years.
MOST_WEEKS: Final = 1000
# So many points of a series are computed between two looks at the deadline.
POINTS_AT_ONCE: Final = 256
_MICROSECOND: Final = datetime.timedelta(microseconds=1)

Column = Sequence[float]
LabelTest = Callable[[Mapping[str, str]], bool]

AGGREGATIONS: Final[Mapping[str, Callable[[Iterable[float]], float]]] = {
    "avg": lambda values: _mean(list(values)),
    "sum": math.fsum,
    "max": max,
    "min": min,
    "count": lambda values: float(len(list(values))),
}


@dataclass(frozen=True, slots=True)
class Window:
    """The instants for which points are asked."""

    start: datetime.datetime
    end: datetime.datetime
    step_s: int

    @property
    def count(self) -> int:
        """How many points a series has; none where the window begins after its end."""
        if self.start > self.end:
            return 0
        return (self.end - self.start) // _MICROSECOND // (self.step_s * 1_000_000) + 1

    @property
    def moments(self) -> list[datetime.datetime]:
        """The instants, rising."""
        steps = (self.step_s * number for number in range(self.count))
        return [self.start + datetime.timedelta(seconds=step_s) for step_s in steps]


@dataclass(frozen=True, slots=True)
class _Query:
    """A checked metric.query."""

    name: str
    window: Window
    tests: tuple[LabelTest, ...]
    group_by: tuple[str, ...]
    aggregation: str
    baseline: bool


def query(payload: Mapping[str, Any], world: World, deadline: Deadline | None = None) -> list[Json]:
    """Answer metric.query.

    Raises:
        BadRequest: A field does not fit, or too many points are asked for; names the field.
        UpstreamTimeout: The deadline passed while points were computed.
    """
    asked = _query_of(payload, world)
    metric = METRIC_BY_NAME.get(asked.name)
    if metric is None or not asked.window.count:
        return []
    shown = _shown(metric, asked, Observatory(world), variant="")
    if asked.baseline:
        shown += _shown(metric, asked, Observatory(world, calm=True), variant="baseline")
    count = asked.window.count * len(shown)
    if count > MOST_POINTS_IN_ALL:
        raise BadRequest(
            f"step: {count} points are too many for one answer ({MOST_POINTS_IN_ALL}); raise step,"
            " group, or narrow the filters"
        )
    moments = asked.window.moments
    times = [seconds(moment) for moment in moments]
    texts = [format_time(moment) for moment in moments]
    columns = [_joined(group, asked.aggregation, times, deadline) for group in shown]
    return [
        _written(group, asked, world, texts, values)
        for group, values in zip(shown, columns, strict=True)
    ]


def describe(payload: Mapping[str, Any], world: World) -> list[Json]:
    """Answer metric.describe: the metrics that have series in a scope, by name."""
    tests = _scope_tests(scope_of({"scope": payload}))
    described = []
    for metric in sorted(METRICS, key=lambda metric: metric.name):
        services = [
            service
            for service in sorted(metric.bases)
            if any(_fits({"service": service, "env": env}, tests) for env in world.environments)
        ]
        if services:
            described.append(_descriptor_of(metric, services, world))
    return described


def _descriptor_of(metric: Metric, services: list[str], world: World) -> Json:
    return {
        "name": metric.name,
        "type": metric.kind,
        "description": metric.description,
        "labels": ["service", "env", *metric.labels],
        "unit": metric.unit,
        "url": url_of("metric", metric.name),
        "metadata": stamped({"services": services}, world),
    }


def _query_of(payload: Mapping[str, Any], world: World) -> _Query:
    expression = object_of(payload, "expression")
    name = required_text(expression, "metricName", where="expression.")
    tests = [_filter_test(item) for item in objects_of(expression, "filters", where="expression.")]
    tests += _scope_tests(scope_of(payload))
    group_by = strings_of(expression, "groupBy", where="expression.")
    word = text_of(expression, "aggregation", where="expression.").strip()
    if word:
        word = word_of({key: key for key in AGGREGATIONS}, word, "expression.aggregation")
    baseline = flag_of(object_of(payload, "metadata"), "baseline", where="metadata.")
    window = window_of(payload, world.now)
    labels = tuple(dict.fromkeys(label.strip() for label in group_by))
    return _Query(name, window, tuple(tests), labels, word, bool(baseline))


def window_of(payload: Mapping[str, Any], now: datetime.datetime) -> Window:
    """Read start, end and step; nothing is asked for beyond now.

    Raises:
        BadRequest: They do not fit, or make more points than a series may have.
    """
    start, end = given_range(payload, DEFAULT_SPAN_S, now)
    if start > end:
        raise BadRequest("start must not be after end")
    step = payload.get("step")
    if step is not None and (isinstance(step, bool) or not isinstance(step, int) or step < 0):
        raise BadRequest("step must be a whole number of seconds, at least 1")
    window = Window(start, min(end, now), step or DEFAULT_STEP_S)
    if window.count > MOST_POINTS:
        least = -int(-(window.end - window.start).total_seconds() // (MOST_POINTS - 1))
        raise BadRequest(
            f"step: {window.count} points a series are too many ({MOST_POINTS});"
            f" a step of {least} s fits"
        )
    return window


def _scope_tests(scope: Mapping[str, str]) -> list[LabelTest]:
    return [_SCOPE_TESTS[part](value) for part, value in scope.items()]


_SCOPE_TESTS: Final[Mapping[str, Callable[[str], LabelTest]]] = {
    "service": lambda wanted: lambda labels: labels["service"] == wanted,
    "team": lambda wanted: lambda labels: team_of(labels["service"]) == wanted,
    "environment": lambda wanted: lambda labels: labels["env"] == wanted,
}


def _filter_test(item: Mapping[str, Any]) -> LabelTest:
    """Make a test of one filter; an absent label equals ""."""
    where = "expression.filters."
    label = required_text(item, "label", where=where)
    operator = text_of(item, "operator", where=where).strip() or "="
    value = text_of(item, "value", where=where)
    if operator in ("=", "!="):
        return lambda labels: (labels.get(label, "") == value) == (operator == "=")
    if operator in ("=~", "!~"):
        pattern = compiled(value, f"{where}value")
        return lambda labels: _whole(pattern, labels.get(label, "")) == (operator == "=~")
    raise BadRequest(f"{where}operator: {operator[:20]!r} is unknown; use one of =, !=, =~, !~")


def _whole(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.fullmatch(text) is not None


def _fits(labels: Mapping[str, str], tests: Iterable[LabelTest]) -> bool:
    return all(test(labels) for test in tests)


@dataclass(frozen=True, slots=True)
class _Group:
    """What becomes one series of the answer."""

    metric: Metric
    labels: Mapping[str, str]
    members: tuple[Series, ...]
    variant: str


def _shown(
    metric: Metric, asked: _Query, observatory: Observatory, *, variant: str
) -> list[_Group]:
    """Return the series of the answer, in the order of their labels' first appearance."""
    found = [one for one in observatory.series(metric) if _fits(one.labels, asked.tests)]
    if not asked.group_by and not asked.aggregation:
        return [_Group(metric, one.labels, (one,), variant) for one in found]
    groups: dict[tuple[str, ...], list[Series]] = {}
    for one in found:
        values = tuple(one.labels.get(label, "") for label in asked.group_by)
        groups.setdefault(values, []).append(one)
    return [
        _Group(
            metric,
            {name: value for name, value in zip(asked.group_by, values, strict=True) if value},
            tuple(members),
            variant,
        )
        for values, members in sorted(groups.items())
    ]


def _written(
    group: _Group, asked: _Query, world: World, texts: Sequence[str], values: Column
) -> Json:
    """Write one series as the contract has it."""
    metric, members = group.metric, group.members
    services = {member.service for member in members}
    labels = dict(group.labels) | ({"variant": group.variant} if group.variant else {})
    return without_empty(
        {
            "name": metric.name,
            "service": services.pop() if len(services) == 1 else "",
            "labels": labels,
            "url": _url_of(metric.name, labels, asked.window),
        }
    ) | {
        "points": [
            {"timestamp": text, "value": six_digits(value)}
            for text, value in zip(texts, values, strict=True)
        ],
        "metadata": _metadata_of(group, asked, world),
    }


def _joined(group: _Group, aggregation: str, times: Column, deadline: Deadline | None) -> Column:
    """Return the values of a group: those of its only series, or aggregated ones."""
    columns = [_values(member, times, deadline) for member in group.members]
    word = aggregation or ("sum" if group.metric.kind == "counter" else "avg")
    if len(columns) == 1 and word != "count":
        return columns[0]
    join = AGGREGATIONS[word]
    return list(map(join, zip(*columns, strict=True)))


def _values(one: Series, times: Column, deadline: Deadline | None) -> Column:
    """Return the values of one series.

    Raises:
        UpstreamTimeout: The deadline passed meanwhile.
    """
    found: list[float] = []
    for begin in range(0, len(times), POINTS_AT_ONCE):
        if deadline is not None and deadline.expired:
            raise UpstreamTimeout(
                "the metric query took too long; narrow its window or its filters"
            )
        found += one.values(times[begin : begin + POINTS_AT_ONCE])
    return found


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _metadata_of(group: _Group, asked: _Query, world: World) -> Json:
    window, metric = asked.window, group.metric
    causes = list(itertools.chain.from_iterable(member.causes for member in group.members))
    places = {(member.service, member.labels["env"]) for member in group.members}
    metadata: Json = {
        "unit": metric.unit,
        "type": metric.kind,
        "anomalies": Anomalies(world).told(causes, window.start, window.end),
        "seriesCount": len(group.members),
    }
    if metric.kind == "counter":
        metadata["resets"] = _resets(places, window, world)
    if len(places) == 1:
        metadata |= _release(*places.pop(), window, world)
    return stamped(metadata, world)


def _resets(places: Iterable[tuple[str, str]], window: Window, world: World) -> list[str]:
    """Return when the counters of some services start again from 0 within a window.

    Of a longer window than MOST_WEEKS they are those of its end.
    """
    start_s, end_s = seconds(window.start), seconds(window.end)
    observatory = Observatory(world)
    found = {at_s for place in places for at_s in observatory.resets(*place)}
    monday_s = max(week_of(start_s), week_of(end_s) - MOST_WEEKS * WEEK_S) + WEEK_S
    while monday_s <= end_s:
        found.add(float(monday_s))
        monday_s += WEEK_S
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return [
        format_time(epoch + datetime.timedelta(seconds=at_s))
        for at_s in sorted(found)
        if start_s < at_s <= end_s
    ]


def _release(service: str, environment: str, window: Window, world: World) -> Json:
    """Name the version that ran at the end of a window, and those that came up within it."""
    named = environment if environment == STAGING else ""
    came_up = [
        {"version": release.version, "at": format_time(world.at(release.finished_min))}
        for release in releases_of(service, named)
        if window.start < world.at(release.finished_min) <= window.end
    ]
    version = version_at(service, world.minutes_before(window.end), named)
    owner = SERVICE_BY_ID[service].owner
    return without_empty({"release": version, "releases": came_up, "team": owner})


def _url_of(name: str, labels: Mapping[str, str], window: Window) -> str:
    asked = {
        **labels,
        "start": format_time(window.start),
        "end": format_time(window.end),
        "step": str(window.step_s),
    }
    return f"{SITE}/metric/{name}?{urllib.parse.urlencode(asked)}"
