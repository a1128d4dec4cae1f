"""Faults 37, 38, 41 to 44, 47: what becomes of plugins and callers when workers end."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.faults.gateways import (
    alive,
    ask,
    create,
    gateway_with,
    hold,
    metric,
    metrics_folder,
    plugins,
    threads,
    told,
    workers,
    written,
)
from tests.faults.support import eventually
from tests.harness import Answer, Gateway
from tests.processes import children, parent

QUERY = b'{"metadata": {}}'
WORKER_STARTS = "opsorch_worker_starts_total"


def only(pids: set[int]) -> int:
    (pid,) = pids
    return pid


@pytest.mark.fault(37)
def test_an_idle_plugin_dies_with_its_worker(tmp_path: pathlib.Path) -> None:
    with gateway_with(tmp_path) as gateway:
        plugin = int(ask(gateway).json[0]["id"])
        worker = only(workers(gateway))
        assert parent(plugin) == worker
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: not alive(plugin), within_s=1.0)
        eventually(lambda: workers(gateway) - {worker})
        answer = ask(gateway)
        assert answer.status == 200
        assert int(answer.json[0]["id"]) != plugin
        eventually(lambda: len(told(gateway, "gateway.ready")) == 2)
        # The master's own line: who was killed can tell nobody.
        assert f"(pid:{worker}) was sent SIGKILL" in gateway.log()
        assert metric(gateway, WORKER_STARTS) == 2
        assert metric(gateway, "opsorch_plugin_starts_total", capability="alert") == 2


@pytest.mark.fault(38)
def test_a_stuck_plugin_and_its_stray_die_with_their_worker(tmp_path: pathlib.Path) -> None:
    with gateway_with(tmp_path) as gateway, hold() as held, threads() as callers:
        call = callers.submit(ask, gateway, hold=held.port, stray=str(tmp_path / "stray"))
        plugin, stray = held.arrived(), int(written(tmp_path / "stray"))
        worker = only(workers(gateway))
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: not alive(plugin), within_s=1.0)
        assert isinstance(call.exception(30), OSError | http.client.HTTPException)
        # The next worker sweeps what the dead one left behind.
        eventually(lambda: not alive(stray))
        eventually(lambda: told(gateway, "stray.killed", pid=stray))
        assert ask(gateway).status == 200
        assert metric(gateway, WORKER_STARTS) == 2
        assert metric(gateway, "opsorch_plugin_strays_killed_total") == 1


def refuses(gateway: Gateway) -> bool:
    try:
        socket.create_connection(("127.0.0.1", gateway.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False


@contextlib.contextmanager
def kept_alive(gateway: Gateway) -> Iterator[http.client.HTTPConnection]:
    """A connection that has answered one request and is idle now."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    connection.request("GET", "/health")
    answer = connection.getresponse()
    answer.read()
    assert answer.getheader("Connection") == "keep-alive"
    yield connection
    connection.close()


@pytest.mark.fault(41)
def test_sigterm_finishes_the_calls_in_flight(tmp_path: pathlib.Path) -> None:
    with (
        gateway_with(tmp_path) as gateway,
        hold() as held,
        threads() as callers,
        kept_alive(gateway) as connection,
        socket.create_connection(("127.0.0.1", gateway.port)),  # Never says a word.
    ):
        idle = int(ask(gateway).json[0]["id"])
        calls = [callers.submit(ask, gateway, hold=held.port) for _ in range(2)]
        pids = {held.arrived(), held.arrived(), idle}
        gateway.process.send_signal(signal.SIGTERM)
        eventually(lambda: refuses(gateway))
        connection.request("GET", "/health")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"status":"ok"}\n')
        held.release()
        assert [call.result(30).status for call in calls] == [200, 200]
        assert gateway.process.wait(20) == 0
        assert not any(map(alive, pids))
        assert eventually(lambda: told(gateway, "gateway.stopped", clean=True))
        assert eventually(lambda: told(gateway, "process.exited", status="exit status 0"))


@pytest.mark.fault(41)
def test_a_kept_connection_is_told_that_it_is_the_last_answer(tmp_path: pathlib.Path) -> None:
    with gateway_with(tmp_path) as gateway, kept_alive(gateway) as connection:
        # To the worker itself, so that nothing but its own end is under way.
        os.kill(only(workers(gateway)), signal.SIGTERM)
        connection.request("POST", "/alerts/query", QUERY)
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
        if answer.getheader("Connection") == "keep-alive":
            # It came before the signal was seen: then the next one is the last.
            connection.request("GET", "/health")
            answer = connection.getresponse()
            answer.read()
        assert answer.getheader("Connection") == "close"
        assert ask(gateway).status == 200
        assert metric(gateway, WORKER_STARTS) == 2
        assert eventually(lambda: told(gateway, "gateway.stopping", reason="finished"))


