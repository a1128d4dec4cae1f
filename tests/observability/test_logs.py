"""Logs: JSON and console, the sink that never fails, the table of events."""

import json
import logging
import os
import threading

import pytest
import structlog

from opsorch.observability import logs
from opsorch.observability.events import EVENTS
from opsorch.observability.metrics import METRICS, Metrics


class Kept(logs.Sink):
    """Keeps lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        super().__init__()

    def write(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(autouse=True)
def logging_restored() -> object:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield None
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def test_an_event_is_one_line_of_json_with_its_facts() -> None:
    kept = Kept()
    logs.configure_logs("info", "json", kept)
    logs.emit("process.exited", capability="log", pid=7, status="x\ny", calls=1)
    [line] = kept.lines
    assert "\n" not in line
    told = json.loads(line)
    assert list(told)[:3] == ["timestamp", "level", "event"]
    assert (told["event"], told["level"], told["pid"], told["status"]) == (
        "process.exited", "info", 7, "x\ny",
    )  # fmt: skip


def test_the_console_forges_no_line_either() -> None:
    kept = Kept()
    logs.configure_logs("info", "console", kept)
    logs.emit("process.exited", capability="log", pid=7, status="x\n\x1b[2Jy\u2028z", calls=1)
    logging.getLogger("some.library").warning("loud\n%s", "\x9b31m")
    assert len(kept.lines) == 2
    assert all(line.isprintable() for line in kept.lines)
    assert "x\\x0a\\x1b[2Jy" in kept.lines[0]
    assert "loud\\x0a\\x9b31m" in kept.lines[1]


def test_levels_filter_events_and_libraries() -> None:
    kept = Kept()
    logs.configure_logs("warning", "json", kept)
    logs.emit("process.exited", capability="log")
    logging.getLogger("some.library").info("quiet")
    logging.getLogger("some.library").warning("loud %s", 1)
    told = [json.loads(line) for line in kept.lines]
    assert [line["event"] for line in told] == ["loud 1"]
    assert told[0]["logger"] == "some.library"


def test_a_traceback_shows_no_locals() -> None:
    kept = Kept()
    logs.configure_logs("info", "json", kept)
    hidden = "local-secret"
    try:
        _ = hidden, 1 / 0
    except ZeroDivisionError as exc:
        logs.emit("request.failed", exc_info=exc)
    assert "ZeroDivisionError" in kept.lines[0]
    assert hidden not in kept.lines[0]


def test_the_console_format_is_for_people() -> None:
    kept = Kept()
    logs.configure_logs("info", "console", kept)
    logs.emit("gateway.ready", worker=1)
    assert "gateway.ready" in kept.lines[0]
    assert "worker=1" in kept.lines[0]


def test_what_json_has_no_form_for_is_written_as_text() -> None:
    assert json.loads(logs.to_json(None, "", {"event": "e", "x": {1, 2}}))["x"]
    assert json.loads(logs.to_json(None, "", {"event": "e", "x": "\ud800"}))["x"] == "'\\ud800'"


def test_the_audit_log_is_json_at_every_level() -> None:
    kept = Kept()
    logs.configure_logs("error", "console", kept)
    logs.Audit(kept).write({"action": "x"})
    assert json.loads(kept.lines[0]) == {"logger": "opsorch.audit", "action": "x"}


def test_lines_are_written_in_order_and_flushed() -> None:
    read, write = os.pipe()
    sink = logs.Sink(write)
    for number in range(300):
        sink.write(str(number))
    assert sink.flush(10.0)
    os.close(write)
    with os.fdopen(read) as pipe:
        assert pipe.read().split() == [str(number) for number in range(300)]


def test_a_blocked_sink_costs_lines_and_never_waits() -> None:
    read, write = os.pipe()
    sink = logs.Sink(write, most=10)
    for _ in range(100):
        sink.write("x" * 100_000)
    assert not sink.flush(0.05)
    with os.fdopen(read, "rb") as pipe:
        drained = threading.Thread(target=pipe.read)
        drained.start()
        assert sink.flush(20.0)
        sink.write("last")
        assert sink.flush(20.0)
        os.close(write)
        drained.join()


def line_about_a_lost_one(style: str) -> str:
    read, write = os.pipe()
    sink, lost = logs.Sink(write, most=0), list[int]()
    if style:
        logs.configure_logs("info", style, sink)
    sink.on_lost = lost.append
    sink.write("a")
    sink._most = 10
    sink.write("b")
    assert sink.flush(10.0)
    os.close(write)
    with os.fdopen(read) as pipe:
        second, line = pipe.read().splitlines()
    assert (second, lost) == ("b", [1])
    return line


@pytest.mark.parametrize("style", ["", "json"])
def test_dropped_lines_are_counted(style: str) -> None:
    told = json.loads(line_about_a_lost_one(style))
    assert list(told) == ["timestamp", "level", "event", "lines"]
    assert (told["level"], told["event"], told["lines"]) == ("warning", "log.dropped", 1)


def test_dropped_lines_are_counted_for_people_too() -> None:
    line = line_about_a_lost_one("console")
    assert "log.dropped" in line
    assert "lines=1" in line
    assert not line.startswith("{")


def test_a_descriptor_that_does_not_block_is_waited_for() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    sink = logs.Sink(write)
    sink.write("x" * 300_000)
    with os.fdopen(read, "rb") as pipe:
        total = 0
        while total < 300_001:
            total += len(pipe.read1(65536))
        assert sink.flush(10.0)
    os.close(write)


def test_a_broken_sink_loses_lines_and_raises_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    sink, lost = logs.Sink(write), list[int]()
    sink.on_lost = lost.append
    sink.write("x")
    assert sink.flush(10.0)
    assert lost == [1]
    os.close(write)


def test_a_record_that_cannot_be_formatted_is_dropped() -> None:
    kept = Kept()
    logs.configure_logs("info", "json", kept)
    logging.getLogger("x").warning("%d", "no number")
    assert len(kept.lines) <= 1


@pytest.mark.parametrize("name", EVENTS)
def test_events_are_named_by_rule_and_explained(name: str) -> None:
    noun, _, verb = name.partition(".")
    assert noun and verb
    assert EVENTS[name].help.endswith(".")
    assert EVENTS[name].level in ("debug", "info", "warning", "error")


def test_metrics_count_what_events_tell() -> None:
    metrics = Metrics()
    for event, facts in {
        "process.started": {"capability": "log", "pid": 1},
        "process.start_failed": {"capability": "log", "reason": "r"},
        "process.retired": {"capability": "log", "reason": "idle"},
        "lease.discarded": {"capability": "log", "reason": "RpcTimeout"},
        "stdout.skipped": {"capability": "log", "dropped": 4},
        "stream.lost": {"capability": "log"},
        "stray.killed": {"pid": 1},
        "stderr.line": {"capability": "log", "dropped": 2},
        "connection.stalled": {"worker": 1},
        "request.refused": {"status": 431},
        "gateway.exhausted": {"worker": 1},
        "breaker.opened": {"capability": "log"},
        "call.retried": {"capability": "log"},
        "checkout.waited": {"capability": "log", "seconds": 0.2},
        "call.finished": {
            "capability": "log", "method": "log.query", "code": "rpc_timeout", "seconds": 1.0,
        },
        "gateway.ready": {},
        "gateway.open": {},
    }.items():  # fmt: skip
        metrics.note(event, facts)
    metrics.lines_lost(3)
    metrics.set_pool("log", {"idle": 2, "busy": 1}, 3, "open")
    metrics.lines_lost(4)
    page = metrics.page().decode()
    for line in (
        'opsorch_plugin_starts_total{capability="log"} 1.0',
        'opsorch_plugin_restarts_total{capability="log",reason="timeout"} 1.0',
        'opsorch_plugin_restarts_total{capability="log",reason="idle"} 1.0',
        'opsorch_plugin_timeouts_total{capability="log"} 1.0',
        "opsorch_plugin_strays_killed_total 1.0",
        'opsorch_plugin_stderr_lines_total{capability="log"} 3.0',
        'opsorch_plugin_stdout_skipped_total{capability="log"} 5.0',
        "opsorch_connections_stalled_total 1.0",
        'opsorch_requests_refused_total{status="431"} 1.0',
        "opsorch_accept_failures_total 1.0",
        "opsorch_worker_starts_total 1.0",
        "opsorch_log_lines_lost_total 7.0",
        'opsorch_plugin_processes{capability="log",state="idle"} 2.0',
        'opsorch_plugin_checkouts_waiting{capability="log"} 3.0',
        'opsorch_plugin_breaker_state{capability="log"} 2.0',
        'opsorch_plugin_checkout_wait_seconds_count{capability="log"} 1.0',
    ):
        assert line in page


@pytest.mark.parametrize("key", ["strays", "exhausted", "unlogged"])
def test_a_handler_of_signals_waits_for_no_metric(key: str) -> None:
    """It may have interrupted what holds the lock."""
    metrics = Metrics()
    counting = threading.Thread(
        target=lambda: [
            metrics.note("stray.killed", {"pid": 1}),
            metrics.note("gateway.exhausted", {"worker": 1, "reason": "r"}),
            metrics.lines_lost(1),
        ],
        daemon=True,
    )
    with metrics._made[key]._value._lock:
        counting.start()
        counting.join(20)
        assert not counting.is_alive()
    assert f"{METRICS[key].name} 1.0" in metrics.page().decode()
