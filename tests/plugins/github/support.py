"""What the tests of this adapter share."""

import urllib.parse
from typing import Any

from tests.fakes.github import a_run

API = "https://api.github.com"
REPO = f"{API}/repos/acme/web"
ISSUES = f"{REPO}/issues"
SEARCH = f"{API}/search/issues"
RUNS = f"{REPO}/actions/runs"
DEPLOYMENTS = f"{REPO}/deployments"
TEAMS = f"{API}/orgs/acme/teams"
TOKEN = "ghp_a-token-of-the-test"

Json = dict[str, Any]


def sent(request: Any) -> dict[str, str]:
    """The parameters in a recorded request's URL, letter case kept."""
    query = urllib.parse.urlsplit(request.url).query
    return dict(urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))


def next_link(url: str) -> dict[str, str]:
    return {"Link": f'<{url}>; rel="next", <{url}9>; rel="last"'}


def found(*items: Json) -> Json:
    return {"total_count": len(items), "incomplete_results": False, "items": list(items)}


def listed(*runs: Json) -> Json:
    return {"total_count": len(runs), "workflow_runs": list(runs)}


def pull(number: int) -> Json:
    return {"number": number, "title": "A pull request", "pull_request": {"url": "..."}}


def status_rows() -> list[tuple[Json, str]]:
    """One run for each row of the table of statuses, and the status that it has for us."""
    rows = [
        ("queued", None, "queued"),
        ("requested", None, "queued"),
        ("waiting", None, "queued"),
        ("pending", None, "queued"),
        ("in_progress", None, "running"),
        ("completed", "success", "success"),
        ("completed", "neutral", "success"),
        ("completed", "failure", "failed"),
        ("completed", "timed_out", "failed"),
        ("completed", "startup_failure", "failed"),
        ("completed", "never_heard_of", "failed"),
        ("completed", None, "failed"),
        ("completed", "cancelled", "cancelled"),
        ("completed", "skipped", "cancelled"),
        ("completed", "stale", "cancelled"),
        ("completed", "action_required", "queued"),
        ("Odd", None, "odd"),
    ]
    return [
        (a_run(number, status=status, conclusion=conclusion), ours)
        for number, (status, conclusion, ours) in enumerate(rows, 1)
    ]
