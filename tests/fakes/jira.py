"""A small Jira Cloud site: issues, a workflow, people, and a search that evaluates its JQL.

Sources: https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/ and the API groups
"Issue search", "Issues", "Issue comments", "User search", "Project components", "Server info",
"Myself" and "Permissions" beside it; error bodies are of the form ``errorMessages`` and ``errors``.
"""

import base64
import copy
import datetime
import itertools
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import flask

from tests.fakes.jira_adf import faults_of
from tests.fakes.jira_jql import Clause, Group, JqlError, World, fits, parse

Json = dict[str, Any]

API = "/rest/api/3"
MAX_PAGE = 100

_CATEGORIES = {
    "new": {"id": 2, "key": "new", "name": "To Do"},
    "indeterminate": {"id": 4, "key": "indeterminate", "name": "In Progress"},
    "done": {"id": 3, "key": "done", "name": "Done"},
}
STATUSES = {
    "To Do": "new",
    "In Progress": "indeterminate",
    "In Review": "indeterminate",
    "Done": "done",
}
RESOLUTION = {"required": False, "hasDefaultValue": False, "name": "Resolution"}


def status(name: str) -> Json:
    return {"id": str(len(name)), "name": name, "statusCategory": _CATEGORIES[STATUSES[name]]}


def transition(number: int, name: str, to: str, **more: Any) -> Json:
    basic = {"hasScreen": False, "isGlobal": False, "isAvailable": True, "looped": False}
    return {"id": str(number), "name": name, "to": status(to), "fields": {}, **basic, **more}


def _workflow() -> dict[str, list[Json]]:
    start = transition(11, "Start work", "In Progress")
    review = transition(21, "Ask for review", "In Review")
    screen = {"hasScreen": True, "fields": {"resolution": RESOLUTION}}
    finish = transition(31, "Finish", "Done", **screen)
    reopen = transition(41, "Reopen", "To Do")
    return {
        "To Do": [start, finish],
        "In Progress": [review, finish],
        "In Review": [start, finish],
        "Done": [reopen],
    }


@dataclass
class State:
    """What the site holds, and what it asks of a caller."""

    project: str = "OPS"
    email: str = "ops@example.test"
    token: str = "a-token-of-the-fake"
    me: str = "acc-me"
    issues: dict[str, Json] = field(default_factory=dict)
    users: list[Json] = field(default_factory=list)
    components: list[str] = field(default_factory=list)
    workflow: dict[str, list[Json]] = field(default_factory=_workflow)
    permissions: set[str] = field(
        default_factory=lambda: {
            *("BROWSE_PROJECTS", "CREATE_ISSUES", "EDIT_ISSUES"),
            *("TRANSITION_ISSUES", "ASSIGN_ISSUES", "ADD_COMMENTS"),
        }
    )
    comments: dict[str, list[Json]] = field(default_factory=dict)
    page_cap: int = MAX_PAGE
    anonymous_when_refused: bool = False
    closed_are_read_only: bool = True
    custom_fields: set[str] = field(default_factory=lambda: {"customfield_10001"})
    # What the search knows: written issues come late, unless the search is asked to reconcile.
    indexed: dict[str, Json] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def add(self, summary: str, **more: Any) -> Json:
        """Put an issue in the project, known to the search."""
        issue = self.new({"summary": summary, **more})
        self.indexed[issue["id"]] = copy.deepcopy(issue)
        return issue

    def new(self, fields: Json) -> Json:
        number = next(self.numbers)
        moment = _now_text()
        issue = {
            "id": str(10000 + number),
            "key": f"{self.project}-{number}",
            "self": f"https://site.test{API}/issue/{10000 + number}",
            "fields": {
                "project": {"key": self.project},
                "issuetype": {"id": "1", "name": "Task", "description": "Work."},
                "status": status("To Do"),
                "priority": {"id": "3", "name": "Medium"},
                "labels": [],
                "components": [],
                "fixVersions": [],
                "description": None,
                "assignee": None,
                "reporter": {"accountId": self.me, "displayName": "Me Myself"},
                "created": moment,
                "updated": moment,
                "resolution": None,
                **fields,
            },
        }
        self.issues[issue["id"]] = issue
        return issue

    def find(self, name: str) -> Json:
        for issue in self.issues.values():
            if name in (issue["id"], issue["key"]):
                return issue
        raise Refused(404, "Issue does not exist or you do not have permission to see it.")

    def world(self) -> World:
        accounts = {user["accountId"] for user in self.users} | {self.me}
        return World(
            me=self.me,
            projects=frozenset({self.project, "SECRET"}),
            statuses=frozenset(STATUSES),
            components=frozenset(self.components),
            issue_types=frozenset({"Task", "Bug", "Story"}),
            priorities=frozenset({"High", "Medium", "Low"}),
            accounts=frozenset(accounts),
            now=datetime.datetime.now(datetime.UTC),
        )


