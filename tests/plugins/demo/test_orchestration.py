"""Plans, seeded runs and the simulated runner of the demo world."""

import datetime
import subprocess
import sys
import threading

import pytest

from opsorch.errors import BadRequest, Conflict, NotFound
from opsorch.plugin import Call
from opsorch.plugin.testing import run_plugin
from opsorch.runbooks.folder import PlanFolder
from opsorch_plugins.demo import runbooks
from opsorch_plugins.demo.catalogue import (
    DEPLOYMENT_BY_ID,
    INCIDENT_BY_ID,
    MEMBER_BY_HANDLE,
    ROBOTS,
    SCENARIOS,
    SERVICE_BY_ID,
    team_of,
)
from opsorch_plugins.demo.orchestration import DemoOrchestration
from tests.plugins.demo.support import ANCHOR, forgetting, minutes, text

closed = pytest.fixture(autouse=True, name="closed")(forgetting)

# Plan, service and number of steps, as the specification lists them.
PLANS = {
    "plan-playbook-001": ("svc-database", 6),
    "plan-playbook-002": ("svc-checkout", 8),
    "plan-playbook-003": ("svc-web", 5),
    "plan-playbook-004": ("svc-identity", 4),
    "plan-runbook-001": ("svc-database", 7),
    "plan-runbook-002": ("svc-api-gateway", 5),
    "plan-runbook-003": ("svc-cache", 5),
    "plan-release-001": ("svc-catalog", 9),
    "plan-release-002": ("svc-search", 6),
    "plan-release-003": ("svc-payments", 5),
    "plan-release-004": ("svc-recommendation", 5),
    "plan-complex-001": ("svc-api-gateway", 15),
}


class Demo:
    """The orchestration provider alone on one folder; ``now`` is what its clock says."""

    def __init__(self, folder, **config):
        given = {"dataDir": str(folder), "anchor": text(ANCHOR), **config}
        self.now = ANCHOR
        self.provider = DemoOrchestration(given)
        self.provider.clock = lambda: self.now

    def call(self, method, payload=None, *, actor=""):
        name = self.provider.handlers[f"orchestration.{method}"]
        return getattr(self.provider, name)(payload or {}, Call(actor=actor))

    def run(self, run_id):
        return self.call("runs.get", {"runId": run_id})

    def start(self, plan_id, actor="kim"):
        return self.call("runs.start", {"planId": plan_id}, actor=actor)["id"]

    def complete(self, run_id, step_id, note="", actor="kim"):
        payload = {"runId": run_id, "stepId": step_id, "note": note}
        return self.call("runs.steps.complete", payload, actor=actor)

    def wait(self, seconds):
        self.now += datetime.timedelta(seconds=seconds)


@pytest.fixture
def demo(tmp_path):
    """A freshly seeded world at its anchor."""
    return Demo(tmp_path / "data")


def statuses(run):
    return {step["stepId"]: step["status"] for step in run["steps"]}


def step(run, step_id):
    return next(item for item in run["steps"] if item["stepId"] == step_id)


def test_the_twelve_plans_have_scope_version_and_steps(demo):
    found = demo.call("plans.query")
    assert [plan["id"] for plan in found] == sorted(PLANS)
    for plan in found:
        service, steps = PLANS[plan["id"]]
        scope = {"service": service, "team": team_of(service), "environment": "prod"}
        assert scope.items() <= plan["fields"].items()
        assert len(plan["steps"]) == steps
        assert plan["version"]
        assert plan["description"]
        assert plan["url"] == f"https://demo.opsorch.example/orchestration/{plan['id']}"
        assert plan["metadata"] == {"source": "demo", "file": f"{plan['id']}.yaml"}
        assert demo.call("plans.get", {"planId": plan["id"]}) == plan


def shape(plan_id):
    plan = runbooks.FOLDER.plan(plan_id)
    return {item.id: set(item.depends_on) for item in plan.steps}, plan


