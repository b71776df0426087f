"""net/connection.py: writing, producers, and ending one side."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from tests.support.loopback import get, options
from tests.support.recording_protocol import LARGE, Bench
from tests.support.stepping_reactor import connected, received, reset


@implementer(IPushProducer)
class Pushing:
    """Writes as much as it may."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.said: list[str] = []
        transport.registerProducer(self, True)

    def pauseProducing(self) -> None:
        """Too much is written."""
        self.said.append("pause")

    def resumeProducing(self) -> None:
        """There is room."""
        self.said.append("resume")

    def stopProducing(self) -> None:
        """Nobody is there."""
        self.said.append("stop")


def test_push_producer(bench: Bench) -> None:
    """It is paused when more is buffered than one message, resumed when all has left, stopped at the end."""
    with connected(bench.port, 65536) as sock:
        producer = Pushing(bench.made())
        producer.transport.write(b"little")
        assert producer.said == []
        producer.transport.write(LARGE)
        assert producer.said == ["pause"]
        assert bench.read(sock, len(LARGE) + 6) == b"little" + LARGE
        bench.reactor.until(lambda: producer.said == ["pause", "resume"])
        producer.transport.write(b"more")
        assert bench.read(sock, 4) == b"more"
        reset(sock)
        bench.over()
        assert producer.said == ["pause", "resume", "stop"]


@implementer(IPullProducer)
class Pulled:
    """Writes a piece each time it is asked, and then ends."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.left = [b"one ", b"two ", b"three"]
        transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Asked."""
        self.transport.write(self.left.pop(0))
        if not self.left:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def stopProducing(self) -> None:
        """Nobody is there."""


def test_pull_producer(bench: Bench) -> None:
    """It is asked again each time that what it wrote has left."""
    with connected(bench.port) as sock:
        Pulled(bench.made())
        assert bench.read_all(sock) == b"one two three"
        bench.over()


def test_pull_producer_keeps_it_open(bench: Bench) -> None:
    """loseConnection waits until a pull producer has said all."""
    with connected(bench.port) as sock:
        producer = Pulled(bench.made())
        producer.transport.loseConnection()
        assert bench.read_all(sock) == b"one two three"
        bench.over()


def test_a_registered_producer_keeps_it_open(bench: Bench) -> None:
    """loseConnection waits for a paused producer, as Twisted's does, and ends with unregisterProducer."""
    with connected(bench.port, 65536) as sock:
        producer = Pushing(bench.made())
        producer.transport.write(LARGE)
        producer.transport.loseConnection()
        assert bench.read(sock, len(LARGE)) == LARGE
        bench.reactor.until(lambda: "resume" in producer.said)
        producer.transport.unregisterProducer()
        assert bench.read_all(sock) == b""
        bench.over()


def test_lose_write_connection(bench: Bench) -> None:
    """The server may end its own side first; it is told when that is done, and what it writes after is dropped."""
    with connected(bench.port, 65536) as sock:
        transport = bench.made()
        transport.write(LARGE)
        transport.loseWriteConnection()
        assert bench.read_all(sock) == LARGE
        bench.reactor.until(lambda: bench.factory.happened("write lost"))
        transport.write(b"dropped")
        sock.send(b"still read")
        bench.reactor.until(lambda: bench.factory.happened("data"))
        assert received(sock) == b""
        transport.loseConnection()
        bench.over()


@pytest.mark.parametrize("first", ["client", "server"])
def test_both_sides_end(bench: Bench, first: str) -> None:
    """Where both have ended their side and the server has not closed yet, all that was written still arrives."""

    def end(one: Any) -> None:
        one.transport.write(LARGE)
        one.transport.loseWriteConnection()

    bench.factory.acts["read lost" if first == "client" else "data"] = end
    with connected(bench.port, 65536) as sock:
        sock.send(b"x")
        bench.reactor.until(lambda: bench.factory.happened("data"))
        sock.shutdown(socket.SHUT_WR)
        assert bench.read_all(sock) == LARGE
        bench.reactor.step(5)
        assert bench.factory.happened("lost") == 0
        bench.factory.transport.loseConnection()
        bench.over()
    assert bench.factory.noted[-1] == ("lost", ConnectionDone)


@pytest.mark.parametrize("how", ["setTcpNoDelay", "change", "port", "corked"])
def test_options_stay_as_they_were_set(bench: Bench, how: str) -> None:
    """What holds back data for a FIN, and lets it go, changes no option that a protocol or an operator has set."""

    def act(one: Any) -> None:
        one.transport.write(b"answer")
        if how == "setTcpNoDelay":
            one.transport.setTcpNoDelay(False)
        elif how == "change":
            one.transport.set_option(*options("TCP_NODELAY=off"))
        elif how == "corked":
            one.transport.set_option(*options("TCP_CORK=on"))

    if how == "port":
        bench.port.set_option(*options("TCP_NODELAY=off"))
    bench.factory.acts["data"] = act
    with connected(bench.port) as sock:
        if how == "port":
            transport = bench.made()
            bench.reactor.step(2)
            bench.port.set_option(*options("TCP_NODELAY=on"))
        sock.send(b"x")
        sock.shutdown(socket.SHUT_WR)
        bench.reactor.until(lambda: bench.factory.happened("read lost"))
        bench.reactor.step(2)
        transport = bench.factory.transport
        assert transport.getTcpNoDelay() is (how == "corked")
        assert get(transport.socket, "TCP_CORK") == (how == "corked")
        assert bench.read(sock, 6) == b"answer"
        transport.loseConnection()
        bench.over()


def test_writing_outside_of_a_read(bench: Bench) -> None:
    """What is written at any time, in pieces or sequences, arrives in order; text is refused."""
    with connected(bench.port, 65536) as sock:
        transport = bench.made()
        transport.write(b"a")
        transport.writeSequence([b"b", b"c"])
        transport.write(LARGE)
        transport.writeSequence([b"d", b""])
        transport.write(b"")
        transport.write(b"e")
        assert bench.read(sock, len(LARGE) + 5) == b"abc" + LARGE + b"de"
        with pytest.raises(TypeError):
            transport.write("text")
        transport.loseConnection()
        assert bench.read_all(sock) == b""
        bench.over()
        transport.write(b"too late")
        transport.loseConnection()
        transport.abortConnection()


def test_write_to_a_reset_connection(bench: Bench) -> None:
    """write calls nothing back, even if the client is gone; the end is told by the next turn."""
    bench.factory.acts["made"] = lambda one: one.transport.pauseProducing()
    with connected(bench.port) as sock:
        transport = bench.made()
        reset(sock)
        transport.write(b"x")
        transport.write(b"y")
        assert bench.factory.happened("lost") == 0
        bench.over()
    assert bench.factory.noted[-1] == ("lost", ConnectionLost)
