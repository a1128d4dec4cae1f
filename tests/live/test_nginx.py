"""The gateway behind a real nginx, configured as docs/operating.md says."""

import http.client
import json
import pathlib
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import ROOT, Gateway, free_port, running_gateway

pytestmark = pytest.mark.live

TOKEN = "a-token-of-the-nginx-test"
PLUGIN = """#!/bin/sh
while IFS= read -r line; do
    id=$(printf '%s' "$line" | sed -n 's/.*"payload":{"id":"\\([^"]*\\)".*/\\1/p')
    printf '{"result":{"id":"%s","title":"t"}}\\n' "$id"
done
"""


def configuration(folder: pathlib.Path, port: int, upstream: int) -> str:
    """The page's own server block, on free ports, with a certificate of the test."""
    text = (ROOT / "docs/operating.md").read_text()
    [block] = re.findall(r"^```nginx\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for said, here in {
        "127.0.0.1:8080": f"127.0.0.1:{upstream}",
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/ssl/opsorch.pem": str(folder / "cert.pem"),
        "/etc/ssl/opsorch.key": str(folder / "key.pem"),
    }.items():
        assert said in block
        block = block.replace(said, here)
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;"
        f"events {{}} http {{ access_log off; {paths} {block} }}"
    )


class Proxy:
    """nginx in front of a gateway."""

    def __init__(self, port: int, gateway: Gateway, trust: ssl.SSLContext) -> None:
        self.gateway = gateway
        self._connect = lambda: http.client.HTTPSConnection(
            "localhost", port, timeout=30, context=trust
        )
        self.connection = self._connect()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Ask over the one kept-alive connection; returns the answer and its body."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {TOKEN}", **headers}
        self.connection.request(method, path, body=data, headers=given)
        answer = self.connection.getresponse()
        return answer, json.loads(answer.read())


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    folder = tmp_path_factory.mktemp("nginx")
    # Its workers run as another user, who must get to the folder of temporary bodies.
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run([*command, *subject, *files], check=True, capture_output=True)
    plugin = folder / "plugin"
    plugin.write_text(PLUGIN)
    plugin.chmod(0o755)
    env = {
        "OPSORCH_INCIDENT_PLUGIN": str(plugin),
        "OPSORCH_BEARER_TOKEN": TOKEN,
        "OPSORCH_WORKERS": "2",
    }
    with running_gateway(env) as gateway:
        port = free_port()
        (folder / "nginx.conf").write_text(configuration(folder, port, gateway.port))
        process = subprocess.Popen([nginx, "-c", str(folder / "nginx.conf"), "-p", str(folder)])
        try:
            proxy = Proxy(port, gateway, ssl.create_default_context(cafile=folder / "cert.pem"))
            wait_until_up(proxy, process)
            yield proxy
            proxy.connection.close()
        finally:
            process.terminate()
            process.wait(30)


def wait_until_up(proxy: Proxy, process: "subprocess.Popen[bytes]") -> None:
    until, pause = time.monotonic() + 30, threading.Event()
    while time.monotonic() < until:
        assert process.poll() is None, "nginx ended"
        try:
            assert proxy.ask("GET", "/health")[0].status == 200
        except OSError:
            proxy.connection.close()
            pause.wait(0.05)
        else:
            return
    raise TimeoutError("nginx did not come up")


@pytest.mark.parametrize(
    ("path", "seen"),
    [("a%2Fb", "a/b"), ("a%252Fb", "a%2Fb"), ("a%20b", "a b"), ("%C3%A9", "é"), ("x/", "x")],
)
def test_ids_arrive_as_sent(proxy: Proxy, path: str, seen: str) -> None:
    answer, body = proxy.ask("GET", f"/incidents/{path}")
    assert (answer.status, body["id"]) == (200, seen)


def test_a_request_id_is_made_by_nginx_and_echoed(proxy: Proxy) -> None:
    answer, _ = proxy.ask("GET", "/health")
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_refusals_with_bodies_keep_the_connection_in_step(proxy: Proxy) -> None:
    large = b'{"query":"' + b"x" * 500_000 + b'"}'
    for _ in range(3):
        refused, body = proxy.ask("POST", "/incidents/query", large, Authorization="Bearer no")
        assert (refused.status, body["code"]) == (401, "unauthorized")
        missing, body = proxy.ask("POST", "/tickets/query", large)
        assert (missing.status, body["code"]) == (501, "ticket_provider_missing")
        found, body = proxy.ask("GET", "/incidents/1")
        assert (found.status, body["id"]) == (200, "1")


def test_many_calls_at_once_all_come_back(proxy: Proxy) -> None:
    answers: list[int] = []

    def caller() -> None:
        own = proxy._connect()
        for _ in range(20):
            own.request("GET", "/incidents/1", headers={"Authorization": f"Bearer {TOKEN}"})
            answer = own.getresponse()
            answer.read()
            answers.append(answer.status)
        own.close()

    callers = [threading.Thread(target=caller) for _ in range(8)]
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    assert answers == [200] * 160


def test_a_reload_of_the_gateway_goes_unnoticed(proxy: Proxy) -> None:
    import signal

    ready = proxy.gateway.log().count("gateway.ready")
    proxy.gateway.process.send_signal(signal.SIGHUP)
    statuses, until = [], time.monotonic() + 30
    while time.monotonic() < until:
        statuses.append(proxy.ask("GET", "/incidents/1")[0].status)
        log = proxy.gateway.log()
        if log.count("gateway.ready") >= ready + 2 and log.count("gateway.stopped") >= 2:
            break
    assert set(statuses) == {200}
    assert proxy.gateway.log().count("gateway.stopped") >= 2