def test_the_plans_have_the_shapes_of_the_specification():
    for plan_id in ("plan-playbook-001", "plan-playbook-003", "plan-release-003"):
        needs, _ = shape(plan_id)
        ids = list(needs)
        assert list(needs.values()) == [set(), *({item} for item in ids[:-1])], "a chain"
    types = [item.type for item in shape("plan-playbook-001")[1].steps]
    assert (types[0], set(types[1:-1]), types[-1]) == ("observe", {"manual"}, "verify")
    needs, plan = shape("plan-playbook-002")
    assert [item.type for item in plan.steps[:4]] == ["observe"] * 4
    assert needs["decide"] == {item.id for item in plan.steps[:4]}
    assert all(not needs[item.id] for item in plan.steps[:4])
    assert shape("plan-playbook-003")[1].steps[-1].type == "record"
    needs, _ = shape("plan-playbook-004")
    assert needs["block-sources"] == needs["end-sessions"] == {"collect-evidence"}
    needs, _ = shape("plan-runbook-001")
    assert needs["prepare-standby"] == needs["pause-writers"]
    assert needs["promote-standby"] == {"prepare-standby", "pause-writers"}
    needs, plan = shape("plan-release-001")
    assert needs["smoke-tests"] == needs["review-scan"]
    assert [item.id for item in plan.steps if item.optional] == ["roll-back"]
    kinds = [item.automated for item in shape("plan-release-002")[1].steps]
    assert kinds == [True, False, True, False, True, True], "automated, with manual gates"
    for plan_id in ("plan-release-003", "plan-release-004"):
        assert shape(plan_id)[1].steps[-1].type == "verify"
    needs, _ = shape("plan-complex-001")
    tracks = {item.split("-")[0] for item in needs} & {"traffic", "data", "people"}
    crossing = [
        (item, other)
        for item, others in needs.items()
        for other in others
        if {item.split("-")[0], other.split("-")[0]} <= tracks
        and item.split("-")[0] != other.split("-")[0]
    ]
    assert len(tracks) == 3
    assert len(crossing) >= 3


def test_the_environment_of_plans_and_runs_is_that_of_the_world(tmp_path):
    demo = Demo(tmp_path, environment="live", source="lab")
    assert {plan["fields"]["environment"] for plan in demo.call("plans.query")} == {"live"}
    runs = demo.call("runs.query", {"scope": {"environment": "live"}})
    assert len(runs) == 5
    assert {run["metadata"]["source"] for run in runs} == {"lab"}
    assert demo.call("plans.query", {"scope": {"environment": "prod"}}) == []


@pytest.mark.parametrize(
    ("run_id", "plan_id", "status", "expected", "links"),
    [
        (
            "run-001",
            "plan-playbook-001",
            "blocked",
            ["succeeded", "succeeded", "ready", "pending", "pending", "pending"],
            {"incidentId": "inc-scenario-002"},
        ),
        (
            "run-002",
            "plan-release-001",
            "running",
            ["succeeded"] * 3 + ["running", "ready"] + ["pending"] * 4,
            {"deploymentId": "deploy-015"},
        ),
        (
            "run-003",
            "plan-release-003",
            "completed",
            ["succeeded"] * 5,
            {"incidentId": "inc-scenario-003", "deploymentId": "deploy-012"},
        ),
        (
            "run-scenario-001",
            "plan-playbook-002",
            "blocked",
            ["succeeded"] * 4 + ["ready"] + ["pending"] * 3,
            {"incidentId": "inc-scenario-001"},
        ),
        (
            "run-scenario-006",
            "plan-release-004",
            "created",
            ["ready"] + ["pending"] * 4,
            {"incidentId": "inc-scenario-006", "deploymentId": "deploy-014"},
        ),
    ],
)
def test_a_seeded_run_stands_where_the_story_has_it(demo, run_id, plan_id, status, expected, links):
    run = demo.run(run_id)
    assert (run["planId"], run["status"]) == (plan_id, status)
    assert list(statuses(run)) == [item["id"] for item in run["plan"]["steps"]], "real step ids"
    assert list(statuses(run).values()) == expected
    assert links.items() <= run["fields"].items()
    service = PLANS[plan_id][0]
    assert run["scope"] == {"service": service, "team": team_of(service), "environment": "prod"}
    assert run["fields"]["createdBy"] in MEMBER_BY_HANDLE


