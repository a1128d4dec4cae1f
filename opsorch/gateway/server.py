"""Gunicorn, set up for the gateway: worker class, hooks, and settings that a reload reads anew.

The master reads and checks the settings; workers take them over by fork, so that all have the same.
At SIGHUP it reads them again: what does not parse is refused, and the old settings stay.
"""

import contextlib
import ctypes
import errno
import gc
import ipaddress
import math
import os
import resource
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gunicorn.app.base
import gunicorn.arbiter
import gunicorn.glogging
import gunicorn.workers.gthread
import msgspec

from opsorch import __version__
from opsorch.config import Settings, SettingsError
from opsorch.gateway.partings import Partings
from opsorch.gateway.patience import PATIENCE
from opsorch.gateway.scratch import make_folder
from opsorch.observability import logs
from opsorch.supervisor.supervisor import DRAIN_S, Supervisor

if TYPE_CHECKING:
    from opsorch.observability.metrics import Metrics

HEADER_S: Final = 10.0
KEEPALIVE_S: Final = 75
FLUSH_S: Final = 1.0
# Objects made until garbage is looked for.
GARBAGE_THRESHOLD: Final = 10_000
# Switches of glibc's allocator (mallopt(3)): variable, number in malloc.h, value.
_ALLOCATOR: Final = (
    # Threads allocate in turns anyway; what is kept is kept once.
    ("MALLOC_ARENA_MAX", -8, 1),
    # Blocks of fewer bytes come from memory that was used before.
    ("MALLOC_MMAP_THRESHOLD_", -3, 8 * 2**20),
    # So many free bytes stay with the process.
    ("MALLOC_TRIM_THRESHOLD_", -1, 32 * 2**20),
)
_DESCRIPTORS: Final = 65_536
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ACCEPT_PAUSE_S: Final = 0.1
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
    """A gthread worker that no client can hold up, and that refuses in JSON."""

    def init_process(self) -> None:
        """Prepare in the new process, and serve.

        The master kills a worker when the graceful timeout is over: the drain of the plugins must
        fit in before.
        """
        limit_s = max(1, self.cfg.graceful_timeout - math.ceil(DRAIN_S) - 1)
        self.cfg.set("graceful_timeout", limit_s)
        super().init_process()

    def run(self) -> None:
        """Serve until the end."""
        self._partings = Partings(self.poller, self._closed)
        super().run()

    def accept(self, listener: Any) -> None:
        """Accept a connection; without a descriptor to spare it waits in the kernel."""
        try:
            super().accept(listener)
        except OSError as exc:
            if exc.errno in _EXHAUSTED:
                self.app.emit("gateway.exhausted", worker=self.pid, reason=exc.strerror)
            elif exc.errno != errno.EINVAL:
                # EINVAL: the master has shut the listener down, and its SIGTERM is on the way.
                raise
            # The listener stays readable: without a pause the loop would spin.
            time.sleep(_ACCEPT_PAUSE_S)

    def enqueue_req(self, conn: Any) -> None:
        """Have a connection served; its header must be there in time.

        The time begins here, not when a thread is free: connections that stall cannot queue for
        the threads one after the other. What arrived before it is over is read all the same.
        """
        PATIENCE.watch(conn, lambda: conn.sock, HEADER_S)
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Serve a connection, in a thread."""
        try:
            return super().handle(conn)
        finally:
            self._forget(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve a request, whose header is read."""
        if not self._forget(conn):
            # It waited for a thread for so long that nothing more is read from the connection.
            req.force_close()
        return super().handle_request(req, conn)

    def _forget(self, conn: Any) -> bool:
        """Watch a connection no more; tells of one whose time was over."""
        late = PATIENCE.is_late(conn)
        watched = PATIENCE.forget(conn)
        if late:
            self.app.emit("connection.stalled", worker=self.pid)
        return watched

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Keep the connection, or part with it; on the main loop."""
        if fs.cancelled() or fs.exception() or fs.result():
            super().finish_request(conn, fs)
        else:
            self._partings.part(conn.sock)

    def _closed(self) -> None:
        self.nr_conns -= 1

    def _cap_keepalive(self, deadline: float) -> None:
        """At the end: no connection that only waits is waited for, nor one that never began."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def notify(self) -> None:
        """Tell the master that the main loop lives; at its every turn, once a second at least."""
        super().notify()
        PATIENCE.expire()
        self._partings.expire()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what is no request with the same JSON body as every other failure."""
        super().handle_error(req, _JsonRefusal(client, self.app), addr, exc)


class _JsonRefusal:
    """A socket that turns gunicorn's page of HTML into the contract's JSON."""

    def __init__(self, sock: Any, server: "Server") -> None:
        self._sock = sock
        self._server = server

    def sendall(self, page: bytes) -> None:
        status_line = page.split(b"\r\n", 1)[0].decode("latin-1")
        _, status, reason = status_line.split(" ", 2)
        self._server.emit("request.refused", status=int(status), reason=reason)
        code = _CODES.get(int(status), "internal_error")
        body = msgspec.json.encode(
            {"code": code, "message": f"The request was refused before it was read: {reason}."}
        )
        head = (
            f"{status_line}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Access-Control-Allow-Origin: {self._server.settings.cors_origins[0]}\r\n"
            f"Content-Length: {len(body) + 1}\r\n\r\n"
        )
        self._sock.sendall(head.encode("latin-1") + body + b"\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class Arbiter(gunicorn.arbiter.Arbiter):  # type: ignore[misc]
    """The master: can start itself anew however it was started, and refuses what comes too late."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        # At USR2: with -m and the interpreter's own options, which sys.argv has lost.
        self.START_CTX["args"] = [sys.executable, *sys.orig_argv[1:]]

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
        super().reload()

    def load(self) -> Any:
        """Make the application; called in each worker."""
        # Here and not above: the metrics look for their folder when they are imported.
        from opsorch.gateway.app import create_app
        from opsorch.gateway.state import gateway

        app = create_app(self.settings, self._sink)
        with app.app_context():
            here = gateway()
        self._supervisor, self._metrics = here.supervisor, here.metrics
        configured = [name for name, slot in here.registry.slots.items() if slot.configured]
        self.emit("gateway.ready", worker=os.getpid(), capabilities=configured)
        _look_for_garbage_rarely()
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
        if settings.unknown:
            logs.emit("settings.unknown", names=list(settings.unknown))
        if settings.secret_settings:
            logs.emit("settings.unsupported", names="OPSORCH_SECRET_*")
        if settings.bearer_token is None and not _is_loopback(host):
            logs.emit("gateway.open", address=f"{host}:{port}")
        _raise_descriptor_limit()
        try:
            Arbiter(self).run()
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
        PATIENCE.give_up()
        logs.emit("gateway.stopped", worker=worker.pid, clean=clean)

    def _child_exit(self, arbiter: Any, worker: Any) -> None:
        """In the master: a worker is gone, its gauges with it; its counts stay."""
        from opsorch.observability.metric_files import forget_worker

        with contextlib.suppress(OSError):
            forget_worker(worker.pid)

    def _on_exit(self, arbiter: Any) -> None:
        """In the master: the end."""
        shutil.rmtree(self._metrics_folder, ignore_errors=True)


def _look_for_garbage_rarely() -> None:
    """Spare the collector what lives for ever, and large results.

    A result of 5,000 log entries is 20,000 objects, none of them garbage before it is encoded; with
    Python's own threshold of 700 the looks are a quarter of what it costs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 10, 10)


def keep_freed_memory() -> None:
    """Have the allocator keep the memory of a large result for the next one.

    To fetch it anew from the system, page by page, is a sixth of what such a result costs. What the
    environment sets already stays; other libraries than glibc have no such switches.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for variable, number, value in _ALLOCATOR:
            if variable not in os.environ:
                mallopt(number, value)


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
