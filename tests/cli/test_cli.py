"""The command line."""

import runpy
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from opsorch import __version__
from opsorch.cli import main


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environ)


def test_help_and_version() -> None:
    assert __version__ in run("--version").output
    for command in ([], ["serve"], ["demo"], ["demo", "reset"]):
        done = run(*command, "--help")
        assert done.exit_code == 0
        assert "Usage:" in done.output


def test_it_runs_as_a_module(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["opsorch", "--version"])
        with pytest.raises(SystemExit) as left:
            runpy.run_module("opsorch.cli", run_name="__main__")
    assert left.value.code == 0
    assert f"opsorch, version {__version__}" in capsys.readouterr().out


def test_check_tells_what_answers_for_what(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(
        "OPSORCH_TEAM_PLUGIN=bundled:demo\nOPSORCH_LOG_PLUGIN=/x\nOPSORCH_LOG_CONFIG={\n"
        "OPSORCH_WORKER=1\nOPSORCH_TICKET_PLUGIN=bundled:nope\nOPSORCH_SECRET_PLUGIN=/x\n"
    )
    done = run("serve", "--check", "--env-file", str(file))
    assert done.exit_code == 1
    lines = dict(line.split(None, 1) for line in done.output.splitlines() if ":  " not in line)
    assert lines["team"] == "bundled:demo"
    assert lines["log"] == "OFF: OPSORCH_LOG_CONFIG is not valid JSON"
    assert lines["ticket"].startswith("OFF: OPSORCH_TICKET_PLUGIN names no bundled adapter")
    assert lines["metric"] == "not configured"
    assert "unknown variable: OPSORCH_WORKER" in done.output
    assert "OPSORCH_SECRET_*: secret providers are not supported yet" in done.output


def test_check_is_content_with_what_can_work() -> None:
    environ = {"OPSORCH_TEAM_PLUGIN": "bundled:demo", "OPSORCH_LOG_PROVIDER": "demo"}
    done = run("serve", "--check", "--env-file", "/dev/null", **environ)
    assert done.exit_code == 0, done.output
    assert "OFF" not in done.output


def test_check_looks_where_the_data_would_be_kept() -> None:
    environ = {"OPSORCH_TEAM_PLUGIN": "bundled:demo", "OPSORCH_DATA_DIR": "/dev/null"}
    done = run("serve", "--check", "--env-file", "/dev/null", **environ)
    assert done.exit_code == 1
    assert "OFF: demo config: field dataDir (OPSORCH_DATA_DIR unless given)" in done.output


@pytest.mark.parametrize("command", [["serve"], ["serve", "--check"], ["demo", "reset", "--yes"]])
def test_a_file_that_was_named_must_be_there(command: list[str], tmp_path: Path) -> None:
    """A typing error would start a gateway without its token."""
    done = run(*command, "--env-file", str(tmp_path / "none"))
    assert done.exit_code == 1
    assert f"there is no file {tmp_path / 'none'}" in done.output


@pytest.mark.parametrize("command", [["serve"], ["serve", "--check"], ["demo", "reset", "--yes"]])
def test_settings_that_do_not_parse_stop_it_with_one_line(
    command: list[str], tmp_path: Path
) -> None:
    environ = {"OPSORCH_WORKERS": "none", "OPSORCH_THREADS": "none"}
    done = run(*command, "--env-file", "/dev/null", **environ)
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert "OPSORCH_WORKERS" in done.output
    assert "OPSORCH_THREADS" in done.output


def test_demo_reset_begins_the_world_anew(tmp_path: Path) -> None:
    from opsorch.plugin import Call
    from opsorch_plugins.demo.incidents import DemoIncidents
    from opsorch_plugins.demo.state import forget_states

    provider = DemoIncidents({"dataDir": str(tmp_path), "seed": "s"})
    made = provider.create({"title": "t"}, Call())
    forget_states()
    environ = {
        "OPSORCH_DATA_DIR": str(tmp_path),
        "OPSORCH_INCIDENT_PLUGIN": "bundled:demo",
        "OPSORCH_INCIDENT_CONFIG": '{"seed":"s"}',
    }
    done = run("demo", "reset", "--yes", "--env-file", "/dev/null", **environ)
    assert done.exit_code == 0, done.output
    assert str(tmp_path) in done.output
    ids = [one["id"] for one in provider.query({}, Call())]
    assert ids
    assert made["id"] not in ids
    forget_states()


def test_demo_reset_says_what_hinders_it(tmp_path: Path) -> None:
    environ = {"OPSORCH_DATA_DIR": "/proc/nowhere"}
    done = run("demo", "reset", "--yes", "--env-file", "/dev/null", **environ)
    assert done.exit_code == 1
    assert "/proc/nowhere" in done.output
