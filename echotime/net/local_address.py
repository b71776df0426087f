"""Which addresses are the host's, in the network that a socket lives in: that need not be this process' own."""

from __future__ import annotations

import socket
from typing import Any

from echotime.net.pktinfo import ControlMessage, ipv4_pktinfo, ipv6_pktinfo

_PROBE_FLAGS = 0x10 | 0x800
"""MSG_PROBE and MSG_CONFIRM: with no data nothing is sent, after the route and the source address were looked up."""
V4MAPPED_PREFIX = "::ffff:"
"""How an IPv6 socket writes an IPv4 address."""
_LOOPBACK = {"0.0.0.0": ("127.0.0.1",), "::": ("::1", f"{V4MAPPED_PREFIX}127.0.0.1")}


def local_addresses(sock: socket.socket) -> list[tuple[Any, ...]]:
    """Where a bound socket is reached from its own host: its address, or the loopback addresses for a wildcard."""
    host, *more = sock.getsockname()
    return [(each, *more) for each in _LOOPBACK.get(host, (host,))]


def is_local(address: tuple[Any, ...], sock: socket.socket) -> bool:
    """Whether a UDP socket could send from this address, numeric and with a port, as the socket module gives it.

    Asked of the very socket, so it costs no descriptor, and holds where it was passed in from another network, too.
    With IP_TRANSPARENT, and on IPv6 with IP_FREEBIND or net.ipv6.ip_nonlocal_bind, it could send from any.
    """
    try:
        sock.sendmsg([], [_pktinfo_from(address)], _PROBE_FLAGS, address)
    except OSError:
        return False
    return True


def _pktinfo_from(address: tuple[Any, ...]) -> ControlMessage:
    host = address[0].partition("%")[0].removeprefix(V4MAPPED_PREFIX)
    if ":" not in host:
        return ipv4_pktinfo(socket.inet_aton(host))
    # a link-local address with its interface
    return ipv6_pktinfo(socket.inet_pton(socket.AF_INET6, host), address[3] if len(address) > 3 else 0)
