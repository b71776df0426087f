"""Resolve a host to numeric addresses. Numeric hosts are not passed to the resolver."""

from __future__ import annotations

import socket
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.threads import start_thread

_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class ResolvedAddress(NamedTuple):
    """Hold one numeric address of a host, including the scope of a link-local address."""

    family: socket.AddressFamily
    host: str
    port: int


async def resolve(host: str, port: int, kind: socket.SocketKind) -> list[ResolvedAddress]:
    """Return all addresses in the resolver's order.

    Raises ClientError with NAME_NOT_FOUND, or ThreadUnavailable. A numeric address needs no thread.
    """
    try:
        addrinfo = _resolve_numeric(host, port, kind)
    except socket.gaierror:
        try:
            addrinfo = await _call_getaddrinfo(host, port, kind)
        except (OSError, UnicodeError) as error:
            detail = error.strerror if isinstance(error, OSError) else str(error)
            raise ClientError(ExitStatus.NAME_NOT_FOUND, detail or "") from None
    # getaddrinfo may list an address several times, once for each protocol
    unique = dict.fromkeys(
        ResolvedAddress(family, _numeric_host(address), port) for family, _, _, _, address in addrinfo
    )
    return [each for each in unique if each.family in {socket.AF_INET, socket.AF_INET6}]


def _call_getaddrinfo(host: str, port: int, kind: socket.SocketKind) -> Deferred[list[tuple]]:  # type: ignore[type-arg]
    """Return a Deferred for the result of getaddrinfo(3), which a thread calls."""
    from twisted.internet import reactor

    result: Deferred[list[tuple]] = Deferred()  # type: ignore[type-arg]

    def call() -> None:
        found: list[tuple] | Failure  # type: ignore[type-arg]
        try:
            found = socket.getaddrinfo(host, port, type=kind)
        except BaseException:
            found = Failure()
        reactor.callFromThread(result.callback, found)  # type: ignore[attr-defined]

    # Twisted's pool would count a thread that cannot be started, and fail to join it at the exit
    start_thread(call, "the name lookup (a numeric address needs none)")
    return result


def _resolve_numeric(host: str, port: int, kind: socket.SocketKind) -> list[tuple]:  # type: ignore[type-arg]
    try:
        return list(socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST))
    except UnicodeError:
        raise socket.gaierror from None


def _numeric_host(address: tuple) -> str:  # type: ignore[type-arg]
    """Return the address with its scope. The unspecified address becomes loopback, as connect(2) treats it on Linux."""
    host = str(socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0])
    return _UNSPECIFIED.get(host, host)
