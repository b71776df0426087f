"""net/adopted.py, and ports on sockets that somebody else bound."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from echotime.net.adopted import UnsuitableSocket, adopt_socket
from echotime.net.tcp import EchoPort
from tests.support.loopback import (
    Mirror,
    Portable,
    SizesFactory,
    Started,
    ask,
    bound,
    deliver,
    get,
    open_descriptors,
    options,
)


@pytest_twisted.ensureDeferred
async def test_adopted_tcp(started: Started) -> None:
    """An EchoPort on a listening descriptor serves it, sets what still can be set, and says what came too late."""
    factory = SizesFactory(2)
    with bound(socket.SOCK_STREAM) as given:
        asked = options("SO_KEEPALIVE=on", "IP_FREEBIND=on")
        port = started(EchoPort.adopt(given.fileno(), factory, sockopts=asked))
        address = given.getsockname()
    assert not port.socket.getblocking()
    assert (get(port.socket, "SO_KEEPALIVE"), get(port.socket, "TCP_NODELAY")) == (1, 1)
    assert [str(each) for each in port.read_back()] == [
        "IP_FREEBIND requested on, effective off: too late: it must be set before bind",
        "SO_KEEPALIVE requested on, effective on",
    ]
    client = deferToThread(deliver, address, b"hi")
    await factory.done
    factory.connection.loseConnection()
    await client


@pytest_twisted.ensureDeferred
async def test_adopted_udp(started: Started) -> None:
    """A UDP port on a bound descriptor serves it, without blocking on it, and closes it to others."""
    with bound(socket.SOCK_DGRAM) as given:
        given.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = started(Portable.adopt(given.fileno(), Mirror(), sockopts=options("IP_TTL=9")))
        address = given.getsockname()
    assert await deferToThread(ask, address) == b"x"
    assert (get(port.socket, "IP_TTL"), get(port.socket, "SO_REUSEADDR")) == (9, 0)


def test_wrong_descriptor() -> None:
    """A descriptor that is not what was expected is refused in words."""
    made: list[tuple[Callable[[], Any], socket.SocketKind, str]] = [
        (lambda: bound(socket.SOCK_DGRAM), socket.SOCK_STREAM, "expected a TCP socket, found a UDP one"),
        (lambda: bound(socket.SOCK_STREAM), socket.SOCK_DGRAM, "expected a UDP socket, found a TCP one"),
        (lambda: bound(socket.SOCK_STREAM, listen=False), socket.SOCK_STREAM, "found one that does not listen"),
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.SOCK_DGRAM, "found one that is not bound"),
        (lambda: socket.socket(socket.AF_UNIX), socket.SOCK_STREAM, "one of another family"),
        (Path(os.devnull).open, socket.SOCK_STREAM, "found none: Socket operation on non-socket"),
    ]
    descriptors = open_descriptors()
    for make, kind, reason in made:
        with make() as given, pytest.raises(UnsuitableSocket, match=reason):
            adopt_socket(given.fileno(), kind)
    with pytest.raises(UnsuitableSocket, match="Bad file descriptor"):
        adopt_socket(10_000, socket.SOCK_STREAM)
    assert open_descriptors() == descriptors
