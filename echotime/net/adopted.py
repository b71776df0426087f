"""Check and duplicate an inherited socket before a port is built on it."""

from __future__ import annotations

import os
import socket

_TYPE_NAMES = {socket.SOCK_STREAM: "a TCP", socket.SOCK_DGRAM: "a UDP"}


class UnsuitableSocket(Exception):
    """Report that a descriptor is not the bound (for TCP: listening) internet socket that was expected."""


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
    reason = _mismatch(sock, socket_type)
    if reason:
        sock.close()
        raise UnsuitableSocket(f"{expected}, found {reason}")
    sock.setblocking(False)
    os.set_inheritable(sock.fileno(), False)
    return sock


def _mismatch(sock: socket.socket, socket_type: socket.SocketKind) -> str:
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return f"one of another family ({sock.family.name})"
    if sock.type != socket_type:
        return f"{_TYPE_NAMES[sock.type]} one" if sock.type in _TYPE_NAMES else f"one of type {sock.type.name}"
    if socket_type == socket.SOCK_STREAM and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "one that does not listen"
    if not sock.getsockname()[1]:
        return "one that is not bound"
    return ""
