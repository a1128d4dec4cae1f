"""What a soak found, as tables: on the terminal, and as a page of docs/."""

import collections
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from bench import procs
from bench.plugin import FAULTS
from bench.traffic import Call

Rows = list[tuple[str, ...]]
Tables = dict[str, tuple[tuple[str, ...], Rows]]
_SHOWN_VIOLATIONS = 20


@dataclass
class Findings:
    """What a soak found.

    Attributes:
        start, end: What master and workers held, by name.
        counters: How much the gateway's own counters grew, by name and labels.
        violations: What should not have happened, one line each.
    """

    seconds: float
    rate: float
    fault_share: float
    kills_per_s: float
    calls: list[Call] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    start: dict[str, procs.Usage] = field(default_factory=dict)
    end: dict[str, procs.Usage] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def latency_ms(self) -> tuple[float, float]:
        """Return median and 99th percentile of reads without a fault."""
        times = [
            (call.ended - call.began) * 1000
            for call in self.calls
            if not (call.fault or call.kind.write)
        ]
        if len(times) < 2:
            return (0.0, 0.0)
        return statistics.median(times), statistics.quantiles(times, n=100)[98]


def tables(found: Findings) -> Tables:
    """Arrange the findings: heading and rows by title."""
    return {
        "Calls": (("asked for", "kind", "calls", "succeeded", "failed, by code"), _calls(found)),
        "Processes of plugins": (("counter", "grew by"), _counted(found)),
        "What gateway processes hold": (
            ("process", "what", "after warm-up", "at the end"),
            _held(found),
        ),
    }


def _calls(found: Findings) -> Rows:
    groups: dict[tuple[str, str], collections.Counter[str]] = {}
    for call in found.calls:
        key = (call.fault or "no fault", "write" if call.kind.write else "read")
        groups.setdefault(key, collections.Counter())[call.code if call.failed else ""] += 1
    return [
        (
            *key,
            str(codes.total()),
            str(codes[""]),
            ", ".join(f"{code} {count}" for code, count in sorted(codes.items()) if code) or "-",
        )
        for key, codes in sorted(groups.items(), key=lambda group: _order(*group[0]))
    ]


def _order(fault: str, kind: str) -> tuple[int, str]:
    return (list(FAULTS).index(fault) + 1 if fault in FAULTS else 0, kind)


def _counted(found: Findings) -> Rows:
    counted = [(name, str(count)) for name, count in found.counters.items() if count]
    return [("kills from outside", str(len(found.kills))), *counted]


def _held(found: Findings) -> Rows:
    rows = []
    for name, start in found.start.items():
        end = found.end[name]
        for attribute in ("descriptors", "threads", "zombies", "rss_mib"):
            values = (f"{getattr(usage, attribute):.0f}" for usage in (start, end))
            rows.append((name, attribute.replace("rss_mib", "RSS, MiB"), *values))
    return rows


def _summary(found: Findings) -> list[str]:
    asked = sum(bool(call.fault) for call in found.calls)
    median, slow = found.latency_ms()
    return [
        (
            f"{len(found.calls)} calls in {found.seconds:.0f} s, {asked} of which asked for a fault"
            f" ({asked / max(1, len(found.calls)):.1%}); {len(found.kills)} plugin processes were"
            " killed from outside."
        ),
        f"A read without a fault took {median:.1f} ms (median), {slow:.0f} ms (99 of 100).",
        "Nothing went wrong that should not."
        if not found.violations
        else f"{len(found.violations)} things went wrong that should not:",
        *found.violations[:_SHOWN_VIOLATIONS],
    ]


def print_report(console: Console, found: Findings) -> None:
    """Print the tables and the verdict."""
    for title, (heading, rows) in tables(found).items():
        table = Table(*heading, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for line in _summary(found):
        console.print(line, markup=False, highlight=False)


_ABOUT = """\
# Soak

What one run of `make soak` found; `python -m bench.soak --report docs/soak.md` writes this page.

Two gunicorn workers of 16 threads answer reads and writes of four capabilities through pools of
plugin processes. A stated share of the calls asks its plugin to misbehave, and another process
kills plugins with SIGKILL all the while. The deadline of a call is 3 s; a process leaves after
about 60 calls or 2 idle seconds. One read in forty brings 1,000 log entries back.

The run fails where a read fails that asked for no fault; where a write that asked for none fails
without being told that its outcome is unknown because its plugin was killed from outside; where an
answer is another call's; where a write reaches a plugin twice; where the log tells of a defect; or
where a process of the gateway holds more descriptors, threads, zombies or memory at the end than
after the warm-up. Threads may fill their pool; memory may grow by a tenth and 4 MiB. At both
moments no plugin runs, so that the figures compare.

Calls that die one after the other, three in a row without a reply between them, stop all starts of
that plugin for half a second. That is meant, and would fail calls without a fault. So reads, which
are tried twice, ask for `crash_once` and only writes for `crash`; a run with many more faults than
this one will show refused reads all the same.
"""


def markdown(found: Findings) -> str:
    """Write the page."""
    parts = [
        _ABOUT,
        (
            f"Machine: {_machine()}. {found.rate:g} calls a second,"
            f" {found.fault_share * 100:.0f} % faults, {found.kills_per_s:g} kills a second.\n"
        ),
        "\n".join(_items(_summary(found))),
    ]
    lines = [*parts, "", "| fault | the plugin |", "|---|---|"]
    lines += [f"| {name} | {what} |" for name, what in FAULTS.items()]
    for title, (heading, rows) in tables(found).items():
        lines += ["", f"## {title}", "", _line(heading), "|" + "---|" * len(heading)]
        lines += [_line(row) for row in rows]
    return "\n".join(lines) + "\n"


def _machine() -> str:
    facts = procs.machine()
    return (
        f"{facts['cores']} cores (shared with other work), {facts['memory']} of memory,"
        f" Linux {facts['Linux']}, Python {facts['Python']}"
    )


def _items(lines: Iterable[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
