"""What /proc tells of processes (proc(5)). One that ends meanwhile is one that is not there."""

import contextlib
import os
from collections.abc import Iterator


def all_pids() -> list[int]:
    """The pids of all processes that can be seen."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; [] where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()
    except OSError:
        return []


def state(pid: int) -> str:
    """The state letter of a process, "" where there is none."""
    return next(iter(stat(pid)), "")


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    return state(pid) not in ("", "Z", "X")


def parent(pid: int) -> int:
    """The pid of the process that it belongs to, 0 where it is not there."""
    fields = stat(pid)
    return int(fields[1]) if fields else 0


def children(of: int | None = None) -> set[int]:
    """The pids of a process's children, zombies included; of this one where none is given."""
    of = of or os.getpid()
    return {pid for pid in all_pids() if parent(pid) == of}


def ancestors(pid: int) -> Iterator[int]:
    """The process itself, its parent, and so on."""
    while pid > 1:
        yield pid
        pid = parent(pid)


def command(pid: int) -> list[str]:
    """The arguments that it was started with, the program first; [] where it is not there."""
    return _listed(pid, "cmdline")


def environ(pid: int) -> list[str]:
    """What it was given as NAME=value; [] where it is not there, or may not be looked at."""
    return _listed(pid, "environ")


def _listed(pid: int, name: str) -> list[str]:
    try:
        with open(f"/proc/{pid}/{name}", errors="replace") as file:
            return file.read().rstrip("\0").split("\0")
    except OSError:
        return []


def descriptors(pid: int | str = "self") -> list[str]:
    """What its open descriptors lead to; one that is closed meanwhile is left out."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found
