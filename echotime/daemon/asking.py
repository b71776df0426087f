"""How each kind of port is asked a question of the daemon's own, and why there may be no answer.

A question that is given up may still arrive. The source of a TCP question stays known until that is impossible, so
that it is never taken for a client's. A UDP question is known by its secret, however late it is (ports.self_asked).
"""

from __future__ import annotations

from typing import Any

from echotime.daemon.own_question import EchoQuestion, TimeQuestion, Unanswered
from echotime.daemon.waiting import queue_state
from echotime.ports.own_address import is_ours, ways_to
from echotime.ports.spare import Spare
from echotime.ports.tcp import EchoPort
from echotime.ports.udp import TimePort
from echotime.ports.vantage import NoVantage, has_network_of, vantage
from echotime.servers.health import HealthFactory
from echotime.servers.own_questions import Source
from echotime.wire.timestamp import SIZE

SEGMENT_LIFETIME = 120.0
"""Seconds for which a segment may be in the network (the MSL of RFC 9293)."""
_MESSAGE = b"health check"
_MOST_LATE = 4096
"""Sources that are remembered for a hung listener, the oldest forgotten first: as many as net.core.somaxconn has."""


class EchoAsking:
    """Asks a TCP port over a connection from within its network."""

    def __init__(self, port: EchoPort, echo: HealthFactory, reactor: Any) -> None:
        self._port = port
        self._echo = echo
        self._own = echo.own
        self._reactor = reactor
        self._asked: dict[Source, float] = {}
        """When was asked from where, the oldest first."""
        if port.passed_in is not None and not has_network_of(port.passed_in):
            port.spare = Spare(port.passed_in)

    async def ask(self, limit: float) -> str:
        """Return why a question was not answered within `limit` seconds, empty if it was. Raises ListenerHung."""
        self._forget()
        try:
            sock = vantage(self._port.socket, self._port.spare)
        except NoVantage as why:
            return str(why)
        host, number, *more = sock.getsockname()
        self._own.expect((host, number))
        self._asked[host, number] = self._reactor.seconds()
        owed = _MESSAGE + self._echo.after_each
        address = (host, self._port.getHost().port, *more)
        try:
            answer = await EchoQuestion(_MESSAGE, len(owed)).ask(self._reactor, sock, address, limit)
        except Unanswered as why:
            return str(why) if self._own.expects((host, number)) else f"accepted, but {why}"
        if self._own.expects((host, number)):
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
