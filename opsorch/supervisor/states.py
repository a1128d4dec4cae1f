"""The states of a plugin process and the moves between them."""

import enum
from collections.abc import Mapping


class ProcessState(enum.StrEnum):
    """Where a plugin process is in its life."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    DRAINING = "draining"
    GONE = "gone"


_S = ProcessState

NEXT: Mapping[ProcessState, frozenset[ProcessState]] = {
    # Whoever had it started has it first, if only to put it among the idle ones.
    _S.STARTING: frozenset({_S.BUSY}),
    _S.IDLE: frozenset({_S.BUSY, _S.DRAINING}),
    _S.BUSY: frozenset({_S.IDLE, _S.DRAINING}),
    _S.DRAINING: frozenset({_S.GONE}),
    _S.GONE: frozenset(),
}


def moved(state: ProcessState, to: ProcessState) -> ProcessState:
    """Return the new state.

    Raises:
        RuntimeError: The table has no such move; a defect of the caller.
    """
    if to not in NEXT[state]:
        raise RuntimeError(f"a plugin process cannot go from {state} to {to}")
    return to
