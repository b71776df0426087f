"""Test control/server.py and control/peer.py: who is served, how many, and how fast."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.protocols.amp import parseString
from zope.interface import provider

from echotime.control import commands
from echotime.control.peer import MAX_CONTROL_CONNECTIONS, Peer, PeerPolicy, read_peer
from echotime.control.server import ControlFactory, ControlProtocol
from echotime.operators.reply_queue import ReplyQueue
from echotime.services.traffic import TrafficLog
from tests.support.control_case import amp_box

HELLO = amp_box(_command=b"Hello", _ask=b"1")
GROUP = 4711


class Pair:
    """Stand for the transport of one end of a socket pair."""

    dataBuffer, _tempDataLen = b"", 0  # noqa: N815 - Twisted's names

    def __init__(self, protocol: ControlProtocol) -> None:
        self.end, self.peer = socket.socketpair()
        self.peer.setblocking(False)
        self.protocol = protocol
        self.written: list[bytes] = []
        self.reading = True
        self.aborted = self.lost = False
        protocol.makeConnection(self)

    def getHandle(self) -> socket.socket:  # noqa: N802 - Twisted's name
        return self.end

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def abortConnection(self) -> None:
        self.aborted = True

    def connectionLost(self, reason: Any) -> None:
        self.lost = True
        self.protocol.connectionLost(reason)

    def close(self) -> None:
        """Close both ends of the pair."""
        self.end.close()
        self.peer.close()


class Server:
    """Run a ControlFactory on a clock."""

    def __init__(self, policy: PeerPolicy) -> None:
        self.clock = Clock()
        traffic = TrafficLog(self.clock)
        self.factory = ControlFactory(ReplyQueue(self.clock), cast(Any, None), traffic, self.clock, policy)
        self.pairs: list[Pair] = []

    def turn(self) -> None:
        """Let the one call that is due be made. Clock.advance(0) would also make the calls that it schedules."""
        (call,) = self.clock.getDelayedCalls()
        run = cast(Any, call).func
        call.cancel()
        run()

    def connect(self) -> Pair:
        """Connect a client of this process."""
        self.pairs.append(Pair(self.factory.buildProtocol(None)))
        return self.pairs[-1]


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a server that accepts this user, and close its sockets at the end."""
    server = Server(PeerPolicy(None))
    yield server
    for each in server.pairs:
        each.close()


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Record the formats of what is logged."""
    found: list[str] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        found.append(str(event.get("log_format")))

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


def test_one_command_a_turn(server: Server) -> None:
    """Of many pipelined commands one is run in each turn of the reactor, and reading stops meanwhile."""
    client = server.connect()
    client.protocol.dataReceived(HELLO * 3)
    assert (len(client.written), client.reading) == (1, False)
    server.turn()
    assert (len(client.written), client.reading) == (2, False)
    server.turn()
    assert (len(client.written), client.reading) == (3, True)
    server.turn()
    assert not server.clock.getDelayedCalls()
    client.protocol.dataReceived(HELLO)
    assert len(client.written) == 4


def test_output_is_awaited(server: Server) -> None:
    """While the peer does not read its responses, no further command is run."""
    client = server.connect()
    client.protocol.dataReceived(HELLO * 3)
    client.protocol.pauseProducing()
    server.clock.pump([0] * 5)
    assert (len(client.written), client.reading) == (1, False)
    client.protocol.resumeProducing()
    server.clock.pump([0] * 5)
    assert (len(client.written), client.reading) == (3, True)


@pytest.mark.parametrize("end", ["abort", "lost"])
def test_end_with_queued_commands(server: Server, end: str) -> None:
    """Commands that were queued when the connection ended are not run."""
    client = server.connect()
    client.protocol.dataReceived(HELLO * 3)
    if end == "abort":
        client.protocol.abort(ValueError("test"))
        assert client.aborted
    else:
        client.protocol.connectionLost()
    server.clock.pump([0] * 5)
    assert len(client.written) == 1


def refusal(client: Pair) -> str:
    """Return the reason that a refused client has received."""
    (box,) = parseString(client.peer.recv(4096))
    assert box[b"_command"] == commands.Refused.commandName
    return str(box[b"reason"].decode())


def test_too_many(server: Server) -> None:
    """Connections beyond the limit are told why they are not served, and hold no descriptor."""
    served = [server.connect() for _ in range(MAX_CONTROL_CONNECTIONS)]
    assert not any(each.lost for each in served)
    late = server.connect()
    assert late.lost
    assert refusal(late) == "too many control connections: 16 are open, 16 are allowed"
    served[0].protocol.connectionLost()
    assert not server.connect().lost


def test_refusals_in_the_log(lines: list[str]) -> None:
    """Of many refusals a few are logged, and the rest is counted."""
    server = Server(PeerPolicy(None))
    server.factory.policy.refusal = lambda peer, connections: "no"  # type: ignore[method-assign]
    for _ in range(1000):
        server.connect().close()
    server.clock.advance(1)
    assert lines.count("control: refused: {name}: {reason}") == 10
    assert lines.count("control: lines left out in the last second: {count}") == 1
    assert len(lines) == 11


def test_policy() -> None:
    """Root, the own user and members are served. Members leave some connections to the others."""
    policy = PeerPolicy(GROUP)
    for owner in (Peer(1, 0, frozenset()), Peer(1, os.geteuid(), frozenset())):
        assert policy.refusal(owner, MAX_CONTROL_CONNECTIONS - 1) == ""
        assert "16 are allowed" in policy.refusal(owner, MAX_CONTROL_CONNECTIONS)
    member = Peer(1, 12345, frozenset({1, GROUP}))
    assert policy.refusal(member, 11) == ""
    assert "12 are allowed" in policy.refusal(member, 12)
    for other in (Peer(1, 12345, frozenset({1})), Peer(1, 12345, frozenset())):
        assert policy.refusal(other, 0).startswith("permission denied: ")
    assert PeerPolicy(None).refusal(member, 0).startswith("permission denied: ")


def test_own_groups() -> None:
    """The peer's groups are the primary and the supplementary ones."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = read_peer(ours)
    assert (peer.pid, peer.uid) == (os.getpid(), os.geteuid())
    assert peer.groups == {os.getegid(), *os.getgroups()}
