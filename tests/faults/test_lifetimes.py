"""Faults 35, 36, 39, 40, 45 to 53: what becomes of processes, descriptors and memory."""

import contextlib
import errno
import os
import pathlib
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from opsorch.errors import PluginBusy, PluginCrashed, PluginStartFailed, RpcTimeout
from opsorch.supervisor import strays
from opsorch.supervisor.child import Child, ExitStatus, Spawner
from opsorch.supervisor.launch import OWNER_VARIABLE, launcher
from opsorch.supervisor.spec import PluginSpec
from opsorch.supervisor.strays import kill_strays, owner_mark, sweep_orphans
from tests.faults.gateways import unshared, written
from tests.faults.support import PLUGINS, Clock, Rig, descriptors, eventually, together
from tests.processes import alive, state

ONCE = str(PLUGINS / "once.sh")


@pytest.mark.fault(35)
@pytest.mark.parametrize("then", ["hang", "exit"])
def test_a_grandchild_that_holds_stdout_holds_up_nobody(
    rig: Rig, tmp_path: pathlib.Path, then: str
) -> None:
    provider = rig.provider("keeps_stdout", pool_size=1)
    tell = tmp_path / "pid"
    payload, begun = {"tell": str(tell), "then": then}, time.monotonic()
    if then == "hang":
        error = rig.refused(provider, payload, timeout_s=4.0)
        assert isinstance(error, RpcTimeout)
        assert (error.status, error.code) == (504, "rpc_timeout")
        assert rig.events.named("lease.discarded")[0]["reason"] == "RpcTimeout"
    else:
        error = rig.refused(provider, payload, repeatable=False)
        assert isinstance(error, PluginCrashed)
        assert (error.status, error.code) == (502, "plugin_crashed")
        assert "exit status 3" in error.message
        assert rig.events.named("process.died")[0]["status"] == "exit status 3"
    assert time.monotonic() - begun < 10
    grandchild = int(written(tell))
    eventually(lambda: not alive(grandchild))
    # The one slot is free, although nobody ever saw the end of that stdout.
    other = rig.refused(provider, {**payload, "then": "exit"}, repeatable=False)
    assert isinstance(other, PluginCrashed)
    rig.events.tell("lease.discarded", "opsorch_plugin_restarts_total", 2)
    assert rig.call(provider, {**payload, "then": "answer"})


