"""Calls a second against a slow upstream, and what happens to callers when there are too many.

Two workers with 8 processes and 64 threads each; every call takes the upstream 100 ms, so that 160
calls a second is what the processes can do. First 64 clients, then 200, who obey Retry-After. All
the while somebody asks /health.
"""

import argparse
import collections
import statistics
import threading
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bench.load import together, until
from bench.rig import Client, Reply, running_rig

WORKERS, PROCESSES, THREADS, UPSTREAM_MS = 2, 8, 64, 100
QUEUE_TIMEOUT_S = 0.5
IDEAL = WORKERS * PROCESSES * 1000 / UPSTREAM_MS
LEAST_SHARE = 0.9
MOST_HEALTH_MS = 50.0
# From the end of the wait in the queue to the last byte at the client.
SLACK_S = 0.1
BODY = {"metadata": {"bench": {"sleepMs": UPSTREAM_MS}}}


@dataclass(frozen=True)
class Phase:
    """What one number of clients saw.

    Attributes:
        per_s: Answers with status 200 a second.
        codes: Calls by code; "" is success.
        busy_s: How long each plugin_busy took, sorted.
        health_ms: How long each /health took.
    """

    clients: int
    per_s: float
    codes: dict[str, int]
    busy_s: list[float]
    health_ms: list[float]


def measure(
    seconds: float = 8.0, clients: tuple[int, ...] = (64, 200), warm_up_s: float = 1.0
) -> list[Phase]:
    """Measure; each number of clients for so many seconds, after the warm-up."""
    return [_phase(count, seconds, warm_up_s) for count in clients]


def _phase(count: int, seconds: float, warm_up_s: float) -> Phase:
    health: list[float] = []
    with running_rig(
        WORKERS=str(WORKERS),
        THREADS=str(THREADS),
        PLUGIN_POOL_SIZE=str(PROCESSES),
        # Where everybody is to be served, nobody gives up in the queue.
        PLUGIN_QUEUE_TIMEOUT=str(5 if count <= THREADS else QUEUE_TIMEOUT_S),
    ) as rig:
        begin = time.monotonic() + warm_up_s
        end = begin + seconds
        watcher = threading.Thread(
            target=lambda: health.extend(_watch_health(rig.port, begin, end))
        )
        watcher.start()
        answers = together(count, lambda number: _caller(rig.port, begin, end))
        watcher.join()
    replies = [reply for some in answers for reply in some]
    good = sum(reply.status == 200 for reply in replies)
    return Phase(
        clients=count,
        per_s=good / seconds,
        codes=dict(collections.Counter(reply.code for reply in replies)),
        busy_s=sorted(reply.seconds for reply in replies if reply.code == "plugin_busy"),
        health_ms=health,
    )


def _caller(port: int, begin: float, end: float) -> list[Reply]:
    """Call without pause, but where the answer says to wait; returns what came within the time."""
    kept = []
    with Client(port) as client:

        def call() -> None:
            reply = client.call("POST", "/incidents/query", BODY)
            if begin <= time.monotonic() < end:
                kept.append(reply)
            time.sleep(min(reply.retry_after_s, max(0.0, end - time.monotonic())))

        until(end, call)
    return kept


def _watch_health(port: int, begin: float, end: float) -> list[float]:
    seen = []
    with Client(port) as client:

        def ask() -> None:
            reply = client.call("GET", "/health")
            assert reply.status == 200, reply.body[:500]
            if time.monotonic() >= begin:
                seen.append(reply.seconds * 1000)
            time.sleep(0.02)

        until(end, ask)
    return seen


def report(console: Console, phases: list[Phase]) -> None:
    """Print the figures."""
    title = f"throughput: {WORKERS} workers of {PROCESSES} processes, upstream {UPSTREAM_MS} ms"
    table = Table(title=title, title_justify="left")
    for heading in ("clients", "calls/s", "of ideal", "busy", "busy after", "others", "/health"):
        table.add_column(heading, justify="right")
    for phase in phases:
        busy = phase.busy_s
        others = {c: n for c, n in phase.codes.items() if c not in ("", "plugin_busy")}
        table.add_row(
            str(phase.clients),
            f"{phase.per_s:.0f}",
            f"{phase.per_s / IDEAL:.0%}",
            str(len(busy)),
            f"{statistics.median(busy) * 1000:.0f} ms, most {busy[-1] * 1000:.0f}" if busy else "",
            ", ".join(f"{code}: {count}" for code, count in others.items()) or "none",
            f"{statistics.median(phase.health_ms):.1f} ms" if phase.health_ms else "",
        )
    console.print(table)
    for text, holds in promises(phases).items():
        console.print(f"{'yes' if holds else 'NO '} {text}")
    console.print()


def promises(phases: list[Phase]) -> dict[str, bool]:
    """Tell of each promise whether it was kept."""
    busy = [phase.busy_s[len(phase.busy_s) * 99 // 100] for phase in phases if phase.busy_s]
    return {
        f"64 clients get at least {LEAST_SHARE:.0%} of {IDEAL:.0f} calls/s": all(
            phase.per_s >= LEAST_SHARE * IDEAL for phase in phases if phase.clients == 64
        ),
        f"99 % of plugin_busy come within the queue timeout, {QUEUE_TIMEOUT_S:g} s,"
        f" and {SLACK_S:g} s": max(busy, default=0.0) <= QUEUE_TIMEOUT_S + SLACK_S,
        "no call fails otherwise": all(set(phase.codes) <= {"", "plugin_busy"} for phase in phases),
        f"/health answers within {MOST_HEALTH_MS:.0f} ms (median)": all(
            statistics.median(phase.health_ms) <= MOST_HEALTH_MS for phase in phases
        ),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench throughput", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args(arguments)
    report(Console(), measure(options.seconds))


if __name__ == "__main__":
    main()
