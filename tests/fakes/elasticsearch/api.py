"""The API over HTTP: access, targets, searches, points in time, field capabilities."""

import datetime
import fnmatch
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import flask

from tests.fakes.elasticsearch.documents import Index, Json, PointInTime, Refused, State, unfit
from tests.fakes.elasticsearch.searching import search


def make_app(state: State | None = None) -> flask.Flask:
    app = flask.Flask("fake-elasticsearch")
    app.config["STATE"] = state if state is not None else State()
    app.url_map.merge_slashes = False
    app.before_request(lambda: _gate(app.config["STATE"]))
    app.register_error_handler(Refused, lambda refused: (refused.body, refused.status))
    app.register_error_handler(404, lambda _: ({"error": "no handler found for uri"}, 400))
    for path, view, methods in _ROUTES:
        _route(app, path, view, methods)
    return app


def _route(app: flask.Flask, path: str, view: Callable[..., Any], methods: tuple[str, ...]) -> None:
    def answer(**parts: str) -> Any:
        return view(app.config["STATE"], **parts)

    app.add_url_rule(path, view.__name__, answer, methods=methods)


def _gate(state: State) -> Any:
    request = flask.request
    if state.users:
        reads = state.users.get(request.headers.get("Authorization", ""))
        if reads is None:
            return _unauthorized(state)
        if not reads and request.path != "/":
            raise Refused(403, "security_exception", "action [indices:data/read/search] is refused")
    if request.data and request.mimetype != "application/json":
        raise Refused(406, "media_type_header_exception", "Content-Type header is not supported")
    with state.lock:
        if state.busy and request.path.endswith("_search"):
            state.busy -= 1
            raise Refused(429, "es_rejected_execution_exception", "rejected execution of search")
    return None


def _unauthorized(state: State) -> Any:
    if state.opensearch:
        return flask.Response("Unauthorized", 401)
    refused = Refused(401, "security_exception", "unable to authenticate user for REST request")
    return refused.body, 401, {"WWW-Authenticate": 'Basic realm="security", ApiKey'}


def banner(state: State) -> Any:
    if state.opensearch:
        version = {"distribution": "opensearch", "number": "2.11.1"}
    else:
        version = {"number": "8.17.0", "build_flavor": "default"}
    return {"name": "node-1", "cluster_name": "fake", "version": version}


def _body() -> Json:
    body = flask.request.get_json(silent=True)
    if flask.request.data and not isinstance(body, dict):
        raise unfit("parsing_exception", "the body is no JSON object")
    return body or {}


def resolved(state: State, expression: str) -> list[Index]:
    """The indices of a multi-target expression."""
    found: dict[str, Index] = {}
    for name in re.split(r",(?![^<]*>)", expression):
        if name.startswith("-"):
            barred = [n for n in found if fnmatch.fnmatchcase(n, name[1:])]
            found = {n: index for n, index in found.items() if n not in barred}
            continue
        plain = _date_math(name)
        hits = [i for i in state.indices if fnmatch.fnmatchcase(i.name, plain)]
        if "*" in plain:
            hits = [i for i in hits if not i.name.startswith(".") or plain.startswith(".")]
        elif not hits:
            raise Refused(404, "index_not_found_exception", f"no such index [{plain}]", index=plain)
        found |= {index.name: index for index in hits}
    return list(found.values())


def _date_math(name: str) -> str:
    if not name.startswith("<"):
        return name
    today = datetime.datetime.now(datetime.UTC).strftime("%Y.%m.%d")
    return re.sub(r"\{now/d\}", today, name[1:-1])


def search_index(state: State, target: str) -> Any:
    body = _body()
    if "pit" in body:
        raise unfit("action_request_validation_exception", "[indices] cannot be used with pit")
    return search(state, body, resolved(state, target))


def search_pit(state: State) -> Any:
    body = _body()
    if "pit" not in body:
        return search(state, body, resolved(state, "*"))
    with state.lock:
        pit = state.open_pits.get(body["pit"]["id"])
        if pit is None or pit.until < time.monotonic():
            raise Refused(404, "search_context_missing_exception", "No search context found")
        new = body["pit"]["id"] if state.opensearch else uuid.uuid4().hex
        del state.open_pits[body["pit"]["id"]]
        state.open_pits[new] = PointInTime(pit.indices, _until(body["pit"].get("keep_alive", "")))
    return search(state, body, pit.indices, new)


def _until(keep_alive: str) -> float:
    match = re.fullmatch(r"(\d+)([sm])", keep_alive)
    if match is None:
        raise unfit("illegal_argument_exception", "failed to parse [keep_alive]")
    return time.monotonic() + int(match[1]) * (60 if match[2] == "m" else 1)


def _opened(state: State, target: str) -> str:
    pit = uuid.uuid4().hex
    until = _until(flask.request.args.get("keep_alive", ""))
    frozen = [
        Index(i.name, dict(i.mapping), i.keywords, list(i.documents))
        for i in resolved(state, target)
    ]
    with state.lock:
        state.open_pits[pit] = PointInTime(frozen, until)
    return pit


def open_pit(state: State, target: str) -> Any:
    if state.opensearch or not state.pits:
        return {"error": "no handler found for uri", "status": 400}, 400
    return {"id": _opened(state, target)}


def open_point_in_time(state: State, target: str) -> Any:
    if not state.opensearch or not state.pits:
        raise Refused(403, "security_exception", "no permissions for point_in_time/create")
    return {"pit_id": _opened(state, target), "creation_time": 1}


def close_pit(state: State) -> Any:
    with state.lock:
        freed = state.open_pits.pop(_body()["id"], None)
    return {"succeeded": True, "num_freed": int(freed is not None)}, 200 if freed else 404


def close_point_in_time(state: State) -> Any:
    ids = _body()["pit_id"]
    with state.lock:
        freed = [{"pit_id": i, "successful": bool(state.open_pits.pop(i, None))} for i in ids]
    return {"pits": freed}


def field_caps(state: State, target: str) -> Any:
    wanted = flask.request.args["fields"].split(",")
    told: Json = {}
    for index in resolved(state, target):
        for name in wanted:
            kind = index.mapping.get(name)
            if any(path.startswith(f"{name}.") for path in index.mapping) and not kind:
                kind = "object"
            if kind:
                told.setdefault(name, {})[kind] = {"type": kind, "searchable": True}
    return {"indices": [i.name for i in resolved(state, target)], "fields": told}


_ROUTES: tuple[tuple[str, Callable[..., Any], tuple[str, ...]], ...] = (
    ("/", banner, ("GET",)),
    ("/_search", search_pit, ("POST",)),
    ("/_pit", close_pit, ("DELETE",)),
    ("/_search/point_in_time", close_point_in_time, ("DELETE",)),
    ("/<target>/_search", search_index, ("POST",)),
    ("/<target>/_pit", open_pit, ("POST",)),
    ("/<target>/_search/point_in_time", open_point_in_time, ("POST",)),
    ("/<target>/_field_caps", field_caps, ("GET",)),
)
