"""How long a connection may take to send what it began."""

import signal
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from opsorch.gateway.patience import Patience
from tests.plugin.loopback import CERTIFICATE


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection; reads that would hang fail instead."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.settimeout(20)
    with ours, theirs:
        yield ours, theirs


Ends = tuple[socket.socket, socket.socket]


def test_a_read_ends_when_its_time_is_over(ends: Ends) -> None:
    ours, theirs = ends
    patience = Patience()
    got: list[bytes] = []
    with patience.watching(ours, -1.0):
        reader = threading.Thread(target=lambda: got.append(ours.recv(10)))
        reader.start()
        patience.expire()
        reader.join(20)
    assert got == [b""]
    ours.sendall(b"an answer")
    assert theirs.recv(20) == b"an answer", "writing goes on"


def test_a_socket_in_time_is_left_alone(ends: Ends) -> None:
    ours, theirs = ends
    patience = Patience()
    with patience.watching(ours, 60.0):
        patience.expire()
        theirs.sendall(b"more")
        assert ours.recv(10) == b"more"


def test_a_socket_is_forgotten_after_its_block(ends: Ends) -> None:
    ours, theirs = ends
    patience = Patience()
    with patience.watching(ours, -1.0):
        pass
    assert not patience.forget("nothing that was watched")
    patience.expire()
    theirs.sendall(b"more")
    assert ours.recv(10) == b"more"


def test_the_socket_that_counts_is_the_present_one(ends: Ends) -> None:
    ours, theirs = ends
    patience = Patience()
    owner = {"socket": theirs}
    patience.watch(owner, lambda: owner["socket"], -1.0)
    owner["socket"] = ours
    patience.expire()
    assert ours.recv(10) == b""
    ours.sendall(b"still open")
    assert theirs.recv(20) == b"still open"


def test_nothing_and_a_closed_socket_do_no_harm() -> None:
    patience = Patience()
    closed, other = socket.socketpair()
    other.close()
    closed.close()
    with patience.watching(None, -1.0), patience.watching(closed, -1.0):
        patience.expire()


def test_the_end_shuts_what_is_watched_and_what_comes_later(ends: Ends) -> None:
    ours, theirs = ends
    patience = Patience()
    patience.watch(ours, lambda: ours, 60.0)
    patience.give_up()
    assert ours.recv(10) == b""
    patience.watch(theirs, lambda: theirs, 60.0)
    assert theirs.recv(10) == b""
    patience.expire()


def test_a_signal_may_come_while_the_list_is_held(ends: Ends) -> None:
    ours, _ = ends
    patience = Patience()
    patience.watch(ours, lambda: ours, 60.0)

    def handler(signum: int, frame: object) -> None:
        patience.give_up()

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with patience._lock:
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ours.recv(10) == b""


def test_an_answer_over_tls_stays_encrypted(ends: Ends) -> None:
    ours, theirs = ends
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATE)
    client = ssl.create_default_context(cafile=str(CERTIFICATE))
    client.check_hostname = False
    spoken: list[bytes] = []

    def speak() -> None:
        with client.wrap_socket(theirs) as secure:
            spoken.append(secure.recv(100))

    speaker = threading.Thread(target=speak)
    speaker.start()
    with server.wrap_socket(ours, server_side=True) as secure:
        patience = Patience()
        with patience.watching(secure, -1.0):
            patience.expire()
        secure.sendall(b"a refusal")
        speaker.join(20)
    assert spoken == [b"a refusal"]
