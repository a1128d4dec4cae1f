"""The processes of one plugin in one gateway worker: lent, taken back, replaced, drained.

One lock guards the pool's state; no I/O and no wait happens under it. A slot is either a live
process or one being started; there are never more than ``pool_size``. Waiting calls are served in
the order of their arrival.
"""

import itertools
import math
import random
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from opsorch.deadline import Deadline
from opsorch.errors import OpsOrchError, PluginBusy, PluginNotFound, PluginStartFailed, RpcTimeout
from opsorch.supervisor.backoff import FIRST_DELAY_S, Breaker, BreakerState
from opsorch.supervisor.care import Care
from opsorch.supervisor.child import Child, Spawner
from opsorch.supervisor.keeper import Keeper
from opsorch.supervisor.launch import look_at_file
from opsorch.supervisor.lease import Lease
from opsorch.supervisor.process import Process, ProcessDied
from opsorch.supervisor.spec import Emit, PluginSpec
from opsorch.supervisor.states import ProcessState

RETRY_AFTER_BUSY_S: Final = 1.0
# A reason of lease.discarded; so it is, too, where nobody had lent the process.
DIED_IDLE: Final = "died while idle"


@dataclass
class _Waiter:
    """A call that waits for a process; woken with one, with leave to start one, or an error."""

    woken: threading.Event = field(default_factory=threading.Event)
    process: Process | None = None
    error: OpsOrchError | None = None


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
    """Lends the processes of one plugin."""

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
        self._warned = False
        self._begin(spawner, keeper, breaker or Breaker(jitter=jitter))

    def _begin(self, spawner: Spawner, keeper: Keeper, breaker: Breaker) -> None:
        self._spawner = spawner
        self._keeper = keeper
        self._care = Care(keeper, self._emit, ended=self._ended, gone=self._closed_down)
        self._breaker = breaker
        self._lock = threading.Lock()
        self._gone = threading.Condition(self._lock)
        self._idle: list[Process] = []
        self._waiters: deque[_Waiter] = deque()
        self._slots = 0
        self._processes: set[Process] = set()
        self._numbers = itertools.count(1)
        self._draining = False
        self._closed = False
        self._tend_at = math.inf
        self._last_failure = ""
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
            process = self._take_idle()
            if process is None:
                break
            if process.usable():
                return Lease(self, process, fresh=False)
            self.discard(process, DIED_IDLE)
        waited_from = time.monotonic()
        waiter = self._take_slot_or_queue()
        if waiter is not None:
            process = self._wait(waiter, deadline, waited_from)
            if process is not None:
                if process.usable():
                    return Lease(self, process, fresh=False)
                return Lease(self, self.replace(process, deadline), fresh=True)
        return Lease(self, self._start(deadline), fresh=True)

    def replace(self, process: Process, deadline: Deadline) -> Process:
        """Destroy a lent process and start another one on its slot.

        Raises:
            PluginNotFound, PluginStartFailed, RpcTimeout: None can be started; the slot is free.
        """
        self.discard(process, "died", keep_slot=True)
        with self._lock:
            refused = self._stopped() if self._closed else self._start_refused()
        if refused is not None:
            self._free_slot()
            raise refused
        return self._start(deadline)

    def _take_idle(self) -> Process | None:
        """Take the most recently used idle process, unless others wait for one."""
        with self._lock:
            self._refuse_if_closed()
            if self._waiters or not self._idle:
                return None
            process = self._idle.pop()
            process.move(ProcessState.BUSY)
            return process

    def _take_slot_or_queue(self) -> _Waiter | None:
        """Take a free slot (None), or join the queue."""
        with self._lock:
            self._refuse_if_closed()
            if not self._waiters and self._slots < self.spec.pool_size:
                error = self._start_refused()
                if error is not None:
                    raise error
                self._slots += 1
                return None
            waiter = _Waiter()
            self._waiters.append(waiter)
            self._serve_waiters()
            return waiter

    def _wait(self, waiter: _Waiter, deadline: Deadline, since: float) -> Process | None:
        """Wait for a turn. Returns a process, or None with leave to start one."""
        turn = deadline.within(self.spec.queue_timeout_s)
        if not waiter.woken.wait(turn.remaining()):
            with self._lock:
                if not waiter.woken.is_set():
                    self._waiters.remove(waiter)
                    waiter.error = self._busy(time.monotonic() - since)
        self._emit("checkout.waited", capability=self.spec.label, seconds=time.monotonic() - since)
        if waiter.error is not None:
            raise waiter.error
        return waiter.process

    def _busy(self, waited_s: float) -> PluginBusy:
        return PluginBusy(
            f"All {self.spec.pool_size} processes of the plugin of {self.spec.label!r} stayed busy"
            f" for {waited_s:.1f} s. Repeat the call later, or raise OPSORCH_PLUGIN_POOL_SIZE.",
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
        while self._waiters:
            if self._idle:
                process = self._idle.pop()
                process.move(ProcessState.BUSY)
                self._waiters[0].process = process
            elif self._slots < self.spec.pool_size:
                error = self._start_refused()
                self._waiters[0].error = error
                self._slots += error is None
            else:
                return
            self._waiters.popleft().woken.set()

    # --- starting -----------------------------------------------------------------------------

    def _start_refused(self) -> PluginStartFailed | None:
        """Return why no process may be started now, if so; the caller holds the lock."""
        if self._breaker.allows_start():
            return None
        wait_s = self._breaker.retry_after_s()
        return PluginStartFailed(
            f"The plugin of {self.spec.label!r} ({self.spec.command[0]}) is not started now:"
            f" {self._last_failure}. It is tried again in {wait_s:.1f} s.",
            retry_after_s=wait_s,
        )

    def _start(self, deadline: Deadline) -> Process:
        """Start a process on a slot that the caller has taken; gives the slot back on failure."""
        try:
            self._look_at_file()
        except BaseException:
            self._free_slot()
            raise
        number = next(self._numbers)
        wish = self._spawner.start(self.spec, self._mark(number))
        try:
            child = wish.result(deadline.remaining())
        except TimeoutError:
            self._let_go(wish, number)
            raise RpcTimeout(
                f"The plugin of {self.spec.label!r} was not started within"
                f" {deadline.timeout_s:g} s.",
                sent=False,
            ) from None
        except OSError as exc:
            failed = self.start_failed(f"the system refuses ({exc.strerror})")
            self._free_slot()
            raise failed from exc
        return self._welcome(child, number)

    def _let_go(self, wish: "Future[Child]", number: int) -> None:
        """Give up waiting for a start; a child that comes all the same is for the next call."""
        if wish.cancel():
            self.try_abandoned()
            self._free_slot()
        else:
            wish.add_done_callback(lambda done: self._started_ahead(done, number))

    def _mark(self, number: int) -> str:
        return f"{self.spec.label}-{id(self):x}.{number}"

    def _look_at_file(self) -> None:
        try:
            warnings = look_at_file(self.spec)
        except PluginStartFailed as failed:
            failed.retry_after_s = self._note_failed_start(failed.reason)
            failed.message += f" It is tried again in {failed.retry_after_s:.1f} s."
            raise
        except BaseException:
            self.try_abandoned()
            raise
        for warning in () if self._warned else warnings:
            self._warned = True
            self._emit(
                "plugin.suspect",
                capability=self.spec.label,
                path=self.spec.command[0],
                what=warning,
            )

    def start_failed(self, reason: str, stderr: str = "") -> PluginStartFailed:
        """Note a failed start and return the error that tells of it."""
        wait_s = self._note_failed_start(reason, stderr)
        return PluginStartFailed(
            f"The plugin of {self.spec.label!r} ({self.spec.command[0]}) cannot be started:"
            f" {_told(reason, stderr)}. It is tried again in {wait_s:.1f} s.",
            retry_after_s=wait_s,
        )

    def _note_failed_start(self, reason: str, stderr: str = "") -> float:
        """Note a failed start; returns the seconds until the next one may be tried."""
        with self._lock:
            self._last_failure = _told(reason, stderr)
            opened = self._breaker.start_failed()
            wait_s = self._breaker.retry_after_s()
        self._emit("process.start_failed", capability=self.spec.label, reason=reason, stderr=stderr)
        if opened:
            self._emit("breaker.opened", capability=self.spec.label, seconds=wait_s)
        return wait_s

    def _welcome(self, child: Child, number: int) -> Process:
        process = Process(child, self.spec, self._mark(number), self._emit)
        if self.spec.max_calls:
            process.call_limit = max(1, round(self.spec.max_calls * (0.8 + 0.2 * self._jitter())))
        with self._lock:
            process.move(ProcessState.BUSY)
            process.on_trial = self._breaker.state is BreakerState.HALF_OPEN
            self._processes.add(process)
            closed = self._closed
        self._emit("process.started", capability=self.spec.label, pid=process.pid)
        self._care.take(process)
        if closed:
            # Whoever closed the pool meanwhile did not see it: its first call finds it dead.
            child.signal_group(signal.SIGKILL)
        return process

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

    def replied(self, process: Process) -> None:
        """Note a reply: whatever was wrong with starting is over."""
        with self._lock:
            was_closed = self._breaker.state is BreakerState.CLOSED
            self._breaker.replied()
            process.on_trial = False
        if not was_closed:
            self._emit("breaker.closed", capability=self.spec.label)
            self._tend_later(0.0)

    def died_in_call(self, process: Process, death: ProcessDied) -> None:
        """Note that a process died with a request it had taken."""
        with self._lock:
            self._last_failure = _told(f"it ended in a call, {death.how}", death.stderr)
            opened = self._breaker.died_in_call(process.called_at, on_trial=process.on_trial)
            wait_s = self._breaker.retry_after_s()
        if opened:
            self._emit("breaker.opened", capability=self.spec.label, seconds=wait_s)

    def try_abandoned(self) -> None:
        """Note that a start ended without a verdict on whether the plugin works."""
        with self._lock:
            self._breaker.try_abandoned()

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
            if process.on_trial:
                # It leaves without a verdict; where it had one, the breaker is not half-open.
                self._breaker.try_abandoned()
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
            if not process.calls and self._starts_in_vain(process):
                self.start_failed(f"it ended ({process.child.status})", process.stderr.last_lines())
            self.discard(process, DIED_IDLE)

    def _starts_in_vain(self, process: Process) -> bool:
        """Tell whether the death of a process started ahead shows that starting is no use.

        Without backoff, starting ahead what dies before any call would be a loop.
        """
        with self._lock:
            return process.on_trial or self._breaker.died_unused(process.started_at)

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
            missing = 0 if self._draining else self._missing_warm()
            self._slots += missing
        for process in leaving:
            self._emit(
                "process.retired", capability=self.spec.label, pid=process.pid, reason="idle"
            )
            self._retire(process, polite=True)
        for _ in range(missing):
            self._start_warm()
        if self.spec.min_idle and self._breaker.state is BreakerState.OPEN:
            # Not sooner, even where the wait is over: a missing file is looked for again and again.
            self._tend_later(max(FIRST_DELAY_S, self._breaker.retry_after_s()))
        if len(left) > self.spec.min_idle:
            self._tend_later(max(0.05, min(left) + self.spec.idle_timeout_s - now))

    def _missing_warm(self) -> int:
        """Count the processes to be started ahead; the caller holds the lock."""
        wanted = min(self.spec.min_idle - len(self._idle), self.spec.pool_size - self._slots)
        if wanted <= 0:
            return 0
        if self._breaker.state is not BreakerState.CLOSED:
            return int(self._breaker.allows_start())
        return wanted

    def _start_warm(self) -> None:
        """Start a process for the idle list; its slot is taken already. Blocks for nothing."""
        try:
            self._look_at_file()
        except OpsOrchError:
            self._free_slot()
            return
        number = next(self._numbers)
        wish = self._spawner.start(self.spec, self._mark(number))
        wish.add_done_callback(lambda done: self._started_ahead(done, number))

    def _started_ahead(self, wish: "Future[Child]", number: int) -> None:
        """Take in a process that no call waits for."""
        try:
            child = wish.result()
        except OSError as exc:
            self.start_failed(f"the system refuses ({exc.strerror})")
            self._free_slot()
            self._tend_later(0.0)
            return
        process = self._welcome(child, number)
        self.checkin(process)

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
                waiter.error = self._stopped()
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
            return Snapshot(
                size=self.spec.pool_size,
                states=states,
                waiting=len(self._waiters),
                breaker=self._breaker.state,
                retry_after_s=self._breaker.retry_after_s(),
            )


def _told(reason: str, stderr: str) -> str:
    return f"{reason}; it wrote: {stderr}" if stderr else reason
