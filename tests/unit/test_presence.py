"""Test operators/presence.py: without an operator, the factory replies by itself, and the counters stay right."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from zope.interface import implementer

from echotime.operators.presence import PresenceSwitch
from echotime.operators.reply_queue import IOperator, PendingMessage, QueueLimits, ReplyQueue
from echotime.services.answer_text import answer_text
from echotime.services.echo_factory import EchoFactory
from echotime.services.tcp_echo import EchoProtocol
from echotime.services.traffic import TrafficLog
from tests.unit.test_echo import Abortable

PEER = IPv4Address("TCP", "192.0.2.7", 1945)


@implementer(IOperator)
class Person:
    """Be present, and hold the questions."""

    def __init__(self) -> None:
        self.questions: list[PendingMessage] = []

    def on_question(self, question: PendingMessage) -> None:
        self.questions.append(question)

    def on_settled(self, question: PendingMessage, how: str) -> None:
        self.questions.remove(question)


class Desk:
    """Hold a factory whose replies are switched, and one connection."""

    def __init__(self) -> None:
        clock = Clock()
        self.factory = EchoFactory(TrafficLog(clock))
        self.queue = ReplyQueue(clock, b"no")
        self.switch = PresenceSwitch(self.factory, self.queue)
        self.switch.configure(b"!", b"no")
        self.connection = self.connect()

    def connect(self) -> EchoProtocol:
        """Open a connection of the factory."""
        protocol = self.factory.admit(PEER)
        assert protocol is not None
        protocol.makeConnection(Abortable(peerAddress=PEER))
        return protocol

    def ask(self, message: bytes) -> bytes:
        """Send a message, and return what is written at once."""
        transport = self.connection.transport
        assert isinstance(transport, Abortable)
        transport.clear()
        self.connection.dataReceived(message)
        return bytes(transport.value())

    @property
    def constant(self) -> bool:
        """Return True if the factory replies by itself."""
        return self.factory.reply_source is None


@pytest.fixture
def desk() -> Desk:
    """Provide a factory with a reply queue and no operator."""
    return Desk()


def test_constant_reply(desk: Desk) -> None:
    """Without an operator the reply is constant, large reads are allowed, and each message counts as unattended."""
    assert desk.constant
    assert desk.factory.large_reads._allowed
    assert desk.ask(b"a") == b"a!no"
    assert desk.ask(b"b") == b"b!no"
    assert (desk.queue.counters.unattended, desk.queue.counters.queued) == (2, 0)


def test_operator(desk: Desk) -> None:
    """An operator who comes gets the messages from then on, and those before and after count as unattended."""
    person = Person()
    desk.ask(b"a")
    desk.queue.attach(person)
    assert not desk.constant
    assert not desk.factory.large_reads._allowed
    assert desk.ask(b"b") == b"b!"
    assert [each.message for each in person.questions] == [b"b"]
    desk.queue.detach(person)
    assert desk.constant
    assert desk.ask(b"c") == b"c!no"
    counters = desk.queue.counters
    assert (counters.unattended, counters.queued, counters.given_up) == (2, 1, 1)


def test_connection_that_ends(desk: Desk) -> None:
    """Messages of connections that have ended stay counted."""
    desk.ask(b"a")
    desk.connection.connectionLost()
    assert desk.queue.counters.unattended == 1
    desk.queue.attach(Person())
    assert desk.queue.counters.unattended == 1


def test_waiting(desk: Desk) -> None:
    """With --wait-for-operator messages are questions without an operator, too, as a reload says."""
    desk.queue.configure(b"no", QueueLimits(wait_for_operator=True))
    assert not desk.constant
    assert desk.ask(b"a") == b"a!"
    desk.queue.configure(b"no", QueueLimits())
    assert desk.constant
    assert desk.queue.counters.given_up == 1


def test_stop(desk: Desk) -> None:
    """Messages that come while the daemon stops are counted as such."""
    desk.queue.stop()
    assert desk.ask(b"a") == b"a!no"
    assert (desk.queue.counters.stopped, desk.queue.counters.unattended) == (1, 0)


def test_values(desk: Desk) -> None:
    """A reply with values of the connection is filled in while no operator is present."""
    desk.switch.configure(b"!", answer_text(r"\{peer}"))
    assert desk.ask(b"a") == b"a!192.0.2.7:1945"
    assert desk.queue.counters.unattended == 1
