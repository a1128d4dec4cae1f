"""Real gateways for tests: ``opsorch serve`` as a process, plain HTTP, README examples."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 60.0
# A gateway ends with the test run that started it, even where that is killed.
WITH_US = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []


@dataclass(frozen=True)
class Answer:
    """What the gateway answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Gateway:
    """A running gateway. Use running_gateway()."""

    def __init__(self, env: Mapping[str, str], folder: pathlib.Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.log_path = folder / "gateway.log"
        self._log = self.log_path.open("wb")
        self.process = subprocess.Popen(
            [*WITH_US, sys.executable, "-m", "opsorch.cli", "serve"],
            cwd=folder,
            env={
                **clean_environ(),
                "OPSORCH_ADDR": f"127.0.0.1:{self.port}",
                "OPSORCH_WORKERS": "1",
                "OPSORCH_DATA_DIR": str(folder / "data"),
                **env,
            },
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_until_up(self) -> None:
        until = time.monotonic() + START_TIMEOUT_S
        pause = threading.Event()
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"the gateway ended: {self.log()}")
            with contextlib.suppress(OSError):
                if self.request("GET", "/health", timeout_s=5).status == 200:
                    return
            pause.wait(0.05)
        raise TimeoutError(f"the gateway did not come up: {self.log()}")

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60,
    ) -> Answer:
        """Send one request on a connection of its own; ``body`` is JSON, or bytes as they are."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        try:
            connection.request(method, path, body=data, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def log(self) -> str:
        """Everything that the gateway has written so far."""
        return self.log_path.read_text(errors="replace")

    def stop(self, sig: int = signal.SIGTERM, timeout_s: float = 60) -> int:
        """Signal the gateway and wait for its end; kill its group if it does not come."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise
        finally:
            self._log.close()


@contextlib.contextmanager
def running_gateway(
    env: Mapping[str, str], folder: pathlib.Path | None = None
) -> Iterator[Gateway]:
    """Run ``opsorch serve`` with these OPSORCH_* variables on a free port, until the block ends."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        gateway = Gateway(env, folder)
        try:
            gateway.wait_until_up()
            yield gateway
        finally:
            gateway.stop()


def free_port() -> int:
    """Find a port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environ() -> dict[str, str]:
    """Return the environment without OPSORCH_* variables."""
    return {k: v for k, v in os.environ.items() if not k.startswith("OPSORCH_")}


@dataclass(frozen=True)
class Examples:
    """The runnable parts of a README: blocks fenced as ``env``, and curl commands in ``bash``."""

    env: dict[str, str]
    curls: list[str]


def readme_examples(path: pathlib.Path) -> Examples:
    """Read a README's examples: every ``env`` block, and every curl command of ``bash`` blocks."""
    env: dict[str, str] = {}
    curls: list[str] = []
    for kind, block in re.findall(
        r"^```(\w+)\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE
    ):
        if kind == "env":
            for line in block.splitlines():
                if line.strip() and not line.startswith("#"):
                    name, _, value = line.partition("=")
                    env[name.strip()] = shlex.split(value)[0] if value[:1] in "'\"" else value
        elif kind == "bash":
            joined = block.replace("\\\n", " ")
            curls += [line for line in joined.splitlines() if line.startswith("curl ")]
    return Examples(env, curls)


def run_curl(command: str, gateway: Gateway) -> Answer:
    """Run a README's curl command as written, but for the gateway's address."""
    text = command.replace("http://localhost:8080", gateway.url)
    arguments = [*shlex.split(text), "-sS", "-w", "\n%{http_code}"]
    done = subprocess.run(arguments, capture_output=True, timeout=60, check=True)
    body, _, status = done.stdout.rpartition(b"\n")
    return Answer(int(status), {}, body)
