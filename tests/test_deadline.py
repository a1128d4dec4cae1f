"""Deadlines, with a clock of the test's own."""

import time

from opsorch.deadline import Deadline


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_remains_is_never_negative() -> None:
    """The instant itself has passed."""
    clock = Clock()
    deadline = Deadline.after(5, clock)
    assert (deadline.remaining(), deadline.expired, deadline.timeout_s) == (5.0, False, 5)
    clock.now = 105.0
    assert (deadline.remaining(), deadline.expired) == (0.0, True)
    clock.now = 200.0
    assert (deadline.remaining(), deadline.expired) == (0.0, True)


def test_what_has_elapsed_goes_on_past_the_instant() -> None:
    """And counts from when the deadline was set."""
    clock = Clock()
    deadline = Deadline.after(5, clock)
    assert deadline.elapsed() == 0.0
    clock.now = 103.0
    assert (deadline.elapsed(), deadline.within(1).elapsed()) == (3.0, 0.0)
    clock.now = 200.0
    assert deadline.elapsed() == 100.0


def test_the_sooner_of_two_rules() -> None:
    """Shortening never stretches, and counts from now."""
    clock = Clock()
    deadline = Deadline.after(5, clock)
    clock.now = 103.0
    assert deadline.within(1).at == 104.0
    assert deadline.within(1).timeout_s == 1
    assert deadline.within(10) is deadline
    assert deadline.within(1).clock is clock


def test_the_clock_is_monotonic() -> None:
    """A change of the wall clock moves no deadline."""
    assert Deadline.after(1).clock is time.monotonic
    assert 0 < Deadline.after(60).remaining() <= 60
