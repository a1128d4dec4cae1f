"""Workflow runs and the Deployments API as deployments."""

from collections.abc import Callable
from typing import Any

import pytest
import requests_mock

from opsorch.errors import BadRequest, NotFound
from opsorch.plugin import Call
from opsorch_plugins.github.deployment_filter import STATUSES
from opsorch_plugins.github.provider import GitHubDeployments
from tests.fakes.github import a_deployment, a_run, a_user
from tests.plugins.github.support import (
    DEPLOYMENTS,
    REPO,
    RUNS,
    listed,
    next_link,
    sent,
    status_rows,
)

Build = Callable[..., GitHubDeployments]
Json = dict[str, Any]

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.case("github", 13)
def test_statuses_choose_runs_by_what_they_mean(
    http: requests_mock.Mocker, deployments_of: Build, call: Call
) -> None:
    """A queued and a failed run have no common status at GitHub: all are asked for."""
    rows = status_rows()
    http.get(RUNS, json=listed(*(run for run, _ in rows)))
    found = deployments_of().query({"statuses": ["failed", "queued"]}, call)
    expected = [(str(run["id"]), ours) for run, ours in rows if ours in ("failed", "queued")]
    assert [(d["id"], d["status"]) for d in found] == expected
    assert len(expected) == 10
    assert "status" not in sent(http.last_request)


def test_every_run_has_its_status(
    http: requests_mock.Mocker, deployments_of: Build, call: Call
) -> None:
    """The whole table."""
    rows = status_rows()
    http.get(RUNS, json=listed(*(run for run, _ in rows)))
    found = deployments_of().query({}, call)
    assert [d["status"] for d in found] == [ours for _, ours in rows]


@pytest.mark.parametrize(
    ("statuses", "told", "ids"),
    [
        (["success"], "completed", ["2"]),
        (["Completed"], "completed", ["2", "3", "4"]),
        (["error", "canceled"], "completed", ["3", "4"]),
        (["in_progress"], "in_progress", ["1"]),
        (["running", "failed"], None, ["1", "3"]),
        (["pending"], None, ["5"]),
        ([], None, ["1", "2", "3", "4", "5"]),
    ],
)
def test_github_narrows_where_it_can(
    http: requests_mock.Mocker,
    deployments_of: Build,
    call: Call,
    statuses: list[str],
    told: str | None,
    ids: list[str],
) -> None:
    """Its filter never decides: what is sent is looked at again."""
    runs = [
        a_run(1, status="in_progress", conclusion=None),
        a_run(2),
        a_run(3, conclusion="failure"),
        a_run(4, conclusion="cancelled"),
        a_run(5, status="waiting", conclusion=None),
    ]
    http.get(RUNS, json=listed(*runs))
    found = deployments_of().query({"statuses": statuses}, call)
    assert [d["id"] for d in found] == ids
    assert sent(http.last_request).get("status") == told


def test_every_word_is_understood(
    http: requests_mock.Mocker, deployments_of: Build, call: Call
) -> None:
    """And chooses the runs of its statuses."""
    rows = status_rows()
    http.get(RUNS, json=listed(*(run for run, _ in rows)))
    for word, meant in STATUSES.items():
        found = deployments_of().query({"statuses": [word.upper()]}, call)
        assert {d["status"] for d in found} == meant


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"statuses": ["bogus"]}, "statuses: 'bogus' is unknown"),
        ({"limit": -1}, "limit"),
        ({"versions": "x"}, "versions"),
        ({"metadata": {"branch": 1}}, "metadata.branch"),
        ({"metadata": {"workflow": []}}, "metadata.workflow"),
        ({"metadata": {"workflow": True}}, "metadata.workflow"),
        ({"scope": {"service": "other"}, "statuses": ["bogus"]}, "statuses"),
    ],
)
def test_what_does_not_fit_is_refused_without_a_call(
    http: requests_mock.Mocker, deployments_of: Build, call: Call, payload: Json, words: str
) -> None:
    """The message names the field."""
    with pytest.raises(BadRequest, match=words):
        deployments_of().query(payload, call)
    assert http.call_count == 0


