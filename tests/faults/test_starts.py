"""Faults 27 to 31: plugins that cannot start, die when they start, or die all at once."""

import os
import pathlib
import shutil
import signal
import threading
import time

import pytest

from opsorch.errors import OpsOrchError
from opsorch.providers.supervised import SupervisedProvider
from tests.faults.gateways import gateway_with, metric, plugins, told, workers
from tests.faults.support import SOON_S, Clock, Rig, eventually, install, together
from tests.harness import Gateway
from tests.processes import children

# Header of a 64-bit little-endian executable for the IBM S/390, of nothing else.
FOREIGN = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x02\0\x16\0" + b"\0" * 44


def own_header() -> bytes:
    """The header of an executable for this machine, and no more of it."""
    with open(shutil.which("env") or "", "rb") as file:
        return file.read(64)


def script(folder: pathlib.Path, content: bytes, mode: int = 0o755) -> str:
    path = folder / "plugin"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def works_once_mended(rig: Rig, provider: SupervisedProvider) -> bool:
    """Put a script that works in the place of what does not, and call when it may be tried."""
    fresh = pathlib.Path(install(rig.folder, "echo"))
    fresh.replace(provider.pool.spec.command[0])
    wait_for_the_try(provider)
    answer = rig.call(provider, "mended")
    return answer["payload"] == "mended" and answer["pid"] in children()


@pytest.mark.fault(27)
def test_a_missing_file_is_named(rig: Rig) -> None:
    provider = rig.provider(str(rig.folder / "nowhere"))
    for _ in range(5):
        error = rig.refused(provider)
        assert (error.status, error.code) == (503, "plugin_not_found")
        assert "/nowhere" in error.message
        assert "OPSORCH_ALERT_PLUGIN" in error.message
    assert not rig.events.named("process.started")
    calls = "opsorch_plugin_call_duration_seconds_count"
    rig.events.tell("call.finished", calls, 5, code="plugin_not_found")
    assert works_once_mended(rig, provider)


UNFIT = {
    "not executable": (b"#!/bin/sh\n", 0o644, "not executable (mode 0644)"),
    "foreign": (FOREIGN, 0o755, "built for machine 22"),
    "no interpreter": (b"#!/opt/no/such/thing -x\n", 0o755, "/opt/no/such/thing is missing"),
    "no program": (b"hello\n", 0o755, "neither an ELF file nor a script"),
    "empty": (b"", 0o755, "neither an ELF file nor a script"),
}


@pytest.mark.fault(27)
@pytest.mark.parametrize(("content", "mode", "reason"), UNFIT.values(), ids=UNFIT)
def test_a_file_that_cannot_run_is_told_with_the_reason(
    rig: Rig, content: bytes, mode: int, reason: str
) -> None:
    provider = rig.provider(script(rig.folder, content, mode))
    other = rig.provider("echo", label="incident")
    began = time.monotonic()
    errors = [rig.refused(provider) for _ in range(20)]
    assert time.monotonic() - began < SOON_S
    assert {(error.status, error.code) for error in errors} == {(503, "plugin_start_failed")}
    assert reason in errors[0].message
    assert all(error.retry_after_s for error in errors)
    failed = rig.events.named("process.start_failed")
    assert 1 <= len(failed) <= 2
    assert reason in failed[0]["reason"]
    rig.events.tell("process.start_failed", "opsorch_plugin_start_failures_total", len(failed))
    rig.events.tell("breaker.opened", "opsorch_plugin_breaker_opened_total", len(failed))
    assert not rig.events.named("process.started")
    assert rig.call(other, 1)["payload"] == 1
    assert works_once_mended(rig, provider)


@pytest.mark.fault(27)
def test_a_directory_is_no_plugin(rig: Rig) -> None:
    path = rig.folder / "plugin"
    path.mkdir()
    provider = rig.provider(str(path))
    error = rig.refused(provider)
    assert (error.status, error.code) == (503, "plugin_start_failed")
    assert "it is a directory" in error.message
    rig.events.tell("process.start_failed", "opsorch_plugin_start_failures_total")
    path.rmdir()
    assert works_once_mended(rig, provider)


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    ("content", "reason"),
    [(own_header(), "exit status 126"), (b"#!/usr/bin/env nosuchpython\n", "exit status 127")],
    ids=["cut executable", "env finds nothing"],
)
def test_what_only_the_kernel_can_tell_is_told_too(rig: Rig, content: bytes, reason: str) -> None:
    provider = rig.provider(script(rig.folder, content))
    error = rig.refused(provider, repeatable=False)
    assert (error.status, error.code) == (503, "plugin_start_failed")
    assert reason in error.message
    assert error.sent is False
    rig.events.tell("process.start_failed", "opsorch_plugin_start_failures_total")
    assert rig.events.named("process.start_failed")[0]["stderr"]
    error = rig.refused(provider)
    assert (error.status, error.code) == (503, "plugin_start_failed")
    assert rig.events.metric("opsorch_plugin_starts_total") == 2
    assert works_once_mended(rig, provider)


