"""Both TCP ports under random interleavings of what clients, operators and the reactor do, against a simple model.

The protocols note what they are given, so each client's exact answer is known. No moment may be missed: a connection
that could go on has to, within a bounded number of turns and without anybody else's doing.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echotime.ports.polled import PolledPort
from echotime.ports.stock import StockPort
from echotime.ports.tcp import EchoPort
from echotime.servers.echo import EchoFactory, EchoProtocol
from echotime.servers.replies import IReplySource, NoWords
from echotime.servers.traffic import Traffic
from echotime.wire.message import ACKNOWLEDGEMENT, MESSAGE_SIZE
from tests.unit.loopback import open_descriptors, options
from tests.unit.stepping import SteppingReactor, reset, stepping

PAYLOAD = random.Random(12345).randbytes(1 << 20)
"""What clients send and operators say is cut from here, so that no two places look alike."""
SIZES = [1, 2, 100, 4095, 4096, 4097, 9000, 70_000, 300_000]
OPTIONS = ["SO_SNDBUF=4608", "TCP_NODELAY=0", "TCP_NODELAY=1", "SO_LINGER=30", "SO_KEEPALIVE=1"]
"""No small SO_RCVBUF: the kernel's persist timer would be what moves such a connection."""
ACTS = [
    "send",
    "read",
    "half",
    "reset",
    "close",
    "word",
    "their close",
    "their reset",
    "step",
    "tick",
    "change",
    "quiet",
]
OFTEN = ["connect", "send", "read", "word", "step", "step"]
TURNS = 3000
EXAMPLES = 250


@implementer(IReplySource)
class Operators:
    """Words that come when the test says so, but for every third, which is known at once."""

    always = None

    def __init__(self) -> None:
        self.asked = 0
        self.due: list[tuple[int, Deferred[bytes]]] = []

    def word_for(self, message: bytes, peer: IAddress) -> bytes | Deferred[bytes]:
        """Now, or later."""
        self.asked += 1
        if self.asked % 3 == 0:
            return PAYLOAD[: self.asked % 7]
        word: Deferred[bytes] = Deferred()
        self.due.append((peer.port, word))  # type: ignore[attr-defined]
        return word