def told_or_closed(call: "Future[Answer]") -> bool:
    """Tell whether a caller whose plugin was killed was told so, or found the connection closed."""
    if call.exception(10) is not None:
        return isinstance(call.exception(), OSError | http.client.HTTPException)
    answer = call.result()
    told = answer.status, answer.json["code"]
    return told in ((502, "plugin_crashed"), (503, "plugin_busy"))


@pytest.mark.fault(42)
@pytest.mark.parametrize("name", ["SIGQUIT", "SIGINT"])
def test_a_quick_end_kills_plugins_at_once(tmp_path: pathlib.Path, name: str) -> None:
    with (
        gateway_with(tmp_path) as gateway,
        hold() as held,
        threads() as callers,
        socket.create_connection(("127.0.0.1", gateway.port)) as half,
    ):
        half.sendall(b"GET /health HTTP/1.1\r\nHost: ")
        calls = [callers.submit(ask, gateway, hold=held.port) for _ in range(2)]
        calls.append(callers.submit(create, gateway, "a write", hold=held.port))
        pids = {held.arrived() for _ in calls}
        gateway.process.send_signal(getattr(signal, name))
        eventually(lambda: not any(map(alive, pids)), within_s=2.0)
        assert gateway.process.wait(10) == 0
        assert all(map(told_or_closed, calls))
        # Nothing is sent a second time.
        assert len(told(gateway, "process.started")) == 3
        assert eventually(lambda: told(gateway, "gateway.stopped", clean=True))
        assert eventually(lambda: told(gateway, "gateway.stopping", reason="interrupted"))


@pytest.mark.fault(42)
@pytest.mark.parametrize("name", ["SIGQUIT", "SIGINT"])
def test_a_quick_end_cuts_short_a_polite_one(tmp_path: pathlib.Path, name: str) -> None:
    with gateway_with(tmp_path) as gateway:
        plugin = int(ask(gateway, stay=str(tmp_path / "child")).json[0]["id"])
        child = int(written(tmp_path / "child"))
        gateway.process.send_signal(signal.SIGTERM)
        eventually(lambda: told(gateway, "gateway.stopping", reason="finished"))
        assert alive(plugin)
        gateway.process.send_signal(getattr(signal, name))
        # The polite way out would take seven seconds.
        eventually(lambda: not (alive(plugin) or alive(child)), within_s=4.0)
        assert gateway.process.wait(10) == 0
        assert eventually(lambda: told(gateway, "gateway.stopping", reason="interrupted"))
        assert eventually(lambda: told(gateway, "gateway.stopped", clean=True))


@pytest.mark.fault(42)
def test_a_worker_that_is_aborted_leaves_nothing(tmp_path: pathlib.Path) -> None:
    with gateway_with(tmp_path) as gateway, hold() as held, threads() as callers:
        call = callers.submit(ask, gateway, hold=held.port)
        plugin, worker = held.arrived(), only(workers(gateway))
        # What the master does when the heartbeat is lost.
        os.kill(worker, signal.SIGABRT)
        eventually(lambda: not alive(plugin), within_s=2.0)
        assert told_or_closed(call)
        eventually(lambda: not alive(worker))
        eventually(lambda: workers(gateway) - {worker})
        assert ask(gateway).status == 200
        assert metric(gateway, WORKER_STARTS) == 2
        assert eventually(lambda: told(gateway, "gateway.stopping", reason="aborted"))


class Traffic:
    """Callers that never pause: some on kept connections, some on new ones."""

    def __init__(self, gateway: Gateway, kept: int = 2, fresh: int = 2) -> None:
        self._gateway = gateway
        self._stop = threading.Event()
        self.names: list[str] = []
        self.pids: set[int] = set()
        self.failures: list[str] = []
        self._threads = [
            threading.Thread(target=self._call_on, args=(n < kept,)) for n in range(kept + fresh)
        ]

    def _call_on(self, keeps: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._gateway.port, timeout=30)
        while not self._stop.is_set():
            headers = {} if keeps else {"Connection": "close"}
            try:
                connection.request("POST", "/alerts/query", QUERY, headers)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200:
                    self.failures.append(f"{answer.status} {body!r}")
                else:
                    record = json.loads(body)[0]
                    self.names.append(record["title"])
                    self.pids.add(int(record["id"]))
            except (OSError, http.client.HTTPException) as exc:
                self.failures.append(repr(exc))
                connection.close()
        connection.close()

    def answers(self, more: int) -> None:
        """Wait until so many more calls were answered."""
        enough = len(self.names) + more
        eventually(lambda: len(self.names) >= enough or self.failures, within_s=30)
        assert self.failures == []

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


def configure(folder: pathlib.Path, name: str, **more: str) -> None:
    lines = {"OPSORCH_ALERT_CONFIG": json.dumps({"name": name}), **more}
    (folder / ".env").write_text("".join(f"{key}={value}\n" for key, value in lines.items()))


