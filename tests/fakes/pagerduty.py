"""A small PagerDuty REST API v2: incidents, services, teams, priorities and users in memory.

Sources: developer.pagerduty.com, "REST API" (list, get, create and update an incident, log entries,
notes, services, teams, priorities, users), "Pagination", "Errors", "Authentication" and
"Versioning"; support.pagerduty.com, "REST API Rate Limits"; the wording of refusals as users met
it: github.com/PagerDuty/go-pagerduty issue 89 (2001), PagerDuty/pagerduty-api-python-client
issue 61 (2002), dropbox/pygerduty pull 64 (1008).
"""

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import flask

Json = dict[str, Any]

MAX_LIMIT = 100
MAX_RECORDS = 10_000
WINDOW = datetime.timedelta(days=30)
VERSION = "application/vnd.pagerduty+json;version=2"
STATUSES = ("triggered", "acknowledged", "resolved")
LINKS = "https://acme.pagerduty.com"


@dataclass
class State:
    """What the account holds, and what it asks of a caller."""

    authorization: str
    incidents: list[Json] = field(default_factory=list)
    services: list[Json] = field(default_factory=list)
    teams: list[Json] = field(default_factory=list)
    priorities: list[Json] = field(default_factory=list)
    users: list[Json] = field(default_factory=list)
    log_entries: dict[str, list[Json]] = field(default_factory=dict)
    # Kinds of objects that the token may not read, or "writing".
    forbidden: set[str] = field(default_factory=set)
    knows_body: bool = True


class Refused(Exception):
    """An error in PagerDuty's own form."""

    def __init__(self, status: int, code: int, message: str, *errors: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message, "errors": list(errors)}}


def ref(kind: str, item: Json) -> Json:
    """The short form in which an object stands in others."""
    summary = item.get("name") or item.get("summary") or ""
    url = f"{LINKS}/{kind}s/{item['id']}"
    return {"id": item["id"], "type": f"{kind}_reference", "summary": summary, "html_url": url}


def a_team(item_id: str, name: str) -> Json:
    return {"id": item_id, "type": "team", "name": name, "summary": name}


def a_user(item_id: str, name: str, email: str) -> Json:
    return {"id": item_id, "type": "user", "name": name, "summary": name, "email": email}


def a_priority(item_id: str, name: str) -> Json:
    return {"id": item_id, "type": "priority", "name": name, "summary": name}


def a_service(item_id: str, name: str, *teams: Json) -> Json:
    return {
        "id": item_id,
        "type": "service",
        "name": name,
        "summary": name,
        "description": f"The service {name}",
        "status": "active",
        "alert_creation": "create_alerts_and_incidents",
        "created_at": "2015-11-06T11:12:51-05:00",
        "last_incident_timestamp": None,
        "html_url": f"{LINKS}/service-directory/{item_id}",
        "escalation_policy": {"id": "PT20YPA", "summary": "Default", "type": "x_reference"},
        "teams": [ref("team", team) for team in teams],
    }


def an_incident(number: int, service: Json, **more: Any) -> Json:
    item_id = f"PINC{number:04}"
    return {
        "id": item_id,
        "type": "incident",
        "incident_number": number,
        "title": f"Trouble {number}",
        "summary": f"[#{number}] Trouble {number}",
        "status": "triggered",
        "urgency": "high",
        "incident_key": f"key-{number}",
        "created_at": now(),
        "updated_at": now(),
        "last_status_change_at": now(),
        "html_url": f"{LINKS}/incidents/{item_id}",
        "service": ref("service", service),
        "teams": service["teams"],
        "assignments": [],
        "priority": None,
        "escalation_policy": service["escalation_policy"],
        "alert_counts": {"all": 1, "triggered": 1, "resolved": 0},
        "body": {"type": "incident_body", "details": f"Details of {number}"},
        **more,
    }


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_app(state: State) -> flask.Flask:
    app = flask.Flask("fake-pagerduty")
    app.before_request(lambda: _gate(state))
    app.register_error_handler(Refused, lambda refused: (refused.body, refused.status))
    not_found = Refused(404, 2100, "Not Found")
    app.register_error_handler(404, lambda _: (not_found.body, 404))
    for verb, path, view in _ROUTES:
        _route(app, state, verb, path, view)
    return app


def _route(app: flask.Flask, state: State, verb: str, path: str, view: Callable[..., Any]) -> None:
    def answer(**parts: str) -> Any:
        return view(state, **parts)

    app.add_url_rule(path, f"{verb} {path}", answer, methods=[verb])


def _gate(state: State) -> None:
    request = flask.request
    if request.headers.get("Authorization") != state.authorization:
        raise Refused(401, 2006, "Authentication failed")
    if request.headers.get("Accept") != VERSION:
        raise Refused(406, 2000, "Unsupported API version")
    kind = request.path.split("/")[1]
    if kind in state.forbidden:
        raise Refused(403, 2010, "Access Denied", f"Required scopes: {kind}.read")
    if request.method == "GET":
        return
    if "writing" in state.forbidden:
        raise Refused(403, 2010, "Access Denied", "the key is read-only")
    _check_write(state)


