"""How a plugin is launched: its environment, its file, the launcher before it."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from opsorch.errors import PluginNotFound, PluginStartFailed
from opsorch.supervisor import launch
from opsorch.supervisor.launch import launcher, look_at_file, plugin_environment
from opsorch.supervisor.spec import PluginSpec


def spec(path: str | pathlib.Path) -> PluginSpec:
    return PluginSpec(label="alert", command=(str(path),), setting="OPSORCH_ALERT_PLUGIN")


def file(folder: pathlib.Path, content: bytes, mode: int = 0o755) -> pathlib.Path:
    path = folder / "plugin"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def header(machine: int, order: str = "little", size: int = 64) -> bytes:
    """An ELF header for a machine, and nothing behind it."""
    mark = b"\x01" if order == "little" else b"\x02"
    kind = (2).to_bytes(2, "little" if order == "little" else "big")
    number = machine.to_bytes(2, "little" if order == "little" else "big")
    head = b"\x7fELF\x02" + mark + b"\x01" + b"\0" * 9 + kind + number
    return (head + b"\0" * 64)[:size]


MACHINES = {"x86_64": 62, "aarch64": 183}
OWN = MACHINES.get(os.uname().machine, 0)


def reason(path: str | pathlib.Path) -> str:
    with pytest.raises(PluginStartFailed) as caught:
        look_at_file(spec(path))
    assert caught.value.message.startswith(f"The plugin of 'alert' ({path}) cannot be started: ")
    assert caught.value.message.endswith(" Correct the file or OPSORCH_ALERT_PLUGIN.")
    return caught.value.message


def test_only_what_plugins_may_see_is_passed() -> None:
    environ = {
        "PATH": "/bin",
        "HOME": "/root",
        "LANG": "C",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "TMPDIR": "/tmp",
        "SSL_CERT_FILE": "/ca.pem",
        "REQUESTS_CA_BUNDLE": "/ca.pem",
        "https_proxy": "http://p",
        "NO_PROXY": "x",
        "OPSORCH_LOG_LEVEL": "debug",
    }
    kept_back = {
        "OPSORCH_BEARER_TOKEN": "t",
        "OPSORCH_ALERT_CONFIG": "{}",
        "AWS_SECRET_ACCESS_KEY": "k",
        "MINE": "m",
        "LD_PRELOAD": "x",
        "PYTHONPATH": "x",
        "PYTHONUNBUFFERED": "0",
    }
    given = plugin_environment({**environ, **kept_back})
    assert given == {**environ, "PYTHONUNBUFFERED": "1"}


def test_what_the_settings_name_is_passed_too() -> None:
    given = plugin_environment({"MINE": "m"}, also=("MINE", "ABSENT"), data_dir="/data")
    assert given == {"MINE": "m", "OPSORCH_DATA_DIR": "/data", "PYTHONUNBUFFERED": "1"}


@pytest.mark.parametrize("path", ["nowhere", "plugin/below-a-file"])
def test_no_file_is_not_found(tmp_path: pathlib.Path, path: str) -> None:
    file(tmp_path, b"#!/bin/sh\n")
    with pytest.raises(PluginNotFound, match="Correct OPSORCH_ALERT_PLUGIN"):
        look_at_file(spec(tmp_path / path))


def test_what_cannot_be_looked_at_is_told(tmp_path: pathlib.Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "cannot be looked at (Too many levels of symbolic links)" in reason(loop)
    assert "cannot be looked at (File name too long)" in reason(tmp_path / ("x" * 300))


def test_only_regular_files_are_plugins(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o755)
    assert "it is no regular file" in reason(tmp_path / "fifo")
    assert "it is a directory" in reason(tmp_path)


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o000])
def test_a_file_must_be_executable(tmp_path: pathlib.Path, mode: int) -> None:
    path = file(tmp_path, b"#!/bin/sh\n", mode)
    assert f"it is not executable (mode {mode:04o})" in reason(path)


@pytest.mark.parametrize("mode", [0o755, 0o700, 0o775])
def test_a_fit_script_is_told_nothing_of(tmp_path: pathlib.Path, mode: int) -> None:
    assert look_at_file(spec(file(tmp_path, b"#! /bin/sh -e\necho\n", mode))) == ()


def test_a_world_writable_file_is_odd(tmp_path: pathlib.Path) -> None:
    assert look_at_file(spec(file(tmp_path, b"#!/bin/sh\n", 0o777))) == ("world-writable",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"#!\n", "its first line names no interpreter"),
        (b"#!   ", "its first line names no interpreter"),
        (b"#!/no/such/python3 -S\n", "its interpreter /no/such/python3 is missing"),
        (b"#!/bin/sh\r\n", ""),
        (b"echo\n", "it is neither an ELF file nor a script with a #! line"),
        (b"", "it is neither an ELF file nor a script with a #! line"),
        (header(OWN, size=19), "its ELF header is cut"),
        (header(8), "it is built for machine 8, this machine is"),
        (header(22, "big"), "it is built for machine 22, this machine is"),
    ],
)
def test_a_file_of_the_wrong_kind_is_told(
    tmp_path: pathlib.Path, content: bytes, said: str
) -> None:
    path = file(tmp_path, content)
    if said:
        assert said in reason(path)
    else:
        assert look_at_file(spec(path)) == ()


@pytest.mark.parametrize(
    ("own", "machine", "said"),
    [
        ("x86_64", 62, ""),
        ("x86_64", 3, ""),
        ("x86_64", 183, "built for ARM64, this machine is x86_64"),
        ("aarch64", 183, ""),
        ("aarch64", 40, ""),
        ("aarch64", 62, "built for x86-64, this machine is aarch64"),
        ("armv7l", 183, "built for ARM64, this machine is armv7l"),
        ("a machine nobody knows", 62, ""),
    ],
)
def test_the_machine_must_be_this_one(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    own: str,
    machine: int,
    said: str,
) -> None:
    known = os.uname()
    mine = os.uname_result((*known[:4], own))
    monkeypatch.setattr(os, "uname", lambda: mine)
    path = file(tmp_path, header(machine))
    if said:
        assert said in reason(path)
    else:
        assert look_at_file(spec(path)) == ()


def test_a_file_that_cannot_be_read_may_still_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(tmp_path, b"no program", 0o111)

    def refuse(*words: object) -> None:
        raise PermissionError

    # Root reads what it has no right to read.
    monkeypatch.setattr(launch, "open", refuse, raising=False)
    assert look_at_file(spec(path)) == ()


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


# What a plugin launched so sees: its parent's death signal, its core limit, its niceness.
SHOW = (
    "import ctypes, os, resource\n"
    "signum = ctypes.c_int()\n"
    "ctypes.CDLL(None).prctl(2, ctypes.byref(signum))\n"
    "print(signum.value, resource.getrlimit(resource.RLIMIT_CORE), os.nice(0))\n"
)


@pytest.fixture(params=["setpriv", "python"])
def launcher_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    kind = str(request.param)
    if kind == "setpriv":
        assert shutil.which("setpriv"), "util-linux is missing on this machine"
    else:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    return kind


@pytest.mark.parametrize("nice", [0, 7])
def test_a_plugin_dies_with_its_parent_and_dumps_no_core(launcher_kind: str, nice: int) -> None:
    command = [*launcher(os.getpid(), nice), sys.executable, "-S", "-c", SHOW, "a b", "*"]
    done = run(command)
    assert done.stderr == ""
    assert done.stdout == f"{int(signal.SIGKILL)} (0, 0) {os.nice(0) + nice}\n"


@pytest.mark.fault(40)
def test_nothing_starts_under_another_parent(launcher_kind: str) -> None:
    done = run([*launcher(1, 0), sys.executable, "-S", "-c", SHOW])
    assert (done.returncode, done.stdout) == (125, "")


def test_arguments_arrive_as_they_are(launcher_kind: str) -> None:
    odd = ["a b", "$HOME", "*", "", "-n", "é\n"]
    script = "import sys; print(ascii(sys.argv[1:]))"
    done = run([*launcher(os.getpid(), 0), sys.executable, "-S", "-c", script, *odd])
    assert done.stdout == f"{odd!a}\n"
