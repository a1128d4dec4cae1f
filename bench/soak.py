"""Minutes of mixed load with faults; looks whether anything fails that should not, or grows.

Reads and writes of four capabilities come at a stated rate; a stated share asks for a fault, and
plugin processes are killed from outside. Exit status 1 where a call without a fault of its own
failed (but for a write whose plugin was killed from outside while it worked: its caller is told
that the outcome is unknown), an answer was another call's, a write was sent twice, or descriptors,
threads, zombies or memory grew.

Before both looks at the processes the load pauses until every plugin has left for idleness.
"""

import argparse
import collections
import pathlib
import re
import signal
import sys

from rich.console import Console

from bench import procs
from bench.findings import Findings, markdown, print_report
from bench.rig import Client, Rig, running_rig, wait_until
from bench.traffic import KINDS, Call, Load, Traffic, make_call
from tests.processes import alive

WORKERS, THREADS, PROCESSES, CLIENTS = 2, 16, 6, 24
TIMEOUT_S, IDLE_S = 3, 2
WARM_UP_SHARE, LEAST_WARM_UP_S = 0.15, 3.0
# Threads of a worker beside its pool: main loop, log, spawner, keeper.
OTHER_THREADS = 4
# Memory may grow by so much after the warm-up: a tenth for what the allocator keeps, and a little.
RSS_SHARE, RSS_MIB = 0.10, 4.0
# A kill and the end of the call that it hit are noticed in different processes.
NEAR_S = 1.0
SETTINGS = {
    "WORKERS": str(WORKERS),
    "THREADS": str(THREADS),
    "PLUGIN_POOL_SIZE": str(PROCESSES),
    "PLUGIN_TIMEOUT": str(TIMEOUT_S),
    "PLUGIN_IDLE_TIMEOUT": str(IDLE_S),
    "PLUGIN_MAX_CALLS": "60",
}
_COUNTED = re.compile(r"^(opsorch_plugin_\w+_total)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
# Events that tell of a defect of the gateway.
DEFECTS = ("keeper.failed", "request.failed", "log.dropped")


def soak(
    seconds: float = 300.0,
    rate: float = 60.0,
    fault_share: float = 0.05,
    kills_per_s: float = 1.0,
    warm_up_s: float = 0.0,
) -> Findings:
    """Run the whole of it; see the module.

    Args:
        seconds: Of load, without the warm-up.
        rate: Calls a second.
        fault_share: Share of the calls that ask for a fault.
        kills_per_s: Plugin processes killed a second.
        warm_up_s: Seconds of load before the first look; 0: a share of the seconds.
    """
    found = Findings(seconds, rate, fault_share, kills_per_s)
    with running_rig(**SETTINGS) as rig:
        load = Load(rate, CLIENTS, fault_share, kills_per_s)
        warm_up = Traffic(rig, load)
        warm_up.run(warm_up_s or max(LEAST_WARM_UP_S, seconds * WARM_UP_SHARE), "warm")
        before = _counters(rig)
        found.start = _usage(rig)
        traffic = Traffic(rig, load)
        traffic.run(seconds, "soak")
        found.calls, found.kills = traffic.calls, traffic.kills
        after = _counters(rig)
        found.end = _usage(rig)
        found.counters = {name: after[name] - before.get(name, 0) for name in sorted(after)}
        found.violations += _wrong_calls(found)
        found.violations += _wrong_writes(rig, [*warm_up.calls, *traffic.calls])
        found.violations += _growth(found)
        found.violations += _wrong_end(rig)
    return found


def _usage(rig: Rig) -> dict[str, procs.Usage]:
    """Look at master and workers when every plugin has left."""
    wait_until(lambda: not rig.plugins())
    pids = {"master": rig.master}
    pids |= {f"worker {number}": pid for number, pid in enumerate(rig.workers(), 1)}
    return {name: procs.usage(pid) for name, pid in pids.items()}


def _counters(rig: Rig) -> dict[str, int]:
    with Client(rig.port) as client:
        page = client.call("GET", "/metrics").body.decode()
    totals: collections.Counter[str] = collections.Counter()
    for name, labels, value in _COUNTED.findall(page):
        reason = re.search(r'reason="(\w+)"', labels)
        totals[f"{name}, {reason.group(1)}" if reason else name] += int(float(value))
    return dict(totals)


# --- judgement --------------------------------------------------------------------------------


def _wrong_calls(found: Findings) -> list[str]:
    wrong = []
    for call in found.calls:
        if call.mistaken:
            wrong.append(f"{call.kind.method} {call.token}: the answer is not its own")
        if call.failed and not call.fault and not _excused(call, found.kills):
            text = call.body.decode("utf-8", "replace")
            wrong.append(
                f"{call.kind.method} {call.token}, without a fault: {call.status} {text.strip()}"
            )
    return wrong


def _excused(call: Call, kills: list[float]) -> bool:
    """Tell whether it is a write whose plugin was killed from outside while it worked."""
    near = any(call.began - NEAR_S <= kill <= call.ended + NEAR_S for kill in kills)
    return call.kind.write and call.code == "plugin_crashed" and call.unknown and near


def _wrong_writes(rig: Rig, calls: list[Call]) -> list[str]:
    """Look into the plugins' journal: every write once, and each that succeeded."""
    noted = collections.Counter(rig.journal.read_text().split())
    wrong = [f"the write {token} was sent {n} times" for token, n in noted.items() if n > 1]
    wrong += [
        f"the write {call.token} succeeded and was never sent"
        for call in calls
        if call.kind.write and not call.failed and not noted[call.token]
    ]
    return wrong


def _growth(found: Findings) -> list[str]:
    wrong = []
    for name, start in found.start.items():
        end = found.end[name]
        most = {
            "descriptors": start.descriptors,
            # The pool of threads fills when it is needed, and stays.
            "threads": max(start.threads, THREADS + OTHER_THREADS),
            "zombies": 0,
            "rss_mib": start.rss_mib * (1 + RSS_SHARE) + RSS_MIB,
        }
        wrong += [
            f"{name}: {what} went from {getattr(start, what):g} to {getattr(end, what):g}"
            for what, limit in most.items()
            if getattr(end, what) > limit
        ]
        if end.descriptors > start.descriptors:
            wrong.append(f"{name}: its new descriptors: {dict(end.targets - start.targets)}")
    return wrong


def _wrong_end(rig: Rig) -> list[str]:
    """Look at the workers and the log, then stop the gateway."""
    with Client(rig.port) as client:
        last = [make_call(client, kind, "last", "") for kind in KINDS if not kind.write]
    log, plugins = rig.gateway.log(), rig.plugins()
    wrong = [f"the log tells of {log.count(name)} {name}" for name in DEFECTS if name in log]
    if log.count('"gateway.ready"') != WORKERS:
        wrong.append("a worker was replaced")
    if not plugins or any(call.failed for call in last):
        wrong.append("the last calls, after the load, did not succeed")
    status = rig.gateway.stop(signal.SIGTERM)
    if status:
        wrong.append(f"the gateway ended with status {status}")
    left = [pid for pid in plugins if alive(pid)]
    return [*wrong, *([f"{len(left)} plugins outlive the gateway"] if left else [])]


def main(arguments: list[str] | None = None) -> None:
    """Run, print, write the report; exit status 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rate", type=float, default=60.0, help="calls a second")
    parser.add_argument("--faults", type=float, default=0.05, help="share of the calls")
    parser.add_argument("--kills", type=float, default=1.0, help="kills from outside a second")
    parser.add_argument("--report", type=pathlib.Path, help="write a report in Markdown")
    options = parser.parse_args(arguments)
    found = soak(options.seconds, options.rate, options.faults, options.kills)
    print_report(Console(), found)
    if options.report:
        options.report.write_text(markdown(found))
    sys.exit(1 if found.violations else 0)


if __name__ == "__main__":
    main()
