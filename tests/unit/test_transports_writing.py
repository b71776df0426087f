"""Test net/connection.py: writing, producers, and half-close by the server."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from tests.support.loopback import get, options
from tests.support.recording_protocol import LARGE, PortHarness
from tests.support.stepping_reactor import connected, received, reset


@implementer(IPushProducer)
class Pushing:
    """Record the calls of a push producer."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.calls: list[str] = []
        transport.registerProducer(self, True)

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


def test_push_producer(harness: PortHarness) -> None:
    """A push producer is paused with more than a message buffered, resumed when all has left, and stopped."""
    with connected(harness.port, 65536) as sock:
        producer = Pushing(harness.made())
        producer.transport.write(b"little")
        assert producer.calls == []
        producer.transport.write(LARGE)
        assert producer.calls == ["pause"]
        assert harness.read(sock, len(LARGE) + 6) == b"little" + LARGE
        harness.reactor.until(lambda: producer.calls == ["pause", "resume"])
        producer.transport.write(b"more")
        assert harness.read(sock, 4) == b"more"
        reset(sock)
        harness.over()
        assert producer.calls == ["pause", "resume", "stop"]


@implementer(IPullProducer)
class Pulled:
    """Write a piece on each call, and close after the last."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.left = [b"one ", b"two ", b"three"]
        transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        self.transport.write(self.left.pop(0))
        if not self.left:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def stopProducing(self) -> None:
        """Do nothing: there is nothing to stop."""


def test_pull_producer(harness: PortHarness) -> None:
    """A pull producer is called again each time that its output has left."""
    with connected(harness.port) as sock:
        Pulled(harness.made())
        assert harness.read_all(sock) == b"one two three"
        harness.over()


def test_pull_producer_keeps_it_open(harness: PortHarness) -> None:
    """loseConnection waits until a pull producer has written everything."""
    with connected(harness.port) as sock:
        producer = Pulled(harness.made())
        producer.transport.loseConnection()
        assert harness.read_all(sock) == b"one two three"
        harness.over()


def test_a_registered_producer_keeps_it_open(harness: PortHarness) -> None:
    """loseConnection waits for a paused producer, and closes with unregisterProducer."""
    with connected(harness.port, 65536) as sock:
        producer = Pushing(harness.made())
        producer.transport.write(LARGE)
        producer.transport.loseConnection()
        assert harness.read(sock, len(LARGE)) == LARGE
        harness.reactor.until(lambda: "resume" in producer.calls)
        producer.transport.unregisterProducer()
        assert harness.read_all(sock) == b""
        harness.over()


def test_lose_write_connection(harness: PortHarness) -> None:
    """After loseWriteConnection the server is notified, still reads, and later writes are dropped."""
    with connected(harness.port, 65536) as sock:
        transport = harness.made()
        transport.write(LARGE)
        transport.loseWriteConnection()
        assert harness.read_all(sock) == LARGE
        harness.reactor.until(lambda: harness.factory.count("write lost"))
        transport.write(b"dropped")
        sock.send(b"still read")
        harness.reactor.until(lambda: harness.factory.count("data"))
        assert received(sock) == b""
        transport.loseConnection()
        harness.over()


@pytest.mark.parametrize("first", ["client", "server"])
def test_both_sides_end(harness: PortHarness, first: str) -> None:
    """With both sides half-closed and the server still open, everything written arrives."""

    def end(one: Any) -> None:
        one.transport.write(LARGE)
        one.transport.loseWriteConnection()

    harness.factory.acts["read lost" if first == "client" else "data"] = end
    with connected(harness.port, 65536) as sock:
        sock.send(b"x")
        harness.reactor.until(lambda: harness.factory.count("data"))
        sock.shutdown(socket.SHUT_WR)
        assert harness.read_all(sock) == LARGE
        harness.reactor.step(5)
        assert harness.factory.count("lost") == 0
        harness.factory.transport.loseConnection()
        harness.over()
    assert harness.factory.events[-1] == ("lost", ConnectionDone)


@pytest.mark.parametrize("how", ["setTcpNoDelay", "change", "port", "corked"])
def test_options_stay_as_they_were_set(harness: PortHarness, how: str) -> None:
    """Holding back data for the FIN changes no option that a protocol or an operator has set."""

    def act(one: Any) -> None:
        one.transport.write(b"answer")
        if how == "setTcpNoDelay":
            one.transport.setTcpNoDelay(False)
        elif how == "change":
            one.transport.set_option(*options("TCP_NODELAY=off"))
        elif how == "corked":
            one.transport.set_option(*options("TCP_CORK=on"))

    if how == "port":
        harness.port.set_option(*options("TCP_NODELAY=off"))
    harness.factory.acts["data"] = act
    with connected(harness.port) as sock:
        if how == "port":
            transport = harness.made()
            harness.reactor.step(2)
            harness.port.set_option(*options("TCP_NODELAY=on"))
        sock.send(b"x")
        sock.shutdown(socket.SHUT_WR)
        harness.reactor.until(lambda: harness.factory.count("read lost"))
        harness.reactor.step(2)
        transport = harness.factory.transport
        assert transport.getTcpNoDelay() is (how == "corked")
        assert get(transport.socket, "TCP_CORK") == (how == "corked")
        assert harness.read(sock, 6) == b"answer"
        transport.loseConnection()
        harness.over()


def test_writing_outside_of_a_read(harness: PortHarness) -> None:
    """Writes at any time, in pieces or sequences, arrive in order; text is refused."""
    with connected(harness.port, 65536) as sock:
        transport = harness.made()
        transport.write(b"a")
        transport.writeSequence([b"b", b"c"])
        transport.write(LARGE)
        transport.writeSequence([b"d", b""])
        transport.write(b"")
        transport.write(b"e")
        assert harness.read(sock, len(LARGE) + 5) == b"abc" + LARGE + b"de"
        with pytest.raises(TypeError):
            transport.write("text")
        transport.loseConnection()
        assert harness.read_all(sock) == b""
        harness.over()
        transport.write(b"too late")
        transport.loseConnection()
        transport.abortConnection()


def test_write_to_a_reset_connection(harness: PortHarness) -> None:
    """A write never calls back, even after a reset; connectionLost follows in the next turn."""
    harness.factory.acts["made"] = lambda one: one.transport.pauseProducing()
    with connected(harness.port) as sock:
        transport = harness.made()
        reset(sock)
        transport.write(b"x")
        transport.write(b"y")
        assert harness.factory.count("lost") == 0
        harness.over()
    assert harness.factory.events[-1] == ("lost", ConnectionLost)