@pytest.mark.fault(35)
def test_a_grandchild_in_the_group_leaves_with_its_plugin(rig: Rig, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "plugin"
    script.write_text(
        f"#!/bin/sh\nread -r line\nsleep 99 &\necho $! > {tmp_path}/pid\n"
        "echo '{\"result\": 1}'\nread -r line\n"
    )
    script.chmod(0o755)
    provider = rig.provider(str(script))
    assert rig.call(provider) == 1
    grandchild = int(written(tmp_path / "pid"))
    provider.drain()
    eventually(lambda: not alive(grandchild))
    # A call that still comes is served; its process leaves right after.
    assert rig.call(provider) == 1
    eventually(lambda: len(rig.events.named("process.exited")) == 2)
    eventually(lambda: not alive(int((tmp_path / "pid").read_text())))
    rig.events.tell("process.started", "opsorch_plugin_starts_total", 2)


@pytest.mark.fault(36)
def test_a_grandchild_with_a_session_of_its_own_is_found_and_killed(
    rig: Rig, tmp_path: pathlib.Path
) -> None:
    provider = rig.provider("lets_go")
    plugin = rig.call(provider, {"tell": str(tmp_path / "pid")})
    stray = int(written(tmp_path / "pid"))
    assert os.getsid(stray) != os.getsid(plugin)
    os.kill(plugin, signal.SIGKILL)
    eventually(lambda: not alive(stray))
    eventually(lambda: {"pid": stray} in rig.events.named("stray.killed"))
    keeper_at_rest(rig)
    killed = rig.events.named("stray.killed")
    rig.events.tell("stray.killed", "opsorch_plugin_strays_killed_total", len(killed))
    assert rig.call(provider, {"tell": str(tmp_path / "other")}) != plugin


@pytest.mark.fault(36)
def test_the_end_of_the_supervisor_takes_strays_along(rig: Rig, tmp_path: pathlib.Path) -> None:
    provider = rig.provider("lets_go")
    rig.call(provider, {"tell": str(tmp_path / "pid")})
    stray = int(written(tmp_path / "pid"))
    assert rig.supervisor.kill(within_s=10)
    eventually(lambda: not alive(stray))
    eventually(lambda: {"pid": stray} in rig.events.named("stray.killed"))
    # The look after the end of a plugin may find it at the same moment, before it is dead; and a
    # look that is due since the test before may tell of what that one left.
    keeper_at_rest(rig)
    killed = rig.events.named("stray.killed")
    rig.events.tell("stray.killed", "opsorch_plugin_strays_killed_total", len(killed))


@pytest.mark.fault(38)
def test_a_start_sweeps_what_dead_workers_left_and_spares_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A name of its own: a gateway that starts beside this test would sweep the orphan first.
    monkeypatch.setattr(strays, "_pid_namespace", lambda: "4711")
    dead = subprocess.Popen(["true"])
    gone_mark = f"{owner_mark(dead.pid)}1.alert-1.1"
    dead.wait()
    marks = {
        "orphan": gone_mark,
        "of a living worker": f"{owner_mark()}.alert-1.1",
        "of another namespace": gone_mark.replace("4711", "1", 1),
        "without a mark": "",
        "of something else": "what.is.this",
    }
    sleepers = {
        name: subprocess.Popen(
            ["sleep", "99"], env={"PATH": os.environ["PATH"], OWNER_VARIABLE: mark}
        )
        for name, mark in marks.items()
    }
    try:
        assert sleepers["orphan"].pid in eventually(sweep_orphans)
        assert sleepers.pop("orphan").wait(10) == -signal.SIGKILL
        assert not kill_strays(lambda mark: mark.startswith("nobody"))
        assert [name for name, one in sleepers.items() if one.poll() is not None] == []
    finally:
        for one in sleepers.values():
            one.kill()
            one.wait()


@pytest.mark.fault(39)
def test_threads_that_call_may_end(rig: Rig) -> None:
    provider = rig.provider("echo", pool_size=3)
    first = {answer["pid"] for answer in together(3, lambda n: rig.call(provider, n))}
    for _ in range(5):
        # Each of these threads is gone when the next begins: parent-death signals would show.
        together(3, lambda n: rig.call(provider, n))
    last = {answer["pid"] for answer in together(3, lambda n: rig.call(provider, n))}
    assert last <= first | {s["pid"] for s in rig.events.named("process.started")}
    assert not rig.events.named("process.exited")
    started = len(rig.events.named("process.started"))
    assert started <= 3
    rig.events.tell("process.started", "opsorch_plugin_starts_total", started)
    spawners = [t for t in threading.enumerate() if t.name == "opsorch-spawner"]
    assert spawners
    assert all(t.is_alive() for t in spawners)


@pytest.mark.fault(40)
@pytest.mark.parametrize("path", ["with setpriv", "without"])
def test_a_launcher_whose_parent_is_another_starts_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    mark = tmp_path / "started"
    plugin = ["/bin/sh", "-c", f"touch {mark}"]
    if path == "without":
        monkeypatch.setenv("PATH", str(tmp_path))
    wrong, right = launcher(os.getpid() + 1, 0), launcher(os.getpid(), 1)
    monkeypatch.undo()
    assert ("setpriv" in wrong[0]) == (path == "with setpriv")
    assert subprocess.run([*wrong, *plugin], check=False).returncode == 125
    assert not mark.exists()
    assert subprocess.run([*right, *plugin], check=False).returncode == 0
    assert mark.exists()


@pytest.mark.fault(42)
@pytest.mark.parametrize("repeatable", [True, False])
def test_a_call_that_is_cut_off_by_the_end_starts_nothing(rig: Rig, repeatable: bool) -> None:
    provider = rig.provider("keeps_stdout")
    payload = {"tell": str(rig.folder / "pid"), "then": "hang"}

    def call_or_end(number: int) -> Any:
        if number:
            written(rig.folder / "pid")
            return rig.supervisor.kill(within_s=10)
        return rig.refused(provider, payload, repeatable=repeatable)

    error, clean = together(2, call_or_end)
    assert clean
    assert isinstance(error, PluginBusy if repeatable else PluginCrashed)
    assert (error.status, error.code) in ((503, "plugin_busy"), (502, "plugin_crashed"))
    assert isinstance(rig.refused(provider, payload), PluginBusy)
    rig.events.tell("process.started", "opsorch_plugin_starts_total")
    rig.events.tell("process.died", "opsorch_plugin_restarts_total", reason="died")


@pytest.mark.fault(42)
def test_a_process_that_starts_while_the_pool_is_closed_is_killed(rig: Rig) -> None:
    provider = rig.provider("echo")
    spawner = provider.pool.starts._spawner

    class Late:
        def start(self, spec: PluginSpec, mark: str) -> Any:
            wish = spawner.start(spec, mark)
            wish.result(20)
            provider.pool.close()
            return wish

    provider.pool.starts._spawner = Late()
    error = rig.refused(provider)
    assert (error.status, error.code) == (503, "plugin_busy")
    rig.events.tell("process.started", "opsorch_plugin_starts_total")
    rig.events.tell("process.died", "opsorch_plugin_restarts_total", reason="died")
    assert provider.pool.wait_gone(10)


@pytest.mark.fault(45)
def test_a_fork_has_plugins_of_its_own(rig: Rig) -> None:
    provider = rig.provider("echo")
    mine = rig.call(provider, "before")
    read, write = os.pipe()
    forked = os.fork()
    if forked == 0:
        # A copy of this process: every way out of it must be os._exit.
        try:
            answers = [rig.call(provider, f"fork {n}") for n in range(3)]
            clean = rig.supervisor.kill(within_s=10)
            right = [a["payload"] for a in answers] == ["fork 0", "fork 1", "fork 2"]
            os.write(write, b"%d %d %d\n" % (answers[0]["pid"], right, clean))
        finally:
            os._exit(0)
    os.close(write)
    after = [rig.call(provider, f"mine {n}") for n in range(3)]
    with open(read) as answer:
        theirs, right, clean = map(int, answer.readline().split())
    os.waitpid(forked, 0)
    assert right
    assert clean
    assert theirs != mine["pid"]
    assert [a["payload"] for a in after] == ["mine 0", "mine 1", "mine 2"]
    assert {a["pid"] for a in after} == {mine["pid"]}
    rig.events.tell("process.started", "opsorch_plugin_starts_total")


@pytest.mark.fault(46)
def test_a_child_that_somebody_else_reaps_has_an_unknown_status(rig: Rig) -> None:
    provider = rig.provider("echo")
    pid = rig.call(provider)["pid"]
    # The peek of the keeper must not win: stop it, so that this thread reaps first.
    stopped, resume = threading.Event(), threading.Event()
    rig.supervisor._keeper.soon(lambda: stopped.set() or resume.wait(10))
    assert stopped.wait(10)
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[0] == pid
    resume.set()
    assert rig.call(provider)["pid"] != pid
    gone = eventually(lambda: rig.events.named("process.exited"))
    assert gone[0]["status"] == "exit status unknown"
    rig.events.tell("lease.discarded", "opsorch_plugin_restarts_total", reason="died_idle")


def spawned(command: list[str]) -> Child:
    spec = PluginSpec("alert", tuple(command), environ={"PATH": os.environ["PATH"]})
    spawner = Spawner(owner_mark())
    return spawner.start(spec, "alert-0.1").result(20)


@pytest.mark.fault(46)
@pytest.mark.fault(53)
def test_nothing_is_signalled_that_somebody_else_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    child = spawned(["/bin/sleep", "99"])
    os.killpg(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)
    signalled: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda pid, signum: signalled.append(pid))
    child.signal_group(signal.SIGTERM)
    assert child.ended()
    assert child.reap()
    child.signal_group(signal.SIGKILL)
    assert signalled == []
    assert str(child.status) == "exit status unknown"
    child.close()


