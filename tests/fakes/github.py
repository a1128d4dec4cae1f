"""A small GitHub: issues and their search, workflow runs, deployments, teams; in memory.

It stands under ``/api/v3`` like an Enterprise Server. Errors, paging, permissions and what is
dropped in silence are as docs.github.com/en/rest (2022-11-28) has them: "Using pagination in the
REST API", "Rate limits for the REST API", "Troubleshooting the REST API", "Issues", "Search",
"Workflow runs", "Deployments", "Teams", "Team members", "Users". A search that holds an operator,
or a qualifier that no caller of ours sends, is refused, so that words which became more than words
never look like an empty answer; several ``repo:`` add up, as they do at GitHub.
"""

import re
import time
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import flask

Json = dict[str, Any]

BASE = "/api/v3"


@dataclass
class State:
    """What the server holds, and what it asks of a caller."""

    token: str = ""
    issues: dict[str, list[Json]] = field(default_factory=dict)
    runs: list[Json] = field(default_factory=list)
    deployments: list[Json] = field(default_factory=list)
    statuses: dict[int, list[Json]] = field(default_factory=dict)
    organization: str = "acme"
    organization_id: int = 77
    teams: list[Json] = field(default_factory=list)
    repo_teams: dict[str, list[str]] = field(default_factory=dict)
    members: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    users: dict[str, Json] = field(default_factory=dict)
    scopes: str | None = None
    can_push: bool = True
    has_issues: bool = True
    sso_needed: bool = False
    remaining: int | None = None
    reset: float = 0.0
    moved: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """An error in GitHub's own form."""

    def __init__(self, status: int, message: str, *errors: Json, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.body: Json = {"message": message, "documentation_url": "https://docs.github.com/rest"}
        if errors:
            self.body["errors"] = list(errors)


def make_app(state: State | None = None) -> flask.Flask:
    app = flask.Flask("fake-github")
    held = state if state is not None else State()
    app.config["STATE"] = held
    app.before_request(lambda: _gate(held))
    app.after_request(lambda response: _told(held, response))
    app.register_error_handler(Refused, lambda r: (flask.jsonify(r.body), r.status, r.headers))
    app.register_error_handler(404, lambda _: (flask.jsonify(message="Not Found"), 404))
    for methods, path, view in _ROUTES:
        _route(app, held, methods, path, view)
    return app


def _route(
    app: flask.Flask, state: State, methods: str, path: str, view: Callable[..., Any]
) -> None:
    def answer(**parts: Any) -> Any:
        return view(state, **parts)

    name = f"{view.__name__} {methods} {path}"
    app.add_url_rule(BASE + path, name, answer, methods=methods.split())


def _gate(state: State) -> Any:
    """Refuse what GitHub refuses before it looks at the path."""
    request = flask.request
    if not request.headers.get("User-Agent"):
        return flask.Response("Request forbidden by administrative rules.", 403)
    if state.token and request.headers.get("Authorization") != f"Bearer {state.token}":
        raise Refused(401, "Bad credentials")
    if state.sso_needed:
        told = "required; url=https://github.com/orgs/acme/sso?authorization_request=secret"
        raise Refused(
            403, "Resource protected by organization SAML enforcement.", X_GitHub_SSO=told
        )
    if state.remaining is not None:
        if state.remaining <= 0:
            raise Refused(403, "API rate limit exceeded for user ID 1.")
        state.remaining -= 1
    for old, new in state.moved.items():
        prefix = f"{BASE}/repos/{old}/"
        if request.full_path.startswith(prefix):
            rest = request.full_path.removeprefix(prefix).rstrip("?")
            target = f"{request.host_url.rstrip('/')}{BASE}/repos/{new}/{rest}"
            code = 301 if request.method == "GET" else 307
            body = flask.jsonify(message="Moved Permanently", url=target)
            return body, code, {"Location": target}
    return None


def _told(state: State, response: flask.Response) -> flask.Response:
    if state.scopes is not None:
        response.headers["X-OAuth-Scopes"] = state.scopes
    if state.remaining is not None:
        response.headers["X-RateLimit-Remaining"] = str(state.remaining)
        response.headers["X-RateLimit-Reset"] = str(int(state.reset or time.time() + 3600))
    return response


def _paged(items: list[Any], wrap: Callable[[list[Any]], Any] = lambda page: page) -> Any:
    """Answer one page, with links to the others."""
    args = flask.request.args
    size = min(int(args.get("per_page", "30")), 100)
    page = max(int(args.get("page", "1")), 1)
    response = flask.jsonify(wrap(items[(page - 1) * size : page * size]))
    last = -(-len(items) // size)
    links = []
    for rel, number, there in (
        ("prev", page - 1, page > 1),
        ("next", page + 1, page < last),
        ("last", last, page < last),
    ):
        if there:
            query = "&".join(
                f"{key}={_encoded(value)}" for key, value in {**args, "page": number}.items()
            )
            links.append(f'<{flask.request.base_url}?{query}>; rel="{rel}"')
    if links:
        response.headers["Link"] = ", ".join(links)
    return response


def _encoded(value: Any) -> str:
    return urllib.parse.quote_plus(str(value))


def _not_found() -> Refused:
    return Refused(404, "Not Found")


def _invalid(resource: str, name: str, code: str) -> Refused:
    error = {"resource": resource, "field": name, "code": code}
    return Refused(422, "Validation Failed", error)


# --- Issues -------------------------------------------------------------------------------------


def _issues(state: State, owner: str, repo: str) -> list[Json]:
    issues = state.issues.get(f"{owner}/{repo}")
    if issues is None:
        raise _not_found()
    if not state.has_issues:
        raise Refused(410, "Issues has been disabled in this repository.")
    return issues


def list_issues(state: State, owner: str, repo: str) -> Any:
    args = flask.request.args
    kept = [i for i in _issues(state, owner, repo) if _listed(i, args)]
    return _paged(_newest(kept))


def _newest(items: Iterable[Json]) -> list[Json]:
    return sorted(items, key=lambda item: item["created_at"], reverse=True)


def _listed(issue: Json, args: Any) -> bool:
    state = args.get("state", "open")
    labels = [name for name in args.get("labels", "").split(",") if name]
    assigned = _logins(issue)
    assignee = args.get("assignee")
    return (
        state in ("all", issue["state"])
        and _has_labels(issue, labels)
        and (assignee is None or (not assigned if assignee == "none" else assignee in assigned))
        and args.get("creator", issue["user"]["login"]) == issue["user"]["login"]
        and args.get("since", "") <= issue["updated_at"]
        and ("milestone" not in args or _has_milestone(issue, args["milestone"]))
        and ("mentioned" not in args or f"@{args['mentioned']}" in (issue["body"] or ""))
    )


def _has_milestone(issue: Json, wanted: str) -> bool:
    number = (issue.get("milestone") or {}).get("number")
    return {"*": number is not None, "none": number is None}.get(wanted, str(number) == wanted)


def _has_labels(issue: Json, wanted: Iterable[str]) -> bool:
    held = {label["name"].casefold() for label in issue["labels"]}
    return all(name.casefold() in held for name in wanted)


def _logins(issue: Json) -> list[str]:
    return [user["login"] for user in issue["assignees"]]


def one_issue(state: State, owner: str, repo: str, number: int) -> Any:
    issues = _issues(state, owner, repo)
    issue = next((i for i in issues if i["number"] == number), None)
    if issue is None:
        raise _not_found()
    if flask.request.method == "PATCH":
        _changed(state, issue, flask.request.get_json())
    return flask.jsonify(issue)


def create_issue(state: State, owner: str, repo: str) -> Any:
    issues = _issues(state, owner, repo)
    body = flask.request.get_json()
    if not isinstance(body.get("title"), str) or not body["title"].strip():
        raise _invalid("Issue", "title", "missing_field")
    number = max((i["number"] for i in issues), default=0) + 1
    url = flask.request.host_url.rstrip("/")
    issue = an_issue(number, body["title"], repository=f"{owner}/{repo}", api=url + BASE)
    _changed(state, issue, body)
    issues.append(issue)
    return flask.jsonify(issue), 201


_STATE_REASONS = {"completed", "not_planned", "reopened", "duplicate", None}


def _changed(state: State, issue: Json, body: Json) -> None:
    """Apply a body; assignees and labels only for a token that may push, else in silence."""
    if body.get("state", "open") not in ("open", "closed"):
        raise _invalid("Issue", "state", "invalid")
    if body.get("state_reason") not in _STATE_REASONS:
        raise _invalid("Issue", "state_reason", "invalid")
    if body.get("milestone") == 404:
        raise _invalid("Issue", "milestone", "invalid")
    for key in ("title", "body", "state", "state_reason"):
        if key in body:
            issue[key] = body[key]
    if "milestone" in body:
        number = body["milestone"]
        issue["milestone"] = number and {"number": number, "title": f"Milestone {number}"}
    if "type" in body:
        issue["type"] = body["type"] and {"name": body["type"]}
    if state.can_push:
        if "assignees" in body:
            issue["assignees"] = [{"login": login} for login in body["assignees"]]
        if "labels" in body:
            issue["labels"] = [{"name": name} for name in body["labels"]]
    issue["closed_at"] = "2024-05-06T09:00:00Z" if issue["state"] == "closed" else None
    issue["updated_at"] = "2024-05-06T09:00:00Z"


def an_issue(
    number: int, title: str, *, repository: str = "acme/web", api: str = "", **more: Any
) -> Json:
    """An issue as GitHub writes it, open and nobody's."""
    api = api or "https://api.github.test"
    return {
        "id": 1000 + number,
        "node_id": f"I_{number}",
        "number": number,
        "title": title,
        "body": None,
        "state": "open",
        "state_reason": None,
        "locked": False,
        "comments": 0,
        "labels": [],
        "assignees": [],
        "milestone": None,
        "user": {"login": "robot"},
        "author_association": "MEMBER",
        "html_url": f"https://github.test/{repository}/issues/{number}",
        "repository_url": f"{api}/repos/{repository}",
        "created_at": f"2024-05-06T07:{number % 60:02}:00Z",
        "updated_at": f"2024-05-06T08:{number % 60:02}:00Z",
        "closed_at": None,
        **more,
    }


# --- Search -------------------------------------------------------------------------------------

# A quoted part belongs to the word that it begins in; blanks outside quotes end a word.
_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+|"')
_QUALIFIER = re.compile(r"(-?)([A-Za-z]+):(.*)", re.DOTALL)


def words_of(query: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Take a query apart as GitHub reads it: words to find, and qualifiers.

    Raises:
        Refused: A quote is not closed, or an operator, an excluded word or a bracket is in it.
    """
    if len(query) > 256 + 200:
        raise Refused(422, "The search is longer than 256 characters.")
    terms: list[str] = []
    qualifiers: list[tuple[str, str]] = []
    for word in _WORD.findall(query):
        qualifier = _QUALIFIER.fullmatch(word)
        if qualifier and not word.startswith('"'):
            qualifiers.append((qualifier[1] + qualifier[2].lower(), qualifier[3].strip('"')))
        elif word == '"' or "\\" in word:
            raise Refused(422, "A quote is not closed.")
        elif word in ("AND", "OR", "NOT") or word.startswith("-") or re.search(r"[()]", word):
            raise Refused(422, "This server takes no operators.")
        else:
            terms.append(word.replace('"', ""))
    return terms, qualifiers


def search_issues(state: State) -> Any:
    terms, qualifiers = words_of(flask.request.args.get("q", ""))
    repos = [value for name, value in qualifiers if name == "repo"]
    found = [
        issue
        for repository, issues in state.issues.items()
        if repository in repos
        for issue in issues
        if _is_found(issue, terms, qualifiers)
    ]

    def wrap(page: list[Json]) -> Json:
        return {"total_count": len(found), "incomplete_results": False, "items": page}

    return _paged(_newest(found)[:1000], wrap)


_TESTS: dict[str, Callable[[Json, str], bool]] = {
    "repo": lambda issue, value: True,
    "in": lambda issue, value: value == "title,body",
    "is": lambda issue, value: value == "issue" and "pull_request" not in issue,
    "state": lambda issue, value: issue["state"] == value,
    "assignee": lambda issue, value: value in _logins(issue),
    "no": lambda issue, value: value == "assignee" and not issue["assignees"],
    "author": lambda issue, value: issue["user"]["login"] == value,
    "label": lambda issue, value: _has_labels(issue, [value]),
}


def _is_found(issue: Json, terms: list[str], qualifiers: list[tuple[str, str]]) -> bool:
    unknown = [name for name, _ in qualifiers if name not in _TESTS]
    if unknown:
        raise _invalid("Search", "q", "invalid")
    text = f"{issue['title']} {issue['body'] or ''}".casefold()
    return all(term.casefold() in text for term in terms) and all(
        _TESTS[name](issue, value) for name, value in qualifiers
    )


# --- Workflow runs and deployments --------------------------------------------------------------


def runs(state: State, owner: str, repo: str, workflow: str = "") -> Any:
    args = flask.request.args
    held = _newest(state.runs)
    if workflow:
        held = [
            run
            for run in held
            if workflow in (str(run["workflow_id"]), run["path"].rpartition("/")[2])
        ]
        if not held:
            raise _not_found()
    tests = {
        "branch": lambda run: run["head_branch"],
        "head_sha": lambda run: run["head_sha"],
        "event": lambda run: run["event"],
        "actor": lambda run: run["actor"]["login"],
    }
    for name, value_of in tests.items():
        if name in args:
            held = [run for run in held if value_of(run) == args[name]]
    if "status" in args:
        wanted = args["status"]
        held = [run for run in held if wanted in (run["status"], run["conclusion"])]
    return _paged(held, lambda page: {"total_count": len(held), "workflow_runs": page})


def one_run(state: State, owner: str, repo: str, number: int) -> Any:
    run = next((run for run in state.runs if run["id"] == number), None)
    if run is None:
        raise _not_found()
    return flask.jsonify(run)


def a_run(number: int, name: str = "CI", **more: Any) -> Json:
    """A workflow run as GitHub writes it, completed with success on a branch."""
    return {
        "id": number,
        "name": name,
        "display_title": f"Change {number}",
        "head_branch": "feature",
        "head_sha": f"{number:040x}",
        "path": f".github/workflows/{name.lower().replace(' ', '-')}.yml",
        "event": "push",
        "status": "completed",
        "conclusion": "success",
        "workflow_id": 9,
        "check_suite_id": 8,
        "run_number": number,
        "run_attempt": 1,
        "pull_requests": [],
        "html_url": f"https://github.test/acme/web/actions/runs/{number}",
        "created_at": f"2024-05-06T06:{number % 60:02}:00Z",
        "run_started_at": f"2024-05-06T06:{number % 60:02}:30Z",
        "updated_at": f"2024-05-06T07:{number % 60:02}:00Z",
        "actor": a_user("ann"),
        "triggering_actor": a_user("bob"),
        "head_commit": {"id": f"{number:040x}", "message": f"Commit {number}"},
        **more,
    }


def deployments(state: State, owner: str, repo: str) -> Any:
    held = _newest(state.deployments)
    for name in ("sha", "ref", "task", "environment"):
        if name in flask.request.args:
            held = [item for item in held if item[name] == flask.request.args[name]]
    return _paged(held)


def one_deployment(state: State, owner: str, repo: str, number: int) -> Any:
    item = next((item for item in state.deployments if item["id"] == number), None)
    if item is None:
        raise _not_found()
    return flask.jsonify(item)


def deployment_statuses(state: State, owner: str, repo: str, number: int) -> Any:
    return _paged(_newest(state.statuses.get(number, [])))


def a_deployment(number: int, environment: str, **more: Any) -> Json:
    """A deployment as GitHub writes it."""
    return {
        "id": number,
        "sha": f"{number:040x}",
        "ref": "v1.0",
        "task": "deploy",
        "environment": environment,
        "description": None,
        "creator": a_user("ann"),
        "created_at": f"2024-05-06T06:{number % 60:02}:00Z",
        "updated_at": f"2024-05-06T06:{number % 60:02}:00Z",
        **more,
    }


# --- Teams --------------------------------------------------------------------------------------


def a_user(login: str, **more: Any) -> Json:
    return {
        "login": login,
        "id": sum(login.encode()),
        "type": "User",
        "site_admin": False,
        "avatar_url": f"https://avatars.github.test/{login}",
        "html_url": f"https://github.test/{login}",
        **more,
    }


def a_team(number: int, slug: str, name: str, **more: Any) -> Json:
    return {
        "id": number,
        "slug": slug,
        "name": name,
        "description": f"The {name}",
        "privacy": "closed",
        "permission": "pull",
        "html_url": f"https://github.test/orgs/acme/teams/{slug}",
        "members_url": f"https://api.github.test/teams/{number}/members{{/member}}",
        "repositories_url": f"https://api.github.test/teams/{number}/repos",
        "parent": None,
        **more,
    }


def _of_organization(state: State, org: str) -> None:
    if org != state.organization:
        raise _not_found()


def teams(state: State, org: str) -> Any:
    _of_organization(state, org)
    return _paged(state.teams)


def repo_teams(state: State, owner: str, repo: str) -> Any:
    if repo not in state.repo_teams:
        raise _not_found()
    return _paged([team for team in state.teams if team["slug"] in state.repo_teams[repo]])


def _team_by(state: State, key: str, value: Any) -> Json:
    found = next((team for team in state.teams if team[key] == value), None)
    if found is None:
        raise _not_found()
    return {**found, "members_count": 2, "repos_count": 3}


def team_by_slug(state: State, org: str, slug: str) -> Any:
    _of_organization(state, org)
    return flask.jsonify(_team_by(state, "slug", slug))


def organization(state: State, org: str) -> Any:
    _of_organization(state, org)
    return flask.jsonify(login=org, id=state.organization_id)


def team_by_id(state: State, org_id: int, team_id: int) -> Any:
    if org_id != state.organization_id:
        raise _not_found()
    return flask.jsonify(_team_by(state, "id", team_id))


def team_members(state: State, org: str, slug: str) -> Any:
    _of_organization(state, org)
    _team_by(state, "slug", slug)
    held = state.members.get(slug, {})
    role = flask.request.args.get("role", "all")
    roles = list(held) if role == "all" else [role]
    return _paged([a_user(login) for name in roles for login in held.get(name, [])])


def one_user(state: State, login: str) -> Any:
    if login not in state.users:
        raise _not_found()
    return flask.jsonify({**a_user(login), **state.users[login]})


_REPO = "/repos/<owner>/<repo>"
_ROUTES: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("GET", f"{_REPO}/issues", list_issues),
    ("POST", f"{_REPO}/issues", create_issue),
    ("GET PATCH", f"{_REPO}/issues/<int:number>", one_issue),
    ("GET", "/search/issues", search_issues),
    ("GET", f"{_REPO}/actions/runs", runs),
    ("GET", f"{_REPO}/actions/workflows/<workflow>/runs", runs),
    ("GET", f"{_REPO}/actions/runs/<int:number>", one_run),
    ("GET", f"{_REPO}/deployments", deployments),
    ("GET", f"{_REPO}/deployments/<int:number>", one_deployment),
    ("GET", f"{_REPO}/deployments/<int:number>/statuses", deployment_statuses),
    ("GET", f"{_REPO}/teams", repo_teams),
    ("GET", "/orgs/<org>", organization),
    ("GET", "/orgs/<org>/teams", teams),
    ("GET", "/orgs/<org>/teams/<slug>", team_by_slug),
    ("GET", "/orgs/<org>/teams/<slug>/members", team_members),
    ("GET", "/organizations/<int:org_id>/team/<int:team_id>", team_by_id),
    ("GET", "/users/<login>", one_user),
)
