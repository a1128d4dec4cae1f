"""Every measurement runs in its smallest form, and its figures have the right form."""

import json
import logging
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog
from rich.console import Console

from bench import findings, overhead, plugin, procs, results, soak, throughput, timeouts
from bench.__main__ import BENCHES, LONG
from bench.traffic import KINDS, Call, Kind
from tests.harness import ROOT
from tests.processes import alive, children, state


@pytest.fixture
def console() -> Console:
    """A console that keeps what is printed; use export_text()."""
    with open(os.devnull, "w") as void:
        yield Console(file=void, record=True, width=200)


def test_results(console: Console) -> None:
    figures = results.measure(entries=500, rounds=1, requests=20)
    assert figures.size == len(plugin.log_result(500))
    assert figures.gateway_ms > figures.msgspec_ms > 0
    assert figures.ratio == pytest.approx(figures.gateway_ms / figures.msgspec_ms)
    assert figures.wall_ms > 0
    results.report(console, figures)
    assert f"{figures.ratio:.2f}" in console.export_text()


@pytest.fixture
def logs_restored() -> Iterator[None]:
    """What an application in this process does to the logs is undone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.mark.usefixtures("logs_restored")
def test_overhead(console: Console) -> None:
    figures = overhead.measure(rounds=1, requests=30)
    health, query = figures.requests[overhead.HEALTH], figures.requests[overhead.QUERY]
    assert 0 < health.wall_us < 1e6 and 0 < query.wall_us < 1e6
    assert all(cost.cpu_us >= 0 and cost.wall_us > 0 for cost in figures.parts.values())
    assert len(figures.parts) == 6
    overhead.report(console, figures)
    text = console.export_text()
    assert all(name in text for name in (*figures.requests, *figures.parts))


def test_timeouts(console: Console) -> None:
    figures = timeouts.measure(calls=2, clients=2, kills=1)
    assert len(figures.late_ms) == 2 and len(figures.outlived_s) == 1
    assert min(figures.late_ms) >= 0, "no timeout comes before its deadline"
    assert 0 <= figures.outlived_s[0] < 30
    timeouts.report(console, figures)
    assert "1 gateways" in console.export_text()


def test_throughput(console: Console) -> None:
    phases = throughput.measure(seconds=1, clients=(4, 150), warm_up_s=0.3)
    calm, flood = phases
    assert (calm.clients, flood.clients) == (4, 150)
    assert calm.codes[""] == calm.per_s > 0
    assert flood.busy_s and flood.busy_s == sorted(flood.busy_s)
    assert calm.health_ms and flood.health_ms
    throughput.report(console, phases)
    promises = throughput.promises(phases)
    assert len(promises) == 4
    assert all(text in console.export_text(clear=False) for text in promises)


def test_soak(console: Console, tmp_path: pathlib.Path) -> None:
    found = soak.soak(seconds=2, rate=50, fault_share=0.3, kills_per_s=3, warm_up_s=1.5)
    assert len(found.calls) > 30 and found.kills
    assert {call.fault for call in found.calls} > {""}
    assert any(call.failed for call in found.calls)
    assert found.start.keys() == found.end.keys() == {"master", "worker 1", "worker 2"}
    assert found.counters["opsorch_plugin_starts_total"] > 0
    # With so many faults starts may be stopped for a moment, and that alone.
    wrong = [line for line in found.violations if "plugin_start_failed" not in line]
    assert not wrong
    findings.print_report(console, found)
    page = findings.markdown(found)
    for title, (_, rows) in findings.tables(found).items():
        assert f"## {title}" in page and rows
        assert title in console.export_text(clear=False)


# --- the soak's judgement ---------------------------------------------------------------------


def call_of(kind: Kind, **facts: object) -> Call:
    """A call that succeeded a second after it began, but for the facts given."""
    made = {
        "kind": kind,
        "token": "t",
        "fault": "",
        "status": 200,
        "code": "",
        "began": 100.0,
        "ended": 101.0,
        "unknown": False,
        "mistaken": False,
        "body": b"",
    }
    return Call(**{**made, **facts})  # type: ignore[arg-type]


READ = next(kind for kind in KINDS if not kind.write)
WRITE = next(kind for kind in KINDS if kind.write)
CRASHED = {"status": 502, "code": "plugin_crashed", "unknown": True}


@pytest.mark.parametrize(
    ("call", "kills", "wrong"),
    [
        (call_of(READ), [], False),
        (call_of(READ, mistaken=True), [], True),
        (call_of(READ, **CRASHED, fault="crash_once"), [], False),
        (call_of(READ, **CRASHED), [100.5], True),
        (call_of(READ, status=0, code="ConnectionResetError"), [], True),
        (call_of(WRITE, **CRASHED), [100.5], False),
        (call_of(WRITE, **CRASHED), [90.0], True),
        (call_of(WRITE, **{**CRASHED, "unknown": False}), [100.5], True),
    ],
)
def test_a_failure_is_excused_for_a_reason_only(
    call: Call, kills: list[float], wrong: bool
) -> None:
    found = findings.Findings(1, 1, 0, 0, calls=[call], kills=kills)
    assert bool(soak._wrong_calls(found)) is wrong


@pytest.mark.parametrize(
    ("grown", "named"),
    [
        ({}, ""),
        ({"descriptors": 11}, "descriptors"),
        ({"threads": soak.THREADS + soak.OTHER_THREADS}, ""),
        ({"threads": soak.THREADS + soak.OTHER_THREADS + 1}, "threads"),
        ({"zombies": 1}, "zombies"),
        ({"rss_mib": 58.0}, ""),
        ({"rss_mib": 60.0}, "rss_mib"),
    ],
)
def test_growth_is_named(grown: dict[str, float], named: str) -> None:
    held = {"descriptors": 10, "threads": 5, "children": 0, "zombies": 0, "rss_mib": 50.0}
    targets = {"targets": procs.collections.Counter()}
    found = findings.Findings(1, 1, 0, 0)
    found.start["worker 1"] = procs.Usage(**held, **targets)
    found.end["worker 1"] = procs.Usage(**{**held, **grown}, **targets)
    wrong = soak._growth(found)
    assert bool(wrong) is bool(named)
    assert named in "".join(wrong)


# --- the rest ---------------------------------------------------------------------------------


def test_usage_is_that_of_the_process() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        assert alive(child.pid)
        assert child.pid in children()
        usage = procs.usage(child.pid)
        assert (usage.threads, usage.children, usage.zombies) == (1, 0, 0)
        assert usage.rss_mib > 0 and usage.descriptors >= 3
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not alive(child.pid)
        assert state(child.pid) == "Z"
    assert not alive(child.pid)
    assert procs.cpu_s(os.getpid()) > 0


def test_the_machine_is_described_without_its_name() -> None:
    told = procs.machine()
    assert set(told) == {"cores", "memory", "Linux", "Python"}
    assert int(told["cores"]) >= 1 and os.uname().nodename not in told.values()


def test_the_result_is_about_1_8_megabytes_and_carries_a_token() -> None:
    assert 1.7e6 < len(plugin.log_result(5000)) < 1.9e6
    given = {"expression": {"search": "t"}, "metadata": {"bench": {"entries": 2}}}
    entries = json.loads(plugin.answer("log.query", given, {}))["entries"]
    assert entries[0]["message"] == "t" and len(entries) == 3


def test_every_measurement_is_offered_and_documented() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "bench", "nothing"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert told.returncode == 1
    page = (ROOT / "docs/performance.md").read_text()
    for name in (*BENCHES, *LONG):
        assert name in told.stderr
        assert f"bench {name}" in page or f"bench.{name}" in page
