"""Gunicorn, set up for the gateway: its hooks, and settings that a reload reads anew.

The master reads and checks the settings; workers take them over by fork, so that all have the same.
At SIGHUP it reads them again: what does not parse is refused, and the old settings stay.
"""

import contextlib
import ipaddress
import os
import resource
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gunicorn.app.base
import gunicorn.arbiter
import gunicorn.glogging

from opsorch import __version__
from opsorch.config import Settings, SettingsError
from opsorch.gateway.memory import keep_freed_memory, look_for_garbage_rarely
from opsorch.gateway.patience import PATIENCE
from opsorch.gateway.scratch import make_folder
from opsorch.gateway.worker import Worker
from opsorch.observability import logs
from opsorch.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from opsorch.observability.metrics import Metrics

KEEPALIVE_S: Final = 75
# At a reload, how long the old workers wait for the new ones, and how often is looked.
READY_S: Final = 30.0
_LOOK_S: Final = 0.02
FLUSH_S: Final = 1.0
_DESCRIPTORS: Final = 65_536
_METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
# Pages on memory: heartbeats and counters must not wait for a disk, or need a writable root.
_MEMORY: Final = Path("/dev/shm")  # noqa: S108

# How gunicorn's own line about it begins.
_NO_REQUEST: Final = "Invalid request from ip="


class Arbiter(gunicorn.arbiter.Arbiter):  # type: ignore[misc]
    """The master: can start itself anew however it was started, and refuses what comes too late."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        # At USR2: with -m and the interpreter's own options, which sys.argv has lost.
        self.START_CTX["args"] = [sys.executable, *sys.orig_argv[1:]]

    def manage_workers(self) -> None:
        """Start or end workers; at a reload the old ones go on until the new ones serve."""
        until = time.monotonic() + READY_S
        while len(self.WORKERS) > self.num_workers and not self._newest_serve():
            if time.monotonic() > until or not self.SIG_QUEUE.empty():
                break
            time.sleep(_LOOK_S)
            self.reap_workers()
        super().manage_workers()

    def _newest_serve(self) -> bool:
        """Tell whether the workers that shall stay have begun to serve."""
        by_age = sorted(self.WORKERS.values(), key=lambda worker: worker.age)
        # The first heartbeat is that of the main loop. Until then this is the time on the wall,
        # which is much later than any on the monotonic clock.
        newest = by_age[-self.num_workers :]
        return all(worker.tmp.last_update() <= time.monotonic() for worker in newest)

    def stop(self, graceful: bool = True) -> None:
        """Stop the workers.

        From now on the kernel refuses connections, so that clients turn elsewhere at once; only
        closed here, the workers' copies of the listener would let them wait, and then be reset.
        Another master that shares the listener (USR2, systemd) goes on with it.
        """
        if self.reexec_pid == self.master_pid == 0 and not self.systemd:
            for listener in self.LISTENERS:
                with contextlib.suppress(OSError):
                    listener.sock.shutdown(socket.SHUT_RDWR)
        super().stop(graceful)


class Logger(gunicorn.glogging.Logger):  # type: ignore[misc]
    """Gunicorn's log, joined to ours."""

    def setup(self, cfg: Any) -> None:
        """Hand every line to the root logger; requests are logged by the application."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers[:] = []
            log.propagate = True

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log a warning, but not what is no request: its line holds a header, token and all.

        request.refused tells of it.
        """
        if not msg.startswith(_NO_REQUEST):
            super().warning(msg, *args, **kwargs)

    def reopen_files(self) -> None:
        """Do nothing: stderr cannot be opened anew."""


