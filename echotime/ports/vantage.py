"""A socket to ask a TCP listener over: in its network, bound to an address that reaches it, not connected yet."""

from __future__ import annotations

import socket

from echotime.ports.own_address import MAPPED, ways_to
from echotime.ports.spares import Kind, Spares, network


class NoVantage(Exception):
    """There is none; says why."""


def has_network_of(listener: socket.socket) -> bool:
    """Whether this process can make sockets in the network of a listener, which may have come from another."""
    try:
        with socket.socket(listener.family, socket.SOCK_STREAM) as sock:
            return network(sock) == network(listener)
    except OSError:
        return False


def vantage(listener: socket.socket, spares: Spares | None = None) -> socket.socket:
    """One that does not block, a new one or, where these are given, one of the spares. Raises NoVantage.

    The address that it is bound to is the one to ask, at the listener's port.
    """
    reason = ""
    for host, _port, *more in ways_to(listener):
        try:
            sock = _new(listener) if spares is None else spares.lend(_kind(listener, host))
        except OSError as error:
            raise NoVantage(str(error.strerror)) from None
        if sock is None:
            continue
        try:
            sock.bind((host, 0, *more))
        except OSError as error:
            sock.close()
            reason = str(error.strerror)
        else:
            return sock
    raise NoVantage(reason or "no connection has ended yet that it could be asked over")


def _new(listener: socket.socket) -> socket.socket:
    sock = socket.socket(listener.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    if listener.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return sock


def _kind(listener: socket.socket, host: str) -> Kind:
    return Kind(network(listener), listener.family, host.startswith(MAPPED))
