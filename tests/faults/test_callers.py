"""Faults 57, 59, 61 to 64, and 50 at the door: what callers and the surroundings do."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.gateways import (
    AUTHORIZED,
    REQUESTS,
    TOKEN,
    OtherGateway,
    alive,
    answered,
    ask,
    create,
    gateway_with,
    metric,
    open_sockets,
    other_gateway,
    running,
    told,
    workers,
)
from tests.faults.support import PLUGINS, eventually, install
from tests.harness import Answer, Gateway
from tests.plugin.loopback import CERTIFICATE

TRUSTING = ssl._create_unverified_context()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    env = {"OPSORCH_MAX_BODY_BYTES": "500000", "OPSORCH_BEARER_TOKEN": TOKEN}
    with gateway_with(tmp_path_factory.mktemp("gateway"), env=env) as started:
        yield started


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    pem = {"OPSORCH_TLS_CERT_FILE": str(CERTIFICATE), "OPSORCH_TLS_KEY_FILE": str(CERTIFICATE)}
    env = {**pem, "OPSORCH_BEARER_TOKEN": TOKEN}
    with running(_Tls(env, tmp_path_factory.mktemp("secure"))) as started:
        yield started


def connect(gateway: Gateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=30)


def exchange(gateway: Gateway, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send raw bytes and read one answer."""
    with connect(gateway) as sock:
        sock.sendall(data)
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


# --- 56 ---------------------------------------------------------------------------------------


@pytest.mark.fault(56)
def test_a_secret_that_a_plugin_tells_reaches_neither_callers_nor_the_log(
    tmp_path: pathlib.Path,
) -> None:
    token = "fjord-lantern-4711-velvet"
    env = {"OPSORCH_ALERT_CONFIG": json.dumps({"token": token})}
    with gateway_with(tmp_path, env=env) as gateway:
        answer = ask(gateway, complain=True)
        assert (answer.status, answer.json["code"]) == (502, "provider_error")
        assert answer.json["message"].startswith("the vendor refused ")
        lines = eventually(lambda: told(gateway, "stderr.line"))
        assert lines[0]["line"].startswith("the vendor refused ")
        assert token not in answer.body.decode()
        assert metric(gateway, "opsorch_plugin_call_duration_seconds_count", code="provider_error")
        assert answered(gateway, answer.headers["X-Request-ID"], 502, "provider_error")
        assert metric(gateway, "opsorch_plugin_stderr_lines_total", capability="alert") == 1
        assert ask(gateway).status == 200
    assert token not in gateway.log()


# --- 57 -------------------------------------------------------------------------------------


@pytest.mark.fault(57)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_headers_that_stall_are_given_up_after_ten_seconds(
    tmp_path: pathlib.Path, tls: bool
) -> None:
    env = {"OPSORCH_THREADS": "4"}
    if tls:
        env["OPSORCH_TLS_CERT_FILE"] = env["OPSORCH_TLS_KEY_FILE"] = str(CERTIFICATE)
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(running((_Tls if tls else OtherGateway)(env, tmp_path)))
        (worker,) = workers(gateway)
        before, begun = open_sockets(worker), time.monotonic()
        stalled = [stack.enter_context(connect(gateway)) for _ in range(8)]
        for sock in stalled:
            # The start of a handshake, or of a header.
            sock.sendall(b"\x16\x03\x01" if tls else b"POST /alerts/query HTTP/1.1\r\nHost: x")
        for number, sock in enumerate(stalled):
            # At most an alert of TLS.
            assert sock.recv(100)[:1] in (b"", b"\x15"), f"connection {number} was answered"
            # Although eight of them came upon four threads.
            assert time.monotonic() - begun < 17
        assert time.monotonic() - begun > 8
        assert health_status(gateway) == 200
        eventually(
            lambda: len(told(gateway, "connection.stalled", worker=worker, what="header")) == 8
        )
        assert metric(gateway, "opsorch_connections_stalled_total") == 8
        eventually(lambda: open_sockets(worker) <= before)


class _Tls(OtherGateway):
    """A gateway that speaks TLS; ``request`` does not look at its certificate."""

    def request(self, method: str, path: str, *rest: Any, **more: Any) -> Answer:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=TRUSTING)
        with contextlib.closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())


def health_status(gateway: Gateway) -> int:
    return gateway.request("GET", "/health").status