def test_seeded_runs_link_to_the_world_and_back_and_have_times_in_order(demo):
    for run in demo.call("runs.query"):
        fields = run["fields"]
        assert run["scope"]["service"] in SERVICE_BY_ID
        if "incidentId" in fields:
            assert run["id"] in INCIDENT_BY_ID[fields["incidentId"]].run_ids
        if "deploymentId" in fields:
            assert run["id"] in DEPLOYMENT_BY_ID[fields["deploymentId"]].run_ids
        for item in run["steps"]:
            if item["status"] == "succeeded":
                assert item["actor"] in {*MEMBER_BY_HANDLE, *ROBOTS}
                assert run["createdAt"] <= item["startedAt"] <= item["finishedAt"] <= text(ANCHOR)
    named = {run_id for scenario in SCENARIOS for run_id in scenario.run_ids}
    for run in demo.call("runs.query"):
        assert run["metadata"].get("isScenario", False) == (run["id"] in named)
        assert ("scenarioId" in run["fields"]) == (run["id"] in named)
    assert demo.run("run-003")["updatedAt"] == text(ANCHOR - minutes(50))


def test_a_simulated_step_takes_its_time_and_then_the_next_is_due(demo):
    run_id = demo.start("plan-release-002")
    first = demo.run(run_id)
    assert (first["status"], statuses(first)["deploy-canary"]) == ("running", "running")
    assert first["createdAt"] == first["updatedAt"] == text(ANCHOR)
    demo.wait(9.999)
    assert demo.run(run_id) == first
    demo.wait(0.001)
    run = demo.run(run_id)
    assert (run["status"], statuses(run)["gate-first"]) == ("blocked", "ready")
    done = step(run, "deploy-canary")
    assert (done["finishedAt"], done["actor"]) == (text(demo.now), "sre-bot")
    assert done["fields"]["runner"] == "simulated"
    assert done["fields"]["durationMs"] == 10_000
    assert done["fields"]["output"] == "simulated: demo/deploy:2 canary --weight 5"


def test_steps_that_were_due_long_ago_are_settled_in_order_at_their_own_times(demo):
    run_id = demo.start("plan-release-002")
    demo.wait(10)
    demo.complete(run_id, "gate-first")
    demo.wait(10)
    demo.complete(run_id, "gate-second")
    promoted = demo.now + datetime.timedelta(seconds=10)
    demo.wait(3600)
    run = demo.run(run_id)
    assert run["status"] == "completed"
    assert step(run, "promote")["finishedAt"] == text(promoted)
    assert step(run, "remove-stable")["startedAt"] == text(promoted)
    assert run["updatedAt"] == text(promoted + datetime.timedelta(seconds=10))
    demo.wait(3600)
    assert demo.run(run_id) == run, "what is settled stays as it is"


def test_it_does_not_matter_how_often_anyone_looks(tmp_path):
    seen = []
    for folder, looks in (("seldom", 1), ("often", 40)):
        demo = Demo(tmp_path / folder)
        run_id = demo.start("plan-playbook-002")
        for _ in range(looks):
            demo.wait(40 / looks)
            demo.run(run_id)
        run = demo.run(run_id)
        seen.append((run["status"], run["updatedAt"], [{**s} for s in run["steps"]]))
    assert seen[0] == seen[1]


def test_a_query_settles_all_runs_and_a_completion_its_own(demo):
    run_id = demo.start("plan-release-002")
    demo.wait(30)
    assert run_id in [r["id"] for r in demo.call("runs.query", {"statuses": ["blocked"]})]
    other = demo.start("plan-release-002")
    demo.wait(10)
    demo.complete(other, "gate-first")
    assert statuses(demo.run(other))["widen-canary"] == "running"


def test_the_step_time_is_configured(tmp_path):
    demo = Demo(tmp_path, stepSeconds=0)
    assert demo.call("runs.start", {"planId": "plan-release-002"})["status"] == "blocked"


def test_a_step_named_fails_fails_and_an_override_leads_out(demo, tmp_path, monkeypatch):
    plans = tmp_path / "plans"
    plans.mkdir()
    (plans / "plan-x.yaml").write_text(
        "title: X\nservice: svc-web\nteam: team-velocity\nenvironment: prod\nsteps:\n"
        "  - {id: deploy-fails, title: D, type: automated, exec: {image: demo/x}}\n"
        "  - {id: watch-fails, title: W, type: observe, exec: {image: demo/x}}\n"
        "  - {id: after, title: A, dependsOn: [deploy-fails, watch-fails]}\n"
        "  - {id: back, title: B, optional: true}\n"
    )
    demo.run("run-001")
    monkeypatch.setattr(runbooks, "FOLDER", PlanFolder(plans))
    run_id = demo.start("plan-x")
    demo.wait(10)
    run = demo.run(run_id)
    assert run["status"] == "failed"
    assert list(statuses(run).values()) == ["failed", "succeeded", "pending", "ready"]
    assert step(run, "deploy-fails")["fields"]["exitCode"] == 1
    assert step(run, "watch-fails")["fields"]["warning"] == "exit status 1"
    demo.complete(run_id, "back")
    with pytest.raises(BadRequest, match="a note is required"):
        demo.complete(run_id, "deploy-fails")
    demo.complete(run_id, "deploy-fails", note="by hand")
    demo.complete(run_id, "after")
    assert demo.run(run_id)["status"] == "completed"


