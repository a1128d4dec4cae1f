"""Plugins in three languages through the whole gateway; and what happens when they fail."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from opsorch.supervisor.launch import OWNER_VARIABLE
from tests.harness import Gateway, running_gateway
from tests.processes import all_pids, children, command, environ

HERE = pathlib.Path(__file__).parent / "plugins"


def plugin_pids(gateway: Gateway) -> list[int]:
    """The plugin processes of a gateway's workers, by their mark."""
    workers = children(gateway.process.pid)
    marks = {pid: owner_of(pid) for pid in all_pids()}
    return [pid for pid, mark in marks.items() if mark and int(mark.split(".")[1]) in workers]


def owner_of(pid: int) -> str:
    """Who started a plugin process, "" for any other process."""
    start = f"{OWNER_VARIABLE}="
    return next((e.removeprefix(start) for e in environ(pid) if e.startswith(start)), "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("plugins")


@pytest.fixture(scope="module")
def gateway(folder: pathlib.Path) -> Iterator[Gateway]:
    script = folder / "teams"
    script.write_text(f"#!{sys.executable}\n{(HERE / 'teams.py').read_text()}")
    script.chmod(0o755)
    silent = folder / "silent"
    silent.write_text("#!/bin/sh\nwhile read -r line; do :; done\n")
    silent.chmod(0o755)
    crashing = folder / "crashing"
    crashing.write_text("#!/bin/sh\necho 'no licence found' >&2\nexit 3\n")
    crashing.chmod(0o755)
    env = {
        "OPSORCH_WORKERS": "2",
        "OPSORCH_INCIDENT_PLUGIN": str(HERE / "incidents.sh"),
        "OPSORCH_TEAM_PLUGIN": str(script),
        "OPSORCH_TEAM_CONFIG": '{"prefix":"acme"}',
        "OPSORCH_SERVICE_PLUGIN": str(silent),
        "OPSORCH_SERVICE_TIMEOUT": "0.5",
        "OPSORCH_ALERT_PLUGIN": str(crashing),
        "OPSORCH_LOG_PLUGIN": str(folder / "missing"),
    }
    with running_gateway(env) as running:
        yield running


def test_a_plugin_in_shell_needs_its_path_and_nothing_else(gateway: Gateway) -> None:
    told = gateway.request("POST", "/incidents/query", {}).json
    assert (told[0]["title"], told[0]["createdAt"]) == ("from the shell", "0001-01-01T00:00:00Z")
    assert gateway.request("POST", "/incidents", {"title": "t"}).status == 201
    missing = gateway.request("GET", "/incidents/none")
    assert (missing.status, missing.json["message"]) == (404, "incident none not found")
    odd = gateway.request("GET", "/incidents/1/timeline")
    assert (odd.status, odd.json["code"]) == (502, "provider_error")
    assert odd.json["message"] == "this plugin does not know the method"


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler on this machine")
def test_a_plugin_in_c(tmp_path: pathlib.Path) -> None:
    binary = tmp_path / "tickets"
    subprocess.run(["cc", "-O1", "-o", str(binary), str(HERE / "tickets.c")], check=True)
    with running_gateway({"OPSORCH_TICKET_PLUGIN": str(binary)}) as running:
        [ticket] = running.request("POST", "/tickets/query", {}).json
    assert (ticket["title"], ticket["createdAt"]) == ("from C", "2026-03-01T10:00:00Z")


def test_a_plugin_in_python_with_the_sdk(gateway: Gateway) -> None:
    told = gateway.request("POST", "/teams/query", {}).json
    assert [team["id"] for team in told] == ["acme-1", "acme-2"]
    assert gateway.request("GET", "/teams/x").json["code"] == "not_found"


def test_no_read_fails_when_every_plugin_is_killed_between_two(gateway: Gateway) -> None:
    for _ in range(5):
        assert gateway.request("POST", "/incidents/query", {}).status == 200
        assert gateway.request("POST", "/teams/query", {}).status == 200
        for pid in plugin_pids(gateway):
            os.kill(pid, signal.SIGKILL)
        assert gateway.request("POST", "/incidents/query", {}).status == 200
        assert gateway.request("POST", "/teams/query", {}).status == 200


def test_a_hanging_plugin_is_stopped_at_its_limit_and_the_next_call_works(
    gateway: Gateway,
) -> None:
    for _ in range(3):
        late = gateway.request("POST", "/services/query", {})
        assert (late.status, late.json["code"]) == (504, "rpc_timeout")
        assert "0.5 s" in late.json["message"]
        assert gateway.request("POST", "/incidents/query", {}).status == 200


def test_a_missing_file_a_crash_and_nothing_at_all_are_told_apart(gateway: Gateway) -> None:
    missing = gateway.request("POST", "/logs/query", {})
    assert (missing.status, missing.json["code"]) == (503, "plugin_not_found")
    assert "OPSORCH_LOG_PLUGIN" in missing.json["message"]
    crashed = gateway.request("POST", "/alerts/query", {})
    assert (crashed.status, crashed.json["code"]) == (503, "plugin_start_failed")
    assert int(crashed.headers["Retry-After"]) >= 1
    nothing = gateway.request("POST", "/metrics/query", {})
    assert (nothing.status, nothing.json["code"]) == (501, "metric_provider_missing")


def test_the_crash_is_explained_in_the_message(folder: pathlib.Path) -> None:
    env = {"OPSORCH_ALERT_PLUGIN": str(folder / "crashing")}
    (folder / "crashing").write_text("#!/bin/sh\necho 'no licence found' >&2\nexit 3\n")
    (folder / "crashing").chmod(0o755)
    with running_gateway(env) as running:
        told = running.request("POST", "/alerts/query", {}).json["message"]
    assert "exit status 3" in told
    assert "no licence found" in told


def test_a_secret_of_the_configuration_stays_out_of_answers_and_logs(
    tmp_path: pathlib.Path,
) -> None:
    leaky = tmp_path / "leaky"
    leaky.write_text(
        '#!/bin/sh\nread -r line\necho "got hunter2222" >&2\n'
        'printf \'{"error":"the token hunter2222 is refused"}\\n\'\nread -r line\n'
    )
    leaky.chmod(0o755)
    env = {
        "OPSORCH_ALERT_PLUGIN": str(leaky),
        "OPSORCH_ALERT_CONFIG": json.dumps({"token": "hunter2222"}),
    }
    with running_gateway(env) as running:
        told = running.request("POST", "/alerts/query", {}).json["message"]
        for pid in plugin_pids(running):
            assert "hunter2222" not in " ".join([*command(pid), *environ(pid)])
        running.stop()
        log = running.log()
    assert told == "the token *** is refused"
    assert "hunter2222" not in log
    assert "got ***" in log
