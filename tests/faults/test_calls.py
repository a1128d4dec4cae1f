"""Faults 1 to 12: processes that end, hang or do not read, before, in and between calls."""

import os
import pathlib
import signal
import time

import pytest

from opsorch.errors import PluginBusy, RpcTimeout
from opsorch.providers.supervised import SupervisedProvider
from tests.faults.support import SOON_S, Clock, Rig, eventually, together
from tests.processes import alive, children


def settled(provider: SupervisedProvider) -> None:
    """No process is lent, starting or leaving."""

    def still() -> bool:
        states = provider.pool.snapshot().states
        return not (states["busy"] or states["starting"] or states["draining"])

    eventually(still)


@pytest.mark.fault(1)
@pytest.mark.parametrize("repeatable", [True, False], ids=["read", "write"])
def test_a_death_between_calls_is_not_noticed_by_the_caller(rig: Rig, repeatable: bool) -> None:
    provider = rig.provider("echo")
    first = rig.call(provider, "a")
    os.kill(first["pid"], signal.SIGKILL)
    # Until the kernel has ended it, it may take a request still.
    eventually(lambda: not alive(first["pid"]))
    second = rig.call(provider, "b", repeatable=repeatable)
    assert second["payload"] == "b"
    assert second["pid"] != first["pid"]
    eventually(lambda: rig.events.named("process.exited"))
    assert "killed by SIGKILL" in rig.events.named("process.exited")[0]["status"]
    rig.events.tell("process.started", "opsorch_plugin_starts_total", 2)
    rig.events.tell("lease.discarded", "opsorch_plugin_restarts_total", reason="died_idle")
    assert provider.pool.snapshot().breaker == "closed"


WAYS = {
    "exit": "exit status 3",
    "half a line": "exit status 3",
    "segfault": "killed by SIGSEGV",
    "abort": "killed by SIGABRT",
    "kill": "killed by SIGKILL; perhaps out of memory",
    "memory": "exit status 1",
}


def faults(way: str) -> pytest.MarkDecorator:
    numbers = {"exit": 2, "half a line": 3, "segfault": 4, "abort": 4, "kill": 5, "memory": 5}
    return pytest.mark.fault(numbers[way])


@pytest.mark.parametrize("way", [pytest.param(way, marks=faults(way)) for way in WAYS])
def test_a_read_whose_process_dies_runs_once_more(
    rig: Rig, way: str, tmp_path: pathlib.Path
) -> None:
    provider = rig.provider("dies")
    result = rig.call(provider, {"how": way, "once": str(tmp_path / "done")})
    settled(provider)
    [death] = rig.events.named("process.died")
    assert death["sent"] is True
    assert death["status"] == WAYS[way]
    assert death["pid"] != result["pid"]
    assert rig.events.metric("opsorch_plugin_retries_total") == 1
    assert rig.events.metric("opsorch_plugin_restarts_total", reason="died") == 1
    assert children() == {result["pid"]}
    assert rig.call(provider) == result


@pytest.mark.parametrize("way", [pytest.param(way, marks=faults(way)) for way in WAYS])
def test_a_read_that_kills_two_processes_is_told(
    rig: Rig, way: str, tmp_path: pathlib.Path
) -> None:
    provider = rig.provider("dies", config={"log": str(tmp_path / "log")})
    began = time.monotonic()
    error = rig.refused(provider, {"how": way})
    assert time.monotonic() - began < SOON_S
    assert (error.status, error.code) == (502, "plugin_crashed")
    assert WAYS[way] in error.message
    assert len((tmp_path / "log").read_text().split()) == 2
    assert len(rig.events.named("process.died")) == 2
    assert rig.call(provider)["pid"]
    settled(provider)
    assert rig.events.metric("opsorch_plugin_restarts_total", reason="died") == 2


@pytest.mark.parametrize("way", [pytest.param(way, marks=faults(way)) for way in WAYS])
@pytest.mark.parametrize("first", [True, False], ids=["first call", "second call"])
def test_a_write_whose_process_dies_is_sent_once(
    rig: Rig, way: str, tmp_path: pathlib.Path, first: bool
) -> None:
    provider = rig.provider("dies", config={"log": str(tmp_path / "log")})
    if not first:
        rig.call(provider)
    error = rig.refused(provider, {"how": way}, repeatable=False, method="alert.create")
    assert (error.status, error.code) == (502, "plugin_crashed")
    assert error.sent is True
    assert WAYS[way] in error.message
    assert "may have acted" in error.message
    assert len((tmp_path / "log").read_text().split()) == 2 - first
    assert not rig.events.named("call.retried")
    [death] = rig.events.named("process.died")
    assert (death["sent"], death["status"]) == (True, WAYS[way])
    assert rig.events.metric("opsorch_plugin_restarts_total", reason="died") == 1
    assert rig.call(provider)["pid"]