class Refused(Exception):
    """An error in Jira's own form."""

    def __init__(self, code: int, *messages: str, **errors: str) -> None:
        super().__init__(str(messages or errors))
        self.status = code
        self.body = {"errorMessages": list(messages), "errors": errors}


def make_app(state: State | None = None) -> flask.Flask:
    app = flask.Flask("fake-jira")
    app.config["STATE"] = state if state is not None else State()
    app.before_request(lambda: _gate(app.config["STATE"]))
    app.register_error_handler(Refused, lambda refused: (refused.body, refused.status))
    for verb, path, view in _ROUTES:
        _route(app, verb, path, view)
    return app


def _route(app: flask.Flask, verb: str, path: str, view: Callable[..., Any]) -> None:
    def answer(**parts: str) -> Any:
        return view(app.config["STATE"], **parts)

    app.add_url_rule(f"{API}{path}", f"{verb} {path}", answer, methods=[verb])


def _gate(state: State) -> Any:
    pair = base64.b64encode(f"{state.email}:{state.token}".encode()).decode()
    if flask.request.headers.get("Authorization") == f"Basic {pair}":
        return None
    if state.anonymous_when_refused:
        headers = {"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"}
        return flask.Response('{"issues":[]}', 200, headers, mimetype="application/json")
    text = "Client must be authenticated to access this resource."
    return flask.Response(text, 401, {"WWW-Authenticate": 'OAuth realm=""'})


def _now_text() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def _body() -> Json:
    body = flask.request.get_json(silent=True)
    if not isinstance(body, dict):
        raise Refused(400, "Invalid request payload. Refer to the REST API documentation.")
    return body


# --- search --------------------------------------------------------------------------------------


def search(state: State) -> Any:
    body = _body()
    unknown = set(body) - {"jql", "maxResults", "fields", "nextPageToken", "reconcileIssues"}
    if unknown or not isinstance(body.get("fields", []), list):
        raise Refused(400, "Invalid request payload. Refer to the REST API documentation.")
    reconciled = body.get("reconcileIssues", [])
    if len(reconciled) > 50 or not all(isinstance(each, int) for each in reconciled):
        raise Refused(400, "reconcileIssues must be at most 50 issue ids.")
    found = _matching(state, str(body.get("jql")), {str(each) for each in reconciled})
    start = _offset(body)
    size = min(int(body.get("maxResults", 50)), state.page_cap)
    page = found[start : start + size]
    answer: Json = {"issues": [_shown(issue, body.get("fields", [])) for issue in page]}
    if start + size < len(found):
        answer["nextPageToken"] = _token(body, start + size)
    return answer


def _token(body: Json, offset: int) -> str:
    seen = {"jql": body["jql"], "reconciled": body.get("reconcileIssues", []), "offset": offset}
    return base64.b64encode(json.dumps(seen).encode()).decode()


def _offset(body: Json) -> int:
    token = body.get("nextPageToken")
    if token is None:
        return 0
    try:
        seen = json.loads(base64.b64decode(token))
    except ValueError as exc:
        raise Refused(400, "The provided next page token is invalid or expired.") from exc
    if (seen["jql"], seen["reconciled"]) != (body["jql"], body.get("reconcileIssues", [])):
        raise Refused(400, "The provided next page token is invalid or expired.")
    return int(seen["offset"])


def _matching(state: State, jql: str, reconciled: set[str]) -> list[Json]:
    known = {i: state.issues[i] if i in reconciled else old for i, old in state.indexed.items()}
    known |= {i: issue for i, issue in state.issues.items() if i in reconciled}
    world = state.world()
    try:
        query = parse(jql)
        if not _bounded(query.where):
            raise Refused(
                400, "Unbounded JQL queries are not allowed here. Please add a search restriction."
            )
        found = [issue for issue in known.values() if fits(query.where, issue, world)]
        # Fields and values are checked also where there is nothing to find.
        fits(query.where, State().new({"summary": ""}), world)
    except JqlError as error:
        raise Refused(400, f"Error in the JQL Query: {error}") from error
    if query.order not in ((), (("key", "desc"),)):
        raise Refused(400, f"this site cannot sort by {query.order}")
    return sorted(found, key=lambda issue: int(issue["id"]), reverse=bool(query.order))


