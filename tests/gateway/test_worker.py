"""The worker's loop, its connections and threads, and its refusals."""

import contextlib
import errno
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import gunicorn.config
import gunicorn.util
import gunicorn.workers.gthread
import pytest

from opsorch.config import Settings
from opsorch.gateway import partings, server
from opsorch.gateway import worker as module
from opsorch.gateway.patience import Patience
from opsorch.gateway.worker import Threads, Worker
from opsorch.observability import logs
from tests.faults.support import eventually

Told = list[tuple[str, dict[str, Any]]]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> Patience:
    """The list of watched sockets is the test's own."""
    own = Patience()
    monkeypatch.setattr(module, "PATIENCE", own)
    return own


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    events: Told = []
    monkeypatch.setattr(logs, "emit", lambda event, **facts: events.append((event, facts)))
    return events


def names(told: Told) -> list[str]:
    return [event for event, _ in told]


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


class Quiet:
    """A log that nobody reads."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def a_worker(*listeners: Any, **variables: str) -> Worker:
    settings = Settings.from_env(variables)
    config = gunicorn.config.Config()
    for name, value in server._gunicorn_settings(settings).items():
        config.set(name, value)
    return Worker(1, os.getppid(), list(listeners), an_app(settings), 30, config, Quiet())


def an_app(settings: Settings) -> Any:
    """What a worker and its refusals know of the application."""
    return SimpleNamespace(settings=settings, emit=logs.emit)


class Running:
    """A worker whose main loop runs in a thread of the test."""

    def __init__(self, worker: Worker, address: tuple[str, int]) -> None:
        self.worker = worker
        self.address = address

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=20)

    def answer(self) -> bytes:
        with self.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: sock.recv(65_536), b""))


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(gunicorn.workers.gthread, "DEFAULT_WORKER_DATA_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        worker = a_worker(listening, OPSORCH_THREADS="2")
        worker.wsgi = application
        worker.tpool = worker.get_thread_pool()
        worker.poller = gunicorn.workers.gthread.selectors.DefaultSelector()
        worker.method_queue.init()
        loop = threading.Thread(target=worker.run)
        loop.start()
        yield Running(worker, listening.getsockname())
        worker.alive = False
        with contextlib.suppress(OSError):
            worker.method_queue.defer(lambda: None)
        loop.join(20)
        assert not loop.is_alive()
        worker.tmp.close()


def test_a_worker_answers_and_parts(running: Running) -> None:
    assert running.answer().endswith(b"\r\n\r\nok")
    eventually(lambda: running.worker.nr_conns == 0)


def test_a_kept_connection_stays(running: Running) -> None:
    with running.connect() as sock:
        for _ in range(2):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"\r\n\r\nok"):
                answer += sock.recv(65_536)
            assert b"keep-alive" in answer
        assert running.worker.nr_conns == 1


@pytest.mark.fault(57)
def test_a_client_that_never_closes_is_not_waited_for(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partings, "LINGER_S", 0.05)
    with running.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert sock.recv(65_536).startswith(b"HTTP/1.1 200")
        assert running.answer().startswith(b"HTTP/1.1 200")
        eventually(lambda: running.worker.nr_conns == 0)


@pytest.mark.fault(57)
def test_half_a_header_is_given_up(
    told: Told, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, running.connect() as sock:
        patched.setattr(module, "HEADER_S", 0.05)
        sock.sendall(b"GET / HTTP/1.1\r\nHo")
        assert sock.recv(100) == b""
    assert told == [("connection.stalled", {"worker": running.worker.pid, "what": "header"})]
    assert running.answer().endswith(b"ok")
    assert module.PATIENCE._watched == {}
    assert module.PATIENCE._late == set()


@pytest.mark.fault(57)
def test_a_request_that_waited_too_long_for_a_thread_is_the_last_of_its_connection(
    told: Told, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release = threading.Semaphore(0), threading.Event()

    def slow(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        begun.release()
        release.wait(20)
        return application(environ, start_response)

    running.worker.wsgi = slow
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with contextlib.ExitStack() as stack:
        callers = []
        for _ in range(3):
            # Two for the two threads, the third waits.
            callers.append(stack.enter_context(running.connect()))
            callers[-1].sendall(request)
            if len(callers) < 3:
                assert begun.acquire(timeout=20)
            if len(callers) == 2:
                monkeypatch.setattr(module, "HEADER_S", 0.05)
        eventually(lambda: running.worker.tpool._work_queue.qsize() == 1)
        eventually(lambda: not module.PATIENCE._watched)
        release.set()
        answers = [sock.recv(65_536) for sock in callers[1:]]
    assert b"Connection: keep-alive" in answers[0]
    assert b"Connection: close" in answers[1]
    assert names(told) == ["connection.stalled"]


@pytest.mark.fault(57)
def test_what_is_no_request_gets_json(running: Running) -> None:
    with running.connect() as sock:
        sock.sendall(b"nonsense\r\n\r\n")
        head, _, body = b"".join(iter(lambda: sock.recv(65_536), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Content-Type: application/json" in head
    assert json.loads(body)["code"] == "bad_request"


@pytest.mark.fault(41)
def test_connections_that_only_wait_do_not_hold_up_the_end(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gunicorn.workers.gthread, "STOP_KEEPALIVE_LINGER", 0.05)
    with running.connect() as silent:
        eventually(lambda: len(running.worker.pending_conns) == 1)
        begun = time.monotonic()
        running.worker.handle_exit(signal.SIGTERM, None)
        assert silent.recv(10) == b""
        assert time.monotonic() - begun < 10


class Listener:
    """A listener that fails in one way."""

    def __init__(self, number: int) -> None:
        self._number = number

    def accept(self) -> Any:
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.fault(50)
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_a_worker_without_descriptors_lives_on(told: Told, number: int) -> None:
    worker = a_worker()
    worker.accept(Listener(number))
    assert told == [("gateway.exhausted", {"worker": worker.pid, "reason": os.strerror(number)})]
    worker.tmp.close()


@pytest.mark.fault(41)
def test_a_listener_that_was_shut_down_is_no_defect(told: Told) -> None:
    worker = a_worker()
    worker.accept(Listener(errno.EINVAL))
    worker.accept(Listener(errno.EAGAIN))
    with pytest.raises(PermissionError):
        worker.accept(Listener(errno.EPERM))
    assert told == []
    worker.tmp.close()


def test_what_a_connections_thread_ends_with_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(
        gunicorn.workers.gthread.ThreadWorker,
        "finish_request",
        lambda self, conn, fs: kept.append(conn),
    )
    worker = a_worker()
    worker._partings = SimpleNamespace(part=lambda sock: kept.append("parted"))
    for outcome in ("keep", "fail", "cancel", "part"):
        done: Future[bool] = Future()
        if outcome == "cancel":
            done.cancel()
        elif outcome == "fail":
            done.set_exception(ValueError())
        else:
            done.set_result(outcome == "keep")
        worker.finish_request(SimpleNamespace(sock=outcome, label=outcome), done)
    assert [getattr(one, "label", one) for one in kept] == ["keep", "fail", "cancel", "parted"]
    worker.tmp.close()


def test_the_drain_fits_into_the_graceful_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Worker] = []

    def begin(self: Worker) -> None:
        begun.append(self)

    monkeypatch.setattr(gunicorn.workers.gthread.ThreadWorker, "init_process", begin)
    for given, left in (("60", 51), ("5", 1)):
        worker = a_worker(OPSORCH_GRACEFUL_TIMEOUT=given)
        worker.init_process()
        assert worker.cfg.graceful_timeout == left
        worker.tmp.close()
    assert len(begun) == 2


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (400, "Bad Request", "bad_request"),
        (403, "Forbidden", "forbidden"),
        (414, "URI Too Long", "bad_request"),
        (431, "Request Header Fields Too Large", "bad_request"),
        (500, "Internal Server Error", "internal_error"),
    ],
)
def test_every_page_of_gunicorn_becomes_json(
    told: Told, status: int, reason: str, code: str
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        refusal = module._JsonRefusal(ours, an_app(Settings.from_env({})))
        assert refusal.fileno() == ours.fileno()
        gunicorn.util.write_error(refusal, status, reason, "<b>details</b>")
        sent = theirs.recv(65_536)
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} {reason}\r\nConnection: close".encode())
    assert f"Content-Length: {len(body)}".encode() in head
    said = json.loads(body)
    assert said["code"] == code
    assert reason in said["message"]
    assert b"details" not in sent
    assert told == [("request.refused", {"status": status, "reason": reason})]


# --- threads ----------------------------------------------------------------------------------


@pytest.mark.fault(50)
def test_a_worker_that_gets_fewer_threads_serves_with_those_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused: list[str] = []
    begun, release = threading.Event(), threading.Event()

    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def wait() -> str:
        begun.set()
        release.wait(20)
        return "first"

    with Threads(4, refused.append) as threads:
        first = threads.submit(wait)
        assert begun.wait(20)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", no_thread)
            second = threads.submit(lambda: "second")
            assert refused == ["can't start new thread"]
            release.set()
            assert [first.result(20), second.result(20)] == ["first", "second"]


@pytest.mark.fault(50)
def test_a_worker_without_any_thread_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []

    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads = Threads(4, refused.append)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threads.submit(print)
    assert refused == []


def test_the_threads_that_are_refused_are_told(told: Told) -> None:
    worker = a_worker(OPSORCH_THREADS="3")
    threads = worker.get_thread_pool()
    assert threads._max_workers == 3
    threads._on_refused("can't start new thread")
    assert told == [
        ("gateway.exhausted", {"worker": worker.pid, "reason": "can't start new thread"})
    ]
    worker.tmp.close()
