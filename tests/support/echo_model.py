"""Model a TCP port with its clients and operators, and the bytes that each client is owed.

The protocols record the messages they receive, so the exact reply to each client is known. A connection that can
make progress has to make it within a bounded number of reactor turns, without outside help.
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
from tests.support.participants import PAYLOAD, Client, Operators, RecordingEchoFactory, ReplyFailed
from tests.support.recording_protocol import nothing_watched
from tests.support.stepping_reactor import SteppingEPollReactor, reset

SIZES = [1, 2, 100, 4095, 4096, 4097, 9000, 70_000, 300_000]
OPTIONS = ["SO_SNDBUF=4608", "TCP_NODELAY=0", "TCP_NODELAY=1", "SO_LINGER=30", "SO_KEEPALIVE=1"]
"""No small SO_RCVBUF: such a connection would advance by the kernel's persist timer only."""
SEND_BUFFERS = [16_384, 131_072]
"""SO_SNDBUF of connections: one that is often full, and one that has space for large reads (services.large_reads)."""
TURNS = 2000
"""Reactor turns without progress, after which the model is stuck."""


class EchoModel:
    """Drive a port, its clients and its operators, and check what each client received."""

    def __init__(
        self, reactor: SteppingEPollReactor, reply_source: IReplySource | None, trailer: bytes, send_buffer: int
    ):
        self.reactor = reactor
        self.reply_source = reply_source
        self.factory = RecordingEchoFactory(reply_source, reactor.clock, trailer)
        sockopts = options(f"SO_SNDBUF={send_buffer}")
        self.port: Any = EchoPort(0, self.factory, interface="127.0.0.1", sockopts=sockopts, reactor=reactor)
        self.port.startListening()
        self.clients: list[Client] = []
        self.interfered: set[int] = set()
        """Port numbers of the clients that the server closed or reset early."""
        self.closed: set[int] = set()
        """Port numbers of the clients that an operator closed, with a reply pending or not."""
        self.draining = False

    def act(self, what: str, which: int, size: int) -> None:
        """Do one of the actions that a test may choose."""
        client = self.clients[which % len(self.clients)] if self.clients else None
        acts: dict[str, Callable[[], object]] = {
            "step": lambda: self.reactor.step(1 + which),
            "tick": lambda: self.reactor.clock.advance(which / 4),
            "reply": lambda: self.reply(which, size),
            "fail reply": lambda: self.fail_reply(which),
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
    def unanswered(self) -> set[int]:
        """Return the port numbers of the clients whose reply never came."""
        return self.reply_source.unanswered if isinstance(self.reply_source, Operators) else set()

    @property
    def listens(self) -> bool:
        """Return True if the port is listening."""
        return bool(self.port.connected and not self.port.disconnecting)

    @property
    def protocols(self) -> list[Any]:
        """Return the protocols of the connections that have not ended."""
        return [one for one in self.factory.made.values() if not one.ends]

    def connect(self, which: int, size: int) -> None:
        """Connect another client, up to six."""
        if self.listens and len(self.clients) < 6:
            self.clients.append(Client(self.port.getHost().port, size if size > 4000 else 16384, which * 1000))

    def stop(self) -> None:
        """Stop listening for new clients."""
        if self.listens:
            self.port.stopListening()

    def begin_to_drain(self) -> None:
        """Start a drain of two seconds, as the daemon does when it stops."""
        if not self.draining:
            self.draining = True
            self.stop()
            self.interfered.update(self.factory.made)
            Drain(self.factory, self.reactor.clock, 2.0).start()

    def change(self, which: int, size: int) -> None:
        """Set an option of the port or of a connection."""
        if self.port.connected:
            open_protocols = self.protocols
            target = open_protocols[which % len(open_protocols)].transport if open_protocols and size % 2 else self.port
            target.set_option(*options(OPTIONS[which % len(OPTIONS)]))

    def end(self, which: int, *, reset: bool) -> None:
        """Close or reset a connection from the server's side."""
        if open_protocols := self.protocols:
            protocol = open_protocols[which % len(open_protocols)]
            number = protocol.transport.getPeer().port
            self.interfered.add(number)
            if reset:
                protocol.reset("test")
            else:
                self.closed.add(number)
                protocol.close("test")

    def act_of(self, client: Client, what: str, size: int) -> None:
        """Do one action of a client."""
        if what == "send" and not client.half:
            client.send(size)
        elif what == "read":
            client.read(size)
        elif what == "half":
            client.shut()
        elif what in {"reset", "close"}:
            client.leave(reset if what == "reset" else socket.socket.close)

    def reply(self, which: int, size: int) -> None:
        """Reply to one of the pending questions."""
        if isinstance(self.reply_source, Operators) and self.reply_source.due:
            number, reply = self.reply_source.due.pop(which % len(self.reply_source.due))
            if not reply.called:
                expected = PAYLOAD[-size:] if size > 1 else b""
                self.factory.made[number].expected += expected
                reply.callback(expected)

    def fail_reply(self, which: int) -> None:
        """Fail one of the pending questions, which resets its client."""
        if isinstance(self.reply_source, Operators) and self.reply_source.due:
            number, reply = self.reply_source.due.pop(which % len(self.reply_source.due))
            if not reply.called:
                self.interfered.add(number)
                self.reply_source.unanswered.add(number)
                reply.errback(ReplyFailed())

    def quiet(self) -> None:
        """Let every readable connection be read to the end without outside help, then check the replies."""

        def idle() -> bool:
            return all(
                one is None or one.paused or one.closing or one.ends or len(b"".join(one.received)) == each.sent
                for each in self.clients
                if not each.gone
                for one in [self.factory.made.get(each.number)]
            )

        self.reactor.step(2)
        self.until(idle)
        self.check()

    def until(self, holds: Callable[[], bool], meanwhile: Callable[[], object] = lambda: None) -> None:
        """Turn the reactor until a condition holds; fail after TURNS turns without progress.

        In the later half of the turns it waits a millisecond each, because the kernel may need a moment.
        """
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
        """Return the bytes received on either side and the number of ended connections."""
        protocols = self.factory.made.values()
        return (
            sum(len(each.got) for each in self.clients),
            sum(each.bytes_in for each in protocols),
            sum(each.ends for each in protocols),
        )

    def check(self) -> None:
        """Check every byte that arrived so far."""
        assert not self.factory.wrong
        for each in self.clients:
            protocol = self.factory.made.get(each.number)
            if protocol is None:
                assert not each.got
                continue
            received = b"".join(protocol.received)
            assert PAYLOAD[each.start : each.start + each.sent].startswith(received)
            assert protocol.expected.startswith(each.got)
            if each.ended and not each.was_reset:
                # an end of file says that the reply is complete, whatever else happened
                assert protocol.expected == each.got
                assert each.number in self.closed or each.number not in self.unanswered, "closed without its reply"
            whole = len(received) == each.sent and each.number not in self.interfered
            if each.ended and (whole or each.half) and each.number not in self.interfered:
                assert not each.was_reset
                assert whole
                assert protocol.expected == each.got

    def drain(self) -> None:
        """Let all clients read and all operators reply, then check that everything ends and nothing is left."""
        for each in self.clients:
            each.shut()

        def help_on() -> None:
            self.reply(0, 3)
            for each in self.clients:
                while each.read(1 << 20):
                    pass

        def over() -> bool:
            return not self.factory.connections and all(each.gone or each.ended for each in self.clients)

        self.reactor.step(2)  # accept the pending connections
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
    """Check that the body leaves no descriptor open."""
    # Twisted's reserved descriptor and ours, which the first port opens for all
    tcp._reservedFD.reserve()
    RESERVED_FD.acquire()
    before = open_descriptors()
    yield
    assert open_descriptors() == before
