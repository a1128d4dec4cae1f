"""Processes that are started ahead, and die before they are of use."""

import os
import signal

import pytest

from opsorch.supervisor.backoff import Breaker, BreakerState, Permit
from tests.faults.support import Rig, eventually


@pytest.mark.fault(1)
def test_the_death_of_a_warm_process_is_not_noticed_by_the_next_caller(rig: Rig) -> None:
    provider = rig.provider("echo", min_idle=1)
    (process,) = eventually(lambda: list(provider.pool._idle))
    os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: process not in provider.pool._idle)
    answer = rig.call(provider, "a")
    assert answer["payload"] == "a"
    assert answer["pid"] != process.pid
    rig.events.tell("lease.discarded", "opsorch_plugin_restarts_total", reason="died_idle")
    assert rig.call(provider, "b")["payload"] == "b"
    assert not rig.events.named("process.start_failed")
    assert not rig.events.named("breaker.opened")


@pytest.mark.fault(30)
def test_warm_processes_that_die_together_are_no_failed_start(rig: Rig) -> None:
    provider = rig.provider("echo", min_idle=3)
    warm = eventually(lambda: len(provider.pool._idle) == 3 and list(provider.pool._idle))
    for process in warm:
        os.kill(process.pid, signal.SIGKILL)
    assert rig.call(provider, "a")["payload"] == "a"
    eventually(lambda: len(rig.events.named("process.exited")) >= 3)
    rig.events.tell("lease.discarded", "opsorch_plugin_restarts_total", 3)
    assert provider.pool.snapshot().breaker == "closed"
    assert not rig.events.named("process.start_failed")


def test_the_second_unused_death_in_a_row_is_a_failed_start() -> None:
    now = [100.0]
    breaker = Breaker(clock=lambda: now[0])
    assert not breaker.died_unused(99.0, Permit())
    assert not breaker.died_unused(99.5, Permit()), "it died together with the first"
    now[0] = 101.0
    assert breaker.died_unused(100.5, Permit())
    assert breaker.state is BreakerState.CLOSED
    breaker.replied()
    now[0] = 103.0
    assert not breaker.died_unused(102.0, Permit())
