"""Send datagrams from a socket of their own, and hold what comes back, with its IP header's fields."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from echotime.client.exit_status import ClientError
from echotime.client.lookup import ResolvedAddress
from echotime.client.path.channel import Channel
from echotime.client.path.outcome import Value
from echotime.client.path.route import behavior, parse_report
from echotime.sockopt.error_queue import read_errors
from echotime.wire.hostport import HostPort

_MAX_DATAGRAM, _ANCILLARY_SIZE, _MAX_ERRORS = 65535, 128, 64
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_IP_MTU, _IPV6_MTU = 14, 24
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _DISCOVER_NEVER = 10, 23, 0
_INT = struct.Struct("=i")
_MAX_ARRIVALS = 1000
"""Arrivals and errors after which a socket is not read any more."""
_MAX_KEPT = 1024
"""Bytes kept of each datagram, enough for any report."""
REPORT_SIZE = 300
"""Least bytes of a datagram that asks for a report, which must not be longer than what asks."""


@dataclass(frozen=True)
class Arrival:
    """Hold a datagram that was received, or the beginning of a long one."""

    at: float
    data: bytes
    sender: HostPort


class Datagrams:
    """Hold an unconnected UDP socket, so that answers from other addresses are seen, too."""

    def __init__(self, reactor: Any, address: ResolvedAddress, port: int = 0, tos: int = 0) -> None:
        """Open the socket. `tos` has DSCP and ECN. Datagrams above the MTU are fragmented.

        `port` is its own port, 0 for any.
        """
        self._address = address
        sock = socket.socket(address.family, socket.SOCK_DGRAM)
        self._channel = Channel(reactor, sock)
        try:
            _set_options(sock, tos)
            sock.bind(("", port))
        except OSError:
            sock.close()
            raise
        self.arrivals: list[Arrival] = []
        self.errors: list[str] = []
        """Names of ICMP errors."""

    @property
    def answers(self) -> list[Arrival]:
        """The datagrams that came from the address that was asked."""
        return [each for each in self.arrivals if each.sender == self._address.hostport]

    @property
    def port(self) -> int:
        """The port of the socket itself."""
        return int(self._channel.socket.getsockname()[1])

    @property
    def ttl(self) -> int:
        """The TTL, or hop limit, of what the socket sends."""
        sock = self._channel.socket
        if sock.family == socket.AF_INET6:
            return sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
        return sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL)

    def send(self, data: bytes) -> None:
        """Send a datagram. An error is kept like one that arrives."""
        try:
            self._channel.socket.sendto(data, self._address.hostport.sockaddr())
        except OSError as error:
            self._failed(error)

    async def wait(self, done: Callable[[], bool], seconds: float) -> bool:
        """Receive until `done`, for `seconds`, or until too much has come. Return what `done` says."""
        reactor = self._channel.reactor
        deadline = reactor.seconds() + seconds
        while not done() and len(self.arrivals) + len(self.errors) < _MAX_ARRIVALS:
            try:
                data, _control, _flags, sender = self._channel.socket.recvmsg(_MAX_DATAGRAM, _ANCILLARY_SIZE)
            except BlockingIOError:
                if not await self._channel.readable(deadline - reactor.seconds()):
                    break
            except OSError as error:
                self._failed(error)
            else:
                self.arrivals.append(Arrival(reactor.seconds(), data[:_MAX_KEPT], HostPort.from_sockaddr(sender)))
        return done()

    async def wait_for_answer(self, seconds: float) -> bool:
        """Receive until an answer comes, or for `seconds`. Return True if there is one."""
        return await self.wait(lambda: bool(self.answers), seconds)

    def _failed(self, error: OSError) -> None:
        read_errors(self._channel.socket, _MAX_ERRORS)
        self.errors.append(errno.errorcode.get(error.errno or 0, str(error)))

    def close(self) -> None:
        """Close the socket, unless it is closed."""
        self._channel.close()


def _set_options(sock: socket.socket, tos: int) -> None:
    """Have ICMP errors reported, datagrams above the MTU fragmented, and DSCP and ECN sent."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _DISCOVER_NEVER)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _DISCOVER_NEVER)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)


def report_request(size: int = REPORT_SIZE) -> bytes:
    """Return a datagram of this size that asks for a report."""
    return behavior("report").ljust(size, b".")


def report_of(data: bytes) -> dict[str, Value] | None:
    """Return the values of a report, or None if the datagram is another answer."""
    return parse_report(data.strip())


def own_address(address: ResolvedAddress, port: int) -> HostPort:
    """Return the address from which this host sends to the server, with a port."""
    with socket.socket(address.family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(address.hostport.sockaddr())
        except OSError as error:
            raise ClientError.from_errno(error.errno or 0) from error
        return HostPort(HostPort.from_sockaddr(sock.getsockname()).host, port)


def route_mtu(address: ResolvedAddress) -> int:
    """Return the MTU of the route to the server, with what the kernel has learned of the path."""
    with socket.socket(address.family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(address.hostport.sockaddr())
            if address.family == socket.AF_INET6:
                return sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
            return sock.getsockopt(socket.IPPROTO_IP, _IP_MTU)
        except OSError as error:
            raise ClientError.from_errno(error.errno or 0) from error
