"""A small Datadog: timeseries, logs, monitors, incidents, services in memory.

Sources: docs.datadoghq.com/api/latest/ (authentication, rate-limits, metrics, logs, monitors,
incidents, service-definition, software-catalog) for paths, parameters, shapes and error bodies.
An incident's cells have no documented path; ``State.has_cells`` decides whether it is there.
"""

import base64
import datetime
import hmac
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flask

from tests.fakes.datadog_query import Malformed, log_test, metric_query, metric_test

Json = dict[str, Any]

API_KEY = "0123456789abcdef-api-key-of-the-fake"
APP_KEY = "fedcba9876543210-app-key-of-the-fake"
MAX_LOGS = 1000
MAX_INCIDENTS = 100
MAX_POINTS = 1500
FIELD_TYPES = {
    "dropdown": str,
    "textbox": str,
    "multiselect": list,
    "textarray": list,
    "metrictag": list,
    "autocomplete": list,
}
STATES = ("active", "stable", "resolved", "completed")
SEVERITIES = ("UNKNOWN", "SEV-0", "SEV-1", "SEV-2", "SEV-3", "SEV-4", "SEV-5")
# The scope that each path needs: verb, pattern, scope.
SCOPES = (
    ("POST", r"/api/v2/query/timeseries", "timeseries_query"),
    ("GET", r"/api/v2/metrics", "metrics_read"),
    ("POST", r"/api/v2/logs/events/search", "logs_read_data"),
    ("GET", r"/api/v1/monitor(/.*)?", "monitors_read"),
    ("GET", r"/api/v2/incidents(/.*)?", "incident_read"),
    ("POST|PATCH", r"/api/v2/incidents(/.*)?", "incident_write"),
    ("GET", r"/api/v2/(services/definitions|catalog/entity)", "apm_service_catalog_read"),
)


@dataclass
class State:
    """What the organisation holds, and what it asks of a caller."""

    api_key: str = API_KEY
    app_key: str = APP_KEY
    series: list[Json] = field(default_factory=list)
    metrics: list[Json] = field(default_factory=list)
    logs: list[Json] = field(default_factory=list)
    monitors: list[Json] = field(default_factory=list)
    incidents: list[Json] = field(default_factory=list)
    cells: dict[str, list[Json]] = field(default_factory=dict)
    todos: dict[str, list[Json]] = field(default_factory=dict)
    definitions: list[Json] = field(default_factory=list)
    entities: list[Json] = field(default_factory=list)
    has_cells: bool = True
    # Scopes that the application key lacks.
    forbidden: set[str] = field(default_factory=set)
    # Properties that a rule of the organisation does not let anybody set.
    ignored_fields: set[str] = field(default_factory=set)
    rate_limit: int = 1_000_000
    used: int = 0


class Refused(Exception):
    """An error in Datadog's own form."""

    def __init__(self, status: int, *errors: Any) -> None:
        super().__init__(str(errors))
        self.status = status
        self.body = {"errors": list(errors)}


def detailed(status: int, title: str, detail: str) -> Refused:
    return Refused(status, {"status": str(status), "title": title, "detail": detail})


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def a_log(number: int, message: str, when: datetime.datetime, **more: Any) -> Json:
    return {
        "id": f"AQAAAY-log-{number:06}",
        "type": "log",
        "attributes": {
            "timestamp": when.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z"),
            "message": message,
            "status": "info",
            "service": "web",
            "host": "i-0123",
            "tags": ["env:prod"],
            "attributes": {},
            **more,
        },
    }


def a_monitor(number: int, name: str, overall: str = "OK", **more: Any) -> Json:
    return {
        "id": number,
        "name": name,
        "type": "metric alert",
        "query": "avg(last_5m):avg:system.cpu.user{*} > 90",
        "message": "Look at the host. @slack-ops",
        "overall_state": overall,
        "overall_state_modified": "2024-05-06T07:08:09+00:00",
        "created": "2024-01-02T03:04:05.123456+00:00",
        "modified": "2024-02-03T04:05:06.000000+00:00",
        "priority": None,
        "tags": ["service:web", "env:prod"],
        "creator": {"handle": "ann@example.com", "name": "Ann", "id": 7},
        "options": {"thresholds": {"critical": 90.0, "warning": 80.0}},
        "state": {"groups": {}},
        "matching_downtimes": [],
        **more,
    }


