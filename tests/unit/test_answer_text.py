r"""Test acknowledgements and replies with places such as ``\{peer}``, on a transport without a socket."""

from __future__ import annotations

import errno
import socket
from datetime import datetime, timezone

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from echotime.operators.reply_queue import QueueLimits, ReplyQueue
from echotime.services.answer_text import answer_text
from echotime.services.echo_factory import EchoFactory
from echotime.services.probe_echo import ProbeEchoFactory
from echotime.services.replies import IReplySource
from echotime.services.tcp_echo import EchoProtocol
from echotime.services.traffic import TrafficLog
from echotime.wire.template import NAMES, Text

PEER = IPv4Address("TCP", "192.0.2.7", 1945)


class KnowingTransport(StringTransport):
    """Give fixed values of a TCP connection."""

    def round_trip_time(self) -> float:
        return 12.3456

    def segment_size(self) -> int:
        return 1448

    def received_ttl(self) -> int:
        return 57

    def saved_syn(self) -> bytes:
        return b"\x45\x10"


class IgnorantTransport(StringTransport):
    """Fail as a kernel does that has none of the options."""

    def round_trip_time(self) -> float:
        raise OSError(errno.ENOPROTOOPT, "Protocol not available")

    segment_size = received_ttl = saved_syn = round_trip_time


def connected(
    factory: EchoFactory, kind: type[StringTransport] = KnowingTransport, peer: IAddress = PEER
) -> EchoProtocol:
    """Open a connection of a factory."""
    protocol = factory.buildProtocol(peer)
    assert isinstance(protocol, EchoProtocol)
    protocol.makeConnection(kind(IPv4Address("TCP", "192.0.2.1", 12345), peer))
    return protocol


def answer(protocol: EchoProtocol, message: bytes) -> str:
    """Send a message and return what is written for it."""
    transport = protocol.transport
    assert isinstance(transport, StringTransport)
    transport.clear()
    protocol.dataReceived(message)
    written: bytes = transport.value()
    return written.decode()


def factory(acknowledgement: str = "", reply: str = "", reply_source: IReplySource | None = None) -> EchoFactory:
    """Make a factory as the builder does."""
    made = EchoFactory(TrafficLog(Clock(), 0))
    made.set_reply(answer_text(acknowledgement), reply_source, answer_text(reply))
    return made


def test_values() -> None:
    """Each name has the value of its connection and message."""
    made = factory(
        r"|\{peer}|\{peer_host}|\{via}|\{server}", r"|\{connection}|\{message}|\{rtt}|\{mss}|\{ttl}|\{syn}|{peer}"
    )
    connected(made)
    second = connected(made)
    expected = "|192.0.2.7:1945|192.0.2.7||192.0.2.1:12345|2|{}|12.346|1448|57|4510|{{peer}}"
    assert answer(second, b"m") == "m" + expected.format(1)
    assert answer(second, b"n") == "n" + expected.format(2)
    assert second.bytes_out == 2 * len("m" + expected.format(1))
    second.via = "192.0.2.99:443"
    assert "||" not in answer(second, b"o")


def test_ipv6() -> None:
    """An IPv6 client has brackets with its port only, and an IPv4-mapped address is shown as IPv4."""
    made = factory(r" \{peer} \{peer_host}")
    for host, shown in (("2001:db8::7", "[2001:db8::7]:9 2001:db8::7"), ("::ffff:192.0.2.7", "192.0.2.7:9 192.0.2.7")):
        assert answer(connected(made, peer=IPv6Address("TCP", host, 9)), b"m") == f"m {shown}"


def test_time() -> None:
    """The time is that of the message, in UTC, as ISO 8601."""
    shown = answer(connected(factory(r"\{time}")), b"")
    assert shown.endswith("Z")
    moment = datetime.fromisoformat(shown.replace("Z", "+00:00"))
    assert abs(datetime.now(timezone.utc) - moment).total_seconds() < 100


def test_unknown_to_the_kernel() -> None:
    """A value that the kernel does not give is empty."""
    assert answer(connected(factory(r"<\{rtt}\{mss}\{ttl}\{syn}>"), IgnorantTransport), b"m") == "m<>"


def test_all_names() -> None:
    """Each name of the parser can be filled in."""
    text = " ".join(f"{each}=\\{{{each}}}" for each in NAMES)
    assert [each.partition("=")[0] for each in answer(connected(factory(text)), b"").split()] == list(NAMES)


def test_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host name is a constant, as any text without places, and is sanitized."""
    monkeypatch.setattr(socket, "gethostname", lambda: "web\x1b[1\udcff")
    made = factory(r" \{host}\n")
    assert made.reply_source is None
    assert made.trailer == b" web\\x1b[1\\udcff\n"


def test_constant_again() -> None:
    """A reload to a constant text takes the constant path again, and one to a place leaves it, on open connections."""
    made = factory(r"\{message}", "!")
    protocol = connected(made)
    assert made.reply_source is not None
    assert answer(protocol, b"a") == "a1!"
    made.set_reply(b" ack", None, b" reply")
    assert made.reply_source is None
    assert answer(protocol, b"b") == "b ack reply"
    made.set_reply(b" ack", None, answer_text(r"\{message}"))
    assert answer(protocol, b"c") == "c ack3"


def test_default_reply_of_a_queue() -> None:
    """The default reply of a question is made for its own connection, with the text of the moment when it is sent."""
    clock = Clock()
    queue = ReplyQueue(clock, answer_text(r"no reply, \{connection}"), QueueLimits(wait_for_operator=True))
    made = factory(r" \{message} ", "", queue)
    first, second = connected(made), connected(made)
    assert [answer(each, b"m") for each in (first, second)] == ["m 1 ", "m 1 "]
    queue.answer(1, rb"typed \{peer}", "me")
    assert first.transport.value() == b"m 1 typed \\{peer}"  # type: ignore[attr-defined]
    made.set_reply(b"", queue)
    queue.configure(answer_text(r"none, \{connection}"), QueueLimits())
    assert second.transport.value() == b"m 1 none, 2"  # type: ignore[attr-defined]
    assert answer(first, b"n") == "nnone, 1"
    assert second.bytes_out == len(b"m 1 none, 2")


def test_lost_connection() -> None:
    """A question whose connection ends gets no reply, not even the default one."""
    queue = ReplyQueue(Clock(), answer_text(r"\{peer}"), QueueLimits(wait_for_operator=True))
    protocol = connected(factory("", "", queue))
    assert answer(protocol, b"m") == "m"
    protocol.connectionLost()
    assert (queue.counters.abandoned, protocol.bytes_out) == (1, 1)


def test_source_without_operator() -> None:
    """Another reply source keeps its replies beside an acknowledgement with places."""

    @implementer(IReplySource)
    class Later:
        def reply_to(self, message: bytes, peer: IAddress) -> Deferred[Text]:
            return later

    later: Deferred[Text] = Deferred()
    protocol = connected(factory(r" \{peer_host} ", "unused", Later()))
    assert answer(protocol, b"m") == "m 192.0.2.7 "
    later.callback(b"late")
    assert protocol.transport.value() == b"m 192.0.2.7 late"  # type: ignore[attr-defined]


def test_probe() -> None:
    """A probe of the health check is answered with the echo alone where the trailer differs between messages."""
    made = factory(r"\{peer}", r"\{message}")
    made.probe_factory = ProbeEchoFactory(made)
    made.probe_factory.registry.expect((PEER.host, PEER.port))
    assert answer(connected(made), b"health check") == "health check"
    assert made.probe_factory.trailer == b""
    assert answer(connected(made), b"m") == "m192.0.2.7:19451"
