"""Relay a connection as real proxies do. Each function serves one connection, as `ToolTestCase.tcp_server` calls it."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from functools import partial

from tests.support.plain_clients import connect
from tests.support.twistd_process import LIMIT

_TERMINATION_DELAY = 0.05


class HalfClose(Enum):
    """List what a relay does at the client's half-close."""

    PASSED_ON = "passed on"
    """The server gets it, and the relay waits for the server, as HAProxy does."""
    CLOSES = "closes"
    """The relay closes both connections at once, as nginx does without proxy_half_close."""
    CLOSES_LATER = "closes later"
    """The server gets it, and the relay closes soon after the answer has begun, as Traefik does (terminationDelay)."""
    KEPT = "kept"
    """The relay ignores it."""


def relay_to(server: str, half_close: HalfClose) -> Callable[[socket.socket], None]:
    """Return a function that relays a client's connection to HOST:PORT."""
    host, _, port = server.rpartition(":")
    return partial(_relay, (host, int(port)), half_close)


def _relay(address: tuple[str, int], half_close: HalfClose, client: socket.socket) -> None:
    """Relay until the server's FIN or RST, either of which reaches the client as FIN, or until the client's RST."""
    timeout: float = LIMIT
    is_half_closed = False
    poll = select.poll()
    with connect(address) as server, suppress(ConnectionError):
        poll.register(client, select.POLLIN)
        poll.register(server, select.POLLIN)
        while ready := poll.poll(timeout * 1000):
            if ready[0][0] == client.fileno():
                if data := client.recv(65536):
                    server.sendall(data)
                    continue
                if is_half_closed or half_close is HalfClose.CLOSES:
                    return
                is_half_closed = True
                poll.modify(client, 0)  # which still reports the client's RST
                if half_close is not HalfClose.KEPT:
                    server.shutdown(socket.SHUT_WR)
            else:
                if not (data := server.recv(65536)):
                    return
                client.sendall(data)
                if is_half_closed and half_close is HalfClose.CLOSES_LATER:
                    timeout = _TERMINATION_DELAY