@pytest.mark.case("github", 14)
def test_environments_are_whole_words(
    http: requests_mock.Mocker, deployments_of: Build, call: Call
) -> None:
    """The product page is not in production."""
    runs = [
        a_run(1, "Deploy Production"),
        a_run(2, "product-page"),
        a_run(3, "CI", head_branch="main"),
    ]
    http.get(RUNS, json=listed(*runs))
    found = deployments_of().query({"scope": {"environment": "production"}}, call)
    assert [(d["id"], d["environment"]) for d in found] == [("1", "prod"), ("3", "prod")]
    assert found[0]["fields"]["environment_raw"] == "Production"
    [other] = [d for d in deployments_of().query({}, call) if d["id"] == "2"]
    assert "environment" not in other
    assert "environment_raw" not in other["fields"]


def test_configured_environments_come_first(
    http: requests_mock.Mocker, deployments_of: Build, call: Call
) -> None:
    """By workflow name, file name or branch."""
    http.get(RUNS, json=listed(a_run(1, "CI", head_branch="main"), a_run(2, "Deploy Production")))
    provider = deployments_of(environments={"ci": "EU-West", "deploy-production.yml": "stage"})
    assert [d["environment"] for d in provider.query({}, call)] == ["EU-West", "staging"]
    scope = {"environment": "eu-west"}
    assert [d["id"] for d in provider.query({"scope": scope}, call)] == ["1"]


@pytest.mark.case("github", 15)
def test_a_running_run(http: requests_mock.Mocker, deployments_of: Build, call: Call) -> None:
    """It has begun with its attempt and is not finished."""
    run = a_run(12, head_sha=SHA, status="in_progress", conclusion=None)
    http.get(f"{RUNS}/12", json=run)
    found = deployments_of().get({"id": "12"}, call)
    assert (found["status"], found["version"]) == ("running", SHA[:7])
    assert found["startedAt"] == "2024-05-06T06:12:30Z"
    assert "finishedAt" not in found


def test_a_run_in_full(http: requests_mock.Mocker, deployments_of: Build, call: Call) -> None:
    """Every field that a run fills; its id has more than 53 bits."""
    number = 2**60 + 1
    run = a_run(
        number,
        "Deploy",
        head_sha=SHA,
        head_branch="main",
        run_number=7,
        pull_requests=[{"number": 4}, {}],
        conclusion="failure",
        run_started_at=None,
        created_at="2024-05-06T06:00:00Z",
        updated_at="2024-05-06T08:00:00+01:00",
        html_url="https://github.test/run",
    )
    http.get(f"{RUNS}/{number}", json=run)
    assert deployments_of(source="ci").get({"id": str(number)}, call) == {
        "id": str(number),
        "service": "web",
        "environment": "prod",
        "version": SHA[:7],
        "status": "failed",
        "startedAt": "2024-05-06T06:00:00Z",
        "finishedAt": "2024-05-06T07:00:00Z",
        "url": "https://github.test/run",
        "actor": {
            "login": "bob",
            "id": a_user("bob")["id"],
            "type": "User",
            "url": "https://github.test/bob",
        },
        "fields": {
            "workflow_name": "Deploy",
            "branch": "main",
            "commit": SHA,
            "commit_message": f"Commit {number}",
            "event": "push",
            "run_number": 7,
            "run_attempt": 1,
            "display_title": f"Change {number}",
            "conclusion": "failure",
            "pull_requests": [4],
            "environment_raw": "prod",
        },
        "metadata": {
            "source": "ci",
            "workflow_id": 9,
            "path": ".github/workflows/deploy.yml",
            "check_suite_id": 8,
        },
    }


@pytest.mark.parametrize("given", ["x", "1/2", "../1", "-1", "1.0", "١", "1" * 21])
@pytest.mark.parametrize("source", ["actions", "deployments"])
def test_other_ids_are_refused_without_a_call(
    http: requests_mock.Mocker, deployments_of: Build, call: Call, given: str, source: str
) -> None:
    """Nothing of an id can change the path."""
    with pytest.raises(BadRequest, match="id must be the number"):
        deployments_of(deploymentSource=source).get({"id": given}, call)
    assert http.call_count == 0


