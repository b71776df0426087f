"""Test net/connection.py: Twisted's promises about a transport hold on both reactors."""

from __future__ import annotations

import socket

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.logger import LogEvent

from tests.support.loopback import get, options
from tests.support.recording_protocol import LARGE, PortHarness, RecordingProtocol
from tests.support.stepping_reactor import connected, reset


def test_half_close(harness: PortHarness) -> None:
    """A half-close is notified once, later writes arrive, and then the server's end."""
    harness.factory.acts["data"] = lambda one: one.transport.write(b"first ")
    with connected(harness.port) as sock:
        sock.send(b"hello")
        sock.shutdown(socket.SHUT_WR)
        harness.reactor.until(lambda: harness.factory.count("read lost"))
        harness.reactor.step(5)
        harness.factory.transport.write(b"second")
        harness.factory.transport.loseConnection()
        assert harness.read_all(sock) == b"first second"
        harness.over()
    assert [each[0] for each in harness.factory.events] == ["made", "data", "read lost", "lost"]
    assert harness.factory.events[-1] == ("lost", ConnectionDone)


def test_lose_connection_with_pending_data(harness: PortHarness) -> None:
    """Data written before and after loseConnection arrives before the end, however slowly it is read."""

    def act(one: RecordingProtocol) -> None:
        assert one.transport is not None
        one.transport.write(LARGE)
        one.transport.loseConnection()
        one.transport.write(b"after")

    harness.factory.acts["data"] = act
    with connected(harness.port, 65536) as sock:
        sock.send(b"x")
        harness.made()
        harness.reactor.step(10)
        assert harness.factory.count("lost") == 0
        assert harness.read_all(sock) == LARGE + b"after"
        harness.over()


@pytest.mark.parametrize("when", ["made", "data", "read lost"])
def test_lose_connection_at_once(harness: PortHarness, when: str) -> None:
    """A protocol may close its connection in any method; connectionLost follows later, and once."""
    order: list[str] = []

    def act(one: RecordingProtocol) -> None:
        assert one.transport is not None
        one.transport.loseConnection()
        order.append("called")

    harness.factory.acts[when] = act
    harness.factory.acts["lost"] = lambda one: order.append("lost")
    with connected(harness.port) as sock:
        sock.send(b"x")
        sock.shutdown(socket.SHUT_WR)
        harness.made()
        harness.over()
    assert order == ["called", "lost"]


def test_abort(harness: PortHarness) -> None:
    """abortConnection discards pending output, resets the client, and reads nothing more."""
    harness.factory.acts["data"] = lambda one: (one.transport.write(LARGE), one.transport.abortConnection())
    with connected(harness.port, 65536) as sock:
        sock.send(b"x" * 5000)
        harness.made()
        harness.over()
        with pytest.raises(ConnectionResetError):
            harness.read_all(sock)
    assert harness.factory.events[-1] == ("lost", ConnectionAborted)
    assert harness.factory.count("data") == 1


def test_reset_while_read(harness: PortHarness) -> None:
    """A reset by the client is reported as ConnectionLost."""
    with connected(harness.port) as sock:
        harness.made()
        reset(sock)
        harness.over()
    assert harness.factory.events[-1] == ("lost", ConnectionLost)


def test_reset_while_paused(harness: PortHarness) -> None:
    """The reset of a paused connection is noticed at once, on other reactors at the next write."""
    harness.factory.acts["made"] = lambda one: one.transport.pauseProducing()
    with connected(harness.port) as sock:
        sock.send(b"unread")
        harness.made()
        harness.reactor.step(3)
        assert harness.factory.count("data") == 0
        reset(sock)
        harness.reactor.step(3)
        if not harness.ours:
            harness.factory.transport.write(b"x")
        harness.over()
    assert harness.factory.events[-1] == ("lost", ConnectionLost)


