"""Test services/tcp_echo.py on StringTransport, without a socket, at every point of the dialogue."""

from __future__ import annotations

import errno
import os

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from echotime.reactor import RegistrationError
from echotime.services.echo_factory import EchoFactory
from echotime.services.replies import IReplySource
from echotime.services.tcp_echo import EchoProtocol
from echotime.services.traffic import TrafficLog
from echotime.wire.message import ACKNOWLEDGEMENT
from echotime.wire.template import Text

PEER = IPv4Address("TCP", "127.0.0.1", 1945)


@implementer(IReplySource)
class PendingReplies:
    """Keep the questions for the test to answer."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.replies: list[Deferred[Text]] = []
        self.cancelled: list[Deferred[Text]] = []

    def reply_to(self, message: bytes, peer: IAddress) -> Deferred[Text]:
        self.messages.append(message)
        self.replies.append(Deferred(self.cancelled.append))
        return self.replies[-1]


class Abortable(StringTransport):
    """Record abortConnection(); other state is set by the test."""

    aborted = False
    ended = False
    unsent = 0
    unacked = 0

    def peer_half_closed(self) -> bool:
        return self.ended

    def unsent_bytes(self) -> int:
        return self.unsent

    def unacked_bytes(self) -> int:
        return self.unacked

    def abortConnection(self) -> None:
        self.aborted = True

    def unregisterProducer(self) -> None:
        """Unregister the producer. Unlike StringTransport, and as real transports do, tolerate that there is none."""
        self.producer = self.streaming = None


class EchoTestCase(SynchronousTestCase):
    """Connect a protocol with a reply source that the test chooses."""

    def connect(self, trailer: bytes = ACKNOWLEDGEMENT, reply_source: IReplySource | None = None) -> None:
        """Make a factory with a trailer and a reply source, and one connection."""
        self.factory = EchoFactory(TrafficLog(Clock(), 0), trailer, reply_source)
        self.protocol = self.another()
        transport = self.protocol.transport
        assert isinstance(transport, StringTransport)
        self.transport = transport

    def another(self) -> EchoProtocol:
        """Open another connection of the factory."""
        protocol = self.factory.admit(PEER)
        assert protocol is not None
        protocol.makeConnection(StringTransport(peerAddress=PEER))
        return protocol

    def assert_reading(self, reading: bool) -> None:
        """Check if the transport may read from the client."""
        self.assertEqual(self.transport.producerState, "producing" if reading else "paused")


class ImmediateTests(EchoTestCase):
    """Answer each message at once."""

    def test_original_dialogue(self) -> None:
        """The default trailer is the acknowledgement of the original scripts, 11 bytes."""
        self.connect()
        self.protocol.dataReceived(b"hello")
        self.assertEqual(self.transport.value(), b"hello\nI get it!\n")
        self.assertEqual(len(ACKNOWLEDGEMENT), 11)

    @given(st.binary(min_size=1), st.binary(), st.binary())
    def test_order(self, message: bytes, trailer: bytes, reply: bytes) -> None:
        """Message, trailer and a reply that is known at once are written in this order, unchanged, in one write."""

        @implementer(IReplySource)
        class Immediate:
            def reply_to(self, message: bytes, peer: IAddress) -> bytes:
                return reply

        verifyObject(IReplySource, Immediate())
        self.connect(trailer, Immediate())
        writes: list[bytes] = []
        self.transport.write = writes.append  # type: ignore[assignment]
        self.protocol.dataReceived(message)
        self.assertEqual(writes, [message + trailer + reply])
        self.assertEqual(self.protocol.bytes_out, len(writes[0]))

    def test_new_trailer(self) -> None:
        """A changed trailer follows later messages only, and bytes_out counts what each message got."""
        self.connect(b"one")
        self.protocol.dataReceived(b"a")
        self.factory.set_reply(b"three")
        self.protocol.dataReceived(b"b")
        self.assertEqual(self.transport.value(), b"aonebthree")
        self.assertEqual(self.protocol.bytes_out, 10)

    def test_no_reply(self) -> None:
        """A message is answered with its echo and the acknowledgement."""
        self.connect()
        self.protocol.dataReceived(b"hello")
        self.assertEqual(self.transport.value(), b"hello" + ACKNOWLEDGEMENT)

    def test_one_write(self) -> None:
        """Echo and trailer are one write, so that they travel in one segment."""
        self.connect(ACKNOWLEDGEMENT + b"ok")
        writes: list[bytes] = []
        self.patch(self.transport, "write", writes.append)
        self.protocol.dataReceived(b"hello")
        self.assertEqual(writes, [b"hello" + ACKNOWLEDGEMENT + b"ok"])

    def test_half_close(self) -> None:
        """After the client's end of file all replies are written and the connection is closed."""
        self.connect(ACKNOWLEDGEMENT + b"ok")
        self.protocol.dataReceived(b"hello")
        self.protocol.readConnectionLost()
        self.assertEqual(self.transport.value(), b"hello" + ACKNOWLEDGEMENT + b"ok")
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.transport.producer)

    def test_back_pressure(self) -> None:
        """While the transport's buffer is full the client is not read."""
        self.connect()
        self.assert_reading(True)
        self.protocol.pauseProducing()
        self.assert_reading(False)
        self.assertTrue(self.protocol.paused)
        self.protocol.resumeProducing()
        self.assert_reading(True)
        self.assertFalse(self.protocol.paused)


