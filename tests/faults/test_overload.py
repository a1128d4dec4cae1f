"""Faults 32 to 34: more calls than processes or threads, and callers that leave."""

import json
import pathlib
import socket
import threading
import time

import pytest

from opsorch.errors import PluginBusy
from tests.conftest import children
from tests.faults.support import Rig, eventually, install, together
from tests.harness import Gateway, running_gateway


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


def metric(gateway: Gateway, name: str, **labels: str) -> float:
    """The sum of a metric's samples on the gateway's page."""
    page = gateway.request("GET", "/metrics").body.decode()
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in page.splitlines()
        if line.startswith((f"{name}{{", f"{name} ")) and all(one in line for one in wanted)
    )


@pytest.mark.fault(32)
def test_a_slow_capability_never_takes_every_thread(tmp_path: pathlib.Path) -> None:
    door = Door(tmp_path)
    plugin = install(tmp_path, "waits_for_file")
    env = {
        "OPSORCH_THREADS": "6",
        "OPSORCH_ALERT_PLUGIN": plugin,
        "OPSORCH_ALERT_CONFIG": json.dumps(door.config),
        "OPSORCH_ALERT_PLUGIN_POOL_SIZE": "2",
        "OPSORCH_ALERT_QUEUE_TIMEOUT": "50",
        "OPSORCH_ALERT_TIMEOUT": "60",
        "OPSORCH_INCIDENT_PLUGIN": install(tmp_path, "naps"),
        "OPSORCH_INCIDENT_CONFIG": '{"nap_s": 0}',
    }
    refused = threading.Semaphore(0)

    with running_gateway(env) as gateway:

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
        assert gateway.request("POST", "/alerts/query", {}).status == 200
        calls = "opsorch_plugin_call_duration_seconds_count"
        assert metric(gateway, calls, capability="alert", code="plugin_busy") == 17
        assert gateway.log().count('"code":"plugin_busy"') == 17


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
    assert all(0.5 <= waited_s < 5 for _, waited_s in told)
    assert provider.pool.snapshot().waiting == 0
    assert rig.call(provider, "pid") in children()
    assert rig.events.metric("opsorch_plugin_starts_total") == 2
    assert rig.events.metric("opsorch_plugin_checkout_wait_seconds_count") >= 198


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
    assert 0.3 <= time.monotonic() - began < 5
    door.open()
    holding.join()
    assert rig.call(provider, "pid") in children()
    assert len(rig.events.named("checkout.waited")) == 1


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
        "OPSORCH_ALERT_PLUGIN": install(tmp_path, "waits_for_file"),
        "OPSORCH_ALERT_CONFIG": json.dumps(door.config),
        "OPSORCH_ALERT_PLUGIN_POOL_SIZE": "1",
        "OPSORCH_ALERT_TIMEOUT": "1.5",
    }
    calls = "opsorch_plugin_call_duration_seconds_count"
    with running_gateway(env) as gateway:
        # The plugin does not answer this one: the deadline ends it.
        ask_and_leave(gateway, door, 1)
        eventually(lambda: metric(gateway, calls, code="rpc_timeout") == 1)
        ask_and_leave(gateway, door, 2)
        door.open()
        eventually(lambda: metric(gateway, calls, code="ok") == 1)
        assert gateway.request("POST", "/alerts/query", {}).status == 200
        assert metric(gateway, "opsorch_plugin_starts_total") == 2
        assert gateway.log().count('"process.started"') == 2
        assert '"request.failed"' not in gateway.log()
