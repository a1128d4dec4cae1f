"""GET /metrics of several workers: counters never fall, and the dead have no gauges."""

import contextlib
import fcntl
import http.client
import os
import pathlib
import signal
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.parser import text_string_to_metric_families

from opsorch.observability import metric_files
from opsorch.observability.metrics import Metrics
from tests.faults.gateways import (
    alive,
    gateway_with,
    hold,
    metric,
    metrics_folder,
    plugins,
    ready_workers,
    threads,
    workers,
)
from tests.faults.support import eventually
from tests.harness import Gateway
from tests.processes import children

COUNTS = ("_total", "_count", "_sum", "_bucket")
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def counters(gateway: Gateway) -> Samples:
    page = gateway.request("GET", "/metrics").body.decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.endswith(COUNTS)
    }


def fallen(before: Samples, after: Samples) -> list[str]:
    return [
        f"{name} {labels}: {value} -> {after.get((name, labels))}"
        for (name, labels), value in before.items()
        if after.get((name, labels), -1.0) < value
    ]


@contextlib.contextmanager
def busy_workers(gateway: Gateway, count: int) -> Iterator[dict[int, int]]:
    """Hold calls until every worker has a plugin; gives the plugins and their workers."""
    eventually(lambda: len(ready_workers(gateway)) == count)
    with hold() as held, threads() as callers:
        found: dict[int, int] = {}
        calls = []
        while len(set(found.values())) < count:
            calls.append(
                callers.submit(
                    gateway.request, "POST", "/alerts/query", {"metadata": {"hold": held.port}}
                )
            )
            pid = held.arrived()
            worker = next(w for w in workers(gateway) if pid in children(w))
            found[pid] = worker
            # It takes no more, so that the next call comes to another.
            os.kill(worker, signal.SIGSTOP)
        for worker in found.values():
            os.kill(worker, signal.SIGCONT)
        yield found
        held.release()
        for call in calls:
            with contextlib.suppress(OSError, http.client.HTTPException):
                call.result(30)


def processes(gateway: Gateway, state: str) -> float:
    return metric(gateway, "opsorch_plugin_processes", capability="alert", state=state)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    env = {"OPSORCH_WORKERS": "2", "OPSORCH_PLUGIN_POOL_SIZE": "8"}
    with gateway_with(tmp_path_factory.mktemp("metrics"), env=env) as running:
        yield running


def test_gauges_are_the_sum_of_all_workers(gateway: Gateway) -> None:
    with busy_workers(gateway, 2) as found:
        eventually(lambda: processes(gateway, "busy") == len(found))
    eventually(lambda: processes(gateway, "busy") == 0)
    eventually(lambda: processes(gateway, "idle") == len(plugins(gateway)))
    assert metric(gateway, "opsorch_plugin_checkouts_waiting", capability="alert") == 0
    assert metric(gateway, "opsorch_plugin_breaker_state", capability="alert") == 0


def kill_one_of_two(gateway: Gateway) -> None:
    with busy_workers(gateway, 2) as found:
        eventually(lambda: processes(gateway, "busy") == len(found))
        victim = found[next(iter(found))]
        left = [plugin for plugin, worker in found.items() if worker != victim]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: processes(gateway, "busy") == len(left))
    eventually(lambda: not alive(victim))


def test_the_dead_have_no_gauges_and_keep_their_counts(gateway: Gateway) -> None:
    seen = counters(gateway)
    for _ in range(3):
        kill_one_of_two(gateway)
        now = counters(gateway)
        assert fallen(seen, now) == []
        seen = now
    eventually(lambda: processes(gateway, "idle") == len(plugins(gateway)))
    assert fallen(seen, counters(gateway)) == []
    starts = metric(gateway, "opsorch_plugin_starts_total", capability="alert")
    assert starts >= len(plugins(gateway)) + 3


def test_gauges_follow_a_death_that_no_request_sees(gateway: Gateway) -> None:
    assert gateway.request("POST", "/alerts/query", {}).status == 200
    eventually(lambda: processes(gateway, "idle") == len(plugins(gateway)) > 0)
    for pid in plugins(gateway):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not plugins(gateway))
    eventually(lambda: processes(gateway, "idle") == 0)


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv(metric_files.FOLDER, str(tmp_path))
    return tmp_path


