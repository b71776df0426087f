"""How each kind of port is asked, and what is remembered of questions that were not taken in time."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from typing import Any

from echotime.daemon.own_question import EchoQuestion, TimeQuestion, Unanswered
from echotime.ports.own_address import is_ours, ways_to
from echotime.ports.spare import Spare
from echotime.ports.tcp import EchoPort
from echotime.ports.udp import TimePort
from echotime.ports.vantage import NoVantage, has_network_of, vantage
from echotime.servers.health import HealthFactory
from echotime.servers.own_questions import OwnQuestions, Source
from echotime.wire.timestamp import SIZE

WRONG = "the answer is wrong"
_MESSAGE = b"health check"
_LATE = 100
"""The most questions to a hung listener that are remembered."""


class Asking(ABC):
    """The questions to one port, to whose protocols they are known as its `own`.

    What is not answered may still be taken when nobody waits for it any more, and is no client's then either.
    """

    def __init__(self, port: EchoPort | TimePort, own: OwnQuestions, reactor: Any) -> None:
        self._port = port
        self._own = own
        self._reactor = reactor
        self._asked_from: list[Source] = []

    async def ask(self, limit: float) -> tuple[str, bool]:
        """Why a question was not answered, empty if it was; and whether it has arrived."""
        if self._port.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
            return "other sockets may share its port, and would be asked instead", False
        self.forget(_LATE)
        reason = ""
        try:
            source = self._begin()
        except Unanswered as unanswered:
            return str(unanswered), False
        self._asked_from.append(source)
        self._own.expect(source)
        try:
            if not await self._answered(limit):
                reason = WRONG
        except Unanswered as unanswered:
            reason = str(unanswered)
        arrived = self._own.arrived(source)
        return reason if reason or arrived else "another socket has answered", arrived

    def forget(self, keep: int = 0) -> None:
        """Expect no question any more, but for the last: earlier ones have been taken, or never will be."""
        while len(self._asked_from) > keep:
            self._own.forget(self._asked_from.pop(0))

    @property
    @abstractmethod
    def certain(self) -> bool:
        """Whether an answer that does not come was not given."""

    @abstractmethod
    def _begin(self) -> Source:
        """Where the question will come from, and nobody else's. Raises Unanswered."""

    @abstractmethod
    async def _answered(self, limit: float) -> bool:
        """Put it; whether the answer is what it has to be. Raises Unanswered."""


class EchoAsking(Asking):
    """Over a connection from within the network of the port."""

    _port: EchoPort

    def __init__(self, port: EchoPort, echo: HealthFactory, reactor: Any) -> None:
        super().__init__(port, echo.own, reactor)
        self._echo = echo
        if port.passed_in is not None and not has_network_of(port.passed_in):
            port.spare = Spare(port.passed_in)

    @property
    def certain(self) -> bool:
        """But where each close throws away what was not sent."""
        return not self._port.resets

    def _begin(self) -> Source:
        try:
            self._sock = vantage(self._port.socket, self._port.spare)
        except NoVantage as why:
            raise Unanswered(str(why)) from None
        host, number = self._sock.getsockname()[:2]
        return host, number

    async def _answered(self, limit: float) -> bool:
        host, _number, *more = self._sock.getsockname()
        address = (host, self._port.getHost().port, *more)
        owed = _MESSAGE + self._echo.after_each
        return await EchoQuestion(_MESSAGE, len(owed)).ask(self._reactor, self._sock, address, limit) == owed


class TimeAsking(Asking):
    """The port asks itself; so an answer may find its own receive buffer full, or be forged."""

    _port: TimePort
    certain = False

    def __init__(self, port: TimePort, reactor: Any) -> None:
        super().__init__(port, port.protocol.own, reactor)

    def _begin(self) -> Source:
        sock = self._port.socket
        for each in ways_to(sock):
            if is_ours(each, sock):
                self._address = each
                return each[0], each[1]
        raise Unanswered("it is not reached over the addresses of this host")

    async def _answered(self, limit: float) -> bool:
        await TimeQuestion(self._port, self._address, SIZE).ask(self._reactor, limit)
        return True
