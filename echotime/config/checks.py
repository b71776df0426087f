"""Checks of values against each other. A check of a list yields a fault, or an empty text, for each of its values.

None stands for a value that could not be parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from echotime.behave.kinds import transports_of
from echotime.behave.spec import BehavingAddress
from echotime.limits.access import Network, Networks
from echotime.limits.source import is_loopback
from echotime.net.sockopt_port import socket_kind
from echotime.sockopt.assignment import Assignment
from echotime.systemd.activation import SystemdSocket
from echotime.wire.hostport import HostPort

Address = HostPort | SystemdSocket
_TRANSPORTS = ("tcp", "udp")
MAX_BEHAVING_LISTENERS = 100
"""Most listeners of --behave at a time, because each one takes a descriptor from the clients."""


def repeated_addresses(addresses: Iterable[Address | str | None]) -> Iterator[str]:
    """Find addresses that were given before. Port 0 may be given several times."""
    known: set[Address | str | None] = {None}
    for address in addresses:
        is_repeated = address in known and address is not None and (not isinstance(address, HostPort) or address.port)
        known.add(address)
        yield "given twice" if is_repeated else ""


def repeated_behaviors(requested: Iterable[BehavingAddress | None]) -> Iterator[str]:
    """Find listeners that were given before. One of TCP and one of UDP may have the same port. ``off`` closes both."""
    known: set[tuple[HostPort, str]] = set()
    for each in requested:
        wanted = set()
        if each is not None:
            wanted = {(each.address, name) for name in (transports_of(each.behavior) if each.behavior else _TRANSPORTS)}
        is_repeated = any(listener in known and listener[0].port for listener in wanted)
        known |= wanted
        yield "this address is given twice" if is_repeated else ""


def excess_behaviors(requested: Iterable[BehavingAddress | None]) -> Iterator[str]:
    """Find listeners beyond the most that there can be."""
    count = 0
    for each in requested:
        count += len(transports_of(each.behavior)) if each is not None and each.behavior is not None else 0
        yield f"more than {MAX_BEHAVING_LISTENERS} listeners of --behave" if count > MAX_BEHAVING_LISTENERS else ""


def behaving_addresses(requested: Iterable[BehavingAddress | None], transport: str) -> Iterator[HostPort]:
    """Yield the addresses on which a behavior opens a listener of a transport."""
    for each in requested:
        if each is not None and each.behavior is not None and transport in transports_of(each.behavior):
            yield each.address


def unusable_sockopts(
    assignments: Iterable[Assignment | None], tcp: Iterable[Address | None], udp: Iterable[Address | None]
) -> Iterator[str]:
    """Find socket options for which no socket is served, which have no effect."""
    kinds = {
        socket_kind(transport, _sockopt_host(each))
        for transport, addresses in (("tcp", tcp), ("udp", udp))
        for each in addresses
        if each is not None
    }
    for each in assignments:
        usable = each is None or any(map(each.fits, kinds))
        yield "" if usable or each is None else _no_socket_message(each)


def _sockopt_host(address: Address) -> str:
    """Return the address that decides which options fit. An inherited socket may be of either IP version."""
    return "::" if isinstance(address, SystemdSocket) else address.host


def _no_socket_message(requested: Assignment) -> str:
    option = requested.option
    transports = [requested.transport] if requested.transport else option.transports
    version = {"IPPROTO_IP": "IPv4 ", "IPPROTO_IPV6": "IPv6 "}.get(option.level, "")
    return (
        f"sockopt {requested} has no effect: it acts on {version}{' or '.join(map(str.upper, transports))} sockets, "
        "and the daemon serves none"
    )


def allowed_networks(denied: Iterable[Network | None], allowed: Networks) -> Iterator[str]:
    """Find denied networks that are allowed, too."""
    for each in denied:
        both = each is not None and each in allowed
        yield "is also given to --allow; give it to one of the two" if both else ""


def remote_http_addresses(addresses: Iterable[Address | str | None], *, allowed: bool) -> Iterator[str]:
    """Find addresses for HTTP that other hosts can reach, unless they are allowed."""
    for each in addresses:
        remote = not allowed and isinstance(each, HostPort) and not is_loopback(each.host)
        yield "other hosts can reach this address; expected one of loopback, or --http-allow-remote" if remote else ""
