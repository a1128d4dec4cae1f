"""All pools together: made, drained, killed, and begun again after a fork."""

import os
import pathlib
import signal
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from opsorch.deadline import Deadline
from opsorch.supervisor import supervisor as module
from opsorch.supervisor.pool import Pool
from opsorch.supervisor.spec import PluginSpec
from opsorch.supervisor.supervisor import Supervisor
from tests.conftest import in_a_fork
from tests.processes import alive, children
from tests.supervisor.pooling import eventually, plugin_spec, request

_TOLD: list[tuple[str, dict[str, object]]] = []


def _tell(event: str, /, **facts: object) -> None:
    _TOLD.append((event, facts))


# One for all tests: its two threads stay for the life of the process.
_SUPERVISOR = Supervisor(_tell)


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    _TOLD.clear()
    yield _SUPERVISOR
    assert _SUPERVISOR.kill(10)
    assert not named("keeper.failed")


def named(event: str) -> list[dict[str, object]]:
    return [facts for name, facts in list(_TOLD) if name == event]


def ask(pool: Pool) -> int:
    deadline = Deadline.after(10)
    with pool.checkout(deadline) as lease:
        lease.call(request("answer", "m"), deadline)
        return lease.process.pid


def test_pools_that_are_over_are_forgotten(supervisor: Supervisor, tmp_path: pathlib.Path) -> None:
    first = supervisor.pool(plugin_spec(tmp_path))
    ask(first)
    first.drain()
    assert first in supervisor._pools
    assert first.wait_gone(10)
    second = supervisor.pool(plugin_spec(tmp_path))
    assert first not in supervisor._pools
    assert second in supervisor._pools


def test_draining_lets_calls_finish(supervisor: Supervisor, tmp_path: pathlib.Path) -> None:
    pool, gone = supervisor.pool(plugin_spec(tmp_path)), list[bool]()
    deadline = Deadline.after(10)
    with pool.checkout(deadline) as lease:
        draining = threading.Thread(target=lambda: gone.append(supervisor.drain()))
        draining.start()
        eventually(lambda: pool._draining)
        assert bytes(lease.call(request("answer", "m"), deadline).result) == b'"m"'
    draining.join(20)
    assert gone == [True]
    assert not children()
    assert [facts["status"] for facts in named("process.exited")] == ["exit status 0"]


def test_draining_has_an_end(supervisor: Supervisor, tmp_path: pathlib.Path) -> None:
    pool = supervisor.pool(plugin_spec(tmp_path))
    lease = pool.checkout(Deadline.after(10))
    began = time.monotonic()
    ended: list[bool] = []
    draining = threading.Thread(target=lambda: ended.append(supervisor.drain(within_s=0.2)))
    draining.start()
    eventually(lease.process.child.ended)
    with lease:
        # What held it notices, and gives it back.
        pass
    draining.join(10)
    assert ended == [True]
    assert time.monotonic() - began < 8


def test_killing_tells_what_would_not_go(supervisor: Supervisor, tmp_path: pathlib.Path) -> None:
    pool = supervisor.pool(plugin_spec(tmp_path))
    with pool.checkout(Deadline.after(10)):
        assert not supervisor.kill(within_s=0.05), "one is lent still"
    assert supervisor.kill(within_s=10)


def stray_of_a_dead_plugin(supervisor: Supervisor, folder: pathlib.Path) -> int:
    """Kill a plugin that has a descendant out of its group; returns the descendant's pid."""
    script, note = folder / "forks", folder / "pid"
    script.write_text(
        f"#!/bin/sh\nsetsid sh -c 'echo $$ >{note}.new; mv {note}.new {note}; exec sleep 1000' &\n"
        'while read -r verb mark; do echo "{\\"result\\":\\"$mark\\"}"; done\n'
    )
    script.chmod(0o755)
    spec = PluginSpec("alert", (str(script),), environ={"PATH": os.environ["PATH"]})
    plugin = ask(supervisor.pool(spec))
    eventually(note.exists)
    os.kill(plugin, signal.SIGKILL)
    return int(note.read_text())


def test_descendants_that_left_their_group_are_found(
    supervisor: Supervisor, tmp_path: pathlib.Path
) -> None:
    stray = stray_of_a_dead_plugin(supervisor, tmp_path)
    eventually(lambda: {"pid": stray} in named("stray.killed"))
    eventually(lambda: not alive(stray))


def test_work_runs_later(supervisor: Supervisor) -> None:
    done = threading.Event()
    supervisor.later(0.01, done.set)
    assert done.wait(10)


def test_a_defect_of_the_keeper_is_told(supervisor: Supervisor) -> None:
    def fail() -> None:
        raise ValueError("for the test")

    supervisor.later(0.0, fail)
    eventually(lambda: named("keeper.failed"))
    [told] = named("keeper.failed")
    assert told["error"] == "ValueError"
    assert isinstance(told["exc_info"], ValueError)
    _TOLD.clear()


def test_beginning_again_forgets_what_was(tmp_path: pathlib.Path) -> None:
    supervisor = Supervisor(_tell)
    before = supervisor._spawner, supervisor._keeper
    supervisor._swept = supervisor._looking = True
    supervisor._ended.add("a process of another")
    pool = supervisor.pool(plugin_spec(tmp_path))
    pool.starts.failed("for the test")
    supervisor.begin_again()
    assert (supervisor._swept, supervisor._looking, supervisor._ended) == (False, False, set())
    assert pool.snapshot().breaker == "closed"
    assert supervisor._spawner is not before[0]
    assert supervisor._keeper is not before[1]
    assert (pool.starts._spawner, pool._keeper) == (supervisor._spawner, supervisor._keeper)
    # So that it is begun again by no fork of another test: its descriptors are closed now.
    module._ALIVE.discard(supervisor)
    supervisor._keeper.abandon()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_has_plugins_of_its_own(
    supervisor: Supervisor, tmp_path: pathlib.Path
) -> None:
    pool = supervisor.pool(plugin_spec(tmp_path))
    own = ask(pool)

    def work() -> None:
        assert not pool._processes
        assert ask(pool) != own
        assert supervisor.kill(10)

    assert in_a_fork(work) == 0
    # The parent's plugin was not touched.
    assert ask(pool) == own


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_looks_for_its_strays_while_the_other_is_about_to(
    supervisor: Supervisor, tmp_path: pathlib.Path
) -> None:
    """What is due in one process is not due in its fork, which has no such timer."""

    def work() -> None:
        stray = stray_of_a_dead_plugin(supervisor, tmp_path)
        eventually(lambda: {"pid": stray} in named("stray.killed"))
        assert supervisor.kill(10)

    supervisor._process_gone(SimpleNamespace(mark="gone"))
    assert in_a_fork(work) == 0
