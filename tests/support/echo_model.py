"""A TCP port with its clients and its operators, and a simple model of what each client is owed.

The protocols note what they are given, so each client's exact answer is known. No moment may be missed: a connection
that could go on has to, within a bounded number of turns and without anybody else's doing.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet import tcp

from echotime.net.accepting import RESERVED_FD
from echotime.net.tcp import EchoPort
from echotime.services.drain import Drain
from echotime.services.replies import IReplySource
from tests.support.loopback import open_descriptors, options
from tests.support.participants import PAYLOAD, Client, Notes, NoWord, Operators
from tests.support.recording_protocol import nothing_watched
from tests.support.stepping_reactor import SteppingEPollReactor, reset

SIZES = [1, 2, 100, 4095, 4096, 4097, 9000, 70_000, 300_000]
OPTIONS = ["SO_SNDBUF=4608", "TCP_NODELAY=0", "TCP_NODELAY=1", "SO_LINGER=30", "SO_KEEPALIVE=1"]
"""No small SO_RCVBUF: the kernel's persist timer would be what moves such a connection."""
SEND_BUFFERS = [16_384, 131_072]
"""SO_SNDBUF of connections: one that is often full, and one that has space for large reads (services.large_reads)."""
TURNS = 2000
"""Of the reactor, without anything that comes or goes."""


class World:
    """A port, its clients and its operators."""

    def __init__(self, reactor: SteppingEPollReactor, operators: IReplySource | None, trailer: bytes, send_buffer: int):
        self.reactor = reactor
        self.operators = operators
        self.factory = Notes(operators, reactor.clock, trailer)
        asked = options(f"SO_SNDBUF={send_buffer}")
        self.port: Any = EchoPort(0, self.factory, interface="127.0.0.1", sockopts=asked, reactor=reactor)
        self.port.startListening()
        self.clients: list[Client] = []
        self.interfered: set[int] = set()
        """Whom the server left early."""
        self.closed: set[int] = set()
        """Whom it closed, word or not, as an operator wanted it."""
        self.draining = False

    def act(self, what: str, which: int, size: int) -> None:
        """One of the things that may happen."""
        client = self.clients[which % len(self.clients)] if self.clients else None
        acts: dict[str, Callable[[], object]] = {
            "step": lambda: self.reactor.step(1 + which),
            "tick": lambda: self.reactor.clock.advance(which / 4),
            "word": lambda: self.word(which, size),
            "no word": lambda: self.no_word(which),
            "connect": lambda: self.connect(which, size),
            "quiet": self.quiet,
            "stop": self.stop,
            "drain": self.begin_to_drain,
            "change": lambda: self.change(which, size),
            "their close": lambda: self.end(which, reset=False),
            "their reset": lambda: self.end(which, reset=True),
        }
        if what in acts:
            acts[what]()
        elif client is not None and not client.gone:
            self.act_of(client, what, size)

    @property
    def never(self) -> set[int]:
        """Whose word never came."""
        return self.operators.never if isinstance(self.operators, Operators) else set()

    @property
    def listens(self) -> bool:
        """Whether the port does."""
        return bool(self.port.connected and not self.port.disconnecting)

    @property
    def protocols(self) -> list[Any]:
        """Of the connections that are not over."""
        return [one for one in self.factory.made.values() if not one.ends]

    def connect(self, which: int, size: int) -> None:
        """One more client; no more than some."""
        if self.listens and len(self.clients) < 6:
            self.clients.append(Client(self.port.getHost().port, size if size > 4000 else 16384, which * 1000))

    def stop(self) -> None:
        """No more clients."""
        if self.listens:
            self.port.stopListening()

    def begin_to_drain(self) -> None:
        """The daemon ends, with two seconds for those who are still served."""
        if not self.draining:
            self.draining = True
            self.stop()
            self.interfered.update(self.factory.made)
            Drain(self.factory, self.reactor.clock, 2.0).start()

    def change(self, which: int, size: int) -> None:
        """An option changes, of the port or of a connection."""
        if self.port.connected:
            those = self.protocols
            target = those[which % len(those)].transport if those and size % 2 else self.port
            target.set_option(*options(OPTIONS[which % len(OPTIONS)]))

    def end(self, which: int, *, reset: bool) -> None:
        """The server ends a connection, in one way or another."""
        if those := self.protocols:
            protocol = those[which % len(those)]
            number = protocol.transport.getPeer().port
            self.interfered.add(number)
            if reset:
                protocol.reset("test")
            else:
                self.closed.add(number)
                protocol.close("test")

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
        if isinstance(self.operators, Operators) and self.operators.due:
            number, word = self.operators.due.pop(which % len(self.operators.due))
            if not word.called:
                said = PAYLOAD[-size:] if size > 1 else b""
                self.factory.made[number].said += said
                word.callback(said)

    def no_word(self, which: int) -> None:
        """An operator cannot answer one of those who wait, who is reset."""
        if isinstance(self.operators, Operators) and self.operators.due:
            number, word = self.operators.due.pop(which % len(self.operators.due))
            if not word.called:
                self.interfered.add(number)
                self.operators.never.add(number)
                word.errback(NoWord())

    def quiet(self) -> None:
        """Whoever is read from is read to the end, without anybody's help; no answer is wrong."""

        def idle() -> bool:
            return all(
                one is None or one.has_pending_output or one.closing or one.ends or len(b"".join(one.came)) == each.sent
                for each in self.clients
                if not each.gone
                for one in [self.factory.made.get(each.number)]
            )

        self.reactor.step(2)
        self.until(idle)
        self.check()

    def until(self, holds: Callable[[], bool], meanwhile: Callable[[], object] = lambda: None) -> None:
        """Turn until it does; the kernel may need a moment, but not for ever without anything coming or going."""
        turn, before = 0, self.progress()
        while turn < TURNS:
            if holds():
                return
            meanwhile()
            self.reactor.step()
            if turn > TURNS // 2:
                time.sleep(0.001)
            turn, before = turn + 1 if self.progress() == before else 0, self.progress()
        state = [(vars(each), vars(self.factory.made[each.number])) for each in self.clients if not each.ended]
        raise AssertionError(f"stuck: {str(state)[:2000]}")

    def progress(self) -> tuple[int, ...]:
        """Bytes that came to either side, and connections that are over."""
        protocols = self.factory.made.values()
        return (
            sum(len(each.got) for each in self.clients),
            sum(each.bytes_in for each in protocols),
            sum(each.ends for each in protocols),
        )

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
            if each.ended and not each.was_reset:
                # whatever else happens: an end of file says that all of it came
                assert protocol.said == each.got
                assert each.number in self.closed or each.number not in self.never, "closed without its word"
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
        self.stop()
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
        assert nothing_watched(self.reactor)


@contextmanager
def nothing_left() -> Iterator[None]:
    """No descriptor stays open."""
    # those that the first port opens for all, Twisted's and ours
    tcp._reservedFD.reserve()
    RESERVED_FD.acquire()
    before = open_descriptors()
    yield
    assert open_descriptors() == before
