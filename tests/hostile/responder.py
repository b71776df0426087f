"""Run another UDP service that may answer the daemon's answers: echo, daytime, or a given function."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

from tests.hostile.forging import Address

Heard = Callable[[bytes, Address], tuple[bytes, Address] | None]
_MOST = 1000
"""Number of datagrams after which the service stops."""


def echo(datagram: bytes, source: Address) -> tuple[bytes, Address]:
    """Echo a datagram as in RFC 862."""
    return datagram, source


@contextlib.contextmanager
def responder(answer: Heard, host: str = "127.0.0.5", port: int = 0) -> Iterator[Address]:
    """Run a service that sends what `answer` returns for each datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, port))
        with serving(sock, answer):
            yield sock.getsockname()


@contextlib.contextmanager
def serving(sock: socket.socket, answer: Heard) -> Iterator[None]:
    """Run the service on a socket that is already bound."""
    sock.settimeout(0.1)
    over = threading.Event()

    def serve() -> None:
        for _ in range(_MOST):
            if over.is_set():
                return
            with contextlib.suppress(TimeoutError, ConnectionRefusedError):
                if (reply := answer(*sock.recvfrom(2048))) is not None:
                    sock.sendto(*reply)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
