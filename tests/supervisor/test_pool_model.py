"""A pool under any order of calls, deaths, hangs, timeouts, drains and changes of configuration."""

import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from opsorch.errors import PluginBusy, PluginNotFound, PluginStartFailed
from opsorch.supervisor.pool import Pool
from opsorch.supervisor.supervisor import Supervisor
from tests.supervisor.pooling import (
    SLACK_S,
    Caller,
    Held,
    faults_of,
    plugin_spec,
)

ORDERS = ["answer", "answer", "answer", "twice", "babble", "die", "hang", "leave", "break"]

_DEFECTS: list[object] = []


def note(event: str, /, **facts: object) -> None:
    if event == "keeper.failed":
        _DEFECTS.append(facts["exc_info"])


# One for all examples: its two threads stay for the life of the process.
_SUPERVISOR = Supervisor(note)


class PoolModel(RuleBasedStateMachine):
    """Callers come, do things with their processes and go; the books must always be right."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.held = Held()
        self.callers: list[Caller] = []
        self.pools: list[Pool] = []
        # Callers that had to queue, by pool, in the order of their coming.
        self.queued: dict[Pool, list[Caller]] = {}

    @initialize(
        size=st.integers(1, 3),
        min_idle=st.integers(0, 2),
        max_calls=st.sampled_from([0, 2]),
        idle_timeout_s=st.sampled_from([0.1, 300.0]),
    )
    def begin(self, size: int, min_idle: int, max_calls: int, idle_timeout_s: float) -> None:
        self.limits = {
            "pool_size": size,
            "min_idle": min(size, min_idle),
            "max_calls": max_calls,
            "idle_timeout_s": idle_timeout_s,
        }
        self.reconfigure()

    @rule()
    def reconfigure(self) -> None:
        """A new pool takes the new calls; the old one drains."""
        if self.pools:
            self.pools[-1].drain()
        self.pools.append(_SUPERVISOR.pool(plugin_spec(self.folder, **self.limits)))
        self.queued[self.pools[-1]] = []

    @rule(patience_s=st.sampled_from([20.0, 20.0, 0.05]), old=st.booleans())
    def arrive(self, patience_s: float, old: bool) -> None:
        """A caller comes; sometimes one that still knows the pool before."""
        pool = self.pools[-2 if old and len(self.pools) > 1 else -1]
        caller = Caller(pool, self.held, patience_s)
        self.callers.append(caller)
        caller.start()
        assert caller.deadline.settled.wait(SLACK_S)
        if caller.deadline.queued.is_set():
            self.queued[pool].append(caller)

    @rule(patience=st.lists(st.sampled_from([20.0, 20.0, 0.05]), min_size=2, max_size=5))
    def arrive_together(self, patience: list[float]) -> None:
        """Several come at the same time, in no order."""
        pool = self.pools[-1]
        fresh = [Caller(pool, self.held, patience_s) for patience_s in patience]
        for caller in fresh:
            caller.start()
        self.callers.extend(fresh)
        for caller in fresh:
            assert caller.deadline.settled.wait(SLACK_S)

    # No preconditions: what they would ask changes with time, not with the rules alone.

    @rule(order=st.sampled_from(ORDERS), which=st.integers(0, 100))
    def act(self, order: str, which: int) -> None:
        """One that was lent a process does something with it."""
        lent = self.lent()
        if lent:
            self.order([lent[which % len(lent)]], [order])

    @rule(orders=st.lists(st.sampled_from(ORDERS), min_size=2, max_size=3))
    def act_together(self, orders: list[str]) -> None:
        """Several do something at the same time."""
        self.order(self.lent(), orders)

    def order(self, callers: list[Caller], orders: list[str]) -> None:
        chosen = list(zip(callers, orders, strict=False))
        for caller, order in chosen:
            caller.orders.put(order)
        for caller, _ in chosen:
            caller.join(30)
            assert not caller.is_alive()

    @rule(which=st.integers(0, 100))
    def kill_one(self, which: int) -> None:
        """A process is killed from outside, idle or busy."""
        with self.pools[-1]._lock:
            processes = sorted(self.pools[-1]._processes, key=lambda one: one.pid)
        if processes:
            processes[which % len(processes)].child.signal_group(signal.SIGKILL)

    @rule()
    def spoil(self) -> None:
        """The plugin's file becomes unfit."""
        (self.folder / "plugin").chmod(0o644)

    @rule()
    def mend(self) -> None:
        """The plugin's file is fit again, and the backoff is over."""
        (self.folder / "plugin").chmod(0o755)
        for pool in self.pools:
            with pool._lock:
                pool.starts._breaker._until = 0.0

    def lent(self) -> list[Caller]:
        return [c for c in self.callers if c.is_alive() and c.lease is not None]

    @invariant()
    def the_books_are_right(self) -> None:
        for pool in self.pools:
            assert faults_of(pool) == []
        assert self.held.faults == []
        assert _DEFECTS == []

    @invariant()
    def who_came_first_is_served_first(self) -> None:
        for queue in self.queued.values():
            waits = [not caller.got.is_set() for caller in queue]
            for place, caller in enumerate(queue):
                # Looked at first: who waits now has waited all the time.
                if caller.lease is not None and any(waits[:place]):
                    assert all(one.got.wait(SLACK_S) for one in queue[:place])

    def teardown(self) -> None:
        try:
            (self.folder / "plugin").chmod(0o755)
            for caller in self.callers:
                caller.orders.put("answer")
            for caller in self.callers:
                caller.join(60)
                assert not caller.is_alive(), "a caller was never served"
                assert caller.waited_s < caller.patience_s + SLACK_S
                if caller.lease is None:
                    assert (
                        isinstance(caller.error, PluginBusy | PluginStartFailed | PluginNotFound)
                        or getattr(caller.error, "code", "") == "rpc_timeout"
                    )
            self.the_books_are_right()
            for pool in self.pools:
                pool.close()
            for pool in self.pools:
                assert pool.wait_gone(20.0), "a process was lost"
                assert pool._slots == 0
                assert not pool._waiters
        finally:
            shutil.rmtree(self.folder)