def an_incident(number: int, title: str, fields: Mapping[str, Any] = {}, **more: Any) -> Json:
    created = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(hours=number)
    values = {"state": "active", "severity": "SEV-3", "summary": "", **fields}
    return {
        "id": str(uuid.UUID(int=number)),
        "type": "incidents",
        "attributes": {
            "public_id": number,
            "title": title,
            "created": created.isoformat(),
            "modified": created.isoformat(),
            "detected": created.isoformat(),
            "resolved": None,
            "customer_impacted": False,
            "customer_impact_scope": None,
            "customer_impact_start": None,
            "customer_impact_end": None,
            "time_to_detect": 0,
            "fields": {
                name: {"type": _type_of(value), "value": value} for name, value in values.items()
            },
            **more,
        },
    }


def _type_of(value: Any) -> str:
    return "autocomplete" if isinstance(value, list) else "dropdown"


def a_definition(number: int, schema: Json) -> Json:
    return {
        "id": f"definition-{number:04}",
        "type": "service-definition",
        "attributes": {
            "schema": schema,
            "meta": {
                "ingested-schema-version": schema.get("schema-version", "v1"),
                "origin": "api",
            },
        },
    }


def make_app(state: State) -> flask.Flask:
    app = flask.Flask("fake-datadog")
    app.json.sort_keys = False
    app.before_request(lambda: _gate(state))
    app.after_request(lambda response: _with_limits(state, response))
    app.register_error_handler(Refused, lambda error: (error.body, error.status))
    app.register_error_handler(404, lambda _: ({"errors": ["Not found"]}, 404))
    app.register_error_handler(405, lambda _: ({"errors": ["Method not allowed"]}, 405))
    app.get("/api/v1/validate")(lambda: {"valid": True})
    for add in (_metrics, _logs, _monitors, _incidents, _timelines, _services):
        add(app, state)
    return app


def _gate(state: State) -> None:
    """Check both keys, the scope of the path, and the rate limit."""
    headers, request = flask.request.headers, flask.request
    if not hmac.compare_digest(headers.get("DD-API-KEY", ""), state.api_key):
        raise Refused(403, "Forbidden")
    if request.path == "/api/v1/validate":
        return
    if not hmac.compare_digest(headers.get("DD-APPLICATION-KEY", ""), state.app_key):
        raise Refused(403, "Forbidden")
    for verb, pattern, scope in SCOPES:
        fits = re.fullmatch(verb, request.method) and re.fullmatch(pattern, request.path)
        if fits and scope in state.forbidden:
            raise detailed(403, "Forbidden", "Failed permission authorization checks")
    if request.method in ("POST", "PATCH") and not request.is_json:
        raise Refused(400, "Content-Type must be application/json")
    state.used += 1
    if state.used > state.rate_limit:
        raise Refused(429, "Too many requests")


def _with_limits(state: State, response: flask.Response) -> flask.Response:
    left = max(0, state.rate_limit - state.used)
    response.headers["X-RateLimit-Limit"] = str(state.rate_limit)
    response.headers["X-RateLimit-Remaining"] = str(left)
    response.headers["X-RateLimit-Period"] = "3600"
    response.headers["X-RateLimit-Reset"] = "17"
    response.headers["X-RateLimit-Name"] = "fake_requests"
    return response


def _body() -> Json:
    body = flask.request.get_json(silent=True)
    if not isinstance(body, dict):
        raise detailed(400, "Bad Request", "the body is no JSON object")
    return body


