"""Faults 32 to 34: more calls than processes or threads, and callers that leave."""

import json
import pathlib
import socket
import threading
import time

import pytest

from opsorch.errors import PluginBusy
from tests.faults.gateways import ask, gateway_with, metric, open_sockets, told, workers
from tests.faults.support import SOON_S, Rig, eventually, install, together
from tests.harness import Gateway
from tests.processes import children


class Door:
    """What ``waits_for_file`` waits for, and the requests that it has taken."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.log, self.until = folder / "log", folder / "until"
        self.log.touch()
        self.config = {"log": str(self.log), "until": str(self.until)}

    def taken(self) -> list[str]:
        return self.log.read_text().splitlines()

    def open(self) -> None:
        self.until.touch()


CALLS = "opsorch_plugin_call_duration_seconds_count"
WAITS = "opsorch_plugin_checkout_wait_seconds_count"


@pytest.mark.fault(32)
def test_a_slow_capability_never_takes_every_thread(tmp_path: pathlib.Path) -> None:
    door = Door(tmp_path)
    env = {
        "OPSORCH_THREADS": "6",
        "OPSORCH_ALERT_CONFIG": json.dumps(door.config),
        "OPSORCH_ALERT_POOL_SIZE": "2",
        "OPSORCH_ALERT_QUEUE_TIMEOUT": "50",
        "OPSORCH_ALERT_TIMEOUT": "60",
        "OPSORCH_INCIDENT_PLUGIN": install(tmp_path, "naps"),
        "OPSORCH_INCIDENT_CONFIG": '{"nap_s": 0}',
    }
    refused = threading.Semaphore(0)

    with gateway_with(tmp_path, "waits_for_file", env) as gateway:

        def flood(number: int) -> tuple[int, str]:
            answer = gateway.request("POST", "/alerts/query", {})
            if answer.status == 200:
                return 200, ""
            refused.release()
            assert int(answer.headers["Retry-After"]) >= 1
            assert "OPSORCH_ALERT_MAX_CONCURRENCY" in answer.json["message"]
            return answer.status, answer.json["code"]

        def meanwhile() -> list[int]:
            for _ in range(16):
                assert refused.acquire(timeout=30)
            asked = [("GET", "/health"), ("POST", "/incidents/query"), ("POST", "/alerts/query")]
            statuses = [gateway.request(*one, {}, timeout_s=20).status for one in asked]
            door.open()
            return statuses

        seen: list[int] = []
        watching = threading.Thread(target=lambda: seen.extend(meanwhile()))
        watching.start()
        results = together(20, flood)
        watching.join()
        assert seen == [200, 200, 503]
        assert sorted(results) == [(200, "")] * 4 + [(503, "plugin_busy")] * 16
        assert ask(gateway).status == 200
        assert metric(gateway, CALLS, capability="alert", code="plugin_busy") == 17
        eventually(lambda: len(told(gateway, "request.completed", code="plugin_busy")) == 17)


@pytest.mark.fault(33)
def test_two_hundred_callers_of_two_processes_wait_within_bounds(
    rig: Rig, tmp_path: pathlib.Path
) -> None:
    door = Door(tmp_path)
    provider = rig.provider("waits_for_file", config=door.config, pool_size=2, queue_timeout_s=0.5)
    refused = threading.Semaphore(0)

    def call(number: int) -> tuple[PluginBusy, float] | int:
        began = time.monotonic()
        try:
            return int(rig.call(provider, "pid", timeout_s=30))
        except PluginBusy as busy:
            refused.release()
            return busy, time.monotonic() - began

    def release() -> None:
        for _ in range(198):
            assert refused.acquire(timeout=30)
        door.open()

    releasing = threading.Thread(target=release)
    releasing.start()
    results = together(200, call)
    releasing.join()
    assert {one for one in results if isinstance(one, int)} == children()
    assert len(children()) == 2
    told = [one for one in results if isinstance(one, tuple)]
    assert len(told) == 198
    assert {(e.status, e.code, e.retry_after_s, e.sent) for e, _ in told} == {
        (503, "plugin_busy", 1.0, False)
    }
    assert all(0.5 <= waited_s < SOON_S for _, waited_s in told)
    assert all("raise OPSORCH_ALERT_POOL_SIZE" in busy.message for busy, _ in told)
    assert provider.pool.snapshot().waiting == 0
    assert rig.call(provider, "pid") in children()
    assert rig.events.metric("opsorch_plugin_starts_total") == 2
    rig.events.tell("checkout.waited", WAITS, 198)
    assert rig.events.metric(CALLS, code="plugin_busy") == 198


@pytest.mark.fault(33)
def test_no_call_waits_for_a_process_beyond_its_deadline(rig: Rig, tmp_path: pathlib.Path) -> None:
    door = Door(tmp_path)
    provider = rig.provider("waits_for_file", config=door.config, pool_size=1, queue_timeout_s=60)
    holding = threading.Thread(target=lambda: rig.call(provider, "pid"))
    holding.start()
    eventually(door.taken)
    began = time.monotonic()
    error = rig.refused(provider, timeout_s=0.3)
    assert (error.status, error.code) == (503, "plugin_busy")
    assert 0.3 <= time.monotonic() - began < SOON_S
    door.open()
    holding.join()
    assert rig.call(provider, "pid") in children()
    rig.events.tell("checkout.waited", WAITS)


@pytest.mark.fault(33)
def test_who_comes_first_is_served_first(rig: Rig, tmp_path: pathlib.Path) -> None:
    door = Door(tmp_path)
    provider = rig.provider("waits_for_file", config=door.config, pool_size=1, queue_timeout_s=60)
    callers = []
    for number in range(8):
        caller = threading.Thread(target=rig.call, args=(provider, number))
        caller.start()
        callers.append(caller)
        # Each stands in the queue before the next one comes.
        eventually(lambda: provider.pool.snapshot().waiting == len(callers) - 1)
        eventually(door.taken)
    door.open()
    for caller in callers:
        caller.join(30)
    assert door.taken() == [str(number) for number in range(8)]
    assert rig.events.metric("opsorch_plugin_starts_total") == 1
    rig.events.tell("checkout.waited", WAITS, 7)
    assert rig.call(provider, "pid") in children()


def ask_and_leave(gateway: Gateway, door: Door, calls: int) -> None:
    """Ask for alerts and close the connection while the call is in flight."""
    with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.sendall(
            b"POST /alerts/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 2\r\n\r\n{}"
        )
        eventually(lambda: len(door.taken()) == calls)


@pytest.mark.fault(34)
def test_a_caller_that_leaves_costs_no_slot(tmp_path: pathlib.Path) -> None:
    door = Door(tmp_path)
    env = {
        "OPSORCH_ALERT_CONFIG": json.dumps(door.config),
        "OPSORCH_ALERT_POOL_SIZE": "1",
        "OPSORCH_ALERT_TIMEOUT": "4",
    }
    with gateway_with(tmp_path, "waits_for_file", env) as gateway:
        (worker,) = workers(gateway)
        # The plugin does not answer this one: the deadline ends it.
        ask_and_leave(gateway, door, 1)
        eventually(lambda: metric(gateway, CALLS, code="rpc_timeout") == 1)
        eventually(lambda: told(gateway, "request.completed", status=504, code="rpc_timeout"))
        ask_and_leave(gateway, door, 2)
        door.open()
        eventually(lambda: metric(gateway, CALLS, code="ok") == 1)
        before = open_sockets(worker)
        for calls in range(3, 13):
            ask_and_leave(gateway, door, calls)
        eventually(lambda: metric(gateway, CALLS, code="ok") == 11)
        eventually(lambda: open_sockets(worker) <= before)
        assert ask(gateway).status == 200
        assert metric(gateway, "opsorch_plugin_starts_total") == 2
        assert gateway.log().count('"process.started"') == 2
        assert '"request.failed"' not in gateway.log()