def test_the_optional_way_back_is_skipped_when_the_release_holds(demo):
    demo.wait(60)
    for step_id, seconds in (("review-scan", 0), ("approve", 10), ("verify-production", 0)):
        demo.complete("run-002", step_id)
        demo.wait(seconds)
    run = demo.run("run-002")
    assert (run["status"], statuses(run)["roll-back"]) == ("completed", "skipped")


def test_a_run_keeps_the_actor_the_note_and_the_plan(demo):
    answer = demo.complete("run-001", "end-idle-sessions", note="ended 54", actor="noor")
    assert answer == {"status": "ok"}
    done = step(demo.run("run-001"), "end-idle-sessions")
    assert (done["actor"], done["note"], done["finishedAt"]) == ("noor", "ended 54", text(ANCHOR))
    started = demo.call("runs.start", {"planId": "plan-playbook-004"}, actor="priya")
    assert started["fields"]["createdBy"] == "priya"
    assert started["plan"]["id"] == started["planId"] == "plan-playbook-004"
    assert started["metadata"] == {"source": "demo"}
    assert started["url"] == f"https://demo.opsorch.example/orchestration/{started['id']}"


def test_no_secret_of_a_plan_is_shown(demo):
    demo.wait(60)
    shown = str([demo.run("run-002"), demo.call("plans.query"), demo.call("runs.query")])
    assert "demo-signing-token" not in shown
    assert "'SIGNING_TOKEN': '***'" in shown


