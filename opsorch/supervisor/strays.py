"""Descendants of plugins that left their group: found by their environment, killed.

Every plugin carries OPSORCH_PLUGIN_OWNER, which its descendants inherit. The mark holds the pid
namespace, the worker's pid and start time, and the number of the process, so that neither another
gateway's plugins nor a reused pid is ever taken for a stray.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Final

from opsorch.supervisor.launch import OWNER_VARIABLE

_NEEDLE: Final = f"{OWNER_VARIABLE}=".encode()


def owner_mark(pid: int | None = None) -> str:
    """Return the mark of a gateway worker: pid namespace, pid, start time."""
    pid = os.getpid() if pid is None else pid
    return f"{_pid_namespace()}.{pid}.{_started(pid)}"


def kill_strays(of_interest: Callable[[str], bool]) -> list[int]:
    """Kill the processes whose mark is of interest. Returns their pids; never waits."""
    return [pid for pid, mark in _marked() if of_interest(mark) and _kill(pid, mark)]


def sweep_orphans() -> list[int]:
    """Kill the plugins, and their descendants, of gateway workers that are gone."""
    return kill_strays(_owner_is_gone)


def _owner_is_gone(mark: str) -> bool:
    namespace, pid, started, *_ = [*mark.split("."), "", ""]
    if namespace != _pid_namespace() or not pid.isdigit():
        return False
    try:
        return _started(int(pid)) != started
    except OSError:
        # Without a descriptor to spare nothing can be seen, of the living either.
        return False


def _marked() -> Iterator[tuple[int, str]]:
    """Find every process of this user that carries a mark."""
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                mark = _mark_of(int(name))
                if mark:
                    yield int(name), mark


def _mark_of(pid: int) -> str:
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.getuid():
            return ""
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return ""
    for entry in entries:
        if entry.startswith(_NEEDLE):
            return entry[len(_NEEDLE) :].decode("ascii", "replace")
    return ""


def _kill(pid: int, mark: str) -> bool:
    """Kill by a descriptor: looked at again through it, a reused pid is left alone."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if _mark_of(pid) != mark:
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(pidfd)


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return "0"


def _started(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot, "" where there is none.

    Raises:
        OSError: It cannot be looked at.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rsplit(b")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return ""
    # A zombie is gone: nobody can be its plugin any more.
    return "" if fields[0] == b"Z" else fields[19].decode()