def _check_write(state: State) -> None:
    sender = flask.request.headers.get("From", "")
    if not sender:
        raise Refused(400, 2016, "You must specify a user's email address in the From header")
    if sender not in {user["email"] for user in state.users}:
        raise Refused(400, 1008, "Requester User Not Found")
    if flask.request.mimetype != "application/json":
        raise _invalid("params must be a Hash")


def _invalid(*errors: str) -> Refused:
    return Refused(400, 2001, "Invalid Input Provided", *errors)


# --- Lists --------------------------------------------------------------------------------------


def _many(name: str) -> list[str]:
    return flask.request.args.getlist(f"{name}[]")


def _paged(key: str, items: Iterable[Json]) -> Json:
    try:
        limit = int(flask.request.args.get("limit", "25"))
        offset = int(flask.request.args.get("offset", "0"))
    except ValueError as exc:
        raise _invalid("Limit and offset must be integers.") from exc
    if not 1 <= limit <= MAX_LIMIT:
        raise _invalid(f"Limit must be between 1 and {MAX_LIMIT}.")
    if offset + limit > MAX_RECORDS:
        raise _invalid(f"Offset and limit must not go beyond {MAX_RECORDS}.")
    found = list(items)
    more = offset + limit < len(found)
    page = found[offset : offset + limit]
    return {key: page, "limit": limit, "offset": offset, "total": None, "more": more}


def _by_query(items: Iterable[Json]) -> list[Json]:
    query = flask.request.args.get("query", "").lower()
    return [i for i in items if query in i["name"].lower() or query == i.get("email", "").lower()]


def list_incidents(state: State) -> Json:
    statuses = _many("statuses")
    if set(statuses) - set(STATUSES):
        raise _invalid("Status must be a list of triggered, acknowledged, or resolved.")
    urgencies = _many("urgencies")
    if set(urgencies) - {"high", "low"}:
        raise _invalid("Urgency must be high or low.")
    since, until = _window()
    key = flask.request.args.get("incident_key")
    found = [
        {name: value for name, value in incident.items() if name != "body"}
        for incident in state.incidents
        if (not statuses or incident["status"] in statuses)
        and (not urgencies or incident["urgency"] in urgencies)
        and _one_of("service_ids", [incident["service"]])
        and _one_of("team_ids", incident["teams"])
        and _one_of("user_ids", [a["assignee"] for a in incident["assignments"]])
        and (not key or incident["incident_key"] == key)
        and since <= incident["created_at"] <= until
    ]
    field_, _, direction = flask.request.args.get("sort_by", "created_at:asc").partition(":")
    if field_ not in ("created_at", "incident_number", "urgency", "resolved_at"):
        raise _invalid("Sort by is invalid.")
    found.sort(key=lambda i: (i[field_], i["id"]), reverse=direction == "desc")
    return _paged("incidents", found)


def _window() -> tuple[str, str]:
    if flask.request.args.get("date_range") == "all":
        return "", "9"
    moment = datetime.datetime.now(datetime.UTC) - WINDOW
    month_ago = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return flask.request.args.get("since", month_ago), flask.request.args.get("until", "9")


def _one_of(name: str, items: Iterable[Json]) -> bool:
    wanted = _many(name)
    return not wanted or any(item["id"] in wanted for item in items)


def list_services(state: State) -> Json:
    found = [s for s in _by_query(state.services) if _one_of("team_ids", s["teams"])]
    if flask.request.args.get("sort_by", "name:asc") not in ("name", "name:asc", "name:desc"):
        raise _invalid("Sort by is invalid.")
    return _paged("services", sorted(found, key=lambda s: str(s["name"])))


def list_teams(state: State) -> Json:
    return _paged("teams", _by_query(state.teams))


def list_priorities(state: State) -> Json:
    return _paged("priorities", state.priorities)


def list_users(state: State) -> Json:
    return _paged("users", _by_query(state.users))


def list_log_entries(state: State, item_id: str) -> Json:
    incident = _found(state.incidents, item_id)
    with_channels = "channels" in _many("include")
    entries = [
        entry if with_channels else {**entry, "channel": {"type": entry["channel"]["type"]}}
        for entry in state.log_entries.get(incident["id"], [])
    ]
    entries.sort(key=lambda entry: str(entry["created_at"]), reverse=True)
    return _paged("log_entries", entries)


# --- One object ---------------------------------------------------------------------------------


def _found(items: Iterable[Json], item_id: str) -> Json:
    found = next((item for item in items if item["id"] == item_id), None)
    if found is None:
        raise Refused(404, 2100, "Not Found")
    return found


def _numbered(state: State, id_or_number: str) -> Json:
    by_number = (i for i in state.incidents if str(i["incident_number"]) == id_or_number)
    return next(by_number, None) or _found(state.incidents, id_or_number)


def get_incident(state: State, item_id: str) -> Json:
    incident = _numbered(state, item_id)
    with_body = "body" in _many("include")
    if with_body and not state.knows_body:
        raise _invalid("Include is invalid.")
    if not with_body:
        incident = {name: value for name, value in incident.items() if name != "body"}
    return {"incident": incident}


