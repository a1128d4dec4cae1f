"""The state machine as its table says, and the status of a run as a pure function."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsorch.runbooks.states import (
    DONE,
    TRANSITIONS,
    IllegalTransition,
    Outcome,
    StepState,
    StepStatus,
    Trigger,
    after,
    consequences,
    moved,
    run_status,
    verdict,
)

# From, trigger, to: written down here once more, independent of the table under test.
LEGAL = """
pending unlock ready
ready hold blocked
blocked release ready
ready claim running
running succeed succeeded
running retry ready
running fail failed
ready complete succeeded
blocked complete succeeded
failed complete succeeded
pending skip skipped
ready skip skipped
blocked skip skipped
pending cancel cancelled
ready cancel cancelled
blocked cancel cancelled
running cancel cancelled
"""
RULES = {
    (before, trigger): then for before, trigger, then in map(str.split, LEGAL.strip().split("\n"))
}


@pytest.mark.parametrize(("status", "trigger"), [*itertools.product(StepStatus, Trigger)])
def test_each_trigger_leads_where_the_rules_say_or_nowhere(status, trigger):
    expected = RULES.get((status, trigger))
    if expected is None:
        with pytest.raises(IllegalTransition, match=f"{trigger} does not apply .* is {status}"):
            after(status, trigger)
    else:
        assert after(status, trigger) == expected


def test_no_rule_is_missing_in_the_table():
    assert sum(len(rows) for rows in TRANSITIONS.values()) == len(RULES)


def steps(*words: str) -> list[StepState]:
    """Make steps of words such as ``ready``, ``failed?`` (optional), ``ready!`` (automated)."""
    return [
        StepState(
            id=f"s{number}",
            status=StepStatus(word.strip("?!+")),
            automated="!" in word,
            optional="?" in word,
            started="+" in word,
        )
        for number, word in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ready pending", "created"),
        ("ready! pending", "created"),
        ("blocked! pending", "created"),
        ("ready!+ pending", "running"),
        ("running! pending", "running"),
        ("running! failed", "failed"),
        ("running! failed?", "running"),
        ("succeeded ready!", "running"),
        ("succeeded ready", "blocked"),
        ("succeeded blocked!", "blocked"),
        ("succeeded pending failed?", "blocked"),
        ("succeeded failed?", "blocked"),
        ("succeeded skipped?", "completed"),
        ("succeeded succeeded", "completed"),
        ("failed succeeded", "failed"),
    ],
)
def test_the_first_rule_that_holds_gives_the_status_of_a_run(words, expected):
    assert run_status(steps(*words.split())) == expected


def test_a_cancelled_run_stays_cancelled_whatever_its_steps_say():
    for status in StepStatus:
        assert run_status(steps(status), cancelled=True) == "cancelled"


def test_consequences_ready_what_waits_for_nothing_and_skip_what_is_left():
    a, b = StepState("a", StepStatus.SUCCEEDED), StepState("b", StepStatus.PENDING, ("a",))
    c = StepState("c", StepStatus.PENDING, ("a", "b"))
    d = StepState("d", StepStatus.READY, optional=True)
    assert [(m.step_id, m.trigger) for m in consequences([a, b, c, d])] == [("b", Trigger.UNLOCK)]
    assert [(m.step_id, m.trigger) for m in consequences([a, d])] == [("d", Trigger.SKIP)]
    running = StepState("e", StepStatus.RUNNING, optional=True)
    assert consequences([a, running]) == [], "what runs already is not skipped"


@given(st.lists(st.sampled_from(list(StepStatus)), min_size=1), st.lists(st.booleans()))
def test_consequences_come_to_an_end_and_apply(statuses, optional):
    flags = dict(enumerate(optional))
    here = {
        str(n): StepState(str(n), status, tuple(map(str, range(n))), optional=flags.get(n, False))
        for n, status in enumerate(statuses)
    }
    for _ in range(len(here) + 1):
        moves = consequences(list(here.values()))
        for move in moves:
            here[move.step_id] = moved(here[move.step_id], move.trigger)
        if not moves:
            break
    else:
        pytest.fail("the consequences go on for ever")


def test_a_step_that_ran_once_counts_as_started_for_ever():
    step = moved(StepState("a", StepStatus.READY, automated=True), Trigger.CLAIM)
    assert moved(step, Trigger.RETRY).started
    assert not moved(StepState("a", StepStatus.READY), Trigger.SKIP).started
    assert not moved(StepState("a", StepStatus.READY), Trigger.HOLD).started
    assert moved(StepState("a", StepStatus.READY), Trigger.COMPLETE).started


@pytest.mark.case("orchestration", 17)
@pytest.mark.parametrize(
    ("outcome", "tolerant", "trigger", "said"),
    [
        (Outcome(0), False, Trigger.SUCCEED, {}),
        (Outcome(0), True, Trigger.SUCCEED, {}),
        (Outcome(3), False, Trigger.FAIL, {"error": "exit status 3"}),
        (Outcome(2), True, Trigger.SUCCEED, {"warning": "exit status 2"}),
        (Outcome(None), True, Trigger.FAIL, {"error": "it did not end by itself"}),
        (Outcome(None, "timed out"), False, Trigger.FAIL, {"error": "timed out"}),
        (Outcome(0, "output was lost"), False, Trigger.FAIL, {"error": "output was lost"}),
    ],
)
def test_what_an_attempt_means_depends_on_exit_status_and_type(outcome, tolerant, trigger, said):
    assert verdict(outcome, tolerant=tolerant) == (trigger, said)


def test_done_is_what_holds_up_nothing():
    assert {"succeeded", "skipped"} == DONE
