"""Dashboard, gateway with two workers and demo plugins: one scenario from alert to resolution."""

import contextlib
import json
import pathlib
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.e2e.support import Json, answered, answers_to, env_of, examples_of, failed, in_process
from tests.harness import Gateway, running_gateway

CAPABILITIES = (
    "INCIDENT",
    "ALERT",
    "LOG",
    "METRIC",
    "TICKET",
    "MESSAGING",
    "SERVICE",
    "DEPLOYMENT",
    "TEAM",
    "ORCHESTRATION",
)
INCIDENT = "inc-scenario-001"


def env_for(way: str, **config: Any) -> dict[str, str]:
    """Two workers on the demo; where nothing is configured no CONFIG is set at all."""
    env = env_of("demo", way, dict.fromkeys(CAPABILITIES, config))
    kept = {name: value for name, value in env.items() if config or not name.endswith("_CONFIG")}
    return {"OPSORCH_WORKERS": "2", **kept}


@pytest.fixture(scope="module")
def gateway(way: str) -> Iterator[Gateway]:
    with running_gateway(env_for(way)) as running:
        yield running


def refused(gateway: Gateway, path: str, payload: Json, code: str = "bad_request") -> str:
    """Why a query is refused."""
    status = {"bad_request": 400, "invalid_config": 502}[code]
    return str(failed(gateway.request("POST", path, payload), status, code)["message"])


def ask(gateway: Gateway, path: str, **payload: Any) -> Any:
    return answered(gateway.request("POST", path, payload))


def seen_by_all(gateway: Gateway, path: str) -> Any:
    """Read something often, on connections that the workers share out; all answers agree."""
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: answered(gateway.request("GET", path)), range(8)))
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_scenario_from_incident_to_cause(gateway: Gateway) -> None:
    """Incident, alert, metric, logs, deployment, owner: each leads to the next by its fields."""
    urgent = ask(gateway, "/incidents/query", severities=["sev1"], query="error budget")
    [incident] = [item for item in urgent if item["id"] == INCIDENT]
    fields = incident["fields"]
    assert fields["scenarioId"] == "slo-exhaustion"
    assert moment(incident["createdAt"]).utcoffset() == timedelta(0)

    alert = answered(gateway.request("GET", f"/alerts/{fields['alertIds'][0]}"))
    assert alert["fields"]["incidentId"] == INCIDENT
    assert moment(alert["createdAt"]) < moment(incident["createdAt"])
    wanted = alert["fields"]
    filters = [{"label": k, "operator": "=", "value": v} for k, v in wanted["labels"].items()]
    fired = moment(alert["createdAt"])
    [series] = ask(
        gateway,
        "/metrics/query",
        expression={"metricName": wanted["metric"], "filters": filters},
        start=(fired - timedelta(minutes=15)).isoformat(),
        end=fired.isoformat(),
        step=900,
    )
    before, after = (point["value"] for point in series["points"])
    assert before < wanted["threshold"] < after
    assert series["metadata"]["anomalies"][0]["scenarioId"] == "slo-exhaustion"

    logs = ask(
        gateway,
        "/logs/query",
        expression={"severityIn": ["error", "critical"]},
        scope={"service": incident["service"]},
        metadata={"scenarioId": fields["scenarioId"]},
    )["entries"]
    assert len(logs) > 20
    assert {entry["fields"]["error"] for entry in logs} == {"payments_upstream_timeout"}

    deployment = answered(gateway.request("GET", f"/deployments/{fields['deploymentId']}"))
    assert (deployment["version"], deployment["status"]) == ("v2.31.4", "success")
    assert moment(deployment["finishedAt"]) < fired
    assert INCIDENT in deployment["fields"]["incidentIds"]

    [team] = ask(gateway, "/teams/query", scope={"service": incident["service"]})
    members = answered(gateway.request("GET", f"/teams/{team['id']}/members"))
    assert [m["handle"] for m in members if m["role"] == "oncall"] == ["kim"]
    [ticket] = ask(gateway, "/tickets/query", metadata={"incidentId": INCIDENT})
    assert ticket["id"] == fields["ticketIds"][0]


def test_traces_lead_through_the_services(gateway: Gateway) -> None:
    """From one failed line to all that its request did."""
    entries = ask(
        gateway,
        "/logs/query",
        expression={
            "filters": [{"field": "traceId", "operator": "regex", "value": "^[0-9a-f]{8}"}]
        },
        scope={"service": "svc-checkout", "environment": "prod"},
        limit=30,
    )["entries"]
    trace = entries[-1]["fields"]["traceId"]
    whole = ask(gateway, "/logs/query", metadata={"traceId": trace})["entries"]
    assert len({entry["service"] for entry in whole}) >= 3