def _attributes(kind: str) -> Json:
    data = _body().get("data")
    if not isinstance(data, dict) or data.get("type") != kind:
        raise detailed(400, "Bad Request", f"data.type must be {kind}")
    attributes = data.get("attributes")
    if not isinstance(attributes, dict):
        raise detailed(400, "Bad Request", "data.attributes is missing")
    return attributes


def _whole(name: str, default: int, most: int) -> int:
    text = flask.request.args.get(name)
    if text is None:
        return default
    if not text.isdigit() or int(text) > most:
        raise detailed(400, "Bad Request", f"{name} must be a number up to {most}")
    return int(text)


def _known_params(*names: str) -> None:
    unknown = set(flask.request.args) - set(names)
    if unknown:
        raise detailed(400, "Bad Request", f"unknown parameter {min(unknown)}")


def _metrics(app: flask.Flask, state: State) -> None:
    @app.post("/api/v2/query/timeseries")
    def timeseries() -> Any:
        attributes = _attributes("timeseries_request")
        start, end = attributes.get("from"), attributes.get("to")
        if not isinstance(start, int) or not isinstance(end, int) or start >= end:
            raise detailed(400, "Bad Request", "from and to must be a range")
        [query] = attributes.get("queries", [None])
        if query.get("data_source") != "metrics":
            raise detailed(400, "Bad Request", "unknown data source")
        try:
            parsed = metric_query(query["query"])
        except Malformed as exc:
            # A query that cannot be parsed is told with status 200.
            return {"errors": f"Error parsing query: {exc}", "data": None}
        least_ms = -(-(end - start) // MAX_POINTS)
        interval = max(attributes.get("interval", 0), least_ms, 1000)
        return _timeseries(state.series, parsed, (start, end), interval)

    @app.get("/api/v2/metrics")
    def metrics() -> Any:
        _known_params("window[seconds]", "page[size]", "page[cursor]", "filter[tags]")
        rows = state.metrics
        wanted = flask.request.args.get("filter[tags]")
        if wanted:
            try:
                test = metric_test(wanted)
            except Malformed as exc:
                raise detailed(400, "Bad Request", str(exc)) from exc
            rows = [row for row in rows if any(test(tags) for tags in row["seen"])]
        shown = [{key: row[key] for key in row if key != "seen"} for row in rows]
        if not {"page[size]", "page[cursor]"} & set(flask.request.args):
            return {"data": shown}
        size = _whole("page[size]", 1000, 10_000)
        start = _decoded(flask.request.args.get("page[cursor]"))
        more = start + size < len(shown)
        pagination = {
            "cursor": flask.request.args.get("page[cursor]", ""),
            "next_cursor": _encoded(start + size) if more else None,
            "limit": size,
            "type": "cursor_limit",
        }
        return {"data": shown[start : start + size], "meta": {"pagination": pagination}}


def _encoded(offset: int) -> str:
    return base64.urlsafe_b64encode(f"at:{offset}".encode()).decode()


def _decoded(cursor: Any) -> int:
    if not cursor:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor).decode()
        return int(text.removeprefix("at:"))
    except ValueError as exc:
        raise detailed(400, "Bad Request", "invalid cursor") from exc


_AGGREGATE: Mapping[str, Callable[[Sequence[float]], float]] = {
    "avg": lambda values: sum(values) / len(values),
    "sum": sum,
    "min": min,
    "max": max,
    "count": len,
}


def _timeseries(series: list[Json], query: Any, window: tuple[int, int], interval: int) -> Json:
    start, end = window
    times = list(range(start - start % interval, end, interval))
    groups: dict[tuple[str, ...], list[Json]] = {}
    for one in series:
        fits = one["metric"] == query.metric and query.test(one["tags"])
        if fits and all(key in one["tags"] for key in query.group_by):
            tags = tuple(f"{key}:{one['tags'][key]}" for key in query.group_by)
            groups.setdefault(tags, []).append(one)
    join = _AGGREGATE.get(query.aggregation, max)
    values = []
    for members in groups.values():
        row: list[float | None] = []
        for moment in times:
            inside = [
                value
                for one in members
                for at, value in one["points"]
                if max(start, moment) <= at < min(end, moment + interval)
            ]
            row.append(join(inside) if inside else None)
        values.append(row)
    about = [
        {
            "group_tags": list(tags),
            "query_index": 0,
            "unit": members[0].get("unit", [None, None]),
        }
        for tags, members in groups.items()
    ]
    attributes = {"series": about, "times": times, "values": values}
    return {"data": {"id": "0", "type": "timeseries_response", "attributes": attributes}}


