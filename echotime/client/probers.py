"""Send probes and recognize their answers: over UDP, over one TCP connection, or over one connection each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from echotime.client.connect import MakeHeader, connect, connect_timeout
from echotime.client.deadline import Deadline
from echotime.client.echo import EchoClient
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.client.ping import PingSession
from echotime.client.probe_message import MAX_SIZE, Message, find_end
from echotime.client.udp_request import UDPRequest, UDPResponse
from echotime.i18n.language import gettext as _
from echotime.sockopt.assignment import Assignment
from echotime.wire import timestamp
from echotime.wire.escape import preview
from echotime.wire.verify import Cause, VerifyResult

_PREVIEW_BYTES = 40
_MAX_COLLECTED = 4 * MAX_SIZE


class UdpProber:
    """Send each UDP probe from its own socket, so that late and duplicate answers are attributed to their probes."""

    def __init__(
        self,
        session: PingSession,
        reactor: Any,
        address: ResolvedAddress,
        datagram: bytes,
        sockopts: Sequence[Assignment],
    ) -> None:
        self._session = session
        self._reactor = reactor
        self._address = address
        self._datagram = datagram
        self._sockopts = sockopts
        self._requests: dict[int, UDPRequest] = {}
        self._sequences: dict[UDPRequest, int] = {}

    def probe(self, sequence: int) -> None:
        """Send the datagram from a new socket."""
        request = UDPRequest(self._reactor, self._address, self, self._sockopts)
        self._requests[sequence], self._sequences[request] = request, sequence
        try:
            request.send(self._datagram)
        except ClientError as failed:
            self._session.probe_failed(sequence, failed)

    def forget(self, sequence: int) -> None:
        """Close the socket of a probe."""
        request = self._requests.pop(sequence)
        del self._sequences[request]
        request.close()

    def describe_loss(self, sequence: int) -> str:
        return ""

    def close(self) -> None:
        """Close the sockets of all probes."""
        for sequence in list(self._requests):
            self.forget(sequence)

    def response_received(self, request: UDPRequest, response: UDPResponse) -> None:
        """Report an answer. Any four bytes are correct."""
        correct = len(response.datagram) == timestamp.SIZE
        self._session.reply_received(
            self._sequences[request],
            response.round_trip,
            correct=correct,
            detail="" if correct else _describe(response.datagram),
        )

    def unexpected_sender(self, request: UDPRequest, address: str) -> None:
        """Report an answer from another address as wrong."""
        self._session.reply_received(self._sequences[request], 0.0, correct=False, detail=address)

    def request_failed(self, request: UDPRequest, error_number: int) -> None:
        """Report an error of the network."""
        self._session.probe_failed(self._sequences[request], ClientError.from_errno(error_number))


def _describe(data: bytes) -> str:
    return f"{len(data)} bytes: {preview(data, _PREVIEW_BYTES)}"


class TcpProber:
    """Send all probes over one connection. The time is from sending a message to receiving all of its echo."""

    def __init__(
        self,
        session: PingSession,
        reactor: Any,
        address: ResolvedAddress,
        message: Message,
        sockopts: Sequence[Assignment],
        timeout: float,
        make_header: MakeHeader | None = None,
    ) -> None:
        self._session = session
        self._message = message
        self._sent: dict[int, float] = {}
        self._connection: EchoClient | None = None
        self._connect = lambda: connect(
            reactor, [address], lambda: EchoClient(self), sockopts, Deadline(reactor, timeout), make_header
        )
        self._connecting: Deferred[None] | None = None
        self._is_closed = False

    def _connected(self, connection: EchoClient) -> None:
        self._connection = connection
        connection.ended.addCallbacks(lambda nothing: self._connection_lost(None), self._connection_failed)
        self._message.expected = min(self._sent, default=1)
        for sequence in list(self._sent):
            self.probe(sequence)

    def _connect_failed(self, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self._connection_failed(reason)

    def _connection_failed(self, reason: Failure) -> None:
        self._connection_lost(ClientError.from_failure(reason))

    def _connection_lost(self, reason: ClientError | None) -> None:
        if not self._is_closed:
            self._connection = None
            self._session.connection_lost(reason)

    def probe(self, sequence: int) -> None:
        """Send a message with the number in it, once there is a connection."""
        self._sent[sequence] = time.monotonic()
        if self._connecting is None:
            connecting = Deferred.fromCoroutine(self._connect())
            self._connecting = connecting.addCallbacks(self._connected, self._connect_failed)
        elif self._connection is not None:
            self._connection.send(self._message.numbered(sequence))

    def forget(self, sequence: int) -> None:
        """Ignore further echoes of a probe."""
        self._sent.pop(sequence, None)

    def describe_loss(self, sequence: int) -> str:
        return "" if self._connection is not None else connect_timeout().detail

    def close(self) -> None:
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.abort(ClientError(ExitStatus.OK))

    def write(self, data: bytes) -> None:
        """Search received bytes for echoes. Between them are trailers."""
        now = time.monotonic()
        for echo in self._message.echoes(data):
            if isinstance(echo, int) and echo in self._sent:
                self._session.reply_received(echo, now - self._sent[echo], correct=True)
            else:
                text = b"%d" % echo if isinstance(echo, int) else echo
                self._session.reply_received(0, 0.0, correct=False, detail=preview(text, _PREVIEW_BYTES))


class ConnectProber:
    """Make a connection for each probe. The time is from connect to the end of file after the answer."""

    def __init__(
        self,
        session: PingSession,
        reactor: Any,
        address: ResolvedAddress,
        message: Message,
        sockopts: Sequence[Assignment],
        timeout: float,
        make_header: MakeHeader | None = None,
    ) -> None:
        self._session = session
        self._message = message
        self._sessions: dict[int, Deferred[None]] = {}
        self._connecting: set[int] = set()
        self._connect = lambda make: connect(
            reactor, [address], make, sockopts, Deadline(reactor, timeout), make_header
        )

    def probe(self, sequence: int) -> None:
        """Start a session: connect, send, half-close, read."""
        self._connecting.add(sequence)
        self._sessions[sequence] = Deferred.fromCoroutine(self._run_session(sequence))
        self._sessions[sequence].addErrback(self._session_failed, sequence)

    async def _run_session(self, sequence: int) -> None:
        message = self._message.numbered(sequence)
        started_at = time.monotonic()
        sink = _CollectingSink()
        client: EchoClient = await self._connect(lambda: EchoClient(sink))
        self._connecting.discard(sequence)
        client.send(message)
        client.half_close()
        await client.completed()
        correct = find_end(message, sink.data) is not None
        if not correct and message.startswith(sink.data):
            lost = len(message) - len(sink.data)
            cut = VerifyResult(len(sink.data), lost, missing=lost, cause=Cause.CUT)
            raise client.failure(ClientError(ExitStatus.FAILED), cut)
        detail = "" if correct else _describe(sink.data)
        self._session.reply_received(sequence, time.monotonic() - started_at, correct=correct, detail=detail)

    def _session_failed(self, reason: Failure, sequence: int) -> None:
        if not reason.check(CancelledError):
            self._session.probe_failed(sequence, ClientError.from_failure(reason))

    def forget(self, sequence: int) -> None:
        """Reset the connection of a probe if it is still open."""
        self._connecting.discard(sequence)
        self._sessions.pop(sequence).cancel()

    def describe_loss(self, sequence: int) -> str:
        return connect_timeout().detail if sequence in self._connecting else _("timed out: connected, no answer")

    def close(self) -> None:
        """Reset the connections of all probes."""
        for sequence in list(self._sessions):
            self.forget(sequence)


class _CollectingSink:
    """Keep the beginning of what is written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data = (self.data + data)[:_MAX_COLLECTED]
