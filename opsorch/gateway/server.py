"""Gunicorn, set up for the gateway: worker class, hooks, and settings that a reload reads anew.

The master reads and checks the settings; workers take them over by fork, so that all have the same.
At SIGHUP it reads them again: what does not parse is refused, and the old settings stay.
"""

import contextlib
import ipaddress
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gunicorn.app.base
import gunicorn.arbiter
import gunicorn.glogging
import gunicorn.workers.gthread
import msgspec

from opsorch import __version__
from opsorch.config import Settings, SettingsError
from opsorch.gateway.patience import PATIENCE
from opsorch.observability import logs
from opsorch.supervisor.supervisor import Supervisor

HEADER_S: Final = 10.0
KEEPALIVE_S: Final = 75
FLUSH_S: Final = 1.0
_METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
# Pages on memory: heartbeats and counters must not wait for a disk, or need a writable root.
_MEMORY: Final = Path("/dev/shm")  # noqa: S108

_CODES: Final = {
    400: "bad_request",
    403: "forbidden",
    414: "bad_request",
    417: "bad_request",
    431: "bad_request",
    501: "bad_request",
}


class Worker(gunicorn.workers.gthread.ThreadWorker):  # type: ignore[misc]
    """A gthread worker that bounds the reading of headers and refuses in JSON."""

    def handle(self, conn: Any) -> Any:
        """Serve a connection; its header must be there in time."""
        PATIENCE.watch(conn, lambda: conn.sock, HEADER_S)
        try:
            return super().handle(conn)
        finally:
            PATIENCE.forget(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve a request, whose header is read."""
        PATIENCE.forget(conn)
        return super().handle_request(req, conn)

    def notify(self) -> None:
        """Tell the master that the main loop lives; about once a second."""
        super().notify()
        PATIENCE.expire()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what is no request with the same JSON body as every other failure."""
        super().handle_error(req, _JsonRefusal(client), addr, exc)


class _JsonRefusal:
    """A socket that turns gunicorn's page of HTML into the contract's JSON."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def sendall(self, page: bytes) -> None:
        status_line = page.split(b"\r\n", 1)[0].decode("latin-1")
        status = int(status_line.split(" ")[1])
        code = _CODES.get(status, "internal_error")
        reason = status_line.split(" ", 2)[2]
        body = msgspec.json.encode(
            {"code": code, "message": f"The request was refused before it was read: {reason}."}
        )
        head = (
            f"{status_line}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Access-Control-Allow-Origin: *\r\nContent-Length: {len(body) + 1}\r\n\r\n"
        )
        self._sock.sendall(head.encode("latin-1") + body + b"\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class Logger(gunicorn.glogging.Logger):  # type: ignore[misc]
    """Gunicorn's log, joined to ours."""

    def setup(self, cfg: Any) -> None:
        """Hand every line to the root logger; requests are logged by the application."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers[:] = []
            log.propagate = True

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
        self._source = source
        self.settings = source()
        self._sink = logs.Sink()
        self._metrics_folder = _metrics_folder()
        self._supervisor: Supervisor | None = None
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
        """Read the settings anew; keep the old ones where they do not parse."""
        try:
            self.settings = self._source()
        except SettingsError as fault:
            logs.emit("settings.refused", faults=str(fault))
            return
        self._configure_logs()
        super().reload()

    def load(self) -> Any:
        """Make the application; called in each worker."""
        # Here and not above: the metrics look for their folder when they are imported.
        from opsorch.gateway.app import create_app
        from opsorch.gateway.state import gateway

        app = create_app(self.settings, self._sink)
        with app.app_context():
            here = gateway()
        self._supervisor = here.supervisor
        configured = [name for name, slot in here.registry.slots.items() if slot.configured]
        logs.emit("gateway.ready", worker=os.getpid(), capabilities=configured)
        return app

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
        if settings.unknown:
            logs.emit("settings.unknown", names=list(settings.unknown))
        if settings.bearer_token is None and not _is_loopback(host):
            logs.emit("gateway.open", address=f"{host}:{port}")
        try:
            self.run()
        finally:
            self._sink.flush(FLUSH_S)

    # --- hooks --------------------------------------------------------------------------------

    def _worker_int(self, worker: Any) -> None:
        """SIGINT, SIGQUIT: plugins are killed at once."""
        self._end(worker, "interrupted", polite=False)

    def _worker_abort(self, worker: Any) -> None:
        """SIGABRT: the main loop hung; plugins are killed at once."""
        self._end(worker, "aborted", polite=False)

    def _worker_exit(self, arbiter: Any, worker: Any) -> None:
        """The worker is at its end: plugins leave politely."""
        self._end(worker, "finished", polite=True)
        self._sink.flush(FLUSH_S)

    def _end(self, worker: Any, reason: str, *, polite: bool) -> None:
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        logs.emit("gateway.stopping", worker=worker.pid, reason=reason)
        clean = supervisor.drain() if polite else supervisor.kill()
        logs.emit("gateway.stopped", worker=worker.pid, clean=clean)

    def _child_exit(self, arbiter: Any, worker: Any) -> None:
        """In the master: a worker is gone, its gauges with it."""
        from opsorch.observability.metrics import worker_gone

        with contextlib.suppress(OSError):
            worker_gone(worker.pid)

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
    }
    if os.access(_MEMORY, os.W_OK):
        chosen["worker_tmp_dir"] = str(_MEMORY)
    if settings.tls_cert_file:
        chosen |= {"certfile": settings.tls_cert_file, "keyfile": settings.tls_key_file}
    return chosen


def _metrics_folder() -> str:
    """Make the folder of the metrics: a new one at each start, so that nothing old is counted."""
    parent = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="opsorch-metrics-", dir=parent)
    os.environ[_METRICS_FOLDER] = folder
    return folder


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
