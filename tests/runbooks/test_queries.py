"""Filters of plans and runs, and what payloads are refused."""

import pytest
from sqlalchemy import event

from opsorch.errors import BadRequest
from opsorch.runbooks import queries
from opsorch.runbooks.requests import PlanQuery, RunQuery, completion_of, id_from
from tests.runbooks.support import Runs, chain, plan_with

ALL_STATUSES = "blocked, cancelled, completed, created, failed, running"
case_15 = pytest.mark.case("orchestration", 15)


def scoped(plan_id: str, service: str, team: str, **more):
    return chain("a", id=plan_id, service=service, team=team, **more)


PLANS = [
    scoped("p-3", "svc-b", "team-b", title="Cache flush", tags={"kind": "runbook"}),
    scoped("p-1", "svc-a", "team-a", title="Database failover", description="move the PRIMARY"),
    scoped("p-2", "svc-a", "team-b", title="Café 50%_off", tags={"kind": "play", "risk": "High"}),
    plan_with({"id": "s", "type": "verify"}, id="p-4", title="Check", team="Team-A"),
]


def plan_ids(payload):
    return [plan.id for plan in PlanQuery.of(payload).over(PLANS)]


@case_15
@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({}, "p-1 p-2 p-3 p-4"),
        ({"query": None, "scope": None, "tags": None, "metadata": None}, "p-1 p-2 p-3 p-4"),
        ({"query": "DATA fail"}, "p-1"),
        ({"query": "failover cache"}, ""),
        ({"query": "primary database"}, "p-1"),
        ({"query": "p-3"}, "p-3"),
        ({"query": "high CAFÉ"}, "p-2"),
        ({"query": "%_"}, "p-2"),
        ({"query": "kind"}, ""),
        ({"scope": {"service": "svc-a"}}, "p-1 p-2 p-4"),
        ({"scope": {"service": "svc-a", "team": "team-a"}}, "p-1"),
        ({"scope": {"team": "TEAM-A"}}, ""),
        ({"scope": {"environment": "prod", "team": "Team-A"}}, "p-4"),
        ({"tags": {"kind": "play"}}, "p-2"),
        ({"tags": {"kind": "play", "risk": "high"}}, ""),
        ({"tags": {"other": ""}}, ""),
        ({"limit": 2}, "p-1 p-2"),
        ({"limit": 2, "scope": {"team": "team-b"}}, "p-2 p-3"),
        ({"metadata": {"type": "verify"}}, "p-4"),
        ({"metadata": {"type": "manual", "other": 1}}, "p-1 p-2 p-3"),
        ({"metadata": {"type": 5}}, ""),
    ],
)
def test_plans_are_filtered_by_words_scope_tags_and_step_type(payload, expected):
    assert plan_ids(payload) == expected.split()


@pytest.fixture
def five(runs: Runs):
    """Five runs by name, the later started later; r2 is completed and r3 failed nothing."""
    plans = (PLANS[1], PLANS[1], PLANS[0], PLANS[2], PLANS[3])
    actors = ("kim", "lee", "kim", "Kim", "ivan")
    for number, (plan, actor) in enumerate(zip(plans, actors, strict=True), start=1):
        runs.start(plan, actor=actor, run_id=f"run-r{number}")
    runs.complete("run-r2", "a")
    return runs


@case_15
@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({}, "r5 r4 r3 r2 r1"),
        ({"query": "PRIMARY"}, "r2 r1"),
        ({"query": "primary cache"}, ""),
        ({"query": "cafÉ 50%_"}, "r4"),
        ({"query": "5%_o%"}, ""),
        ({"query": "0%_off"}, "r4"),
        ({"query": "/"}, ""),
        ({"query": "run-r3"}, "r3"),
        ({"query": "P-1 R2"}, "r2"),
        ({"statuses": ["completed"]}, "r2"),
        ({"statuses": ["Created", "failed"]}, "r5 r4 r3 r1"),
        ({"statuses": ["cancelled", "blocked", "running"]}, ""),
        ({"planIds": ["p-1", "p-4", "p-9"]}, "r5 r2 r1"),
        ({"planIds": ["P-1"]}, ""),
        ({"scope": {"service": "svc-a", "team": "team-b"}}, "r4"),
        ({"scope": {"environment": "PROD"}}, ""),
        ({"metadata": {"createdBy": "kim", "other": 1}}, "r3 r1"),
        ({"limit": 2}, "r5 r4"),
        ({"limit": 1, "planIds": ["p-1"], "statuses": ["created"], "query": "data"}, "r1"),
    ],
)
def test_runs_are_filtered_and_the_newest_comes_first(five, payload, expected):
    assert five.find(payload) == [f"run-{name}" for name in expected.split()]


def test_runs_of_one_instant_are_in_order_of_their_ids(runs):
    for name in ("run-b", "run-a", "run-c"):
        runs.now = runs.now.replace(second=0)
        runs.start(chain("a"), run_id=name)
    assert runs.find({}) == ["run-a", "run-b", "run-c"]


