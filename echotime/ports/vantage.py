"""A socket to ask a TCP listener over: in its network, bound to an address that reaches it, not connected yet."""

from __future__ import annotations

import socket
from typing import Any

from echotime.ports.own_address import MAPPED, ways_to
from echotime.ports.spare import Spare

_NETNS_COOKIE = 71


class NoVantage(Exception):
    """There is none; says why."""


def network(sock: socket.socket) -> bytes:
    """The cookie of the network namespace that it lives in (SO_NETNS_COOKIE); nothing before Linux 5.14."""
    try:
        return sock.getsockopt(socket.SOL_SOCKET, _NETNS_COOKIE, 8)
    except OSError:
        return b""


def has_network_of(listener: socket.socket) -> bool:
    """Whether this process can make sockets in the network of a listener, which may have come from another."""
    try:
        with socket.socket(listener.family, socket.SOCK_STREAM) as sock:
            return network(sock) == network(listener)
    except OSError:
        return False


def vantage(listener: socket.socket, spare: Spare | None = None) -> socket.socket:
    """One that does not block, a new one or, where that is given, the spare. Raises NoVantage.

    The address that it is bound to is the one to ask, at the listener's port.
    """
    reason = "no connection has ended yet that it could be asked over"
    for host, _port, *more in ways_to(listener):
        if spare is not None and spare.mapped != host.startswith(MAPPED):
            continue
        address = (host, 0, *more)
        try:
            sock = _new(listener, address) if spare is None else spare.lend(address)
        except OSError as error:
            reason = str(error.strerror)
        else:
            if sock is not None:
                return sock
    raise NoVantage(reason)


def _new(listener: socket.socket, address: tuple[Any, ...]) -> socket.socket:
    """Raises OSError."""
    sock = socket.socket(listener.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if listener.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock
