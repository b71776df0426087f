"""Test what `echotime path` makes of observations of TCP: pure functions, without a network."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from echotime.client.exit_status import ClientError
from echotime.client.path.outcome import FarEnd, Finding, Outcome, duration
from echotime.client.path.route import parse_report
from echotime.client.path.session import confirm
from echotime.client.path.tcp import (
    address,
    data,
    half_close,
    idle,
    late_reply,
    reset_to_client,
    reset_to_server,
    syn,
    timing,
)
from echotime.client.path.tcp.served import judge_answers, judge_part, judge_unserved
from echotime.wire.hostport import HostPort
from echotime.wire.syn import Syn, parse_syn
from echotime.wire.verify import Cause, VerifyResult

ROOT = Path(__file__).parents[2]
OWN, ASKED = HostPort("10.9.0.2", 40000), HostPort("10.9.0.1", 7001)
REPORT = b'{"echotime": "1.0", "peer": "10.9.0.2:40000", "server": "10.9.0.1:7001", "via": ""}\n'
ACK = b"\nI get it!\n"
SYN = Syn(0xB8, 64, 1460, frozenset({"MSS", "SACK", "timestamps", "window scale"}), asks_ecn=False)


def ids(outcome: Outcome) -> list[str]:
    """Return the names of the findings, and assert that an outcome without any says what was seen, or why not."""
    assert outcome.findings or outcome.seen or outcome.untested or outcome.unconfirmed
    return [each.id for each in outcome.findings]


@pytest.mark.parametrize(
    ("short", "long", "found"),
    [
        ((16, 27, 0, "FIN", 0.001), (1000, 2000, 0, "FIN", 0.1), []),
        ((16, 0, 27, "FIN", 0.001), None, ["half-close-cut"]),
        ((16, 0, 27, None, 3.0), None, ["half-close-cut"]),
        ((16, 27, 0, "RST", 0.001), None, ["half-close-cut"]),
        ((16, 27, 0, None, 3.0), None, ["half-close-lost"]),
        ((16, 27, 0, "FIN", 0.001), (1000, 10, 1990, "FIN", 0.001), ["half-close-cut"]),
        # wrong bytes are the subject of another test
        ((16, 99, 0, "FIN", 0.001), (1000, 2000, 0, "FIN", 0.1), []),
    ],
)
def test_half_close(
    short: tuple[int, int, int, str | None, float],
    long: tuple[int, int, int, str | None, float] | None,
    found: list[str],
) -> None:
    """An answer that is cut, or no FIN, is a finding."""
    observed = [half_close.HalfClose(*each) for each in (short, long) if each is not None]
    assert ids(half_close.judge(observed)) == found


def test_slow_answers() -> None:
    """An answer that still comes when the time has passed is not cut."""
    slow = half_close.HalfClose(1000, 10, 1990, None, 8.0, was_slow=True)
    assert ids(half_close.judge([half_close.HalfClose(16, 27, 0, "FIN", 0.001), slow])) == []
    assert half_close.judge([slow]).untested
    cut = VerifyResult(90, lost=10, missing=10, cause=Cause.CUT)
    assert ids(data.judge(data.DataEcho(100, 90, cut, None, 8.0, was_slow=True))) == []


@pytest.mark.parametrize(
    ("observed", "found"),
    [
        ((True, 1.5, None, 0.0), []),
        ((True, 2.9, "FIN", 2.9), []),
        ((True, None, "FIN", 0.1), ["late-reply-lost"]),
        ((True, None, "RST", 0.1), ["late-reply-lost"]),
        ((True, None, None, 0.0), ["late-reply-lost"]),
        ((True, 0.01, "FIN", 0.1), []),
        ((False, None, "FIN", 0.1), []),
    ],
)
def test_late_reply(observed: tuple[bool, float | None, str | None, float], found: list[str]) -> None:
    """A reply that does not come is a finding, unless the server never delayed one."""
    assert ids(late_reply.judge(late_reply.LateReply(*observed))) == found


def test_resets() -> None:
    """A RST that arrives as something else is a finding, an end by the server itself is none."""
    assert ids(reset_to_client.judge("RST", 0.1)) == []
    assert ids(reset_to_client.judge("FIN", 0.1)) == ["reset-to-client-as-fin"]
    assert ids(reset_to_client.judge(None, 3.0)) == ["reset-to-client-lost"]
    assert reset_to_client.judge("EHOSTUNREACH", 0.1).untested
    assert ids(reset_to_server.judge("client's reset", 0.1)) == []
    assert ids(reset_to_server.judge("client", 0.1)) == ["reset-to-server-as-fin"]
    assert ids(reset_to_server.judge(None, 3.1)) == ["reset-to-server-lost"]
    assert reset_to_server.judge("idle timeout", 0.1).untested


def test_data() -> None:
    """Wrong bytes and missing ones are different findings."""

    def judged(result: VerifyResult, end: str | None = None) -> list[str]:
        return ids(data.judge(data.DataEcho(100, 90, result, end, 0.1)))

    assert judged(VerifyResult(None)) == []
    assert judged(VerifyResult(90, lost=10, missing=10, cause=Cause.CUT), "FIN") == ["data-cut"]
    assert judged(VerifyResult(90, lost=10, missing=10, cause=Cause.CUT)) == ["data-cut"]
    assert judged(VerifyResult(50, expected=b"\x00", found=b"\n")) == ["data-changed"]
    # the echo goes on where a trailer was expected, so nothing is cut
    assert judged(VerifyResult(50, expected=b"\n", found=b"x", cause=Cause.NO_TRAILER)) == ["data-changed"]


@pytest.mark.parametrize(
    ("connections", "found"),
    [
        ([(None, 5.0, True), (None, 5.0, True)], []),
        ([("FIN", 2.0, False), (None, 5.0, True)], []),
        ([("FIN", 2.0, False), ("FIN", 2.0, False)], ["idle-closed"]),
        ([("FIN", 2.0, False, "client"), ("RST", 2.0, False, "client's reset")], ["idle-closed"]),
        ([("FIN", 2.0, False, "idle timeout"), ("FIN", 2.0, False, "idle timeout")], []),
        ([(None, 5.0, False), (None, 5.0, False)], ["idle-dropped"]),
        ([(None, 5.0, False), ("RST", 2.0, False)], ["idle-dropped"]),
    ],
)
def test_idle(connections: list[tuple[str | None, float, bool]], found: list[str]) -> None:
    """Both connections must fail, and not because of the server's own timeout."""
    assert ids(idle.judge([idle.IdleConnection(*each) for each in connections])) == found


