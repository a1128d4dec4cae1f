"""A pool's promises that the model does not reach: starts, verdicts, ageing, the end."""

import itertools
import os
import pathlib
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from opsorch.deadline import Deadline
from opsorch.errors import PluginBusy, PluginNotFound, PluginStartFailed, RpcTimeout
from opsorch.supervisor import care
from opsorch.supervisor.backoff import BreakerState, Permit
from opsorch.supervisor.child import Child, Spawner
from opsorch.supervisor.pool import Pool
from opsorch.supervisor.process import Process, ProcessDied
from opsorch.supervisor.spec import PluginSpec
from opsorch.supervisor.supervisor import Supervisor
from tests.processes import children
from tests.supervisor.pooling import eventually, plugin_spec, request


class Events:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, object]]] = []

    def __call__(self, event: str, /, **facts: object) -> None:
        self.told.append((event, facts))

    def named(self, event: str) -> list[dict[str, object]]:
        return [facts for name, facts in list(self.told) if name == event]


_EVENTS = Events()
_SUPERVISOR = Supervisor(_EVENTS)

Make = Callable[..., Pool]


class LateSpawner(Spawner):
    """A spawner that starts children when the test says so."""

    def __init__(self, owner: str) -> None:
        super().__init__(owner)
        self.gate = threading.Event()
        self.refusal: OSError | None = None

    def start(self, spec: PluginSpec, mark: str) -> "Future[Child]":
        if self.refusal is not None:
            refused: Future[Child] = Future()
            refused.set_exception(self.refusal)
            return refused
        return super().start(spec, mark)

    def _begin(self) -> None:
        """Occupy the thread with the gate first."""
        if not self._started:
            threading.Thread(target=self._wait_and_serve, daemon=True).start()
            self._started = True

    def _wait_and_serve(self) -> None:
        # What is asked for meanwhile stays in the queue, as behind a start that is slow.
        self.gate.wait(30)
        self._serve()


@pytest.fixture
def events() -> Events:
    _EVENTS.told.clear()
    return _EVENTS


@pytest.fixture
def make(tmp_path: pathlib.Path, events: Events) -> Iterator[Make]:
    """Make pools of the plugin that obeys lines; nothing of them is left behind."""
    made: list[Pool] = []

    def make_pool(*, spawner: Spawner | None = None, **limits: Any) -> Pool:
        spec = plugin_spec(tmp_path, **limits)
        if spawner is None:
            pool = _SUPERVISOR.pool(spec)
        else:
            pool = Pool(spec, spawner, _SUPERVISOR._keeper, events, jitter=lambda: 1.0)
        made.append(pool)
        return pool

    yield make_pool
    for pool in made:
        pool.close()
        assert pool.wait_gone(10)
        assert pool._slots == 0
    assert not events.named("keeper.failed")


def ask(pool: Pool, verb: str = "answer", *, timeout_s: float = 10.0) -> int:
    """Make one call and return the pid that answered it."""
    deadline = Deadline.after(timeout_s)
    with pool.checkout(deadline) as lease:
        envelope = lease.call(request(verb, "m"), deadline)
        assert bytes(envelope.result) == b'"m"'
        return lease.process.pid


def over_a_second(pool: Pool) -> None:
    """End the backoff."""
    with pool._lock:
        pool.starts._breaker._until = 0.0


# --- lending --------------------------------------------------------------------------------------


def test_the_most_recently_used_process_goes_first(make: Make) -> None:
    pool, soon = make(), Deadline.after(10)
    with pool.checkout(soon) as first, pool.checkout(soon) as second, pool.checkout(soon) as third:
        pids = [lease.process.pid for lease in (first, second, third)]
    # Left in the opposite order.
    assert ask(pool) == pids[0]
    with pool.checkout(soon) as one, pool.checkout(soon) as two:
        assert [one.process.pid, two.process.pid] == pids[:2]
        assert not (one.fresh or two.fresh)