@pytest.mark.fault(27)
def test_a_world_writable_file_runs_with_a_warning(rig: Rig) -> None:
    path = install(rig.folder, "echo", mode=0o777)
    provider = rig.provider(path)
    first = rig.call(provider, 1)["pid"]
    os.kill(first, signal.SIGKILL)
    assert rig.call(provider, 2)["pid"] != first
    [suspect] = rig.events.named("plugin.suspect")
    assert suspect["path"] == path
    assert suspect["what"] == "world-writable"
    assert rig.events.metric("opsorch_plugin_starts_total") == 2


@pytest.mark.fault(28)
@pytest.mark.parametrize("repeatable", [True, False], ids=["read", "write"])
def test_a_death_at_the_start_is_told_with_the_last_words(rig: Rig, repeatable: bool) -> None:
    provider = rig.provider("dies_at_start")
    began = time.monotonic()
    error = rig.refused(provider, repeatable=repeatable)
    assert time.monotonic() - began < SOON_S
    assert (error.status, error.code) == (503, "plugin_start_failed")
    assert "exit status 1" in error.message
    assert "no licence found" in error.message
    assert error.retry_after_s
    assert error.sent is False
    assert [one["sent"] for one in rig.events.named("process.died")] == [False, False]
    rig.events.tell("process.start_failed", "opsorch_plugin_start_failures_total")
    eventually(lambda: not children())
    (rig.folder / "dies_at_start.mended").touch()
    wait_for_the_try(provider)
    assert rig.call(provider, repeatable=repeatable) in children()


@pytest.mark.fault(28)
def test_a_slow_start_counts_against_the_deadline(rig: Rig) -> None:
    provider = rig.provider("slow_start", environ={"START_S": "1"})
    error = rig.refused(provider, timeout_s=0.5, repeatable=False)
    assert (error.status, error.code) == (504, "rpc_timeout")
    assert error.sent is False
    assert rig.call(provider, timeout_s=20) is None
    rig.events.tell("lease.discarded", "opsorch_plugin_restarts_total", reason="timeout")
    assert rig.events.metric("opsorch_plugin_starts_total") == 2


def starts(rig: Rig) -> int:
    path = rig.folder / "dies_at_start.starts"
    return len(path.read_text().split()) if path.exists() else 0


def wait_for_the_try(provider: SupervisedProvider) -> None:
    """Wait until the backoff is over, as a load balancer sees it: without a call."""
    eventually(lambda: provider.health()["ready"])


@pytest.mark.fault(29)
def test_a_crash_loop_starts_few_processes_in_half_a_minute(rig: Rig) -> None:
    provider = rig.provider("dies_at_start")
    clock = Clock(provider)
    for tenth in range(300):
        # A tenth of a second a call, so that half a minute is short.
        clock.now_s = tenth / 10
        error = rig.refused(provider)
        assert (error.status, error.code) == (503, "plugin_start_failed")
        assert error.retry_after_s is not None
        assert error.retry_after_s <= 30
    # Twice at first, then after 0.4, 0.8, 1.6, 3.2, 6.4 and 12.8 seconds.
    assert 6 <= starts(rig) <= 9
    assert starts(rig) == rig.events.metric("opsorch_plugin_starts_total")
    rig.events.tell("breaker.opened", "opsorch_plugin_breaker_opened_total", starts(rig) - 1)
    (rig.folder / "dies_at_start.mended").touch()
    clock.now_s += 30
    assert rig.call(provider) in children()