@pytest.mark.parametrize(
    ("method", "payload", "error", "message"),
    [
        ("plans.get", {"planId": "plan-x"}, NotFound, "plan plan-x not found"),
        ("plans.get", {"planId": "../x"}, BadRequest, "planId must not contain"),
        ("plans.get", {"planId": "a/b"}, BadRequest, "planId must not contain"),
        ("plans.get", {}, BadRequest, "planId is required"),
        ("runs.get", {"runId": "run-x"}, NotFound, "run run-x not found"),
        ("runs.get", {"runId": " "}, BadRequest, "runId is required"),
        ("runs.start", {"planId": "plan-x"}, NotFound, "plan plan-x not found"),
        ("runs.start", {"planId": None}, BadRequest, "planId is required"),
        ("runs.query", {"statuses": ["open"]}, BadRequest, "statuses: 'open' is unknown"),
        ("plans.query", {"limit": -1}, BadRequest, "limit"),
        (
            "runs.steps.complete",
            {"runId": "run-001", "stepId": "zzz"},
            NotFound,
            "run run-001 has no step zzz",
        ),
        (
            "runs.steps.complete",
            {"runId": "run-001", "stepId": "limit-caller"},
            Conflict,
            "step limit-caller waits for: end-idle-sessions",
        ),
        (
            "runs.steps.complete",
            {"runId": "run-003", "stepId": "verify-payments"},
            Conflict,
            "run run-003 is completed",
        ),
        (
            "runs.steps.complete",
            {"runId": "run-002", "stepId": "smoke-tests"},
            Conflict,
            "step smoke-tests is being executed",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(
    demo, method, payload, error, message
):
    before = demo.call("runs.query")
    with pytest.raises(error, match=message):
        demo.call(method, payload)
    assert demo.call("runs.query") == before


def test_queries_that_match_nothing_are_empty_lists(demo):
    assert demo.call("plans.query", {"query": "no such words"}) == []
    assert demo.call("runs.query", {"query": "no such words"}) == []


def test_runs_are_listed_the_newest_first_and_filtered(demo):
    def found(payload):
        return [run["id"] for run in demo.call("runs.query", payload)]

    order = ["run-scenario-006", "run-002", "run-001", "run-scenario-001", "run-003"]
    assert found({}) == order
    assert found({"limit": 2}) == order[:2]
    assert found({"scope": {"team": "team-data"}}) == ["run-001"]
    assert found({"statuses": ["blocked"], "query": "latency"}) == ["run-scenario-001"]
    assert found({"metadata": {"createdBy": "sam"}}) == ["run-003"]


def test_the_check_counts_runs_and_plans(demo):
    checks = demo.provider.check(Call())
    assert [(c.ok, c.message) for c in checks] == [(True, "5 runs"), (True, "12 plans")]


def test_the_check_names_bad_plan_files(demo, tmp_path, monkeypatch):
    (tmp_path / "bad.yaml").write_text("title: [\n")
    folder = PlanFolder(tmp_path)
    monkeypatch.setattr("opsorch_plugins.demo.orchestration.FOLDER", folder)
    _, plans = demo.provider.check(Call())
    assert not plans.ok
    assert "plan file bad.yaml: line 2: no YAML" in plans.message


# Completes the steps that it is told, and prints the code of each answer.
COMPLETER = """
import sys
from opsorch.errors import OpsOrchError
from opsorch.plugin import Call
from opsorch_plugins.demo.orchestration import DemoOrchestration
provider = DemoOrchestration({"dataDir": sys.argv[1], "anchor": sys.argv[2]})
for line in sys.stdin:
    run_id, step_id = line.split()
    try:
        provider.steps_complete({"runId": run_id, "stepId": step_id, "note": "n"}, Call())
        print("ok", flush=True)
    except OpsOrchError as error:
        print(error.code, flush=True)
"""


@pytest.mark.case("demo", 13)
def test_of_two_processes_that_complete_one_step_one_succeeds(tmp_path):
    """Invariant 13, fifty times."""
    demo = Demo(tmp_path)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", COMPLETER, str(tmp_path), text(ANCHOR)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for _ in range(10):
            run_id = demo.start("plan-playbook-003")
            for item in demo.run(run_id)["steps"]:
                for child in children:
                    child.stdin.write(f"{run_id} {item['stepId']}\n")
                    child.stdin.flush()
                answers = sorted(child.stdout.readline() for child in children)
                assert answers == ["conflict\n", "ok\n"]
            assert demo.run(run_id)["status"] == "completed"
    finally:
        for child in children:
            child.communicate(timeout=20)


def test_two_that_settle_at_once_write_each_end_once(tmp_path):
    demo = Demo(tmp_path)
    run_ids = [demo.start("plan-release-002") for _ in range(5)]
    demo.wait(10)
    barrier, seen = threading.Barrier(6), []

    def look():
        barrier.wait(10)
        seen.append(demo.call("runs.query"))

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(seen) == 6
    assert seen == [seen[0]] * 6
    with demo.provider.state().read() as connection:
        ends = connection.exec_driver_sql(
            "SELECT run_id FROM events WHERE step_id = 'deploy-canary' AND to_status = 'succeeded'"
        )
        assert sorted(ends.scalars()) == sorted(run_ids)


@pytest.mark.case("orchestration", 18)
def test_a_run_goes_on_when_every_call_has_a_process_of_its_own(tmp_path):
    config = {"dataDir": str(tmp_path), "stepSeconds": 0}

    def call(method, payload):
        with run_plugin(DemoOrchestration) as plugin:
            reply = plugin.call(
                f"orchestration.{method}", payload, config=config, context={"actor": "kim"}
            )
        return reply["result"]

    run = call("runs.start", {"planId": "plan-release-003"})
    assert run["status"] == "created"
    for step_id in ("confirm-cause", "freeze-deployments", "reconcile-charges", "verify-payments"):
        assert call("runs.steps.complete", {"runId": run["id"], "stepId": step_id}) == {
            "status": "ok"
        }
    done = call("runs.get", {"runId": run["id"]})
    assert (done["status"], set(statuses(done).values())) == ("completed", {"succeeded"})
    assert {item["actor"] for item in done["steps"]} == {"kim", "sre-bot"}


def test_starting_and_completing_answer_quickly(demo):
    started = datetime.datetime.now(datetime.UTC)
    for _ in range(20):
        run_id = demo.start("plan-complex-001")
        demo.complete(run_id, "declare")
    took = datetime.datetime.now(datetime.UTC) - started
    assert took / 40 < datetime.timedelta(milliseconds=100)