class Server(gunicorn.app.base.BaseApplication):  # type: ignore[misc]
    """The gateway as a gunicorn application."""

    def __init__(self, source: Callable[[], Settings]) -> None:
        """Read the settings and prepare.

        Args:
            source: Reads the settings; called again at SIGHUP.

        Raises:
            SettingsError: They do not parse.
        """
        _open_standard_streams()
        self._source = source
        self.settings = source()
        self._sink = logs.Sink()
        self._metrics_folder = _metrics_folder()
        self._supervisor: Supervisor | None = None
        self._leaving = False
        self._metrics: Metrics | None = None
        self._configure_logs()
        super().__init__()

    def _configure_logs(self) -> None:
        logs.configure_logs(self.settings.log_level, self.settings.log_format, self._sink)

    def load_config(self) -> None:
        """Translate the settings into gunicorn's."""
        for name, value in _gunicorn_settings(self.settings).items():
            self.cfg.set(name, value)
        for hook in ("worker_int", "worker_abort", "worker_exit", "child_exit", "on_exit"):
            self.cfg.set(hook, getattr(self, f"_{hook}"))

    def reload(self) -> None:
        """Read the settings anew; keep the old ones where they cannot be used.

        Gunicorn closes the old listener before it binds a new address, and gives up where it
        cannot: an address that is taken must be refused before.
        """
        try:
            new = self._source()
            if new.address != self.settings.address:
                _try_to_bind(new.address)
            self.settings = new
        except SettingsError as fault:
            logs.emit("settings.refused", faults=str(fault))
            return
        self._configure_logs()
        self._warn()
        super().reload()

    def load(self) -> Any:
        """Make the application; called in each worker."""
        # Here and not above: the metrics look for their folder when they are imported.
        from opsorch.gateway.app import create_app
        from opsorch.gateway.state import gateway

        app = create_app(self.settings, self._sink)
        with app.app_context():
            here = gateway()
        configured = [name for name, slot in here.registry.slots.items() if slot.configured]
        self._metrics = here.metrics
        self.emit("gateway.ready", worker=os.getpid(), capabilities=configured)
        # From here on a signal's handler has something to end.
        self._supervisor = here.supervisor
        look_for_garbage_rarely()
        keep_freed_memory()
        return app

    def emit(self, event: str, /, **facts: object) -> None:
        """Log an event of the server; in a worker, count it too."""
        if self._metrics is not None:
            self._metrics.note(event, facts)
        logs.emit(event, **facts)

    def start(self) -> None:
        """Serve until a signal ends it."""
        settings = self.settings
        host, port = settings.address
        logs.emit(
            "gateway.starting",
            address=f"{host}:{port}",
            workers=settings.workers,
            version=__version__,
        )
        self._warn()
        _raise_descriptor_limit()
        try:
            Arbiter(self).run()
        finally:
            self._sink.flush(FLUSH_S)

    def _warn(self) -> None:
        """Tell what of the settings is probably not meant so."""
        settings = self.settings
        host, port = settings.address
        if settings.unknown:
            logs.emit("settings.unknown", names=list(settings.unknown))
        if settings.secret_settings:
            logs.emit("settings.unsupported", names="OPSORCH_SECRET_*")
        if settings.bearer_token is None and not _is_loopback(host):
            logs.emit("gateway.open", address=f"{host}:{port}")

    # --- hooks --------------------------------------------------------------------------------

    def _worker_int(self, worker: Any) -> None:
        """SIGINT, SIGQUIT: plugins are killed at once."""
        self._end(worker, "interrupted", polite=False)

    def _worker_abort(self, worker: Any) -> None:
        """SIGABRT: the main loop hung; plugins are killed at once."""
        self._end(worker, "aborted", polite=False)

    def _worker_exit(self, arbiter: Any, worker: Any) -> None:
        """The worker is at its end: plugins leave politely.

        In a thread of its own: a signal that comes meanwhile is handled on the main thread, which
        must not hold the lock of a pool then.
        """
        leaving = threading.Thread(
            target=self._end, args=(worker, "finished"), kwargs={"polite": True}, daemon=True
        )
        try:
            leaving.start()
        except RuntimeError:
            # The system has no thread to spare.
            self._end(worker, "finished", polite=True)
        else:
            leaving.join()
        self._sink.flush(FLUSH_S)

    def _end(self, worker: Any, reason: str, *, polite: bool) -> None:
        """End the plugins: politely once; at once, also while they leave politely."""
        supervisor = self._supervisor
        if supervisor is None or (polite and self._leaving):
            return
        self._leaving = True
        if not polite:
            self._supervisor = None
        logs.emit("gateway.stopping", worker=worker.pid, reason=reason)
        clean = supervisor.drain() if polite else supervisor.kill()
        PATIENCE.give_up()
        logs.emit("gateway.stopped", worker=worker.pid, clean=clean)

    def _child_exit(self, arbiter: Any, worker: Any) -> None:
        """In the master: a worker is gone, its gauges with it; its counts stay."""
        from opsorch.observability.metric_files import forget_worker

        try:
            forget_worker(worker.pid)
        except Exception as exc:  # noqa: BLE001  Counts are not worth the master's life.
            logs.emit("metrics.unreadable", worker=worker.pid, error=type(exc).__name__)

    def _on_exit(self, arbiter: Any) -> None:
        """In the master: the end."""
        shutil.rmtree(self._metrics_folder, ignore_errors=True)


def _gunicorn_settings(settings: Settings) -> dict[str, Any]:
    host, port = settings.address
    chosen: dict[str, Any] = {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "worker_class": Worker,
        "workers": settings.workers,
        "threads": settings.threads,
        "worker_connections": max(1000, settings.threads * 4),
        "max_requests": settings.max_requests,
        "max_requests_jitter": settings.max_requests // 10,
        # The worker's heartbeat; it bounds no request.
        "timeout": 60,
        "graceful_timeout": round(settings.graceful_timeout_s),
        "keepalive": KEEPALIVE_S,
        "loglevel": settings.log_level,
        "logger_class": Logger,
        "control_socket_disable": True,
        "proc_name": "opsorch",
        # Headers of a proxy steer nothing here; trusted, SCRIPT_NAME could break a request.
        "forwarded_allow_ips": "",
    }
    if os.access(_MEMORY, os.W_OK):
        chosen["worker_tmp_dir"] = str(_MEMORY)
    if settings.tls_cert_file:
        chosen |= {"certfile": settings.tls_cert_file, "keyfile": settings.tls_key_file}
    return chosen


def _try_to_bind(address: tuple[str, int]) -> None:
    """Look whether an address can be listened on.

    Raises:
        SettingsError: It cannot.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as exc:
        raise SettingsError(f"OPSORCH_ADDR cannot be listened on ({exc.strerror})") from exc


def _metrics_folder() -> str:
    """Make the folder of the metrics: a new one at each start, so that nothing old is counted."""
    parent = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    folder = make_folder("opsorch-metrics-", parent)
    os.environ[_METRICS_FOLDER] = folder
    return folder


def _open_standard_streams() -> None:
    """Open what of the descriptors 0 to 2 is closed: the log must not land in another file."""
    descriptor = -1
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    # Python has none where it found them closed.
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _raise_descriptor_limit() -> None:
    """Use what the system grants: connections and pipes add up to more than the usual 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(_DESCRIPTORS, hard) if hard != resource.RLIM_INFINITY else _DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