class Noted(EchoProtocol):
    """Notes what it is given, and what it may not be given."""

    factory: Notes

    def connectionMade(self) -> None:
        """It begins."""
        self.came: list[bytes] = []
        self.said = bytearray()
        self.ends = 0
        self.factory.made[self.transport.getPeer().port] = self
        super().connectionMade()

    def dataReceived(self, message: bytes) -> None:
        """A message."""
        if self.owes or self.closing or self.ends or not 0 < len(message) <= MESSAGE_SIZE:
            self.factory.wrong.append(f"read at the wrong time, or too much: {len(message)}")
        self.came.append(message)
        self.said += message + self.factory.after_each
        words = self.factory.words
        if isinstance(words, Operators) and (words.asked + 1) % 3 == 0:
            self.said += PAYLOAD[: (words.asked + 1) % 7]
        super().dataReceived(message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end."""
        self.ends += 1
        super().connectionLost(reason)


class Notes(EchoFactory):
    """Makes Noted."""

    def __init__(self, words: IReplySource, clock: Any, acknowledgement: bytes) -> None:
        super().__init__(words, Traffic(clock, 0), acknowledgement)
        self.made: dict[int, Noted] = {}
        self.wrong: list[str] = []

    def buildProtocol(self, addr: IAddress | None) -> EchoProtocol:  # type: ignore[override]
        """One that notes."""
        protocol = Noted(0)
        protocol.factory = self
        return protocol


class Client:
    """One end of a connection, and what it did."""

    def __init__(self, port: int, receive_buffer: int, start: int) -> None:
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.number = self.sock.getsockname()[1]
        self.start, self.sent = start, 0
        self.got = bytearray()
        self.half = self.gone = self.ended = self.was_reset = False

    def send(self, size: int) -> None:
        """As much of it as the kernel takes."""
        with suppress(BlockingIOError, ConnectionResetError, BrokenPipeError):
            begin = self.start + self.sent
            self.sent += self.sock.send(PAYLOAD[begin : begin + size])

    def read(self, size: int) -> int:
        """What is there of so much; how much that was."""
        if self.gone or self.ended:
            return 0
        try:
            piece = self.sock.recv(size)
        except BlockingIOError:
            return 0
        except ConnectionResetError:
            self.ended = self.was_reset = True
            return 0
        self.ended = not piece
        self.got += piece
        return len(piece)

    def shut(self) -> None:
        """Send no more."""
        if not self.half and not self.gone:
            self.half = True
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)

    def leave(self, how: Callable[[socket.socket], None]) -> None:
        """Close, in one way or another."""
        self.gone = True
        how(self.sock)


class World:
    """A port, its clients and its operators."""

    def __init__(self, reactor: SteppingReactor, kind: type[EchoPort], words: IReplySource, acknowledgement: bytes):
        self.reactor = reactor
        self.words = words
        self.factory = Notes(words, reactor.clock, acknowledgement)
        self.port: Any = kind(0, self.factory, interface="127.0.0.1", asked=options("SO_SNDBUF=16384"), reactor=reactor)
        self.port.startListening()
        self.clients: list[Client] = []
        self.interfered: set[int] = set()
        """Whom the server left early."""

    def act(self, what: str, which: int, size: int) -> None:
        """One of the things that may happen."""
        client = self.clients[which % len(self.clients)] if self.clients else None
        protocols: list[Any] = [one for one in self.factory.made.values() if not one.ends]
        if what == "step":
            self.reactor.step(1 + which)
        elif what == "tick":
            self.reactor.clock.advance(which / 4)
        elif what == "word":
            self.word(which, size)
        elif what == "connect" and self.port.connected and not self.port.disconnecting and len(self.clients) < 6:
            self.clients.append(Client(self.port.getHost().port, size if size > 4000 else 16384, which * 1000))
        elif what == "stop" and self.port.connected and not self.port.disconnecting:
            self.port.stopListening()
        elif what == "quiet":
            self.quiet()
        elif what == "change" and self.port.connected:
            target = protocols[which % len(protocols)].transport if protocols and size % 2 else self.port
            target.change(*options(OPTIONS[which % len(OPTIONS)]))
        elif what.startswith("their") and protocols:
            protocol = protocols[which % len(protocols)]
            self.interfered.add(protocol.transport.getPeer().port)
            protocol.close("test") if what == "their close" else protocol.reset("test")
        elif client is not None and not client.gone:
            self.act_of(client, what, size)

    def act_of(self, client: Client, what: str, size: int) -> None:
        """What a client does."""
        if what == "send" and not client.half:
            client.send(size)
        elif what == "read":
            client.read(size)
        elif what == "half":
            client.shut()
        elif what in {"reset", "close"}:
            client.leave(reset if what == "reset" else socket.socket.close)

    def word(self, which: int, size: int) -> None:
        """An operator says something to one of those who wait."""
        if isinstance(self.words, Operators) and self.words.due:
            number, word = self.words.due.pop(which % len(self.words.due))
            if not word.called:
                said = PAYLOAD[-size:] if size > 1 else b""
                self.factory.made[number].said += said
                word.callback(said)

    def quiet(self) -> None:
        """Whoever is read from is read to the end, without anybody's help; no answer is wrong."""

        def idle() -> bool:
            return all(
                one is None or one.owes or one.closing or one.ends or len(b"".join(one.came)) == each.sent
                for each in self.clients
                if not each.gone
                for one in [self.factory.made.get(each.number)]
            )

        self.reactor.step(2)
        self.until(idle)
        self.check()

    def until(self, holds: Callable[[], bool], meanwhile: Callable[[], object] = lambda: None) -> None:
        """Turn until it does; the kernel may need a moment."""
        for turn in range(TURNS):
            if holds():
                return
            meanwhile()
            self.reactor.step()
            if turn > TURNS // 2:
                time.sleep(0.001)
        state = [(vars(each), vars(self.factory.made[each.number])) for each in self.clients if not each.ended]
        raise AssertionError(f"stuck: {str(state)[:2000]}")

    def check(self) -> None:
        """What came so far is right."""
        assert not self.factory.wrong
        for each in self.clients:
            protocol = self.factory.made.get(each.number)
            if protocol is None:
                assert not each.got
                continue
            came = b"".join(protocol.came)
            assert PAYLOAD[each.start : each.start + each.sent].startswith(came)
            assert protocol.said.startswith(each.got)
            whole = len(came) == each.sent and each.number not in self.interfered
            if each.ended and (whole or each.half) and each.number not in self.interfered:
                assert not each.was_reset
                assert whole
                assert protocol.said == each.got

    def drain(self) -> None:
        """All clients read what they are owed, all operators speak: then everything ends, and nothing is left."""
        for each in self.clients:
            each.shut()

        def help_on() -> None:
            self.word(0, 3)
            for each in self.clients:
                while each.read(1 << 20):
                    pass

        def over() -> bool:
            return not self.factory.connections and all(each.gone or each.ended for each in self.clients)

        self.reactor.step(2)  # what waits to be accepted
        if self.port.connected and not self.port.disconnecting:
            self.port.stopListening()
        self.until(over, help_on)
        self.reactor.step(2)
        for each in self.clients:
            each.sock.close()
        self.check()
        assert all(each.ends == 1 for each in self.factory.made.values())
        self.reactor.clock.advance(2)
        assert not self.reactor.clock.getDelayedCalls()
        assert self.reactor.getReaders() == [self.reactor.waker]
        assert not self.reactor.getWriters()
        if isinstance(self.port, PolledPort):
            poller = self.port.poller
            left = (poller._known, poller._reads, poller._writes, poller._told, poller._changed, poller._in_turn)
            assert not any(left)
            assert poller._epoll is None


@contextmanager
def nothing_left() -> Iterator[None]:
    """No descriptor stays open."""
    tcp._reservedFD.reserve()  # Twisted's own, which the first port opens for all
    before = open_descriptors()
    yield
    assert open_descriptors() == before


STEPS = st.tuples(st.sampled_from([*ACTS, *OFTEN, *OFTEN, *OFTEN, "stop"]), st.integers(0, 5), st.sampled_from(SIZES))


@pytest.mark.parametrize("kind", [StockPort, PolledPort])
@pytest.mark.parametrize("words", [NoWords, Operators])
@pytest.mark.parametrize("acknowledgement", [ACKNOWLEDGEMENT, b""])
def test_interleavings(kind: type[EchoPort], words: Callable[[], IReplySource], acknowledgement: bytes) -> None:
    """Whatever happens in whatever order: exact answers, one end each, nothing missed, nothing left."""

    @settings(max_examples=EXAMPLES, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.lists(STEPS, min_size=5, max_size=60))
    def holds(steps: list[tuple[str, int, int]]) -> None:
        with nothing_left(), stepping() as reactor:
            world = World(reactor, kind, words(), acknowledgement)
            try:
                world.act("connect", 0, 0)
                for what, which, size in steps:
                    world.act(what, which, size)
                    assert not world.factory.wrong
                world.drain()
            finally:
                reactor.disconnectAll()
                for each in world.clients:
                    each.sock.close()

    holds()
