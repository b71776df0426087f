"""Make the socket that connects a probe to a TCP listener."""

from __future__ import annotations

import socket

from echotime.net.local_address import local_addresses

_SO_NETNS_COOKIE = 71


def has_network_of(listener: socket.socket) -> bool:
    """Return True if this process can create sockets in the network namespace of the listener.

    SO_NETNS_COOKIE identifies the namespace. Before Linux 5.14 it does not exist, and the namespaces count as equal.
    """
    try:
        with socket.socket(listener.family, socket.SOCK_STREAM) as sock:
            return _netns_cookie(sock) == _netns_cookie(listener)
    except OSError:
        return False


def make_probe_socket(listener: socket.socket) -> socket.socket:
    """Return a non-blocking socket, bound to an address from which the listener can be reached. Raises OSError."""
    failed = OSError()
    for host, _port, *scope in local_addresses(listener):
        sock = socket.socket(listener.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            if listener.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind((host, 0, *scope))
        except OSError as error:
            sock.close()
            failed = error
        else:
            return sock
    raise failed


def _netns_cookie(sock: socket.socket) -> bytes:
    try:
        return sock.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    except OSError:
        return b""
