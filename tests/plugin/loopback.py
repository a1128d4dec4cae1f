"""A server on loopback that fails in one way, over real sockets."""

import contextlib
import pathlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

CERTIFICATE = pathlib.Path(__file__).with_name("loopback.pem")

Serve = Callable[[socket.socket], None]


@dataclass
class Loopback:
    """A running server.

    Attributes:
        port: Port on 127.0.0.1.
        seen: The requests that were read to their end.
    """

    port: int
    seen: list[bytes] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def read_request(connection: socket.socket) -> bytes:
    """Read a header, and a body of the length it announces; b"" where the connection ends."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65_536)
        if not chunk:
            return b""
        data += chunk
    header, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in header.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += connection.recv(65_536)
    return header + b"\r\n\r\n" + body


@contextlib.contextmanager
def loopback(*serves: Serve, tls: bool = False, read: bool = True) -> Iterator[Loopback]:
    """Serve the n-th request by the n-th function, the last one over and over.

    Args:
        serves: Each gets the connection once its request is read.
        tls: Speak TLS with the certificate of loopback.pem.
        read: Read the request first.
    """
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Loopback(listening.getsockname()[1])

        def accept() -> None:
            served = 0
            while True:
                connection, _ = listening.accept()
                with connection, contextlib.suppress(OSError):
                    if server.stopping.is_set():
                        return
                    # A client that forgets the connection must not hold up the end of the test.
                    connection.settimeout(30)
                    wrapped = context.wrap_socket(connection, True) if context else connection
                    with wrapped:
                        request = read_request(wrapped) if read else b""
                        if request:
                            server.seen.append(request)
                        if request or not read:
                            serve = serves[min(served, len(serves) - 1)]
                            served += 1
                            serve(wrapped)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server
        finally:
            server.stopping.set()
            socket.create_connection(("127.0.0.1", server.port)).close()
            thread.join()


def answers(status: str, *headers: str, body: bytes = b"{}") -> Serve:
    """Answer and close."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    data = "\r\n".join([*head, "", ""]).encode() + body
    return lambda connection: connection.sendall(data)


def drips(start: bytes, drop: bytes) -> Serve:
    """Send a start, then a byte now and then, until the other side has enough."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(start)
        pause = threading.Event()
        while True:
            connection.sendall(drop)
            pause.wait(0.02)

    return serve


def drops(connection: socket.socket) -> None:
    """Close without a word."""


def resets(connection: socket.socket) -> None:
    """Close with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def stays_silent(connection: socket.socket) -> None:
    """Answer nothing until the other side leaves."""
    while connection.recv(65_536):
        pass
