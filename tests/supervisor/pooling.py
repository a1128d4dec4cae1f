"""Callers of a pool, each a thread that does what it is told with the process it is lent."""

import itertools
import os
import pathlib
import queue
import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

from opsorch.deadline import Deadline
from opsorch.errors import OpsOrchError
from opsorch.supervisor.pool import Lease, Pool
from opsorch.supervisor.process import Process, ProcessDied, Request
from opsorch.supervisor.spec import PluginSpec

SCRIPT = pathlib.Path(__file__).parent.parent / "faults" / "plugins" / "obeys_lines.sh"
QUEUE_TIMEOUT_S = 20.0
# What a call may take beyond its bound on a machine that is busy with other things.
SLACK_S = 5.0

_marks = itertools.count(1)


def plugin_spec(folder: pathlib.Path, **limits: Any) -> PluginSpec:
    """A spec of the plugin that obeys lines, with a file of its own in the folder."""
    path = folder / "plugin"
    if not path.exists():
        shutil.copy(SCRIPT, path)
    return PluginSpec(
        label="alert",
        command=(str(path),),
        setting="OPSORCH_ALERT_PLUGIN",
        **{
            "environ": {"PATH": os.environ["PATH"]},
            "queue_timeout_s": QUEUE_TIMEOUT_S,
            **limits,
        },
    )


def request(verb: str, mark: str = "") -> Request:
    """A request in the plugin's own words instead of JSON; its reply carries no id."""
    return Request("a.method", "1", lambda deadline: f"{verb} {mark}\n".encode())


class Held:
    """The processes that are lent now. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[int] = set()
        self.faults: list[str] = []

    def take(self, process: Process) -> None:
        with self._lock:
            if process.pid in self._held:
                self.faults.append(f"{process.pid} is lent twice")
            self._held.add(process.pid)

    def give(self, process: Process) -> None:
        with self._lock:
            self._held.remove(process.pid)


class Watched(Deadline):
    """A deadline that tells how far the call has come that spends it."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(time.monotonic() + timeout_s, timeout_s)
        # The base is frozen.
        object.__setattr__(self, "queued", threading.Event())
        object.__setattr__(self, "settled", threading.Event())

    queued: threading.Event
    settled: threading.Event

    def within(self, timeout_s: float) -> Deadline:
        """Asked for by a call that has joined the queue."""
        self.queued.set()
        self.settled.set()
        return super().within(timeout_s)

    def remaining(self) -> float:
        """Asked for by a call that starts a process."""
        self.settled.set()
        return super().remaining()


class Caller(threading.Thread):
    """Takes a process and obeys orders: a verb of the plugin, ``leave`` or ``break``.

    Attributes:
        got: It has a process, or was refused.
        lease: What it was lent.
        error: Why it was refused, or how its call ended.
    """

    def __init__(self, pool: Pool, held: Held, patience_s: float) -> None:
        super().__init__(daemon=True)
        self.pool = pool
        self.patience_s = patience_s
        self.deadline = Watched(patience_s)
        self.orders: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.got = threading.Event()
        self.lease: Lease | None = None
        self.error: BaseException | None = None
        self.waited_s = 0.0
        self._held = held

    def run(self) -> None:
        began = time.monotonic()
        try:
            lease = self.pool.checkout(self.deadline)
        except OpsOrchError as error:
            self.error = error
            return
        finally:
            self.waited_s = time.monotonic() - began
            self.got.set()
            self.deadline.settled.set()
        try:
            with lease:
                self._held.take(lease.process)
                self.lease = lease
                try:
                    self.obey(lease, self.orders.get())
                finally:
                    if lease._held:
                        self._held.give(lease.process)
        except (OpsOrchError, ProcessDied, Broken) as error:
            self.error = error

    def obey(self, lease: Lease, order: str) -> None:
        """Do one thing with the process; a death is met with one more try, as a provider does."""
        if order == "leave":
            return
        if order == "break":
            raise Broken
        try:
            self.ask(lease, order)
        except ProcessDied as death:
            if death.sent:
                self.pool.starts.died_in_call(lease.process, death)
            self._held.give(lease.process)
            lease.replace(Deadline.after(10))
            self._held.take(lease.process)
            self.ask(lease, "answer")

    def ask(self, lease: Lease, verb: str) -> None:
        mark = f"mark-{next(_marks)}"
        timeout_s = 0.02 if verb == "hang" else 20.0
        envelope = lease.call(request(verb, mark), Deadline.after(timeout_s))
        if bytes(envelope.result) != f'"{mark}"'.encode():
            self._held.faults.append(f"{mark} was answered with {bytes(envelope.result)!r}")


class Broken(Exception):
    """A defect in the code that holds a lease."""


def faults_of(pool: Pool) -> list[str]:
    """Say what is wrong with a pool's books at this moment."""
    with pool._lock:
        idle = [p for p in pool._processes if p.state == "idle"]
        busy = [p for p in pool._processes if p.state == "busy"]
        checks = {
            "more processes than the pool holds": pool._slots > pool.spec.pool_size,
            "a process without a slot": pool._slots < len(idle) + len(busy),
            "the idle list is wrong": set(pool._idle) != set(idle) or len(pool._idle) != len(idle),
            "one waits although one is idle": bool(pool._waiters and pool._idle),
            "one waits although a slot is free": bool(pool._waiters)
            and pool._slots < pool.spec.pool_size,
            "one that was served is queued": any(w.woken.is_set() for w in pool._waiters),
        }
    return [text for text, wrong in checks.items() if wrong]


def eventually(condition: Callable[[], object], within_s: float = 20.0) -> None:
    """Wait until the condition holds; fail where it does not in time."""
    until, pause = time.monotonic() + within_s, threading.Event()
    while not condition():
        assert time.monotonic() < until, f"it did not come to hold within {within_s} s"
        pause.wait(0.002)
