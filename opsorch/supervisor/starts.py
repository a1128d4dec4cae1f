"""Starts of a plugin's processes: whether one may be tried now, how it went, and what follows.

A lock of its own guards the breaker. A pool asks for a permit with its own lock held, and nothing
here calls the pool with this one held.
"""

import itertools
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from opsorch.deadline import Deadline
from opsorch.errors import OpsOrchError, PluginStartFailed, RpcTimeout
from opsorch.supervisor.backoff import Breaker, BreakerState, Permit
from opsorch.supervisor.child import Child, Spawner
from opsorch.supervisor.launch import look_at_file
from opsorch.supervisor.process import Process, ProcessDied
from opsorch.supervisor.spec import Emit, PluginSpec

# Takes a process that its caller does not wait for, or None where none comes.
Taker = Callable[[Process | None], None]

# A recycled process leaves after so much of its calls at least, that they do not leave together.
_LEAST_OF_CALLS: Final = 0.8


class Starts:
    """Starts processes, and learns from what becomes of them. Safe for threads."""

    def __init__(
        self,
        spec: PluginSpec,
        spawner: Spawner,
        emit: Emit,
        *,
        breaker: Breaker,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._spec = spec
        self._spawner = spawner
        self._emit = emit
        self._breaker = breaker
        self._jitter = jitter
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._last_failure = ""
        self._warned = False

    # --- whether, and how -----------------------------------------------------------------------

    def permit(self) -> Permit:
        """Give leave for one start. It must be used: by ``start`` or ``start_ahead``.

        Raises:
            PluginStartFailed: None may be tried now; says when.
        """
        with self._lock:
            permit = self._breaker.permit()
            if permit is not None:
                return permit
            wait_s, why = self._breaker.retry_after_s(), self._last_failure
        raise PluginStartFailed(
            f"The plugin of {self._spec.label!r} ({self._spec.title}) is not started now:"
            f" {why}. It is tried again in {wait_s:.1f} s.",
            retry_after_s=wait_s,
        )

    def start(self, permit: Permit, deadline: Deadline, otherwise: Taker) -> Process:
        """Start a process. Blocks until the deadline at most.

        Args:
            permit: Leave for it.
            deadline: Of the call that waits for it.
            otherwise: Called once where no process is returned: with None, or, later, with the one
                that came all the same after the deadline.

        Raises:
            PluginNotFound, PluginStartFailed: It cannot be started.
            RpcTimeout: The start took all the time there was.
        """
        try:
            wish, mark = self._wish(permit)
        except BaseException:
            otherwise(None)
            raise
        try:
            failure = wish.exception(deadline.remaining())
        except TimeoutError:
            self._let_go(wish, permit, mark, otherwise)
            raise RpcTimeout(
                f"The plugin of {self._spec.label!r} was not started within"
                f" {deadline.timeout_s:g} s.",
                sent=False,
            ) from None
        if failure is not None:
            failed = self._refused(failure)
            otherwise(None)
            raise failed from failure
        return self._made(wish.result(), permit, mark)

    def start_ahead(self, permit: Permit, then: Taker) -> None:
        """Start a process that no call waits for; ``then`` takes it. Does not block."""
        try:
            wish, mark = self._wish(permit)
        except OpsOrchError:
            then(None)
            return
        wish.add_done_callback(lambda done: then(self._came(done, permit, mark)))

    def _wish(self, permit: Permit) -> "tuple[Future[Child], str]":
        self._look_at_file(permit)
        mark = f"{self._spec.label}-{id(self):x}.{next(self._numbers)}"
        return self._spawner.start(self._spec, mark), mark

    def _look_at_file(self, permit: Permit) -> None:
        try:
            warnings = look_at_file(self._spec)
        except PluginStartFailed as failed:
            failed.retry_after_s = self._note_failure(failed.reason)
            failed.message += f" It is tried again in {failed.retry_after_s:.1f} s."
            raise
        except BaseException:
            self._abandon(permit)
            raise
        for warning in () if self._warned else warnings:
            self._warned = True
            self._emit(
                "plugin.suspect",
                capability=self._spec.label,
                path=self._spec.command[0],
                what=warning,
            )

    def _let_go(self, wish: "Future[Child]", permit: Permit, mark: str, otherwise: Taker) -> None:
        """Give up waiting for a start; a child that comes all the same is for the next call."""
        if wish.cancel():
            self._abandon(permit)
            otherwise(None)
        else:
            wish.add_done_callback(lambda done: otherwise(self._came(done, permit, mark)))

    def _came(self, wish: "Future[Child]", permit: Permit, mark: str) -> Process | None:
        failure = wish.exception()
        if failure is not None:
            self._refused(failure)
            return None
        return self._made(wish.result(), permit, mark)

    def _made(self, child: Child, permit: Permit, mark: str) -> Process:
        process = Process(child, self._spec, mark, self._emit, permit)
        if self._spec.max_calls:
            share = _LEAST_OF_CALLS + (1 - _LEAST_OF_CALLS) * self._jitter()
            process.call_limit = max(1, round(self._spec.max_calls * share))
        return process

    # --- what becomes of them -------------------------------------------------------------------

    def replied(self) -> bool:
        """Note a reply: whatever was wrong is over. Tells whether something was."""
        with self._lock:
            was_closed = self._breaker.state is BreakerState.CLOSED
            self._breaker.replied()
        if not was_closed:
            self._emit("breaker.closed", capability=self._spec.label)
        return not was_closed

    def on_trial(self, process: Process) -> bool:
        """Tell whether it is the breaker's half-open try, on which there is no verdict yet."""
        with self._lock:
            return self._breaker.tries(process.permit)

    def died_in_call(self, process: Process, death: ProcessDied) -> None:
        """Note that a process died with a request it had taken."""
        with self._lock:
            self._last_failure = _told(f"it ended in a call, {death.how}", death.stderr)
            opened = self._breaker.died_in_call(process.called_at, process.permit)
            wait_s = self._breaker.retry_after_s()
        if opened:
            self._emit("breaker.opened", capability=self._spec.label, seconds=wait_s)

    def died_unused(self, process: Process) -> None:
        """Note that a process started ahead died before any call; it may show that starts fail.

        Without backoff, starting ahead what dies before any call would be a loop.
        """
        with self._lock:
            in_vain = self._breaker.died_unused(process.started_at, process.permit)
        if in_vain:
            self.failed(f"it ended ({process.child.status})", process.stderr.last_lines())

    def left(self, process: Process) -> None:
        """Note that a process leaves: if it was on trial, it has no verdict, and the next may try.

        Callable with the pool's lock held.
        """
        self._abandon(process.permit)

    def _abandon(self, permit: Permit) -> None:
        with self._lock:
            self._breaker.abandoned(permit)

    def failed(self, reason: str, stderr: str = "") -> PluginStartFailed:
        """Note a failed start and return the error that tells of it."""
        wait_s = self._note_failure(reason, stderr)
        return PluginStartFailed(
            f"The plugin of {self._spec.label!r} ({self._spec.title}) cannot be started:"
            f" {_told(reason, stderr)}. It is tried again in {wait_s:.1f} s.",
            retry_after_s=wait_s,
        )

    def _refused(self, failure: BaseException) -> PluginStartFailed:
        reason = getattr(failure, "strerror", None) or type(failure).__name__
        return self.failed(f"the system refuses ({reason})")

    def _note_failure(self, reason: str, stderr: str = "") -> float:
        """Note a failed start; returns the seconds until the next one may be tried."""
        with self._lock:
            self._last_failure = _told(reason, stderr)
            opened = self._breaker.start_failed()
            wait_s = self._breaker.retry_after_s()
        self._emit(
            "process.start_failed", capability=self._spec.label, reason=reason, stderr=stderr
        )
        if opened:
            self._emit("breaker.opened", capability=self._spec.label, seconds=wait_s)
        return wait_s

    def outlook(self) -> tuple[BreakerState, float]:
        """Return the breaker's state, and in how many seconds a start may be tried."""
        with self._lock:
            return self._breaker.state, self._breaker.retry_after_s()


def _told(reason: str, stderr: str) -> str:
    return f"{reason}; it wrote: {stderr}" if stderr else reason
