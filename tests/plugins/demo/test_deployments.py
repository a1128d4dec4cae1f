"""Deployments: they follow the clock, and name what belongs to them."""

import pytest

from opsorch.errors import NotFound
from tests.plugins.demo.support import ANCHOR, minutes, text

ZERO = "0001-01-01T00:00:00Z"


def test_query_lists_all_the_newest_first(demo):
    found = demo.call("deployment.query")
    assert len(found) == 16
    times = [item["startedAt"] for item in found]
    assert times == sorted(times, reverse=True)
    assert found[0]["id"] == "deploy-015"


def test_a_finished_deployment_says_everything(demo):
    assert demo.call("deployment.get", {"id": "deploy-012"}) == {
        "id": "deploy-012",
        "service": "svc-payments",
        "environment": "prod",
        "version": "v2.8.2",
        "status": "success",
        "startedAt": text(ANCHOR - minutes(60)),
        "finishedAt": text(ANCHOR - minutes(57)),
        "url": "https://demo.opsorch.example/deployment/deploy-012",
        "actor": {"id": "deploy-bot"},
        "fields": {
            "description": "Roll back to v2.8.2",
            "artifact": "svc-payments:v2.8.2",
            "commit": "28e1a70",
            "branch": "main",
            "strategy": "rolling",
            "progress": 100,
            "rollbackOf": "deploy-011",
            "team": "team-revenue",
            "incidentIds": ["inc-scenario-003"],
            "relatedTickets": ["TCK-SCENARIO-003"],
            "runIds": ["run-003"],
            "scenarioId": "deployment-rollback",
            "scenarioName": "Deployment rollback",
        },
        "metadata": {"isScenario": True, "source": "demo"},
    }


@pytest.mark.parametrize(
    ("deployment", "at", "status", "progress", "finished"),
    [
        ("deploy-004", 0, "running", 40, None),
        ("deploy-004", 5.9, "running", 99, None),
        ("deploy-004", 6, "success", 100, 6),
        ("deploy-007", 0, "running", 33, None),
        ("deploy-007", 30, "success", 100, 30),
        ("deploy-015", 0, "queued", 0, None),
        ("deploy-015", 9.99, "queued", 0, None),
        ("deploy-015", 10, "running", 0, None),
        ("deploy-015", 14, "running", 50, None),
        ("deploy-015", 18, "success", 100, 18),
        ("deploy-008", 0, "failed", None, -296),
        ("deploy-016", 0, "cancelled", None, -89),
    ],
)
def test_status_progress_and_end_follow_the_clock(demo, deployment, at, status, progress, finished):
    demo.now = ANCHOR + minutes(at)
    found = demo.call("deployment.get", {"id": deployment})
    assert (found["status"], found["fields"].get("progress")) == (status, progress)
    end = ZERO if finished is None else text(ANCHOR + minutes(finished))
    assert found["finishedAt"] == end


def test_a_queued_deployment_has_started_when_it_was_queued(demo):
    queued = demo.call("deployment.get", {"id": "deploy-015"})
    assert queued["startedAt"] == text(ANCHOR - minutes(1))


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"versions": ["v2.31.3"]}, ["deploy-004", "deploy-001"]),
        ({"versions": ["V2.31.3"]}, []),
        ({"statuses": ["QUEUED", "failed"]}, ["deploy-015", "deploy-008"]),
        ({"scope": {"environment": "staging"}}, ["deploy-006", "deploy-008"]),
        ({"scope": {"team": "team-revenue"}}, ["deploy-012", "deploy-011"]),
        ({"scope": {"team": "team-velocity", "service": "svc-order"}}, ["deploy-013"]),
        ({"query": "roll back"}, ["deploy-004", "deploy-012", "deploy-011"]),
        ({"metadata": {"strategy": "canary"}}, ["deploy-007", "deploy-014"]),
        ({"metadata": {"isScenario": True, "branch": "main"}, "limit": 2}, None),
        ({"metadata": {"isScenario": 1}}, []),
    ],
)
def test_each_filter_finds_what_it_says(demo, payload, expected):
    found = demo.ids("deployment.query", payload)
    assert found == (["deploy-004", "deploy-014"] if expected is None else expected)


def test_an_unknown_deployment_is_not_found_by_id(demo):
    with pytest.raises(NotFound, match="deployment deploy-999 not found"):
        demo.call("deployment.get", {"id": "deploy-999"})
