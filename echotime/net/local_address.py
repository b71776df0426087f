"""The addresses of the host in a socket's network namespace, which may differ from the namespace of the process."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from echotime.net.pktinfo import ControlMessage, ipv4_pktinfo, ipv6_pktinfo

_PROBE_FLAGS = 0x10 | 0x800
"""MSG_PROBE and MSG_CONFIRM: sendmsg without data looks up the route and the source address, and sends nothing."""
V4MAPPED_PREFIX = "::ffff:"
"""Prefix of an IPv4 address on an IPv6 socket."""
UNSPECIFIED_ADDRESSES = frozenset({"0.0.0.0", "::", f"{V4MAPPED_PREFIX}0.0.0.0"})
_LOOPBACK = {"0.0.0.0": ("127.0.0.1",), "::": ("::1", f"{V4MAPPED_PREFIX}127.0.0.1")}


def local_addresses(sock: socket.socket) -> list[tuple[Any, ...]]:
    """Return the addresses that reach a bound socket from its own host; loopback addresses for a wildcard address."""
    host, *more = sock.getsockname()
    return [(each, *more) for each in _LOOPBACK.get(host, (host,))]


def is_local(address: tuple[Any, ...], sock: socket.socket) -> bool:
    """Return True if a UDP socket could send from a numeric address with a port, as the socket module returns it.

    The check uses the socket itself. So it needs no descriptor, and is right for a socket from another namespace. With
    IP_TRANSPARENT, and on IPv6 with IP_FREEBIND or net.ipv6.ip_nonlocal_bind, the result is True for any address.
    """
    try:
        sock.sendmsg([], [_pktinfo_from(address)], _PROBE_FLAGS, address)
    except OSError:
        return False
    return True


def is_unicast(address: tuple[Any, ...], sock: socket.socket) -> bool:
    """Return True if an address to which a UDP socket is bound, or a datagram was sent, is a unicast address."""
    host = address[0]
    if host in UNSPECIFIED_ADDRESSES:
        return False
    if ":" in host and not host.startswith(V4MAPPED_PREFIX):
        return not ipaddress.IPv6Address(host).is_multicast
    # only the routing table knows the broadcast addresses of IPv4
    return is_local(address, sock)


def _pktinfo_from(address: tuple[Any, ...]) -> ControlMessage:
    host = address[0].partition("%")[0].removeprefix(V4MAPPED_PREFIX)
    if ":" not in host:
        return ipv4_pktinfo(socket.inet_aton(host))
    # a link-local address needs its interface
    return ipv6_pktinfo(socket.inet_pton(socket.AF_INET6, host), address[3] if len(address) > 3 else 0)
