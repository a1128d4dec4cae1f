"""What a small call costs: through gateway and plugin, against /health, and where the time goes.

CPU time is that of the gunicorn worker alone; the plugin's, and the client's, is not in it. Rounds
of all kinds of request alternate. The parts are measured one by one in this process, in the way
that the gateway does them; they explain the difference between the two requests.
"""

import argparse
import contextlib
import functools
import io
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import flask
from rich.console import Console
from rich.table import Table

from bench import procs
from bench.rig import Client, Rig, installed_plugin, running_rig
from opsorch.capabilities import CAPABILITIES, fields
from opsorch.capabilities.incident import IncidentQuery
from opsorch.config import Settings
from opsorch.deadline import Deadline
from opsorch.gateway.app import create_app
from opsorch.observability import logs
from opsorch.providers.base import CallContext

HEALTH, QUERY = "GET /health", "POST /incidents/query"
_CALL = {"capability": "incident", "method": "incident.query", "code": "ok", "seconds": 0.001}
_OPERATION = CAPABILITIES["incident"].operations[0]


@dataclass(frozen=True)
class Cost:
    """Microseconds a request: CPU time, and the median on the clock."""

    cpu_us: float
    wall_us: float


@dataclass(frozen=True)
class Figures:
    """What was measured: requests by name, and the parts of a call by name."""

    requests: dict[str, Cost]
    parts: dict[str, Cost]


def measure(rounds: int = 5, requests: int = 500) -> Figures:
    """Measure; each round makes so many requests of each kind."""
    seen: dict[str, list[Cost]] = {HEALTH: [], QUERY: []}
    with running_rig(WORKERS="1") as rig, Client(rig.port) as client:
        reply = client.call("POST", "/incidents/query", {})
        assert reply.body == b"[]\n", reply.body[:500]
        for number in range(rounds + 1):
            costs = {
                HEALTH: _requests(rig, client, requests, "GET", "/health"),
                QUERY: _requests(rig, client, requests, "POST", "/incidents/query", {}),
            }
            for name, cost in costs.items():
                # The first round warms up.
                seen[name] += [cost] if number else []
    return Figures({name: _median(costs) for name, costs in seen.items()}, _parts(rounds, requests))


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.cpu_us for cost in costs),
        statistics.median(cost.wall_us for cost in costs),
    )


def _requests(
    rig: Rig, client: Client, count: int, verb: str, path: str, body: dict[str, str] | None = None
) -> Cost:
    (worker,) = rig.workers()
    before, walls = procs.cpu_s(worker), []
    for _ in range(count):
        reply = client.call(verb, path, body)
        assert reply.status == 200, reply.body[:500]
        walls.append(reply.seconds)
    return Cost((procs.cpu_s(worker) - before) / count * 1e6, statistics.median(walls) * 1e6)


def _parts(rounds: int, count: int) -> dict[str, Cost]:
    """Measure the application without its server, and what its call is made of."""
    with _application() as app:
        here = app.extensions["opsorch"]
        provider = here.registry["incident"].provider

        def ask() -> object:
            context = CallContext(Deadline.after(30), "request", "tester")
            return provider.call("incident.query", b"{}", context, repeatable=True)

        def tell() -> None:
            logs.emit("request.completed", request_id="r", status=200, duration_ms=1.0)
            here.audit.write({"action": "incident.query", "request_id": "r"})
            here.metrics.note("call.finished", _CALL)

        parts: dict[str, Callable[[], object]] = {
            f"application alone: {HEALTH}": lambda: _ask(app, "GET", "/health"),
            f"application alone: {QUERY}": lambda: _ask(app, "POST", "/incidents/query"),
            "- check the request": lambda: fields.load(IncidentQuery, {}),
            "- plugin call: checkout, frame, pipes, reply": ask,
            "- check and encode the result": lambda: _OPERATION.result.convert(b"[]"),
            "- log line, audit line, metrics": tell,
        }
        for part in parts.values():
            _timed(part, count)
        return {
            name: _median([_timed(part, count) for _ in range(rounds)])
            for name, part in parts.items()
        }


def _timed(part: Callable[[], object], count: int) -> Cost:
    cpu, walls = time.process_time(), []
    for _ in range(count):
        began = time.perf_counter()
        part()
        walls.append(time.perf_counter() - began)
    return Cost((time.process_time() - cpu) / count * 1e6, statistics.median(walls) * 1e6)


@functools.cache
def _void() -> int:
    """Open where log lines end. Never closed: the logs of this process go there from now on."""
    return os.open(os.devnull, os.O_WRONLY)


@contextlib.contextmanager
def _application() -> Iterator[flask.Flask]:
    """Make the application in this process, its plugin bench/plugin.py, its log into the void."""
    sink = logs.Sink(_void())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        environ = {
            "PATH": os.environ["PATH"],
            "OPSORCH_DATA_DIR": name,
            "OPSORCH_INCIDENT_PLUGIN": installed_plugin(folder),
        }
        app = create_app(Settings.from_env(environ), sink)
        try:
            yield app
        finally:
            app.extensions["opsorch"].supervisor.kill()
            sink.flush()


def _ask(app: flask.Flask, verb: str, path: str) -> None:
    """Answer one request as a server would have the application do it."""
    body = b"{}" if verb == "POST" else b""
    environ = {
        "REQUEST_METHOD": verb,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "RAW_URI": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
    }
    told: list[str] = []
    answer = app.wsgi_app(environ, lambda status, headers, *_: told.append(status))  # type: ignore[arg-type]
    assert told == ["200 OK"], b"".join(answer)


def report(console: Console, figures: Figures) -> None:
    """Print the figures."""
    table = Table(title="overhead: microseconds a small call", title_justify="left")
    table.add_column("what")
    for heading in ("gateway CPU", "clock", "CPU, /health = 1"):
        table.add_column(heading, justify="right")
    health = figures.requests[HEALTH]
    for group in (figures.requests, figures.parts):
        for name, cost in group.items():
            times = f"{cost.cpu_us / max(1.0, health.cpu_us):.2f}"
            table.add_row(name, f"{cost.cpu_us:.0f}", f"{cost.wall_us:.0f}", times)
        table.add_section()
    console.print(table)
    console.print(
        "What the application alone does not need goes to HTTP, sockets and waking threads.\n"
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=500)
    options = parser.parse_args(arguments)
    report(Console(), measure(options.rounds, options.requests))


if __name__ == "__main__":
    main()