@pytest.mark.fault(43)
def test_a_reload_fails_no_request_and_brings_the_new_settings(tmp_path: pathlib.Path) -> None:
    configure(tmp_path, "first")
    with gateway_with(tmp_path, env={"OPSORCH_WORKERS": "2"}) as gateway:
        first = workers(gateway)
        with Traffic(gateway) as traffic:
            traffic.answers(20)
            configure(tmp_path, "second")
            gateway.process.send_signal(signal.SIGHUP)
            eventually(lambda: not first & workers(gateway), within_s=30)
            seen = len(traffic.names)
            traffic.answers(20)
            assert set(traffic.names[seen + 8 :]) == {"second"}
            log = gateway.log()
            served = [found.start() for found in re.finditer('"gateway.ready"', log)]
            assert served[3] < log.index('"gateway.stopping"'), "new workers first"
            configure(tmp_path, "third", OPSORCH_THREADS="many")
            gateway.process.send_signal(signal.SIGHUP)
            refused = eventually(lambda: told(gateway, "settings.refused"))
            traffic.answers(20)
        assert traffic.failures == []
        assert set(traffic.names) == {"first", "second"}
        assert "OPSORCH_THREADS" in refused[0]["faults"]
        eventually(lambda: told(gateway, "process.exited", status="exit status 0"))
        eventually(lambda: {pid for pid in traffic.pids if alive(pid)} <= plugins(gateway))
        assert metric(gateway, "opsorch_plugin_starts_total") >= len(traffic.pids)
        # Those of the refused settings are new ones, too, with the old settings.
        eventually(lambda: metric(gateway, WORKER_STARTS) == 6)


@pytest.mark.fault(43)
def test_usr2_hands_over_to_a_new_master(tmp_path: pathlib.Path) -> None:
    with gateway_with(tmp_path) as gateway:
        old = workers(gateway)
        new_master = 0
        try:
            with Traffic(gateway) as traffic:
                traffic.answers(10)
                gateway.process.send_signal(signal.SIGUSR2)
                ready = eventually(lambda: told(gateway, "gateway.ready")[1:], within_s=30)
                new_master = parent(ready[0]["worker"])
                traffic.answers(10)
                gateway.process.send_signal(signal.SIGTERM)
                assert gateway.process.wait(30) == 0
                seen = len(traffic.pids)
                traffic.answers(10)
            assert traffic.failures == []
            assert seen
            assert not any(map(alive, old))
            assert gateway.request("GET", "/health").status == 200
            assert metric(gateway, WORKER_STARTS) == 1, "the new master counts anew"
            assert metric(gateway, "opsorch_plugin_starts_total") >= 1
        finally:
            left = children(new_master) if new_master else set()
            if new_master:
                os.kill(new_master, signal.SIGTERM)
            eventually(lambda: not any(map(alive, {new_master} | left)), within_s=20)
        assert refuses(gateway)


@pytest.mark.fault(44)
def test_recycled_workers_cost_no_request(tmp_path: pathlib.Path) -> None:
    env = {"OPSORCH_MAX_REQUESTS": "50", "OPSORCH_WORKERS": "2"}
    with gateway_with(tmp_path, env=env) as gateway:
        first = workers(gateway)
        with Traffic(gateway, kept=3, fresh=1) as traffic:
            eventually(lambda: not first & workers(gateway), within_s=40)
            traffic.answers(50)
        assert traffic.failures == []
        assert len(traffic.names) > 100
        assert len(traffic.pids) > 2
        eventually(lambda: {pid for pid in traffic.pids if alive(pid)} <= plugins(gateway))
        assert eventually(lambda: told(gateway, "gateway.stopped", clean=True))
        assert metric(gateway, WORKER_STARTS) >= 4
        assert metric(gateway, "opsorch_plugin_starts_total") >= len(traffic.pids)


@pytest.mark.fault(47)
@pytest.mark.parametrize("status", [3, 4])
def test_no_exit_status_of_a_plugin_reaches_the_master(tmp_path: pathlib.Path, status: int) -> None:
    with gateway_with(tmp_path) as gateway:
        worker = only(workers(gateway))
        assert parent(int(ask(gateway).json[0]["id"])) == worker
        answer = create(gateway, "kills its plugin", exit=status)
        assert answer.status == 502
        assert answer.json["code"] == "plugin_crashed"
        assert f"exit status {status}" in answer.json["message"]
        assert answer.json["outcome"] == "unknown"
        assert create(gateway, "works").status == 201
        assert workers(gateway) == {worker}
        assert gateway.process.poll() is None
        assert eventually(
            lambda: told(gateway, "process.died", status=f"exit status {status}", sent=True)
        )
        died = metric(gateway, "opsorch_plugin_restarts_total", capability="incident")
        assert died == 1
        assert metric(gateway, WORKER_STARTS) == 1


def test_nothing_of_a_stopped_gateway_is_left(tmp_path: pathlib.Path) -> None:
    with gateway_with(tmp_path, env={"OPSORCH_WORKERS": "2"}) as gateway:
        ask(gateway)
        folder = metrics_folder(gateway)
        assert any(folder.iterdir())
        everything: set[int] = workers(gateway) | plugins(gateway)
    assert not any(map(alive, everything))
    assert not folder.exists()
