"""One child process as the kernel sees it: spawn, signal, reap. Linux only (pidfd).

A group is signalled only while its leader is not reaped: until then the kernel keeps the number.
"""

import contextlib
import errno
import fcntl
import os
import queue
import select
import signal
import subprocess
import termios
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from opsorch.supervisor.launch import OWNER_VARIABLE, launcher
from opsorch.supervisor.spec import PluginSpec

_PIPE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended; both None where somebody else reaped it."""

    code: int | None = None
    signal: int | None = None
    by_us: bool = False

    def __str__(self) -> str:
        if self.signal is not None:
            name = _NAMES.get(self.signal, f"signal {self.signal}")
            foreign = self.signal == signal.SIGKILL and not self.by_us
            return f"killed by {name}{'; perhaps out of memory' if foreign else ''}"
        return f"exit status {'unknown' if self.code is None else self.code}"


# Not signal.valid_signals(): the real-time signals among them have no name.
_NAMES: Final = {number.value: number.name for number in signal.Signals}


class Child:
    """A running child in a session of its own, and our ends of its three pipes."""

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        """Take over a child; raises OSError where it cannot be watched (it is killed then)."""
        assert popen.stdin is not None
        assert popen.stdout is not None
        assert popen.stderr is not None
        self._popen = popen
        self._pipes = popen.stdin, popen.stdout, popen.stderr
        self._lock = threading.Lock()
        self.pid = popen.pid
        self.status: ExitStatus | None = None
        self._killed = False
        try:
            self.pidfd = os.pidfd_open(popen.pid)
        except OSError:
            os.killpg(popen.pid, signal.SIGKILL)
            popen.wait()
            for pipe in self._pipes:
                pipe.close()
            raise
        self.stdin, self.stdout, self.stderr = (pipe.fileno() for pipe in self._pipes)
        for descriptor in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(descriptor, False)
        with contextlib.suppress(OSError):
            # Fewer wake-ups for large replies; not granted to every user.
            fcntl.fcntl(self.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def unread_bytes(self) -> int:
        """Tell how many bytes of its stdin it has not taken; right after its death, too."""
        answer = fcntl.ioctl(self.stdin, termios.FIONREAD, b"\0" * 4)
        return int.from_bytes(answer, "little")

    def signal_group(self, signum: int) -> None:
        """Signal the whole group; does nothing once the leader is reaped."""
        with self._lock:
            if self.status is None and self._is_ours():
                self._killed |= signum == signal.SIGKILL
                self._signal_group(signum)

    def _is_ours(self) -> bool:
        """Tell whether the kernel still keeps its number: somebody else may have reaped it."""
        try:
            os.waitid(os.P_PIDFD, self.pidfd, _PEEK)
        except ChildProcessError:
            return False
        return True

    def _signal_group(self, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signum)

    def ended(self, within_s: float = 0.0) -> bool:
        """Tell whether it has ended; waits for that at most so long. Does not reap."""
        if self.status is not None:
            return True
        poller = select.poll()
        poller.register(self.pidfd, select.POLLIN)
        return bool(poller.poll(max(0.0, within_s) * 1000))

    def reap(self) -> bool:
        """Reap it if it has ended, and kill what is left of its group first. Never blocks."""
        with self._lock:
            if self.status is not None:
                return True
            try:
                seen = os.waitid(os.P_PIDFD, self.pidfd, _PEEK)
                if seen is None:
                    return False
                self._signal_group(signal.SIGKILL)
                seen = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                seen = None
            self.status = _status_of(seen, by_us=self._killed)
            # So that the Popen object does not wait for it, or complain that nobody did.
            self._popen.returncode = self.status.code or 0
            return True

    def kill(self, within_s: float = 1.0) -> None:
        """Kill the whole group and wait a moment for the leader's end."""
        self.signal_group(signal.SIGKILL)
        self.ended(within_s)

    def close_stdin(self) -> None:
        """Close our end of its stdin: the sign to leave."""
        with contextlib.suppress(OSError):
            self._pipes[0].close()

    def close(self) -> None:
        """Close every descriptor of ours. The child must be reaped, and nobody may use it."""
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.close()
        with contextlib.suppress(OSError):
            os.close(self.pidfd)

    def abandon(self) -> None:
        """Forget it in a forked process: close our copies of its pipes, wait for nothing."""
        self.status = ExitStatus()
        self._popen.returncode = 0
        self.close()


_PEEK: Final = os.WEXITED | os.WNOHANG | os.WNOWAIT


def _status_of(seen: "os.waitid_result | None", *, by_us: bool) -> ExitStatus:
    if seen is None:
        return ExitStatus()
    if seen.si_code == os.CLD_EXITED:
        return ExitStatus(code=seen.si_status)
    return ExitStatus(signal=seen.si_status, by_us=by_us)


class Spawner:
    """Starts children from one long-lived thread, started by the first request.

    The kernel's parent-death signal fires when the thread that spawned a child ends, so no other
    thread may spawn.
    """

    def __init__(self, owner: str) -> None:
        """Prepare.

        Args:
            owner: Names gateway and worker; every child carries it, and a number, in its
                environment, so that strays can be told.
        """
        self.owner = owner
        self._wishes: queue.SimpleQueue[tuple[PluginSpec, str, Future[Child]]] = queue.SimpleQueue()
        self._started = False
        self._lock = threading.Lock()

    def start(self, spec: PluginSpec, mark: str) -> "Future[Child]":
        """Start a child; the future holds it, or the OSError that hindered it."""
        wish: Future[Child] = Future()
        try:
            self._begin()
        except RuntimeError:
            # The system has no thread to spare.
            wish.set_exception(OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)))
        else:
            self._wishes.put((spec, mark, wish))
        return wish

    def _begin(self) -> None:
        with self._lock:
            if not self._started:
                threading.Thread(target=self._serve, name="opsorch-spawner", daemon=True).start()
                self._started = True

    def _serve(self) -> None:
        while True:
            spec, mark, wish = self._wishes.get()
            if not wish.set_running_or_notify_cancel():
                continue
            try:
                child = _spawn(spec, f"{self.owner}.{mark}")
            except Exception as exc:  # noqa: BLE001  The caller gets it; this thread never ends.
                wish.set_exception(exc)
            else:
                wish.set_result(child)


def _spawn(spec: PluginSpec, owner: str) -> Child:
    popen = subprocess.Popen(
        [*launcher(os.getpid(), spec.nice), *spec.command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd="/",
        env={**spec.environ, OWNER_VARIABLE: owner},
        start_new_session=True,
    )
    return Child(popen)
