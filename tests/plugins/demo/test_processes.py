"""Many real processes on one folder: one world, no number twice, every write seen by all."""

import collections
import contextlib
import pathlib
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from opsorch.plugin.testing import run_plugin
from opsorch_plugins.demo.provider import DemoIncidents, DemoLogs, DemoMetrics, DemoTickets
from tests.plugins.demo.support import ANCHOR, Demo, minutes, text

COUNT = 8
EACH = 50
WORKER = pathlib.Path(__file__).with_name("worker.py")
ROOT = str(WORKER.parents[3])


def started(stack, count=1, env=None):
    command = [sys.executable, "-P", str(WORKER)]
    env = {"PYTHONPATH": ROOT, **(env or {})}
    return [stack.enter_context(run_plugin(command, env)) for _ in range(count)]


@pytest.fixture(scope="module")
def eight():
    """Eight processes that have opened nothing yet."""
    with contextlib.ExitStack() as stack:
        processes = started(stack, COUNT)
        # The first call of a process imports everything; all the later ones are quick.
        with ThreadPoolExecutor(COUNT) as pool:
            ready = [pool.submit(p.call, "team.get", {}, timeout_s=60) for p in processes]
            assert {future.result()["error"]["code"] for future in ready} == {"bad_request"}
        yield processes


def at_once(processes, method, payload, config):
    """Call all processes at the same moment; return their results, or their errors' codes."""
    barrier = threading.Barrier(len(processes))

    def one(process):
        barrier.wait(30)
        reply = process.call(method, payload, config=config, timeout_s=60)
        return reply["result"] if "result" in reply else reply["error"]["code"]

    with ThreadPoolExecutor(len(processes)) as pool:
        return list(pool.map(one, processes))


@pytest.mark.case("demo", 11)
def test_processes_that_start_at_once_share_one_seed_and_one_anchor(eight, tmp_path):
    folder = tmp_path / "not" / "there" / "yet"
    answers = at_once(eight, "incident.query", {}, {"dataDir": str(folder)})
    assert len(answers[0]) == 18
    assert all(answer == answers[0] for answer in answers)
    alerts = at_once(eight, "alert.query", {}, {"dataDir": str(folder)})
    assert len({alert["createdAt"] for answer in alerts for alert in answer}) == 20
    with contextlib.closing(sqlite3.connect(folder / "demo.db")) as connection:
        recorded = dict(connection.execute("SELECT key, value FROM demo_meta").fetchall())
        (count,) = connection.execute("SELECT count(*) FROM incidents").fetchone()
    assert recorded["seed"] == "opsorch"
    assert recorded["anchor"].endswith(":00Z")
    assert count == 18
    assert (folder / "demo.db").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.case("demo", 11)
def test_real_plugins_of_several_capabilities_seed_one_world(tmp_path):
    config = {"dataDir": str(tmp_path / "data")}
    with contextlib.ExitStack() as stack:
        classes = (DemoIncidents, DemoTickets, DemoLogs, DemoMetrics)
        plugins = [stack.enter_context(run_plugin(cls)) for cls in classes]
        asked = {DemoMetrics: {"expression": {"metricName": "conversion_rate"}}}
        barrier = threading.Barrier(len(plugins))

        def one(pair):
            cls, plugin = pair
            barrier.wait(30)
            method = f"{cls.capability}.query"
            return plugin.call(method, asked.get(cls, {}), config=config, timeout_s=60)

        with ThreadPoolExecutor(len(plugins)) as pool:
            replies = list(pool.map(one, zip(classes, plugins, strict=True)))
    assert all("result" in reply for reply in replies)
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "demo.db")) as connection:
        assert connection.execute("SELECT count(*) FROM incidents").fetchone() == (18,)
        assert connection.execute("SELECT count(*) FROM tickets").fetchone() == (16,)


WRITES = {
    "incident.create": ({"title": "One of many"}, "inc-", "incident.query"),
    "ticket.create": ({"title": "One of many"}, "TCK-", "ticket.query"),
    "messaging.send": ({"channel": "#c", "body": "b"}, "msg-", None),
    "orchestration.runs.start": (
        {"planId": "plan-playbook-003"},
        "run-",
        "orchestration.runs.query",
    ),
}


@pytest.mark.case("demo", 12)
@pytest.mark.parametrize("method", WRITES)
def test_eight_processes_write_at_once_and_no_id_is_given_twice(eight, tmp_path, method):
    payload, prefix, query = WRITES[method]
    config = {"dataDir": str(tmp_path / "data")}
    results = at_once(eight, method, {"payloads": [payload] * EACH}, config)
    ids = [item["id"] for result in results for item in result]
    assert len(ids) == len(set(ids)) == COUNT * EACH
    assert all(one.startswith(prefix) for one in ids)
    if prefix in ("inc-", "TCK-"):
        assert {int(one[len(prefix) :]) for one in ids} == set(range(101, 101 + COUNT * EACH))
    if query:
        for seen in at_once(eight, query, {"limit": 1000}, config):
            assert set(ids) <= {item["id"] for item in seen}