def lumps(count: int, size: int, gap: float) -> list[tuple[float, int]]:
    """Return arrivals of so many bytes each, at so many seconds from each other."""
    return [(number * gap, size) for number in range(count)]


@pytest.mark.parametrize(
    ("arrivals", "lateness", "found"),
    [
        (lumps(51, 1, 0.01), [0.0], []),
        (lumps(13, 4, 0.04), [0.001], ["data-in-lumps"]),
        (lumps(4, 20, 0.2), [0.001], ["data-in-lumps"]),
        # a host that was late says nothing
        (lumps(13, 4, 0.04), [0.001, 0.03], []),
        (lumps(13, 4, 0.04), [], []),
        # single bytes that come slowly: the server was late
        (lumps(51, 1, 0.04), [0.001], []),
        # one pause, as a busy network makes
        ([*lumps(30, 1, 0.01), (0.5, 20)], [0.001], []),
        (lumps(1, 51, 0.0), [0.001], []),
        (lumps(5, 4, 0.04), [0.001], []),
    ],
)
def test_timing(arrivals: list[tuple[float, int]], lateness: list[float], found: list[str]) -> None:
    """Only lumps throughout are a finding."""
    assert ids(timing.judge(arrivals, lateness)) == found


def test_arrivals_are_merged() -> None:
    """Reads that follow at once are one arrival."""
    assert timing.merge([(1.0, 2), (1.0005, 3), (1.04, 1)]) == [(1.0, 5), (1.04, 1)]


