"""What a process costs, and on which machine (proc(5))."""

import collections
import contextlib
import os
import platform
import re
from dataclasses import dataclass

from tests.processes import children, descriptors, stat, state

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process without its children: utime and stime, in seconds."""
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process holds at one moment.

    Attributes:
        targets: What the descriptors lead to, numbers left out, and how often.
    """

    descriptors: int
    threads: int
    children: int
    zombies: int
    rss_mib: float
    targets: collections.Counter[str]


def usage(pid: int) -> Usage:
    """Look at what a process holds."""
    targets = collections.Counter(
        re.sub(r"\d+", "N", os.path.basename(target)) for target in descriptors(pid)
    )
    states = [state(child) for child in children(pid)]
    return Usage(
        descriptors=targets.total(),
        threads=len(os.listdir(f"/proc/{pid}/task")),
        children=len(states) - states.count("Z"),
        zombies=states.count("Z"),
        rss_mib=rss_mib(pid),
        targets=targets,
    )


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * _PAGE / 2**20


def machine() -> dict[str, str]:
    """Describe this machine: what a figure depends on, and nothing that names it."""
    memory_kib = 0
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemTotal:"):
                memory_kib = int(line.split()[1])
    cores = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):
        # A container may be given less than the machine has.
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    return {
        "cores": str(cores),
        "memory": f"{memory_kib / 2**20:.0f} GiB",
        "Linux": ".".join(os.uname().release.split(".")[:2]),
        "Python": platform.python_version(),
    }
