"""A gunicorn worker that no client can hold up, and that refuses in JSON."""

import errno
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import gunicorn.workers.gthread
import msgspec

from opsorch.gateway.partings import Partings
from opsorch.gateway.patience import PATIENCE
from opsorch.supervisor.supervisor import DRAIN_S

HEADER_S: Final = 10.0
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ACCEPT_PAUSE_S: Final = 0.1

_CODES: Final = {
    400: "bad_request",
    403: "forbidden",
    414: "bad_request",
    417: "bad_request",
    431: "bad_request",
    501: "bad_request",
}


class Threads(ThreadPoolExecutor):
    """The threads of a worker; it lives on where the system grants fewer than it may have."""

    def __init__(self, most: int, on_refused: Callable[[str], None]) -> None:
        super().__init__(most)
        self._on_refused = on_refused

    def _adjust_thread_count(self) -> None:
        # No public method starts a thread. What was submitted is in the queue already, and is
        # served by one of the threads that there are; without any, the worker is of no use.
        try:
            super()._adjust_thread_count()
        except RuntimeError as refused:
            if not self._threads:
                raise
            self._on_refused(str(refused))


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

    def get_thread_pool(self) -> Threads:
        """Make the threads that serve requests."""
        return Threads(self.cfg.threads, self._exhausted)

    def _exhausted(self, reason: str) -> None:
        self.app.emit("gateway.exhausted", worker=self.pid, reason=reason)

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
                self._exhausted(exc.strerror or "")
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
            self._forget(conn, "header")
            self._forget(conn.sock, "answer")

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve a request, whose header is read."""
        if not self._forget(conn, "header"):
            # It waited for a thread for so long that nothing more is read from the connection.
            req.force_close()
        return super().handle_request(req, conn)

    def _forget(self, owner: object, what: str) -> bool:
        """Watch for something no more; tells of it where its time was over."""
        late = PATIENCE.is_late(owner)
        watched = PATIENCE.forget(owner)
        if late:
            self.app.emit("connection.stalled", worker=self.pid, what=what)
        return watched

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Keep the connection, or part with it; on the main loop."""
        failed = fs.cancelled() or fs.exception()
        if not failed and not fs.result():
            self._partings.part(conn.sock)
        elif not failed and fs.result() is True and _holds_more(conn.sock):
            self.enqueue_req(conn)
        else:
            super().finish_request(conn, fs)

    def _closed(self) -> None:
        self.nr_conns -= 1

    def _cap_keepalive(self, deadline: float) -> None:
        """At the end: no connection that only waits is waited for, nor one that never began."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def notify(self) -> None:
        """Tell the master that the main loop lives; once a second at least."""
        super().notify()
        PATIENCE.expire()
        self._partings.expire()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what is no request with the same JSON body as every other failure."""
        super().handle_error(req, _JsonRefusal(client, self.app), addr, exc)


def _holds_more(sock: Any) -> bool:
    """Tell whether TLS has read more than the request: it makes the socket readable no more."""
    pending = getattr(sock, "pending", None)
    return pending is not None and pending() > 0


class _JsonRefusal:
    """A socket that turns gunicorn's page of HTML into the contract's JSON.

    Args:
        sock: The client's.
        server: The application, as gunicorn has it: opsorch.gateway.server.Server.
    """

    def __init__(self, sock: Any, server: Any) -> None:
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
