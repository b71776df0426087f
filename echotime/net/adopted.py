"""Check and duplicate an inherited socket before a port is built on it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress

from echotime.wire.hostport import format_hostport

_PROTOCOLS = {
    socket.SOCK_STREAM: {socket.IPPROTO_TCP, socket.IPPROTO_MPTCP},
    socket.SOCK_DGRAM: {socket.IPPROTO_UDP},
}
"""Protocols that are served, by socket type."""
_TYPE_NAMES = {socket.SOCK_STREAM: "a TCP", socket.SOCK_DGRAM: "a UDP"}


class UnsuitableSocket(Exception):
    """Report that a descriptor is not a bound internet socket that listens (TCP) or is unconnected (UDP)."""


def adopt_socket(descriptor: int, socket_type: socket.SocketKind) -> socket.socket:
    """Return a non-blocking duplicate of an inherited socket. The descriptor stays the caller's.

    Raises UnsuitableSocket, which names what was found. O_NONBLOCK is set in any case: an empty read from a blocking
    socket would block the whole daemon.
    """
    expected = f"descriptor {descriptor}: expected {_TYPE_NAMES[socket_type]} socket"
    try:
        duplicate = os.dup(descriptor)
    except OSError as error:
        raise UnsuitableSocket(f"{expected}, found none: {error.strerror}") from error
    try:
        sock = socket.socket(fileno=duplicate)
    except OSError as error:
        os.close(duplicate)
        raise UnsuitableSocket(f"{expected}, found none: {error.strerror}") from error
    if reason := next(_mismatches(sock, socket_type), ""):
        sock.close()
        raise UnsuitableSocket(f"{expected}, found {reason}")
    sock.setblocking(False)
    os.set_inheritable(sock.fileno(), False)
    return sock


def _mismatches(sock: socket.socket, socket_type: socket.SocketKind) -> Iterator[str]:
    """Yield what is wrong with a socket. Each check requires that those before it found nothing."""
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        yield f"one of another family ({sock.family.name})"
    if sock.type != socket_type:
        yield f"{_TYPE_NAMES[sock.type]} one" if sock.type in _TYPE_NAMES else f"one of type {sock.type.name}"
    if sock.proto not in _PROTOCOLS[socket_type]:
        yield f"one of another protocol (number {sock.proto})"
    if socket_type == socket.SOCK_STREAM and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        yield "one that does not listen"
    if not sock.getsockname()[1]:
        yield "one that is not bound"
    with suppress(OSError):
        peer = sock.getpeername()
        yield f"one that is connected to {format_hostport(*peer[:2])}"