RECYCLED = """
import os, signal, sys
from opsorch.supervisor.child import Spawner
from opsorch.supervisor.spec import PluginSpec
spec = PluginSpec("alert", ("/bin/sleep", "99"), environ={"PATH": os.environ["PATH"]})
child = Spawner("nobody").start(spec, "1").result(20)
child.kill()
assert child.reap()
with open("/proc/sys/kernel/ns_last_pid", "w") as file:
    file.write(str(child.pid - 1))
victim = os.fork()
if not victim:
    os.setsid()
    signal.pause()
assert victim == child.pid, (victim, child.pid)
child.kill(0.0)
child.signal_group(signal.SIGKILL)
gone, _ = os.waitpid(victim, os.WNOHANG)
os.kill(victim, signal.SIGKILL)
os.waitpid(victim, 0)
print("killed" if gone else "spared")
"""


@pytest.mark.fault(53)
def test_a_late_kill_spares_the_next_owner_of_the_pid() -> None:
    # In a pid namespace of its own nobody else takes pids between the two.
    alone = unshared("--pid", "--fork", "--mount-proc")
    done = subprocess.run(
        [*alone, sys.executable, "-c", RECYCLED], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("spared\n", "")


def all_gone(rig: Rig) -> bool:
    """Tell whether as many processes ended as began."""
    return len(rig.events.named("process.exited")) == len(rig.events.named("process.started"))


@pytest.mark.fault(48)
@pytest.mark.fault(49)
def test_a_thousand_restarts_leave_neither_zombies_nor_descriptors(rig: Rig) -> None:
    provider = rig.provider(ONCE, pool_size=2)
    pids = {rig.call(provider) for _ in range(20)}
    eventually(lambda: all_gone(rig))
    before = descriptors()
    worst = 0
    for round_ in range(49):
        for answer in together(2, lambda n: [rig.call(provider) for _ in range(10)]):
            assert isinstance(answer, list)
            pids.update(answer)
        worst = max(worst, sum(state(pid) == "Z" for pid in pids))
        assert descriptors() <= before + 4 * 8, f"descriptors grow, round {round_}"
    calls = 20 + 49 * 20
    eventually(lambda: all_gone(rig))
    eventually(lambda: not any(state(pid) == "Z" for pid in pids), within_s=1.0)
    eventually(lambda: descriptors() <= before + 2 * 4)
    assert worst < 10
    assert calls == 1000
    assert rig.call(provider) not in pids
    eventually(lambda: all_gone(rig))
    started = len(rig.events.named("process.started"))
    assert started > calls
    rig.events.tell("process.started", "opsorch_plugin_starts_total", started)
    rig.events.tell("lease.discarded", "opsorch_plugin_restarts_total", started)


@pytest.mark.fault(48)
def test_a_dead_process_is_reaped_within_a_second(rig: Rig) -> None:
    provider = rig.provider("echo", pool_size=4)
    pids = {answer["pid"] for answer in together(4, lambda n: rig.call(provider, n))}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(state(pid) for pid in pids), within_s=1.0)
    eventually(lambda: len(rig.events.named("process.exited")) == 4)
    rig.events.tell("lease.discarded", "opsorch_plugin_restarts_total", 4, reason="died_idle")
    assert rig.call(provider)["pid"] not in pids


