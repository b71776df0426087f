"""How one ping is sent and its answer recognised: over UDP, over one TCP connection, over a connection each."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from echotime.clients.dial import dial
from echotime.clients.echo import EchoClient
from echotime.clients.lookup import Endpoint
from echotime.clients.ping import PingSession
from echotime.clients.question import Answer, Question
from echotime.clients.status import ClientFailed, Status
from echotime.sockopt.assignment import Assignment
from echotime.wire import timestamp
from echotime.wire.printable import shown

_SHOWN_BYTES = 40
_MOST_UNREAD = 65536


class UdpProber:
    """A socket for each probe, so that late and double answers are known for what they are."""

    def __init__(self, session: PingSession, reactor: Any, endpoint: Endpoint, asked: Sequence[Assignment]) -> None:
        self._session = session
        self._reactor = reactor
        self._endpoint = endpoint
        self._asked = asked
        self._questions: dict[int, Question] = {}
        self._numbers: dict[Question, int] = {}

    def probe(self, sequence: int) -> None:
        """Ask with an empty datagram."""
        question = Question(self._reactor, self._endpoint, self, self._asked)
        self._questions[sequence], self._numbers[question] = question, sequence
        try:
            question.ask()
        except ClientFailed as failed:
            self._session.failed(sequence, failed)

    def forget(self, sequence: int) -> None:
        """Close its socket."""
        question = self._questions.pop(sequence)
        del self._numbers[question]
        question.close()

    def close(self) -> None:
        """Close all sockets."""
        for sequence in list(self._questions):
            self.forget(sequence)

    def answered(self, question: Question, answer: Answer) -> None:
        """Four bytes are right, whatever time they say."""
        right = len(answer.datagram) == timestamp.SIZE
        detail = "" if right else f"{len(answer.datagram)} bytes: {shown(answer.datagram, _SHOWN_BYTES)}"
        self._session.came(self._numbers[question], answer.round_trip, right=right, detail=detail)

    def stranger(self, question: Question, address: str) -> None:
        """An answer from elsewhere is a wrong one."""
        self._session.came(self._numbers[question], 0.0, right=False, detail=address)

    def failed(self, question: Question, number: int) -> None:
        """The network refused it."""
        self._session.failed(self._numbers[question], ClientFailed.from_errno(number))


def _message() -> tuple[bytes, bytes]:
    """What begins and ends a probe's message; random, so that no other's answer can be taken for it."""
    return b"echotime ping " + os.urandom(6).hex().encode() + b" ", b"\n"


class TcpProber:
    """One connection for all probes: the time from a message sent to the whole of its echo received."""

    def __init__(
        self, session: PingSession, reactor: Any, host: str, port: int, asked: Sequence[Assignment], timeout: float
    ) -> None:
        self._session = session
        self._prefix, self._suffix = _message()
        self._sent: dict[int, float] = {}
        self._unread = b""
        self._connection: EchoClient | None = None
        self._dial = lambda: dial(reactor, host, port, lambda: EchoClient(self), asked, timeout)
        self._dialing: Deferred[None] | None = None
        self._closed = False

    def _connected(self, connection: EchoClient) -> None:
        self._connection = connection
        connection.ended.addCallbacks(lambda nothing: self._lost(None), self._lost_with)
        for sequence in list(self._sent):
            self.probe(sequence)

    def _not_connected(self, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self._lost_with(reason)

    def _lost_with(self, reason: Failure) -> None:
        self._lost(ClientFailed.from_failure(reason))

    def _lost(self, reason: ClientFailed | None) -> None:
        if not self._closed:
            self._connection = None
            self._session.broke(reason)

    def probe(self, sequence: int) -> None:
        """Send a message with the number in it; before there is a connection, as soon as there is."""
        self._sent[sequence] = time.monotonic()
        if self._dialing is None:
            dialing = Deferred.fromCoroutine(self._dial())
            self._dialing = dialing.addCallbacks(self._connected, self._not_connected)
        elif self._connection is not None:
            self._connection.send(self._prefix + str(sequence).encode() + self._suffix)

    def forget(self, sequence: int) -> None:
        """Its echo would be no one's."""
        self._sent.pop(sequence, None)

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        if self._dialing is not None:
            self._dialing.cancel()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.give_up(ClientFailed(Status.OK))

    def write(self, data: bytes) -> None:
        """What came back: look for echoes; what stands between them is acknowledgements and words."""
        now = time.monotonic()
        self._unread += data
        while (start := self._unread.find(self._prefix)) >= 0:
            number, suffix, rest = self._unread[start + len(self._prefix) :].partition(self._suffix)
            if not suffix:
                break
            self._unread = rest
            self._echoed(number, now)
        self._unread = self._unread[-_MOST_UNREAD:]

    def _echoed(self, number: bytes, now: float) -> None:
        sequence = int(number) if number.isdigit() and len(number) < len(str(2**63)) else 0
        if sequence in self._sent:
            self._session.came(sequence, now - self._sent[sequence], right=True)
        else:
            self._session.came(0, 0.0, right=False, detail=shown(number, _SHOWN_BYTES))


class ConnectProber:
    """A connection for each probe: the time from connect to the end of file after the answer."""

    def __init__(
        self, session: PingSession, reactor: Any, host: str, port: int, asked: Sequence[Assignment], timeout: float
    ) -> None:
        self._session = session
        self._prefix, self._suffix = _message()
        self._open: dict[int, Deferred[None]] = {}
        self._dial = lambda make: dial(reactor, host, port, make, asked, timeout)

    def probe(self, sequence: int) -> None:
        """Connect, send, half-close, read."""
        self._open[sequence] = Deferred.fromCoroutine(self._talk(sequence))
        self._open[sequence].addErrback(self._failed, sequence)

    async def _talk(self, sequence: int) -> None:
        message = self._prefix + str(sequence).encode() + self._suffix
        began = time.monotonic()
        collected = _Collected()
        client: EchoClient = await self._dial(lambda: EchoClient(collected))
        client.send(message)
        client.half_close()
        try:
            await client.ended
        except CancelledError:
            client.ended.addErrback(lambda reason: None)
            client.give_up(ClientFailed(Status.OK))
            raise
        right = collected.data.startswith(message)
        detail = "" if right else f"{len(collected.data)} bytes: {shown(collected.data, _SHOWN_BYTES)}"
        self._session.came(sequence, time.monotonic() - began, right=right, detail=detail)

    def _failed(self, reason: Failure, sequence: int) -> None:
        if not reason.check(CancelledError):
            self._session.failed(sequence, ClientFailed.from_failure(reason))

    def forget(self, sequence: int) -> None:
        """End its connection, if it is still there."""
        self._open.pop(sequence).cancel()

    def close(self) -> None:
        """End all connections."""
        for sequence in list(self._open):
            self.forget(sequence)


class _Collected:
    """A sink that keeps the beginning of what it gets."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        """Keep it, up to a bound."""
        self.data = (self.data + data)[:_MOST_UNREAD]