def _logs(app: flask.Flask, state: State) -> None:
    @app.post("/api/v2/logs/events/search")
    def search_logs() -> Any:
        body = _body()
        criteria, page = body.get("filter", {}), body.get("page", {})
        limit = page.get("limit", 10)
        if not isinstance(limit, int) or not 1 <= limit <= MAX_LOGS:
            raise detailed(400, "Bad Request", f"page.limit must be 1 to {MAX_LOGS}")
        if body.get("sort", "timestamp") not in ("timestamp", "-timestamp"):
            raise detailed(400, "Bad Request", "sort is unknown")
        if criteria.get("storage_tier", "indexes") not in ("indexes", "flex", "online-archives"):
            raise detailed(400, "Bad Request", "storage_tier is unknown")
        try:
            test = log_test(criteria.get("query", "*"))
        except Malformed as exc:
            raise detailed(400, "Bad Request", f"invalid query: {exc}") from exc
        bounds = [_moment(criteria.get(name)) for name in ("from", "to")]
        found = [
            log
            for log in state.logs
            if bounds[0] <= _moment(log["attributes"]["timestamp"]) < bounds[1]
            and test(log["attributes"])
            and (not criteria.get("indexes") or log.get("index", "main") in criteria["indexes"])
        ]
        found.sort(
            key=lambda log: _moment(log["attributes"]["timestamp"]),
            reverse=body.get("sort") == "-timestamp",
        )
        start = _decoded(page.get("cursor"))
        meta: Json = {"elapsed": 12, "request_id": "fake", "status": "done"}
        if start + limit < len(found):
            meta["page"] = {"after": _encoded(start + limit)}
        shown = [{key: log[key] for key in log if key != "index"} for log in found]
        return {"data": shown[start : start + limit], "meta": meta}


def _moment(text: Any) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(str(text))
    except ValueError as exc:
        raise detailed(400, "Bad Request", f"invalid time {text}") from exc


def _monitors(app: flask.Flask, state: State) -> None:
    names = ("page", "page_size", "group_states", "with_downtimes", "name", "monitor_tags")

    @app.get("/api/v1/monitor")
    def monitors() -> Any:
        _known_params(*names)
        args = flask.request.args
        tags = [tag for tag in args.get("monitor_tags", "").split(",") if tag]
        found = [
            monitor
            for monitor in state.monitors
            if args.get("name", "").casefold() in monitor["name"].casefold()
            and all(tag in monitor["tags"] for tag in tags)
        ]
        if "page" in args:
            # Without page, page_size counts for nothing.
            page, size = _whole("page", 0, 10**6), _whole("page_size", 100, 1000)
            found = found[page * size : (page + 1) * size]
        return flask.jsonify([_monitor(monitor) for monitor in found])

    @app.get("/api/v1/monitor/<monitor_id>")
    def monitor(monitor_id: str) -> Any:
        _known_params("group_states", "with_downtimes")
        for one in state.monitors:
            if str(one["id"]) == monitor_id:
                return _monitor(one)
        raise Refused(404, "Monitor not found")


def _monitor(monitor: Json) -> Json:
    """The groups are there with group_states alone, downtimes with with_downtimes."""
    args = flask.request.args
    shown = dict(monitor)
    if args.get("with_downtimes") != "true":
        shown.pop("matching_downtimes")
    asked = args.get("group_states", "")
    groups = shown.pop("state")["groups"]
    if asked:
        wanted = {name.strip().casefold() for name in asked.split(",")}
        if wanted - {"all", "alert", "warn", "no data", "ok", "ignored", "skipped", "unknown"}:
            raise Refused(400, f"Invalid group_states: {asked}")
        shown["state"] = {
            "groups": {
                name: group
                for name, group in groups.items()
                if "all" in wanted or group["status"].casefold() in wanted
            }
        }
    return shown


