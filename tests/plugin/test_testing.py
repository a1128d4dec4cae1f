"""The helpers for tests of plugins, and the command that runs a class."""

import runpy
import subprocess
import sys
from typing import Any

import pytest

from opsorch.plugin import run
from opsorch.plugin.testing import PluginProcess, command_of, run_plugin
from tests.plugin.acme import ENV, Acme


def shell(script: str) -> PluginProcess:
    return PluginProcess(["sh", "-c", script])


def test_a_command_of_any_language_is_driven() -> None:
    """One line in, one line out."""
    with run_plugin(
        ["sh", "-c", 'while read -r line; do echo "{\\"result\\": 1}"; done']
    ) as plugin:
        assert plugin.call("ticket.get") == {"result": 1}
        assert plugin.call("ticket.get") == {"result": 1}
        assert plugin.pid > 0
        assert plugin.returncode is None
    assert plugin.returncode == 0


def test_a_plugin_that_ends_is_told_with_its_stderr() -> None:
    """So that the test's failure says why."""
    dying = run_plugin(["sh", "-c", "echo no luck >&2; exit 3"])
    with dying as plugin, pytest.raises(EOFError, match="no luck"):
        plugin.call("ticket.get")
    assert plugin.returncode == 3


def test_a_plugin_that_does_not_answer() -> None:
    """The wait is bounded."""
    with run_plugin(["sh", "-c", "cat >&2"]) as plugin, pytest.raises(TimeoutError):
        plugin.call("ticket.get", timeout_s=0)


def test_a_plugin_that_is_gone_is_not_written_to() -> None:
    """A closed stdin is no error by itself; a missing answer is."""
    with run_plugin(["sh", "-c", "exec <&-; echo 1"]) as plugin:
        plugin._process.wait(60)
        assert plugin.call("ticket.get") == 1
        with pytest.raises(EOFError):
            plugin.call("ticket.get")


def test_a_big_request_and_a_flood_of_stderr_at_once() -> None:
    """Neither side waits for the other."""
    with run_plugin(Acme, ENV) as plugin:
        payload = {"do": "flood", "bytes": 1_000_000, "padding": "x" * 1_000_000}
        assert plugin.call("ticket.query", payload) == {"result": "flooded"}
        plugin.call("ticket.query", payload)
    assert len(plugin.close()) == 2_000_000


def test_a_plugin_that_writes_before_it_has_read() -> None:
    """Its line is its answer once the request is out; what stands after it is the next."""
    script = 'echo 1; echo 2; while read -r line; do echo "${#line}"; done'
    with run_plugin(["sh", "-c", script]) as plugin:
        line = b"x" * 300_000
        assert [plugin.send_line(line) for _ in range(3)] == [1, 2, len(line)]


def test_what_closes_its_stderr_is_heard_all_the_same() -> None:
    """The rest of the pipes goes on."""
    with run_plugin(["sh", "-c", "exec 2>&-; read -r line; echo 1"]) as plugin:
        assert plugin.call("ticket.get") == 1


def test_what_does_not_leave_is_killed_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test never hangs at its end."""
    plugin = shell("trap '' TERM; echo here >&2; sleep 1000 & wait; sleep 1000")
    communicate = plugin._process.communicate
    waits: list[float | None] = []

    def hurried(timeout: float | None = None) -> Any:
        waits.append(timeout)
        return communicate(timeout=timeout and 0.1)

    monkeypatch.setattr(plugin._process, "communicate", hurried)
    assert plugin.close() == "here\n"
    assert waits == [5, None]
    assert plugin.returncode == -9
    assert plugin.close() == "here\n"


def test_a_plugin_runs_in_a_small_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like under the gateway."""
    monkeypatch.setenv("OPSORCH_BEARER_TOKEN", "not for plugins")
    script = 'read -r line; echo "\\"$OPSORCH_BEARER_TOKEN$PYTHONUNBUFFERED$OWN\\""'
    with run_plugin(["sh", "-c", script], {"OWN": "2"}) as plugin:
        assert plugin.call("x") == "12"


# --- python -m opsorch.plugin.run ---------------------------------------------------------------


class Outer:
    class Inner(Acme):
        served = 0

        @classmethod
        def serve(cls) -> None:
            cls.served += 1


@pytest.mark.parametrize("as_main", [True, False])
def test_run_serves_the_class_it_is_told(monkeypatch: pytest.MonkeyPatch, as_main: bool) -> None:
    """One inside another class as well."""
    target = command_of(Outer.Inner)[-1]
    before = Outer.Inner.served
    monkeypatch.setattr(sys, "argv", ["run", target])
    if as_main:
        monkeypatch.delitem(sys.modules, "opsorch.plugin.run")
        runpy.run_module("opsorch.plugin.run", run_name="__main__")
    else:
        run.main()
    assert Outer.Inner.served == before + 1


@pytest.mark.parametrize("arguments", [[], ["a"], ["a:"], [":b"], ["a:b", "c"]])
def test_run_says_what_it_needs(arguments: list[str]) -> None:
    """Instead of a traceback."""
    command = [sys.executable, "-m", "opsorch.plugin.run", *arguments]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.decode().count("\n") == 1
    assert "MODULE:CLASS" in done.stderr.decode()


def test_run_refuses_within_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same by main()."""
    monkeypatch.setattr(sys, "argv", ["run"])
    with pytest.raises(SystemExit, match="MODULE:CLASS"):
        run.main()
