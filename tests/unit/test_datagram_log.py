"""Test services/datagram_log.py with UDP ports: which datagrams are logged and counted, and what the log costs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from zope.interface import implementer, provider

from echotime.config.parsers import network
from echotime.limits.access import AccessList, Networks
from echotime.net.pktinfo import SourceAddress
from echotime.net.udp import TimePort
from echotime.services.datagram_log import IDatagramObserver
from echotime.services.traffic import TrafficLog
from echotime.services.udp_time import TimeProtocol
from tests.support.loopback import Portable, Served
from tests.support.udp_ports import client, heard, listening


@implementer(IDatagramObserver)
class Watcher:
    """Collect what an observer is told."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def datagram_received(self, peer: str, data: bytes, size: int, outcome: str) -> None:
        self.seen.append((data, size, outcome))

    def datagrams_left_out(self, number: int) -> None:
        self.seen.append(number)


class Logging(NamedTuple):
    """A port with a traffic log on a fake clock, and what it has logged."""

    port: Any
    traffic: TrafficLog
    clock: Clock
    lines: list[str]
    watcher: Watcher

    def send(self, *datagrams: bytes) -> int:
        """Send datagrams from one client, and return the number of answers."""
        with client(host="127.0.0.1") as sock:
            for each in datagrams:
                sock.sendto(each, self.port.socket.getsockname())
            self.port.doRead()
            return len(heard(sock))


@contextlib.contextmanager
def logging(kind: type[TimePort], access: AccessList | None = None) -> Iterator[Logging]:
    """Yield a port on loopback that serves the time."""
    clock, lines, watcher = Clock(), [], Watcher()
    traffic = TrafficLog(clock)
    traffic.add_observer(watcher)  # type: ignore[arg-type]  # it only observes datagrams
    note = provider(ILogObserver)(
        lambda event: lines.append(formatEvent(event)) if event["log_namespace"] == "echotime" else None
    )
    globalLogPublisher.addObserver(note)
    try:
        protocol: Any = TimeProtocol(lambda: 7.0, traffic.counters, access=access, log=traffic.datagrams)
        with listening(Served(kind, lambda: protocol, 0), "127.0.0.1") as port:
            lines.clear()
            yield Logging(port, traffic, clock, lines, watcher)
    finally:
        globalLogPublisher.removeObserver(note)


both = pytest.mark.parametrize("kind", [TimePort, Portable])


@both
def test_lines(kind: type[TimePort]) -> None:
    """A line has source, size, fate and the beginning of the datagram, escaped; observers get the same datagrams."""
    with logging(kind) as log:
        log.traffic.datagrams.set_rate(100)
        assert log.send(b"hello", b"", b"\x1b[2J" + bytes(96), b"x" * 16) == 4
        source = log.lines[0].split(",")[0]
        assert source.startswith("datagram from 127.0.0.1:")
        assert log.lines == [
            f"{source}, length 5, answered: hello",
            f"{source}, length 0, answered",
            rf"{source}, length 100, answered: \x1b[2J" + r"\x00" * 12 + r"\...",
            f"{source}, length 16, answered: xxxxxxxxxxxxxxxx",
        ]
        assert log.watcher.seen[2] == (b"\x1b[2J" + bytes(12), 100, "answered")
        assert len(log.watcher.seen) == 4


@both
def test_why_not(kind: type[TimePort]) -> None:
    """A refused datagram is logged with its reason, which is the one of the refusal's counter."""
    denied = Networks([network("127.0.0.0/8")])
    with logging(kind, AccessList(Networks(), denied)) as log:
        log.traffic.datagrams.set_rate(100)
        assert log.send(b"x") == 0
        assert log.lines[0].endswith(", length 1, refused (access list): x")
        assert log.watcher.seen == [(b"x", 1, "refused (access list)")]


def test_reply_that_cannot_be_sent() -> None:
    """A datagram whose answer the kernel refuses is not logged as answered."""
    with logging(TimePort) as log:
        log.traffic.datagrams.set_rate(100)
        nowhere = SourceAddress(("127.0.0.1", 0))
        nowhere.ordinary, nowhere.size = True, 1
        log.port.protocol.datagramReceived(b"x", nowhere)
        assert log.lines == ["datagram from 127.0.0.1:0, length 1, answer not sent: x"]


@both
def test_bounded(kind: type[TimePort]) -> None:
    """In each second `rate` datagrams are logged and all others are counted once, refused ones included."""
    with logging(kind) as log:
        log.traffic.datagrams.set_rate(3)
        for _ in range(2):
            assert log.send(*[b"x"] * 10) == 10
            assert log.send(*[b"x"] * 20) == 20
            log.traffic.counters.refuse("refused_low_port", "192.0.2.1")
            assert len(log.lines) == 3
            assert not log.port.protocol.policy.one_by_one
            log.clock.advance(1)
            assert log.lines[3:] == ["datagram lines left out in the last second: 28"]
            assert log.watcher.seen[3:] == [28]
            assert log.clock.getDelayedCalls() == []
            log.lines.clear()
            log.watcher.seen.clear()
        log.send(b"x")
        log.clock.advance(1)
        assert len(log.lines) == 1, "a second with fewer datagrams leaves none out"


def test_rest_of_a_second_is_served_in_batches() -> None:
    """The log costs nothing while it is off, and in the rest of a second that has its lines."""
    with logging(TimePort) as log:
        protocol = log.port.protocol
        singly: list[bytes] = []
        receive = protocol.datagramReceived

        def received(datagram: bytes, addr: Any) -> None:
            singly.append(datagram)
            receive(datagram, addr)

        protocol.datagramReceived = received
        log.send(*[b"x"] * 40)
        assert (singly, log.lines) == ([], [])
        log.traffic.datagrams.set_rate(3)
        log.send(*[b"x"] * 40)
        log.send(*[b"x"] * 40)
        assert len(singly) == 40
        log.traffic.datagrams.set_rate(0)
        log.send(*[b"x"] * 40)
        assert len(singly) == 40


def test_switched() -> None:
    """Datagrams of the time in which the log is off are never counted as left out."""
    with logging(TimePort) as log:
        log.send(*[b"x"] * 5)
        log.traffic.datagrams.set_rate(2)
        log.send(*[b"x"] * 5)
        log.traffic.datagrams.set_rate(0)
        assert log.lines[2:] == ["datagram lines left out in the last second: 3"]
        log.send(*[b"x"] * 5)
        log.traffic.flush()
        log.traffic.datagrams.set_rate(2)
        log.send(b"x")
        log.traffic.flush()
        assert len(log.lines) == 4
        assert log.clock.getDelayedCalls() == []
