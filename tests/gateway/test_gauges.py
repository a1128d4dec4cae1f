"""The gauges of the pools: fresh after requests, one timer at a time, at rest when nothing runs."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import flask
import pytest

from opsorch.gateway.gauges import EVERY_S, IDLE_S, Gauges
from opsorch.providers.supervised import SupervisedProvider
from opsorch.supervisor.backoff import BreakerState
from opsorch.supervisor.pool import Snapshot
from tests.conftest import in_a_fork


class Timers:
    """A supervisor whose time passes when the test says so."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def later(self, delay_s: float, work: Callable[[], None]) -> None:
        self.due.append((delay_s, work))

    def fire(self) -> float:
        """Run the only timer; returns its delay."""
        ((delay_s, work),) = self.due
        self.due.clear()
        work()
        return delay_s


class Told:
    """Metrics that keep what they are told."""

    def __init__(self, on_set: Callable[[], None] = lambda: None) -> None:
        self.pools: list[tuple[str, dict[str, int], int, str]] = []
        self._on_set = on_set

    def set_pool(self, name: str, states: dict[str, int], waiting: int, breaker: str) -> None:
        self.pools.append((name, states, waiting, breaker))
        self._on_set()


def provider_of(pools: list[tuple[int, int]]) -> SupervisedProvider:
    """A provider whose pool looks like one pair of (idle, waiting) after the other."""
    looks = iter(pools)

    def snapshot() -> Snapshot:
        idle, waiting = next(looks)
        return Snapshot(4, {"idle": idle, "busy": 0}, waiting, BreakerState.OPEN, 1.0)

    pool: Any = SimpleNamespace(snapshot=snapshot)
    return SupervisedProvider("a plugin", "alert", {}, pool, lambda event, **facts: None)


def gauges_of(
    *pools: tuple[int, int], on_set: Callable[[], None] = lambda: None
) -> tuple[Gauges, Timers, Told]:
    timers, told = Timers(), Told(on_set)
    slots = {
        "alert": SimpleNamespace(provider=provider_of(list(pools))),
        "team": SimpleNamespace(provider=object()),
    }
    here: Any = SimpleNamespace(
        supervisor=timers, metrics=told, registry=SimpleNamespace(slots=slots)
    )
    return Gauges(here), timers, told


def test_many_requests_make_one_refresh() -> None:
    gauges, timers, told = gauges_of((0, 0))
    response = flask.Response()
    assert [gauges.after_request(response) for _ in range(5)] == [response] * 5
    assert timers.fire() == EVERY_S
    assert told.pools == [("alert", {"idle": 0, "busy": 0}, 0, "open")]
    assert timers.due == [], "nothing runs, so nothing is looked at again"


@pytest.mark.parametrize("pool", [(2, 0), (0, 3)], ids=["a process", "a waiting call"])
def test_what_runs_is_looked_at_until_nothing_does(pool: tuple[int, int]) -> None:
    gauges, timers, told = gauges_of(pool, pool, (0, 0), (0, 0))
    gauges.after_request(flask.Response())
    assert [timers.fire() for _ in range(3)] == [EVERY_S, IDLE_S, IDLE_S]
    assert [states["idle"] for _, states, _, _ in told.pools] == [pool[0], pool[0], 0]
    assert timers.due == []
    gauges.after_request(flask.Response())
    assert timers.fire() == EVERY_S


def test_a_request_during_a_refresh_starts_no_second_timer() -> None:
    answered: list[flask.Response] = []
    gauges, timers, _ = gauges_of(
        (1, 0), (1, 0), on_set=lambda: answered.append(gauges.after_request(flask.Response()))
    )
    gauges.after_request(flask.Response())
    timers.fire()
    timers.fire()
    assert len(answered) == 2
    assert len(timers.due) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_due_in_one_process_is_not_due_in_its_fork() -> None:
    """Which has none of its timers."""
    gauges, timers, _ = gauges_of((0, 0))
    gauges.after_request(flask.Response())

    def work() -> None:
        timers.due.clear()
        gauges.after_request(flask.Response())
        gauges.after_request(flask.Response())
        assert timers.fire() == EVERY_S

    assert in_a_fork(work) == 0
    assert len(timers.due) == 1
