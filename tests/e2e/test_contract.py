"""A running gateway against clients as they are, and against those that mean harm."""

import http.client
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import Gateway, running_gateway

TOKEN = "t0ken-of-the-contract"
AUTH = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
CLOSE = b"Connection: close\r\n"
CHUNKED = b"POST /services/query HTTP/1.1\r\n" + AUTH + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /health HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"\r\n"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    env = {"OPSORCH_SERVICE_PROVIDER": "demo", "OPSORCH_INCIDENT_PROVIDER": "demo"}
    with running_gateway({**env, "OPSORCH_BEARER_TOKEN": TOKEN}) as running:
        yield running


def raw(gateway: Gateway, data: bytes, *, half_closed: bool = False) -> bytes:
    """Send bytes as they are; return all that comes until the gateway closes."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as sock:
        sock.sendall(data)
        if half_closed:
            sock.shutdown(socket.SHUT_WR)
        found = b""
        while chunk := sock.recv(65_536):
            found += chunk
    return found


def only_answer(found: bytes) -> tuple[int, dict[str, str], Any]:
    """The status, headers and JSON of the one answer in these bytes."""
    assert found.count(b"HTTP/1.1 ") == 1, found
    head, _, body = found.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split(" ")[1]), headers, json.loads(body)


def events(gateway: Gateway, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in gateway.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == name]


# --- what real clients do -----------------------------------------------------------------------


def test_one_connection_survives_every_trap_of_the_known_clients(gateway: Gateway) -> None:
    """Bodies nobody reads, GET with a content type, HEAD, slashes, nulls, letter case."""
    long, longer = b"x" * 3_000, b"x" * 1_000_000
    known = {"Authorization": f"bearer {TOKEN}", "Content-Type": "application/json"}
    compressed = {**known, "Content-Encoding": "gzip"}
    odd = b'{"Limit":1,"SCOPE":{"service":null},"metadata":{"a":null},"name":null}'
    table = [
        ("POST", "/services/query", long, {}, 401),
        ("POST", "/services/query", longer, {}, 401),
        ("POST", "/nowhere", longer, known, 404),
        ("PUT", "/services/query", long, known, 405),
        ("DELETE", "/services", longer, known, 405),
        ("POST", "/tickets/query", longer, known, 501),
        ("POST", "/services/query", long, compressed, 415),
        ("POST", "/services/query", longer * 2, known, 413),
        ("POST", "/services/query", long, known, 400),
        ("POST", "/providers/incident", long, known, 501),
        ("OPTIONS", "/nowhere", long, {}, 200),
        ("GET", "/services", long, known, 200),
        ("GET", "/incidents/a%2Fb%3F%23%20%C3%A9", None, known, 404),
        ("GET", "/services/", None, known, 200),
        ("HEAD", "/services", None, known, 200),
        ("HEAD", "/health", None, {}, 200),
        ("POST", "/services/query/", odd, known, 200),
        ("POST", "/services/query", b"{}", {**known, "Accept-Encoding": "gzip, deflate"}, 200),
        ("POST", "/services/query", b"", known, 200),
    ]
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    connection.connect()
    first = connection.sock
    for verb, path, body, headers, status in table * 2:
        connection.request(verb, path, body=body, headers=headers)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == status, (verb, path, said[:200])
        assert connection.sock is first, f"closed after {verb} {path}"
        assert answer.getheader("X-Request-ID")
        assert answer.getheader("Access-Control-Allow-Origin") == "*"
        assert answer.getheader("Content-Encoding") is None
        assert answer.getheader("Location") is None
        if verb not in ("HEAD", "OPTIONS"):
            assert answer.getheader("Content-Type") == "application/json"
            told = json.loads(said)
            assert status == 200 or (told["code"] and told["message"])
    connection.close()


def test_an_id_is_told_as_the_caller_wrote_it(gateway: Gateway) -> None:
    answer = gateway.request("GET", "/incidents/a%2Fb%20c", headers=_bearer())
    assert answer.status == 404
    assert "a/b c" in answer.json["message"]
    assert "not found" in answer.json["message"]


def test_expect_is_answered_before_the_body(gateway: Gateway) -> None:
    head = b"POST /services/query HTTP/1.1\r\n" + AUTH + CLOSE
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as sock:
        sock.sendall(head + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"{}")
        found = b""
        while chunk := sock.recv(65_536):
            found += chunk
    assert only_answer(found)[0] == 200


# --- what nobody should send --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_line", "headers", "status", "code"),
    [
        (b"GET /%zz HTTP/1.1", b"Host: x\r\n", 401, "unauthorized"),
        (b"GET /%zz HTTP/1.1", AUTH, 400, "bad_request"),
        (b"GET ://incidents HTTP/1.1", AUTH, 400, "bad_request"),
        (b"CONNECT a:1 HTTP/1.1", AUTH, 400, "bad_request"),
        (b"TRACE /health HTTP/1.1", AUTH, 405, "method_not_allowed"),
        (b"GET //health HTTP/1.1", b"Host: x\r\n", 401, "unauthorized"),
        (b"GET /health%2F.. HTTP/1.1", b"Host: x\r\n", 401, "unauthorized"),
        (b"GET /health/../metrics HTTP/1.1", b"Host: x\r\n", 401, "unauthorized"),
        (b"GET http://x/metrics HTTP/1.1", b"Host: x\r\n", 401, "unauthorized"),
        (b"GET /metrics HTTP/1.1", b"Host: x\r\nPATH_INFO: /health\r\n", 401, "unauthorized"),
        (b"GET /metrics#/health HTTP/1.1", b"Host: x\r\n", 401, "unauthorized"),
        (b"GET /services HTTP/1.1", AUTH + b"X: " + b"a" * 9000 + b"\r\n", 431, "bad_request"),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1", AUTH, 414, "bad_request"),
        (b"GET /services HTTP/1.1", AUTH + b"X: y\r\n" * 200, 431, "bad_request"),
        (b"GET /services HTTP/1.1", AUTH + b"X-Request-ID: a\r\n b\r\n", 400, "bad_request"),
        (b"GET /services HTTP/1.1", AUTH.replace(b"x", b"x" * 300, 1), 400, "bad_request"),
        (b"POST /services/query HTTP/1.1", AUTH + b"Content-Length: -1\r\n", 400, "bad_request"),
        (b"POST /services/query HTTP/1.1", AUTH + b"Content-Length: 2,2\r\n", 400, "bad_request"),
        (
            b"POST /services/query HTTP/1.1",
            AUTH + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            400,
            "bad_request",
        ),
    ],
)
def test_a_request_that_should_not_be_is_refused_in_json(
    gateway: Gateway, request_line: bytes, headers: bytes, status: int, code: str
) -> None:
    found = raw(gateway, request_line + b"\r\n" + headers + CLOSE + b"\r\n")
    told, sent, body = only_answer(found)
    assert (told, body["code"]) == (status, code)
    assert body["message"]
    assert sent["content-type"] == "application/json"


@pytest.mark.parametrize("head", [CHUNKED, CHUNKED.replace(AUTH, b"Host: x\r\n")])
@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}XX0\r\n\r\n",
        b"2\r\n{}\r\n0\r\nno trailer\r\n\r\n",
    ],
)
def test_a_body_that_is_not_chunked_rightly_is_the_callers_fault(
    gateway: Gateway, head: bytes, body: bytes
) -> None:
    """And nothing behind it is taken for a request."""
    status, headers, told = only_answer(raw(gateway, head + body + NEXT))
    expected = (400, "bad_request") if AUTH in head else (401, "unauthorized")
    assert (status, told["code"]) == expected
    assert headers["x-request-id"]


@pytest.mark.parametrize(
    "sent",
    [
        CHUNKED + b"5\r\n{}",
        CHUNKED.replace(b"Transfer-Encoding: chunked", b"Content-Length: 9") + b"{}",
    ],
)
def test_a_body_that_is_cut_off_is_the_callers_fault(gateway: Gateway, sent: bytes) -> None:
    status, _, told = only_answer(raw(gateway, sent, half_closed=True))
    assert (status, told["code"]) == (400, "bad_request")


def test_a_client_that_resets_its_connection_is_no_defect(gateway: Gateway) -> None:
    sock = socket.create_connection(("127.0.0.1", gateway.port), timeout=30)
    head = b"POST /services/query HTTP/1.1\r\n" + AUTH + b"X-Request-ID: reset-one\r\n"
    sock.sendall(head + b"Content-Length: 99\r\n\r\n{}")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    until, pause = time.monotonic() + 20, threading.Event()
    while time.monotonic() < until:
        seen = [e for e in events(gateway, "request.completed") if e["request_id"] == "reset-one"]
        if seen:
            break
        pause.wait(0.02)
    assert seen[0]["status"] == 400
    assert not events(gateway, "request.failed")


def test_a_pipelined_request_inside_a_dropped_body_is_not_served(gateway: Gateway) -> None:
    inner = b"GET /incidents/smuggled HTTP/1.1\r\n" + AUTH + b"\r\n"
    outer = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(inner)
    found = raw(gateway, outer + inner + NEXT)
    assert found.count(b"HTTP/1.1 401") == 1
    assert found.count(b"HTTP/1.1 200") == 1
    assert found.count(b"HTTP/1.1 ") == 2


def test_the_log_forges_no_line_and_holds_no_token(gateway: Gateway) -> None:
    forged = {"X-User-Id": "kim", "X-Request-ID": 'x"} {"level":"error'}
    answer = gateway.request("GET", "/services?a=%0A{}", headers={**_bearer(), **forged})
    assert answer.status == 200
    gateway.request("GET", "/nope%0A%7B%22event%22%3A%22forged%22%7D", headers=_bearer())
    assert all(json.loads(line) for line in gateway.log().splitlines())
    assert not events(gateway, "forged")
    assert TOKEN not in gateway.log()


def test_names_of_people_are_utf8_in_the_audit_log(gateway: Gateway) -> None:
    head = b"GET /services HTTP/1.1\r\n" + AUTH + CLOSE
    only_answer(raw(gateway, head + "X-User-Id: Zoë\r\n\r\n".encode()))
    lines = [json.loads(line) for line in gateway.log().splitlines()]
    assert "Zoë" in [line.get("actor_id") for line in lines]


def test_nothing_of_the_above_was_a_defect(gateway: Gateway) -> None:
    assert not events(gateway, "request.failed")
    assert gateway.request("GET", "/health").json == {"status": "ok"}


def test_headers_of_a_proxy_steer_nothing() -> None:
    with running_gateway({}) as running:
        odd = {"SCRIPT_NAME": "/foo", "X-Forwarded-Proto": "https", "PATH_INFO": "/bar"}
        assert running.request("GET", "/health", headers=odd).status in (200, 400)
        assert not events(running, "request.failed")


# --- settings ----------------------------------------------------------------------------------


def test_a_reload_with_a_broken_env_file_keeps_the_token(tmp_path: pathlib.Path) -> None:
    """A quote that does not close would hide the line of the token from the reader."""
    file = tmp_path / ".env"
    file.write_text(f"OPSORCH_BEARER_TOKEN='{TOKEN}'\nOPSORCH_SERVICE_PROVIDER=demo\n")
    with running_gateway({}, tmp_path) as running:
        assert running.request("GET", "/services").status == 401
        file.write_text(f"OPSORCH_BEARER_TOKEN='{TOKEN}\nOPSORCH_SERVICE_PROVIDER=demo\n")
        os.kill(running.process.pid, signal.SIGHUP)
        until, pause = time.monotonic() + 30, threading.Event()
        while not events(running, "settings.refused") and time.monotonic() < until:
            pause.wait(0.05)
        [refused] = events(running, "settings.refused")
        assert "line 1" in refused["faults"]
        assert TOKEN not in running.log()
        assert running.request("GET", "/services").status == 401
        assert running.request("GET", "/services", headers=_bearer()).status == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPSORCH_ADDR", ":²"),
        ("OPSORCH_ADDR", ":" + "1" * 5000),
        ("OPSORCH_DATA_DIR", "~no-such-user-here/x"),
        ("OPSORCH_TLS_CERT_FILE", "/dev/null"),
    ],
)
def test_settings_that_cannot_be_end_the_start_in_one_line(
    tmp_path: pathlib.Path, name: str, value: str
) -> None:
    with (
        pytest.raises(RuntimeError, match="the gateway ended") as caught,
        running_gateway({name: value}, tmp_path),
    ):
        pass
    assert name in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_key_of_another_certificate_is_refused(tmp_path: pathlib.Path) -> None:
    for name in ("a", "b"):
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        files = ["-subj", "/CN=x", "-keyout", f"{name}.key", "-out", f"{name}.pem"]
        subprocess.run([*command.split(), *files], cwd=tmp_path, check=True, capture_output=True)
    env = {"OPSORCH_TLS_CERT_FILE": str(tmp_path / "a.pem")}
    with (
        pytest.raises(RuntimeError, match="OPSORCH_TLS_KEY_FILE are no certificate and its key"),
        running_gateway({**env, "OPSORCH_TLS_KEY_FILE": str(tmp_path / "b.key")}, tmp_path),
    ):
        pass


def _bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKEN}"}