class AwaitedTests(EchoTestCase):
    """Reply later than the message."""

    def setUp(self) -> None:
        """Connect with replies that the test gives."""
        super().setUp()
        self.source = PendingReplies()
        self.connect(reply_source=self.source)

    def test_echo_at_once(self) -> None:
        """Echo and acknowledgement come at once, and nothing more is read until the reply comes."""
        self.protocol.dataReceived(b"hello")
        self.assertEqual(self.transport.value(), b"hello" + ACKNOWLEDGEMENT)
        self.assertEqual(self.source.messages, [b"hello"])
        self.assert_reading(False)
        self.source.replies[0].callback(b"ok")
        self.assertEqual(self.transport.value(), b"hello" + ACKNOWLEDGEMENT + b"ok")
        self.assert_reading(True)

    def test_others_go_on(self) -> None:
        """Other connections of the factory are read while a reply is pending."""
        self.protocol.dataReceived(b"hello")
        other = self.another()
        other.dataReceived(b"hi")
        assert isinstance(other.transport, StringTransport)
        self.assertEqual(other.transport.value(), b"hi" + ACKNOWLEDGEMENT)

    def test_empty_reply(self) -> None:
        """An empty reply ends the wait like any other."""
        self.protocol.dataReceived(b"hello")
        self.source.replies[0].callback(b"")
        self.assertEqual(self.transport.value(), b"hello" + ACKNOWLEDGEMENT)
        self.assert_reading(True)

    def test_reply_after_half_close(self) -> None:
        """A reply after the client's end of file is written before the connection is closed."""
        self.protocol.dataReceived(b"hello")
        self.protocol.readConnectionLost()
        self.assertFalse(self.transport.disconnecting)
        self.source.replies[0].callback(b"ok")
        self.assertEqual(self.transport.value(), b"hello" + ACKNOWLEDGEMENT + b"ok")
        self.assertTrue(self.transport.disconnecting)

    def test_close_while_a_reply_is_awaited(self) -> None:
        """A connection that is closed from here while its reply is pending is reset: the client is still owed bytes."""
        self.protocol.dataReceived(b"hello")
        self.protocol.close("operator")
        self.assertTrue(self.transport.disconnected)
        self.assertEqual(self.transport.value(), b"hello" + ACKNOWLEDGEMENT)

    def test_full_buffer_and_reply(self) -> None:
        """Reading resumes only when the buffer has space and the reply has come."""
        self.protocol.dataReceived(b"hello")
        self.protocol.pauseProducing()
        self.protocol.resumeProducing()
        self.assert_reading(False)
        self.protocol.pauseProducing()
        self.source.replies[0].callback(b"ok")
        self.assert_reading(False)
        self.protocol.resumeProducing()
        self.assert_reading(True)

    def test_reply_at_once(self) -> None:
        """A Deferred that has already fired leaves no reply pending."""

        def reply_to(message: bytes, peer: IAddress) -> Deferred[Text]:
            reply: Deferred[Text] = Deferred()
            reply.callback(b"ok")
            return reply

        self.patch(self.source, "reply_to", reply_to)
        self.protocol.dataReceived(b"hello")
        self.assertEqual(self.transport.value(), b"hello" + ACKNOWLEDGEMENT + b"ok")
        self.assert_reading(True)

    def test_failing_source(self) -> None:
        """A source that fails, or gives something other than bytes, resets the connection and is logged."""
        for wrong in (Failure(RuntimeError("no reply")), "text"):
            self.connect(reply_source=self.source)
            self.protocol.dataReceived(b"hello")
            self.source.replies[-1].callback(wrong)  # type: ignore[arg-type]
            self.assertTrue(self.transport.disconnecting)
            self.assertTrue(self.transport.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError, TypeError)), 2)

    def test_end_cancels(self) -> None:
        """The end of the connection cancels the pending reply, and logs nothing."""
        self.protocol.dataReceived(b"hello")
        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.source.cancelled, self.source.replies)
        self.assertFalse(self.protocol.paused)


class EndTests(EchoTestCase):
    """Check which side ended a connection, and the factory's set of connections."""

    def setUp(self) -> None:
        """Connect, and record how the connection ends."""
        super().setUp()
        self.connect()
        self.ends: list[tuple[object, ...]] = []
        self.patch(self.factory.traffic, "connection_closed", self.note)

    def note(self, protocol: EchoProtocol, how: str) -> None:
        """Record an end and the traffic until then."""
        self.ends.append((protocol.peer, how, protocol.bytes_in, protocol.bytes_out))

    def test_open_connections(self) -> None:
        """The factory knows its open connections, and when there are none."""
        empty = self.factory.when_empty()
        self.assertNoResult(empty)
        self.assertEqual(self.factory.connections, {self.protocol})
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.factory.connections, set())
        self.successResultOf(empty)
        self.successResultOf(self.factory.when_empty())

    def test_by_client(self) -> None:
        """An end of file is the client's end."""
        self.protocol.dataReceived(b"hello")
        self.protocol.readConnectionLost()
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.ends, [("127.0.0.1:1945", "client", 5, 16)])

    def test_by_clients_reset(self) -> None:
        """A lost connection is the client's reset, also after its end of file."""
        self.protocol.readConnectionLost()
        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.ends, [("127.0.0.1:1945", "client's reset", 0, 0)])

    def test_by_error(self) -> None:
        """An error of the system is named, and is not the client's reset."""
        lost = RegistrationError(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        self.protocol.connectionLost(Failure(lost))
        reason = "epoll_ctl: No space left on device, fs.epoll.max_user_watches is reached (ENOSPC)"
        self.assertEqual(self.ends, [("127.0.0.1:1945", f"error: {reason}", 0, 0)])

    def test_by_server(self) -> None:
        """close() and reset() give the reason of the end."""
        self.protocol.close("server")
        self.assertTrue(self.transport.disconnecting)
        self.protocol.connectionLost(Failure(ConnectionDone()))
        other = self.another()
        other.reset("server's reset")
        other.connectionLost(Failure(ConnectionAborted()))
        self.assertEqual([end[1] for end in self.ends], ["server", "server's reset"])
