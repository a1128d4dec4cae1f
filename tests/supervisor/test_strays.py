"""Strays: told by their mark, killed by a descriptor, and nobody else with them."""

import contextlib
import os
import pathlib
import signal
import subprocess
from collections.abc import Iterator

import pytest

from opsorch.supervisor import strays
from opsorch.supervisor.launch import OWNER_VARIABLE
from opsorch.supervisor.strays import kill_strays, owner_mark, sweep_orphans
from tests.supervisor.pooling import eventually


@contextlib.contextmanager
def marked(mark: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that carries a mark."""
    process = subprocess.Popen(["/bin/sleep", "100"], env={OWNER_VARIABLE: mark, "A": "b"})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_mark_names_the_worker_and_its_start() -> None:
    namespace, pid, started = owner_mark().split(".")
    assert namespace.isdigit()
    assert int(pid) == os.getpid()
    with open("/proc/self/stat") as file:
        assert file.read().rsplit(")", 1)[1].split()[19] == started
    assert owner_mark(1) != owner_mark()


def test_only_those_of_interest_are_killed() -> None:
    with marked("test-a.1") as wanted, marked("test-b.1") as other:
        assert kill_strays(lambda mark: mark == "test-a.1") == [wanted.pid]
        assert wanted.wait(10) == -signal.SIGKILL
        assert other.poll() is None


def test_only_orphans_of_this_machine_are_swept() -> None:
    namespace = owner_mark().split(".")[0]
    gone = subprocess.Popen(["/bin/sleep", "100"])
    mark_of_gone = owner_mark(gone.pid)
    gone.kill()
    # A zombie is gone, too.
    gone_now = owner_mark(gone.pid)
    eventually(lambda: owner_mark(gone.pid).endswith("."))
    assert gone_now.startswith(f"{namespace}.{gone.pid}.")
    marks = {
        "mine": f"{owner_mark()}.alert.1",
        "another machine's": "1.2.3.alert.1",
        "nonsense": f"{namespace}.x.3.alert.1",
        "short": namespace,
        "reused": f"{namespace}.{os.getpid()}.1.alert.1",
        "orphan": f"{mark_of_gone}.alert.1",
    }
    with contextlib.ExitStack() as stack:
        made = {name: stack.enter_context(marked(mark)) for name, mark in marks.items()}
        swept = sweep_orphans()
        assert {made["reused"].pid, made["orphan"].pid} <= set(swept)
        for name in ("mine", "another machine's", "nonsense", "short"):
            assert made[name].poll() is None
    gone.wait()


def test_a_number_that_was_used_again_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with marked("test-c.1") as process:
        # By the time of the second look, it is another process.
        assert not strays._kill(process.pid, "test-d.1")
        assert process.poll() is None
    assert not strays._kill(process.pid, "test-c.1")


def test_one_that_ends_meanwhile_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(pidfd: int, signum: int) -> None:
        raise ProcessLookupError

    with marked("test-e.1") as process, monkeypatch.context() as patched:
        patched.setattr(strays.signal, "pidfd_send_signal", gone)
        assert kill_strays(lambda mark: mark == "test-e.1") == []
        assert process.poll() is None


def test_those_of_other_users_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    with marked("test-f.1"):
        monkeypatch.setattr(strays.os, "getuid", lambda: os.geteuid() + 12345)
        assert kill_strays(lambda mark: mark == "test-f.1") == []


def test_without_proc_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.listdir

    def hidden(path: str) -> list[str]:
        if path == "/proc":
            raise PermissionError
        return real(path)

    monkeypatch.setattr(strays.os, "listdir", hidden)
    assert kill_strays(lambda mark: True) == []


def test_without_namespaces_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(path: str) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(strays.os, "readlink", none)
    assert owner_mark().startswith("0.")


def test_a_process_without_a_mark_has_none(tmp_path: pathlib.Path) -> None:
    process = subprocess.Popen(["/bin/sleep", "100"], env={"A": "b"})
    assert strays._mark_of(process.pid) == ""
    process.kill()
    process.wait()
    assert strays._mark_of(process.pid) == ""
    assert owner_mark(process.pid).endswith(f".{process.pid}.")