_SEARCH = re.compile(r"(state|severity):\(([^()]+)\)|public_id:(\d+)")


def _incidents(app: flask.Flask, state: State) -> None:
    @app.get("/api/v2/incidents")
    def list_incidents() -> Any:
        _known_params("page[size]", "page[offset]", "include")
        newest = sorted(state.incidents, key=_created, reverse=True)
        shown, meta = _page(newest)
        return {"data": shown, "meta": {"pagination": meta}}

    @app.get("/api/v2/incidents/search")
    def search_incidents() -> Any:
        _known_params("query", "sort", "page[size]", "page[offset]", "include")
        sort = flask.request.args.get("sort", "-created")
        if sort not in ("created", "-created"):
            raise detailed(400, "Bad Request", "sort is unknown")
        wanted = _incident_test(flask.request.args.get("query", ""))
        found = sorted(filter(wanted, state.incidents), key=_created, reverse=sort == "-created")
        shown, meta = _page(found)
        attributes = {
            "facets": {},
            "incidents": [{"data": incident} for incident in shown],
            "total": len(found),
        }
        data = {"type": "incidents_search_results", "attributes": attributes}
        return {"data": data, "meta": {"pagination": meta}}

    @app.get("/api/v2/incidents/<incident_id>")
    def get_incident(incident_id: str) -> Any:
        return {"data": found_incident(state, incident_id)}

    @app.post("/api/v2/incidents")
    def create_incident() -> Any:
        attributes = _attributes("incidents")
        if not isinstance(attributes.get("title"), str) or not attributes["title"]:
            raise detailed(400, "Bad Request", "title is required")
        if not isinstance(attributes.get("customer_impacted"), bool):
            raise detailed(400, "Bad Request", "customer_impacted is required")
        if attributes["customer_impacted"] and not attributes.get("customer_impact_scope"):
            raise detailed(400, "Bad Request", "customer_impact_scope is required")
        incident = an_incident(len(state.incidents) + 5000, attributes["title"])
        incident["attributes"]["created"] = incident["attributes"]["modified"] = now()
        incident["attributes"]["fields"]["severity"]["value"] = "UNKNOWN"
        _apply(state, incident, attributes)
        state.incidents.append(incident)
        return {"data": incident}, 201

    @app.patch("/api/v2/incidents/<incident_id>")
    def update_incident(incident_id: str) -> Any:
        incident = found_incident(state, incident_id)
        attributes = _attributes("incidents")
        if _body()["data"].get("id") != incident_id:
            raise detailed(400, "Bad Request", "data.id must be that of the path")
        _apply(state, incident, attributes)
        incident["attributes"]["modified"] = now()
        return {"data": incident}


def found_incident(state: State, incident_id: str) -> Json:
    """Paths take UUIDs alone."""
    try:
        wanted = str(uuid.UUID(incident_id))
    except ValueError as exc:
        raise detailed(400, "Bad Request", "incident_id must be a UUID") from exc
    for incident in state.incidents:
        if incident["id"] == wanted:
            return incident
    raise detailed(404, "Not Found", "incident not found")


def _created(incident: Json) -> datetime.datetime:
    return datetime.datetime.fromisoformat(incident["attributes"]["created"])


def _page(found: list[Json]) -> tuple[list[Json], Json]:
    size = _whole("page[size]", 10, MAX_INCIDENTS)
    offset = _whole("page[offset]", 0, 10**6)
    return found[offset : offset + size], {"offset": offset, "size": size}


