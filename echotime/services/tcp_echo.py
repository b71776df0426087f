"""The TCP service: echo, acknowledgement, word; exact at half-close, and never more than one read ahead.

A connection is read only while no word is awaited from the reply source, the last answers fit the
transport's buffer, and the client has not ended its side. EchoProtocol._update_flow is that rule.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echotime.counters import ServiceCounters
from echotime.limits.admission import Admission
from echotime.limits.source import source_key
from echotime.logger import Logger
from echotime.services.echo_transport import IEchoTransport
from echotime.services.large_reads import LargeReads
from echotime.services.replies import IReplySource
from echotime.services.traffic import TrafficLog
from echotime.wire import hostport
from echotime.wire import message as wire


@implementer(IHalfCloseableProtocol, IPushProducer)
class EchoProtocol(Protocol):
    """One connection. What dataReceived is given is one message, so the transport decides where one ends.

    While the client streams it may be up to LARGE bytes, which are taken as messages of 4096 (services.large_reads).

    It is the push producer of its own transport: a client that does not read is not read from either.
    """

    transport: IEchoTransport
    factory: EchoFactory
    _log = Logger()

    def __init__(self, number: int = 0, source: str = "") -> None:
        self.number = number
        """Which connection of the factory's it is, from 1 on."""
        self.source = source
        """Who is at the other end, for limits (limits.source)."""
        self.ended_at: float | None = None
        """When either side ended it."""
        self.messages = 0
        self.bytes_in = 0
        self._late_reply_bytes = 0
        self._pending_reply: Deferred[bytes] | None = None
        self._output_full = False
        self._bytes_acked = 0
        self._fin_received = False
        self._closed_locally = False
        self._ended_reason = ""
        self._reads_large = False
        """True while the transport reads more than a message at a time."""

    @property
    def peer(self) -> str:
        """The client as ``host:port``."""
        peer = self.transport.getPeer()
        return hostport.format_hostport(peer.host, peer.port)

    @property
    def bytes_out(self) -> int:
        """Bytes that were handed to the transport; all but words that were asked for follow from what came in."""
        return self.bytes_in + self.messages * len(self.factory.trailer) + self._late_reply_bytes

    def rebase_bytes_out(self, old_trailer_length: int) -> None:
        """What follows an echo had another length before: let that count for the messages until now."""
        self._late_reply_bytes += self.messages * (old_trailer_length - len(self.factory.trailer))

    @property
    def has_pending_output(self) -> bool:
        """Whether the client has something coming that the transport has no room for, or nobody said yet."""
        return self._pending_reply is not None or self._output_full

    @property
    def awaiting_reply(self) -> bool:
        """Whether a word is awaited."""
        return self._pending_reply is not None

    @property
    def half_closed(self) -> bool:
        """Whether the client ended its side, and we have not ended ours."""
        return self.ended_at is not None and not self._closed_locally

    def poll_half_close(self) -> None:
        """See whether the client ended its side while it is not read from."""
        if self.ended_at is None and self.has_pending_output and self.transport.peer_half_closed():
            self.ended_at = self.factory.seconds()

    def poll_acked(self) -> None:
        """See whether the client goes on taking what it is owed: much may be gone before there is room again."""
        if self._output_full and (bytes_acked := self.transport.bytes_acked()) != self._bytes_acked:
            self._bytes_acked = bytes_acked
            self.last_active = self.factory.seconds()

    @property
    def closing(self) -> bool:
        """Whether nothing more will be read: what is written already is all that the client still gets."""
        return self.ended_at is not None

    def connectionMade(self) -> None:
        """Begin: from now on this protocol decides when its transport is read."""
        self.connected_at = self.last_active = self.factory.seconds()
        self.factory.connections.add(self)
        self.factory.admission.add(self)
        self.transport.registerProducer(self, True)

    def dataReceived(self, message: bytes) -> None:
        """Answer one message; with the word if it is known at once, else without it for now."""
        factory = self.factory
        if (self._reads_large or len(message) >= wire.MESSAGE_SIZE) and not factory.needs_reply:
            self._echo_stream(message)
            return
        traffic = factory.traffic
        self.messages += 1
        self.bytes_in += len(message)
        self.last_active = factory.seconds()
        if traffic.wants_messages or self.messages == 1:
            self._log_message(message)
        else:
            traffic.unlogged_messages += 1
        if factory.needs_reply:
            self._request_reply(message)
        else:
            self.transport.write(message + factory.trailer)

    def _echo_stream(self, data: bytes) -> None:
        """Answer what a client sent that does not wait for answers: messages of 4096 bytes, the last maybe shorter."""
        factory = self.factory
        view = memoryview(data)  # slices of bytes would be copies, which take eight times as long
        messages = [view[at : at + wire.MESSAGE_SIZE] for at in range(0, len(data), wire.MESSAGE_SIZE)]
        for number, message in enumerate(messages):
            if self.messages and not factory.traffic.wants_messages:
                self.messages += len(messages) - number
                factory.traffic.unlogged_messages += len(messages) - number
                break
            self.messages += 1
            self._log_message(bytes(message))
        self.bytes_in += len(data)
        self.last_active = factory.seconds()
        output = factory.trailer.join([*messages, b""])
        self.transport.write(output)
        factory.large_reads.record_read(self, len(data), len(output), self._output_full)

    def set_read_size(self, size: int) -> None:
        """Read at most `size` bytes at a time from now on."""
        self._reads_large = size > wire.MESSAGE_SIZE
        self.transport.read_size = size

    def send_buffer(self) -> int:
        """Return the transport's SO_SNDBUF in bytes."""
        return self.transport.send_buffer()

    def _log_message(self, message: bytes) -> None:
        traffic = self.factory.traffic
        if self.messages == 1:
            traffic.connection_opened(self)
        if traffic.wants_messages:
            traffic.message_received(self, message)
        else:
            traffic.unlogged_messages += 1

    def _request_reply(self, message: bytes) -> None:
        try:
            reply = self.factory.reply_source.reply_to(message, self.transport.getPeer())
        except Exception:
            reply = fail()
        if isinstance(reply, Deferred):
            self.transport.write(message + self.factory.trailer)
            self._await_reply(reply)
        else:
            self.transport.write(wire.build_reply(message, self.factory.trailer, reply))
            self._late_reply_bytes += len(reply)

    def readConnectionLost(self) -> None:
        """The client ended its side: it still gets all it is owed, then the connection is closed."""
        self._fin_received = True
        self._mark_ended(self._ended_reason or "client")
        # resuming a transport that was read to its end would only report the end again
        self.transport.unregisterProducer()
        self._output_full = False
        self._update_flow()

    def writeConnectionLost(self) -> None:
        """Our own side is never closed before the whole connection."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over, in whatever way; a reset by the client is an ordinary end."""
        factory = self.factory
        # its place is free, whatever fails below at those who are told
        factory.connections.discard(self)
        factory.admission.remove(self)
        if self.bytes_in >= wire.MESSAGE_SIZE:
            factory.large_reads.forget(self)
        if not isinstance(reason.value, (ConnectionDone, ConnectionAborted)):
            self._ended_reason = "client's reset"
        pending_reply, self._pending_reply = self._pending_reply, None
        try:
            if pending_reply is not None:
                pending_reply.cancel()
        finally:
            try:
                factory.traffic.connection_closed(self, self._ended_reason or "server")
            finally:
                factory.notify_if_empty()

    def pauseProducing(self) -> None:
        """The transport's buffer is full: the client does not read as fast as it writes."""
        self._output_full = True
        self._update_flow()

    def resumeProducing(self) -> None:
        """The transport's buffer is empty."""
        self.factory.large_reads.release(self)
        self.last_active = self.factory.seconds()
        self._output_full = False
        self._update_flow()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost follows."""

    def close(self, reason: str) -> None:
        """Close as soon as what was written is on its way, reading nothing more."""
        self._closed_locally = True
        self._mark_ended(reason)
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def reset(self, reason: str) -> None:
        """Tell the client that not all it is owed will come."""
        self._closed_locally = True
        self._mark_ended(reason)
        self.transport.abortConnection()

    def _mark_ended(self, reason: str) -> None:
        self._ended_reason = reason
        if self.ended_at is None:
            self.ended_at = self.factory.seconds()

    def _await_reply(self, reply: Deferred[bytes]) -> None:
        self._pending_reply = reply
        self._update_flow()
        reply.addCallback(self._reply_ready).addErrback(self._reply_failed)

    def _reply_ready(self, reply: bytes) -> None:
        self.transport.write(reply)
        self.last_active = self.factory.seconds()
        self._late_reply_bytes += len(reply)
        self._pending_reply = None
        self._update_flow()

    def _reply_failed(self, failure: Failure) -> None:
        if self._pending_reply is None:
            return  # cancelled, as the connection is over
        self._log.failure("no word for {peer}, it is reset", failure, peer=self.peer)
        self.reset("server's reset")

    def _update_flow(self) -> None:
        if self._fin_received:
            if self._pending_reply is None:
                self.transport.loseConnection()
        elif self.has_pending_output:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()


class EchoFactory(ServerFactory):
    """Makes the connections' protocols and knows which are open.

    `reply_source` is asked for the word of each message, `traffic` is told what happens, `admission` says who is
    served.
    """

    noisy = False

    def __init__(
        self,
        reply_source: IReplySource,
        traffic: TrafficLog,
        acknowledgement: bytes = wire.ACKNOWLEDGEMENT,
        admission: Admission | None = None,
    ) -> None:
        self.trailer = b""
        """What follows every echo at once."""
        self.connections: set[EchoProtocol] = set()
        self.admission = admission or Admission(traffic.counters)
        self.traffic = traffic
        self.seconds = traffic.clock.seconds
        self.large_reads = LargeReads(traffic.clock)
        self.set_reply(reply_source, acknowledgement)
        self.probe_factory: Any = None
        """Makes the protocols of the health check's connections (ProbeEchoFactory), where there is one."""
        self._last_number = 0
        self._empty_waiters: list[Deferred[None]] = []

    def set_reply(self, reply_source: IReplySource, acknowledgement: bytes) -> None:
        """Answer with these from now on."""
        old_trailer_length = len(self.trailer)
        self.reply_source = reply_source
        self.needs_reply = reply_source.constant is None
        """Whether each message's word has to be asked for."""
        self.trailer = wire.build_reply(b"", acknowledgement, reply_source.constant or b"")
        self.large_reads.allow(not self.needs_reply and len(self.trailer) <= wire.MESSAGE_SIZE)
        for each in self.connections:
            each.rebase_bytes_out(old_trailer_length)

    def buildProtocol(self, addr: Any) -> EchoProtocol | None:  # type: ignore[override]  # Twisted binds it to `protocol`
        """A protocol for a connection that was just accepted; None for one that is not admitted."""
        if self.probe_factory is not None and self.probe_factory.expected:
            probe_protocol: EchoProtocol | None = self.probe_factory.buildProtocol(addr)
            if probe_protocol is not None:
                return probe_protocol
        source = source_key(addr.host)
        if not self.admission.try_admit(addr.host, source):
            return None
        self._last_number += 1
        protocol = EchoProtocol(self._last_number, source)
        protocol.factory = self
        return protocol

    def counters(self) -> ServiceCounters:
        """What was served, open connections included."""
        counters = replace(self.traffic.counters)
        for each in self.connections:
            counters.add(each)
        return counters

    def when_empty(self) -> Deferred[None]:
        """Fires when no connection is open any more; at once if none is."""
        waiter: Deferred[None] = Deferred()
        self._empty_waiters.append(waiter)
        self.notify_if_empty()
        return waiter

    def notify_if_empty(self) -> None:
        """A connection is over: tell those who wait for the last."""
        while self._empty_waiters and not self.connections:
            self._empty_waiters.pop().callback(None)
