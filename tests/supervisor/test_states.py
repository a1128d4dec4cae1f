"""The states of a process: the table of the protocol's life cycle, and nothing else."""

import itertools

import pytest

from opsorch.supervisor.states import NEXT, ProcessState, moved

LIFE = ["starting", "idle", "busy", "draining", "gone"]
MOVES = {
    ("starting", "busy"),
    ("busy", "idle"),
    ("idle", "busy"),
    ("busy", "draining"),
    ("idle", "draining"),
    ("draining", "gone"),
}


def test_the_states_are_those_of_the_protocol() -> None:
    assert [str(state) for state in ProcessState] == LIFE
    assert set(NEXT) == set(ProcessState)


@pytest.mark.parametrize(
    ("state", "to"), list(itertools.product(ProcessState, ProcessState)), ids=str
)
def test_a_move_is_allowed_or_refused_by_the_table(state: ProcessState, to: ProcessState) -> None:
    if (state, to) in MOVES:
        assert moved(state, to) is to
    else:
        with pytest.raises(RuntimeError, match=f"from {state} to {to}"):
            moved(state, to)
