"""Claim the inherited sockets that `--http systemd:NAME` requests: listening Unix or TCP sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

from echotime.errors import report_startup_failure
from echotime.limits.source import is_loopback
from echotime.net.adopted import UnsuitableSocket, adopt_socket
from echotime.systemd.activation import InheritedSockets, SocketNotPassed, SystemdSocket
from echotime.wire.hostport import HostPort

HTTPAddress = HostPort | str | socket.socket
"""An address, the path of a Unix socket, or an inherited socket that listens."""


def claim_sockets(
    addresses: Iterable[HostPort | str | SystemdSocket], inherited: InheritedSockets, *, allow_remote: bool
) -> list[HTTPAddress]:
    """Return the addresses with the inherited sockets in place of their names.

    Raises StartupError if a socket was not passed in, does not listen, or is on an address that other hosts can reach
    although `allow_remote` is False.
    """
    found: list[HTTPAddress] = []
    for each in addresses:
        if not isinstance(each, SystemdSocket):
            found.append(each)
            continue
        try:
            for descriptor in inherited.claim_named("http", each):
                sock = _adopt_unix_socket(descriptor.fd) or adopt_socket(descriptor.fd, socket.SOCK_STREAM)
                if not allow_remote and sock.family != socket.AF_UNIX and not is_loopback(sock.getsockname()[0]):
                    address = HostPort.from_sockaddr(sock.getsockname())
                    raise UnsuitableSocket(f"other hosts can reach {address}; this requires --http-allow-remote")
                found.append(sock)
        except SocketNotPassed as error:
            raise report_startup_failure(str(error), logged=False) from None
        except UnsuitableSocket as error:
            raise report_startup_failure(f"--http {each}: {error}", logged=False) from None
    return found


def _adopt_unix_socket(descriptor: int) -> socket.socket | None:
    """Return a non-blocking duplicate of a Unix stream socket that listens, None for any other descriptor."""
    try:
        duplicate = os.dup(descriptor)
    except OSError:
        return None
    try:
        sock = socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        return None
    is_listening = sock.family == socket.AF_UNIX and sock.type == socket.SOCK_STREAM
    if not is_listening or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        return None
    sock.setblocking(False)
    return sock