@pytest.mark.fault(29)
def test_a_crash_loop_fails_fast_and_ends_by_itself(rig: Rig) -> None:
    provider = rig.provider("dies_at_start")
    clock = Clock(provider)
    rig.refused(provider)
    for _ in range(2):
        assert not provider.health()["ready"]
        clock.now_s += 1.0
        assert provider.health()["ready"]
        rig.refused(provider)
    assert starts(rig) == 4
    began = time.monotonic()
    for _ in range(20):
        error = rig.refused(provider)
        assert (error.status, error.code) == (503, "plugin_start_failed")
        assert error.retry_after_s
    assert time.monotonic() - began < 1.0, "it did not fail fast"
    assert not provider.health()["ready"]
    assert provider.pool.snapshot().retry_after_s > 1.0
    rig.events.tell("breaker.opened", "opsorch_plugin_breaker_opened_total", 3)
    (rig.folder / "dies_at_start.mended").touch()
    clock.now_s += 2.0
    assert rig.call(provider) in children()
    assert provider.health()["pool"]["breaker"] == "closed"
    assert provider.pool.snapshot().retry_after_s == 0
    assert starts(rig) == 5
    assert len(rig.events.named("breaker.closed")) == 1


@pytest.mark.fault(29)
def test_processes_kept_warm_do_not_loop_and_come_back_by_themselves(rig: Rig) -> None:
    provider = rig.provider("dies_at_start", min_idle=2)

    def over() -> bool:
        """Five or more have ended, and the next one is a try."""
        seen = provider.pool.snapshot()
        living = seen.states["starting"] + seen.states["idle"] + seen.states["draining"]
        return starts(rig) >= 5 and seen.breaker == "open" and not living

    eventually(over)
    # Two at once, and again, then single tries, the third of them a second and more later.
    assert starts(rig) <= 6
    (rig.folder / "dies_at_start.mended").touch()
    eventually((rig.folder / "dies_at_start.up").exists)
    eventually(lambda: provider.pool.snapshot().states["idle"] == 1)
    assert provider.pool.snapshot().breaker == "half_open"
    assert rig.call(provider) in children()
    eventually(lambda: provider.pool.snapshot().states["idle"] == 2)
    assert provider.pool.snapshot().breaker == "closed"
    assert starts(rig) <= 9
    failed = rig.events.named("process.start_failed")
    assert rig.events.metric("opsorch_plugin_start_failures_total") == len(failed) > 0


@pytest.mark.fault(30)
def test_processes_that_die_together_do_not_open_the_breaker(
    rig: Rig, tmp_path: pathlib.Path
) -> None:
    log, until = tmp_path / "log", tmp_path / "until"
    log.touch()
    provider = rig.provider(
        "waits_for_file", config={"log": str(log), "until": str(until)}, pool_size=6
    )
    waiting = threading.Thread(target=lambda: killed(log, until))
    waiting.start()
    results = together(6, lambda number: rig.call(provider, "pid"))
    waiting.join()
    assert not [one for one in results if isinstance(one, BaseException)]
    assert len(set(results)) == 6
    rig.events.tell("process.died", "opsorch_plugin_restarts_total", 6, reason="died")
    rig.events.tell("call.retried", "opsorch_plugin_retries_total", 6)
    assert provider.pool.snapshot().breaker == "closed"
    assert rig.call(provider, "pid") in children()


def killed(log: pathlib.Path, until: pathlib.Path) -> None:
    """Wait for six calls in flight, kill their processes, let the next ones answer."""
    eventually(lambda: len(log.read_text().split()) == 6)
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    until.touch()


@pytest.mark.fault(30)
def test_no_read_fails_when_all_plugins_of_all_workers_die(tmp_path: pathlib.Path) -> None:
    env = {"OPSORCH_WORKERS": "2", "OPSORCH_ALERT_CONFIG": '{"nap_s": 0.1}'}
    over, answered = threading.Event(), threading.Semaphore(0)
    with gateway_with(tmp_path, "naps", env) as gateway:

        def read(number: int) -> list[str]:
            wrong = []
            while not over.is_set():
                began = time.monotonic()
                answer = gateway.request("POST", "/alerts/query", {})
                took_s = time.monotonic() - began
                if answer.status != 200 or took_s > 10:
                    wrong.append(f"{answer.status} after {took_s:.1f} s: {answer.body!r}")
                answered.release()
            return wrong

        killer = threading.Thread(target=lambda: kill_all(gateway, answered, over))
        killer.start()
        results = together(12, read)
        killer.join()
        retried = metric(gateway, "opsorch_plugin_retries_total")
        assert results == [[]] * 12
        assert retried >= 4
        eventually(lambda: len(told(gateway, "call.retried")) == retried)
        assert gateway.request("POST", "/alerts/query", {}).status == 200


def kill_all(gateway: Gateway, answered: threading.Semaphore, over: threading.Event) -> None:
    """Kill the plugins of all workers at once, and wait until all have new ones that answer."""
    try:
        eventually(lambda: len(plugins(gateway)) >= 6 and all(map(children, workers(gateway))))
        old = plugins(gateway)
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: all(children(worker) - old for worker in workers(gateway)))
        for _ in range(50):
            assert answered.acquire(timeout=30)
    finally:
        over.set()


def opened(rig: Rig) -> SupervisedProvider:
    """A provider whose breaker is open, whose plugin is mended, and whose backoff is over."""
    provider = rig.provider("dies_at_start", pool_size=4)
    rig.refused(provider)
    (rig.folder / "dies_at_start.mended").touch()
    wait_for_the_try(provider)
    return provider


@pytest.mark.fault(31)
def test_a_stampede_at_the_reopening_starts_one_process(rig: Rig) -> None:
    provider, go = opened(rig), rig.folder / "go"
    before = starts(rig)

    def call(number: int) -> object:
        try:
            return rig.call(provider, str(go))
        except OpsOrchError as error:
            return error.code, bool(error.retry_after_s)
        finally:
            turned_away.release()

    turned_away = threading.Semaphore(0)

    def let_go() -> None:
        for _ in range(49):
            assert turned_away.acquire(timeout=30)
        go.touch()

    releasing = threading.Thread(target=let_go)
    releasing.start()
    results = together(50, call)
    releasing.join()
    assert results.count(("plugin_start_failed", True)) == 49
    assert starts(rig) == before + 1
    assert provider.pool.snapshot().breaker == "closed"
    rig.events.tell("process.started", "opsorch_plugin_starts_total", before + 1)
    assert rig.call(provider) in children()


@pytest.mark.fault(31)
def test_a_try_that_dies_waits_longer_and_is_repeated(rig: Rig) -> None:
    provider = opened(rig)
    (rig.folder / "dies_at_start.mended").unlink()
    before = starts(rig)
    error = rig.refused(provider)
    assert (error.status, error.code) == (503, "plugin_start_failed")
    assert "exit status 1" in error.message
    assert starts(rig) == before + 1, "one try is one start"
    rig.events.tell("breaker.opened", "opsorch_plugin_breaker_opened_total", 2)
    assert 0.5 < (error.retry_after_s or 0) <= 1.0
    (rig.folder / "dies_at_start.mended").touch()
    wait_for_the_try(provider)
    assert rig.call(provider) in children()


@pytest.mark.fault(31)
def test_a_try_without_a_verdict_leaves_the_next_one_free(rig: Rig) -> None:
    provider = opened(rig)
    error = rig.refused(provider, str(rig.folder / "never"), timeout_s=1.0)
    assert (error.status, error.code) == (504, "rpc_timeout")
    assert rig.events.metric("opsorch_plugin_restarts_total", reason="timeout") == 1
    assert rig.call(provider) in children()
    assert provider.pool.snapshot().breaker == "closed"


@pytest.mark.fault(31)
def test_a_try_that_finds_no_file_leaves_the_next_one_free(rig: Rig) -> None:
    provider = opened(rig)
    path = rig.folder / "dies_at_start"
    path.rename(rig.folder / "elsewhere")
    error = rig.refused(provider)
    assert (error.status, error.code) == (503, "plugin_not_found")
    (rig.folder / "elsewhere").rename(path)
    assert rig.call(provider) in children()


@pytest.mark.fault(31)
def test_another_calls_end_is_no_verdict_on_the_try(rig: Rig) -> None:
    """An old process that runs out of time does not let a second try in beside the first."""
    provider, never = rig.provider("dies_at_start", pool_size=4), str(rig.folder / "never")
    (rig.folder / "dies_at_start.mended").touch()
    rig.call(provider)
    old = threading.Thread(target=lambda: rig.refused(provider, never, timeout_s=3.0))
    old.start()
    eventually(lambda: provider.pool.snapshot().states["busy"] == 1)
    (rig.folder / "dies_at_start.mended").unlink()
    rig.refused(provider)
    (rig.folder / "dies_at_start.mended").touch()
    eventually(lambda: provider.pool.snapshot().retry_after_s == 0)
    go = rig.folder / "go"
    results: list[int] = []
    trying = threading.Thread(target=lambda: results.append(rig.call(provider, str(go))))
    trying.start()
    eventually(lambda: provider.pool.snapshot().breaker == "half_open")
    old.join()
    error = rig.refused(provider)
    assert (error.status, error.code) == (503, "plugin_start_failed")
    assert provider.pool.snapshot().breaker == "half_open"
    go.touch()
    trying.join()
    assert len(results) == 1
    assert provider.pool.snapshot().breaker == "closed"