@pytest.mark.fault(57)
def test_clients_that_never_close_hold_up_nobody(tmp_path: pathlib.Path) -> None:
    with (
        contextlib.ExitStack() as stack,
        gateway_with(tmp_path, env={"OPSORCH_THREADS": "2"}) as gateway,
    ):
        (worker,) = workers(gateway)
        before = open_sockets(worker)
        lingering = [stack.enter_context(connect(gateway)) for _ in range(12)]
        for sock in lingering:
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for sock in lingering:
            assert sock.recv(65_536).startswith(b"HTTP/1.1 200")
        begun = time.monotonic()
        assert health_status(gateway) == 200
        # One after the other they would cost two seconds each.
        assert time.monotonic() - begun < 5
        eventually(lambda: len(told(gateway, "request.completed", path="/health")) >= 13)
        assert metric(gateway, REQUESTS, operation="health", status="200") >= 13
        eventually(lambda: open_sockets(worker) <= before)


# What the gateway itself waits for half a minute and more.
IN_HASTE = """
from opsorch.cli import main
from opsorch.gateway.server import Server

def load(self, load=Server.load):
    made = load(self)
    # Not before: the metrics look for their folder when they are imported.
    from opsorch.gateway import app
    app.ANSWER_S, app.ANSWER_BYTES_PER_S = 1.0, 1e9
    return made

Server.load = load
main()
"""


@pytest.mark.fault(57)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_clients_that_do_not_read_their_answers_are_given_up(
    tmp_path: pathlib.Path, tls: bool
) -> None:
    env = {
        "OPSORCH_ALERT_PLUGIN": install(tmp_path, "obeys"),
        "OPSORCH_ALERT_MAX_CONCURRENCY": "5",
        "OPSORCH_THREADS": "3",
    }
    if tls:
        env["OPSORCH_TLS_CERT_FILE"] = env["OPSORCH_TLS_KEY_FILE"] = str(CERTIFICATE)
    # More than the buffers of a connection hold.
    query = json.dumps({"metadata": {"size": 16 * 2**20}}).encode()
    head = b"POST /alerts/query HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(query)
    in_haste = (_Tls if tls else OtherGateway)(env, tmp_path, program=["-c", IN_HASTE])
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(running(in_haste))
        (worker,) = workers(gateway)
        before = open_sockets(worker)
        for _ in range(5):
            deaf = stack.enter_context(connect(gateway))
            if tls:
                deaf = stack.enter_context(TRUSTING.wrap_socket(deaf))
            deaf.sendall(head + query)
        # Although five of them came upon three threads.
        eventually(
            lambda: len(told(gateway, "connection.stalled", what="answer")) == 5, within_s=60
        )
        assert health_status(gateway) == 200
        assert metric(gateway, "opsorch_connections_stalled_total") == 5
        eventually(lambda: open_sockets(worker) <= before)
        assert workers(gateway) == {worker}


@pytest.mark.fault(57)
@pytest.mark.parametrize("framing", ["announced", "chunked"])
def test_a_huge_body_is_refused(gateway: Gateway, framing: str) -> None:
    head = b"POST /alerts/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer right\r\n"
    if framing == "announced":
        # A client that waits for the verdict before it sends so much.
        data = head + b"Content-Length: 700000\r\n\r\n" + b" " * 700_000
    else:
        chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        data = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 12 + b"0\r\n\r\n"
    status, headers, body = exchange(gateway, data)
    assert status == 413
    assert json.loads(body)["code"] == "payload_too_large"
    assert "500000" in json.loads(body)["message"]
    assert answered(gateway, headers["x-request-id"], 413, "payload_too_large")
    assert health_status(gateway) == 200