@pytest.mark.parametrize(
    ("versions", "ids"),
    [
        ([SHA], ["1"]),
        ([SHA[:7]], ["1"]),
        ([SHA[:7].upper()], ["1"]),
        ([SHA[:6]], []),
        (["v1.0"], ["2"]),
        (["v1.0", SHA[:10]], ["1", "2"]),
        (["v1"], []),
    ],
)
def test_versions_are_commits_branches_or_tags(
    http: requests_mock.Mocker, deployments_of: Build, call: Call, versions: Any, ids: list[str]
) -> None:
    """A whole commit is GitHub's to find; all else is looked at here."""
    http.get(RUNS, json=listed(a_run(1, head_sha=SHA), a_run(2, head_branch="v1.0")))
    assert [d["id"] for d in deployments_of().query({"versions": versions}, call)] == ids
    told = SHA if versions == [SHA] else None
    assert sent(http.last_request).get("head_sha") == told


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("ci change", ["1", "2"]),
        ("CHANGE 2", ["2"]),
        ("bob", ["1", "2"]),
        ("commit 1 feature", ["1"]),
        ("ann", []),
        ("  ", ["1", "2"]),
    ],
)
def test_all_words_must_occur(
    http: requests_mock.Mocker, deployments_of: Build, call: Call, query: str, ids: list[str]
) -> None:
    """In workflow, title, branch, commit, its message, or the person who started it."""
    sha = {"head_sha": "f" * 40}
    http.get(RUNS, json=listed(a_run(1, **sha), a_run(2, **sha)))
    assert [d["id"] for d in deployments_of().query({"query": query}, call)] == ids


@pytest.mark.parametrize(("service", "count"), [("WEB", 1), ("Acme/Web", 1), ("other", 0)])
def test_another_service_has_nothing_here(
    http: requests_mock.Mocker, deployments_of: Build, call: Call, service: str, count: int
) -> None:
    """That costs no request; a team says nothing about a run."""
    http.get(RUNS, json=listed(a_run(1)))
    scope = {"service": service, "team": "whoever"}
    assert len(deployments_of().query({"scope": scope}, call)) == count
    assert http.call_count == count


def test_parameters_that_github_knows_are_passed_on(
    http: requests_mock.Mocker, deployments_of: Build, call: Call
) -> None:
    """Under their own names; pages are no larger than needed."""
    http.get(RUNS, json=listed(a_run(1)))
    metadata = {
        "branch": "main",
        "actor": "ann",
        "event": "push",
        "created": ">=2024-05-06",
        "head_sha": SHA,
        "other": 1,
    }
    deployments_of().query({"metadata": metadata, "limit": 5}, call)
    del metadata["other"]
    assert sent(http.last_request) == {**metadata, "per_page": "5"}


@pytest.mark.parametrize(
    ("config", "wanted", "path"),
    [
        ([], "deploy.yml", "/workflows/deploy.yml"),
        ([], ".github/workflows/deploy.yml", "/workflows/deploy.yml"),
        ([], 9, "/workflows/9"),
        ([], "Deploy", ""),
        (["deploy.yml"], None, "/workflows/deploy.yml"),
        (["9"], None, "/workflows/9"),
        (["Deploy"], None, ""),
        (["Deploy", "release.yaml"], None, ""),
        (["deploy.yml"], "Deploy", ""),
    ],
)
def test_one_workflow_has_a_list_of_its_own(
    http: requests_mock.Mocker,
    deployments_of: Build,
    call: Call,
    config: list[str],
    wanted: Any,
    path: str,
) -> None:
    """Where it is named by file or id; a display name is looked at here."""
    runs = [a_run(1, "Deploy"), a_run(2, "CI", workflow_id=8), a_run(3, "Deploy")]
    runs[2]["path"] += "@refs/heads/main"
    http.get(f"{REPO}/actions{path}/runs", json=listed(*runs))
    payload = {"metadata": {"workflow": wanted}}
    found = deployments_of(workflows=config).query(payload, call)
    assert [d["id"] for d in found] == ["1", "3"]


