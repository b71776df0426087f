"""Makes the socket that the health check connects to a TCP listener, where the daemon can make one in its network."""

from __future__ import annotations

import socket

from echotime.net.local_address import local_addresses

_NETNS_COOKIE = 71


def has_network_of(listener: socket.socket) -> bool:
    """Return True if this process can make sockets in the network namespace of a listener that was passed in.

    The cookies of the namespaces are compared (SO_NETNS_COOKIE). Before Linux 5.14 there is none, and they are equal.
    """
    try:
        with socket.socket(listener.family, socket.SOCK_STREAM) as sock:
            return _network(sock) == _network(listener)
    except OSError:
        return False


def vantage(listener: socket.socket) -> socket.socket:
    """Return a non-blocking socket that is bound to an address at which the listener is reached. Raises OSError."""
    failed = OSError()
    for host, _port, *more in local_addresses(listener):
        sock = socket.socket(listener.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            if listener.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind((host, 0, *more))
        except OSError as error:
            sock.close()
            failed = error
        else:
            return sock
    raise failed


def _network(sock: socket.socket) -> bytes:
    try:
        return sock.getsockopt(socket.SOL_SOCKET, _NETNS_COOKIE, 8)
    except OSError:
        return b""