@pytest.mark.fault(5)
def test_the_third_death_in_a_row_opens_the_breaker(rig: Rig) -> None:
    provider = rig.provider("dies")
    clock = Clock(provider)
    for _ in range(2):
        rig.refused(provider, {"how": "kill"}, repeatable=False)
        assert provider.pool.snapshot().breaker == "closed"
    rig.refused(provider, {"how": "kill"}, repeatable=False)
    assert provider.pool.snapshot().breaker == "open"
    error = rig.refused(provider)
    assert (error.status, error.code) == (503, "plugin_start_failed")
    assert error.retry_after_s == pytest.approx(0.4)
    rig.events.tell("breaker.opened", "opsorch_plugin_breaker_opened_total")
    assert rig.events.metric("opsorch_plugin_starts_total") == 3
    clock.now_s += 0.4
    assert rig.call(provider)["pid"] in children()
    assert provider.pool.snapshot().breaker == "closed"
    assert len(rig.events.named("breaker.closed")) == 1


@pytest.mark.parametrize(
    "way",
    [
        pytest.param("sleep", marks=pytest.mark.fault(6)),
        pytest.param("stop", marks=pytest.mark.fault(8)),
        pytest.param("spin", marks=pytest.mark.fault(9)),
    ],
)
def test_a_process_that_does_not_answer_is_killed_at_the_deadline(rig: Rig, way: str) -> None:
    provider = rig.provider("hangs", pool_size=1)
    rig.call(provider)
    [pid] = children()
    began = time.monotonic()
    error = rig.refused(provider, way, timeout_s=0.3)
    took_s = time.monotonic() - began
    assert (error.status, error.code) == (504, "rpc_timeout")
    assert error.sent is True
    assert 0.3 <= took_s < SOON_S
    assert rig.call(provider) is None
    eventually(lambda: pid not in children())
    assert rig.events.metric("opsorch_plugin_timeouts_total") == 1
    assert rig.events.metric("opsorch_plugin_restarts_total", reason="timeout") == 1
    assert [e["reason"] for e in rig.events.named("lease.discarded")] == ["RpcTimeout"]
    assert rig.events.named("process.exited")[0]["status"] == "killed by SIGKILL"


@pytest.mark.fault(7)
def test_a_late_answer_reaches_nobody(rig: Rig) -> None:
    provider = rig.provider("late_reply", pool_size=3)

    def call(number: int) -> int:
        wrong = 0
        for turn in range(6):
            mark = f"{number}-{turn}"
            # Half of them are answered a moment after their deadline.
            after_s = (0.0, 0.5)[(number + turn) % 2]
            try:
                answer = rig.call(provider, {"mark": mark, "after_s": after_s}, timeout_s=0.4)
            except (PluginBusy, RpcTimeout):
                continue
            else:
                wrong += answer != mark
        return wrong

    assert together(4, call) == [0] * 4
    settled(provider)
    assert rig.call(provider, {"mark": "last", "after_s": 0}) == "last"
    late = [one for one in rig.events.named("lease.discarded") if one["reason"] == "RpcTimeout"]
    assert late
    assert rig.events.metric("opsorch_plugin_restarts_total", reason="timeout") == len(late)


@pytest.mark.fault(10)
def test_one_that_ignores_every_polite_sign_is_killed_in_the_end(rig: Rig) -> None:
    provider = rig.provider("ignores_sigterm", max_calls=1)
    began = time.monotonic()
    rig.call(provider)
    [pid] = children()
    rig.call(provider)
    assert time.monotonic() - began < SOON_S, "draining held up the next call"
    eventually(lambda: pid not in children(), within_s=20)
    took_s = time.monotonic() - began
    assert took_s >= 7.0
    signals = [e["signal"] for e in rig.events.named("process.signalled") if e["pid"] == pid]
    assert signals == ["SIGTERM", "SIGKILL"]
    assert rig.events.metric("opsorch_plugin_restarts_total", reason="max_calls") == 2
    settled(provider)


@pytest.mark.fault(11)
def test_writing_counts_against_the_deadline(rig: Rig) -> None:
    provider = rig.provider("never_reads", pool_size=1)
    began = time.monotonic()
    error = rig.refused(provider, "x" * 700_000, timeout_s=0.3, repeatable=False)
    assert time.monotonic() - began < SOON_S
    assert (error.status, error.code) == (504, "rpc_timeout")
    assert error.sent is False, "it had not taken a byte"
    settled(provider)
    assert not children()
    rig.events.tell("lease.discarded", "opsorch_plugin_restarts_total", reason="timeout")
    other = rig.provider("echo")
    assert len(rig.call(other, "x" * 700_000)["payload"]) == 700_000


@pytest.mark.fault(12)
def test_request_and_reply_travel_at_once(rig: Rig) -> None:
    provider = rig.provider("echo_while_reading")
    for size in (1, 700_000, 3_000_000, 1):
        # The pipes hold 64 KiB and 1 MiB: one that only wrote, or only read, would hang.
        result = rig.call(provider, "y" * size)
        assert size < len(result) < size + 300
        assert set(result) == {"x"}
    rig.events.tell("process.started", "opsorch_plugin_starts_total")
    assert not rig.events.named("lease.discarded")
