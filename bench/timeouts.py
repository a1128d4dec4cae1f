"""How soon after its deadline a call ends, and how soon plugins follow a gateway that was killed.

Hanging calls come over several connections at once; how late an answer is, its client says: HTTP
and the way back are in it. Then gateways with idle and with hanging plugins are killed, master and
workers, by SIGKILL: no code of theirs runs, and their plugins must be gone all the same.
"""

import argparse
import os
import signal
import statistics
import threading
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bench.load import together
from bench.rig import Client, Rig, running_rig, wait_until
from tests.processes import alive

TIMEOUT_S = 0.5
MOST_LATE_MS = 100.0
MOST_ALIVE_S = 1.0
HANG = {"metadata": {"bench": {"fault": "hang"}}}


@dataclass(frozen=True)
class Figures:
    """How late each rpc_timeout came, in milliseconds; how long plugins outlived each gateway."""

    late_ms: list[float]
    outlived_s: list[float]


def measure(calls: int = 60, clients: int = 4, kills: int = 3) -> Figures:
    """Measure: so many hanging calls, over so many connections; so many gateways killed."""
    with running_rig(WORKERS="1", PLUGIN_TIMEOUT=str(TIMEOUT_S)) as rig:
        share = max(1, calls // clients)
        late = together(clients, lambda number: _lateness(rig, share))
    return Figures([ms for some in late for ms in some], [_outlived() for _ in range(kills)])


def _lateness(rig: Rig, calls: int) -> list[float]:
    """Make hanging calls one by one; returns how late their answers were, in milliseconds."""
    late = []
    with Client(rig.port) as client:
        for _ in range(calls):
            reply = client.call("POST", "/incidents/query", HANG)
            assert (reply.status, reply.code) == (504, "rpc_timeout"), reply.body[:500]
            late.append((reply.seconds - TIMEOUT_S) * 1000)
    return late


def _outlived() -> float:
    """Kill a gateway; returns the seconds until its last plugin is gone."""
    with running_rig(WORKERS="2", PLUGIN_MIN_IDLE="1") as rig:
        callers = [threading.Thread(target=_hang, args=(rig.port,)) for _ in range(4)]
        for caller in callers:
            caller.start()
        plugins = _started(rig, at_least=10)
        for pid in (rig.master, *rig.workers()):
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        wait_until(lambda: not any(map(alive, plugins)))
        outlived = time.monotonic() - began
        for caller in callers:
            caller.join()
    return outlived


def _hang(port: int) -> None:
    with Client(port) as client:
        assert client.call("POST", "/alerts/query", HANG).status == 0, "the gateway was to die"


def _started(rig: Rig, *, at_least: int) -> list[int]:
    """Wait until so many plugins run, some of them busy; returns their pids."""
    wait_until(lambda: len(rig.plugins()) >= at_least)
    return rig.plugins()


def report(console: Console, figures: Figures) -> None:
    """Print the figures."""
    table = Table(title="timeouts", title_justify="left")
    for heading in ("what", "of", "median", "worst", "promise", "kept"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    late, outlived = figures.late_ms, figures.outlived_s
    kept = statistics.median(late) <= MOST_LATE_MS, max(outlived) <= MOST_ALIVE_S
    table.add_row(
        "rpc_timeout after the deadline",
        f"{len(late)} calls",
        f"{statistics.median(late):.1f} ms",
        f"{max(late):.0f} ms",
        f"{MOST_LATE_MS:.0f} ms (median)",
        "yes" if kept[0] else "NO",
    )
    table.add_row(
        "plugins gone after SIGKILL of a gateway",
        f"{len(outlived)} gateways",
        f"{statistics.median(outlived) * 1000:.0f} ms",
        f"{max(outlived) * 1000:.0f} ms",
        f"{MOST_ALIVE_S:.0f} s (worst)",
        "yes" if kept[1] else "NO",
    )
    console.print(table)
    console.print()


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench timeouts", description=__doc__)
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args(arguments)
    report(Console(), measure(options.calls, kills=options.kills))


if __name__ == "__main__":
    main()
