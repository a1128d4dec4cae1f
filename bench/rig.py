"""A gateway to measure: ``opsorch serve`` as a process, its plugins, and a client."""

import contextlib
import http.client
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.harness import Gateway, running_gateway
from tests.processes import alive, children

CAPABILITIES = ("incident", "alert", "log", "messaging")
_PLUGIN = pathlib.Path(__file__).with_name("plugin.py")


@dataclass(frozen=True)
class Rig:
    """A running gateway, and where its plugins note their writes."""

    gateway: Gateway
    journal: pathlib.Path

    @property
    def port(self) -> int:
        return self.gateway.port

    @property
    def master(self) -> int:
        return self.gateway.process.pid

    def workers(self) -> list[int]:
        """Pids of the gunicorn workers."""
        return sorted(pid for pid in children(self.master) if alive(pid))

    def plugins(self) -> list[int]:
        """Pids of the plugin processes of all workers."""
        return [pid for worker in self.workers() for pid in children(worker) if alive(pid)]


@contextlib.contextmanager
def running_rig(**settings: str) -> Iterator[Rig]:
    """Run a gateway whose capabilities are answered by bench/plugin.py, until the block ends.

    Args:
        settings: OPSORCH_* variables without their prefix; WORKERS is among them, and LOG_LEVEL
            stays what it is.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        plugin, journal = installed_plugin(folder), folder / "journal"
        journal.touch()
        env = {f"OPSORCH_{capability.upper()}_PLUGIN": plugin for capability in CAPABILITIES}
        for capability in CAPABILITIES:
            env[f"OPSORCH_{capability.upper()}_CONFIG"] = json.dumps({"journal": str(journal)})
        env |= {f"OPSORCH_{key}": value for key, value in settings.items()}
        with running_gateway(env, folder) as gateway:
            # One worker answers already; connections that it took now would stay with it.
            wait_until(lambda: gateway.log().count('"gateway.ready"') >= int(settings["WORKERS"]))
            yield Rig(gateway, journal)


def wait_until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Wait until a condition holds; raises TimeoutError where it does not in time."""
    until = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"what was waited for did not come within {within_s:g} s")
        time.sleep(0.01)


def installed_plugin(folder: pathlib.Path) -> str:
    """Put the plugin into a folder as an executable that starts fast; returns its path."""
    path = folder / "plugin"
    path.write_text(f"#!{sys.executable} -IS\n{_PLUGIN.read_text()}")
    path.chmod(0o755)
    return str(path)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, and how long it took.

    Attributes:
        status: HTTP status; 0 where the connection broke.
        code: Code of the error, "" where it went well.
        seconds: From the first byte sent to the last one read.
    """

    status: int
    body: bytes
    seconds: float
    code: str = ""
    retry_after_s: float = 0.0

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One caller with one kept-alive connection. Not safe for threads."""

    def __init__(self, port: int, timeout_s: float = 120.0) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """Send one request and read its answer; a broken connection is status 0."""
        data = None if body is None else json.dumps(body).encode()
        began = time.perf_counter()
        try:
            self._connection.request(
                verb, path, body=data, headers={"Content-Type": "application/json"}
            )
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as exc:
            self._connection.close()
            return Reply(0, repr(exc).encode(), time.perf_counter() - began, type(exc).__name__)
        seconds = time.perf_counter() - began
        code = "" if response.status < 400 else _code(content)
        waits = float(response.getheader("Retry-After") or 0)
        return Reply(response.status, content, seconds, code, waits)


def _code(content: bytes) -> str:
    try:
        return str(json.loads(content)["code"])
    except (ValueError, KeyError, TypeError):
        return "no error body"
