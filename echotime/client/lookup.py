"""A host's numeric addresses, by the system's resolver; numeric hosts without asking it."""

from __future__ import annotations

import socket
from typing import NamedTuple

from twisted.internet.threads import deferToThread

from echotime.client.exit_status import ClientError, ExitStatus

_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class ResolvedAddress(NamedTuple):
    """One address of a host: family, and the socket address with scope and all."""

    family: socket.AddressFamily
    host: str
    port: int


async def resolve(host: str, port: int, kind: socket.SocketKind) -> list[ResolvedAddress]:
    """All addresses in the resolver's order. Raises ClientError with NAME_NOT_FOUND."""
    try:
        addrinfo = _resolve_numeric(host, port, kind)
    except socket.gaierror:
        try:
            addrinfo = await deferToThread(socket.getaddrinfo, host, port, type=kind)
        except (OSError, UnicodeError) as error:
            detail = error.strerror if isinstance(error, OSError) else str(error)
            raise ClientError(ExitStatus.NAME_NOT_FOUND, detail or "") from None
    # one address may stand there several times, once for each protocol
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
    """With its interface, which a link-local address needs; loopback for none, as Linux has it."""
    host = str(socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0])
    return _UNSPECIFIED.get(host, host)
