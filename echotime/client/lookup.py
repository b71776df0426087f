"""Resolve a host to numeric addresses. Numeric hosts are not passed to the resolver."""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple

from twisted.internet.threads import deferToThread

from echotime.client.exit_status import ClientError, ExitStatus
from echotime.wire.hostport import HostPort

_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class ResolvedAddress(NamedTuple):
    """Hold one numeric address of a host, including the scope of a link-local address."""

    family: socket.AddressFamily
    host: str
    port: int

    @property
    def hostport(self) -> HostPort:
        return HostPort(self.host, self.port)


async def resolve(host: str, port: int, kind: socket.SocketKind) -> list[ResolvedAddress]:
    """Return all addresses in the resolver's order. Raises ClientError with NAME_NOT_FOUND."""
    try:
        addrinfo = _resolve_numeric(host, port, kind)
    except socket.gaierror:
        try:
            addrinfo = await deferToThread(socket.getaddrinfo, host, port, type=kind)
        except (OSError, UnicodeError) as error:
            detail = error.strerror if isinstance(error, OSError) else str(error)
            raise ClientError(ExitStatus.NAME_NOT_FOUND, detail or "") from None
    # getaddrinfo may list an address several times, once for each protocol
    unique = dict.fromkeys(
        ResolvedAddress(family, _numeric_host(address), port) for family, _, _, _, address in addrinfo
    )
    return [each for each in unique if each.family in {socket.AF_INET, socket.AF_INET6}]


def _resolve_numeric(host: str, port: int, kind: socket.SocketKind) -> list[tuple]:  # type: ignore[type-arg]
    try:
        return list(socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST))
    except UnicodeError:
        raise socket.gaierror from None


def _numeric_host(address: tuple) -> str:  # type: ignore[type-arg]
    """Return the address, with the interface of a link-local one.

    The unspecified address becomes loopback, as connect(2) treats it on Linux.
    """
    host = HostPort.from_sockaddr(address).host
    found = ipaddress.ip_address(host)
    if found.version == 6 and not (found.is_link_local or found.is_multicast):
        host = host.partition("%")[0]  # the kernel ignores the interface, and a response comes without one
    return _UNSPECIFIED.get(host, host)
