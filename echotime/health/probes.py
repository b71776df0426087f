"""How each kind of port is asked a question of the daemon's own, and why there may be no answer.

A TCP port is asked over a connection to it. Where the daemon can make no socket in the network of the listener, the
question goes over a socketpair(2) instead: to the same protocol, on the same kind of connection and the same reactor,
but not through the listener. Only its accept queue shows then whether it accepts (health.queue_progress).

A question that is given up may still arrive. The source of a TCP question stays known until that is impossible, so
that it is never taken for a client's. A UDP question is known by its secret, however late it is (net.self_probe).
"""

from __future__ import annotations

import socket
from typing import Any

from echotime.health.exchange import EchoExchange, ProbeFailed, SockAddr, TimeExchange
from echotime.health.probe_socket import has_network_of, vantage
from echotime.health.queue_progress import read_queue_state
from echotime.net.local_address import is_local, local_addresses
from echotime.net.tcp import EchoPort
from echotime.net.udp import TimePort
from echotime.services.probe_echo import HostPort, ProbeEchoFactory
from echotime.sockopt.assignment import parse
from echotime.wire.timestamp import SIZE

MAX_SEGMENT_LIFETIME = 120.0
"""Seconds for which a segment may be in the network (the MSL of RFC 9293)."""
_PROBE_MESSAGE = b"health check"
_MAX_LATE_SOURCES = 4096
"""Sources that are remembered for a hung listener, the oldest forgotten first: as many as net.core.somaxconn has."""
_SOCKETPAIR_SOURCE: HostPort = ("0.0.0.0", 0)
"""What stands for the address of both ends of a socketpair: no client has it."""


class TCPProbe:
    """Asks a TCP port over a connection from within its network, or over a socketpair in place of that."""

    def __init__(self, port: EchoPort, probe_factory: ProbeEchoFactory, reactor: Any) -> None:
        self._port = port
        self._probe_factory = probe_factory
        self._registry = probe_factory.registry
        self._reactor = reactor
        self._probed_at: dict[HostPort, float] = {}
        """When was asked from where, the oldest first."""
        self._pair_port: EchoPort | None = None
        if port.adopted_socket is not None and not has_network_of(port.adopted_socket):
            # It serves one end of a socketpair, and never listens. Without TCP_NODELAY its connections hold back no
            # output for a FIN, which only a TCP socket can release.
            self._pair_port = EchoPort(0, probe_factory, sockopts=[parse("TCP_NODELAY=off")], reactor=reactor)

    async def run(self, timeout: float) -> str:
        """Return why a question was not answered within `timeout` seconds, empty if it was. Raises ListenerHung."""
        self._forget_expired()
        try:
            if self._pair_port is not None:
                return await self._run_over_socketpair(self._pair_port, timeout)
            sock = vantage(self._port.socket)
        except OSError as error:
            return str(error.strerror)
        host, source_port, *scope = sock.getsockname()
        self._registry.expect((host, source_port))
        self._probed_at[host, source_port] = self._reactor.seconds()
        return await self._exchange(sock, (host, source_port), (host, self._port.getHost().port, *scope), timeout)

    async def _run_over_socketpair(self, port: EchoPort, timeout: float) -> str:
        """As run. Raises OSError if there is no descriptor for it."""
        sock, server_end = socket.socketpair(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._registry.expect(_SOCKETPAIR_SOURCE)
        connection = port.start_connection(server_end, _SOCKETPAIR_SOURCE)
        try:
            return await self._exchange(sock, _SOCKETPAIR_SOURCE, _SOCKETPAIR_SOURCE, timeout)
        finally:
            # there is no reset on a socketpair: a protocol that does not answer would keep its end open
            if connection is not None:
                connection.abortConnection()

    async def _exchange(self, sock: socket.socket, source: HostPort, address: SockAddr, timeout: float) -> str:
        """Ask over a socket that comes from `source`, and judge the answer."""
        expected = _PROBE_MESSAGE + self._probe_factory.trailer
        try:
            reply = await EchoExchange(_PROBE_MESSAGE, len(expected)).run(self._reactor, sock, address, timeout)
        except ProbeFailed as why:
            return str(why) if self._registry.is_expected(source) else f"accepted, but {why}"
        if self._registry.is_expected(source):
            return "another socket has answered"
        return "" if reply == expected else "the answer is wrong"

    def _forget_expired(self) -> None:
        """Forget the questions that have been accepted, or cannot be any more.

        What is neither in the network, as it is too old, nor in the accept queue, as that is empty, will not arrive.
        """
        queue_is_empty = not read_queue_state(self._port).pending
        expiry = self._reactor.seconds() - MAX_SEGMENT_LIFETIME
        for source, probed_at in list(self._probed_at.items()):
            expired = (queue_is_empty and probed_at <= expiry) or len(self._probed_at) > _MAX_LATE_SOURCES
            if expired or not self._registry.is_expected(source):
                self._registry.discard(source)
                del self._probed_at[source]


class UDPProbe:
    """Has a UDP port ask itself. The answer may find its own receive buffer full, or be forged."""

    def __init__(self, port: TimePort, reactor: Any) -> None:
        self._port = port
        self._reactor = reactor

    async def run(self, timeout: float) -> str:
        """Return why a question was not answered within `timeout` seconds, empty if it was."""
        sock = self._port.socket
        address = next((each for each in local_addresses(sock) if is_local(each, sock)), None)
        if address is None:
            return "it is not reached over the addresses of this host"
        try:
            await TimeExchange(self._port, address, SIZE).run(self._reactor, timeout)
        except ProbeFailed as why:
            return str(why)
        return ""