@pytest.mark.fault(57)
def test_a_body_without_end_is_cut_off(gateway: Gateway) -> None:
    head = (
        b"POST /alerts/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer right\r\n"
        b"X-Request-ID: endless\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    (worker,) = workers(gateway)
    sent, before = 0, open_sockets(worker)
    with connect(gateway) as sock:
        sock.sendall(head)
        with contextlib.suppress(ConnectionError):
            while sent < 64 * 1024 * 1024:
                sock.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
                sent += 65_536
    assert sent < 64 * 1024 * 1024, "it took everything"
    assert answered(gateway, "endless", 413, "payload_too_large")
    assert health_status(gateway) == 200
    eventually(lambda: open_sockets(worker) <= before)


@pytest.mark.fault(57)
@pytest.mark.parametrize(("depth", "status"), [(97, 200), (101, 400), (2_000, 400), (100_000, 400)])
def test_deep_bodies(gateway: Gateway, depth: int, status: int) -> None:
    # The query and its metadata are two levels, the list's key is none.
    deep = b"[" * (depth - 2) + b"]" * (depth - 2)
    answer = gateway.request(
        "POST",
        "/alerts/query",
        b'{"metadata": {"deep": ' + deep + b"}}",
        headers=AUTHORIZED,
    )
    assert answer.status == status, answer.body
    code = "bad_request" if status == 400 else ""
    assert answered(gateway, answer.headers["X-Request-ID"], status, code)
    if status == 400:
        assert answer.json["code"] == "bad_request"
        assert "100 levels" in answer.json["message"]
    assert health_status(gateway) == 200


@pytest.mark.fault(57)
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nAuthorization Bearer quoted-by-nobody\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused_in_json(gateway: Gateway, data: bytes, status: int) -> None:
    refused = "opsorch_requests_refused_total"
    before = metric(gateway, refused, status=str(status))
    found, headers, body = exchange(gateway, data)
    assert found == status
    assert json.loads(body)["code"] == "bad_request"
    assert headers["content-type"] == "application/json"
    assert headers["access-control-allow-origin"] == "*"
    assert health_status(gateway) == 200
    assert metric(gateway, refused, status=str(status)) == before + 1
    eventually(lambda: len(told(gateway, "request.refused", status=status)) == before + 1)
    assert "quoted-by-nobody" not in gateway.log()


# --- 50, at the door ------------------------------------------------------------------------


@pytest.mark.fault(50)
def test_a_gateway_without_descriptors_outlives_it(tmp_path: pathlib.Path) -> None:
    env = {"OPSORCH_ALERT_PLUGIN": install(tmp_path, "obeys")}
    behind = ["prlimit", "--nofile=48:48", "--"]
    with other_gateway(env, tmp_path, behind=behind) as gateway:
        (worker,) = workers(gateway)
        assert ask(gateway).status == 200
        before = open_sockets(worker)
        with contextlib.ExitStack() as stack:
            for _ in range(60):
                stack.enter_context(connect(gateway))
            eventually(lambda: told(gateway, "gateway.exhausted"))
        assert eventually(lambda: ask(gateway).status == 200)
        assert workers(gateway) == {worker}
        assert told(gateway, "gateway.exhausted")[0]["reason"] == "Too many open files"
        eventually(lambda: open_sockets(worker) <= before)
        failures = metric(gateway, "opsorch_accept_failures_total")
        assert failures == len(told(gateway, "gateway.exhausted"))


# --- 59 -------------------------------------------------------------------------------------


@pytest.mark.fault(59)
def test_a_log_that_nobody_reads_fails_no_request(tmp_path: pathlib.Path) -> None:
    read, write = os.pipe()
    env = {"OPSORCH_ALERT_PLUGIN": install(tmp_path, "obeys"), "OPSORCH_LOG_LEVEL": "debug"}
    with other_gateway(env, tmp_path, stderr=write) as gateway:
        os.close(write)
        padding = {"X-Request-ID": "x" * 190}
        before = time.monotonic()
        for _ in range(400):
            # More than the pipe holds: each call writes some lines.
            assert gateway.request("GET", "/health", headers=padding).status == 200
        assert ask(gateway).status == 200
        assert time.monotonic() - before < 60
        os.close(read)
        for _ in range(20):
            assert gateway.request("GET", "/health", headers=padding).status == 200
        assert ask(gateway).status == 200
        assert metric(gateway, REQUESTS, operation="health") > 400
        # The log itself can tell nobody.
        eventually(lambda: metric(gateway, "opsorch_log_lines_lost_total") > 400)


@pytest.mark.fault(59)
def test_a_gateway_without_a_stderr_writes_into_nothing_else(tmp_path: pathlib.Path) -> None:
    env = {"OPSORCH_ALERT_PLUGIN": install(tmp_path, "obeys")}
    behind = ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh"]
    with other_gateway(env, tmp_path, behind=behind) as gateway:
        for _ in range(5):
            assert ask(gateway).status == 200
        (worker,) = workers(gateway)
        opened = {os.readlink(f"/proc/{worker}/fd/{number}") for number in range(3)}
        assert opened == {os.devnull}
        assert metric(gateway, REQUESTS, operation="alert.query", status="200") == 5


# --- 61 -------------------------------------------------------------------------------------


@pytest.mark.fault(61)
@pytest.mark.parametrize(
    ("order", "how"),
    [({"exit": 3}, "exit status 3"), ({"signal": "SIGKILL"}, "SIGKILL; perhaps out of memory")],
)
def test_a_write_that_dies_is_sent_once_and_its_outcome_is_unknown(
    tmp_path: pathlib.Path, order: dict[str, Any], how: str
) -> None:
    journal = tmp_path / "journal"
    with gateway_with(tmp_path) as gateway:
        answer = create(gateway, "dies", journal=str(journal), **order)
        assert answer.status == 502
        assert answer.json["code"] == "plugin_crashed"
        assert answer.json["outcome"] == "unknown"
        assert how in answer.json["message"]
        assert create(gateway, "lives", journal=str(journal)).status == 201
        assert journal.read_text() == "incident.create dies\nincident.create lives\n"
        # A read in the same place is sent twice, and no more.
        read = ask(gateway, journal=str(journal), **order)
        assert (read.status, read.json["code"]) == (502, "plugin_crashed")
        assert "outcome" not in read.json
        assert journal.read_text().count("alert.query") == 2
        sent = {"method": "incident.create", "sent": True}
        request_id = answer.headers["X-Request-ID"]
        eventually(lambda: told(gateway, "process.died", request_id=request_id, **sent))
        retried = metric(gateway, "opsorch_plugin_retries_total", capability="alert")
        assert retried == 1
        assert metric(gateway, "opsorch_plugin_retries_total", capability="incident") == 0
        died = metric(gateway, "opsorch_plugin_restarts_total", capability="incident")
        assert died == 1
        assert answered(gateway, answer.headers["X-Request-ID"], 502, "plugin_crashed")


# --- 62 -------------------------------------------------------------------------------------


@pytest.mark.fault(62)
def test_a_plugin_replaced_on_disk_comes_with_the_next_process(tmp_path: pathlib.Path) -> None:
    def version(name: str) -> None:
        fresh = tmp_path / "fresh"
        fresh.write_text(
            "#!/bin/sh\nwhile read -r line; do\n"
            f'echo "{{\\"result\\": [{{\\"id\\": \\"$$\\", \\"title\\": \\"{name}\\"}}]}}"\ndone\n'
        )
        fresh.chmod(0o755)
        fresh.rename(tmp_path / "plugin")

    version("old")
    with gateway_with(tmp_path, str(tmp_path / "plugin")) as gateway:
        first = ask(gateway).json[0]
        version("new")
        second = ask(gateway).json[0]
        assert (first["title"], second) == ("old", first), "a running process finishes"
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: not alive(int(first["id"])))
        third = ask(gateway).json[0]
        assert third["title"] == "new"
        version("newer")
        os.kill(int(third["id"]), signal.SIGKILL)
        eventually(lambda: not alive(int(third["id"])))
        assert ask(gateway).json[0]["title"] == "newer"
        assert eventually(
            lambda: told(gateway, "process.exited", pid=int(first["id"]), status="exit status 0")
        )
        eventually(lambda: len(told(gateway, "process.started")) == 3)
        assert metric(gateway, "opsorch_plugin_starts_total") == 3
        assert metric(gateway, "opsorch_plugin_restarts_total", reason="died_idle") == 1
    page = (PLUGINS.parents[2] / "docs" / "faults.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| 62 |"))
    assert "SIGHUP" in row


