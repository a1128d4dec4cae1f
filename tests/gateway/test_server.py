"""Gunicorn as the gateway sets it up: the worker's loop, the refusals, the hooks, the settings."""

import itertools
import logging
import os
import pathlib
import queue
import resource
import shutil
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gunicorn.arbiter
import gunicorn.config
import gunicorn.util
import gunicorn.workers.gthread
import pytest
import structlog

# Before the server names the folder of the metrics: this process keeps its own in memory.
import opsorch.observability.metrics  # noqa: F401
from opsorch.config import Settings, SettingsError
from opsorch.gateway import server
from opsorch.gateway.patience import Patience
from opsorch.gateway.server import Arbiter, Logger, Server, Worker
from tests.plugin.loopback import CERTIFICATE

# Above every pid that the kernel gives.
NOBODY = 2**22 + 1
Told = list[tuple[str, dict[str, Any]]]


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging, the metrics folder and the list of watched sockets are as before afterwards."""
    monkeypatch.setattr(server, "PATIENCE", Patience())
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    root, gunicorns = logging.getLogger(), logging.getLogger("gunicorn.error")
    kept = list(root.handlers), root.level, list(gunicorns.handlers), gunicorns.level
    yield
    root.handlers[:], root.level, gunicorns.handlers[:], gunicorns.level = kept
    logging.captureWarnings(False)
    structlog.reset_defaults()
    folder = os.environ.pop("PROMETHEUS_MULTIPROC_DIR", "")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    events: Told = []
    monkeypatch.setattr(server.logs, "emit", lambda event, **facts: events.append((event, facts)))
    return events


def settings_of(**variables: str) -> Settings:
    return Settings.from_env(variables)


def names(told: Told) -> list[str]:
    return [event for event, _ in told]


# --- the master -------------------------------------------------------------------------------


class Master(Arbiter):
    """A master that has been set up and runs nothing."""

    def __init__(self, listener: Any) -> None:
        self.START_CTX = {}
        self.LISTENERS = [SimpleNamespace(sock=listener)]
        self.reexec_pid = self.master_pid = 0
        self.systemd = False


@pytest.mark.fault(41)
@pytest.mark.parametrize("shared", ["", "reexec_pid", "master_pid", "systemd"])
def test_a_master_that_stops_refuses_connections_unless_another_goes_on(
    monkeypatch: pytest.MonkeyPatch, shared: str
) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr(gunicorn.arbiter.Arbiter, "stop", lambda self, how: stopped.append(how))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        master = Master(listening)
        if shared:
            setattr(master, shared, 4711)
        master.stop(False)
        if shared:
            socket.create_connection(listening.getsockname()).close()
        else:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(listening.getsockname())
            # A second signal finds it shut.
            master.stop()
    assert stopped == ([False] if shared else [False, True])


class Beating:
    """A worker as the master sees it."""

    def __init__(self, age: int, *, serves: bool) -> None:
        self.age = age
        beat = time.monotonic() if serves else time.time()
        self.tmp = SimpleNamespace(last_update=lambda: beat, close=lambda: None)


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    ("ends", "waits"),
    [("they serve", 2), ("one dies", 2), ("a signal", 0), ("time", 0)],
)
def test_old_workers_go_on_until_new_ones_serve(
    monkeypatch: pytest.MonkeyPatch, ends: str, waits: int
) -> None:
    master = Master(None)
    master._num_workers, master.WORKERS = 2, {}
    master.cfg = SimpleNamespace(enable_backlog_metric=False)
    master._last_logged_active_worker_count, master.log = 2, logging.getLogger("nobody's")
    master.SIG_QUEUE = queue.SimpleQueue()
    for age, serves in ((1, True), (2, True), (3, True), (4, False)):
        master.WORKERS[age] = Beating(age, serves=serves)
    killed: list[int] = []
    looks = itertools.count(1)

    def reap() -> None:
        if next(looks) < waits:
            return
        if ends == "they serve":
            master.WORKERS[4] = Beating(4, serves=True)
        elif ends == "one dies":
            del master.WORKERS[4]

    if ends == "a signal":
        master.SIG_QUEUE.put(signal.SIGTERM)
    elif ends == "time":
        monkeypatch.setattr(server, "READY_S", 0.0)
    monkeypatch.setattr(master, "reap_workers", reap)
    monkeypatch.setattr(master, "kill_worker", lambda pid, sig: killed.append(pid))
    master.manage_workers()
    assert killed == ([1] if ends == "one dies" else [1, 2])
    assert next(looks) - 1 >= waits


@pytest.mark.fault(43)
def test_a_master_starts_itself_anew_as_it_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        gunicorn.arbiter.Arbiter, "__init__", lambda self, app: setattr(self, "START_CTX", {})
    )
    monkeypatch.setattr(sys, "orig_argv", ["python", "-P", "-m", "opsorch.cli", "serve"])
    started = Arbiter(None).START_CTX["args"]
    assert started == [sys.executable, "-P", "-m", "opsorch.cli", "serve"]


def test_gunicorns_lines_go_to_the_root_logger() -> None:
    config = gunicorn.config.Config()
    config.set("loglevel", "warning")
    log = Logger(config)
    assert log.error_log.handlers == log.access_log.handlers == []
    assert log.error_log.propagate
    log.reopen_files()


def test_gunicorn_quotes_no_request(caplog: pytest.LogCaptureFixture) -> None:
    log = Logger(gunicorn.config.Config())
    with caplog.at_level("WARNING"):
        log.warning("Invalid request from ip=127.0.0.1: Invalid HTTP Header: 'token abc'")
        log.warning("Worker (pid:%s) was sent %s!", 7, "SIGKILL")
    assert caplog.messages == ["Worker (pid:7) was sent SIGKILL!"]


# --- the application --------------------------------------------------------------------------


def test_the_settings_become_gunicorns(tmp_path: pathlib.Path) -> None:
    made = Server(
        lambda: settings_of(
            OPSORCH_ADDR="127.0.0.1:8081",
            OPSORCH_WORKERS="3",
            OPSORCH_THREADS="9",
            OPSORCH_MAX_REQUESTS="1000",
            OPSORCH_PLUGIN_TIMEOUT="40",
            OPSORCH_LOG_LEVEL="warning",
        )
    )
    cfg = made.cfg
    assert cfg.bind == ["127.0.0.1:8081"]
    assert (cfg.workers, cfg.threads, cfg.worker_class) == (3, 9, Worker)
    assert (cfg.max_requests, cfg.max_requests_jitter) == (1000, 100)
    assert (cfg.graceful_timeout, cfg.keepalive, cfg.loglevel) == (55, 75, "warning")
    assert cfg.control_socket_disable is True
    assert cfg.preload_app is False
    assert cfg.worker_exit == made._worker_exit
    assert (cfg.certfile, cfg.keyfile) == (None, None)


def test_an_address_of_ipv6_and_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_MEMORY", pathlib.Path("/nonexistent"))
    chosen = server._gunicorn_settings(
        settings_of(
            OPSORCH_ADDR="[::1]:8080",
            OPSORCH_TLS_CERT_FILE=str(CERTIFICATE),
            OPSORCH_TLS_KEY_FILE=str(CERTIFICATE),
        )
    )
    assert chosen["bind"] == "[::1]:8080"
    assert chosen["certfile"] == chosen["keyfile"] == str(CERTIFICATE)
    assert "worker_tmp_dir" not in chosen
    assert pathlib.Path(server._metrics_folder()).parent != server._MEMORY


def test_settings_that_do_not_parse_stop_the_start() -> None:
    with pytest.raises(SettingsError, match="OPSORCH_WORKERS"):
        Server(lambda: settings_of(OPSORCH_WORKERS="none"))


@pytest.mark.fault(43)
def test_a_reload_takes_new_settings_and_refuses_bad_ones(told: Told) -> None:
    variables = {"OPSORCH_ADDR": "127.0.0.1:0", "OPSORCH_THREADS": "4"}
    made = Server(lambda: settings_of(**variables))
    variables["OPSORCH_THREADS"] = "5"
    made.reload()
    assert (made.settings.threads, made.cfg.threads) == (5, 5)
    variables["OPSORCH_THREADS"] = "many"
    made.reload()
    assert (made.settings.threads, made.cfg.threads) == (5, 5)
    [(event, facts)] = told
    assert event == "settings.refused"
    assert "OPSORCH_THREADS" in facts["faults"]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_reload_refuses_an_address_that_is_taken(told: Told, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host.strip("[]"), 0), family=family) as taken:
        variables = {"OPSORCH_ADDR": "127.0.0.1:0"}
        made = Server(lambda: settings_of(**variables))
        variables["OPSORCH_ADDR"] = f"{host}:{taken.getsockname()[1]}"
        made.reload()
    assert made.settings.address == ("127.0.0.1", 0)
    [(event, facts)] = told
    assert event == "settings.refused"
    assert "OPSORCH_ADDR cannot be listened on" in facts["faults"]
    made.reload()
    assert made.settings.address[1] != 0


@pytest.mark.parametrize(
    ("variables", "events"),
    [
        ({"OPSORCH_ADDR": "127.0.0.1:0"}, ["gateway.starting"]),
        ({"OPSORCH_ADDR": "localhost:0"}, ["gateway.starting"]),
        ({"OPSORCH_ADDR": "example.org:0"}, ["gateway.starting", "gateway.open"]),
        ({"OPSORCH_ADDR": ":0"}, ["gateway.starting", "gateway.open"]),
        ({"OPSORCH_ADDR": ":0", "OPSORCH_BEARER_TOKEN": "t"}, ["gateway.starting"]),
        (
            {"OPSORCH_ADDR": "127.0.0.1:0", "OPSORCH_WORKRES": "3"},
            ["gateway.starting", "settings.unknown"],
        ),
        (
            {"OPSORCH_ADDR": "127.0.0.1:0", "OPSORCH_SECRET_PLUGIN": "x"},
            ["gateway.starting", "settings.unsupported"],
        ),
    ],
)
def test_what_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch, told: Told, variables: dict[str, str], events: list[str]
) -> None:
    ran: list[Server] = []

    def run(app: Server) -> Any:
        return SimpleNamespace(run=lambda: ran.append(app))

    monkeypatch.setattr(server, "Arbiter", run)
    made = Server(lambda: settings_of(**variables))
    made.start()
    assert ran == [made]
    assert names(told) == events
    told.clear()
    made.reload()
    assert names(told) == events[1:], "what may not be meant so is told at a reload, too"


def test_the_hooks_end_the_plugins_once(told: Told) -> None:
    made = Server(lambda: settings_of(OPSORCH_ALERT_PROVIDER="demo"))
    worker = SimpleNamespace(pid=4711)
    made._worker_exit(None, worker)
    assert told == [], "nothing was loaded, so there is nothing to end"
    application_made = made.load()
    assert made._metrics is not None
    assert made._metrics._made["workers"]._value.get() == 1
    assert application_made.test_client().get("/health").status_code == 200
    made._worker_int(worker)
    made._worker_exit(None, worker)
    stopping = [facts for event, facts in told if event == "gateway.stopping"]
    assert stopping == [{"worker": 4711, "reason": "interrupted"}]
    assert ("gateway.stopped", {"worker": 4711, "clean": True}) in told
    ready = next(facts for event, facts in told if event == "gateway.ready")
    assert ready == {"worker": os.getpid(), "capabilities": ["alert"]}


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("hook", "reason", "way"),
    [
        ("_worker_int", "interrupted", "kill"),
        ("_worker_abort", "aborted", "kill"),
        ("_worker_exit", "finished", "drain"),
    ],
)
def test_each_end_has_its_way(told: Told, hook: str, reason: str, way: str) -> None:
    ended: list[str] = []
    made = Server(settings_of)
    supervisor: Any = SimpleNamespace(
        kill=lambda: ended.append("kill") or False, drain=lambda: ended.append("drain") or True
    )
    made._supervisor = supervisor
    arguments = (
        [SimpleNamespace(pid=1)] if hook != "_worker_exit" else [None, SimpleNamespace(pid=1)]
    )
    getattr(made, hook)(*arguments)
    assert ended == [way]
    assert told[0] == ("gateway.stopping", {"worker": 1, "reason": reason})
    assert told[-1] == ("gateway.stopped", {"worker": 1, "clean": way == "drain"})
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server.PATIENCE.watch(ours, lambda: ours, 60)
        ours.settimeout(20)
        assert ours.recv(1) == b"", "nobody is read from any more"


def test_the_master_forgets_the_gauges_of_a_dead_worker_and_the_folder_at_the_end(
    told: Told,
) -> None:
    made = Server(settings_of)
    folder = pathlib.Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    for name in (f"gauge_livesum_{NOBODY}.db", f"counter_{NOBODY}.db", "gauge_livesum_12.db"):
        (folder / name).write_bytes(b"")
    made._child_exit(None, SimpleNamespace(pid=NOBODY))
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["counter_gone.db", "gauge_livesum_12.db", "lock", "page.lock"]
    assert told == []
    # A file that is damaged costs its counts, and no more.
    (folder / f"counter_{NOBODY}.db").write_bytes(struct.pack("i", 10_000) + b"\0" * 60)
    made._child_exit(None, SimpleNamespace(pid=NOBODY))
    assert sorted(path.name for path in folder.iterdir()) == left
    (folder / "page.lock").unlink()
    (folder / "page.lock").mkdir()
    made._child_exit(None, SimpleNamespace(pid=NOBODY))
    assert names(told) == ["metrics.unreadable"]
    made._on_exit(None)
    assert not folder.exists()


@pytest.mark.fault(50)
@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ((1024, 4096), (4096, 4096)),
        ((1024, 1_000_000), (65_536, 1_000_000)),
        ((1024, resource.RLIM_INFINITY), (65_536, resource.RLIM_INFINITY)),
        ((100_000, 1_000_000), None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None),
    ],
)
def test_the_limit_of_descriptors_is_raised(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], wanted: tuple[int, int] | None
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda which, limit: asked.append(limit))
    server._raise_descriptor_limit()
    assert asked == ([wanted] if wanted else [])


@pytest.mark.fault(59)
def test_standard_streams_that_are_closed_lead_nowhere() -> None:
    read, write = os.pipe()
    forked = os.fork()
    if forked == 0:
        # A copy of this process: every way out of it must be os._exit.
        try:
            for descriptor in (0, 1, 2):
                os.close(descriptor)
            sys.stdout = sys.stderr = None  # type: ignore[assignment]
            server._open_standard_streams()
            where = {os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)}
            print("into nothing", file=sys.stderr, flush=True)
            os.write(write, f"{where} {sys.stdout.fileno()}".encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(forked, 0)
    with open(read) as answer:
        assert answer.read() == "{'/dev/null'} 1"
    before = sys.stdout, sys.stderr
    server._open_standard_streams()
    assert (sys.stdout, sys.stderr) == before


def test_an_end_without_a_thread_to_spare_is_polite_all_the_same(
    monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    made = Server(settings_of)
    made._supervisor = SimpleNamespace(drain=lambda: True)

    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        made._worker_exit(None, SimpleNamespace(pid=1))
    assert names(told) == ["gateway.stopping", "gateway.stopped"]
    made._worker_exit(None, SimpleNamespace(pid=1))
    assert len(told) == 2
