"""net/connection.py: what Twisted promises of a transport holds on both reactors, event by event."""

from __future__ import annotations

import socket

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.logger import LogEvent

from tests.support.loopback import options
from tests.support.recording_protocol import LARGE, Bench, Noting
from tests.support.stepping_reactor import connected, reset


def test_half_close(bench: Bench) -> None:
    """The client's end is told once; what is written after it arrives, then the server's own end."""
    bench.factory.acts["data"] = lambda one: one.transport.write(b"first ")
    with connected(bench.port) as sock:
        sock.send(b"hello")
        sock.shutdown(socket.SHUT_WR)
        bench.reactor.until(lambda: bench.factory.happened("read lost"))
        bench.reactor.step(5)
        bench.factory.transport.write(b"second")
        bench.factory.transport.loseConnection()
        assert bench.read_all(sock) == b"first second"
        bench.over()
    assert [each[0] for each in bench.factory.noted] == ["made", "data", "read lost", "lost"]
    assert bench.factory.noted[-1] == ("lost", ConnectionDone)


def test_lose_connection_with_pending_data(bench: Bench) -> None:
    """All that was written before and after loseConnection arrives before the end, however slowly it is read."""

    def act(one: Noting) -> None:
        assert one.transport is not None
        one.transport.write(LARGE)
        one.transport.loseConnection()
        one.transport.write(b"after")

    bench.factory.acts["data"] = act
    with connected(bench.port, 65536) as sock:
        sock.send(b"x")
        bench.made()
        bench.reactor.step(10)
        assert bench.factory.happened("lost") == 0
        assert bench.read_all(sock) == LARGE + b"after"
        bench.over()


@pytest.mark.parametrize("when", ["made", "data", "read lost"])
def test_lose_connection_at_once(bench: Bench, when: str) -> None:
    """A protocol may end its connection in any of its methods; connectionLost comes later, and once."""
    order: list[str] = []

    def act(one: Noting) -> None:
        assert one.transport is not None
        one.transport.loseConnection()
        order.append("called")

    bench.factory.acts[when] = act
    bench.factory.acts["lost"] = lambda one: order.append("lost")
    with connected(bench.port) as sock:
        sock.send(b"x")
        sock.shutdown(socket.SHUT_WR)
        bench.made()
        bench.over()
    assert order == ["called", "lost"]


def test_abort(bench: Bench) -> None:
    """abortConnection throws away what is pending; the client is reset, and nothing more is read."""
    bench.factory.acts["data"] = lambda one: (one.transport.write(LARGE), one.transport.abortConnection())
    with connected(bench.port, 65536) as sock:
        sock.send(b"x" * 5000)
        bench.made()
        bench.over()
        with pytest.raises(ConnectionResetError):
            bench.read_all(sock)
    assert bench.factory.noted[-1] == ("lost", ConnectionAborted)
    assert bench.factory.happened("data") == 1


def test_reset_while_read(bench: Bench) -> None:
    """A reset is a lost connection."""
    with connected(bench.port) as sock:
        bench.made()
        reset(sock)
        bench.over()
    assert bench.factory.noted[-1] == ("lost", ConnectionLost)


def test_reset_while_paused(bench: Bench) -> None:
    """A connection that is paused is known to be reset at once; on another reactor, once it is written to."""
    bench.factory.acts["made"] = lambda one: one.transport.pauseProducing()
    with connected(bench.port) as sock:
        sock.send(b"unread")
        bench.made()
        bench.reactor.step(3)
        assert bench.factory.happened("data") == 0
        reset(sock)
        bench.reactor.step(3)
        if not bench.ours:
            bench.factory.transport.write(b"x")
        bench.over()
    assert bench.factory.noted[-1] == ("lost", ConnectionLost)


def test_pause_and_resume(bench: Bench) -> None:
    """What comes while reading is paused is read when it is resumed, and a pause within a message's own call holds."""
    bench.factory.acts["data"] = lambda one: one.transport.pauseProducing()
    with connected(bench.port) as sock:
        sock.send(b"one")
        bench.reactor.until(lambda: bench.factory.happened("data"))
        sock.send(b"two ")
        sock.send(b"three")
        sock.shutdown(socket.SHUT_WR)
        bench.reactor.step(5)
        assert bench.factory.happened("data") == 1
        bench.factory.transport.resumeProducing()
        bench.reactor.until(lambda: bench.factory.happened("data") == 2)
        assert bench.factory.noted[-1] == ("data", b"two three")
        bench.reactor.step(5)
        assert bench.factory.happened("read lost") == 0
        bench.factory.transport.resumeProducing()
        bench.reactor.until(lambda: bench.factory.happened("read lost"))
        bench.factory.transport.loseConnection()
        bench.over()


