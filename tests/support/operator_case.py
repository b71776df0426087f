"""Start a daemon whose replies come from an operator, and clients whose questions stay pending."""

from __future__ import annotations

import socket

from tests.support.plain_clients import connect
from tests.support.twistd_process import TWISTD

SERVE = [*TWISTD, "echotime", "--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0"]


def sent(address: tuple[str, int], message: bytes) -> socket.socket:
    """Connect, send a message and half-close, as the client of the original scripts does."""
    sock = connect(address)
    sock.sendall(message)
    sock.shutdown(socket.SHUT_WR)
    return sock
