"""The breaker, on a clock of the test's own."""

import pytest

from opsorch.supervisor.backoff import Breaker, BreakerState, Permit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def half_open(breaker: Breaker) -> Permit:
    """Take the permit of the one try."""
    permit = breaker.permit()
    assert permit
    assert breaker.tries(permit)
    return permit


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock=clock, jitter=lambda: 1.0)


def test_a_new_breaker_allows_starts(breaker: Breaker) -> None:
    assert breaker.permit()
    assert breaker.permit()
    assert breaker.retry_after_s() == 0.0


def test_failed_starts_wait_twice_as_long_each_time_up_to_half_a_minute(
    breaker: Breaker, clock: Clock
) -> None:
    waits = []
    for _ in range(9):
        assert breaker.start_failed()
        waits.append(breaker.retry_after_s())
        assert not breaker.permit()
        clock.now += waits[-1]
        assert breaker.retry_after_s() == 0.0
        assert breaker.permit()
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize(("jitter", "wait_s"), [(0.0, 0.4), (0.5, 0.45), (1.0, 0.5)])
def test_jitter_shortens_the_wait_by_a_fifth_at_most(jitter: float, wait_s: float) -> None:
    breaker = Breaker(clock=Clock(), jitter=lambda: jitter)
    breaker.start_failed()
    assert breaker.retry_after_s() == pytest.approx(wait_s)


def test_many_failures_do_not_overflow(breaker: Breaker, clock: Clock) -> None:
    for _ in range(2000):
        breaker.start_failed()
        clock.now += 30
    breaker.start_failed()
    assert breaker.retry_after_s() == 30


def test_starts_that_fail_together_count_once(breaker: Breaker, clock: Clock) -> None:
    assert breaker.start_failed()
    assert not breaker.start_failed()
    clock.now += 0.4
    assert not breaker.start_failed()
    assert breaker.retry_after_s() == pytest.approx(0.1)


def test_one_try_is_allowed_after_the_wait(breaker: Breaker, clock: Clock) -> None:
    breaker.start_failed()
    clock.now += 0.5
    assert breaker.permit()
    assert breaker.state is BreakerState.HALF_OPEN
    assert not breaker.permit()
    assert breaker.retry_after_s() == pytest.approx(0.1)


def test_a_reply_closes_and_forgets(breaker: Breaker, clock: Clock) -> None:
    for _ in range(4):
        breaker.start_failed()
        clock.now += 30
    breaker.start_failed()
    breaker.replied()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.retry_after_s() == 0.0
    assert breaker.permit()
    breaker.start_failed()
    assert breaker.retry_after_s() == 0.5


def test_an_abandoned_try_may_be_repeated_at_once(breaker: Breaker, clock: Clock) -> None:
    breaker.start_failed()
    clock.now += 0.5
    breaker.abandoned(half_open(breaker))
    assert breaker.state is BreakerState.OPEN
    assert breaker.retry_after_s() == 0.0
    assert breaker.permit()


@pytest.mark.parametrize("opened", [True, False])
def test_nothing_is_abandoned_unless_half_open(breaker: Breaker, opened: bool) -> None:
    if opened:
        breaker.start_failed()
    before = breaker.state, breaker.retry_after_s()
    breaker.abandoned(Permit())
    assert (breaker.state, breaker.retry_after_s()) == before


def die(breaker: Breaker, clock: Clock) -> bool:
    """A call begins, and its process dies a second later."""
    began_at = clock.now
    clock.now += 1
    return breaker.died_in_call(began_at, Permit())


def test_the_third_death_in_a_row_opens(breaker: Breaker, clock: Clock) -> None:
    assert [die(breaker, clock) for _ in range(3)] == [False, False, True]
    assert breaker.state is BreakerState.OPEN
    assert breaker.retry_after_s() == 0.5


def test_a_reply_ends_the_row_of_deaths(breaker: Breaker, clock: Clock) -> None:
    for _ in range(5):
        assert not die(breaker, clock)
        assert not die(breaker, clock)
        breaker.replied()
    assert breaker.state is BreakerState.CLOSED


def test_deaths_at_the_same_time_are_no_row(breaker: Breaker, clock: Clock) -> None:
    began_at = clock.now
    clock.now += 1
    for _ in range(10):
        assert not breaker.died_in_call(began_at, Permit())
    assert breaker.state is BreakerState.CLOSED
    assert not die(breaker, clock)
    assert die(breaker, clock)


def test_the_death_of_the_try_opens_and_doubles(breaker: Breaker, clock: Clock) -> None:
    breaker.start_failed()
    clock.now += 0.5
    assert breaker.died_in_call(clock.now, half_open(breaker))
    assert breaker.state is BreakerState.OPEN
    assert breaker.retry_after_s() == 1.0


def test_the_death_of_another_is_no_verdict_on_the_try(breaker: Breaker, clock: Clock) -> None:
    breaker.start_failed()
    clock.now += 0.5
    breaker.permit()
    assert not die(breaker, clock)
    assert breaker.state is BreakerState.HALF_OPEN


def test_only_the_present_try_can_be_abandoned(breaker: Breaker, clock: Clock) -> None:
    """One that was permitted before, or whose verdict is known, frees no second try."""
    early = breaker.permit()
    assert early
    breaker.start_failed()
    clock.now += 0.5
    first = half_open(breaker)
    breaker.abandoned(early)
    assert breaker.permit() is None
    breaker.start_failed()
    clock.now += 1.0
    second = half_open(breaker)
    assert not breaker.tries(first)
    breaker.abandoned(first)
    assert breaker.permit() is None
    breaker.abandoned(second)
    assert breaker.permit()


def test_a_verdict_ends_the_try(breaker: Breaker, clock: Clock) -> None:
    breaker.start_failed()
    clock.now += 0.5
    permit = half_open(breaker)
    breaker.replied()
    assert not breaker.tries(permit)
    assert not breaker.died_in_call(clock.now, permit)
    assert breaker.state is BreakerState.CLOSED