@pytest.mark.parametrize(
    ("report", "found"),
    [
        ({"peer": "10.9.0.2:40000", "server": "10.9.0.1:7001", "via": ""}, []),
        ({"peer": "10.9.0.2:1", "server": "10.9.0.1:7001"}, ["client-port-translated"]),
        ({"peer": "192.0.2.1:40000", "server": "10.9.0.1:7001"}, ["client-address-translated"]),
        ({"peer": "10.9.0.2:40000", "server": "10.9.0.1:8000"}, ["server-address-translated"]),
        ({"peer": "10.9.0.2:40000", "server": "10.9.0.1:7001", "via": "10.9.0.3:5"}, ["via-proxy"]),
    ],
)
def test_addresses(report: dict[str, str], found: list[str]) -> None:
    """Each end that the server sees differently is a finding."""
    assert ids(address.judge(OWN, ASKED, report)) == found


def test_link_local_addresses() -> None:
    """The interface of a link-local address has other names at each end."""
    report = {"peer": "[fe80::2]:40000", "server": "[fe80::1]:7001"}
    assert ids(address.judge(HostPort("fe80::2%there", 40000), HostPort("fe80::1%there", 7001), report)) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"ttl": 60}, []),
        ({"ttl": 128}, ["syn-ttl-changed"]),
        ({"mss": 1360}, ["syn-mss-clamped"]),
        ({"mss": 8960}, ["syn-mss-raised"]),
        ({"tos": 0}, ["syn-dscp-changed"]),
        ({"asks_ecn": True}, []),
        ({"options": SYN.options - {"SACK", "timestamps"}}, ["syn-option-removed"] * 2),
        ({"options": SYN.options | {"option 76"}}, ["syn-option-added"]),
    ],
)
def test_syn(changes: dict[str, object], found: list[str]) -> None:
    """A router may lower the TTL, and nothing else."""
    arrived = Syn(**{**SYN.__dict__, **changes})
    outcome = syn.judge([syn.SynPair("TCP", SYN, arrived), syn.SynPair("TCP", SYN, arrived)])
    assert ids(outcome) == found


