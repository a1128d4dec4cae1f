"""The care of a plugin process from its start to its end, on the keeper's thread.

Its stderr is drained while it lives; its death is noticed and reaped; when it is to leave, every
step of the way out has its time.
"""

import signal
from collections.abc import Callable
from typing import Final

from opsorch.supervisor.keeper import Keeper
from opsorch.supervisor.process import Process
from opsorch.supervisor.spec import Emit
from opsorch.supervisor.states import ProcessState

EXIT_GRACE_S: Final = 5.0
TERM_GRACE_S: Final = 2.0

Told = Callable[[Process], None]


class Care:
    """Looks after the processes of one pool. Its public methods may be called from any thread."""

    def __init__(self, keeper: Keeper, emit: Emit, *, ended: Told, gone: Told) -> None:
        """Prepare.

        Args:
            keeper: Runs everything here.
            emit: Takes events.
            ended: Told that a process ended and is reaped.
            gone: Told, once, that nothing is left of a process that was seen off.
        """
        self._keeper = keeper
        self._emit = emit
        self._tell_ended = ended
        self._tell_gone = gone

    def take(self, process: Process) -> None:
        """Begin to look after a new process."""
        self._keeper.soon(lambda: self._watch(process))

    def see_off(self, process: Process, *, polite: bool) -> None:
        """Take a process that is draining, and that nobody uses, to its end.

        Args:
            process: The process.
            polite: Close its stdin, wait, SIGTERM, wait; else SIGKILL at once.
        """
        self._keeper.soon(lambda: self._see_off(process, polite=polite))

    def _watch(self, process: Process) -> None:
        self._keeper.watch(process.child.stderr, lambda: self._drain_stderr(process))
        self._keeper.watch(process.child.pidfd, lambda: self._ended(process))

    def _drain_stderr(self, process: Process) -> None:
        # Where it is gone, its numbers may be another file's already.
        if process.state is not ProcessState.GONE and not process.stderr.drain():
            self._keeper.unwatch(process.child.stderr)

    def _ended(self, process: Process) -> None:
        self._keeper.unwatch(process.child.pidfd)
        process.child.reap()
        if process.state is ProcessState.DRAINING:
            self._farewell(process)
        else:
            self._tell_ended(process)

    def _see_off(self, process: Process, *, polite: bool) -> None:
        if process.state is ProcessState.GONE:
            return
        if process.child.reap():
            self._keeper.unwatch(process.child.pidfd)
            self._farewell(process)
        elif polite:
            process.child.close_stdin()
            self._keeper.later(EXIT_GRACE_S, lambda: self._insist(process, signal.SIGTERM))
        else:
            process.child.signal_group(signal.SIGKILL)

    def _insist(self, process: Process, signum: signal.Signals) -> None:
        if process.state is ProcessState.GONE or process.child.reap():
            return
        self._emit(
            "process.signalled",
            capability=process.spec.label,
            pid=process.pid,
            signal=signum.name,
        )
        process.child.signal_group(signum)
        if signum is signal.SIGTERM:
            self._keeper.later(TERM_GRACE_S, lambda: self._insist(process, signal.SIGKILL))

    def _farewell(self, process: Process) -> None:
        """Close what is ours of a process that is reaped and that nobody uses."""
        process.stderr.drain()
        self._keeper.unwatch(process.child.stderr)
        process.child.close()
        self._tell_gone(process)
        self._emit(
            "process.exited",
            capability=process.spec.label,
            pid=process.pid,
            status=str(process.child.status),
            calls=process.calls,
        )