def get_service(state: State, item_id: str) -> Json:
    return {"service": _found(state.services, item_id)}


# --- Changes ------------------------------------------------------------------------------------


def create_incident(state: State) -> Any:
    given = _given("incident")
    if given.get("type") != "incident":
        raise _invalid("Type must be incident.")
    if not given.get("title"):
        raise _invalid("Title cannot be empty.")
    if given.get("assignments") and given.get("escalation_policy"):
        raise _invalid("Assignments and escalation policy exclude each other.")
    service = _referred(state.services, given.get("service"), "Service not found")
    key = given.get("incident_key")
    opened = [i for i in state.incidents if i["status"] != "resolved"]
    if key and any(
        i["incident_key"] == key and i["service"]["id"] == service["id"] for i in opened
    ):
        raise _invalid("Open incident with matching dedup key already exists on this service")
    number = max([i["incident_number"] for i in state.incidents], default=0) + 1
    incident = an_incident(number, service, title=given["title"])
    incident["urgency"] = given.get("urgency", "high")
    incident["incident_key"] = key or f"key-{number}"
    incident["body"] = given.get("body")
    _apply(state, incident, given)
    state.incidents.append(incident)
    _log(state, incident, "trigger", "Triggered through the API.")
    return {"incident": {k: v for k, v in incident.items() if k != "body"}}, 201


def update_incident(state: State, item_id: str) -> Json:
    incident = _found(state.incidents, item_id)
    given = _given("incident")
    if given.get("type") not in ("incident", "incident_reference"):
        raise _invalid("Type must be incident or incident_reference.")
    status = given.get("status", incident["status"])
    if status not in STATUSES:
        raise _invalid("Status is invalid.")
    if incident["status"] == "resolved" and "status" in given:
        raise _invalid("Incident Already Resolved")
    _apply(state, incident, given)
    for name in ("title", "urgency", "status"):
        incident[name] = given.get(name, incident[name])
    if "service" in given:
        service = _referred(state.services, given["service"], "Service not found")
        incident["service"] = ref("service", service)
    incident["updated_at"] = now()
    if given.get("status") == "resolved":
        more = {"note": given["resolution"]} if "resolution" in given else {}
        _log(state, incident, "resolve", "Resolved by Ops.", **more)
    return {"incident": {k: v for k, v in incident.items() if k != "body"}}


def create_note(state: State, item_id: str) -> Json:
    incident = _found(state.incidents, item_id)
    content = _given("note").get("content")
    if not content:
        raise _invalid("Content cannot be empty.")
    channel = {"type": "note", "summary": content}
    entry = _log(state, incident, "annotate", "Note added.", channel=channel)
    return {"note": {"id": entry["id"], "content": content, "created_at": entry["created_at"]}}


def _given(key: str) -> Json:
    body = flask.request.get_json(silent=True)
    given = body.get(key) if isinstance(body, dict) else None
    if not isinstance(given, dict):
        raise _invalid("params must be a Hash")
    return given


def _referred(items: Iterable[Json], given: Any, missing: str) -> Json:
    wanted = given.get("id") if isinstance(given, dict) else None
    found = next((item for item in items if item["id"] == wanted), None)
    if found is None:
        raise Refused(400, 2002, "Arguments Caused Error", missing)
    return found


def _apply(state: State, incident: Json, given: Json) -> None:
    """Set what creating and updating have in common."""
    if "priority" in given:
        found = _referred(state.priorities, given["priority"], "Priority not found")
        incident["priority"] = ref("priority", found)
    if "assignments" in given:
        users = [
            _referred(state.users, a.get("assignee"), "Assignee not found")
            for a in given["assignments"]
        ]
        incident["assignments"] = [{"at": now(), "assignee": ref("user", user)} for user in users]
    if "escalation_policy" in given:
        incident["escalation_policy"] = {**given["escalation_policy"], "summary": "Other"}


def _log(state: State, incident: Json, kind: str, summary: str, **more: Any) -> Json:
    entries = state.log_entries.setdefault(incident["id"], [])
    entry = {
        "id": f"R{incident['id']}{len(entries)}",
        "type": f"{kind}_log_entry",
        "summary": summary,
        "created_at": now(),
        "html_url": f"{LINKS}/incidents/{incident['id']}/log_entries/{len(entries)}",
        "agent": ref("user", state.users[0]) if state.users else None,
        "channel": {"type": "api"},
        **more,
    }
    entries.append(entry)
    return entry


_ROUTES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("GET", "/incidents", list_incidents),
    ("POST", "/incidents", create_incident),
    ("GET", "/incidents/<item_id>", get_incident),
    ("PUT", "/incidents/<item_id>", update_incident),
    ("GET", "/incidents/<item_id>/log_entries", list_log_entries),
    ("POST", "/incidents/<item_id>/notes", create_note),
    ("GET", "/services", list_services),
    ("GET", "/services/<item_id>", get_service),
    ("GET", "/teams", list_teams),
    ("GET", "/priorities", list_priorities),
    ("GET", "/users", list_users),
)
