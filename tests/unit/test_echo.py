"""services/tcp_echo.py on StringTransport: no socket, every moment of the dialogue chosen by the test."""

from __future__ import annotations

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

from echotime.services.replies import IReplySource
from echotime.services.tcp_echo import EchoFactory, EchoProtocol
from echotime.services.traffic import TrafficLog
from echotime.wire.message import ACKNOWLEDGEMENT

PEER = IPv4Address("TCP", "127.0.0.1", 1945)


@implementer(IReplySource)
class Asked:
    """A source that keeps its questions for the test to answer."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.words: list[Deferred[bytes]] = []
        self.cancelled: list[Deferred[bytes]] = []

    def reply_to(self, message: bytes, peer: IAddress) -> Deferred[bytes]:
        """Note the question."""
        self.messages.append(message)
        self.words.append(Deferred(self.cancelled.append))
        return self.words[-1]


class Abortable(StringTransport):
    """Says whether it was."""

    aborted = False
    ended = False
    sent = 0

    def peer_half_closed(self) -> bool:
        """As the test says."""
        return self.ended

    def bytes_acked(self) -> int:
        """As the test says."""
        return self.sent

    def abortConnection(self) -> None:
        """Note it."""
        self.aborted = True


class EchoTestCase(SynchronousTestCase):
    """A connection with a source of one's choice."""

    def connect(self, trailer: bytes = ACKNOWLEDGEMENT, reply_source: IReplySource | None = None) -> None:
        """Make a factory and one connection of it."""
        self.factory = EchoFactory(TrafficLog(Clock(), 0), trailer, reply_source)
        self.protocol = self.another()
        transport = self.protocol.transport
        assert isinstance(transport, StringTransport)
        self.transport = transport

    def another(self) -> EchoProtocol:
        """One more connection."""
        protocol = self.factory.buildProtocol(PEER)
        assert protocol is not None
        protocol.makeConnection(StringTransport(peerAddress=PEER))
        return protocol

    def assert_reading(self, reading: bool) -> None:
        """Whether the transport may read more from the client."""
        self.assertEqual(self.transport.producerState, "producing" if reading else "paused")


class ImmediateTests(EchoTestCase):
    """Answers that are known at once."""

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
        """After the client's end of file the connection is closed, all answers written."""
        self.connect(ACKNOWLEDGEMENT + b"ok")
        self.protocol.dataReceived(b"hello")
        self.protocol.readConnectionLost()
        self.assertEqual(self.transport.value(), b"hello" + ACKNOWLEDGEMENT + b"ok")
        self.assertTrue(self.transport.disconnecting)
        self.assertIsNone(self.transport.producer)

    def test_back_pressure(self) -> None:
        """While the transport's buffer is full the client is not read from."""
        self.connect()
        self.assert_reading(True)
        self.protocol.pauseProducing()
        self.assert_reading(False)
        self.assertTrue(self.protocol.has_pending_output)
        self.protocol.resumeProducing()
        self.assert_reading(True)
        self.assertFalse(self.protocol.has_pending_output)


class AwaitedTests(EchoTestCase):
    """Words that come later."""

    def setUp(self) -> None:
        """A connection whose words the test gives."""
        super().setUp()
        self.source = Asked()
        self.connect(reply_source=self.source)

    def test_echo_at_once(self) -> None:
        """Echo and acknowledgement do not wait for the word, and nothing more is read until it comes."""
        self.protocol.dataReceived(b"hello")
        self.assertEqual(self.transport.value(), b"hello" + ACKNOWLEDGEMENT)
        self.assert_reading(False)
        self.source.words[0].callback(b"ok")
        self.assertEqual(self.transport.value(), b"hello" + ACKNOWLEDGEMENT + b"ok")
        self.assert_reading(True)

    def test_others_go_on(self) -> None:
        """Another connection of the factory is read meanwhile."""
        self.protocol.dataReceived(b"hello")
        other = self.another()
        other.dataReceived(b"hi")
        assert isinstance(other.transport, StringTransport)
        self.assertEqual(other.transport.value(), b"hi" + ACKNOWLEDGEMENT)

    def test_empty_word(self) -> None:
        """An empty word is a word."""
        self.protocol.dataReceived(b"hello")
        self.source.words[0].callback(b"")
        self.assertEqual(self.transport.value(), b"hello" + ACKNOWLEDGEMENT)
        self.assert_reading(True)

    def test_word_after_half_close(self) -> None:
        """A word that comes after the client's end of file is written before the connection is closed."""
        self.protocol.dataReceived(b"hello")
        self.protocol.readConnectionLost()
        self.assertFalse(self.transport.disconnecting)
        self.source.words[0].callback(b"ok")
        self.assertEqual(self.transport.value(), b"hello" + ACKNOWLEDGEMENT + b"ok")
        self.assertTrue(self.transport.disconnecting)

    def test_full_buffer_and_word(self) -> None:
        """A buffer that empties while a word is awaited does not start reading, nor the word while it is full."""
        self.protocol.dataReceived(b"hello")
        self.protocol.pauseProducing()
        self.protocol.resumeProducing()
        self.assert_reading(False)
        self.protocol.pauseProducing()
        self.source.words[0].callback(b"ok")
        self.assert_reading(False)
        self.protocol.resumeProducing()
        self.assert_reading(True)

    def test_word_at_once(self) -> None:
        """A Deferred that has fired already leaves nothing waiting."""

        def reply_to(message: bytes, peer: IAddress) -> Deferred[bytes]:
            word: Deferred[bytes] = Deferred()
            word.callback(b"ok")
            return word

        self.patch(self.source, "reply_to", reply_to)
        self.protocol.dataReceived(b"hello")
        self.assertEqual(self.transport.value(), b"hello" + ACKNOWLEDGEMENT + b"ok")
        self.assert_reading(True)

    def test_failing_source(self) -> None:
        """A source that fails, raises or gives something else resets the connection and is told in the log."""
        for wrong in (Failure(RuntimeError("no word")), "text"):
            self.connect(reply_source=self.source)
            self.protocol.dataReceived(b"hello")
            self.source.words[-1].callback(wrong)  # type: ignore[arg-type]
            self.assertTrue(self.transport.disconnecting)
            self.assertTrue(self.transport.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError, TypeError)), 2)

    def test_end_cancels(self) -> None:
        """A source is told by cancellation that nobody waits for its word any more, and nothing is logged."""
        self.protocol.dataReceived(b"hello")
        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.source.cancelled, self.source.words)
        self.assertFalse(self.protocol.has_pending_output)


class EndTests(EchoTestCase):
    """What the factory knows, and who ended a connection."""

    def setUp(self) -> None:
        """A connection whose end is noted."""
        super().setUp()
        self.connect()
        self.ends: list[tuple[object, ...]] = []
        self.patch(self.factory.traffic, "connection_closed", self.note)

    def note(self, talker: EchoProtocol, how: str) -> None:
        """An end, and what was served until then."""
        self.ends.append((talker.peer, how, talker.bytes_in, talker.bytes_out))

    def test_open_connections(self) -> None:
        """The factory knows which connections are open, and tells when there is none."""
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

    def test_by_server(self) -> None:
        """close and reset say who it was."""
        self.protocol.close("server")
        self.assertTrue(self.transport.disconnecting)
        self.protocol.connectionLost(Failure(ConnectionDone()))
        other = self.another()
        other.reset("server's reset")
        other.connectionLost(Failure(ConnectionAborted()))
        self.assertEqual([end[1] for end in self.ends], ["server", "server's reset"])