def test_a_listed_run_has_its_steps_and_all_are_loaded_in_one_query(five):
    statements = []
    database = five.database()
    event.listen(database.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    with database.reading() as connection:
        found = queries.find_runs(connection, RunQuery.of({}), lambda i: f"https://x.test/{i}")
    assert len(statements) == 2
    assert [[step["stepId"] for step in run["steps"]] for run in found] == [["s"]] + [["a"]] * 4
    assert found[0]["url"] == "https://x.test/run-r5"
    assert all("plan" not in run for run in found)


@case_15
@pytest.mark.parametrize("of", [PlanQuery.of, RunQuery.of])
@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"query": 5}, "query must be a string"),
        ({"query": "x" * 1001}, "query must be at most 1000 characters"),
        ({"query": "a\0"}, "query holds NUL or half a character"),
        ({"query": "\ud800"}, "query holds half of a surrogate pair"),
        ({"scope": []}, "scope must be an object"),
        ({"scope": {"team": 1}}, "scope.team must be a string"),
        ({"limit": -1}, "limit must be a whole number of 0 or more"),
        ({"limit": "5"}, "limit must be a whole number"),
        ({"metadata": "x"}, "metadata must be an object"),
    ],
)
def test_a_filter_of_the_wrong_type_is_refused_by_name(of, payload, message):
    with pytest.raises(BadRequest, match=message):
        of(payload)


@case_15
@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"statuses": ["done"]}, f"statuses: 'done' is unknown; use one of {ALL_STATUSES}"),
        ({"statuses": "created"}, "statuses must be a list of strings"),
        ({"planIds": [1]}, "planIds must be a list of strings"),
        ({"planIds": [str(n) for n in range(1001)]}, "planIds must be at most 1000"),
        ({"planIds": ["\ud800"]}, "planIds holds half of a surrogate pair"),
        ({"planIds": ["a\0"]}, "a filter holds NUL or half a character"),
        ({"scope": {"team": "\udc00"}}, "scope.team holds half of a surrogate pair"),
        ({"scope": {"team": "a\0"}}, "a filter holds NUL or half a character"),
        ({"metadata": {"createdBy": 1}}, "metadata.createdBy must be a string"),
    ],
)
def test_a_filter_of_runs_is_refused_by_name(payload, message):
    with pytest.raises(BadRequest, match=message):
        RunQuery.of(payload)


def test_tags_that_are_no_object_are_refused():
    with pytest.raises(BadRequest, match="tags must be an object"):
        PlanQuery.of({"tags": ["a"]})


def test_limits_default_to_a_hundred_and_end_at_a_thousand():
    for of in (PlanQuery.of, RunQuery.of):
        assert [of({"limit": n}).limit for n in (None, 0, 1000, 10**9)] == [100, 100, 1000, 1000]


@pytest.mark.case("orchestration", 5)
@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({}, "planId is required"),
        ({"planId": None}, "planId is required"),
        ({"planId": "  "}, "planId is required"),
        ({"planId": 5}, "planId must be a string"),
        ({"planId": "../x"}, "planId must not contain '/' or '..'"),
        ({"planId": "a/b"}, "planId must not contain"),
        ({"planId": "a..b"}, "planId must not contain"),
        ({"planId": "a\0"}, "planId holds NUL"),
        ({"planId": "a" * 1001}, "planId must be at most 1000 characters"),
    ],
)
def test_what_can_be_no_id_is_refused(payload, message):
    with pytest.raises(BadRequest, match=message):
        id_from(payload, "planId")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"stepId": "a"}, "runId is required"),
        ({"runId": "r"}, "stepId is required"),
        ({"runId": "r", "stepId": "a/b"}, "stepId must not contain"),
        ({"runId": "r", "stepId": "a", "actor": "x" * 257}, "actor must be at most 256 characters"),
        ({"runId": "r", "stepId": "a", "actor": 1}, "actor must be a string"),
        ({"runId": "r", "stepId": "a", "note": "x" * 4097}, "note must be at most 4096 characters"),
        ({"runId": "r", "stepId": "a", "note": ["x"]}, "note must be a string"),
        ({"runId": "r", "stepId": "a", "note": "\ud800"}, "note holds half of a surrogate pair"),
    ],
)
def test_a_completion_that_does_not_fit_is_refused_by_name(payload, message):
    with pytest.raises(BadRequest, match=message):
        completion_of(payload)


@pytest.mark.parametrize(
    ("actor", "caller", "expected"),
    [
        (" kim ", "lee", "kim"),
        ("", " lee", "lee"),
        (None, "", "unknown"),
        (None, "x" * 300, "x" * 256),
        ("x" * 256, "", "x" * 256),
    ],
)
def test_the_actor_is_the_payloads_else_the_callers_else_unknown(actor, caller, expected):
    given = {"runId": " r ", "stepId": "s", "actor": actor, "note": "n" * 4096}
    completion = completion_of(given, caller)
    assert (completion.actor, completion.run_id) == (expected, "r")