@pytest.mark.case("demo", 12)
def test_eight_processes_write_into_one_timeline_and_no_entry_is_lost(eight, tmp_path):
    config = {"dataDir": str(tmp_path / "data")}
    entry = {"id": "inc-011", "entry": {"body": "seen"}}
    results = at_once(eight, "incident.timeline.append", {"payloads": [entry] * EACH}, config)
    assert all(one == {"status": "ok"} for result in results for one in result)
    for seen in at_once(eight, "incident.timeline.get", {"id": "inc-011"}, config):
        ids = [item["id"] for item in seen]
        assert len(ids) == len(set(ids)) == COUNT * EACH + 3
        times = [item["at"] for item in seen]
        assert times == sorted(times, key=lambda at: at.rstrip("Z"))


@pytest.mark.case("demo", 12)
def test_updates_at_once_lose_nothing_and_updated_at_always_rises(eight, tmp_path):
    config = {"dataDir": str(tmp_path / "data")}
    barrier = threading.Barrier(COUNT)

    def one(number):
        changes = [
            {"id": "inc-011", "input": {"fields": {f"by-{number}-{turn}": turn}}}
            for turn in range(10)
        ]
        barrier.wait(30)
        frame = {"payloads": changes}
        return eight[number].call("incident.update", frame, config=config)["result"]

    with ThreadPoolExecutor(COUNT) as pool:
        answers = [item for result in pool.map(one, range(COUNT)) for item in result]
    final = eight[0].call("incident.get", {"id": "inc-011"}, config=config)["result"]
    assert sum(key.startswith("by-") for key in final["fields"]) == COUNT * 10
    assert len({item["updatedAt"] for item in answers}) == COUNT * 10


@pytest.mark.case("demo", 13)
def test_of_two_processes_that_complete_a_step_one_meets_a_conflict(eight, tmp_path):
    config = {"dataDir": str(tmp_path / "data")}
    payload = {"runId": "run-001", "stepId": "end-idle-sessions", "note": "done"}
    method = "orchestration.runs.steps.complete"
    assert collections.Counter(
        answer if isinstance(answer, str) else answer["status"]
        for answer in at_once(eight[:2], method, payload, config)
    ) == {"ok": 1, "conflict": 1}
    run = eight[2].call("orchestration.runs.get", {"runId": "run-001"}, config=config)["result"]
    (step,) = (step for step in run["steps"] if step["stepId"] == "end-idle-sessions")
    assert (step["status"], step["actor"], step["note"]) == ("succeeded", "kim", "done")


@pytest.mark.case("demo", 14)
def test_what_one_process_wrote_another_reads_and_a_restart_changes_nothing(tmp_path):
    config = {"dataDir": str(tmp_path / "data")}
    given = {
        "title": "Ünicode & <b>",
        "service": "svc-search",
        "fields": {"n": 1.5, "deep": {"a": [None, True, 2**60]}},
    }

    def read(process):
        asked = [
            ("incident.get", {"id": "inc-101"}),
            ("incident.timeline.get", {"id": "inc-101"}),
            ("ticket.query", {}),
            ("deployment.query", {"statuses": ["failed", "cancelled"]}),
            ("orchestration.runs.get", {"runId": "run-001"}),
        ]
        return [process.call(m, p, config=config)["result"] for m, p in asked]

    with contextlib.ExitStack() as stack:
        writer, reader = started(stack, 2)
        created = writer.call("incident.create", given, config=config)["result"]
        writer.call("ticket.create", {"title": "t", "assignees": ["kim"]}, config=config)
        first = read(reader)
        assert first == read(writer)
        assert first[0] == created
        assert created["fields"]["deep"] == given["fields"]["deep"]
    with contextlib.ExitStack() as stack:
        assert read(*started(stack)) == first


@pytest.mark.case("demo", 7)
def test_processes_compute_equal_metrics_and_equal_log_lines(tmp_path):
    """Real plugins with unequal hash seeds, and this process."""
    here = Demo(tmp_path / "data", ANCHOR)
    window = {"start": text(ANCHOR - minutes(100)), "end": text(ANCHOR - minutes(70))}
    asked = [
        (DemoMetrics, "metric.query", {**window, "expression": {"metricName": name}})
        for name in ("http_requests_total", "cpu_usage_ratio", "events_ingested_total")
    ]
    asked.append((DemoLogs, "log.query", {**window, "limit": 1000}))
    for cls in (DemoMetrics, DemoLogs):
        for seed in ("1", "4242"):
            with run_plugin(cls, {"PYTHONHASHSEED": seed}) as plugin:
                for owner, method, payload in asked:
                    if owner is cls:
                        reply = plugin.call(method, payload, config=here.config)
                        assert reply["result"] == here.call(method, payload)
