"""Test limits/admission.py: connection limits and evictions."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echotime.counters import ServiceCounters
from echotime.limits.access import AccessList
from echotime.limits.admission import Admission, AdmissionLimits
from echotime.services.echo_factory import EchoFactory
from echotime.services.tcp_echo import EchoProtocol
from echotime.services.traffic import TrafficLog
from echotime.wire.template import Text
from tests.unit.test_echo import Abortable, PendingReplies


class AdmissionTests(SynchronousTestCase):
    """Admit protocols that are connected to fake transports."""

    def limited(self, connections: int, per_source: int, leaving: int | None = None) -> None:
        """Make a factory with limits."""
        self.clock = Clock()
        traffic = TrafficLog(self.clock, 0)
        self.counters = traffic.counters
        self.admission = Admission(self.counters, limits=AdmissionLimits(connections, per_source, leaving))
        self.factory = EchoFactory(traffic, admission=self.admission)

    def tearDown(self) -> None:
        """Check that all counts return to zero."""
        for each in list(self.factory.connections):
            each.connectionLost()
        self.assertEqual(self.admission.count, 0)

    def come(self, host: str) -> EchoProtocol | None:
        """Open a connection; return None if it is refused."""
        self.clock.advance(1)
        address = IPv4Address("TCP", host, 1945)
        protocol = self.factory.admit(address)
        if protocol is not None:
            protocol.makeConnection(Abortable(peerAddress=address))
        return protocol

    def comes(self, host: str) -> EchoProtocol:
        """Open a connection that must be admitted."""
        protocol = self.come(host)
        assert protocol is not None
        return protocol

    def ended(self, *protocols: EchoProtocol) -> list[bool]:
        """Return which protocols were aborted, and end those as their transports would."""
        found = [isinstance(each.transport, Abortable) and each.transport.aborted for each in protocols]
        for gone, each in zip(found, protocols, strict=True):
            if gone and each in self.factory.connections:
                each.connectionLost(Failure(ConnectionAborted()))
        return found

    def test_per_source(self) -> None:
        """One source has a limit, and can connect again when one of its connections ends."""
        self.limited(10, 2)
        first = self.comes("10.0.0.1")
        self.comes("10.0.0.1")
        self.assertIsNone(self.come("10.0.0.1"))
        self.comes("10.0.0.2")
        first.connectionLost()
        self.comes("10.0.0.1")
        self.assertIsNone(self.come("10.0.0.1"))
        self.assertEqual(self.counters.refused_source_limit, 2)

    def test_lowered_limit(self) -> None:
        """After a reload has lowered the limit, a source without connections is still admitted by eviction."""
        self.limited(10, 10, 1)
        many = [self.comes("10.0.0.1") for _ in range(10)]
        self.admission.set_limits(AccessList(), AdmissionLimits(2, 2, 1))
        self.comes("10.0.0.2")
        self.assertEqual(sum(self.ended(*many)), 1)
        self.assertIsNone(self.come("10.0.0.1"))

    def test_longest_idle_of_the_source_with_most_gives_way(self) -> None:
        """At the limit the longest-idle connection of the largest source is evicted, not the oldest one."""
        self.limited(4, 4)
        honest = self.comes("10.0.0.9")
        many = [self.comes("10.0.0.1") for _ in range(3)]
        for each in (0, 1, 2, 0):
            self.clock.advance(1)
            many[each].dataReceived(b"x")
        self.comes("10.0.0.2")
        self.assertEqual(self.ended(honest, *many), [False, False, True, False])
        self.assertEqual((self.counters.evicted, self.admission.count), (1, 4))

    def test_full(self) -> None:
        """At the limit a source that already has a connection gets no other."""
        self.limited(2, 2)
        self.comes("10.0.0.1")
        self.comes("10.0.0.2")
        for count in (1, 2):
            self.assertIsNone(self.come("10.0.0.2"))
            self.assertEqual(self.counters.refused_connection_limit, count)

    def test_everybody_has_one(self) -> None:
        """If every source has one connection, the longest-idle of all is evicted for a new source."""
        self.limited(3, 3)
        here = [self.comes(f"10.0.0.{number}") for number in range(3)]
        here[0].dataReceived(b"x")
        self.comes("10.0.0.7")
        self.assertEqual(self.ended(*here), [False, True, False])

    def test_before_the_evicted_are_gone(self) -> None:
        """Several new sources at once evict one connection each."""
        self.limited(4, 4)
        many = [self.comes("10.0.0.1") for _ in range(4)]
        for number in range(2, 5):
            self.comes(f"10.0.0.{number}")
        self.assertEqual(self.ended(*many), [True, True, True, False])
        self.assertEqual(self.admission.count, 4)

    def test_too_many_at_once(self) -> None:
        """Evicted connections keep their descriptors until they end, so their number is limited."""
        self.limited(4, 4, 2)
        many = [self.comes("10.0.0.1") for _ in range(4)]
        self.comes("10.0.0.2")
        self.comes("10.0.0.3")
        self.assertIsNone(self.come("10.0.0.4"))
        self.assertEqual((self.counters.evicted, self.counters.refused_connection_limit), (2, 1))
        self.assertEqual(self.ended(*many), [True, True, False, False])
        self.comes("10.0.0.4")

    def test_a_failure_at_the_end(self) -> None:
        """Errors in the cancellation of a reply or in the traffic log still release the connection's place."""

        class Stubborn(PendingReplies):
            """Refuse the cancellation of pending replies."""

            def reply_to(self, message: bytes, peer: IAddress) -> Deferred[Text]:
                def refuse(reply: Deferred[Text]) -> None:
                    raise ValueError("no")

                return Deferred(refuse)

        self.limited(4, 4)
        self.factory.reply_source = Stubborn()
        one = self.comes("10.0.0.1")
        one.dataReceived(b"x")
        empty = self.factory.when_empty()
        self.patch(self.factory.traffic, "connection_closed", None)
        self.assertRaises(TypeError, one.connectionLost)
        self.assertEqual((self.admission.count, self.factory.connections), (0, set()))
        self.successResultOf(empty)

    def test_no_limits(self) -> None:
        """Without limits any number of connections is admitted."""
        self.admission = Admission(ServiceCounters())
        self.factory = EchoFactory(TrafficLog(Clock(), 0))
        self.clock = Clock()
        for _ in range(1000):
            self.comes("10.0.0.1")
