"""What is told of every call, whatever answers it."""

from typing import Any

import pytest

from opsorch.deadline import Deadline
from opsorch.errors import NotFound, ReportedError
from opsorch.providers.base import telling


class World:
    """A clock that stands until it is moved, and what was told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.told: list[tuple[str, dict[str, Any]]] = []

    def emit(self, event: str, /, **facts: object) -> None:
        self.told.append((event, facts))

    def telling(self, timeout_s: float) -> Any:
        deadline = Deadline.after(timeout_s, lambda: self.now)
        return telling(self.emit, "alert", "alert.query", deadline)


@pytest.mark.parametrize("lasted_s", [0.0, 0.25, 29.5, 30.0, 300.0])
def test_a_call_is_told_with_the_time_it_took(lasted_s: float) -> None:
    """Also past its deadline, as a call inside the gateway can be."""
    world = World()
    with world.telling(30.0):
        world.now += lasted_s
    facts = {"capability": "alert", "method": "alert.query", "code": "ok", "seconds": lasted_s}
    assert world.told == [("call.finished", facts)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("n"), "not_found"),
        (ReportedError("r", code="jira_down"), "other"),
        (ZeroDivisionError(), "internal_error"),
    ],
)
def test_a_call_that_fails_is_told_by_its_code(error: Exception, code: str) -> None:
    """Codes that a plugin made up are one label together."""
    world = World()
    with pytest.raises(type(error)), world.telling(30.0):
        raise error
    [(_, facts)] = world.told
    assert facts["code"] == code