# --- 63 -------------------------------------------------------------------------------------

UNREAD = [
    ("POST", "/alerts/query", {}, 401),
    ("POST", "/nowhere", AUTHORIZED, 404),
    ("PATCH", "/alerts/query", AUTHORIZED, 405),
    ("POST", "/alerts/query", AUTHORIZED, 413),
    ("POST", "/teams/query", AUTHORIZED, 501),
]


@pytest.mark.fault(63)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("size", [10, 15_000, 20_000])
def test_requests_sent_in_one_go_are_all_answered(
    gateway: Gateway, secure: Gateway, size: int, tls: bool
) -> None:
    """TLS hands over a record at a time: what it holds makes no socket readable."""
    body = b'{"name":"%s"}' % (b"x" * size)
    query = (
        b"POST /services/query HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer right\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    asked = query * 3 + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(connect(secure if tls else gateway))
        if tls:
            sock = stack.enter_context(TRUSTING.wrap_socket(sock))
        sock.sendall(asked)
        answers = b"".join(iter(lambda: sock.recv(65_536), b""))
    assert answers.count(b"HTTP/1.1 501") == 3
    assert answers.count(b"HTTP/1.1 200") == 1


@pytest.mark.fault(63)
@pytest.mark.parametrize("size", [3_000, 1_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_nobody_reads_is_not_the_next_request(
    gateway: Gateway, size: int, chunked: bool
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    connection.connect()
    sock = connection.sock
    with contextlib.closing(connection):
        for verb, path, allowed, status in UNREAD:
            if status == 413 and size < 500_000:
                continue
            # A body that looks like a request, for a server that lost its place.
            body = (b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n" * (size // 36 + 1))[:size]
            request_id = f"unread-{size}-{chunked}-{status}"
            headers = {"X-Request-ID": request_id, **allowed}
            parts = [body[at : at + 50_000] for at in range(0, size, 50_000)]
            connection.request(
                verb, path, iter(parts) if chunked else body, headers, encode_chunked=chunked
            )
            answer = connection.getresponse()
            assert answer.status == status, answer.read()
            code = json.loads(answer.read())["code"]
            assert answered(gateway, request_id, status, code)
            connection.request("GET", "/health")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b'{"status":"ok"}\n')
        assert connection.sock is sock, "the connection was closed"
    assert "smuggled" not in gateway.log()


@pytest.mark.fault(63)
def test_a_body_beyond_all_bounds_closes_the_connection(gateway: Gateway) -> None:
    (worker,) = workers(gateway)
    before = open_sockets(worker)
    with connect(gateway) as sock:
        sock.sendall(
            b"POST /nowhere HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer right\r\n"
            b"X-Request-ID: boundless\r\nContent-Length: 40000000\r\n\r\n"
        )
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                sock.sendall(b" " * 1_000_000)
        with contextlib.suppress(ConnectionError):
            assert sock.recv(65_536).startswith(b"HTTP/1.1 404")
    assert answered(gateway, "boundless", 404, "not_found")
    assert health_status(gateway) == 200
    eventually(lambda: open_sockets(worker) <= before)


# --- 64 -------------------------------------------------------------------------------------


@pytest.mark.fault(64)
@pytest.mark.parametrize(
    "given",
    [
        b"x" * 5_000,
        b"x" * 201,
        b"caf\xc3\xa9",
        b"caf\xe9",
        b"tab\there",
    ],
)
def test_an_unfit_request_id_is_replaced(gateway: Gateway, given: bytes) -> None:
    data = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-ID: " + given + b"\r\n\r\n"
    status, headers, _ = exchange(gateway, data)
    assert status == 200
    assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
    assert answered(gateway, headers["x-request-id"], 200)
    assert health_status(gateway) == 200


@pytest.mark.fault(64)
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r"])
def test_no_header_is_smuggled_in_by_a_request_id(gateway: Gateway, line_end: bytes) -> None:
    data = (
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-ID: a"
        + line_end
        + b"Set-Cookie: smuggled=1\r\n\r\n"
    )
    status, headers, body = exchange(gateway, data)
    assert status in (200, 400)
    assert "set-cookie" not in headers
    assert b"smuggled" not in headers.get("x-request-id", "").encode()
    assert status == 200 or json.loads(body)["code"] == "bad_request"
    event = "request.completed" if status == 200 else "request.refused"
    assert eventually(lambda: told(gateway, event, status=status))
    assert health_status(gateway) == 200


@pytest.mark.fault(64)
@pytest.mark.parametrize("given", ["x" * 200, "Root=1-67891233-abcdef012345678912345678", "a b"])
def test_a_fit_request_id_is_echoed(gateway: Gateway, given: str) -> None:
    answer = gateway.request("GET", "/nowhere", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] == given
    assert answered(gateway, given, 401, "unauthorized")