def test_a_waiter_whose_process_has_died_gets_a_new_one(make: Make, events: Events) -> None:
    pool, pids = make(pool_size=1), list[int]()
    with pool.checkout(Deadline.after(10)) as lease:
        waiting = threading.Thread(target=lambda: pids.append(ask(pool)))
        waiting.start()
        eventually(lambda: pool.snapshot().waiting)
        os.kill(lease.process.pid, signal.SIGKILL)
        assert lease.process.child.ended(10)
        old = lease.process.pid
    waiting.join(10)
    assert pids != [old]
    assert len(pids) == 1
    # Whether the keeper or the waiter finds it first is open; that it is replaced is not.
    assert [e["reason"] for e in events.named("lease.discarded")] in (["died while idle"], ["died"])


def test_one_that_answered_and_was_reaped_before_its_return_is_not_kept(
    make: Make, events: Events
) -> None:
    pool = make()
    with pool.checkout(Deadline.after(10)) as lease:
        os.kill(lease.process.pid, signal.SIGKILL)
        eventually(lambda: lease.process.child.status)
    assert pool._slots == 0
    assert not pool._idle
    eventually(lambda: events.named("process.exited"))


def test_a_dead_idle_process_is_found_before_use(make: Make, events: Events) -> None:
    pool = make()
    first = ask(pool)
    [process] = pool._idle
    # As if the keeper had not come to it yet.
    process.child.ended = lambda within_s=0.0: True
    assert ask(pool) != first
    assert [e["reason"] for e in events.named("lease.discarded")] == ["died while idle"]


def test_those_who_wait_are_refused_together_with_a_start(make: Make, tmp_path: Any) -> None:
    pool, errors = make(pool_size=1), list[BaseException]()

    def wait() -> None:
        try:
            ask(pool)
        except PluginStartFailed as error:
            errors.append(error)

    callers = [threading.Thread(target=wait) for _ in range(3)]
    with pool.checkout(Deadline.after(10)) as lease:
        for caller in callers:
            caller.start()
        eventually(lambda: pool.snapshot().waiting == 3)
        (tmp_path / "plugin").chmod(0o644)
        lease.process.in_step = False
    for caller in callers:
        caller.join(10)
    assert len(errors) == 3
    assert pool._slots == 0
    assert pool.snapshot().breaker == "open"


def test_an_error_beside_the_call_costs_no_process(make: Make, events: Events) -> None:
    pool = make()
    with (
        pytest.raises(ValueError, match="for the test"),
        pool.checkout(Deadline.after(10)) as lease,
    ):
        raise ValueError("for the test")
    assert ask(pool) == lease.process.pid
    with pytest.raises(RpcTimeout, match="were over before"):
        ask_too_late(pool)
    assert ask(pool) == lease.process.pid
    assert not events.named("lease.discarded")


def ask_too_late(pool: Pool) -> None:
    """Make a call whose time is over when it has its process."""
    with pool.checkout(Deadline.after(10)) as lease:
        lease.call(request("answer", "m"), Deadline.after(0.0))


# --- starting -------------------------------------------------------------------------------------


def test_a_start_that_comes_too_late_serves_the_next_call(make: Make, events: Events) -> None:
    spawner = LateSpawner("owner")
    pool = make(spawner=spawner, pool_size=1)
    taken = threading.Event()
    wish_of = spawner.start

    def start(spec: PluginSpec, mark: str) -> "Future[Child]":
        wish = wish_of(spec, mark)
        # Its start has begun, so that it cannot be taken back.
        wish.set_running_or_notify_cancel()
        wish.set_running_or_notify_cancel = lambda: True
        taken.set()
        return wish

    spawner.start = start
    with pytest.raises(RpcTimeout, match="was not started within") as caught:
        ask(pool, timeout_s=0.05)
    assert caught.value.sent is False
    assert pool._slots == 1
    assert pool.snapshot().states["starting"] == 1
    spawner.gate.set()
    eventually(lambda: pool.snapshot().states["idle"] == 1)
    [pid] = children()
    assert ask(pool) == pid
    assert len(events.named("process.started")) == 1


def test_a_start_that_has_not_begun_is_taken_back(make: Make, events: Events) -> None:
    spawner = LateSpawner("owner")
    pool = make(spawner=spawner, pool_size=1)
    with pytest.raises(RpcTimeout):
        ask(pool, timeout_s=0.05)
    assert pool._slots == 0
    spawner.gate.set()
    ask(pool)
    assert len(events.named("process.started")) == 1