def _bounded(node: Clause | Group) -> bool:
    if isinstance(node, Clause):
        return node.operator != "is"
    return node.operator == "and" or all(_bounded(part) for part in node.parts)


def _shown(issue: Json, names: Iterable[str]) -> Json:
    fields = {name: issue["fields"].get(name) for name in names if name in issue["fields"]}
    basic = {key: issue[key] for key in ("id", "key", "self")}
    return {**basic, "fields": fields} if fields else basic


# --- issues --------------------------------------------------------------------------------------


def get_issue(state: State, name: str) -> Any:
    names = flask.request.args.get("fields", "").split(",")
    return _shown(state.find(name), names)


def create_issue(state: State) -> Any:
    fields = _body().get("fields")
    if not isinstance(fields, dict):
        raise Refused(400, "the request has no fields")
    if fields.get("project") != {"key": state.project}:
        raise Refused(400, project="valid project is required")
    given = {k: v for k, v in fields.items() if k != "project"}
    if not given.get("summary"):
        raise Refused(400, summary="You must specify a summary of the issue.")
    if "issuetype" not in given:
        raise Refused(400, issuetype="Specify an issue type")
    issue = state.new(_checked(state, given))
    return {key: issue[key] for key in ("id", "key", "self")}, 201


def edit_issue(state: State, name: str) -> Any:
    issue = state.find(name)
    if state.closed_are_read_only and issue["fields"]["status"]["name"] == "Done":
        raise Refused(400, "The issue is not editable in this status.")
    fields = _body().get("fields")
    if not fields:
        raise Refused(400, "one of 'fields' or 'update' required")
    issue["fields"] |= _checked(state, fields)
    issue["fields"]["updated"] = _now_text()
    return "", 204


def _checked(state: State, fields: Json) -> Json:
    """Check fields as Jira does and return them as it keeps them."""
    kept: Json = {}
    for name, value in fields.items():
        if name in state.custom_fields:
            kept[name] = value
        elif name in _CHECKS:
            kept[name] = _CHECKS[name](state, value)
        else:
            raise Refused(
                400,
                **{
                    name: f"Field '{name}' cannot be set. It is not on the appropriate screen,"
                    " or unknown."
                },
            )
    return kept


def _summary(state: State, value: Any) -> Any:
    if not isinstance(value, str) or not value.strip() or "\n" in value or len(value) > 255:
        raise Refused(400, summary="Summary can't exceed 255 characters and is one line.")
    return value


def _description(state: State, value: Any) -> Any:
    if value is not None and not isinstance(value, dict):
        raise Refused(400, description="Operation value must be an Atlassian Document")
    if value is not None and faults_of(value):
        raise Refused(400, "INVALID_INPUT")
    return value


def _labels(state: State, value: Any) -> Any:
    for label in value:
        if not isinstance(label, str) or re.search(r"\s", label):
            raise Refused(400, labels=f"The label '{label}' contains spaces which is invalid.")
    return value


def _person(name: str) -> Callable[[State, Any], Any]:
    def check(state: State, value: Any) -> Any:
        if value is None:
            return None
        for user in state.users:
            if value == {"accountId": user["accountId"]}:
                return {"accountId": user["accountId"], "displayName": user["displayName"]}
        raise Refused(400, **{name: "specify a valid account id"})

    return check


