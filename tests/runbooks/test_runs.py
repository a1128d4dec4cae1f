"""Runs from start to end: statuses, events, what completing refuses, and several processes."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from opsorch.errors import BadRequest, Conflict, InvalidConfig, NotFound
from opsorch.runbooks import store
from opsorch.runbooks.database import open_file
from opsorch.runbooks.live import Completion
from opsorch.runbooks.states import IllegalTransition, Outcome, run_status
from opsorch.runbooks.tables import ensure_schema, meta, steps
from opsorch.runbooks.tables import runs as runs_table
from tests.runbooks.support import BEGIN, LEASE, Runs, chain, plan_with

EXEC = {"image": "i:1", "args": ["go"]}


@pytest.mark.case("orchestration", 1)
@pytest.mark.case("orchestration", 18)
@pytest.mark.parametrize("fresh", [False, True], ids=["one process", "restarted for each call"])
def test_a_chain_goes_step_by_step(tmp_path, fresh):
    runs = Runs(tmp_path / "s.db", fresh=fresh)
    run = runs.start(chain("a", "b", "c"), actor="ivan")
    assert runs.statuses(run) == "created: a=ready b=pending c=pending"
    runs.complete(run, "a")
    assert runs.statuses(run) == "blocked: a=succeeded b=ready c=pending"
    runs.complete(run, "b", actor="lee")
    assert runs.statuses(run) == "blocked: a=succeeded b=succeeded c=ready"
    runs.complete(run, "c")
    assert runs.statuses(run) == "completed: a=succeeded b=succeeded c=succeeded"
    assert runs.events(run) == [
        ("a", "", "ready", "ivan"),
        ("b", "", "pending", "ivan"),
        ("c", "", "pending", "ivan"),
        ("a", "ready", "succeeded", "kim"),
        ("b", "pending", "ready", "system"),
        ("b", "ready", "succeeded", "lee"),
        ("c", "pending", "ready", "system"),
        ("c", "ready", "succeeded", "kim"),
    ]
    runs.close()


@pytest.mark.case("orchestration", 2)
def test_a_join_waits_for_both_and_steps_keep_the_order_of_the_plan(runs):
    plan = plan_with(
        {"id": "z"},
        {"id": "y", "dependsOn": ["z"]},
        {"id": "x", "dependsOn": ["z"]},
        {"id": "a", "dependsOn": ["x", "y"]},
    )
    run = runs.start(plan)
    runs.complete(run, "z")
    runs.complete(run, "x")
    assert runs.statuses(run) == "blocked: z=succeeded y=ready x=succeeded a=pending"
    runs.complete(run, "y")
    assert runs.statuses(run) == "blocked: z=succeeded y=succeeded x=succeeded a=ready"


@pytest.mark.case("orchestration", 3)
def test_completing_a_pending_step_names_what_it_waits_for_and_writes_nothing(runs):
    plan = plan_with({"id": "a"}, {"id": "b"}, {"id": "c", "dependsOn": ["b", "a"]})
    run = runs.start(plan)
    before, events = runs.get(run), runs.events(run)
    with pytest.raises(Conflict, match=r"^step c waits for: a, b$"):
        runs.complete(run, "c")
    assert (runs.get(run), runs.events(run)) == (before, events)
    runs.complete(run, "a")
    with pytest.raises(Conflict, match=r"^step c waits for: b$"):
        runs.complete(run, "c")


@pytest.mark.case("orchestration", 4)
def test_completing_twice_is_a_conflict_that_says_who_did_it_and_when(runs):
    run = runs.start(chain("a", "b"))
    runs.complete(run, "a", actor="lee")
    events = runs.events(run)
    with pytest.raises(Conflict, match=r"^step a was completed by lee at 2026-03-01T08:00:02Z$"):
        runs.complete(run, "a")
    assert runs.events(run) == events
    runs.complete(run, "b")
    with pytest.raises(Conflict, match=f"^run {run} is completed$"):
        runs.complete(run, "b")


@pytest.mark.case("orchestration", 4)
def test_of_two_processes_that_complete_one_step_one_succeeds(runs):
    rounds = 50
    plan = chain(*(f"s{number}" for number in range(rounds + 1)))
    run = runs.start(plan)
    command = [sys.executable, "-m", "tests.runbooks.completer", str(runs.path)]
    children = [
        subprocess.Popen(
            [*command, actor], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for actor in ("kim", "lee")
    ]
    try:
        for number in range(rounds):
            for child in children:
                child.stdin.write(f"{run} s{number}\n")
                child.stdin.flush()
            assert sorted(c.stdout.readline() for c in children) == ["conflict\n", "ok\n"]
    finally:
        for child in children:
            child.communicate(timeout=20)
    done = [event for event in runs.events(run) if event[2] == "succeeded"]
    assert [event[0] for event in done] == [f"s{number}" for number in range(rounds)]


@pytest.mark.case("orchestration", 5)
def test_an_unknown_run_or_step_is_not_found(runs):
    run = runs.start(chain("a"))
    for call in (runs.get, lambda run_id: runs.complete(run_id, "a")):
        with pytest.raises(NotFound, match=r"^run run-x not found$"):
            call("run-x")
    with pytest.raises(NotFound, match=f"^run {run} has no step q$"):
        runs.complete(run, "q")


@pytest.mark.case("orchestration", 9)
def test_a_failed_run_lets_operators_go_on_and_an_override_leads_out_of_it(runs):
    plan = plan_with(
        {"id": "deploy", "type": "automated", "exec": EXEC},
        {"id": "later", "type": "automated", "exec": EXEC},
        {"id": "roll-back"},
        {"id": "after", "dependsOn": ["deploy"]},
    )
    run = runs.start(plan)
    runs.execute(run, "deploy", Outcome(exit_code=3))
    assert runs.statuses(run) == "failed: deploy=failed later=ready roll-back=ready after=pending"
    with runs.database().writing() as connection:
        assert store.load(connection, run).claimable() == [], "a failed run starts nothing"
    runs.complete(run, "roll-back")
    with pytest.raises(BadRequest, match=r"a note is required: it overrides a failed step"):
        runs.complete(run, "deploy", note=" ")
    runs.complete(run, "deploy", note="did it by hand")
    step = runs.step(run, "deploy")
    assert (step["status"], step["actor"], step["note"]) == ("succeeded", "kim", "did it by hand")
    assert step["fields"]["overridden"] is True
    assert (step["fields"]["error"], step["fields"]["exitCode"]) == ("exit status 3", 3)
    assert runs.get(run)["status"] == "running", "the other step is the runner's again"
    runs.execute(run, "later", Outcome(exit_code=0))
    assert runs.get(run)["status"] == "blocked"
    runs.complete(run, "after")
    assert runs.get(run)["status"] == "completed"


@pytest.mark.case("orchestration", 10)
def test_a_step_that_no_runner_may_take_is_blocked_and_an_operator_completes_it(runs):
    plan = plan_with(
        {"id": "a", "type": "automated", "exec": EXEC}, {"id": "b", "dependsOn": ["a"]}
    )
    run = runs.start(plan)
    runs.change(run, lambda live, at_us: live.hold("a", "runner is none", at_us=at_us))
    step = runs.step(run, "a")
    assert (step["status"], step["note"]) == ("blocked", "runner is none")
    runs.change(run, lambda live, at_us: live.release("a", at_us=at_us))
    assert (runs.step(run, "a")["status"], "note" in runs.step(run, "a")) == ("ready", False)
    runs.change(run, lambda live, at_us: live.hold("a", "runner is none", at_us=at_us))
    runs.complete(run, "a")
    assert runs.statuses(run) == "blocked: a=succeeded b=ready"
    runs.complete(run, "b")
    assert runs.get(run)["status"] == "completed"


@pytest.mark.case("orchestration", 17)
def test_a_record_needs_a_note(runs):
    run = runs.start(plan_with({"id": "a", "type": "record"}))
    with pytest.raises(BadRequest, match=r"a note is required: it completes a record step \(a\)"):
        runs.complete(run, "a", note="\n")
    runs.complete(run, "a", note="what happened")
    assert runs.step(run, "a")["note"] == "what happened"


@pytest.mark.case("orchestration", 17)
def test_an_observation_that_exits_with_two_counts_as_done_with_a_warning(runs):
    run = runs.start(plan_with({"id": "a", "type": "observe", "exec": EXEC}))
    runs.execute(run, "a", Outcome(exit_code=2))
    step = runs.step(run, "a")
    assert step["status"] == "succeeded"
    assert (step["fields"]["exitCode"], step["fields"]["warning"]) == (2, "exit status 2")


@pytest.mark.case("orchestration", 17)
def test_an_optional_branch_is_skipped_at_the_end(runs):
    plan = plan_with(
        {"id": "a"},
        {"id": "back", "optional": True, "dependsOn": ["a"]},
        {"id": "back-2", "optional": True, "dependsOn": ["back"]},
        {"id": "b", "dependsOn": ["a"]},
    )
    run = runs.start(plan)
    runs.complete(run, "a")
    assert runs.statuses(run) == "blocked: a=succeeded back=ready back-2=pending b=ready"
    runs.complete(run, "b")
    assert runs.statuses(run) == "completed: a=succeeded back=skipped back-2=skipped b=succeeded"
    assert ("back", "ready", "skipped", "system") in runs.events(run)


def test_a_skipped_or_cancelled_step_is_not_completed(runs):
    plan = plan_with({"id": "a"}, {"id": "b"})
    run = runs.start(plan)
    for status in ("skipped", "cancelled"):
        with runs.database().writing() as connection:
            here = (steps.c.run_id == run) & (steps.c.step_id == "a")
            connection.execute(update(steps).where(here).values(status=status))
        with pytest.raises(Conflict, match=f"step a is {status}"):
            runs.complete(run, "a")
    with runs.database().writing() as connection:
        connection.execute(update(runs_table).values(status="cancelled"))
    with pytest.raises(Conflict, match=f"run {run} is cancelled"):
        runs.complete(run, "b")


def test_a_step_of_the_runner_is_not_the_operators(runs):
    run = runs.start(plan_with({"id": "a", "type": "automated", "exec": EXEC}, {"id": "b"}))
    with pytest.raises(BadRequest, match="step a runs automatically"):
        runs.complete(run, "a")
    runs.change(run, lambda live, at_us: live.claim("a", lease=LEASE, at_us=at_us))
    assert runs.statuses(run) == "running: a=running b=ready"
    with pytest.raises(Conflict, match="step a is being executed"):
        runs.complete(run, "a")


def test_a_finished_step_tells_its_course_and_keeps_what_the_plan_said(runs):
    env = {"API_TOKEN": "hush", "LEVEL": "2"}
    plan = plan_with(
        {"id": "a", "type": "invoke", "exec": {**EXEC, "env": env}, "reasoning": "because"}
    )
    run = runs.start(plan)
    runs.execute(run, "a", Outcome(exit_code=0), output="done\n")
    step = runs.step(run, "a")
    assert step["fields"] == {
        "reasoning": "because",
        "exec": {"image": "i:1", "args": ["go"], "env": {"API_TOKEN": "***", "LEVEL": "2"}},
        "automated": True,
        "output": "done\n",
        "runner": "test",
        "exitCode": 0,
        "attempt": 1,
        "durationMs": 1000,
    }
    assert (step["startedAt"], step["finishedAt"]) == (
        "2026-03-01T08:00:02Z",
        "2026-03-01T08:00:03Z",
    )
    assert step["actor"] == "system"
    assert "hush" not in str(runs.get(run))


def test_a_step_without_an_exit_status_fails_with_its_reason(runs):
    run = runs.start(plan_with({"id": "a", "type": "observe", "exec": EXEC}))
    runs.execute(run, "a", Outcome(exit_code=None, error="timed out after 5 s"))
    step = runs.step(run, "a")
    assert (step["status"], step["note"]) == ("failed", "timed out after 5 s")
    assert step["fields"]["error"] == "timed out after 5 s"


def test_only_the_holder_of_the_lease_finishes_a_step(runs):
    run = runs.start(plan_with({"id": "a", "type": "automated", "exec": EXEC}))
    runs.change(run, lambda live, at_us: live.claim("a", lease="mine", at_us=at_us))

    def finish(live, at_us):
        live.finish("a", Outcome(exit_code=0), lease="other", at_us=at_us, runner="test")

    with pytest.raises(Conflict, match="step a has changed meanwhile"):
        runs.change(run, finish)
    assert runs.step(run, "a")["status"] == "running"


def test_a_step_that_changed_since_it_was_read_is_a_conflict_and_nothing_is_written(runs):
    run = runs.start(chain("a", "b"))

    def act(live, at_us):
        live._connection.execute(
            update(steps).where(steps.c.step_id == "a").values(status="blocked")
        )
        live.complete(Completion(run, "a", "kim", ""), at_us=at_us)

    events = runs.events(run)
    with pytest.raises(Conflict, match="step a has changed meanwhile"):
        runs.change(run, act)
    assert runs.statuses(run) == "created: a=ready b=pending"
    assert runs.events(run) == events


def test_a_step_is_claimed_once(runs):
    run = runs.start(plan_with({"id": "a", "type": "automated", "exec": EXEC}))
    runs.change(run, lambda live, at_us: live.claim("a", lease="one", at_us=at_us))
    with pytest.raises(IllegalTransition):
        runs.change(run, lambda live, at_us: live.claim("a", lease="two", at_us=at_us))
    with runs.database().reading() as connection:
        assert connection.scalar(select(steps.c.lease_owner)) == "one"


@pytest.mark.case("orchestration", 11)
def test_a_run_keeps_the_plan_of_its_start(runs, tmp_path):
    plan = chain("a", "b", description="as it was")
    run = runs.start(plan)
    before = runs.get(run)["plan"]
    edited = chain("a", "new", title="Another")
    other = runs.start(edited)
    runs.complete(run, "a")
    runs.complete(run, "b")
    with pytest.raises(NotFound):
        runs.complete(run, "new")
    assert runs.get(run)["plan"] == before
    assert (before["description"], [s["id"] for s in before["steps"]]) == ("as it was", ["a", "b"])
    assert runs.get(other)["plan"]["title"] == "Another"


def test_a_run_in_results_has_scope_times_and_who_started_it(runs):
    plan = chain("a", version="1.2")
    run = runs.start(plan, actor=" ", fields={"incidentId": "inc-1"}, metadata={"m": 1})
    result = runs.get(run)
    assert run.startswith("run-")
    assert result["scope"] == {"service": "svc-a", "team": "team-a", "environment": "prod"}
    assert result["createdAt"] == result["updatedAt"] == "2026-03-01T08:00:01Z"
    assert result["fields"] == {
        "incidentId": "inc-1",
        "createdBy": "unknown",
        "planTitle": "A plan",
        "planVersion": "1.2",
    }
    assert (result["metadata"], result["planId"]) == ({"m": 1}, "plan-t")


def test_updated_at_strictly_increases_even_when_the_clock_goes_back(runs):
    run = runs.start(chain("a", "b", "c"))
    seen = [runs.get(run)["updatedAt"]]
    for step_id in ("a", "b", "c"):
        runs.now = BEGIN
        runs.complete(run, step_id)
        seen.append(runs.get(run)["updatedAt"])
    assert [t.rstrip("Z") for t in seen] == sorted({t.rstrip("Z") for t in seen})


def test_saving_without_a_change_writes_nothing(runs):
    run = runs.start(chain("a"))
    before = runs.get(run)
    runs.change(run, lambda live, at_us: None)
    assert runs.get(run) == before


def test_a_plan_of_optional_steps_only_is_worked_through(runs):
    run = runs.start(plan_with({"id": "a", "optional": True}, {"id": "b", "optional": True}))
    runs.complete(run, "a")
    assert runs.statuses(run) == "blocked: a=succeeded b=ready"
    runs.complete(run, "b")
    assert runs.get(run)["status"] == "completed"


def test_a_database_of_a_newer_release_is_refused(runs):
    with runs.database().writing() as connection:
        ensure_schema(connection)
        connection.execute(update(meta).values(value="2"))
    with (
        pytest.raises(InvalidConfig, match="has schema version 2, this release knows 1"),
        runs.database().writing() as connection,
    ):
        ensure_schema(connection)
    with runs.database().writing() as connection:
        connection.execute(insert(meta), [{"key": "other", "value": "x"}])


@st.composite
def plans(draw):
    """A plan of up to seven steps, each depending on some before it."""
    made = []
    for number in range(draw(st.integers(1, 7))):
        earlier = [s for s in made if not s.get("optional")]
        chosen = draw(st.lists(st.sampled_from(earlier), unique_by=id)) if earlier else []
        kind = draw(st.sampled_from(["manual", "record", "observe", "verify", "automated"]))
        step = {"id": f"s{number}", "type": kind, "dependsOn": [s["id"] for s in chosen]}
        if kind == "automated":
            step["exec"] = EXEC
        if draw(st.booleans()):
            step["optional"] = True
        made.append(step)
    return plan_with(*made)


@settings(max_examples=40, deadline=None)
@given(plans(), st.data())
def test_every_course_keeps_the_dependencies_and_ends(tmp_path_factory, plan, data):
    """Whatever order operators and runner choose, failures and overrides included."""
    database = open_file(tmp_path_factory.mktemp("course") / "s.db")
    needs = {step.id: step.depends_on for step in plan.steps}
    with database.writing() as connection:
        ensure_schema(connection)
        run = store.start(connection, plan, actor="kim", at=BEGIN)
        for _ in range(4 * len(plan.steps)):
            open_steps = [
                s
                for s in run.steps.values()
                if s.status == "failed"
                or (s.status == "ready" and (not s.state.automated or run.claimable()))
            ]
            if run.status == "completed":
                break
            step = data.draw(st.sampled_from(open_steps))
            step_id = step.state.id
            for other in needs[step_id]:
                assert run.steps[other].status in ("succeeded", "skipped")
            if step.status == "ready" and step.state.automated:
                run.claim(step_id, lease=LEASE, at_us=1)
                code = data.draw(st.integers(0, 1))
                run.finish(step_id, Outcome(code), lease=LEASE, at_us=2, runner="test")
            else:
                run.complete(Completion(run.id, step_id, "kim", "note"), at_us=3)
            assert run.status == run_status(run.states)
            run.save()
        assert run.status == "completed"
        again = store.load(connection, run.id)
        assert (again.status, again.states) == (run.status, run.states)
    database.close()