def test_a_try_that_comes_too_late_leaves_the_next_one_free(make: Make) -> None:
    spawner = LateSpawner("owner")
    pool = make(spawner=spawner, pool_size=1)
    pool.starts.failed("for the test")
    over_a_second(pool)
    with pytest.raises(RpcTimeout):
        ask(pool, timeout_s=0.05)
    assert pool.starts._breaker.state is BreakerState.OPEN
    spawner.gate.set()
    ask(pool)
    assert pool.starts._breaker.state is BreakerState.CLOSED


def test_a_system_that_refuses_is_told_and_waited_for(make: Make, events: Events) -> None:
    spawner = LateSpawner("owner")
    spawner.gate.set()
    spawner.refusal = OSError(24, "Too many open files")
    pool = make(spawner=spawner)
    with pytest.raises(
        PluginStartFailed, match=r"system refuses \(Too many open files\)"
    ) as caught:
        ask(pool)
    assert caught.value.retry_after_s
    assert pool._slots == 0
    with pytest.raises(PluginStartFailed, match=r"not started now: the system refuses"):
        ask(pool)
    assert len(events.named("process.start_failed")) == 1
    assert len(events.named("breaker.opened")) == 1
    spawner.refusal = None
    over_a_second(pool)
    ask(pool)


def test_a_start_that_fails_in_an_unforeseen_way_frees_its_slot(make: Make) -> None:
    pool = make(pool_size=1, environ={"PATH": os.environ["PATH"], "ODD": "a\0b"})
    with pytest.raises(PluginStartFailed, match=r"the system refuses \(ValueError\)"):
        ask(pool)
    assert pool._slots == 0
    over_a_second(pool)
    with pytest.raises(PluginStartFailed, match=r"the system refuses \(ValueError\)"):
        ask(pool)
    assert pool.snapshot().breaker == "open", "the try has its verdict"


def test_one_started_ahead_that_fails_in_an_unforeseen_way_frees_its_slot(
    make: Make, events: Events
) -> None:
    pool = make(min_idle=1, environ={"PATH": os.environ["PATH"], "ODD": "a\0b"})
    eventually(lambda: len(events.named("process.start_failed")) >= 2)
    pool.close()
    assert pool.wait_gone(10)


def test_one_that_was_permitted_before_is_not_the_try(make: Make) -> None:
    """Its end frees no second try while the first is under way."""
    pool = make()
    pid = ask(pool)
    pool.starts.failed("for the test")
    over_a_second(pool)
    pool.starts.permit()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not children())
    assert pool.snapshot().breaker == "half_open"
    with pytest.raises(PluginStartFailed, match="not started now"):
        ask(pool)


def test_a_death_during_backoff_is_not_replaced(make: Make) -> None:
    pool = make()
    deadline = Deadline.after(10)
    with pool.checkout(deadline) as lease:
        pool.starts.failed("another call's start")
        with pytest.raises(ProcessDied):
            lease.call(request("die"), deadline)
        with pytest.raises(PluginStartFailed):
            lease.replace(deadline)
    assert pool._slots == 0


def test_a_try_that_died_idle_leaves_the_next_one_free(make: Make) -> None:
    pool = make()
    ask(pool)
    [process] = pool._idle
    breaker = pool.starts._breaker
    breaker.start_failed()
    breaker._until = 0.0
    process.permit = pool.starts.permit()
    assert pool.snapshot().breaker == "half_open"
    process.child.ended = lambda within_s=0.0: True
    assert ask(pool) != process.pid
    assert pool.starts._breaker.state is BreakerState.CLOSED


def eventually_idle(pool: Pool) -> list[Process]:
    eventually(lambda: pool._idle)
    return list(pool._idle)


# --- kept warm ------------------------------------------------------------------------------------


def test_processes_are_kept_warm(make: Make, events: Events) -> None:
    pool = make(min_idle=2, pool_size=3)
    eventually(lambda: pool.snapshot().states["idle"] == 2)
    first = ask(pool)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: first not in children())
    eventually(lambda: pool.snapshot().states["idle"] == 2)
    assert len(events.named("process.started")) == 3


