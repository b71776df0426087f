"""Probe a TCP or a UDP port, and report why there was no correct answer.

A TCP port is probed over a connection. In a sandbox the daemon may be unable to create a socket in the network
namespace of the listener, and a listener that several processes serve may hand the connection to another one. The probe
then uses a socketpair(2): the protocol, the connection class and the reactor are the same, but the listener is not
involved. Only the accept queue shows whether the listener accepts (health.queue_progress).

A probe that timed out may still arrive. The source address of a TCP probe is remembered until that is impossible, so
that a late probe is not counted as a client. A UDP probe carries a secret token (net.self_probe).
"""

from __future__ import annotations

import socket
from typing import Any, Protocol

from echotime.health.exchange import EchoExchange, ProbeFailed, SockAddr, TimeExchange
from echotime.health.probe_socket import has_network_of, make_probe_socket
from echotime.health.queue_progress import QueueState, tcp_queue_state, udp_queue_state
from echotime.net.local_address import is_local, local_addresses
from echotime.net.sharing import other_servers
from echotime.net.tcp import EchoPort
from echotime.net.udp import TimePort
from echotime.services.probe_echo import HostPort, ProbeEchoFactory
from echotime.sockopt.assignment import parse
from echotime.wire import hostport
from echotime.wire.timestamp import SIZE

MAX_SEGMENT_LIFETIME = 120.0
"""Seconds for which a segment may be in the network (MSL, RFC 9293)."""
_PROBE_MESSAGE = b"health check"
_MAX_LATE_SOURCES = 4096
"""Probe sources that are remembered while a listener is hung: the default of net.core.somaxconn."""
_SOCKETPAIR_SOURCE: HostPort = ("0.0.0.0", 0)
"""The address of both ends of a socketpair. No client has it."""


class NotProbed(Exception):
    """Report that another process might receive the probe. The message is the reason."""


class Probe(Protocol):
    """Probe one listening port, and sample its queue."""

    async def run(self, timeout: float) -> str:
        """Return why no correct answer came within `timeout` seconds, "" if one came.

        Raises ListenerHung or NotProbed.
        """

    def queue_state(self) -> QueueState:
        """Sample the port's queue. Raises ListenerHung if the socket is dead."""


class TCPProbe:
    """Probe a TCP port over a connection, or over a socketpair if another process might accept that, or none could."""

    def __init__(self, port: EchoPort, probe_factory: ProbeEchoFactory, reactor: Any) -> None:
        self._port = port
        self._probe_factory = probe_factory
        self._registry = probe_factory.registry
        self._reactor = reactor
        self._probed_at: dict[HostPort, float] = {}
        """Time of each probe by its source address, the oldest first."""
        self._can_connect = port.adopted_socket is None or has_network_of(port.adopted_socket)
        # This port never listens. It serves one end of a socketpair. With TCP_NODELAY its connections would hold back
        # output (MSG_MORE) for a FIN, and only a TCP socket can flush that.
        self._pair_port = EchoPort(0, probe_factory, sockopts=[parse("TCP_NODELAY=off")], reactor=reactor)

    def queue_state(self) -> QueueState:
        return tcp_queue_state(self._port)

    async def run(self, timeout: float) -> str:
        self._forget_expired()
        try:
            if not self._can_connect or other_servers(self._port.socket):
                return await self._run_over_socketpair(timeout)
            sock = make_probe_socket(self._port.socket)
        except OSError as error:
            return str(error.strerror)
        host, source_port, *scope = sock.getsockname()
        source = hostport.HostPort.from_sockaddr((host, source_port, *scope))
        self._registry.expect(source)
        self._probed_at[source] = self._reactor.seconds()
        return await self._exchange(sock, source, (host, self._port.getHost().port, *scope), timeout)

    async def _run_over_socketpair(self, timeout: float) -> str:
        """Probe over a socketpair and return the fault, empty if none. Raises OSError if no descriptor is left."""
        sock, server_end = socket.socketpair(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._registry.expect(_SOCKETPAIR_SOURCE)
        connection = self._pair_port.start_connection(server_end, _SOCKETPAIR_SOURCE)
        try:
            return await self._exchange(sock, _SOCKETPAIR_SOURCE, _SOCKETPAIR_SOURCE, timeout)
        finally:
            # a socketpair has no RST: a protocol that does not answer would keep its end open
            if connection is not None:
                connection.abortConnection()

    async def _exchange(self, sock: socket.socket, source: HostPort, address: SockAddr, timeout: float) -> str:
        expected = _PROBE_MESSAGE + self._probe_factory.trailer
        try:
            answer = await EchoExchange(_PROBE_MESSAGE, len(expected)).run(self._reactor, sock, address, timeout)
        except ProbeFailed as failed:
            return str(failed) if self._registry.is_expected(source) else f"accepted, but {failed}"
        if self._registry.is_expected(source):
            return "another socket answered"
        return "" if answer == expected else "wrong answer"

    def _forget_expired(self) -> None:
        """Forget probes that were accepted or can no longer arrive.

        A probe cannot arrive if it is older than the MSL and the accept queue is empty.
        """
        queue_is_empty = not self.queue_state().pending
        expiry = self._reactor.seconds() - MAX_SEGMENT_LIFETIME
        for source, probed_at in list(self._probed_at.items()):
            expired = (queue_is_empty and probed_at <= expiry) or len(self._probed_at) > _MAX_LATE_SOURCES
            if expired or not self._registry.is_expected(source):
                self._registry.discard(source)
                del self._probed_at[source]


class UDPProbe:
    """Probe a UDP port by a datagram from its socket to the socket's own address.

    The answer may be lost if the receive buffer is full. A neighbor may forge it.
    """

    def __init__(self, port: TimePort, reactor: Any) -> None:
        self._port = port
        self._reactor = reactor

    def queue_state(self) -> QueueState:
        return udp_queue_state(self._port)

    async def run(self, timeout: float) -> str:
        sock = self._port.socket
        self._check_sole_server()
        address = next((each for each in local_addresses(sock) if is_local(each, sock)), None)
        if address is None:
            return "the socket cannot be reached from this host's own addresses"
        try:
            await TimeExchange(self._port, address, SIZE).run(self._reactor, timeout)
        except ProbeFailed as failed:
            self._check_sole_server()  # another process may have started, and received the probe
            return str(failed)
        return ""

    def _check_sole_server(self) -> None:
        if reason := other_servers(self._port.socket):
            raise NotProbed(reason)