@pytest.mark.parametrize("when", ["made", "data", "read lost"])
def test_failing_protocol(bench: Bench, when: str, clean_reactor: list[LogEvent]) -> None:
    """An exception of one protocol ends its connection by a reset, and no other."""

    def fail(one: Noting) -> None:
        raise ZeroDivisionError

    with connected(bench.port) as other:
        other_transport = bench.made()
        bench.factory.acts[when] = fail
        with connected(bench.port) as sock:
            sock.send(b"x")
            sock.shutdown(socket.SHUT_WR)
            bench.made(2)
            bench.reactor.step(5)
        bench.factory.acts.clear()
        bench.reactor.until(lambda: bench.factory.happened("lost") == 1)
        assert "ZeroDivisionError" in str(clean_reactor)
        clean_reactor.clear()
        other.send(b"still there")
        bench.reactor.until(lambda: bench.factory.noted[-1] == ("data", b"still there"))
        other_transport.abortConnection()
        bench.over()


def test_failing_at_a_later_message(bench: Bench, clean_reactor: list[LogEvent]) -> None:
    """The same where there is nothing but a message, on a connection that is long known."""
    with connected(bench.port) as sock:
        bench.made()
        bench.reactor.step(3)
        bench.factory.acts["data"] = lambda one: 1 / 0
        sock.send(b"x")
        bench.over()
        with pytest.raises(ConnectionResetError):
            bench.read_all(sock)
    assert bench.factory.noted[-1] == ("lost", ZeroDivisionError)
    assert "ZeroDivisionError" in str(clean_reactor)
    clean_reactor.clear()


def test_no_protocol(bench: Bench) -> None:
    """A factory may refuse: the client sees the end, and the next one is served."""
    built = bench.factory.buildProtocol
    bench.factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
    with connected(bench.port) as sock:
        assert bench.read_all(sock) == b""
    bench.factory.buildProtocol = built  # type: ignore[method-assign]
    with connected(bench.port) as sock:
        bench.made()
        reset(sock)
        bench.over()


def test_out_of_band_data(bench: Bench) -> None:
    """An urgent byte is no message and holds nothing up: what was sent before and after it is read."""
    with connected(bench.port) as sock:
        bench.made()
        sock.send(b"before")
        sock.send(b"!", socket.MSG_OOB)
        sock.send(b"after")
        bench.reactor.until(lambda: bench.factory.noted[-1] == ("data", b"after"))
        assert [each for each in bench.factory.noted if each[0] == "data"] == [("data", b"before"), ("data", b"after")]
        sock.send(b"!", socket.MSG_OOB)
        bench.reactor.step(3)
        reset(sock)
        bench.over()


def test_addresses(bench: Bench) -> None:
    """Both ends' addresses, and the names that stand in log lines."""
    with connected(bench.port) as sock:
        transport = bench.made()
        assert (transport.getPeer().host, transport.getPeer().port) == sock.getsockname()
        assert (transport.getHost().host, transport.getHost().port) == sock.getpeername()
        assert "Noting" in transport.logPrefix()
        assert "127.0.0.1" in transport.logPrefix()
        assert repr(transport)
        reset(sock)
        bench.over()


def test_ipv6(bench: Bench) -> None:
    """On IPv6 the client's address is one of that kind."""
    other = Bench(bench.reactor, "::1")
    other.factory.acts["data"] = lambda one: one.transport.loseConnection()
    with socket.socket(socket.AF_INET6) as sock:
        sock.connect(("::1", other.port.getHost().port))
        sock.setblocking(False)
        transport = other.made()
        assert (transport.getPeer().host, transport.getPeer().port) == sock.getsockname()[:2]
        sock.send(b"x")
        assert other.read_all(sock) == b""
        other.over()


def test_lingering_close_does_not_wait(bench: Bench) -> None:
    """SO_LINGER with a time would hold up the whole process at close: it is taken off before."""
    bench.port.set_option(*options("SO_LINGER=30"))
    with connected(bench.port, 65536) as sock:
        transport = bench.made()
        transport.write(LARGE[:100_000])
        transport.loseConnection()
        bench.over()  # would take 30 seconds
        assert len(bench.read_all(sock)) == 100_000


def test_stopping_keeps_connections(bench: Bench) -> None:
    """A port that stops listening leaves its connections open, and nothing behind when the last has ended."""
    with connected(bench.port) as sock:
        transport = bench.made()
        bench.port.stopListening()
        bench.reactor.step(3)
        assert not bench.port.connected
        sock.send(b"still there")
        bench.reactor.until(lambda: bench.factory.noted[-1] == ("data", b"still there"))
        transport.loseConnection()
        assert bench.read_all(sock) == b""
        bench.over()
    assert bench.reactor.getReaders() == [bench.reactor.waker]


def test_end_of_the_reactor(bench: Bench) -> None:
    """When the reactor ends, so do the connections."""
    with connected(bench.port), connected(bench.port):
        bench.made(2)
        bench.reactor.disconnectAll()
        bench.over()
    assert bench.factory.happened("lost") == 2