PoolModel.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestPoolModel = PoolModel.TestCase


@pytest.fixture
def hasty_switches() -> object:
    """Threads take turns far more often than they do by themselves."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_switches")
@pytest.mark.parametrize("seed", range(3))
def test_the_books_are_right_under_many_threads(seed: int, tmp_path: pathlib.Path) -> None:
    held, over = Held(), threading.Event()
    limits = {"pool_size": 3, "max_calls": 7, "idle_timeout_s": 0.1, "min_idle": seed}
    spec = plugin_spec(tmp_path, **limits)
    current = [_SUPERVISOR.pool(spec)]
    pools, wrong = list(current), list[str]()
    outcomes: list[str] = []

    def call(number: int) -> None:
        chance = random.Random(seed * 100 + number)
        for _ in range(25):
            caller = Caller(current[0], held, chance.choice([30.0, 30.0, 0.01]))
            caller.orders.put(chance.choice([*ORDERS, "answer", "answer", "answer"]))
            caller.run()
            outcomes.append(type(caller.error).__name__)

    def watch() -> None:
        while not over.wait(0.001):
            wrong.extend(fault for pool in pools for fault in faults_of(pool))

    def disturb() -> None:
        chance = random.Random(seed)
        while not over.wait(chance.uniform(0.01, 0.1)):
            fresh = _SUPERVISOR.pool(spec)
            pools.append(fresh)
            old, current[0] = current[0], fresh
            old.drain()

    callers = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    others = [threading.Thread(target=watch), threading.Thread(target=disturb)]
    for thread in callers + others:
        thread.start()
    for thread in callers:
        thread.join(120)
        assert not thread.is_alive(), "a caller hangs"
    over.set()
    for thread in others:
        thread.join(30)
    assert not wrong
    assert held.faults == []
    assert len(outcomes) == 200
    assert outcomes.count("NoneType") > 40
    for pool in pools:
        pool.close()
        assert pool.wait_gone(20.0), "a process was lost"
        assert pool._slots == 0
    assert _DEFECTS == []


def test_the_last_pool_leaves_nothing_in_the_supervisor(tmp_path: pathlib.Path) -> None:
    began = time.monotonic()
    assert _SUPERVISOR.kill(within_s=10)
    _SUPERVISOR.pool(plugin_spec(tmp_path))
    assert len(_SUPERVISOR._pools) == 1
    assert time.monotonic() - began < 10
