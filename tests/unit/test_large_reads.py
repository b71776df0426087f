"""Test services/large_reads.py, and EchoProtocol with clients that stream."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from echotime.services.echo_factory import EchoFactory
from echotime.services.large_reads import _REVOKE_THRESHOLD, LARGE_READ_SIZE, MAX_OUTPUT_PER_ITERATION, LargeReads
from echotime.services.tcp_echo import EchoProtocol
from echotime.services.traffic import ITrafficObserver, TrafficLog
from echotime.wire.message import ACKNOWLEDGEMENT, MESSAGE_SIZE


class Reading:
    """Record the read size of a connection."""

    size = MESSAGE_SIZE

    def set_read_size(self, size: int) -> None:
        self.size = size

    def send_buffer(self) -> int:
        """Return a size sufficient for large reads."""
        return 2 * LARGE_READ_SIZE


class Transport(StringTransport):
    """Pause the producer when more than `space` bytes are buffered."""

    read_size = MESSAGE_SIZE
    space = 1 << 30
    sndbuf = 2 * LARGE_READ_SIZE

    def send_buffer(self) -> int:
        return self.sndbuf

    def write(self, data: bytes) -> None:
        super().write(data)
        if len(self.value()) > self.space and self.producer is not None:
            self.producer.pauseProducing()


def connected(factory: EchoFactory, **transport: Any) -> EchoProtocol:
    """Connect a protocol of a factory."""
    protocol = factory.admit(Transport().getPeer())
    assert protocol is not None
    made = Transport()
    vars(made).update(transport)
    protocol.makeConnection(made)
    return protocol


def factory(trailer: bytes = ACKNOWLEDGEMENT, messages: int = 0) -> EchoFactory:
    """Make a factory with a clock of its own."""
    return EchoFactory(TrafficLog(Clock(), messages), trailer)


@given(
    st.lists(st.integers(1, LARGE_READ_SIZE), min_size=1, max_size=8),
    st.sampled_from([ACKNOWLEDGEMENT, b"", b"x" * 4000]),
)
def test_answers_are_those_of_messages(sizes: list[int], trailer: bytes) -> None:
    """Echo and counters of large reads are those of reads of at most 4096 bytes."""
    data = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    large, small = factory(trailer=trailer), factory(trailer=trailer)
    one, other = connected(large), connected(small)
    for each in data:
        one.dataReceived(each)
        for at in range(0, len(each), MESSAGE_SIZE):
            other.dataReceived(each[at : at + MESSAGE_SIZE])
    assert one.transport.value() == other.transport.value()  # type: ignore[attr-defined]
    assert large.counters() == small.counters()


def test_grows_and_shrinks() -> None:
    """A full message makes reads large, and less than a message makes them small again."""
    protocol = connected(factory())
    for size, next_size in [
        (100, 4096),
        (4096, LARGE_READ_SIZE),
        (LARGE_READ_SIZE, LARGE_READ_SIZE),
        (5000, LARGE_READ_SIZE),
        (100, 4096),
        (4095, 4096),
    ]:
        protocol.dataReceived(bytes(size))
        assert protocol.transport.read_size == next_size, size


def test_not_where_each_message_is_needed() -> None:
    """A source that needs each message, or a trailer longer than a message, ends large reads."""

    class Asking:
        def reply_to(self, message: bytes, peer: object) -> Deferred[bytes]:
            return Deferred()

    for change in ((ACKNOWLEDGEMENT, Asking()), (bytes(5000), None)):
        made = factory()
        protocol = connected(made)
        protocol.dataReceived(bytes(4096))
        assert protocol.transport.read_size == LARGE_READ_SIZE
        made.set_reply(*change)
        assert protocol.transport.read_size == MESSAGE_SIZE
        protocol.dataReceived(bytes(4096))
        assert protocol.transport.read_size == MESSAGE_SIZE
        made.set_reply(ACKNOWLEDGEMENT)


def test_the_send_buffer_has_space() -> None:
    """Large reads begin only when the kernel's send buffer holds an answer to one."""
    protocol = connected(factory(), sndbuf=2 * LARGE_READ_SIZE - 1)
    protocol.dataReceived(bytes(4096))
    assert protocol.transport.read_size == MESSAGE_SIZE
    vars(protocol.transport)["sndbuf"] = 2 * LARGE_READ_SIZE
    protocol.dataReceived(bytes(4096))
    assert protocol.transport.read_size == LARGE_READ_SIZE