def _incident_test(query: str) -> Callable[[Json], bool]:
    """Understand what searches of ours consist of, and refuse all else."""
    wanted: list[tuple[str, set[str]]] = []
    for part in query.split(" AND "):
        match = _SEARCH.fullmatch(part)
        if not match:
            raise detailed(400, "Bad Request", "invalid query")
        values = {match[3]} if match[3] else set(match[2].split(" OR "))
        wanted.append((match[1] or "public_id", values))

    def test(incident: Json) -> bool:
        attributes = incident["attributes"]
        values = {name: about["value"] for name, about in attributes["fields"].items()}
        values["public_id"] = str(attributes["public_id"])
        return all(values.get(name) in known for name, known in wanted)

    return test


def _apply(state: State, incident: Json, given: Json) -> None:
    attributes = incident["attributes"]
    for name, about in given.get("fields", {}).items():
        kind = FIELD_TYPES.get(about.get("type"))
        if kind is None or not isinstance(about.get("value"), kind):
            raise detailed(400, "Bad Request", f"invalid value of field {name}")
        allowed = {"state": STATES, "severity": SEVERITIES}.get(name)
        if allowed and about["value"] not in allowed:
            raise detailed(400, "Bad Request", f"invalid value of field {name}")
        if name not in state.ignored_fields:
            attributes["fields"][name] = about
            if name == "state" and about["value"] == "resolved":
                attributes["resolved"] = now()
    plain = set(given) - {"fields"}
    attributes.update({name: given[name] for name in plain})


def _timelines(app: flask.Flask, state: State) -> None:
    @app.route("/api/v2/incidents/<incident_id>/timeline", methods=["GET", "POST"])
    def timeline(incident_id: str) -> Any:
        if not state.has_cells:
            raise Refused(404, "Not found")
        incident = found_incident(state, incident_id)
        cells = state.cells.setdefault(incident["id"], [])
        if flask.request.method == "GET":
            return {"data": cells}
        attributes = _attributes("incident_timeline_cells")
        if attributes.get("cell_type") != "markdown" or not attributes["content"]["content"]:
            raise detailed(400, "Bad Request", "invalid cell")
        _moment(attributes["display_time"])
        cell = {
            "id": str(uuid.uuid4()),
            "type": "incident_timeline_cells",
            "attributes": {**attributes, "created": now(), "source": "api"},
        }
        cells.append(cell)
        return {"data": cell}, 201

    @app.route("/api/v2/incidents/<incident_id>/relationships/todos", methods=["GET", "POST"])
    def todos(incident_id: str) -> Any:
        incident = found_incident(state, incident_id)
        held = state.todos.setdefault(incident["id"], [])
        if flask.request.method == "GET":
            return {"data": held}
        attributes = _attributes("incident_todos")
        if not isinstance(attributes.get("assignees"), list) or not attributes.get("content"):
            raise detailed(400, "Bad Request", "content and assignees are required")
        todo = {
            "id": str(uuid.uuid4()),
            "type": "incident_todos",
            "attributes": {"due_date": None, "completed": None, **attributes, "created": now()},
        }
        held.append(todo)
        return {"data": todo}, 201


def _services(app: flask.Flask, state: State) -> None:
    @app.get("/api/v2/services/definitions")
    def definitions() -> Any:
        _known_params("page[size]", "page[number]", "schema_version")
        size, number = _whole("page[size]", 10, 100), _whole("page[number]", 0, 10**6)
        return {"data": state.definitions[size * number : size * (number + 1)]}

    @app.get("/api/v2/catalog/entity")
    def entities() -> Any:
        _known_params("filter[kind]", "page[offset]", "page[limit]", "includeDiscovered")
        kind = flask.request.args.get("filter[kind]")
        found = [e for e in state.entities if kind in (None, e["attributes"]["kind"])]
        offset, limit = _whole("page[offset]", 0, 10**6), _whole("page[limit]", 100, 1000)
        return {"data": found[offset : offset + limit], "meta": {"count": len(found)}}


def strict(body: bytes) -> Any:
    """Decode a body that must be strict JSON."""

    def refuse(token: str) -> Any:
        raise AssertionError(f"{token} is no JSON")

    return json.loads(body, parse_constant=refuse)
