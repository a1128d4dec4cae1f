"""All pools of one gateway worker, the two threads behind them, and their common end."""

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

from opsorch.supervisor.care import EXIT_GRACE_S, TERM_GRACE_S
from opsorch.supervisor.child import Spawner
from opsorch.supervisor.keeper import Keeper
from opsorch.supervisor.pool import Pool
from opsorch.supervisor.process import Process
from opsorch.supervisor.spec import Emit, PluginSpec
from opsorch.supervisor.strays import kill_strays, owner_mark, sweep_orphans

# The polite way out takes so long at most, and a moment.
DRAIN_S: Final = EXIT_GRACE_S + TERM_GRACE_S + 1.0
KILL_S: Final = 2.0
# Looking for strays reads the whole of /proc: once for all processes that end within this time.
_STRAYS_AFTER_S: Final = 0.5


class Supervisor:
    """Makes pools and ends them. One a worker; starts no thread before the first plugin."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._pools: set[Pool] = set()
        self._begin()
        _ALIVE.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._ended: set[str] = set()
        self._looking = False
        self._swept = False
        self._owner = owner_mark()
        self._spawner = Spawner(self._owner)
        self._keeper = Keeper(self._on_defect)

    def pool(self, spec: PluginSpec) -> Pool:
        """Make a pool; it starts nothing unless ``spec.min_idle`` says so."""
        with self._lock:
            first, self._swept = not self._swept, True
        if first:
            self._keeper.soon(self._sweep)
        pool = Pool(spec, self._spawner, self._keeper, self._emit, on_gone=self._process_gone)
        with self._lock:
            self._pools = {known for known in self._pools if not known.over}
            self._pools.add(pool)
        return pool

    def later(self, delay_s: float, work: Callable[[], None]) -> None:
        """Run work that does not block on the keeper's thread, after a delay."""
        self._keeper.later(delay_s, work)

    def drain(self, within_s: float = DRAIN_S) -> bool:
        """Let every plugin leave politely, then kill what is left. Blocks.

        Returns:
            Whether every process is gone and reaped.
        """
        pools = self._known()
        for pool in pools:
            pool.drain()
        until = time.monotonic() + within_s
        for pool in pools:
            pool.wait_gone(until - time.monotonic())
        return self.kill()

    def kill(self, within_s: float = KILL_S) -> bool:
        """Kill every plugin and its descendants at once. Blocks for the reaping only."""
        pools = self._known()
        for pool in pools:
            pool.close()
        until = time.monotonic() + within_s
        gone = [pool.wait_gone(until - time.monotonic()) for pool in pools]
        self._tell_strays(kill_strays(lambda mark: mark.startswith(f"{self._owner}.")))
        return all(gone)

    def _known(self) -> list[Pool]:
        with self._lock:
            return list(self._pools)

    def _process_gone(self, process: Process) -> None:
        """Look for descendants of a process that left its group; on the keeper's thread."""
        self._ended.add(f"{self._owner}.{process.mark}")
        if not self._looking:
            self._looking = True
            self._keeper.later(_STRAYS_AFTER_S, self._look_for_strays)

    def _look_for_strays(self) -> None:
        self._looking = False
        ended, self._ended = self._ended, set()
        self._tell_strays(kill_strays(ended.__contains__))

    def _sweep(self) -> None:
        self._tell_strays(sweep_orphans())

    def _tell_strays(self, pids: list[int]) -> None:
        for pid in pids:
            self._emit("stray.killed", pid=pid)

    def _on_defect(self, exc: BaseException) -> None:
        self._emit("keeper.failed", error=type(exc).__name__, exc_info=exc)

    def begin_again(self) -> None:
        """Start over in a forked process, which has neither the threads nor the children."""
        self._keeper.abandon()
        self._begin()
        for pool in self._pools:
            pool.begin_again(self._spawner, self._keeper)


_ALIVE: "weakref.WeakSet[Supervisor]" = weakref.WeakSet()


def _after_fork() -> None:
    for supervisor in list(_ALIVE):
        supervisor.begin_again()


os.register_at_fork(after_in_child=_after_fork)