def test_pause_and_resume(harness: PortHarness) -> None:
    """Data that arrives during a pause is read after it, and a pause within dataReceived takes effect."""
    harness.factory.acts["data"] = lambda one: one.transport.pauseProducing()
    with connected(harness.port) as sock:
        sock.send(b"one")
        harness.reactor.until(lambda: harness.factory.count("data"))
        sock.send(b"two ")
        sock.send(b"three")
        sock.shutdown(socket.SHUT_WR)
        harness.reactor.step(5)
        assert harness.factory.count("data") == 1
        harness.factory.transport.resumeProducing()
        harness.reactor.until(lambda: harness.factory.count("data") == 2)
        assert harness.factory.events[-1] == ("data", b"two three")
        harness.reactor.step(5)
        assert harness.factory.count("read lost") == 0
        harness.factory.transport.resumeProducing()
        harness.reactor.until(lambda: harness.factory.count("read lost"))
        harness.factory.transport.loseConnection()
        harness.over()


@pytest.mark.parametrize("when", ["made", "data", "read lost"])
def test_failing_protocol(harness: PortHarness, when: str, clean_reactor: list[LogEvent]) -> None:
    """An exception in one protocol resets its connection, and no other."""

    def fail(one: RecordingProtocol) -> None:
        raise ZeroDivisionError

    with connected(harness.port) as other:
        other_transport = harness.made()
        harness.factory.acts[when] = fail
        with connected(harness.port) as sock:
            sock.send(b"x")
            sock.shutdown(socket.SHUT_WR)
            harness.made(2)
            harness.reactor.step(5)
        harness.factory.acts.clear()
        harness.reactor.until(lambda: harness.factory.count("lost") == 1)
        assert "ZeroDivisionError" in str(clean_reactor)
        clean_reactor.clear()
        other.send(b"still there")
        harness.reactor.until(lambda: harness.factory.events[-1] == ("data", b"still there"))
        other_transport.abortConnection()
        harness.over()


def test_failing_at_a_later_message(harness: PortHarness, clean_reactor: list[LogEvent]) -> None:
    """An exception in dataReceived also resets a connection that is long established."""
    with connected(harness.port) as sock:
        harness.made()
        harness.reactor.step(3)
        harness.factory.acts["data"] = lambda one: 1 / 0
        sock.send(b"x")
        harness.over()
        with pytest.raises(ConnectionResetError):
            harness.read_all(sock)
    assert harness.factory.events[-1] == ("lost", ZeroDivisionError)
    assert "ZeroDivisionError" in str(clean_reactor)
    clean_reactor.clear()


def test_no_protocol(harness: PortHarness) -> None:
    """A factory may refuse a client, which sees the end of file, and the next client is served."""
    built = harness.factory.buildProtocol
    harness.factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
    with connected(harness.port) as sock:
        assert harness.read_all(sock) == b""
    harness.factory.buildProtocol = built  # type: ignore[method-assign]
    with connected(harness.port) as sock:
        harness.made()
        reset(sock)
        harness.over()


def test_out_of_band_data(harness: PortHarness) -> None:
    """An urgent byte is not part of a message, and the data before and after it is read."""
    with connected(harness.port) as sock:
        harness.made()
        sock.send(b"before")
        sock.send(b"!", socket.MSG_OOB)
        sock.send(b"after")
        harness.reactor.until(lambda: harness.factory.events[-1] == ("data", b"after"))
        assert [each for each in harness.factory.events if each[0] == "data"] == [
            ("data", b"before"),
            ("data", b"after"),
        ]
        sock.send(b"!", socket.MSG_OOB)
        harness.reactor.step(3)
        reset(sock)
        harness.over()


def test_addresses(harness: PortHarness) -> None:
    """A transport has both ends' addresses, and a name for log lines."""
    with connected(harness.port) as sock:
        transport = harness.made()
        assert (transport.getPeer().host, transport.getPeer().port) == sock.getsockname()
        assert (transport.getHost().host, transport.getHost().port) == sock.getpeername()
        assert "RecordingProtocol" in transport.logPrefix()
        assert "127.0.0.1" in transport.logPrefix()
        assert repr(transport)
        reset(sock)
        harness.over()