def test_messages_are_shown() -> None:
    """Each message of a large read is logged within the limit, and the others are counted."""
    made = factory(messages=3)
    seen: list[int] = []

    @implementer(ITrafficObserver)
    class Watcher:
        def connection_opened(self, number: int, peer: str, via: str) -> None:
            seen.append(0)

        def message_received(self, number: int, peer: str, message: bytes) -> None:
            seen.append(len(message))

        def connection_closed(
            self, number: int, peer: str, via: str, ended_by: str, bytes_in: int, bytes_out: int
        ) -> None:
            pass

        def datagram_received(self, peer: str, data: bytes, size: int, outcome: str) -> None:
            pass

        def messages_left_out(self, number: int) -> None:
            pass

        def datagrams_left_out(self, number: int) -> None:
            pass

    watcher = Watcher()
    made.traffic.add_observer(watcher)
    connected(made).dataReceived(bytes(10_000))
    assert seen == [0, 4096, 4096, 1808]
    made.traffic.remove_observer(watcher)
    connected(made).dataReceived(bytes(10_000))
    assert made.traffic.unlogged_messages == 2, "the rate limiter counts the first"
    connected(made).dataReceived(bytes(10))
    connected(made).dataReceived(bytes(10_000))
    assert made.traffic.unlogged_messages == 6


def test_an_iteration_is_bounded() -> None:
    """After a number of bytes in an iteration of the reactor, reads are small until the next one."""
    clock = Clock()
    reads = LargeReads(clock)
    readers = [Reading() for _ in range(40)]
    for each in readers:
        reads.record_read(each, 4096, 4107, output_full=False)
    clock.advance(0)
    read = 0
    for each in readers:
        read += each.size
        reads.record_read(each, each.size, each.size, output_full=False)
    assert MAX_OUTPUT_PER_ITERATION <= read <= MAX_OUTPUT_PER_ITERATION + LARGE_READ_SIZE + 40 * MESSAGE_SIZE
    assert {each.size for each in readers} == {MESSAGE_SIZE}
    clock.advance(0)
    reads.record_read(readers[0], 4096, 4107, output_full=False)
    assert readers[0].size == LARGE_READ_SIZE


def test_stalled_readers_of_messages_do_not_count() -> None:
    """Many clients that send one message and do not read leave large reads to others."""
    made = factory()
    stalled = [connected(made, space=0, sndbuf=0) for _ in range(10_000)]
    for each in stalled:
        each.dataReceived(bytes(4096))
        made.traffic.clock.advance(0)  # type: ignore[attr-defined]
    assert made.large_reads.unsent_bytes == 0
    protocol = connected(made)
    protocol.dataReceived(bytes(4096))
    assert protocol.transport.read_size == LARGE_READ_SIZE


def test_memory_is_bounded() -> None:
    """With too many unsent bytes reads are small, until the output has left or the connection ended."""
    made = factory()
    protocols = [connected(made, space=0) for _ in range(200)]
    held = 0
    for each in protocols:
        each.dataReceived(bytes(4096))
        made.traffic.clock.advance(0)  # type: ignore[attr-defined]
        each.resumeProducing()
        if each.transport.read_size == LARGE_READ_SIZE:
            each.dataReceived(bytes(LARGE_READ_SIZE))
            held += LARGE_READ_SIZE
            made.traffic.clock.advance(0)  # type: ignore[attr-defined]
    assert _REVOKE_THRESHOLD <= held <= _REVOKE_THRESHOLD + LARGE_READ_SIZE
    assert made.large_reads.unsent_bytes > _REVOKE_THRESHOLD
    for each in protocols[::2]:
        each.resumeProducing()
    for each in protocols[1::2]:
        each.connectionLost()
    assert made.large_reads.unsent_bytes == 0
    protocols[0].dataReceived(bytes(4096))
    assert protocols[0].transport.read_size == LARGE_READ_SIZE
