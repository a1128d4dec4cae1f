"""The processes of one plugin in one gateway worker: lent, taken back, replaced, drained.

One lock guards the pool's state; no I/O and no wait happens under it. A slot is either a live
process or one being started; there are never more than ``pool_size``. Waiting calls are served in
the order of their arrival.
"""

import contextlib
import math
import random
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from opsorch.deadline import Deadline
from opsorch.errors import OpsOrchError, PluginBusy, PluginNotFound, PluginStartFailed
from opsorch.supervisor.backoff import FIRST_DELAY_S, Breaker, BreakerState, Permit
from opsorch.supervisor.care import Care
from opsorch.supervisor.child import Spawner
from opsorch.supervisor.keeper import Keeper
from opsorch.supervisor.launch import look_at_file
from opsorch.supervisor.lease import Lease
from opsorch.supervisor.process import Process
from opsorch.supervisor.spec import Emit, PluginSpec
from opsorch.supervisor.starts import Starts
from opsorch.supervisor.states import ProcessState

RETRY_AFTER_BUSY_S: Final = 1.0
# A reason of lease.discarded; so it is, too, where nobody had lent the process.
DIED_IDLE: Final = "died while idle"


@dataclass
class _Waiter:
    """A call in the queue; woken with a process, with leave to start one, or with an error."""

    woken: threading.Event = field(default_factory=threading.Event)
    given: Process | Permit | OpsOrchError | None = None


@dataclass(frozen=True)
class Snapshot:
    """What a pool looks like at one moment.

    Attributes:
        states: Live processes by state; draining ones are counted until they are gone.
        waiting: Calls that wait for a process.
        breaker: State of the circuit breaker.
        retry_after_s: When a start may be tried; 0: now.
    """

    size: int
    states: dict[str, int]
    waiting: int
    breaker: BreakerState
    retry_after_s: float

    @property
    def has_process(self) -> bool:
        """Tell whether a call would find a process, at once or after a wait."""
        return bool(self.states["idle"] or self.states["busy"])