def test_ipv6(harness: PortHarness) -> None:
    """On IPv6 the client's address is an IPv6 address."""
    other = PortHarness(harness.reactor, "::1")
    other.factory.acts["data"] = lambda one: one.transport.loseConnection()
    with socket.socket(socket.AF_INET6) as sock:
        sock.connect(("::1", other.port.getHost().port))
        sock.setblocking(False)
        transport = other.made()
        assert (transport.getPeer().host, transport.getPeer().port) == sock.getsockname()[:2]
        sock.send(b"x")
        assert other.read_all(sock) == b""
        other.over()


def test_lingering_close_does_not_wait(harness: PortHarness) -> None:
    """SO_LINGER with a time is removed before close, which would block the process."""
    harness.port.set_option(*options("SO_LINGER=30"))
    with connected(harness.port, 65536) as sock:
        transport = harness.made()
        transport.write(LARGE[:100_000])
        transport.loseConnection()
        harness.over()  # would take 30 seconds
        assert len(harness.read_all(sock)) == 100_000


def test_stopping_keeps_connections(harness: PortHarness) -> None:
    """A port that stops listening keeps its connections, and leaves nothing after the last one."""
    with connected(harness.port) as sock:
        transport = harness.made()
        harness.port.stopListening()
        harness.reactor.step(3)
        assert not harness.port.connected
        sock.send(b"still there")
        harness.reactor.until(lambda: harness.factory.events[-1] == ("data", b"still there"))
        transport.loseConnection()
        assert harness.read_all(sock) == b""
        harness.over()
    assert harness.reactor.getReaders() == [harness.reactor.waker]


def test_end_of_the_reactor(harness: PortHarness) -> None:
    """When the reactor ends, the connections end, too."""
    with connected(harness.port), connected(harness.port):
        harness.made(2)
        harness.reactor.disconnectAll()
        harness.over()
    assert harness.factory.count("lost") == 2


def test_path_to_the_client(harness: PortHarness) -> None:
    """A connection has the TTL with which the client's handshake arrived, a segment size and a round-trip time."""
    with socket.socket() as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 37)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
        sock.connect(("127.0.0.1", harness.port.getHost().port))
        transport = harness.made()
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 21)
        sock.send(b"x")
        harness.reactor.until(lambda: harness.factory.count("data"))
        assert transport.received_ttl() == 37
        assert 900 < transport.segment_size() <= 1000
        assert 0 < transport.round_trip_time() < 60_000
        transport.abortConnection()
        harness.over()


def test_bytes_on_their_way(harness: PortHarness) -> None:
    """Bytes that the client has not acknowledged are in the transport or in the kernel, and a FIN counts unread."""
    with connected(harness.port, 65536) as sock:
        transport = harness.made()
        assert (transport.unsent_bytes(), transport.unacked_bytes(), transport.peer_half_closed()) == (0, 0, False)
        transport.write(LARGE)
        harness.reactor.step(10)
        assert 0 < transport.unsent_bytes() < len(LARGE)
        assert 0 < transport.unacked_bytes() - transport.unsent_bytes() <= transport.send_buffer()
        transport.pauseProducing()
        sock.shutdown(socket.SHUT_WR)
        assert transport.peer_half_closed()
        assert harness.factory.count("read lost") == 0
        transport.abortConnection()
        harness.over()


def test_read_back(harness: PortHarness) -> None:
    """The options that fit a connection are read back from it."""
    with connected(harness.port):
        transport = harness.made()
        transport.sockopts = options("TCP_MAXSEG=999", "IPV6_V6ONLY=on", "IP_TTL=9")
        found = [(each.assignment.option.name, each.effective) for each in transport.read_back()]
        assert found == [(name, str(get(transport.socket, name))) for name in ("TCP_MAXSEG", "IP_TTL")]
        transport.abortConnection()
        harness.over()
