"""How one ping is sent and its answer recognised: over UDP, over one TCP connection, over a connection each."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from echotime.client.connect import connect
from echotime.client.echo import EchoClient
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.client.ping import PingSession
from echotime.client.udp_request import UDPRequest, UDPResponse
from echotime.sockopt.assignment import Assignment
from echotime.wire import timestamp
from echotime.wire.escape import preview

_PREVIEW_BYTES = 40
_MAX_BUFFERED = 65536


class UdpProber:
    """A socket for each probe, so that late and double answers are known for what they are."""

    def __init__(
        self, session: PingSession, reactor: Any, address: ResolvedAddress, sockopts: Sequence[Assignment]
    ) -> None:
        self._session = session
        self._reactor = reactor
        self._address = address
        self._sockopts = sockopts
        self._requests: dict[int, UDPRequest] = {}
        self._sequences: dict[UDPRequest, int] = {}

    def probe(self, sequence: int) -> None:
        """Ask with an empty datagram."""
        request = UDPRequest(self._reactor, self._address, self, self._sockopts)
        self._requests[sequence], self._sequences[request] = request, sequence
        try:
            request.send()
        except ClientError as failed:
            self._session.probe_failed(sequence, failed)

    def forget(self, sequence: int) -> None:
        """Close its socket."""
        request = self._requests.pop(sequence)
        del self._sequences[request]
        request.close()

    def close(self) -> None:
        """Close all sockets."""
        for sequence in list(self._requests):
            self.forget(sequence)

    def response_received(self, request: UDPRequest, response: UDPResponse) -> None:
        """Four bytes are right, whatever time they say."""
        correct = len(response.datagram) == timestamp.SIZE
        detail = "" if correct else f"{len(response.datagram)} bytes: {preview(response.datagram, _PREVIEW_BYTES)}"
        self._session.reply_received(self._sequences[request], response.round_trip, correct=correct, detail=detail)

    def unexpected_sender(self, request: UDPRequest, address: str) -> None:
        """An answer from elsewhere is a wrong one."""
        self._session.reply_received(self._sequences[request], 0.0, correct=False, detail=address)

    def request_failed(self, request: UDPRequest, error_number: int) -> None:
        """The network refused it."""
        self._session.probe_failed(self._sequences[request], ClientError.from_errno(error_number))


def _message_affixes() -> tuple[bytes, bytes]:
    """What begins and ends a probe's message; random, so that no other's answer can be taken for it."""
    return b"echotime ping " + os.urandom(6).hex().encode() + b" ", b"\n"


class TcpProber:
    """One connection for all probes: the time from a message sent to the whole of its echo received."""

    def __init__(
        self, session: PingSession, reactor: Any, host: str, port: int, sockopts: Sequence[Assignment], timeout: float
    ) -> None:
        self._session = session
        self._prefix, self._suffix = _message_affixes()
        self._sent: dict[int, float] = {}
        self._buffer = b""
        self._connection: EchoClient | None = None
        self._connect = lambda: connect(reactor, host, port, lambda: EchoClient(self), sockopts, timeout)
        self._connecting: Deferred[None] | None = None
        self._is_closed = False

    def _connected(self, connection: EchoClient) -> None:
        self._connection = connection
        connection.ended.addCallbacks(lambda nothing: self._connection_lost(None), self._connection_failed)
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
        """Send a message with the number in it; before there is a connection, as soon as there is."""
        self._sent[sequence] = time.monotonic()
        if self._connecting is None:
            connecting = Deferred.fromCoroutine(self._connect())
            self._connecting = connecting.addCallbacks(self._connected, self._connect_failed)
        elif self._connection is not None:
            self._connection.send(self._prefix + str(sequence).encode() + self._suffix)

    def forget(self, sequence: int) -> None:
        """Its echo would be no one's."""
        self._sent.pop(sequence, None)

    def close(self) -> None:
        """Close the connection."""
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.abort(ClientError(ExitStatus.OK))

    def write(self, data: bytes) -> None:
        """What came back: look for echoes; what stands between them is acknowledgements and words."""
        now = time.monotonic()
        self._buffer += data
        while (start := self._buffer.find(self._prefix)) >= 0:
            number, suffix, rest = self._buffer[start + len(self._prefix) :].partition(self._suffix)
            if not suffix:
                break
            self._buffer = rest
            self._echo_received(number, now)
        self._buffer = self._buffer[-_MAX_BUFFERED:]

    def _echo_received(self, number: bytes, now: float) -> None:
        sequence = int(number) if number.isdigit() and len(number) < len(str(2**63)) else 0
        if sequence in self._sent:
            self._session.reply_received(sequence, now - self._sent[sequence], correct=True)
        else:
            self._session.reply_received(0, 0.0, correct=False, detail=preview(number, _PREVIEW_BYTES))


class ConnectProber:
    """A connection for each probe: the time from connect to the end of file after the answer."""

    def __init__(
        self, session: PingSession, reactor: Any, host: str, port: int, sockopts: Sequence[Assignment], timeout: float
    ) -> None:
        self._session = session
        self._prefix, self._suffix = _message_affixes()
        self._sessions: dict[int, Deferred[None]] = {}
        self._connect = lambda make: connect(reactor, host, port, make, sockopts, timeout)

    def probe(self, sequence: int) -> None:
        """Connect, send, half-close, read."""
        self._sessions[sequence] = Deferred.fromCoroutine(self._run_session(sequence))
        self._sessions[sequence].addErrback(self._session_failed, sequence)

    async def _run_session(self, sequence: int) -> None:
        message = self._prefix + str(sequence).encode() + self._suffix
        started_at = time.monotonic()
        sink = _CollectingSink()
        client: EchoClient = await self._connect(lambda: EchoClient(sink))
        client.send(message)
        client.half_close()
        try:
            await client.ended
        except CancelledError:
            client.ended.addErrback(lambda reason: None)
            client.abort(ClientError(ExitStatus.OK))
            raise
        correct = sink.data.startswith(message)
        detail = "" if correct else f"{len(sink.data)} bytes: {preview(sink.data, _PREVIEW_BYTES)}"
        self._session.reply_received(sequence, time.monotonic() - started_at, correct=correct, detail=detail)

    def _session_failed(self, reason: Failure, sequence: int) -> None:
        if not reason.check(CancelledError):
            self._session.probe_failed(sequence, ClientError.from_failure(reason))

    def forget(self, sequence: int) -> None:
        """End its connection, if it is still there."""
        self._sessions.pop(sequence).cancel()

    def close(self) -> None:
        """End all connections."""
        for sequence in list(self._sessions):
            self.forget(sequence)


class _CollectingSink:
    """A sink that keeps the beginning of what it gets."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        """Keep it, up to a bound."""
        self.data = (self.data + data)[:_MAX_BUFFERED]