def test_a_spoilt_file_is_looked_at_again_while_kept_warm(
    make: Make, tmp_path: pathlib.Path, events: Events
) -> None:
    make()
    (tmp_path / "plugin").chmod(0o644)
    pool = make(min_idle=1)
    eventually(lambda: pool.snapshot().breaker == "open")
    assert pool._slots == 0
    (tmp_path / "plugin").chmod(0o755)
    eventually(lambda: pool.snapshot().states["idle"] == 1)
    assert len(events.named("process.start_failed")) == 1


def test_a_missing_file_is_no_busy_loop_while_kept_warm(make: Make, tmp_path: pathlib.Path) -> None:
    pool = make(min_idle=1)
    eventually(lambda: pool.snapshot().states["idle"] == 1)
    with pool._lock:
        pool.starts._breaker.start_failed()
        pool.starts._breaker._until = 0.0
    (tmp_path / "plugin").rename(tmp_path / "elsewhere")
    began = time.monotonic()
    looked = [0]
    look = pool.starts._look_at_file

    def count(permit: Permit) -> None:
        looked[0] += 1
        look(permit)

    pool.starts._look_at_file = count
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: looked[0] >= 3)
    assert time.monotonic() - began >= 0.9

    def is_missed() -> bool:
        """Ask; while the keeper itself looks for the file, no other start is tried."""
        with pytest.raises((PluginNotFound, PluginStartFailed)) as caught:
            ask(pool)
        return isinstance(caught.value, PluginNotFound)

    eventually(is_missed)
    (tmp_path / "elsewhere").rename(tmp_path / "plugin")
    eventually(lambda: pool.snapshot().states["idle"] == 1)


def test_a_refused_warm_start_is_tried_again(make: Make) -> None:
    spawner = LateSpawner("owner")
    spawner.gate.set()
    spawner.refusal = OSError(11, "Resource temporarily unavailable")
    pool = make(spawner=spawner, min_idle=1)
    eventually(lambda: pool.snapshot().breaker == "open")
    assert pool._slots == 0
    spawner.refusal = None
    eventually(lambda: pool.snapshot().states["idle"] == 1)


# --- age ------------------------------------------------------------------------------------------


def test_a_process_leaves_after_its_calls_and_after_its_idle_time(
    make: Make, events: Events
) -> None:
    pool = make(max_calls=2, idle_timeout_s=0.15)
    assert ask(pool) == ask(pool)
    eventually(lambda: events.named("process.retired"))
    ask(pool)
    eventually(lambda: not children())
    assert [e["reason"] for e in events.named("process.retired")] == ["max_calls", "idle"]
    assert {e["status"] for e in events.named("process.exited")} == {"exit status 0"}
    assert not events.named("process.signalled")


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_calls_are_counted_with_jitter(
    tmp_path: pathlib.Path, events: Events, jitter: float
) -> None:
    pool = Pool(
        plugin_spec(tmp_path, max_calls=10),
        _SUPERVISOR._spawner,
        _SUPERVISOR._keeper,
        events,
        jitter=lambda: jitter,
    )
    pids = [ask(pool) for _ in range(11)]
    assert pids.count(pids[0]) == (10 if jitter else 8)
    pool.close()
    assert pool.wait_gone(10)


def test_a_process_too_large_leaves_after_its_reply(make: Make, events: Events) -> None:
    pool = make(max_memory_mb=10_000)
    assert ask(pool) == ask(pool)
    small = make()
    object.__setattr__(small.spec, "max_memory_mb", 0.1)
    assert ask(small) != ask(small)
    assert [e["reason"] for e in events.named("process.retired")] == ["max_memory"] * 2


def test_only_what_is_above_the_least_number_leaves_when_idle(make: Make) -> None:
    pool = make(min_idle=1, pool_size=3, idle_timeout_s=0.15)
    soon = Deadline.after(10)
    with pool.checkout(soon), pool.checkout(soon), pool.checkout(soon):
        pass
    eventually(lambda: pool.snapshot().states["idle"] == 1)
    eventually(lambda: len(children()) == 1)