class Pool:
    """Lends the processes of one plugin.

    Attributes:
        starts: Learns from what becomes of its processes.
    """

    def __init__(
        self,
        spec: PluginSpec,
        spawner: Spawner,
        keeper: Keeper,
        emit: Emit,
        *,
        jitter: Callable[[], float] = random.random,
        breaker: Breaker | None = None,
        on_gone: Callable[[Process], None] = lambda process: None,
    ) -> None:
        """Prepare; nothing is started but what ``spec.min_idle`` asks for, in the background."""
        self.spec = spec
        self._emit = emit
        self._jitter = jitter
        self._on_gone = on_gone
        self._begin(spawner, keeper, breaker or Breaker(jitter=jitter))

    def _begin(self, spawner: Spawner, keeper: Keeper, breaker: Breaker) -> None:
        self._keeper = keeper
        self._care = Care(keeper, self._emit, ended=self._ended, gone=self._closed_down)
        self.starts = Starts(self.spec, spawner, self._emit, breaker=breaker, jitter=self._jitter)
        self._lock = threading.Lock()
        self._gone = threading.Condition(self._lock)
        self._idle: list[Process] = []
        self._waiters: deque[_Waiter] = deque()
        self._slots = 0
        self._processes: set[Process] = set()
        self._draining = False
        self._closed = False
        self._tend_at = math.inf
        if self.spec.min_idle:
            keeper.soon(self._tend)

    # --- lending ------------------------------------------------------------------------------

    def checkout(self, deadline: Deadline) -> Lease:
        """Lend one idle process, starting one if the pool has a free slot.

        Args:
            deadline: Covers queueing and starting. Blocks until then at most, and no longer than
                the queue timeout for its turn.

        Raises:
            PluginBusy: Every process stayed taken.
            PluginNotFound, PluginStartFailed: None is idle and none can be started.
            RpcTimeout: The start took all the time there was.
        """
        while True:
            claim = self._claim()
            given = self._wait(claim, deadline) if isinstance(claim, _Waiter) else claim
            if isinstance(given, Permit):
                return Lease(self, self._start(given, deadline), fresh=True)
            if given.usable():
                return Lease(self, given, fresh=False)
            if given is not claim:
                # It has had its turn: it does not go to the end of the queue.
                return Lease(self, self.replace(given, deadline), fresh=True)
            self.discard(given, DIED_IDLE)

    def replace(self, process: Process, deadline: Deadline) -> Process:
        """Destroy a lent process and start another one on its slot.

        Raises:
            PluginNotFound, PluginStartFailed, RpcTimeout: None can be started; the slot is free.
        """
        self.discard(process, "died", keep_slot=True)
        try:
            self._refuse_if_closed()
            permit = self.starts.permit()
        except OpsOrchError:
            self._free_slot()
            raise
        return self._start(permit, deadline)

    def _claim(self) -> Process | Permit | _Waiter:
        """Take the most recently used idle process, a slot to start one on, or a queue's place."""
        with self._lock:
            self._refuse_if_closed()
            if self._waiters or not (self._idle or self._slots < self.spec.pool_size):
                waiter = _Waiter()
                self._waiters.append(waiter)
                return waiter
            return self._take()

    def _take(self) -> Process | Permit:
        """Take an idle process, or a free slot; there is one, and the caller holds the lock."""
        if self._idle:
            process = self._idle.pop()
            process.move(ProcessState.BUSY)
            return process
        permit = self.starts.permit()
        self._slots += 1
        return permit

    def _wait(self, waiter: _Waiter, deadline: Deadline) -> Process | Permit:
        """Wait in the queue."""
        since = time.monotonic()
        if not waiter.woken.wait(deadline.within(self.spec.queue_timeout_s).remaining()):
            with self._lock:
                if not waiter.woken.is_set():
                    self._waiters.remove(waiter)
                    waiter.given = self._busy(time.monotonic() - since)
        self._emit("checkout.waited", capability=self.spec.label, seconds=time.monotonic() - since)
        if isinstance(waiter.given, Process | Permit):
            return waiter.given
        raise waiter.given or self._stopped()

    def _busy(self, waited_s: float) -> PluginBusy:
        return PluginBusy(
            f"All {self.spec.pool_size} processes of the plugin of {self.spec.label!r} stayed busy"
            f" for {waited_s:.1f} s. Repeat the call later, or raise {self.spec.prefix}POOL_SIZE.",
            retry_after_s=RETRY_AFTER_BUSY_S,
        )

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise self._stopped()

    def _stopped(self) -> PluginBusy:
        return PluginBusy(
            f"The plugin of {self.spec.label!r} is being stopped. Repeat the call.",
            retry_after_s=RETRY_AFTER_BUSY_S,
        )

    def _serve_waiters(self) -> None:
        """Give idle processes and free slots to those who wait; the caller holds the lock."""
        while self._waiters and (self._idle or self._slots < self.spec.pool_size):
            waiter = self._waiters.popleft()
            try:
                waiter.given = self._take()
            except PluginStartFailed as refused:
                waiter.given = refused
            waiter.woken.set()

    def _start(self, permit: Permit, deadline: Deadline) -> Process:
        """Start a process on a slot that the caller has taken; gives the slot back on failure."""
        process = self.starts.start(permit, deadline, self._take_unasked)
        self._welcome(process)
        return process

    def _take_unasked(self, process: Process | None) -> None:
        """Take in a process that no call waits for; its slot is free where none comes."""
        if process is None:
            self._free_slot()
            self._tend_after_backoff()
        else:
            self._welcome(process)
            self.checkin(process)

    def _welcome(self, process: Process) -> None:
        with self._lock:
            process.move(ProcessState.BUSY)
            self._processes.add(process)
            closed = self._closed
        self._emit("process.started", capability=self.spec.label, pid=process.pid)
        self._care.take(process)
        if closed:
            # Whoever closed the pool meanwhile did not see it: its first call finds it dead.
            process.child.signal_group(signal.SIGKILL)

    # --- taking back --------------------------------------------------------------------------

    def checkin(self, process: Process) -> None:
        """Take back a process whose stream is in step; it is drained if its time has come."""
        reason = self._why_leave(process)
        if reason:
            self._emit(
                "process.retired", capability=self.spec.label, pid=process.pid, reason=reason
            )
            self._retire(process, polite=True)
            return
        with self._lock:
            # One that answered and ended may be reaped already; nobody would look at it again.
            dead = process.child.status is not None
            leaves = dead or self._closed or (self._draining and not self._waiters)
            if not leaves:
                process.move(ProcessState.IDLE)
                process.idle_since = time.monotonic()
                self._idle.append(process)
                self._serve_waiters()
        if dead:
            self.discard(process, DIED_IDLE)
        elif leaves:
            self._retire(process, polite=not self._closed)
        else:
            self._tend_later(self.spec.idle_timeout_s)

    def _why_leave(self, process: Process) -> str:
        if process.call_limit and process.calls >= process.call_limit:
            return "max_calls"
        limit = self.spec.max_memory_mb
        return "max_memory" if limit and process.resident_mb() > limit else ""

    def replied(self) -> None:
        """Note a reply: whatever was wrong with starting is over."""
        if self.starts.replied():
            self._tend_later(0.0)

    def discard(self, process: Process, reason: str, *, keep_slot: bool = False) -> None:
        """Destroy a process that nobody may use: its group is killed, its slot is free at once."""
        self._emit("lease.discarded", capability=self.spec.label, pid=process.pid, reason=reason)
        self._retire(process, polite=False, keep_slot=keep_slot)

    def _retire(self, process: Process, *, polite: bool, keep_slot: bool = False) -> None:
        """Let a process leave that nobody may use any more."""
        if not polite:
            process.child.signal_group(signal.SIGKILL)
        with self._lock:
            process.move(ProcessState.DRAINING)
            self.starts.left(process)
            if not keep_slot:
                self._slots -= 1
                self._serve_waiters()
        self._care.see_off(process, polite=polite)
        self._tend_later(0.0)

    def _free_slot(self) -> None:
        with self._lock:
            self._slots -= 1
            self._serve_waiters()
            self._gone.notify_all()

    # --- on the keeper's thread ---------------------------------------------------------------

    def _ended(self, process: Process) -> None:
        """Take a process that ended off the idle list; whoever uses it will notice by itself."""
        with self._lock:
            was_idle = process in self._idle
            if was_idle:
                self._idle.remove(process)
        if was_idle:
            if not process.calls:
                self.starts.died_unused(process)
            self.discard(process, DIED_IDLE)

    def _closed_down(self, process: Process) -> None:
        """Forget a process that is reaped and whose descriptors are closed."""
        with self._gone:
            process.move(ProcessState.GONE)
            self._processes.discard(process)
            self._gone.notify_all()
        self._on_gone(process)

    def _tend_later(self, delay_s: float) -> None:
        if delay_s <= 0:
            if self.spec.min_idle and not self._closed:
                self._keeper.soon(self._tend)
            return
        at = time.monotonic() + delay_s
        with self._lock:
            if self._closed or at >= self._tend_at:
                return
            self._tend_at = at
        self._keeper.later(delay_s, self._tend_again)

    def _tend_again(self) -> None:
        with self._lock:
            self._tend_at = math.inf
        self._tend()

    def _tend(self) -> None:
        """Drain what has been idle for too long; keep ``min_idle`` processes warm."""
        now = time.monotonic()
        with self._lock:
            spare = len(self._idle) - self.spec.min_idle
            old = [p for p in self._idle if now - p.idle_since >= self.spec.idle_timeout_s]
            leaving = old[: max(0, spare)]
            for process in leaving:
                self._idle.remove(process)
            left = [p.idle_since for p in self._idle]
            permits = self._permits_ahead()
        for process in leaving:
            self._emit(
                "process.retired", capability=self.spec.label, pid=process.pid, reason="idle"
            )
            self._retire(process, polite=True)
        for permit in permits:
            self.starts.start_ahead(permit, self._take_unasked)
        self._tend_after_backoff()
        if len(left) > self.spec.min_idle:
            self._tend_later(max(0.05, min(left) + self.spec.idle_timeout_s - now))

    def _tend_after_backoff(self) -> None:
        breaker, wait_s = self.starts.outlook()
        if self.spec.min_idle and breaker is BreakerState.OPEN:
            # Not sooner, even where the wait is over: a missing file is looked for again and again.
            self._tend_later(max(FIRST_DELAY_S, wait_s))

    def _permits_ahead(self) -> list[Permit]:
        """Take slots for the processes to be started ahead; the caller holds the lock."""
        permits: list[Permit] = []
        if not self._draining:
            wanted = min(self.spec.min_idle - len(self._idle), self.spec.pool_size - self._slots)
            with contextlib.suppress(PluginStartFailed):
                while len(permits) < wanted:
                    permits.append(self.starts.permit())
        self._slots += len(permits)
        return permits

    # --- the end ------------------------------------------------------------------------------

    def drain(self) -> None:
        """Let every process leave as soon as nobody uses or waits for it. Does not block.

        Calls that still come are served; their processes leave right after them.
        """
        with self._lock:
            self._draining = True
            idle, self._idle = self._idle, []
        for process in idle:
            self._retire(process, polite=True)

    def close(self) -> None:
        """Refuse new calls and kill every process at once. Does not block."""
        with self._lock:
            self._closed = self._draining = True
            while self._waiters:
                waiter = self._waiters.popleft()
                waiter.given = self._stopped()
                waiter.woken.set()
            idle, self._idle = self._idle, []
            processes = list(self._processes)
        for process in processes:
            process.child.signal_group(signal.SIGKILL)
        for process in idle:
            self._retire(process, polite=False)

    def wait_gone(self, within_s: float) -> bool:
        """Wait until no process is left, at most so long. Tells whether none is."""
        with self._gone:
            return self._gone.wait_for(
                lambda: not (self._processes or self._slots), max(0.0, within_s)
            )

    def begin_again(self, spawner: Spawner, keeper: Keeper) -> None:
        """Start over in a forked process: the parent's plugins are none of its business."""
        for process in self._processes:
            process.child.abandon()
        self._begin(spawner, keeper, Breaker(jitter=self._jitter))

    def hindrance(self) -> str:
        """Say why no call can be taken now, "" where one can. Looks, and starts nothing."""
        seen = self.snapshot()
        if seen.has_process:
            return ""
        if seen.retry_after_s > 0:
            return f"starts failed; the next one is tried in {seen.retry_after_s:.1f} s"
        try:
            look_at_file(self.spec)
        except (PluginNotFound, PluginStartFailed) as exc:
            # Without its message: probes carry no token, and a path is nobody's business.
            return f"{self.spec.setting} names nothing that can be started ({exc.code})"
        return ""

    @property
    def over(self) -> bool:
        """Tell whether it was drained and no process is left."""
        with self._lock:
            return self._draining and not self._processes and not self._slots

    def snapshot(self) -> Snapshot:
        """Return what the pool looks like now."""
        with self._lock:
            states = {str(state): 0 for state in ProcessState if state is not ProcessState.GONE}
            for process in self._processes:
                states[str(process.state)] += 1
            starting = self._slots - states["idle"] - states["busy"] - states["starting"]
            states["starting"] += max(0, starting)
            breaker, retry_after_s = self.starts.outlook()
            return Snapshot(
                size=self.spec.pool_size,
                states=states,
                waiting=len(self._waiters),
                breaker=breaker,
                retry_after_s=retry_after_s,
            )
