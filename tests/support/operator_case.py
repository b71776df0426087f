"""The daemon that asks for words, and clients whose messages wait for them."""

from __future__ import annotations

import socket

from tests.support.plain_clients import connect
from tests.support.twistd_process import TWISTD

SERVE = [*TWISTD, "echotime", "--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0"]


def sent(address: tuple[str, int], message: bytes) -> socket.socket:
    """A client that has sent its message and half-closed, as the seed's does."""
    sock = connect(address)
    sock.sendall(message)
    sock.shutdown(socket.SHUT_WR)
    return sock
