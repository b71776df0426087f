"""Test net/adopted.py, and ports on sockets that another process bound."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
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
    bound,
    deliver,
    get,
    open_descriptors,
    options,
)
from tests.support.plain_clients import ask_time


@pytest_twisted.ensureDeferred
async def test_adopted_tcp(started: Started) -> None:
    """An EchoPort on a passed listening socket serves it, sets late options, and reports those that come too late."""
    factory = SizesFactory(2)
    with bound(socket.SOCK_STREAM) as given:
        sockopts = options("SO_KEEPALIVE=on", "IP_FREEBIND=on")
        port = started(EchoPort.adopt(given.fileno(), factory, sockopts=sockopts))
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
    """A UDP port on a passed socket serves it without blocking, and turns SO_REUSEADDR off."""
    with bound(socket.SOCK_DGRAM) as given:
        given.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = started(Portable.adopt(given.fileno(), Mirror(), sockopts=options("IP_TTL=9")))
        address = given.getsockname()
    assert await deferToThread(ask_time, address, b"x") == b"x"
    assert (get(port.socket, "IP_TTL"), get(port.socket, "SO_REUSEADDR")) == (9, 0)


def connected_udp() -> socket.socket:
    """Open a UDP socket that is connected."""
    sock = bound(socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", 9))
    return sock


def bound_udp_lite() -> socket.socket:
    """Open a UDP-Lite socket, which has the type of a UDP one."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDPLITE)
    sock.bind(("127.0.0.1", 0))
    return sock


def test_wrong_descriptor() -> None:
    """A descriptor of an unexpected kind is refused with the reason."""
    made: list[tuple[Callable[[], Any], socket.SocketKind, str]] = [
        (lambda: bound(socket.SOCK_DGRAM), socket.SOCK_STREAM, "expected a TCP socket, found a UDP one"),
        (lambda: bound(socket.SOCK_STREAM), socket.SOCK_DGRAM, "expected a UDP socket, found a TCP one"),
        (lambda: bound(socket.SOCK_STREAM, listen=False), socket.SOCK_STREAM, "found one that does not listen"),
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.SOCK_DGRAM, "found one that is not bound"),
        (connected_udp, socket.SOCK_DGRAM, "found one that is connected to 127.0.0.1:9"),
        (lambda: socket.socket(socket.AF_UNIX), socket.SOCK_STREAM, "one of another family"),
        (Path(os.devnull).open, socket.SOCK_STREAM, "found none: Socket operation on non-socket"),
    ]
    with suppress(OSError):  # the kernel lacks the protocol
        bound_udp_lite().close()
        made.append((bound_udp_lite, socket.SOCK_DGRAM, "one of another protocol \\(number 136\\)"))
    descriptors = open_descriptors()
    for make, kind, reason in made:
        with make() as given, pytest.raises(UnsuitableSocket, match=reason):
            adopt_socket(given.fileno(), kind)
    with pytest.raises(UnsuitableSocket, match="Bad file descriptor"):
        adopt_socket(10_000, socket.SOCK_STREAM)
    assert open_descriptors() == descriptors