def _named(name: str, known: Callable[[State], Iterable[str]]) -> Callable[[State, Any], Any]:
    def check(state: State, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("name") not in known(state):
            raise Refused(400, **{name: f"Specify a valid {name}"})
        return {"id": "7", "name": value["name"]}

    return check


def _all(check: Callable[[State, Any], Any]) -> Callable[[State, Any], Any]:
    return lambda state, values: [check(state, value) for value in values]


def _due(state: State, value: Any) -> Any:
    if value is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        raise Refused(400, duedate="Error parsing date string")
    return value


def _parent(state: State, value: Any) -> Any:
    return None if value is None else {"key": state.find(value.get("key") or value["id"])["key"]}


_CHECKS: dict[str, Callable[[State, Any], Any]] = {
    "summary": _summary,
    "description": _description,
    "labels": _labels,
    "assignee": _person("assignee"),
    "reporter": _person("reporter"),
    "issuetype": _named("issuetype", lambda state: state.world().issue_types),
    "priority": _named("priority", lambda state: state.world().priorities),
    "components": _all(_named("components", lambda state: state.components)),
    "fixVersions": _all(_named("fixVersions", lambda state: ["1.0", "2.0"])),
    "duedate": _due,
    "parent": _parent,
}


# --- status and comments -------------------------------------------------------------------------


def get_transitions(state: State, name: str) -> Any:
    issue = state.find(name)
    offered = copy.deepcopy(state.workflow[issue["fields"]["status"]["name"]])
    if flask.request.args.get("expand") != "transitions.fields":
        for each in offered:
            del each["fields"]
    return {"expand": "transitions", "transitions": offered}


def do_transition(state: State, name: str) -> Any:
    issue = state.find(name)
    body = _body()
    offered = state.workflow[issue["fields"]["status"]["name"]]
    chosen = next((t for t in offered if t["id"] == body.get("transition", {}).get("id")), None)
    if chosen is None or not chosen["isAvailable"]:
        raise Refused(400, "The transition is not valid for the current state of this issue.")
    given = body.get("fields", {})
    for field_id in given:
        if field_id not in chosen["fields"]:
            raise Refused(400, **{field_id: f"Field '{field_id}' cannot be set."})
    for field_id, about in chosen["fields"].items():
        if about["required"] and not (given.get(field_id) or issue["fields"].get(field_id)):
            raise Refused(400, **{field_id: f"{about['name']} is required."})
    for change in body.get("update", {}).get("comment", []) if chosen["hasScreen"] else []:
        _add_comment(state, issue, change["add"]["body"])
    issue["fields"] |= given
    issue["fields"]["status"] = chosen["to"]
    issue["fields"]["updated"] = _now_text()
    return "", 204


def add_comment(state: State, name: str) -> Any:
    _add_comment(state, state.find(name), _body().get("body"))
    return {"id": "1"}, 201


def _add_comment(state: State, issue: Json, document: Any) -> None:
    if not isinstance(document, dict) or faults_of(document) or not document["content"]:
        raise Refused(400, comment="Comment body is not valid!")
    state.comments.setdefault(issue["key"], []).append(document)


# --- people, components, site --------------------------------------------------------------------


def find_users(state: State) -> Any:
    wanted = flask.request.args.get("query", "").lower()
    size = int(flask.request.args.get("maxResults", "50"))
    found = [u for u in state.users if wanted in u["findable"].lower()]
    return [{k: v for k, v in u.items() if k != "findable"} for u in found[:size]]


def get_components(state: State, name: str) -> Any:
    if name != state.project:
        raise Refused(404, f"No project could be found with key '{name}'.")
    return [{"id": str(n), "name": each} for n, each in enumerate(state.components)]


def server_info(state: State) -> Any:
    return {"baseUrl": "https://site.test", "deploymentType": "Cloud"}


def myself(state: State) -> Any:
    return {"accountId": state.me, "emailAddress": state.email, "active": True}


def my_permissions(state: State) -> Any:
    if flask.request.args.get("projectKey") != state.project:
        raise Refused(404, "No project could be found.")
    keys = flask.request.args.get("permissions", "").split(",")
    return {"permissions": {k: {"key": k, "havePermission": k in state.permissions} for k in keys}}


def gone(state: State) -> Any:
    raise Refused(
        410, "The requested API has been removed. Please migrate to /rest/api/3/search/jql."
    )


_ROUTES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("POST", "/search/jql", search),
    ("POST", "/search", gone),
    ("GET", "/search", gone),
    ("POST", "/issue", create_issue),
    ("GET", "/issue/<name>", get_issue),
    ("PUT", "/issue/<name>", edit_issue),
    ("GET", "/issue/<name>/transitions", get_transitions),
    ("POST", "/issue/<name>/transitions", do_transition),
    ("POST", "/issue/<name>/comment", add_comment),
    ("GET", "/user/search", find_users),
    ("GET", "/project/<name>/components", get_components),
    ("GET", "/serverInfo", server_info),
    ("GET", "/myself", myself),
    ("GET", "/mypermissions", my_permissions),
)