def test_the_wait_for_a_breaker_is_not_put_off_by_the_idle_time(make: Make) -> None:
    pool = make(min_idle=1, idle_timeout_s=1000.0)
    [process] = eventually_idle(pool)
    ask(pool)
    with pool._lock:
        pool.starts._breaker.start_failed()
    os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: process not in pool._idle)
    eventually(lambda: pool._idle, within_s=10)


# --- the end --------------------------------------------------------------------------------------


def test_a_drained_pool_serves_who_is_late_and_keeps_nothing(make: Make) -> None:
    pool = make(pool_size=1)
    ask(pool)
    with pool.checkout(Deadline.after(10)) as lease:
        pids: list[int] = []
        waiting = threading.Thread(target=lambda: pids.append(ask(pool)))
        waiting.start()
        eventually(lambda: pool.snapshot().waiting)
        pool.drain()
        assert not pool.over
    waiting.join(10)
    assert pids == [lease.process.pid]
    eventually(lambda: pool.over)
    assert ask(pool) != pids[0]
    assert pool.wait_gone(10)
    assert pool.over


def test_a_closed_pool_refuses_and_kills_at_once(make: Make, events: Events) -> None:
    pool, outcomes = make(pool_size=1), list[str]()

    def wait() -> None:
        try:
            ask(pool)
        except PluginBusy as busy:
            outcomes.append(busy.message)

    def hang() -> None:
        deadline = Deadline.after(60)
        try:
            with pool.checkout(deadline) as lease:
                try:
                    lease.call(request("hang"), deadline)
                except ProcessDied:
                    lease.replace(deadline)
        except PluginBusy as busy:
            outcomes.append(busy.message)

    hanging = threading.Thread(target=hang)
    hanging.start()
    eventually(lambda: pool.snapshot().states["busy"])
    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: pool.snapshot().waiting)
    began = time.monotonic()
    pool.close()
    hanging.join(10)
    waiting.join(10)
    assert pool.wait_gone(10)
    assert time.monotonic() - began < 5
    with pytest.raises(PluginBusy, match="is being stopped"):
        ask(pool)
    assert outcomes == ["The plugin of 'alert' is being stopped. Repeat the call."] * 2
    assert len(events.named("process.started")) == 1


def test_one_that_starts_while_the_pool_closes_does_not_stay(make: Make) -> None:
    spawner = LateSpawner("owner")
    pool = make(spawner=spawner)
    errors: list[BaseException] = []

    def call() -> None:
        try:
            ask(pool)
        except (PluginBusy, ProcessDied) as error:
            errors.append(error)

    starting = threading.Thread(target=call)
    starting.start()
    eventually(lambda: pool._slots == 1)
    pool.close()
    assert not pool.wait_gone(0.05), "a start under way is not gone yet"
    spawner.gate.set()
    starting.join(10)
    assert len(errors) == 1
    assert pool.wait_gone(10)


def test_a_warm_one_that_starts_while_the_pool_closes_does_not_stay(make: Make) -> None:
    spawner = LateSpawner("owner")
    pool = make(spawner=spawner, min_idle=1)
    eventually(lambda: pool._slots == 1)
    pool.close()
    spawner.gate.set()
    assert pool.wait_gone(10)
    assert not children()


def test_a_lease_given_back_to_a_closed_pool_ends(make: Make) -> None:
    pool = make()
    with pool.checkout(Deadline.after(10)) as lease:
        lease.process.child.signal_group(0)
        pool.close()
    assert pool.wait_gone(10)


