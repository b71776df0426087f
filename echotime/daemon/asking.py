"""How each kind of port is asked a question of the daemon's own, and why there may be no answer.

A TCP port is asked over a connection to it. Where the daemon can make no socket in the network of the listener, the
question goes over a socketpair(2) instead: to the same protocol, on the same kind of connection and the same reactor,
but not through the listener. Whether the listener accepts is seen from its accept queue alone then (daemon.waiting).

A question that is given up may still arrive. The source of a TCP question stays known until that is impossible, so
that it is never taken for a client's. A UDP question is known by its secret, however late it is (ports.self_asked).
"""

from __future__ import annotations

import socket
from typing import Any

from echotime.daemon.own_question import Address, EchoQuestion, TimeQuestion, Unanswered
from echotime.daemon.waiting import queue_state
from echotime.ports.own_address import is_ours, ways_to
from echotime.ports.tcp import EchoPort
from echotime.ports.udp import TimePort
from echotime.ports.vantage import has_network_of, vantage
from echotime.servers.health import HealthFactory
from echotime.servers.own_questions import Source
from echotime.sockopt.assignment import parse
from echotime.wire.timestamp import SIZE

SEGMENT_LIFETIME = 120.0
"""Seconds for which a segment may be in the network (the MSL of RFC 9293)."""
_MESSAGE = b"health check"
_MOST_LATE = 4096
"""Sources that are remembered for a hung listener, the oldest forgotten first: as many as net.core.somaxconn has."""
_PAIR: Source = ("0.0.0.0", 0)
"""What stands for the address of both ends of a socketpair: no client has it."""


class EchoAsking:
    """Asks a TCP port over a connection from within its network, or over a socketpair in place of that."""

    def __init__(self, port: EchoPort, echo: HealthFactory, reactor: Any) -> None:
        self._port = port
        self._echo = echo
        self._own = echo.own
        self._reactor = reactor
        self._asked: dict[Source, float] = {}
        """When was asked from where, the oldest first."""
        self._pair_port: EchoPort | None = None
        if port.passed_in is not None and not has_network_of(port.passed_in):
            # It serves one end of a socketpair, and never listens. Without TCP_NODELAY its connections hold back no
            # output for a FIN, which only a TCP socket can release.
            self._pair_port = EchoPort(0, echo, asked=[parse("TCP_NODELAY=off")], reactor=reactor)

    async def ask(self, limit: float) -> str:
        """Return why a question was not answered within `limit` seconds, empty if it was. Raises ListenerHung."""
        self._forget()
        try:
            if self._pair_port is not None:
                return await self._ask_over_pair(self._pair_port, limit)
            sock = vantage(self._port.socket)
        except OSError as error:
            return str(error.strerror)
        host, number, *more = sock.getsockname()
        self._own.expect((host, number))
        self._asked[host, number] = self._reactor.seconds()
        return await self._answer(sock, (host, number), (host, self._port.getHost().port, *more), limit)

    async def _ask_over_pair(self, port: EchoPort, limit: float) -> str:
        """As ask. Raises OSError if there is no descriptor for it."""
        sock, served = socket.socketpair(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._own.expect(_PAIR)
        connection = port.begin(served, _PAIR)
        try:
            return await self._answer(sock, _PAIR, _PAIR, limit)
        finally:
            # there is no reset on a socketpair: a protocol that does not answer would keep its end open
            if connection is not None:
                connection.abortConnection()

    async def _answer(self, sock: socket.socket, source: Source, address: Address, limit: float) -> str:
        """Ask over a socket that comes from `source`, and judge the answer."""
        owed = _MESSAGE + self._echo.after_each
        try:
            answer = await EchoQuestion(_MESSAGE, len(owed)).ask(self._reactor, sock, address, limit)
        except Unanswered as why:
            return str(why) if self._own.expects(source) else f"accepted, but {why}"
        if self._own.expects(source):
            return "another socket has answered"
        return "" if answer == owed else "the answer is wrong"

    def _forget(self) -> None:
        """Forget the questions that have been accepted, or cannot be any more.

        What is neither in the network, as it is too old, nor in the accept queue, as that is empty, will not arrive.
        """
        queue_is_empty = not queue_state(self._port).pending
        oldest = self._reactor.seconds() - SEGMENT_LIFETIME
        for source, when in list(self._asked.items()):
            too_old = (queue_is_empty and when <= oldest) or len(self._asked) > _MOST_LATE
            if too_old or not self._own.expects(source):
                self._own.forget(source)
                del self._asked[source]


class TimeAsking:
    """Has a UDP port ask itself. The answer may find its own receive buffer full, or be forged."""

    def __init__(self, port: TimePort, reactor: Any) -> None:
        self._port = port
        self._reactor = reactor

    async def ask(self, limit: float) -> str:
        """Return why a question was not answered within `limit` seconds, empty if it was."""
        sock = self._port.socket
        address = next((each for each in ways_to(sock) if is_ours(each, sock)), None)
        if address is None:
            return "it is not reached over the addresses of this host"
        try:
            await TimeQuestion(self._port, address, SIZE).ask(self._reactor, limit)
        except Unanswered as why:
            return str(why)
        return ""