def test_ecn() -> None:
    """A request for ECN may not get lost."""
    asking = Syn(**{**SYN.__dict__, "asks_ecn": True})
    assert ids(syn.judge([syn.SynPair("TCP", asking, asking)])) == []
    assert ids(syn.judge([syn.SynPair("TCP", asking, SYN)])) == ["syn-ecn-removed"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_syn_of_this_host(host: str) -> None:
    """A listener of this host's own shows the SYN of a socket, its DSCP and a Fast Open request included."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for kind in syn.KINDS[:2]:
        try:
            sent = syn.syn_of_this_host(family, kind.protocol, kind.prepare)
        except OSError as error:
            pytest.skip(f"{host}: {error.strerror}")
        assert (sent.dscp, sent.ttl > 0, "MSS" in sent.options) == (46 if kind.name == "TCP" else 0, True, True)
        assert ("Fast Open" in sent.options) is (kind.name == "Fast Open")


def ipv4_syn(options: bytes, flags: int = 2) -> bytes:
    """Return an IPv4 packet with a SYN."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0xB8, 40 + len(options), 0, 0, 61, 6, 0, b"\x0a\x09\0\2", b"\x0a\x09\0\1")
    tcp = struct.pack("!HHIIBBHHH", 40000, 7001, 1, 0, (20 + len(options)) << 2, flags, 65535, 0, 0)
    return ip + tcp + options


def test_parse_syn() -> None:
    """Options are named, padding is passed over, and what follows the end is not read."""
    packet = ipv4_syn(b"\x02\x04\x05\xb4\x01\x03\x03\x07\xfe\x04\xf9\x89\x4c\x02\x00\x08", 0xC2)
    names = frozenset({"MSS", "window scale", "Fast Open", "option 76"})
    assert parse_syn(packet) == Syn(0xB8, 61, 1460, names, asks_ecn=True)
    ipv6 = struct.pack("!IHBB", 0x6B800000, 0, 6, 63) + bytes(32) + packet[20:]
    assert parse_syn(ipv6) == Syn(0xB8, 63, 1460, names, asks_ecn=True)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        b"\x95" + bytes(60),
        ipv4_syn(b"\x02\x01\0\0"),
        ipv4_syn(b"\x02\x03\x01\x00"),
        ipv4_syn(b"\x01\x01\x01\x02"),
    ],
)
def test_malformed_syn(packet: bytes) -> None:
    """A server may send anything, so a malformed SYN is a ValueError."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_syn(packet)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([REPORT + b"TOKEN" + ACK] * 2, ("1.0", ACK)),
        ([REPORT + b"TOKEN"] * 2, ("1.0", b"")),
        ([REPORT + b"TOKEN1", REPORT + b"TOKEN2"], ("1.0", None)),
        ([b"report\n" + ACK + b"TOKEN" + ACK] * 2, ("", ACK)),
        ([b"report\nTOKEN"] * 2, ("", b"")),
        ([b"report\n1TOKEN2", b"report\n3TOKEN4"], ("", None)),
        # two servers behind one address
        ([REPORT + b"TOKEN" + ACK, b"report\n" + ACK + b"TOKEN" + ACK], ("", ACK)),
    ],
)
def test_identity(answers: list[bytes], expected: tuple[str, bytes | None]) -> None:
    """The first answers tell what follows each echo, and if the server takes requests."""
    found = judge_answers(answers, b"TOKEN", OWN)
    assert (found.version, found.trailer) == expected
    assert isinstance(found, FarEnd)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\n", REPORT, b"report\nother", b""])
def test_no_echo_server(answer: bytes) -> None:
    """Another server is an error, with what it sent."""
    with pytest.raises(ClientError, match="not an echo server"):
        judge_answers([answer, answer], b"TOKEN", OWN)


@pytest.mark.parametrize(
    "line", [b"", b"1", b"null", b"{}", b"[" * 100_000, b'{"echotime": "1"}', b"\xff", REPORT.replace(b"peer", b"per")]
)
def test_no_report(line: bytes) -> None:
    """A line of a server may be anything."""
    assert parse_report(line, "echotime") is None
    assert parse_report(REPORT, "echotime")


def test_unserved() -> None:
    """A connection that nothing answers is a finding, however it ended."""
    for end in (None, "FIN", "RST"):
        assert ids(judge_unserved(end, 3.0)) == ["accept-only"]


@pytest.mark.parametrize(
    ("received", "end", "found"),
    [
        (b"report\nTOK", "FIN", "data-cut"),
        (b"repo", "RST", "data-cut"),
        (b"report\n", None, "echo-incomplete"),
        # an operator has not replied
        (b"report\n" + ACK, None, "echo-incomplete"),
        (b"report\n" + ACK, "FIN", "data-cut"),
        (b"SSH-2.0-x\n", None, None),
        (REPORT, None, None),
        (b"report\n" + b"x" * 1000, "too much data", None),
    ],
)
def test_incomplete_echo(received: bytes, end: str | None, found: str | None) -> None:
    """A part of what was sent is a cut or late echo. Other bytes are of another server."""
    outcome = judge_part(received, b"report\nTOKEN", end)
    assert (None if outcome is None else ids(outcome)) == (None if found is None else [found])


def test_durations() -> None:
    """Durations have milliseconds below a second."""
    assert [duration(each) for each in (0.0256, 3.003)] == ["25.6 ms", "3.0 s"]
    assert "FIN after 3.0 s" in judge_unserved("FIN", 3.003).findings[0].seen
    echo = data.DataEcho(100, 100, VerifyResult(None), None, 0.02)
    assert data.judge(echo).seen == "100 bytes unchanged in 20.0 ms"


def test_confirmation() -> None:
    """A finding counts if two of three runs have it; one that came once is mentioned and is none."""
    one, other = Finding("data-cut", "cut"), Finding("data-changed", "changed")
    found, nothing, both = Outcome(findings=(one,)), Outcome("fine"), Outcome(findings=(one, other))
    assert ids(confirm("x", [nothing]).outcome) == []
    assert ids(confirm("x", [found]).outcome) == ["data-cut"]
    assert ids(confirm("x", [found, nothing, nothing]).outcome) == []
    once = confirm("x", [found, nothing, nothing]).outcome
    assert "cut" in once.unconfirmed
    assert not once.seen
    result = confirm("x", [nothing, both, found])
    assert ids(result.outcome) == ["data-cut"]
    assert (result.times["data-cut"], result.runs) == (2, 3)
    assert ids(confirm("x", [Outcome(findings=(other, one)), both, both]).outcome) == ["data-changed", "data-cut"]
