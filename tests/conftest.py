"""Guards around every test: a clean environment, loopback only, and nothing left behind."""

import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest

from tests.processes import children, command

SETTLE_S = 10.0

# The same examples in every run; `make fuzz` looks for new ones.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("fresh", deadline=None)
hypothesis.settings.load_profile("steady")


@pytest.fixture(autouse=True, scope="session")
def clean_environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No variable of the machine's own gateway reaches a test, and no test writes into a home."""
    with pytest.MonkeyPatch.context() as patched:
        for name in [name for name in os.environ if name.startswith(("OPSORCH_", "XDG_"))]:
            patched.delenv(name)
        patched.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """A test that would reach for another machine fails."""
    real = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else "127.0.0.1"
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test connects to {host}")
        real(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign]
    yield
    socket.socket.connect = real  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """A test leaves no child process behind, dead or alive."""
    before = children()
    yield
    settled = threading.Event()
    until = time.monotonic() + SETTLE_S
    while (left := children() - before) and time.monotonic() < until:
        settled.wait(0.02)
    assert not left, f"child processes left: {[(pid, command(pid)) for pid in left]}"


def in_a_fork(work: Callable[[], None]) -> int:
    """Run work in a forked process; returns its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
