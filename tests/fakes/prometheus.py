"""A small Prometheus and Alertmanager under one base URL, with series and alerts in memory.

PromQL goes through a real parser; evaluated are selectors, the range functions below (without
extrapolation), aggregations with ``by``, ``vector(n)`` and numbers. Anything else is answered as an
execution error, so that a query which left its place never looks like an empty answer.

Sources: prometheus.io, "HTTP API", "Querying basics", "Operators"; Alertmanager's OpenAPI
description of API v2. Error bodies and limits as Prometheus 2.42 and Alertmanager 0.25 answer.
"""

import base64
import datetime
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import flask
import promql_parser

LOOKBACK_S = 300.0
Labels = dict[str, str]
Sample = tuple[float, float]


@dataclass
class Series:
    labels: Labels
    samples: list[Sample]

    def at(self, moment: float) -> float | None:
        """The newest sample within the look-back, as an instant selector sees it."""
        seen = [v for t, v in self.samples if moment - LOOKBACK_S < t <= moment]
        return seen[-1] if seen else None


@dataclass
class State:
    """What the servers hold, and what they ask of a caller."""

    series: list[Series] = field(default_factory=list)
    metadata: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    exemplars: list[dict[str, Any]] = field(default_factory=list)
    rule_groups: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    silences: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    authorization: str = ""
    tenant_needed: bool = False
    posts: bool = True

    def basic_auth(self, user: str, password: str) -> None:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.authorization = f"Basic {pair}"