def counted(folder: pathlib.Path, pid: int | str, **values: float) -> None:
    """Write a worker's file of counters."""
    file = MmapedDict(str(folder / f"counter_{pid}.db"))
    for name, value in values.items():
        file.write_value(mmap_key(name, name, [], [], "What is counted."), value, 0.0)
    file.close()


def page() -> dict[str, float]:
    registry = CollectorRegistry()
    metric_files.FileCollector(registry)
    return {sample.name: sample.value for family in registry.collect() for sample in family.samples}


# Above every pid that the kernel gives.
NOBODY = 2**22 + 1


def test_counts_of_workers_that_ended_are_kept_in_one_file(folder: pathlib.Path) -> None:
    counted(folder, os.getpid(), a_total=1, b_total=2)
    for number in range(5):
        counted(folder, NOBODY + number, a_total=10, c_total=number)
        before = page()
        metric_files.forget_worker(NOBODY + number)
        assert page() == before
    assert page() == {"a_total": 51, "b_total": 2, "c_total": 10}
    left = sorted(path.name for path in folder.iterdir())
    assert left == sorted([f"counter_{os.getpid()}.db", "counter_gone.db", "page.lock"])


def test_the_page_is_that_of_the_folder_where_there_is_one(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics()
    metrics.set_pool("alert", {"idle": 3}, waiting=2, breaker="open")
    metrics.note("call.retried", {"capability": "alert"})
    metrics.note("lease.discarded", {"capability": "alert", "reason": "something new"})
    metrics.note("gateway.ready", {})
    counted(folder, os.getpid(), a_total=7)
    assert b"a_total 7.0" in metrics.page()
    monkeypatch.delenv(metric_files.FOLDER)
    page = metrics.page().decode()
    for line in (
        'opsorch_plugin_processes{capability="alert",state="idle"} 3.0',
        'opsorch_plugin_checkouts_waiting{capability="alert"} 2.0',
        'opsorch_plugin_breaker_state{capability="alert"} 2.0',
        'opsorch_plugin_retries_total{capability="alert"} 1.0',
        'opsorch_plugin_restarts_total{capability="alert",reason="other"} 1.0',
    ):
        assert line in page


def test_a_file_without_a_count_is_no_defect(folder: pathlib.Path) -> None:
    counted(folder, os.getpid(), a_total=1)
    (folder / f"counter_{NOBODY}.db").touch()
    (folder / f"histogram_{NOBODY}.db").touch()
    assert page() == {"a_total": 1}
    metric_files.forget_worker(NOBODY)
    assert page() == {"a_total": 1}
    assert not list(folder.glob(f"*{NOBODY}*"))
    assert metric_files._size(str(folder / "missing")) == 0


def test_the_master_does_not_wait_for_a_page_that_is_being_read(folder: pathlib.Path) -> None:
    counted(folder, NOBODY, a_total=1)
    with metric_files._locked(str(folder), fcntl.LOCK_SH):
        metric_files.forget_worker(NOBODY)
    assert (folder / f"counter_{NOBODY}.db").exists()
    metric_files.forget_worker(NOBODY + 1)
    assert not (folder / f"counter_{NOBODY}.db").exists()
    assert page() == {"a_total": 1}


@pytest.mark.fault(44)
def test_a_recycled_worker_keeps_its_counts(tmp_path: pathlib.Path) -> None:
    env = {"OPSORCH_WORKERS": "1", "OPSORCH_MAX_REQUESTS": "10"}
    with gateway_with(tmp_path, env=env) as gateway:
        every, answered, seen = workers(gateway), 0, counters(gateway)
        while len(every) < 4:
            every |= workers(gateway)
            assert gateway.request("GET", "/health").status == 200
            answered += 1
            now = counters(gateway)
            assert fallen(seen, now) == []
            seen = now
        name = "opsorch_request_duration_seconds_count"
        assert metric(gateway, name, operation="health") >= answered
        files = [path.name for path in metrics_folder(gateway).glob("counter_*.db")]
        assert "counter_gone.db" in files
        # Those of the present worker, of one that is leaving, and of all that are gone.
        assert len(files) <= 3
