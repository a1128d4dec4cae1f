"""Run a small Flask app as a vendor's API on loopback: records requests, injects faults."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import flask
import werkzeug.serving


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return flask.json.loads(self.body) if self.body else None


@dataclass
class Fault:
    """What to do instead of answering.

    ``status``/``body``/``headers``: answer this. ``hang``: answer nothing until the server stops.
    ``drop``: close the connection after reading the request. ``apply_first``: let the app handle
    the request (so that a write takes effect) and lose its answer all the same.
    """

    status: int = 500
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    drop: bool = False
    apply_first: bool = False
    when: Callable[[Seen], bool] = lambda seen: True


class FakeServer:
    """A vendor's API on a free port of 127.0.0.1, one thread a request."""

    def __init__(self, app: flask.Flask) -> None:
        self.seen: list[Seen] = []
        self.faults: deque[Fault] = deque()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._app = app
        self._server = werkzeug.serving.make_server(
            "127.0.0.1", 0, self._serve, threaded=True, request_handler=_QuietHandler
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def fail_next(self, fault: Fault, times: int = 1) -> None:
        """Queue a fault for the next ``times`` requests that fit its ``when``."""
        with self._lock:
            self.faults.extend([fault] * times)

    def count(self, method: str, path_part: str = "") -> int:
        """Count the requests seen of this verb whose path holds ``path_part``."""
        return sum(1 for s in self.seen if s.method == method and path_part in s.path)

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = flask.Request(environ)
        body = request.get_data(cache=True)
        seen = Seen(
            request.method,
            request.path,
            request.query_string.decode(),
            dict(request.headers),
            body,
        )
        with self._lock:
            self.seen.append(seen)
            fault = next((f for f in self.faults if f.when(seen)), None)
            if fault is not None:
                self.faults.remove(fault)
        environ["wsgi.input"] = __import__("io").BytesIO(body)
        if fault is None:
            return self._app(environ, start_response)
        if fault.apply_first:
            b"".join(self._app(environ, lambda *args: None))
        if fault.hang:
            self._stopping.wait(60)
        if fault.hang or fault.drop:
            raise ConnectionError("dropped on purpose")
        response = flask.Response(fault.body, fault.status, fault.headers)
        return response(environ, start_response)

    def __enter__(self) -> "FakeServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _QuietHandler(werkzeug.serving.WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *args: Any, **kwargs: Any) -> None:
        pass

    def log(self, *args: Any, **kwargs: Any) -> None:
        pass

    def run_wsgi(self) -> None:
        try:
            super().run_wsgi()
        except ConnectionError:
            self.close_connection = True

    def connection_dropped(self, *args: Any, **kwargs: Any) -> None:
        self.close_connection = True


@contextlib.contextmanager
def serving(app: flask.Flask) -> Iterator[FakeServer]:
    """Serve an app for the length of a ``with`` block."""
    with FakeServer(app) as server:
        yield server
