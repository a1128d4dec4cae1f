"""Connections on their way out: nobody waits for them, and the client gets its answer."""

import selectors
import socket
from collections.abc import Iterator

import pytest

from opsorch.gateway import partings
from opsorch.gateway.partings import Partings


class Loop:
    """A main loop of one turn at a time, and the count of closed connections."""

    def __init__(self) -> None:
        self.poller = selectors.DefaultSelector()
        self.closed = 0
        self.partings = Partings(self.poller, self._on_closed)

    def _on_closed(self) -> None:
        self.closed += 1

    def turn(self) -> None:
        for key, _ in self.poller.select(10):
            key.data(key.fileobj)


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.poller.close()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname(), timeout=20)
        ours, _ = listening.accept()
    with ours, theirs:
        yield ours, theirs


Ends = tuple[socket.socket, socket.socket]


def test_the_client_reads_the_end_and_its_close_is_awaited(loop: Loop, ends: Ends) -> None:
    ours, theirs = ends
    theirs.sendall(b"x" * 1000)
    ours.sendall(b"the answer")
    loop.partings.part(ours)
    assert theirs.recv(100) == b"the answer"
    assert theirs.recv(100) == b""
    loop.turn()
    assert loop.closed == 0, "bytes were dropped, the client has not closed"
    theirs.close()
    loop.turn()
    assert loop.closed == 1
    assert ours.fileno() == -1
    loop.partings.expire()


def test_a_client_that_never_closes_is_left_after_a_while(
    loop: Loop, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = ends
    loop.partings.part(ours)
    loop.partings.expire()
    assert loop.closed == 0
    monkeypatch.setattr(partings, "LINGER_S", -1.0)
    loop.partings.expire()
    assert loop.closed == 0, "its time was set when it parted"
    other, _theirs = socket.socketpair()
    loop.partings.part(other)
    loop.partings.expire()
    assert loop.closed == 1
    assert other.fileno() == -1
    _theirs.close()


def test_a_client_that_only_sends_is_left(
    loop: Loop, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partings, "MOST_BYTES", 10)
    ours, theirs = ends
    theirs.sendall(b"x" * 100)
    loop.partings.part(ours)
    loop.turn()
    assert loop.closed == 1


def test_a_connection_that_is_gone_is_closed_at_once(loop: Loop, ends: Ends) -> None:
    ours, _ = ends
    ours.close()
    loop.partings.part(ours)
    assert loop.closed == 1


def test_a_reset_and_a_false_alarm(loop: Loop, ends: Ends) -> None:
    ours, theirs = ends
    loop.partings.part(ours)
    # The poller may wake for nothing.
    loop.partings._drop(ours)
    assert loop.closed == 0
    # Closing with SO_LINGER 0 sends a reset.
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    theirs.close()
    loop.turn()
    assert loop.closed == 1
