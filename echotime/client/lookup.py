"""Resolve a host to numeric addresses. Numeric hosts are not passed to the resolver."""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from echotime.client.deadline import Deadline
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.threads import start_thread
from echotime.i18n.language import gettext as _
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


async def resolve(server: HostPort, deadline: Deadline, family: int = socket.AF_UNSPEC) -> list[ResolvedAddress]:
    """Return all addresses of a server in the resolver's order, for TCP and UDP alike.

    Raises ClientError with NAME_NOT_FOUND, also at the deadline, or ThreadUnavailable. A numeric address needs no
    thread.
    """
    try:
        addrinfo = _resolve_numeric(server, family)
    except socket.gaierror:
        too_late = ClientError(ExitStatus.NAME_NOT_FOUND, _("no answer from the name server in time"))
        try:
            addrinfo = await deadline.limit(_call_getaddrinfo(server, family), too_late)
        except (OSError, UnicodeError) as error:
            raise ClientError(ExitStatus.NAME_NOT_FOUND, _describe(error)) from None
    # getaddrinfo may list an address several times, once for each protocol
    unique = dict.fromkeys(
        ResolvedAddress(family, _numeric_host(address), server.port) for family, _, _, _, address in addrinfo
    )
    addresses = [each for each in unique if each.family in {socket.AF_INET, socket.AF_INET6}]
    if not addresses:
        raise ClientError(ExitStatus.NAME_NOT_FOUND)
    return addresses


def _describe(error: OSError | UnicodeError) -> str:
    """Return what the resolver says, or nothing if it only says that there is no such name."""
    if not isinstance(error, OSError):
        return _("a label is empty, too long, or has an invalid character")
    return "" if error.errno == socket.EAI_NONAME else _(error.strerror or str(error))


def _call_getaddrinfo(server: HostPort, family: int) -> Deferred[list[tuple]]:  # type: ignore[type-arg]
    """Return a Deferred for the result of getaddrinfo(3), which a thread calls."""
    from twisted.internet import reactor

    result: Deferred[list[tuple]] = Deferred()  # type: ignore[type-arg]

    def call() -> None:
        found: list[tuple] | Failure  # type: ignore[type-arg]
        try:
            found = socket.getaddrinfo(*server, family, socket.SOCK_STREAM)
        except BaseException:
            found = Failure()
        reactor.callFromThread(result.callback, found)  # type: ignore[attr-defined]

    # Twisted's pool would count a thread that cannot be started, and the end of the program would wait for the answer
    start_thread(call, "the name lookup (a numeric address needs none)")
    return result


def _resolve_numeric(server: HostPort, family: int) -> list[tuple]:  # type: ignore[type-arg]
    try:
        return list(socket.getaddrinfo(*server, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
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
