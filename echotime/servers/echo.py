"""The TCP service: echo, acknowledgement, word; exact at half-close, and never more than one read ahead.

A connection is read only while no word is awaited from the reply source, the last answers fit the
transport's buffer, and the client has not ended its side. EchoProtocol._close_or_read is that rule.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from echotime.servers.admission import Admission
from echotime.servers.echo_transport import IEchoTransport
from echotime.servers.large_reads import LargeReads
from echotime.servers.replies import IReplySource
from echotime.servers.source import source
from echotime.servers.traffic import Counters, Traffic
from echotime.wire import hostport
from echotime.wire import message as wire


@implementer(IHalfCloseableProtocol, IPushProducer)
class EchoProtocol(Protocol):
    """One connection. What dataReceived is given is one message, so the transport decides where one ends.

    While the client streams it may be up to LARGE bytes, which are taken as messages of 4096 (servers.large_reads).

    It is the push producer of its own transport: a client that does not read is not read from either.
    """

    transport: IEchoTransport
    factory: EchoFactory
    _log = Logger()

    def __init__(self, number: int = 0, source: str = "") -> None:
        self.number = number
        """Which connection of the factory's it is, from 1 on."""
        self.source = source
        """Who is at the other end, for limits (servers.source)."""
        self.ended_at: float | None = None
        """When either side ended it."""
        self.messages = 0
        self.bytes_in = 0
        self._words = 0
        self._awaited: Deferred[bytes] | None = None
        self._output_full = False
        self._taken = 0
        self._client_ended = False
        self._ended_here = False
        self._ended_by = ""
        self._streams = False
        """True while the transport reads more than a message at a time."""

    @property
    def peer(self) -> str:
        """The client as ``host:port``."""
        peer = self.transport.getPeer()
        return hostport.joined(peer.host, peer.port)

    @property
    def bytes_out(self) -> int:
        """Bytes that were handed to the transport; all but words that were asked for follow from what came in."""
        return self.bytes_in + self.messages * len(self.factory.after_each) + self._words

    def settle(self, after_each: int) -> None:
        """What follows an echo had another length before: let that count for the messages until now."""
        self._words += self.messages * (after_each - len(self.factory.after_each))

    @property
    def owes(self) -> bool:
        """Whether the client has something coming that the transport has no room for, or nobody said yet."""
        return self._awaited is not None or self._output_full

    @property
    def waiting(self) -> bool:
        """Whether a word is awaited."""
        return self._awaited is not None

    @property
    def half_closed(self) -> bool:
        """Whether the client ended its side, and we have not ended ours."""
        return self.ended_at is not None and not self._ended_here

    def look_for_the_end(self) -> None:
        """See whether the client ended its side while it is not read from."""
        if self.ended_at is None and self.owes and self.transport.peer_ended():
            self.ended_at = self.factory.seconds()

    def look_for_reading(self) -> None:
        """See whether the client goes on taking what it is owed: much may be gone before there is room again."""
        if self._output_full and (taken := self.transport.taken()) != self._taken:
            self._taken = taken
            self.last_active = self.factory.seconds()

    @property
    def closing(self) -> bool:
        """Whether nothing more will be read: what is written already is all that the client still gets."""
        return self.ended_at is not None

    def connectionMade(self) -> None:
        """Begin: from now on this protocol decides when its transport is read."""
        self.since = self.last_active = self.factory.seconds()
        self.factory.connections.add(self)
        self.factory.admission.entered(self)
        self.transport.registerProducer(self, True)

    def dataReceived(self, message: bytes) -> None:
        """Answer one message; with the word if it is known at once, else without it for now."""
        factory = self.factory
        if (self._streams or len(message) >= wire.MESSAGE_SIZE) and not factory.asks:
            self._answer_stream(message)
            return
        traffic = factory.traffic
        self.messages += 1
        self.bytes_in += len(message)
        self.last_active = factory.seconds()
        if traffic.attentive or self.messages == 1:
            self._show(message)
        else:
            traffic.unnoticed += 1
        if factory.asks:
            self._ask(message)
        else:
            self.transport.write(message + factory.after_each)

    def _answer_stream(self, data: bytes) -> None:
        """Answer what a client sent that does not wait for answers: messages of 4096 bytes, the last maybe shorter."""
        factory = self.factory
        view = memoryview(data)  # slices of bytes would be copies, which take eight times as long
        messages = [view[at : at + wire.MESSAGE_SIZE] for at in range(0, len(data), wire.MESSAGE_SIZE)]
        for number, message in enumerate(messages):
            if self.messages and not factory.traffic.attentive:
                self.messages += len(messages) - number
                factory.traffic.unnoticed += len(messages) - number
                break
            self.messages += 1
            self._show(bytes(message))
        self.bytes_in += len(data)
        self.last_active = factory.seconds()
        answer = factory.after_each.join([*messages, b""])
        self.transport.write(answer)
        factory.large_reads.answered(self, len(data), len(answer), self._output_full)

    def set_read_size(self, size: int) -> None:
        """Read at most `size` bytes at a time from now on."""
        self._streams = size > wire.MESSAGE_SIZE
        self.transport.read_size = size

    def send_buffer(self) -> int:
        """Return the transport's SO_SNDBUF in bytes."""
        return self.transport.send_buffer()

    def _show(self, message: bytes) -> None:
        traffic = self.factory.traffic
        if self.messages == 1:
            traffic.began(self)
        if traffic.attentive:
            traffic.message(self, message)
        else:
            traffic.unnoticed += 1

    def _ask(self, message: bytes) -> None:
        try:
            word = self.factory.words.word_for(message, self.transport.getPeer())
        except Exception:
            word = fail()
        if isinstance(word, Deferred):
            self.transport.write(message + self.factory.after_each)
            self._await(word)
        else:
            self.transport.write(wire.answer(message, self.factory.after_each, word))
            self._words += len(word)

    def readConnectionLost(self) -> None:
        """The client ended its side: it still gets all it is owed, then the connection is closed."""
        self._client_ended = True
        self._end(self._ended_by or "client")
        # resuming a transport that was read to its end would only report the end again
        self.transport.unregisterProducer()
        self._output_full = False
        self._close_or_read()

    def writeConnectionLost(self) -> None:
        """Our own side is never closed before the whole connection."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over, in whatever way; a reset by the client is an ordinary end."""
        factory = self.factory
        # its place is free, whatever fails below at those who are told
        factory.connections.discard(self)
        factory.admission.left(self)
        if self.bytes_in >= wire.MESSAGE_SIZE:
            factory.large_reads.forget(self)
        if not isinstance(reason.value, (ConnectionDone, ConnectionAborted)):
            self._ended_by = "client's reset"
        awaited, self._awaited = self._awaited, None
        try:
            if awaited is not None:
                awaited.cancel()
        finally:
            try:
                factory.traffic.ended(self, self._ended_by or "server")
            finally:
                factory.ended()

    def pauseProducing(self) -> None:
        """The transport's buffer is full: the client does not read as fast as it writes."""
        self._output_full = True
        self._close_or_read()

    def resumeProducing(self) -> None:
        """The transport's buffer is empty."""
        self.factory.large_reads.release(self)
        self.last_active = self.factory.seconds()
        self._output_full = False
        self._close_or_read()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost follows."""

    def close(self, by: str) -> None:
        """Close as soon as what was written is on its way, reading nothing more."""
        self._ended_here = True
        self._end(by)
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def reset(self, by: str) -> None:
        """Tell the client that not all it is owed will come."""
        self._ended_here = True
        self._end(by)
        self.transport.abortConnection()

    def _end(self, by: str) -> None:
        self._ended_by = by
        if self.ended_at is None:
            self.ended_at = self.factory.seconds()

    def _await(self, word: Deferred[bytes]) -> None:
        self._awaited = word
        self._close_or_read()
        word.addCallback(self._word_came).addErrback(self._word_failed)

    def _word_came(self, word: bytes) -> None:
        self.transport.write(word)
        self.last_active = self.factory.seconds()
        self._words += len(word)
        self._awaited = None
        self._close_or_read()

    def _word_failed(self, failure: Failure) -> None:
        if self._awaited is None:
            return  # cancelled, as the connection is over
        self._log.failure("no word for {peer}, it is reset", failure, peer=self.peer)
        self.reset("server's reset")

    def _close_or_read(self) -> None:
        if self._client_ended:
            if self._awaited is None:
                self.transport.loseConnection()
        elif self.owes:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()


class EchoFactory(ServerFactory):
    """Makes the connections' protocols and knows which are open.

    `words` is asked for the word of each message, `traffic` is told what happens, `admission` says who is served.
    """

    noisy = False

    def __init__(
        self,
        words: IReplySource,
        traffic: Traffic,
        acknowledgement: bytes = wire.ACKNOWLEDGEMENT,
        admission: Admission | None = None,
    ) -> None:
        self.after_each = b""
        """What follows every echo at once."""
        self.connections: set[EchoProtocol] = set()
        self.admission = admission or Admission(traffic.counters)
        self.traffic = traffic
        self.seconds = traffic.clock.seconds
        self.large_reads = LargeReads(traffic.clock)
        self.say(words, acknowledgement)
        self.health: Any = None
        """Makes the protocols of the health check's connections (HealthFactory), where there is one."""
        self._number = 0
        self._waiting: list[Deferred[None]] = []

    def say(self, words: IReplySource, acknowledgement: bytes) -> None:
        """Answer with these from now on."""
        before = len(self.after_each)
        self.words = words
        self.asks = words.always is None
        """Whether each message's word has to be asked for."""
        self.after_each = wire.answer(b"", acknowledgement, words.always or b"")
        self.large_reads.allow(not self.asks and len(self.after_each) <= wire.MESSAGE_SIZE)
        for each in self.connections:
            each.settle(before)

    def buildProtocol(self, addr: Any) -> EchoProtocol | None:  # type: ignore[override]  # Twisted binds it to `protocol`
        """A protocol for a connection that was just accepted; None for one that is not admitted."""
        if self.health is not None and self.health.expected:
            own: EchoProtocol | None = self.health.buildProtocol(addr)
            if own is not None:
                return own
        of = source(addr.host)
        if not self.admission.admits(addr.host, of):
            return None
        self._number += 1
        protocol = EchoProtocol(self._number, of)
        protocol.factory = self
        return protocol

    def counters(self) -> Counters:
        """What was served, open connections included."""
        counters = replace(self.traffic.counters)
        for each in self.connections:
            counters.add(each)
        return counters

    def when_empty(self) -> Deferred[None]:
        """Fires when no connection is open any more; at once if none is."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        self.ended()
        return waiting

    def ended(self) -> None:
        """A connection is over: tell those who wait for the last."""
        while self._waiting and not self.connections:
            self._waiting.pop().callback(None)