class Refused(Exception):
    """An error in Prometheus' own form."""

    def __init__(self, status: int, error_type: str, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.body = {"status": "error", "errorType": error_type, "error": error}


def make_app(state: State | None = None) -> flask.Flask:
    app = flask.Flask("fake-prometheus")
    app.config["STATE"] = state if state is not None else State()
    app.before_request(lambda: _gate(app.config["STATE"]))
    app.register_error_handler(Refused, lambda refused: (refused.body, refused.status))
    app.register_error_handler(404, lambda _: flask.Response("404 page not found\n", 404))
    for path, view, methods in _ROUTES:
        _route(app, path, view, methods)
    return app


def _route(app: flask.Flask, path: str, view: Callable[..., Any], methods: tuple[str, ...]) -> None:
    def answer(**parts: str) -> Any:
        return view(app.config["STATE"], **parts)

    app.add_url_rule(path, view.__name__, answer, methods=methods)


def _gate(state: State) -> Any:
    request = flask.request
    if state.authorization and request.headers.get("Authorization") != state.authorization:
        return flask.Response("Unauthorized\n", 401, {"WWW-Authenticate": "Basic"})
    if state.tenant_needed and not request.headers.get("X-Scope-OrgID"):
        return flask.Response("no org id\n", 401)
    if request.method == "POST" and not state.posts:
        return flask.Response("Method Not Allowed\n", 405)
    return None


def _success(state: State, data: Any) -> Any:
    more = {"warnings": state.warnings} if state.warnings else {}
    return {"status": "success", "data": data, **more}


# --- Prometheus ---------------------------------------------------------------------------------


def query_range(state: State) -> Any:
    start, end = _time("start"), _time("end")
    if end < start:
        raise _bad('invalid parameter "end": end timestamp must not be before start time')
    step = float(flask.request.values.get("step", "0"))
    if step <= 0:
        raise _bad(
            'invalid parameter "step": zero or negative query resolution step widths are not'
            " accepted. Try a positive integer"
        )
    if (end - start) // step > 11000:
        raise _bad("exceeded maximum resolution of 11,000 points per timeseries.")
    steps = [start + n * step for n in range(int((end - start) // step) + 1)]
    expression = _parsed()
    found: dict[tuple[tuple[str, str], ...], list[list[Any]]] = {}
    for moment in steps:
        for labels, value in _evaluated(expression, state, moment):
            key = tuple(sorted(labels.items()))
            found.setdefault(key, []).append([moment, _written(value)])
    result = [{"metric": dict(key), "values": values} for key, values in sorted(found.items())]
    return _success(state, {"resultType": "matrix", "result": result})


def query(state: State) -> Any:
    moment = _time("time") if "time" in flask.request.values else _now()
    expression = _parsed()
    if isinstance(expression, promql_parser.StringLiteral):
        return _success(state, {"resultType": "string", "result": [moment, expression.val]})
    if isinstance(expression, promql_parser.NumberLiteral):
        value = [moment, _written(expression.val)]
        return _success(state, {"resultType": "scalar", "result": value})
    result = [
        {"metric": labels, "value": [moment, _written(value)]}
        for labels, value in _evaluated(expression, state, moment)
    ]
    return _success(state, {"resultType": "vector", "result": result})


def names(state: State) -> Any:
    found = {series.labels["__name__"] for series in _matching(state)}
    return _success(state, sorted(found))


def labels(state: State) -> Any:
    found = {name for series in _matching(state) for name in series.labels}
    return _success(state, sorted(found))


def metadata(state: State) -> Any:
    return _success(state, state.metadata)


def query_exemplars(state: State) -> Any:
    _parsed()
    return _success(state, state.exemplars)


def rules(state: State) -> Any:
    return _success(state, {"groups": state.rule_groups})


def _bad(error: str) -> Refused:
    return Refused(400, "bad_data", error)


def _now() -> float:
    return datetime.datetime.now(datetime.UTC).timestamp()


def _time(name: str) -> float:
    text = flask.request.values.get(name, "")
    try:
        return float(text)
    except ValueError as exc:
        raise _bad(f'invalid parameter "{name}": cannot parse "{text}" to a timestamp') from exc


def _parsed(text: str | None = None) -> promql_parser.Expr:
    text = flask.request.values.get("query", "") if text is None else text
    try:
        return promql_parser.parse(text)
    except ValueError as exc:
        raise _bad(f'invalid parameter "query": 1:1: parse error: {exc}') from exc


def _matching(state: State) -> list[Series]:
    selectors = flask.request.values.getlist("match[]")
    if not selectors:
        return state.series
    parsed = [_parsed(text) for text in selectors]
    return [s for s in state.series if any(_fits(s.labels, e) for e in parsed)]


def _fits(labels_: Labels, selected: Any) -> bool:
    if selected.name and labels_.get("__name__") != selected.name:
        return False
    return all(
        _holds(labels_.get(m.name, ""), str(m.op).rpartition(".")[2], m.value)
        for m in selected.matchers.matchers
    )


def _holds(value: str, operator: str, wanted: str) -> bool:
    if operator in ("Equal", "NotEqual"):
        return (value == wanted) is (operator == "Equal")
    return (re.fullmatch(wanted, value, re.DOTALL) is not None) is (operator == "Re")


def _evaluated(expression: Any, state: State, moment: float) -> Iterator[tuple[Labels, float]]:
    if isinstance(expression, promql_parser.VectorSelector):
        for series in state.series:
            value = series.at(moment) if _fits(series.labels, expression) else None
            if value is not None:
                yield series.labels, value
    elif isinstance(expression, promql_parser.Call):
        yield from _called(expression, state, moment)
    elif isinstance(expression, promql_parser.AggregateExpr):
        yield from _aggregated(expression, state, moment)
    else:
        raise Refused(422, "execution", f"this server cannot do {type(expression).__name__}")


_OVER_TIME: dict[str, Callable[[list[Sample]], float]] = {
    "rate": lambda s: (s[-1][1] - s[0][1]) / (s[-1][0] - s[0][0]) if len(s) > 1 else 0.0,
    "increase": lambda s: s[-1][1] - s[0][1],
    "avg_over_time": lambda s: sum(v for _, v in s) / len(s),
    "max_over_time": lambda s: max(v for _, v in s),
    "count_over_time": lambda s: float(len(s)),
}


def _called(call: Any, state: State, moment: float) -> Iterator[tuple[Labels, float]]:
    name = call.func.name
    if name == "vector":
        yield {}, call.args[0].val
        return
    if name not in _OVER_TIME:
        raise Refused(422, "execution", f"this server cannot do {name}")
    selected = call.args[0]
    since = moment - selected.range.total_seconds()
    for series in state.series:
        within = [s for s in series.samples if since < s[0] <= moment]
        if within and _fits(series.labels, selected.vector_selector):
            bare = {k: v for k, v in series.labels.items() if k != "__name__"}
            yield bare, _OVER_TIME[name](within)


_AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "avg": lambda values: sum(values) / len(values),
    "min": min,
    "max": max,
    "count": lambda values: float(len(values)),
}


def _aggregated(given: Any, state: State, moment: float) -> Iterator[tuple[Labels, float]]:
    by = list(given.modifier.labels) if given.modifier else []
    groups: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for labels_, value in _evaluated(given.expr, state, moment):
        key = tuple((name, labels_[name]) for name in by if labels_.get(name))
        groups.setdefault(key, []).append(value)
    for key, values in groups.items():
        if str(given.op) == "quantile":
            yield dict(key), _quantile(given.param.val, sorted(values))
        else:
            yield dict(key), _AGGREGATES[str(given.op)](values)


def _quantile(share: float, values: list[float]) -> float:
    """Between the two nearest values in proportion, as Prometheus does."""
    rank = share * (len(values) - 1)
    below, above = values[math.floor(rank)], values[math.ceil(rank)]
    return below + (above - below) * (rank % 1)


def _written(value: float) -> str:
    special = {float("inf"): "+Inf", float("-inf"): "-Inf"}
    return "NaN" if value != value else special.get(value, f"{value:g}")


# --- Alertmanager -------------------------------------------------------------------------------

_FILTER = re.compile(
    r'\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*', re.DOTALL
)
_OPERATORS = {"=": "Equal", "!=": "NotEqual", "=~": "Re", "!~": "NotRe"}


def alerts(state: State) -> Any:
    return flask.jsonify(_listed(state, state.alerts))


def groups(state: State) -> Any:
    kept = [{**group, "alerts": _listed(state, group["alerts"])} for group in state.groups]
    return flask.jsonify([group for group in kept if group["alerts"]])


def silence(state: State, silence_id: str) -> Any:
    found = state.silences.get(silence_id)
    return flask.jsonify(found) if found else flask.Response("", 404)


def status(state: State) -> Any:
    config = {"original": "receivers:\n- name: pager\n  key: not-for-callers\n"}
    return {"cluster": {"status": "ready"}, "versionInfo": {"version": "0.25.0"}, "config": config}


def _listed(state: State, candidates: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    filters = [_filter(text) for text in flask.request.args.getlist("filter")]
    receiver = flask.request.args.get("receiver", "")
    return [
        alert
        for alert in candidates
        if _flagged(alert["status"])
        and all(_holds(alert["labels"].get(n, ""), op, v) for n, op, v in filters)
        and (not receiver or any(re.fullmatch(receiver, r["name"]) for r in alert["receivers"]))
    ]


def _filter(text: str) -> tuple[str, str, str]:
    match = _FILTER.fullmatch(text)
    if match is None:
        body = flask.jsonify(f"bad matcher format: {text}")
        body.status_code = 400
        flask.abort(body)
    name, operator, value = match.groups()
    unescaped = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], value, flags=re.DOTALL)
    return name, _OPERATORS[operator], unescaped


def _flagged(alert_status: dict[str, Any]) -> bool:
    """An unknown boolean counts as false, a missing one as true."""
    on = {
        flag: flask.request.args.get(flag, "true") == "true"
        for flag in ("active", "silenced", "inhibited", "unprocessed")
    }
    return not (
        (alert_status["state"] == "active" and not on["active"])
        or (alert_status["state"] == "unprocessed" and not on["unprocessed"])
        or (alert_status["silencedBy"] and not on["silenced"])
        or (alert_status["inhibitedBy"] and not on["inhibited"])
    )


_ROUTES: tuple[tuple[str, Callable[..., Any], tuple[str, ...]], ...] = (
    ("/api/v1/query_range", query_range, ("GET", "POST")),
    ("/api/v1/query", query, ("GET", "POST")),
    ("/api/v1/query_exemplars", query_exemplars, ("GET", "POST")),
    ("/api/v1/label/__name__/values", names, ("GET",)),
    ("/api/v1/labels", labels, ("GET", "POST")),
    ("/api/v1/metadata", metadata, ("GET",)),
    ("/api/v1/rules", rules, ("GET",)),
    ("/api/v2/alerts", alerts, ("GET",)),
    ("/api/v2/alerts/groups", groups, ("GET",)),
    ("/api/v2/silence/<silence_id>", silence, ("GET",)),
    ("/api/v2/status", status, ("GET",)),
)