def test_what_is_written_is_seen_at_once_by_every_worker_and_plugin(gateway: Gateway) -> None:
    """Ticket, message, timeline, step: written through one, read through all."""
    ticket = answered(gateway.request("POST", "/tickets", {"title": "Follow up"}), 201)
    path = f"/tickets/{ticket['id']}"
    assert seen_by_all(gateway, path) == ticket
    changed = answered(gateway.request("PATCH", path, {"status": "done", "assignees": ["kim"]}))
    assert seen_by_all(gateway, path) == changed
    assert (changed["status"], changed["assignees"]) == ("done", ["kim"])

    message = {"channel": "#checkout", "body": "hello", "metadata": {"incidentId": INCIDENT}}
    sent = answered(gateway.request("POST", "/messages/send", message))
    reply = {"channel": "#checkout", "body": "again", "threadRef": sent["id"]}
    assert answered(gateway.request("POST", "/messages/send", reply))["id"] != sent["id"]
    timeline = seen_by_all(gateway, f"/incidents/{INCIDENT}/timeline")
    assert timeline[-1]["metadata"]["messageId"] == sent["id"]

    answered(gateway.request("POST", f"/incidents/{INCIDENT}/timeline", {"body": "noted"}), 201)
    assert seen_by_all(gateway, f"/incidents/{INCIDENT}/timeline")[-1]["body"] == "noted"

    step = "/orchestration/runs/run-scenario-001/steps/decide/complete"
    done = {"actor": "kim", "note": "Roll back."}
    assert answered(gateway.request("POST", step, done)) == {"status": "ok"}
    failed(gateway.request("POST", step, done), 409, "conflict")
    run = seen_by_all(gateway, "/orchestration/runs/run-scenario-001")
    states = {state["stepId"]: state for state in run["steps"]}
    assert states["decide"]["status"] == "succeeded"
    assert states["apply-countermeasure"]["status"] == "ready"
    started = answered(
        gateway.request("POST", "/orchestration/runs", {"planId": "plan-playbook-003"}), 201
    )
    path = f"/orchestration/runs/{started['id']}"
    assert seen_by_all(gateway, path)["planId"] == "plan-playbook-003"


def test_a_resolved_incident_ends_its_anomaly(gateway: Gateway) -> None:
    """Alerts, metrics and logs all hear of it, in their own processes."""
    expression = {
        "metricName": "slo_error_budget_remaining_ratio",
        "filters": [{"label": "env", "operator": "=", "value": "prod"}],
    }
    asked = {"expression": expression, "scope": {"service": "svc-checkout"}}
    [before] = ask(gateway, "/metrics/query", **asked)
    assert "end" not in before["metadata"]["anomalies"][0]
    resolved = answered(gateway.request("PATCH", f"/incidents/{INCIDENT}", {"status": "resolved"}))
    at = resolved["fields"]["resolvedAt"]
    for _ in range(4):
        [after] = ask(gateway, "/metrics/query", **asked)
        assert after["metadata"]["anomalies"][0]["end"] == at
    entry = seen_by_all(gateway, f"/incidents/{INCIDENT}/timeline")[-1]
    assert entry["kind"] == "status_change"
    # The past stays as it was.
    shared = {point["timestamp"]: point["value"] for point in before["points"]}
    for point in after["points"]:
        if point["timestamp"] < at:
            assert shared.get(point["timestamp"], point["value"]) == point["value"]
    # Reopened, it goes on.
    answered(gateway.request("PATCH", f"/incidents/{INCIDENT}", {"status": "investigating"}))
    [again] = ask(gateway, "/metrics/query", **asked)
    assert "end" not in again["metadata"]["anomalies"][0]


