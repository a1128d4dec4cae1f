"""What the fault tests with a real gateway share: calls held open, processes, log events."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.support import eventually, install
from tests.harness import Answer, Gateway, clean_environ, free_port
from tests.processes import alive, all_pids, children, descriptors, environ

QUICK = {"OPSORCH_PLUGIN_TIMEOUT": "20"}
# For the gateways that want a token; the others do not look at it.
TOKEN = "right"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
REQUESTS = "opsorch_request_duration_seconds_count"

G = TypeVar("G", bound=Gateway)


@contextlib.contextmanager
def running(gateway: G) -> Iterator[G]:
    """Run a gateway until the block ends; then nothing of it may be left.

    A variable that it does not know would leave the test without what it is about.
    """
    try:
        gateway.wait_until_up()
        yield gateway
    finally:
        gateway.stop()
    eventually(lambda: not left_of(gateway))
    assert not told(gateway, "settings.unknown")


def left_of(gateway: Gateway) -> list[int]:
    """The pids of what runs of a gateway: itself, workers, plugins and all their descendants."""
    mark = f"OPSORCH_DATA_DIR={data_folder(gateway.folder)}"
    return [pid for pid in all_pids() if mark in environ(pid)]


def data_folder(folder: pathlib.Path) -> pathlib.Path:
    """Where a gateway of the tests keeps its data; by it all its processes can be told."""
    return folder / "data"


@contextlib.contextmanager
def gateway_with(
    folder: pathlib.Path, plugin: str = "obeys", env: Mapping[str, str] | None = None
) -> Iterator[Gateway]:
    """Run a gateway whose alerts and incidents come from a script of tests/faults/plugins."""
    path = plugin if "/" in plugin else install(folder, plugin)
    names = {"OPSORCH_ALERT_PLUGIN": path, "OPSORCH_INCIDENT_PLUGIN": path}
    with running(Gateway({**QUICK, **names, **(env or {})}, folder)) as gateway:
        yield gateway


class OtherGateway(Gateway):
    """A gateway that is started in another way: behind a command, or with another stderr."""

    def __init__(
        self,
        env: Mapping[str, str],
        folder: pathlib.Path,
        *,
        behind: Sequence[str] = (),
        program: Sequence[str] = ("-m", "opsorch.cli"),
        stderr: int | None = None,
    ) -> None:
        self.port = free_port()
        self.folder = folder
        self.log_path = folder / "gateway.log"
        self._log = self.log_path.open("wb")
        own = {
            "OPSORCH_ADDR": f"127.0.0.1:{self.port}",
            "OPSORCH_WORKERS": "1",
            "OPSORCH_DATA_DIR": str(data_folder(folder)),
        }
        self.process = subprocess.Popen(
            [*behind, sys.executable, *program, "serve"],
            cwd=folder,
            env={**clean_environ(), **own, **env},
            stdout=self._log,
            stderr=self._log if stderr is None else stderr,
            start_new_session=True,
        )


@contextlib.contextmanager
def other_gateway(
    env: Mapping[str, str], folder: pathlib.Path, **start: Any
) -> Iterator[OtherGateway]:
    """Run a gateway that is started in another way until the block ends."""
    with running(OtherGateway(env, folder, **start)) as gateway:
        yield gateway


def ask(gateway: Gateway, timeout_s: float = 60, **orders: Any) -> Answer:
    """Query alerts; the plugin gets the orders as metadata."""
    return gateway.request("POST", "/alerts/query", {"metadata": orders}, timeout_s=timeout_s)


def create(gateway: Gateway, title: str, **orders: Any) -> Answer:
    """Create an incident; the plugin gets the orders as metadata."""
    return gateway.request("POST", "/incidents", {"title": title, "metadata": orders})


class Hold:
    """A place where plugins report and wait; ``port`` is what the order ``hold`` takes."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(30)
        self.port = self._listening.getsockname()[1]
        self._held: list[socket.socket] = []

    def arrived(self) -> int:
        """Wait for a plugin that took its request; returns its pid."""
        line, _ = self._listening.accept()
        self._held.append(line)
        line.settimeout(30)
        with line.makefile() as file:
            return int(file.readline())

    def release(self) -> None:
        """Let all that arrived go on."""
        for line in self._held:
            line.close()
        self._held.clear()

    def close(self) -> None:
        self.release()
        self._listening.close()


@contextlib.contextmanager
def hold() -> Iterator[Hold]:
    """Hold plugins for the length of the block."""
    place = Hold()
    try:
        yield place
    finally:
        place.close()


@contextlib.contextmanager
def threads(count: int = 16) -> Iterator[ThreadPoolExecutor]:
    """Callers that work beside the test."""
    with ThreadPoolExecutor(count) as pool:
        yield pool


def workers(gateway: Gateway) -> set[int]:
    """The pids of the gateway's workers."""
    return {pid for pid in children(gateway.process.pid) if alive(pid)}


def ready_workers(gateway: Gateway) -> set[int]:
    """The pids of the workers that take requests."""
    return workers(gateway) & {row["worker"] for row in told(gateway, "gateway.ready")}


def plugins(gateway: Gateway) -> set[int]:
    """The pids of the plugins of all workers."""
    return {pid for worker in workers(gateway) for pid in children(worker) if alive(pid)}


def open_sockets(pid: int) -> int:
    """Count the sockets that a process has open: what listens, and connections."""
    return sum(target.startswith("socket:") for target in descriptors(pid))


def told(gateway: Gateway, event: str, **facts: Any) -> list[dict[str, Any]]:
    """The log lines of an event with these facts."""
    found = []
    for line in gateway.log().splitlines():
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and row.get("event") == event and facts.items() <= row.items():
                found.append(row)
    return found


def metric(gateway: Gateway, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels, of all workers."""
    page = gateway.request("GET", "/metrics", headers=AUTHORIZED).body.decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def answered(gateway: Gateway, request_id: str, status: int, code: str = "") -> bool:
    """Wait for the one line of a request; it must be counted, too."""
    (line,) = eventually(lambda: told(gateway, "request.completed", request_id=request_id))
    counted = metric(gateway, REQUESTS, operation=line["operation"], status=str(status)) > 0
    return (line["status"], line["code"], counted) == (status, code, True)


def written(path: pathlib.Path) -> str:
    """Wait for a file that a plugin writes; returns its text."""
    return eventually(lambda: path.read_text() if path.exists() else "")


def unshared(*namespaces: str) -> list[str]:
    """Return the start of a command that runs in namespaces of its own; skips where none may."""
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *user, *namespaces]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"this machine does not allow {' '.join(command)}")
    return command


def metrics_folder(gateway: Gateway) -> pathlib.Path:
    """Find the folder of the metrics, which the workers have mapped."""

    def mapped() -> list[str]:
        return [
            line.split()[-1]
            for pid in workers(gateway)
            for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
            if "/opsorch-metrics-" in line
        ]

    return pathlib.Path(eventually(mapped)[0]).parent
