"""behave/udp/: the effect of each kind of behavior, on plain sockets and ports that a test steps."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from echotime.behave.kinds import UDP_KINDS
from echotime.behave.spec import Behavior, parse_behavior
from echotime.behave.udp.extend import MAX_GROWTH
from echotime.behave.udp.held import MAX_HELD
from echotime.behave.udp.protocol import BehavingTimeProtocol
from echotime.counters import ServiceCounters
from echotime.limits.loop_guard import MAX_ANSWERED
from echotime.limits.udp_rate import RateLimit
from echotime.net.pktinfo import SourceAddress
from echotime.net.whole_datagrams import WholeDatagramPort
from tests.support.loopback import Served
from tests.support.namespace import in_namespace
from tests.support.udp_ports import client, listening

NOW = 1_795_343_243
TIME = struct.pack("!I", NOW)
ADDRESSES = [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.2"), ("::", "127.0.0.2"), ("::", "::1"), ("::1", "::1")]
"""Addresses of a listener, and those that clients ask."""


def behavior(text: str) -> Behavior:
    """Return a behavior from its text."""
    return parse_behavior(text, UDP_KINDS.values())


class Bench:
    """A listener, and one client of it."""

    def __init__(self, text: str, rate: int = 0) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.counters = ServiceCounters()
        self.protocol = BehavingTimeProtocol(
            self.clock.seconds,
            self.counters,
            rate_limit=RateLimit(rate, self.clock.seconds, uniform=lambda: 1.0),
            behavior=behavior(text),
            reactor=self.clock,
        )
        self.port: Any
        self.sock: socket.socket
        self.address: tuple[str, int]

    def ask(self, *datagrams: bytes) -> list[bytes]:
        """Send datagrams, let the port read them, and return what has been answered."""
        for each in datagrams:
            self.sock.sendto(each, self.address)
            self.port.doRead()
        return self.heard()

    def advance(self, seconds: float) -> list[bytes]:
        """Let time pass, and return what has been answered."""
        self.clock.advance(seconds)
        return self.heard()

    def heard(self) -> list[bytes]:
        """Return the answers that are pending. Each must come from the address and port that were asked."""
        answers = [*self.all_heard()]
        assert {source for _answer, source in answers} <= {self.address}
        return [answer for answer, _source in answers]

    def all_heard(self) -> Iterator[tuple[bytes, tuple[str, int]]]:
        """Yield the answers that are pending, with the addresses and ports that they came from."""
        self.sock.setblocking(False)
        while True:
            try:
                answer, source = self.sock.recvfrom(70_000)
            except BlockingIOError:
                return
            yield answer, source[:2]


@contextmanager
def bench(text: str, interface: str = "127.0.0.1", host: str = "127.0.0.1", rate: int = 0) -> Iterator[Bench]:
    """Yield a listener with a behavior, and a client on loopback."""
    one = Bench(text, rate)
    served = Served(WholeDatagramPort, lambda: one.protocol, 0)
    with listening(served, interface) as one.port, client(host="::1" if ":" in host else "127.0.0.1") as one.sock:
        one.address = host, one.port.getHost().port
        yield one


def times(*offsets: int) -> list[bytes]:
    """Return the answers of NOW plus some seconds."""
    return [struct.pack("!I", NOW + each) for each in offsets]


EFFECTS = {
    "drop": [],
    "drop:probability=0": [TIME],
    "delay:delay=1.5": [],
    "delay:delay=0": [],
    "duplicate": [TIME] * 2,
    "duplicate:copies=10": [TIME] * 10,
    "reorder": [],
    "truncate": [TIME[:2]],
    "truncate:size=0": [b""],
    "extend": [TIME + bytes(4)],
    "extend:size=60000": [TIME + bytes(59_996)],
    "report": [TIME],
    "client": [TIME],
}


@pytest.mark.parametrize(("interface", "host"), ADDRESSES)
@pytest.mark.parametrize("text", EFFECTS)
def test_effect(text: str, interface: str, host: str) -> None:
    """Each kind has its effect at once, and the answer leaves from the address that was asked."""
    with bench(text, interface, host) as one:
        assert one.ask(b"") == EFFECTS[text]
        if text.startswith(("delay", "reorder")):
            assert one.advance(1.5) == [TIME], "a held answer is the time at which the datagram came"
        assert one.counters.datagrams_handled == 1
        assert one.port.errors == {}


def test_every_kind_is_tested() -> None:
    """No kind is without a test of its effect."""
    assert {text.partition(":")[0] for text in EFFECTS} | {"wrong_source_port"} == {*UDP_KINDS}


@pytest.mark.parametrize(("interface", "host"), ADDRESSES)
def test_wrong_source_port(interface: str, host: str) -> None:
    """The answer comes from the address that was asked, and from another port."""
    with bench("wrong-source-port", interface, host) as one:
        one.sock.sendto(b"", one.address)
        one.port.doRead()
        ((answer, source),) = one.all_heard()
        assert (answer, source[0]) == (TIME, host)
        assert source[1] != one.address[1]


def test_drop_log_line() -> None:
    """A datagram whose answer is dropped does not count as answered in the log."""
    sender = SourceAddress(("192.0.2.1", 2000))
    Bench("drop").protocol.respond(b"", TIME, sender)
    assert sender.reply_failed


def test_delay_and_jitter() -> None:
    """With a jitter the delays differ, and a seed repeats them."""

    def arrivals() -> list[int]:
        with bench("delay:delay=0.1,jitter=0.05,seed=7") as one:
            one.ask(*[b"x"] * 20)
            return [len(one.advance(0.01)) for _ in range(16)]

    first = arrivals()
    assert sum(first[:4]) == 0
    assert sum(first) == 20
    assert len([each for each in first if each]) > 3
    assert arrivals() == first


def test_reorder() -> None:
    """Of each two answers the second is sent first, so that the time seems to run backward."""
    with bench("reorder:delay=5") as one:
        got = []
        for _ in range(5):
            got += one.ask(b"x")
            got += one.advance(1)
        assert got == times(1, 0, 3, 2)
        assert one.advance(4) == times(4), "the last one is sent when its time is over"
        assert one.ask(b"x") == []


def test_reorder_for_each_client() -> None:
    """The next answer to another client does not count."""
    with bench("reorder") as one, client() as other:
        assert one.ask(b"x") == []
        other.sendto(b"x", one.address)
        one.port.doRead()
        assert one.heard() == []
        assert one.ask(b"x") == [TIME] * 2


def test_probability_and_seed() -> None:
    """A share of the datagrams is dropped. The same seed drops the same ones."""

    def answered() -> list[int]:
        with bench("drop:probability=0.5,seed=3") as one:
            return [len(one.ask(b"x")) for _ in range(100)]

    first = answered()
    assert 30 < sum(first) < 70
    assert answered() == first


@pytest.mark.parametrize("text", ["delay:delay=3600", "reorder:delay=3600"])
def test_held_answers_are_bounded(text: str) -> None:
    """A flood does not grow what is held back: further datagrams are not answered, and counted."""
    with bench(text) as one:
        for number in range(MAX_HELD + 50):
            one.protocol.datagramReceived(b"x", SourceAddress(("127.0.0.1", 1024 + number)))
        assert len(one.clock.getDelayedCalls()) == MAX_HELD
        assert one.port.errors == {"too many answers held back": 50}
        if text.startswith("reorder"):
            assert len(one.protocol._behavior._release) == MAX_HELD  # type: ignore[attr-defined]
        assert one.heard() == []


def test_held_answers_are_forgotten_at_the_end() -> None:
    """Closing the port cancels what is held back. Another behavior does not."""
    with bench("delay:delay=5") as one:
        assert one.ask(b"x", b"y") == []
        one.protocol.set_behavior(behavior("drop"))
        assert one.ask(b"z") == []
        assert one.advance(5) == [TIME] * 2
        one.protocol.set_behavior(behavior("delay:delay=5"))
        one.ask(b"x")
    assert one.clock.getDelayedCalls() == []


def test_copies_count_for_the_rate_limit() -> None:
    """A source gets no more answers than the rate limit allows, copies included."""
    with bench("duplicate:copies=10", rate=25) as one:
        got = one.ask(*[b"x"] * 10)
        assert len(got) <= 25 + 25, "the first second is exempt until all sources have exceeded the rate"
        one.advance(1)
        assert len(one.ask(*[b"x"] * 100)) <= 25
        assert one.counters.refused_rate_limit > 0


def sent_to(text: str, datagram: bytes, host: str = "192.0.2.1") -> list[bytes]:
    """Return the answers to a datagram from a host elsewhere."""
    sent: list[bytes] = []
    one = Bench(text)

    class Port:
        """Record the datagrams to send."""

        def write(self, answer: bytes, _addr: object) -> None:
            sent.append(answer)

        def asked_address(self, _addr: object) -> str:
            return "198.51.100.1:12345"

    one.protocol.transport = Port()  # type: ignore[assignment]
    sender = SourceAddress((host, 40_000))
    sender.size = len(datagram)
    one.protocol.datagramReceived(datagram, sender)
    return sent


@pytest.mark.parametrize("size", [0, 4, 100, 1000])
@pytest.mark.parametrize("text", EFFECTS)
def test_no_amplifier(text: str, size: int) -> None:
    """Another host gets little more than it has sent: a few bytes that an Ethernet frame has anyway, or one copy."""
    for line in ("", f"{text}\n"):
        datagram = line.encode().ljust(size, b"x")
        answers = sent_to("client" if line else text, datagram)
        assert all(len(each) <= len(datagram) + MAX_GROWTH for each in answers)
        headers = 28
        assert sum(headers + len(each) for each in answers) <= headers + len(datagram) + headers + 2 * len(TIME)


def test_extend_to_another_host() -> None:
    """An answer to an address that is not loopback is at most 16 bytes longer than the datagram."""

    def sizes() -> list[int]:
        with bench("extend:size=1000", "0.0.0.0", "10.9.0.1") as one, client(host="10.9.0.1") as one.sock:
            return [len(answer) for size in (0, 4, 100, 990) for answer in one.ask(bytes(size))]

    assert in_namespace(sizes) == [16, 20, 116, 1000]


def test_report() -> None:
    """A report has peer, server, TTL, TOS and size; a short datagram is answered by the time."""
    with bench("report", "0.0.0.0", "127.0.0.2") as one:
        one.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 7)
        one.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x28)
        (line,) = one.ask(bytes(300))
        assert line.endswith(b"}\n")
        host, port = one.sock.getsockname()
        assert json.loads(line) == {
            "peer": f"{host}:{port}",
            "server": f"127.0.0.2:{one.address[1]}",
            "ttl": 7,
            "tos": 0x28,
            "size": 300,
        }
        assert one.ask(bytes(len(line))) == [line.replace(b"300", b"%d " % len(line)).replace(b" }", b"}")]
        assert one.ask(bytes(50)) == [TIME]


@pytest.mark.parametrize(("interface", "host"), ADDRESSES)
def test_report_of_addresses(interface: str, host: str) -> None:
    """A report names the addresses of each IP version, an IPv4 client on an IPv6 socket included."""
    with bench("client", interface, host) as one:
        report = json.loads(one.ask(b"report\n".ljust(300))[0])
        own, port = one.sock.getsockname()[:2]
        assert report["peer"] == (f"[{own}]:{port}" if ":" in own else f"{own}:{port}")
        assert report["server"] == (f"[{host}]:{one.address[1]}" if ":" in host else f"{host}:{one.address[1]}")
        assert isinstance(report["ttl"], int)
        assert report["tos"] == 0


CHOSEN = {
    b"drop\n": [],
    b"drop\r\n": [],
    b"duplicate:copies=3\nrest": [TIME] * 3,
    b"truncate:size=3\n": [TIME[:3]],
    b"wrong\n": [TIME],
    b"drop": [TIME],
    b"\n": [TIME],
    b"drop:\xff\n": [b"error: drop"],
    b"drop:size=3\n": [b"error: drop "],
    b"client\n": [TIME],
    b" drop\n": [TIME],
    b"drop" + b" " * 300 + b"\n": [TIME],
}


@pytest.mark.parametrize("datagram", CHOSEN)
def test_client_chooses(datagram: bytes) -> None:
    """The first line names a behavior. A faulty one is answered by the reason, other datagrams as usual."""
    with bench("client") as one:
        got = one.ask(datagram)
        if datagram.startswith(b"drop:"):
            assert got[0].startswith(b"error: ")
            assert len(got[0]) <= len(datagram)
        else:
            assert got == CHOSEN[datagram]
        assert one.ask(b"") == [TIME], "the next datagram is independent"


def test_client_reads_why_a_line_is_faulty() -> None:
    """A padded datagram leaves space for the whole reason."""
    with bench("client") as one:
        (got,) = one.ask(b"truncate:size=9\n".ljust(300))
        assert got == b"error: size=9: must be a whole number from 0 to 3\n"


def test_client_choice_is_remembered() -> None:
    """The same line of the same client continues: a seed does not draw the same number for each datagram."""
    with bench("client") as one, client() as other:
        line = b"drop:probability=0.5,seed=3\n"
        first = [len(one.ask(line)) for _ in range(20)]
        assert 0 < sum(first) < 20
        one.sock, same = other, one.sock
        assert [len(one.ask(line)) for _ in range(20)] == first, "another client has its own numbers"
        one.sock = same
        assert one.ask(b"reorder\n", b"reorder\n") == [TIME] * 2


def test_client_choices_are_bounded() -> None:
    """Clients cannot grow what is remembered."""
    with bench("client") as one:
        for number in range(1000):
            one.ask(b"drop:seed=%d\n" % number)
        assert len(one.protocol._behavior._chosen) == 256  # type: ignore[attr-defined]


LOOPS = [text for text in EFFECTS if text not in ("drop", "reorder")] + ["reorder:delay=0"]


@pytest.mark.parametrize("mine", LOOPS)
@pytest.mark.parametrize("other", LOOPS)
def test_loops_end(mine: str, other: str) -> None:
    """Two listeners of any kinds, made to answer each other by one forged datagram, stop."""
    with bench(mine) as one, bench(other) as two:
        one.port.socket.sendto(bytes(400), two.address)
        handled = -1
        for _ in range(20):
            before, handled = handled, one.counters.datagrams_handled + two.counters.datagrams_handled
            if before == handled:
                return
            for each in (one, two):
                each.port.doRead()
                each.clock.advance(1.5)
        raise AssertionError(f"the loop goes on after {handled} datagrams")


@pytest.mark.parametrize("text", LOOPS)
def test_loop_with_an_echo_server(text: str) -> None:
    """An echo server that gets an answer sends it back, and that ends, too."""
    with bench(text) as one:
        got, rounds = one.ask(bytes(400)) + one.advance(2), 0
        while got:
            rounds += 1
            got = one.ask(got[0]) + one.advance(2)
        assert rounds == 1 + MAX_ANSWERED


@pytest.mark.parametrize(
    "text",
    [
        "truncate:size=4",
        "extend:size=4",
        "extend:size=65508",
        "duplicate:copies=1",
        "duplicate:copies=11",
        "delay:delay=-1",
        "drop:probability=1.5",
    ],
)
def test_faulty_parameters(text: str) -> None:
    """A value beyond its range is rejected by name."""
    with pytest.raises(ValueError, match=text.partition(":")[2].partition("=")[0]):
        behavior(text)


LINES = st.builds(
    lambda kind, parameters, end, rest: f"{kind}:{parameters}{end}".encode("utf-8", "surrogateescape") + rest,
    st.sampled_from([*UDP_KINDS, "wrong-source-port", "echo", ""]),
    st.lists(
        st.builds(
            "{}={}".format,
            st.sampled_from(["delay", "jitter", "size", "copies", "probability", "seed", "id", ""]),
            st.sampled_from(["0", "1", "2", "0.5", "-1", "1e400", "9" * 400, "nan", "\u0661", ""]),
        )
    ).map(",".join),
    st.sampled_from(["\n", "", "\r\n", "\0\n"]),
    st.binary(max_size=300),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=300) | LINES, max_size=5))
def test_any_datagrams(datagrams: list[bytes]) -> None:
    """Whatever clients send, nothing fails, no answer is much longer, and few answers are sent."""
    with bench("client") as one:
        one.port._call_protocol = lambda method, *arguments: method(*arguments)  # lets exceptions pass
        for each in datagrams:
            one.sock.sendto(each, one.address)
            one.port.doRead()
            answers = [answer for answer, _source in one.all_heard()]
            assert all(len(answer) <= len(each) + MAX_GROWTH for answer in answers)
            assert len(answers) <= 10
        one.clock.advance(3600 * 2)
        assert not one.clock.getDelayedCalls()
        assert one.port.errors == {}