def test_the_story_can_be_looked_at_an_hour_later(tmp_path: pathlib.Path) -> None:
    """With an anchor in the past time has gone on: open scenarios have ended by themselves."""
    config = {"anchor": "2026-01-14T15:30:00Z", "environment": "live", "source": "lab"}
    with running_gateway(env_for("plugin", **config), tmp_path) as gateway:
        alerts = ask(gateway, "/alerts/query")
        by_id = {alert["id"]: alert for alert in alerts}
        assert by_id["al-scenario-001"]["status"] == "resolved"
        assert by_id["al-scenario-001"]["createdAt"] == "2026-01-14T14:44:00Z"
        assert {alert["fields"]["environment"] for alert in alerts} == {"live"}
        window = {"start": "2026-01-14T14:30:00Z", "end": "2026-01-14T15:30:00Z"}
        found = ask(gateway, "/logs/query", **window, metadata={"scenarioId": "slo-exhaustion"})
        assert found["entries"][0]["metadata"]["source"] == "lab"
        services = answered(gateway.request("GET", "/services"))
        assert len(services) == 19
    assert (tmp_path / "data" / "demo.db").exists()


def test_requests_that_do_not_fit(gateway: Gateway) -> None:
    """Codes and fields, from each capability."""
    bad = {"expression": {"metricName": "cpu_usage_ratio"}, "step": 1}
    old = {"start": "2025-01-01T00:00:00Z"}
    assert "step" in refused(gateway, "/metrics/query", {**bad, **old})
    refused(gateway, "/logs/query", old)
    operator = {"field": "message", "operator": "like", "value": "x"}
    assert "operator" in refused(gateway, "/logs/query", {"expression": {"filters": [operator]}})
    for path in ("incidents/inc-0", "alerts/al-0", "tickets/TCK-0", "deployments/x", "teams/x"):
        body = failed(gateway.request("GET", f"/{path}"), 404, "not_found")
        assert path.partition("/")[2] in body["message"]
    failed(gateway.request("GET", "/teams/none/members"), 404, "not_found")
    failed(gateway.request("GET", "/orchestration/runs/run-0"), 404, "not_found")
    busy = gateway.request("POST", "/messages/send", {"channel": "#demo-throttled", "body": "b"})
    failed(busy, 429, "rate_limited")
    assert busy.headers["Retry-After"] == "30"
    gone = gateway.request("POST", "/messages/send", {"channel": "#demo-missing", "body": "b"})
    failed(gone, 404, "not_found")


def test_a_restart_of_everything_changes_nothing(way: str, tmp_path: pathlib.Path) -> None:
    """Created through one worker, read through the other, and after the end of both."""
    given = {"title": "Ünusual", "service": "svc-search", "fields": {"deep": [1, {"a": None}]}}
    lists = ("incidents", "alerts", "tickets", "deployments", "orchestration/runs")
    with running_gateway(env_for(way), tmp_path) as gateway:
        created = answered(gateway.request("POST", "/incidents", given), 201)
        assert seen_by_all(gateway, f"/incidents/{created['id']}") == created
        before = {name: ask(gateway, f"/{name}/query")[-3:] for name in lists}
    with running_gateway(env_for(way), tmp_path) as gateway:
        assert seen_by_all(gateway, f"/incidents/{created['id']}") == created
        after = {name: ask(gateway, f"/{name}/query")[-3:] for name in lists}
    for name in lists:
        kept = [(item["id"], item.get("createdAt"), item["status"]) for item in before[name]]
        assert [(i["id"], i.get("createdAt"), i["status"]) for i in after[name]] == kept
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "demo.db")) as connection:
        assert connection.execute("SELECT count(*) FROM incidents").fetchone() == (19,)


def test_another_anchor_than_that_of_the_file_is_refused(tmp_path: pathlib.Path) -> None:
    """The message names the field, and the capability alone is off."""
    env = env_for("plugin")
    env["OPSORCH_ALERT_CONFIG"] = json.dumps({"anchor": "2026-01-14T15:30:00Z"})
    with running_gateway(env, tmp_path) as gateway:
        assert len(ask(gateway, "/incidents/query")) == 18
        assert "anchor" in refused(gateway, "/alerts/query", {}, "invalid_config")


def test_the_readme_works_as_written(way: str) -> None:
    """Its environment and the walk, step by step."""
    examples = examples_of("demo", curls=17)
    assert len(examples.env) == 10
    env = examples.env if way == "plugin" else in_process("demo", examples.env)
    answers = answers_to(examples, {**env, "OPSORCH_WORKERS": "2"})
    assert [answer.status for answer in answers] == [200] * len(answers)
    assert all(answer.json for answer in answers)
    assert {alert["id"] for alert in answers[-1].json} == {"al-001", "al-scenario-001"}
    assert answers[-2].json["fields"]["rootCause"] == "deploy-003"
    assert answers[4].json["entries"]
    assert [d["id"] for d in answers[6].json] == ["deploy-004", "deploy-003", "deploy-001"]