@pytest.mark.fault(49)
def test_a_plugin_has_its_three_pipes_and_nothing_else(rig: Rig) -> None:
    provider = rig.provider("lists_descriptors")
    read, write = os.pipe()
    os.set_inheritable(write, True)
    found = rig.call(provider, method="descriptors")
    os.close(read)
    os.close(write)
    mine = {name: what for name, what in found.items() if not what.startswith("/proc")}
    assert sorted(mine) == ["0", "1", "2"]
    assert all(what.startswith("pipe:") for what in mine.values())
    assert rig.call(provider, method="descriptors")
    rig.events.tell("process.started", "opsorch_plugin_starts_total")


def keeper_at_rest(rig: Rig) -> None:
    """Wait until nothing is due on the keeper's thread: its looks into /proc take descriptors."""
    eventually(lambda: not rig.supervisor._looking)
    turned = threading.Event()
    rig.supervisor.later(0.0, turned.set)
    assert turned.wait(10)


@contextlib.contextmanager
def few_descriptors(spare: int) -> Iterator[None]:
    """Take every descriptor that is left for the length of a block, all but so many."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    # However the table is filled, so many fit above the highest that is open.
    highest = max(map(int, os.listdir("/proc/self/fd")))
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + spare, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(spare):
            os.close(taken.pop())
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.fault(50)
@pytest.mark.parametrize("spare", range(8))
def test_without_descriptors_a_start_fails_and_nothing_leaks(rig: Rig, spare: int) -> None:
    provider = rig.provider("echo", pool_size=2)
    clock, before = Clock(provider), descriptors()
    keeper_at_rest(rig)
    # It takes eight: three pipes, and the one over which exec tells of its failure.
    with few_descriptors(spare):
        error = rig.refused(provider)
    assert (error.status, error.code) == (503, "plugin_start_failed")
    assert error.retry_after_s
    assert "Too many open files" in error.message
    assert descriptors() == before
    assert isinstance(rig.refused(provider), PluginStartFailed)
    # While backoff lasts nothing is tried.
    rig.events.tell("process.start_failed", "opsorch_plugin_start_failures_total")
    rig.events.tell("breaker.opened", "opsorch_plugin_breaker_opened_total")
    clock.now_s += 0.5
    assert rig.call(provider, "again")["payload"] == "again"


@pytest.mark.fault(50)
def test_without_descriptors_no_living_worker_is_taken_for_dead() -> None:
    mark = f"{owner_mark()}.alert-1.1"
    with few_descriptors(0):
        gone = strays._owner_is_gone(mark)
    assert not gone, "its plugins would be swept"


@pytest.mark.fault(50)
def test_a_child_that_cannot_be_watched_is_killed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(pid: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    provider = rig.provider("echo")
    clock, before = Clock(provider), descriptors()
    with monkeypatch.context() as patched:
        patched.setattr(os, "pidfd_open", none_left)
        error = rig.refused(provider)
    assert (error.status, error.code) == (503, "plugin_start_failed")
    assert "Too many open files" in error.message
    rig.events.tell("process.start_failed", "opsorch_plugin_start_failures_total")
    assert descriptors() == before
    clock.now_s += 0.5
    assert rig.call(provider, "again")["payload"] == "again"


@pytest.mark.fault(50)
def test_without_a_thread_to_spare_a_start_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    spawner = Spawner("nobody")

    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        wish = spawner.start(PluginSpec("alert", ("/bin/true",)), "1")
        refused = wish.exception(0)
    assert isinstance(refused, OSError)
    assert refused.errno == errno.EAGAIN
    child = spawner.start(PluginSpec("alert", ("/bin/true",)), "2").result(20)
    assert child.ended(20)
    assert child.reap()
    assert child.status == ExitStatus(code=0)
    child.close()


@pytest.mark.fault(51)
def test_a_process_that_grows_is_replaced_between_calls(rig: Rig) -> None:
    provider = rig.provider("leaks", pool_size=1, max_memory_mb=64)
    pids = [rig.call(provider) for _ in range(16)]
    assert len(set(pids)) >= 3
    retired = rig.events.named("process.retired")
    assert {e["reason"] for e in retired} == {"max_memory"}
    assert rig.events.metric("opsorch_plugin_restarts_total", reason="max_memory") == len(retired)
    assert len(retired) >= 2
    assert not rig.events.named("process.died")


@pytest.mark.fault(52)
@pytest.mark.parametrize("jump_s", [-1e6, 1e6])
def test_a_clock_that_jumps_changes_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    provider = rig.provider("echo", idle_timeout_s=30)
    pid = rig.call(provider)["pid"]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
    monkeypatch.setattr(time, "time_ns", lambda: int((real() + jump_s) * 1e9))
    assert [rig.call(provider, timeout_s=5)["pid"] for _ in range(3)] == [pid] * 3
    rig.supervisor.later(0.0, (turned := threading.Event()).set)
    assert turned.wait(5)
    assert not rig.events.named("process.retired")
    begun = time.monotonic()
    stuck = rig.provider("keeps_stdout")
    payload = {"tell": str(rig.folder / "pid"), "then": "hang"}
    error = rig.refused(stuck, payload, timeout_s=1.0)
    assert (error.status, error.code) == (504, "rpc_timeout")
    assert time.monotonic() - begun < 5
    rig.events.tell("lease.discarded", "opsorch_plugin_restarts_total", reason="timeout")
    assert rig.call(provider)["pid"] == pid