def test_one_that_stays_is_signalled_in_the_end(
    make: Make, tmp_path: pathlib.Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(care, "EXIT_GRACE_S", 0.1)
    monkeypatch.setattr(care, "TERM_GRACE_S", 0.1)
    loop = 'while read -r verb mark; do echo "{\\"result\\":\\"$mark\\"}"; done\n'
    for trap, ended in ((": x", "killed by SIGTERM"), ("trap '' TERM", "killed by SIGKILL")):
        script = tmp_path / "plugin"
        script.unlink(missing_ok=True)
        script.write_text(f"#!/bin/sh\n{trap}\n{loop}while :; do sleep 100; done\n")
        script.chmod(0o755)
        events.told.clear()
        pool = make()
        ask(pool)
        pool.drain()
        eventually(lambda: events.named("process.exited"))
        assert events.named("process.exited")[0]["status"] == ended
        signals = [told["signal"] for told in events.named("process.signalled")]
        assert signals == (["SIGTERM", "SIGKILL"] if "TERM" in trap else ["SIGTERM"])


def test_a_suspect_file_is_told_once(make: Make, tmp_path: pathlib.Path, events: Events) -> None:
    pool = make(max_calls=1)
    (tmp_path / "plugin").chmod(0o777)
    assert ask(pool) != ask(pool)
    assert [told["what"] for told in events.named("plugin.suspect")] == ["world-writable"]


def test_deaths_in_a_row_open_the_breaker(make: Make, events: Events) -> None:
    pool = make()
    for _ in range(3):
        deadline = Deadline.after(10)
        with pool.checkout(deadline) as lease:
            with pytest.raises(ProcessDied) as death:
                lease.call(request("die"), deadline)
            pool.starts.died_in_call(lease.process, death.value)
    assert pool.snapshot().breaker == "open"
    assert len(events.named("breaker.opened")) == 1
    with pytest.raises(PluginStartFailed, match=r"not started now: it ended in a call, .*again in"):
        pool.checkout(Deadline.after(10))


def test_what_is_left_to_do_for_one_that_is_gone_touches_nothing(make: Make) -> None:
    """Its descriptors' numbers may be another file's by then."""
    pool = make()
    with pool.checkout(Deadline.after(10)) as lease:
        process = lease.process
    pool.drain()
    assert pool.wait_gone(10)
    read_end, write_end = os.pipe()
    os.write(write_end, b"not its own")
    process.stderr._descriptor = read_end
    pool._care._drain_stderr(process)
    pool._care._see_off(process, polite=True)
    pool._care._insist(process, signal.SIGTERM)
    assert os.read(read_end, 100) == b"not its own"
    os.close(read_end)
    os.close(write_end)


def test_a_snapshot_says_what_there_is(make: Make) -> None:
    pool = make(pool_size=3)
    seen = pool.snapshot()
    assert seen.size == 3
    assert set(seen.states) == {"starting", "idle", "busy", "draining"}
    assert not any(seen.states.values())
    assert not seen.has_process
    ask(pool)
    with pool.checkout(Deadline.after(10)), pool.checkout(Deadline.after(10)):
        assert pool.snapshot().states["busy"] == 2
    assert pool.snapshot().states["idle"] == 2
    assert pool.snapshot().has_process
    pool.drain()
    eventually(lambda: not children())
    assert not pool.snapshot().has_process


def test_a_pool_says_what_hinders_it(make: Make, tmp_path: pathlib.Path) -> None:
    pool = make()
    assert pool.hindrance() == ""
    (tmp_path / "plugin").chmod(0o644)
    assert "OPSORCH_ALERT_PLUGIN names nothing" in pool.hindrance()
    assert str(tmp_path) not in pool.hindrance()
    with pytest.raises(PluginStartFailed):
        ask(pool)
    assert "the next one is tried in 0." in pool.hindrance()
    (tmp_path / "plugin").chmod(0o755)
    over_a_second(pool)
    assert pool.hindrance() == ""
    ask(pool)
    (tmp_path / "plugin").chmod(0o644)
    assert pool.hindrance() == "", "an idle process takes a call"
    assert not children() - {process.pid for process in pool._idle}


def test_numbers_that_are_used_again_confuse_nobody(make: Make) -> None:
    """Descriptors are closed and opened all the time while others are watched."""
    pool = make(pool_size=2, max_calls=1)
    steady = make(pool_size=1)
    first = ask(steady)
    for _ in itertools.repeat(None, 60):
        ask(pool)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert len(os.listdir("/proc/self/fd")) < limit
    assert ask(steady) == first
    os.kill(first, signal.SIGKILL)
    eventually(lambda: first not in children())
