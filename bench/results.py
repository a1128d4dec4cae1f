"""What a large result costs the gateway, against msgspec alone.

5,000 log entries, decoded, checked and encoded by the gateway, with HTTP, the pipe and the log
line, against decoding and encoding the same bytes with the same types in this process. Rounds of
both alternate, so that a busy machine disturbs both alike; the ratio is the median of the rounds'.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench import procs
from bench.plugin import log_result
from bench.rig import Client, Rig, running_rig
from opsorch.capabilities.log import LogEntries
from opsorch.capabilities.results import struct_of

MOST_RATIO = 2.5


@dataclass(frozen=True)
class Figures:
    """Milliseconds of CPU time a result."""

    size: int
    gateway_ms: float
    msgspec_ms: float
    ratio: float
    wall_ms: float


def measure(entries: int = 5000, rounds: int = 8, requests: int = 40) -> Figures:
    """Measure.

    Args:
        entries: Log entries of a result.
        rounds: Rounds of both.
        requests: Results a round.
    """
    raw = log_result(entries)
    with running_rig(WORKERS="1") as rig, Client(rig.port) as client:
        body = {"metadata": {"bench": {"entries": entries}}}
        for _ in range(5):
            reply = client.call("POST", "/logs/query", body)
            assert reply.status == 200, reply.body[:500]
            assert len(reply.json["entries"]) == entries
        pairs, walls = [], []
        for _ in range(rounds):
            gateway_ms, wall_ms = _gateway(rig, client, body, requests)
            pairs.append((gateway_ms, alone_ms(raw, requests)))
            walls.append(wall_ms)
    return Figures(
        size=len(raw),
        gateway_ms=statistics.median(pair[0] for pair in pairs),
        msgspec_ms=statistics.median(pair[1] for pair in pairs),
        ratio=statistics.median(gateway / alone for gateway, alone in pairs),
        wall_ms=statistics.median(walls),
    )


def _gateway(
    rig: Rig, client: Client, body: Mapping[str, Any], requests: int
) -> tuple[float, float]:
    """Return CPU milliseconds of the worker a request, and the median on the clock."""
    (worker,) = rig.workers()
    before = procs.cpu_s(worker)
    walls = []
    for _ in range(requests):
        reply = client.call("POST", "/logs/query", body)
        assert reply.status == 200, reply.body[:500]
        walls.append(reply.seconds * 1000)
    return (procs.cpu_s(worker) - before) * 1000 / requests, statistics.median(walls)


def alone_ms(raw: bytes, rounds: int) -> float:
    """Return the CPU milliseconds of msgspec alone: decode and encode, nothing checked.

    Without Python's looks for garbage, which take longer the more this process has loaded.
    """
    decode = msgspec.json.Decoder(struct_of(LogEntries)).decode
    encode = msgspec.json.Encoder().encode
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        for _ in range(rounds):
            encode(decode(raw))
        return (time.process_time() - began) * 1000 / rounds
    finally:
        gc.enable()


def report(console: Console, figures: Figures) -> None:
    """Print the figures."""
    table = Table(title="results: CPU time a result", title_justify="left")
    for heading in ("result", "gateway ms", "msgspec alone ms", "ratio", f"under {MOST_RATIO}"):
        table.add_column(heading, justify="right")
    table.add_row(
        f"{figures.size / 1e6:.2f} MB",
        f"{figures.gateway_ms:.1f}",
        f"{figures.msgspec_ms:.1f}",
        f"{figures.ratio:.2f}",
        "yes" if figures.ratio < MOST_RATIO else "NO",
    )
    console.print(table)
    console.print(f"A client waits {figures.wall_ms:.0f} ms (median).\n")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench results", description=__doc__)
    parser.add_argument("--entries", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args(arguments)
    report(Console(), measure(options.entries, options.rounds))


if __name__ == "__main__":
    main()