def test_runs_are_looked_for_on_ten_pages(
    http: requests_mock.Mocker, deployments_of: Build, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """GitHub itself has no more than a thousand for a filter."""
    http.get(RUNS, json=listed(a_run(1)), headers=next_link(f"{RUNS}?page=2"))
    assert deployments_of().query({"query": "nothing"}, call) == []
    assert http.call_count == 10
    assert "more than 10 pages" in caplog.text


def test_a_run_without_an_id_is_left_out(
    http: requests_mock.Mocker, deployments_of: Build, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """One odd item does not cost the list, nor do odd fields cost the item."""
    odd = {"id": 5, "status": 7, "actor": "x", "head_commit": [], "pull_requests": None}
    http.get(RUNS, json=listed({"name": "odd"}, odd))
    [found] = deployments_of().query({}, call)
    assert found["id"] == "5"
    assert "without an id" in caplog.text


@pytest.mark.case("github", 16)
def test_deployments_have_the_state_of_their_newest_status(
    http: requests_mock.Mocker, deployments_of: Build, call: Call
) -> None:
    """One that was replaced had succeeded; one without a status waits."""
    http.get(DEPLOYMENTS, json=[a_deployment(1, "Production"), a_deployment(2, "EU", ref=SHA)])
    status = {
        "state": "inactive",
        "log_url": "https://ci.test/1",
        "environment_url": "https://web.test",
        "created_at": "2024-05-06T09:00:00Z",
    }
    http.get(f"{DEPLOYMENTS}/1/statuses", json=[status])
    http.get(f"{DEPLOYMENTS}/2/statuses", json=[])
    first, second = deployments_of(deploymentSource="deployments").query({}, call)
    assert first == {
        "id": "1",
        "service": "web",
        "environment": "prod",
        "version": "v1.0",
        "status": "success",
        "startedAt": "2024-05-06T06:01:00Z",
        "finishedAt": "2024-05-06T09:00:00Z",
        "url": "https://ci.test/1",
        "actor": {
            "login": "ann",
            "id": a_user("ann")["id"],
            "type": "User",
            "url": "https://github.test/ann",
        },
        "fields": {
            "ref": "v1.0",
            "sha": f"{1:040x}",
            "task": "deploy",
            "environment_url": "https://web.test",
            "environment_raw": "Production",
        },
        "metadata": {"source": "github"},
    }
    assert (second["status"], second["version"]) == ("queued", SHA[:7])
    assert (second["environment"], second.get("url")) == ("EU", None)
    assert "finishedAt" not in second
    assert sent(http.request_history[0])["per_page"] == "30"
    assert sent(http.last_request)["per_page"] == "1"


@pytest.mark.parametrize(
    ("state", "ours", "ended"),
    [
        ("success", "success", True),
        ("inactive", "success", True),
        ("failure", "failed", True),
        ("error", "failed", True),
        ("in_progress", "running", False),
        ("queued", "queued", False),
        ("pending", "queued", False),
        ("odd", "odd", False),
    ],
)
def test_every_state_has_its_status(
    http: requests_mock.Mocker,
    deployments_of: Build,
    call: Call,
    state: str,
    ours: str,
    ended: bool,
) -> None:
    """The whole table; what has ended has an end."""
    status = {
        "state": state,
        "environment_url": "https://web.test",
        "created_at": "2024-05-06T09:00:00Z",
    }
    http.get(f"{DEPLOYMENTS}/1", json=a_deployment(1, "prod"))
    http.get(f"{DEPLOYMENTS}/1/statuses", json=[status])
    found = deployments_of(deploymentSource="deployments").get({"id": "1"}, call)
    assert (found["status"], "finishedAt" in found) == (ours, ended)
    assert found["url"] == "https://web.test"


def test_only_deployments_that_are_kept_cost_a_request(
    http: requests_mock.Mocker, deployments_of: Build, call: Call
) -> None:
    """And none after the limit."""
    items = [a_deployment(n, "prod" if n % 2 else "dev") for n in range(1, 9)]
    http.get(DEPLOYMENTS, json=items)
    states = {1: "failure", 3: "success", 5: "success", 7: "success"}
    for number, state in states.items():
        http.get(f"{DEPLOYMENTS}/{number}/statuses", json=[{"state": state}])
    payload = {
        "scope": {"environment": "live"},
        "statuses": ["success"],
        "versions": ["v1.0"],
        "query": "DEPLOY ann",
        "limit": 2,
    }
    found = deployments_of(deploymentSource="deployments").query(payload, call)
    assert [d["id"] for d in found] == ["3", "5"]
    assert http.call_count == 4
    assert "environment" not in sent(http.request_history[0])


def test_parameters_of_deployments(
    http: requests_mock.Mocker, deployments_of: Build, call: Call
) -> None:
    """An environment goes to GitHub only where it has no other names."""
    http.get(DEPLOYMENTS, json=[])
    metadata = {"ref": "main", "sha": SHA, "task": "deploy", "branch": "x"}
    payload = {"metadata": metadata, "scope": {"environment": "EU-West"}}
    assert deployments_of(deploymentSource="deployments").query(payload, call) == []
    del metadata["branch"]
    assert sent(http.last_request) == {**metadata, "environment": "EU-West", "per_page": "100"}


def test_an_unknown_deployment(
    http: requests_mock.Mocker, deployments_of: Build, call: Call
) -> None:
    """It is not found, whatever the source."""
    http.get(requests_mock.ANY, status_code=404)
    for source in ("actions", "deployments"):
        with pytest.raises(NotFound):
            deployments_of(deploymentSource=source).get({"id": "1"}, call)
