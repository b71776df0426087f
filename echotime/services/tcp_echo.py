"""The TCP service: each message is answered with its echo, the trailer, and a reply if there is a reply source.

docs/design.md lists the calls that a message takes. What follows each echo is decided in EchoProtocol.dataReceived and
_echo_stream alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall, IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echotime.limits.admission import Admission
from echotime.logger import Logger
from echotime.services.answer_text import render
from echotime.services.echo_transport import IEchoTransport
from echotime.services.large_reads import LargeReads
from echotime.services.replies import IReplySource
from echotime.services.traffic import TrafficLog
from echotime.sockopt.errno_name import errno_name
from echotime.wire.connection_end import BY_CLIENT, BY_CLIENT_RESET, BY_SERVER, BY_SERVER_RESET
from echotime.wire.hostport import format_hostport
from echotime.wire.message import MESSAGE_SIZE
from echotime.wire.template import Text

CLOSE_TIMEOUT = 5.0
"""Seconds in which a client must receive the remaining output after this side has closed the connection."""


class EchoService(TypingProtocol):
    """Give EchoProtocol what its connections share. EchoFactory is one."""

    connections: set[EchoProtocol]
    """The open connections."""
    admission: Admission
    traffic: TrafficLog
    large_reads: LargeReads
    acknowledgement: Text
    trailer: bytes
    """What follows each echo at once, unless it differs between messages."""
    reply_source: IReplySource | None
    seconds: Callable[[], float]

    def notify_if_empty(self) -> None:
        """Tell those who wait for the end of the last connection."""


@implementer(IHalfCloseableProtocol, IPushProducer)
class EchoProtocol(Protocol):
    """Serve one TCP connection. Each dataReceived call delivers one message: the bytes of one recv(2).

    While the client streams, a call may deliver up to LARGE_READ_SIZE bytes, which the protocol splits into messages of
    4096 bytes (services.large_reads).

    The connection is read only while no reply is awaited, the transport's buffer is not full, and the client has not
    half-closed; see _update_flow. The protocol is the push producer of its own transport, to learn when the buffer is
    full.
    """

    transport: IEchoTransport
    factory: EchoService
    address: IAddress | None = None
    """The client that a PROXY header names. Otherwise None: the client is the peer of the transport."""
    via = ""
    """The proxy of that client, as ``host:port``. Empty for a direct connection."""
    last_active: float
    """The time of the last message, the last reply, or the last progress of the output."""
    behavior = ""
    """How a listener of --behave treats the connection. Empty on other listeners."""
    _log = Logger()

    def __init__(self, number: int = 0, source: str = "") -> None:
        self.number = number
        """The number of the connection, counted from 1 by the factory."""
        self.source = source
        """The source of the client (limits.source)."""
        self.ended_at: float | None = None
        """The time at which either side ended the connection, None while it is open."""
        self.messages = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self._pending_reply: Deferred[Text] | None = None
        self._output_full = False
        self._bytes_acked = 0
        self._fin_received = False
        self.closed_locally = False
        """True if this side has closed or reset the connection."""
        self._close_timer: IDelayedCall | None = None
        self.ended_reason = ""
        """The side, timeout or behavior that ends the connection. Empty while none does."""
        self._reads_large = False
        """True while the transport may read more than one message at a time."""

    @property
    def peer(self) -> str:
        """Return the client as ``host:port``."""
        client: Any = self.address or self.transport.getPeer()
        return format_hostport(client.host, client.port)

    @property
    def paused(self) -> bool:
        """Return True while the connection is not read: the transport's buffer is full, or a reply is awaited."""
        return self._pending_reply is not None or self._output_full

    @property
    def has_pending_output(self) -> bool:
        """Return True while a reply is awaited, or the kernel has not taken all output."""
        return self._pending_reply is not None or self.transport.unsent_bytes() > 0

    @property
    def has_unacked_output(self) -> bool:
        """Return True if the client had not acknowledged all output at the last `poll_acked`."""
        return self._bytes_acked < self.bytes_out

    @property
    def awaiting_reply(self) -> bool:
        return self._pending_reply is not None

    @property
    def closing(self) -> bool:
        """Return True if nothing more will be read, because either side has ended."""
        return self.ended_at is not None

    @property
    def ended_by(self) -> str:
        """Return which side or timeout has ended the connection."""
        return self.ended_reason or BY_SERVER

    def poll_half_close(self) -> None:
        """Detect the client's FIN while the connection is not read."""
        if self.ended_at is None and self.paused and self.transport.peer_half_closed():
            self.ended_at = self.factory.seconds()

    def poll_acked(self) -> None:
        """Count acknowledged output as activity."""
        if self.has_unacked_output:
            bytes_acked = self.bytes_out - self.transport.unacked_bytes()
            if bytes_acked != self._bytes_acked:
                self._bytes_acked = bytes_acked
                self.last_active = self.factory.seconds()

    def connectionMade(self) -> None:
        self.connected_at = self.last_active = self.factory.seconds()
        self.factory.connections.add(self)
        self.factory.admission.add(self)
        self.transport.registerProducer(self, True)

    def dataReceived(self, message: bytes) -> None:
        """Answer one message. If a reply is awaited, write echo and acknowledgement at once, and the reply later."""
        factory = self.factory
        if (self._reads_large or len(message) >= MESSAGE_SIZE) and factory.reply_source is None:
            self._echo_stream(message)
            return
        self.messages += 1
        self.bytes_in += len(message)
        self.last_active = factory.seconds()
        if factory.traffic.wants_messages or self.messages == 1:
            factory.traffic.message_received(self, message)
        else:
            factory.traffic.unlogged_messages += 1
        if factory.reply_source is None:
            answer = message + factory.trailer
            self.transport.write(answer)  # not _write, which would cost a call for each message
            self.bytes_out += len(answer)
        else:
            self._request_reply(factory.reply_source, message)

    def _echo_stream(self, data: bytes) -> None:
        """Answer a read of a client that streams: messages of 4096 bytes, the last of which may be shorter."""
        factory, traffic = self.factory, self.factory.traffic
        view = memoryview(data)  # slices of bytes would be copies, which take eight times as long
        messages = [view[at : at + MESSAGE_SIZE] for at in range(0, len(data), MESSAGE_SIZE)]
        self.bytes_in += len(data)
        self.last_active = factory.seconds()
        for number, message in enumerate(messages):
            if self.messages and not traffic.wants_messages:
                self.messages += len(messages) - number
                traffic.unlogged_messages += len(messages) - number
                break
            self.messages += 1
            traffic.message_received(self, bytes(message))
        answers = factory.trailer.join([*messages, b""])
        self._write(answers)
        factory.large_reads.record_read(self, len(data), len(answers), self._output_full)

    def _request_reply(self, reply_source: IReplySource, message: bytes) -> None:
        """Get the reply to `message`, and write it with echo and acknowledgement if it is known at once."""
        answer = message + render(self.factory.acknowledgement, self)
        try:
            reply = reply_source.reply_to(message, self.address or self.transport.getPeer())
        except Exception:
            reply = fail()
        if not isinstance(reply, Deferred):
            self._write(answer + render(reply, self))
            return
        self._write(answer)
        self._pending_reply = reply
        self._update_flow()
        reply.addCallback(self._reply_ready).addErrback(self._reply_failed)

    def _reply_ready(self, reply: Text) -> None:
        self._write(render(reply, self))
        self.last_active = self.factory.seconds()
        self._pending_reply = None
        self._update_flow()

    def _reply_failed(self, failure: Failure) -> None:
        if self._pending_reply is None:
            return  # the Deferred was cancelled, because the connection has ended
        self._log.failure("no reply for {peer}: connection reset", failure, peer=self.peer)
        self.reset(BY_SERVER_RESET)

    def _write(self, data: bytes) -> None:
        self.transport.write(data)
        self.bytes_out += len(data)

    def set_read_size(self, size: int) -> None:
        """Read at most `size` bytes at a time from now on."""
        self._reads_large = size > MESSAGE_SIZE
        self.transport.read_size = size

    def send_buffer(self) -> int:
        """Return SO_SNDBUF of the connection in bytes."""
        return self.transport.send_buffer()

    def readConnectionLost(self) -> None:
        """Handle the client's FIN: close the connection as soon as all output is written."""
        self._fin_received = True
        self.mark_ended(self.ended_reason or BY_CLIENT)
        # resuming a transport after the end of file would only report the end of file again
        self.transport.unregisterProducer()
        self._output_full = False
        self._update_flow()

    def writeConnectionLost(self) -> None:
        """Do nothing: this side is never half-closed."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        factory = self.factory
        if self._close_timer is not None and self._close_timer.active():
            self._close_timer.cancel()
        # free the slot first, so that no failure of an observer or a reply source can leak it
        factory.connections.discard(self)
        factory.admission.remove(self)
        if self.bytes_in >= MESSAGE_SIZE:
            factory.large_reads.forget(self)
        if isinstance(reason.value, OSError):
            self.ended_reason = f"error: {reason.value.strerror} ({errno_name(reason.value)})"
        elif not isinstance(reason.value, (ConnectionDone, ConnectionAborted)):
            self.ended_reason = BY_CLIENT_RESET
        pending_reply, self._pending_reply = self._pending_reply, None
        try:
            if pending_reply is not None:
                pending_reply.cancel()
        finally:
            try:
                factory.traffic.connection_closed(self, self.ended_by)
            finally:
                factory.notify_if_empty()

    def pauseProducing(self) -> None:
        """Stop reading, because the transport's buffer is full."""
        self._output_full = True
        self._update_flow()

    def resumeProducing(self) -> None:
        """Read again unless a reply is awaited, because the transport's buffer is empty."""
        self.factory.large_reads.release(self)
        self.last_active = self.factory.seconds()
        self._output_full = False
        self._update_flow()

    def stopProducing(self) -> None:
        """Do nothing, because connectionLost follows."""

    def close(self, reason: str) -> None:
        """Stop reading, and close the connection when all output is sent. Reset it if a reply is pending.

        Reset it also if the client has not received the output after CLOSE_TIMEOUT.
        """
        if self._pending_reply is not None:
            # a FIN would tell the client that it has everything
            self.reset(reason)
            return
        self.closed_locally = True
        self.mark_ended(reason)
        if self._close_timer is None:
            clock = self.factory.traffic.clock
            self._close_timer = clock.callLater(CLOSE_TIMEOUT, self.reset, BY_SERVER_RESET)
        self.transport.unregisterProducer()
        self.transport.loseConnection()  # it may call connectionLost

    def reset(self, reason: str) -> None:
        """Reset the connection, so that the client knows that output is missing."""
        self.closed_locally = True
        self.mark_ended(reason)
        self.transport.abortConnection()

    def mark_ended(self, reason: str) -> None:
        """Record why the connection ends, and when."""
        self.ended_reason = reason
        if self.ended_at is None:
            self.ended_at = self.factory.seconds()

    def _update_flow(self) -> None:
        """Decide whether the connection is read, and close it after the client's FIN and the last reply."""
        if self._fin_received:
            if self._pending_reply is None:
                self.transport.loseConnection()
        elif self.paused:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()
