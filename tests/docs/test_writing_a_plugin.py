"""The examples of docs/writing-a-plugin.md, cut out of the page and run as real processes."""

import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import flask
import pytest

from opsorch.errors import CODES_OF_PLUGINS, ReportedError
from opsorch.plugin.testing import PluginProcess, run_plugin
from tests.fakes.server import FakeServer, Fault, serving
from tests.harness import ROOT

PAGE = ROOT / "docs" / "writing-a-plugin.md"
TOKEN = "a-token-of-the-tests"

Json = dict[str, Any]


def blocks(kind: str) -> list[tuple[str, str]]:
    """Return what stands after the language, and the text, of each fenced block of a language."""
    fence = rf"^```{kind}(?: +(\S+))?\n(.*?)^```$"
    return re.findall(fence, PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The files of the page, executable."""
    made = tmp_path_factory.mktemp("page")
    for kind in ("sh", "python"):
        for about, text in blocks(kind):
            if about.startswith("file="):
                path = made / about.removeprefix("file=")
                path.write_text(text, encoding="utf-8")
                path.chmod(0o755)
    return made


def run(folder: pathlib.Path, *command: str) -> str:
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return done.stdout.decode()


def test_the_commands_of_the_page_run_as_written(folder: pathlib.Path) -> None:
    """The first prints what the page shows, the second describes the adapter."""
    by_shell, by_python = (text for about, text in blocks("sh") if about == "run")
    [(_, shown)] = [block for block in blocks("json") if block[0] == "output"]
    assert run(folder, "sh", "-c", by_shell) == shown
    about = json.loads(run(folder, "sh", "-c", by_python))["result"]
    assert (about["name"], about["capability"]) == ("acme", "ticket")
    assert about["methods"] == ["ticket.create", "ticket.get", "ticket.query"]
    assert about["config"]["required"] == ["url", "token"]


def test_the_shell_plugin_speaks_the_protocol(folder: pathlib.Path) -> None:
    """Results, errors, compact and spaced JSON, and status 0 at the end."""
    with run_plugin([str(folder / "teams.sh")]) as plugin:
        assert [team["id"] for team in plugin.call("team.query", {})["result"]] == ["ops", "web"]
        assert plugin.call("team.get", {"id": "ops"})["result"]["name"] == "Operations"
        assert plugin.call("team.get", {"id": "x"})["error"]["code"] == "not_found"
        assert plugin.call("team.members", {})["error"]["code"] == "bad_request"
        compact = b'{"method":"team.get","config":{},"payload":{"id":"ops"},"id":"1"}'
        assert plugin.send_line(compact)["result"]["id"] == "ops"
    assert plugin.returncode == 0


def make_acme() -> flask.Flask:
    """The imaginary tracker of the page."""
    app = flask.Flask("acme")
    items = [
        {
            "number": n,
            "subject": f"Item {n}",
            "state": "new",
            "created": "2024-05-06T09:00:00+02:00",
        }
        for n in range(1, 121)
    ]

    @app.before_request
    def check_token() -> Any:
        if flask.request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return {"reason": "who are you?"}, 401
        return None

    @app.get("/api/me")
    def me() -> Json:
        return {"name": "robot"}

    @app.get("/api/items")
    def find() -> Json:
        start = (int(flask.request.args["page"]) - 1) * 50
        states = flask.request.args["state"].split(",")
        found = [item for item in items if states == [""] or item["state"] in states]
        return {"items": found[start : start + 50], "more": len(found) > start + 50}

    @app.get("/api/items/<int:number>")
    def get(number: int) -> Any:
        found = [item for item in items if item["number"] == number]
        return found[0] if found else ({"reason": f"no item {number}"}, 404)

    @app.post("/api/items")
    def create() -> Any:
        made = {"number": len(items) + 1, "state": "new", **(flask.request.json or {})}
        items.append(made)
        return made, 201

    return app


@pytest.fixture
def acme() -> Iterator[FakeServer]:
    with serving(make_acme()) as server:
        yield server


@pytest.fixture(scope="module")
def plugin(folder: pathlib.Path) -> Iterator[PluginProcess]:
    with run_plugin([sys.executable, str(folder / "acme_tickets.py")]) as process:
        yield process
    assert process.returncode == 0


def test_the_python_adapter_reads(plugin: PluginProcess, acme: FakeServer) -> None:
    """Pages up to the limit, statuses both ways, one ticket, none."""
    config = {"baseURL": f"{acme.url}/api/", "token": TOKEN}

    def call(method: str, payload: Any = None) -> Json:
        return plugin.call(method, payload, config=config)

    found = call("ticket.query", {"statuses": ["Open"], "limit": 70})["result"]
    assert [ticket["id"] for ticket in found] == [str(n) for n in range(1, 71)]
    assert found[0] == {
        "id": "1",
        "title": "Item 1",
        "status": "open",
        "createdAt": "2024-05-06T07:00:00Z",
        "updatedAt": "0001-01-01T00:00:00Z",
    }
    assert len(call("ticket.query")["result"]) == 50
    assert call("ticket.query", {"statuses": ["closed"]})["result"] == []
    assert call("ticket.get", {"id": "7"})["result"]["title"] == "Item 7"
    missing = call("ticket.get", {"id": "999"})["error"]
    assert missing == {"code": "not_found", "message": "Acme answered HTTP 404: no item 999"}
    bad = call("ticket.query", {"statuses": ["asleep"]})["error"]
    assert (bad["code"], "in_progress" in bad["message"]) == ("bad_request", True)
    check = call("plugin.check")["result"]
    assert check["ok"] and check["checks"][1]["message"] == "as robot"


def test_the_python_adapter_writes_once(plugin: PluginProcess, acme: FakeServer) -> None:
    """A lost answer has an unknown outcome."""
    config = {"url": f"{acme.url}/api", "token": TOKEN}
    made = plugin.call("ticket.create", {"title": "New", "description": "text"}, config=config)
    assert (made["result"]["id"], made["result"]["description"]) == ("121", "text")
    acme.fail_next(Fault(drop=True, apply_first=True))
    lost = plugin.call("ticket.create", {"title": "Lost"}, config=config)["error"]
    assert (lost["code"], lost["outcome"]) == ("upstream_unreachable", "unknown")
    assert acme.count("POST") == 2
    assert "title is required" in str(plugin.call("ticket.create", {}, config=config))


def test_the_python_adapter_keeps_its_token(plugin: PluginProcess, acme: FakeServer) -> None:
    """A refused token is auth_failed, without the vendor's words."""
    config = {"url": f"{acme.url}/api", "token": "another-token"}
    error = plugin.call("ticket.get", {"id": "1"}, config=config)["error"]
    assert error == {"code": "auth_failed", "message": "Acme answered HTTP 401"}


def test_the_tests_of_the_page_pass(folder: pathlib.Path) -> None:
    """As their reader would run them."""
    test = next(path for path in folder.iterdir() if path.name.startswith("test_"))
    out = run(folder, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test.name)
    assert "2 passed" in out


def test_every_block_of_the_page_is_used() -> None:
    """A block that is neither a file, a command, an output nor settings is not tested."""
    marked = re.findall(r"^```(\w+)(?: +(\S+))?$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    for kind, about in marked:
        assert kind == "env" or about in {"run", "output"} or about.startswith("file="), kind
    assert len(marked) == 8


def test_the_protocol_page_gives_each_code_its_status() -> None:
    """The statuses of the table are those that the gateway answers."""
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    rows = {
        code: int(status)
        for code, status in re.findall(r"^\| `(\w+)`.* \| (\d{3}) \|", page, re.MULTILINE)
    }
    assert set(rows) >= CODES_OF_PLUGINS | {"provider_error", "auth_failed", "invalid_config"}
    assert rows == {code: ReportedError("x", code=code).status for code in rows}


def test_the_frames_of_the_protocol_page_are_json() -> None:
    """And replies have a result or an error."""
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    lines = "".join(
        re.findall(r"^```json\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    ).splitlines()
    request, *replies = map(json.loads, lines)
    assert set(request) == {"method", "config", "payload", "id", "context"}
    assert [set(reply) & {"result", "error"} for reply in replies] == [{"result"}, {"error"}]
