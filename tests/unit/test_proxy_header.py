"""Test wire/proxy_header.py: headers of the PROXY protocol, valid and invalid, in any pieces."""

from __future__ import annotations

import re
import socket
import struct
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from proxyprotocol import ProxyProtocol
from proxyprotocol.result import is_ipv4, is_ipv6
from proxyprotocol.v1 import ProxyProtocolV1
from proxyprotocol.v2 import ProxyProtocolV2

from echotime.wire.hostport import HostPort
from echotime.wire.proxy_header import (
    ProxyHeader,
    ProxyHeaderFault,
    ProxyHeaderParser,
    make_local,
    make_v1,
    make_v2,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST = 16 + 16384
NONE = ProxyHeader(None, None)
V4 = ProxyHeader(HostPort("192.0.2.7", 4711), HostPort("198.51.100.1", 443))
V6 = ProxyHeader(HostPort("2001:db8::7", 4711), HostPort("2001:db8::1", 443))
V4_BODY = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + struct.pack("!HH", 4711, 443)
V6_BODY = bytes.fromhex("20010db8" + 23 * "0" + "7" + "20010db8" + 23 * "0" + "1") + struct.pack("!HH", 4711, 443)
TLV = b"\x04\0\x03abc"

PORTS = st.integers(0, 65535)
IPV4_ENDS = st.builds(HostPort, st.ip_addresses(v=4).map(str), PORTS)
IPV6_ENDS = st.builds(
    HostPort, st.ip_addresses(v=6).map(lambda each: socket.inet_ntop(socket.AF_INET6, each.packed)), PORTS
)
LONGEST_END = HostPort(":".join(8 * ["ffff"]), 65535)
ENDS = st.tuples(IPV4_ENDS, IPV4_ENDS) | st.tuples(IPV6_ENDS, IPV6_ENDS)


def v2(body: bytes, *, command: int = 0x21, family: int = 0x11, size: int | None = None) -> bytes:
    """Return a header of version 2 with any of its fields as given."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(body) if size is None else size) + body


def parse(*pieces: bytes) -> tuple[ProxyHeader | str | None, bytes]:
    """Return the header, the fault or None, and the bytes that follow, those of later pieces included."""
    parser = ProxyHeaderParser()
    for number, piece in enumerate(pieces):
        try:
            header = parser.feed(piece)
        except ProxyHeaderFault as fault:
            return f"{fault} (missing: {fault.missing})", b""
        if header is not None:
            return header, parser.rest + b"".join(pieces[number + 1 :])
        assert sum(map(len, pieces[: number + 1])) < LONGEST
        assert parser.rest == b""
    return None, b""


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", V4),
        (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", (("0.0.0.0", 0), ("255.255.255.255", 65535))),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", V6),
        (b"PROXY TCP6 2001:0DB8:0:0::0007 2001:db8::1 4711 443\r\n", V6),
        (
            b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:c633:6401 1 2\r\n",
            (("::ffff:192.0.2.7", 1), ("::ffff:198.51.100.1", 2)),
        ),
        (b"PROXY UNKNOWN\r\n", NONE),
        (b"PROXY UNKNOWN \0\r \xff anything 1 2\r\n", NONE),
        (b"PROXY UNKNOWN " + 91 * b"x" + b"\r\n", NONE),
        (v2(V4_BODY), V4),
        (v2(V4_BODY + TLV), V4),
        (v2(V4_BODY + b"\x04\xff\xffbroken"), V4),
        (v2(V4_BODY + bytes(16384 - 12)), V4),
        (v2(V6_BODY, family=0x21), V6),
        (make_local(), NONE),
        (v2(TLV, command=0x20, family=0x00), NONE),
        (v2(V4_BODY, command=0x20), NONE),
        (v2(b"x", command=0x20, family=0xFF), NONE),
        (v2(b"", family=0x00), NONE),
        (v2(b"short", family=0x31), NONE),
        (v2(bytes(216) + TLV, family=0x31), NONE),
    ],
)
def test_valid(data: bytes, header: ProxyHeader) -> None:
    """A valid header gives its addresses, in the form that the kernel's addresses have, and the bytes after it."""
    assert parse(data + b"PROXY hello") == (header, b"PROXY hello")
    for size in range(0, len(data), 1 + len(data) // 300):
        assert parse(data[:size]) == (None, b"")


@pytest.mark.parametrize(
    "data", [b"x", b"\n", b"p", b"PROXY\r", b"PROXY" + SIGNATURE, b"PROX\0", b"\r\n\r\n\r", SIGNATURE[:11] + b"\r"]
)
def test_missing(data: bytes) -> None:
    """The first byte that cannot begin a header decides that there is none."""
    first = next(size for size in range(len(data) + 1) if parse(data[:size])[0] is not None)
    assert parse(data[: first - 1]) == (None, b"")
    for size in range(first, len(data) + 1):
        assert parse(data[:size]) == ("no PROXY header (missing: True)", b"")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"PROXY \r\n", "is not PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT"),
        (b"PROXY UNKNOWN\n", "is not PROXY"),
        (b"PROXY UNKNOWNS\r\n", "is not PROXY"),
        (b"PROXY TCP4\r\n", "is not PROXY"),
        (b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "is not PROXY"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "is not PROXY"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "is not PROXY"),
        (b"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", "is not PROXY"),
        (b"PROXY TCP4\t1.2.3.4 1.2.3.4 1 2\r\n", "is not PROXY"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "is not PROXY"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "is not PROXY"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", "is not PROXY"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 123456\r\n", "is not PROXY"),
        (b"PROXY TCP4 1.2.3.4 1.2.3\0.4 1 2\r\n", "is not PROXY"),
        (b"PROXY TCP6 fe80::1%lo ::1 1 2\r\n", "is not PROXY"),
        (b"PROXY TCP4 localhost 1.2.3.4 1 2\r\n", "is not PROXY"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "port above 65535"),
        (b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", "invalid IPv4 address"),
        (b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", "invalid IPv4 address"),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", "invalid IPv4 address"),
        (b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "invalid IPv6 address"),
        (b"PROXY TCP6 1::2::3 ::1 1 2\r\n", "invalid IPv6 address"),
        (b"PROXY UNKNOWN " + 92 * b"x" + b"\r\n", "without CRLF in 107 bytes"),
        (b"PROXY " + 200 * b"x", "without CRLF in 107 bytes"),
    ],
)
def test_malformed_line(line: bytes, fault: str) -> None:
    """A fault in a line is named, without a byte of it, as soon as the line ends or is too long."""
    text, rest = parse(line)
    assert (fault in str(text), rest) == (True, b""), text
    assert str(text).endswith("(missing: False)")


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (v2(V4_BODY, command=0x11), "version 1"),
        (v2(V4_BODY, command=0x31), "version 3"),
        (v2(V4_BODY, command=0x22), "unknown command 2"),
        (v2(V4_BODY, family=0x12), "for datagrams on a TCP connection"),
        (v2(V4_BODY, family=0x32), "for datagrams on a TCP connection"),
        (v2(V4_BODY, family=0x02), "for datagrams on a TCP connection"),
        (v2(V4_BODY, family=0x41), "unknown family and protocol 0x41"),
        (v2(V4_BODY, family=0x10), "unknown family and protocol 0x10"),
        (v2(V4_BODY, family=0x03), "unknown family and protocol 0x03"),
        (v2(V4_BODY[:-1]), "body of 11 bytes, shorter than its addresses"),
        (v2(bytes(35), family=0x21), "body of 35 bytes, shorter than its addresses"),
        (v2(b"", size=16385), "body of 16385 bytes, more than 16384"),
        (v2(b"", size=16385, command=0x20), "body of 16385 bytes, more than 16384"),
    ],
)
def test_malformed_v2(data: bytes, fault: str) -> None:
    """A fault in the 16 fixed bytes is reported before the body arrives."""
    text, _rest = parse(data[:16])
    assert fault in str(text)
    assert str(text).endswith("(missing: False)")
    assert parse(data[:15]) == (None, b"")


@given(ENDS)
@example((LONGEST_END, LONGEST_END))
def test_back(ends: tuple[HostPort, HostPort]) -> None:
    """A made header parses to the same addresses, by the oracle, too."""
    for make, oracle in ((make_v1, ProxyProtocolV1()), (make_v2, ProxyProtocolV2())):
        data = make(*ends)
        assert parse(data + b"rest") == (ProxyHeader(*ends), b"rest")
        assert by_oracle(oracle, data) == ProxyHeader(*ends)


def test_back_interface() -> None:
    """The interface of a link-local address has no place in a header."""
    ends = HostPort("fe80::1%lo", 1), HostPort("fe80::2%1", 2)
    for make in (make_v1, make_v2):
        assert parse(make(*ends)) == ((("fe80::1", 1), ("fe80::2", 2)), b"")


@pytest.mark.parametrize(("source", "destination"), [("::1", "127.0.0.1"), ("127.0.0.1", "::1"), ("localhost", "::1")])
def test_not_makeable(source: str, destination: str) -> None:
    """The ends of a made header are numeric addresses of one family."""
    for make in (make_v1, make_v2):
        with pytest.raises(ValueError, match="numeric addresses of one family"):
            make(HostPort(source, 1), HostPort(destination, 2))


def mutate(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Return the bytes with pieces of them replaced."""
    for at, length, piece in changes:
        start = at % (len(data) + 1)
        data = data[:start] + piece + data[start + length :]
    return data


FAMILY_WORDS = st.sampled_from([b"TCP4", b"TCP6", b"UNKNOWN", b"UNIX", b""])
HOSTS = st.sampled_from([b"::1", b"::ffff:1.2.3.4", b"1.2.3.4", b"10.0.0.1", b"1.2.3.04", b"fe80::1%lo", b"\xff", b"x"])
PORT_WORDS = st.sampled_from([b"0", b"443", b"65535", b"65536", b"01", b"+1", b"1_0", b"\t1", b"1 2", 70 * b"0"])
LINES = st.tuples(FAMILY_WORDS, HOSTS, HOSTS, PORT_WORDS, PORT_WORDS).map(
    lambda words: b"PROXY %b %b %b %b %b\r\n" % words
)
BODIES = st.binary(max_size=60) | st.just(V4_BODY + TLV) | st.just(bytes(216)) | st.just(bytes(16385))
V2_HEADERS = st.builds(
    lambda body, command, family: v2(body, command=command, family=family),
    BODIES,
    st.sampled_from([0x20, 0x21, 0x21, 0x21, 0x22, 0x11]),
    st.sampled_from([0x00, 0x01, 0x10, 0x11, 0x11, 0x12, 0x21, 0x21, 0x31, 0x41, 0xFF]),
)
MADE = st.builds(lambda make, ends: make(*ends), st.sampled_from([make_v1, make_v2]), ENDS)
CHANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3), st.binary(max_size=3)), max_size=3)
INPUTS = st.builds(mutate, LINES | V2_HEADERS | MADE, CHANGES) | st.binary(max_size=300)


@given(INPUTS, st.binary(max_size=20), st.lists(st.integers(0, 400), max_size=5))
def test_pieces(data: bytes, rest: bytes, cuts: list[int]) -> None:
    """Any input raises ProxyHeaderFault alone, and gives the same result whole, in pieces and byte by byte."""
    data += rest
    whole = parse(data)
    at = [0, *sorted(cuts), len(data)]
    assert parse(*(data[start:end] for start, end in pairwise(at))) == whole
    assert parse(*(bytes([each]) for each in data)) == whole


def by_oracle(oracle: ProxyProtocol, data: bytes) -> ProxyHeader | str:
    """Return the header that the package proxy-protocol reads, or the name of what it raises."""
    try:
        result = oracle.unpack(data)
    except Exception as error:  # it lets struct.error and others through
        return type(error).__name__
    if not (is_ipv4(result) or is_ipv6(result)):
        return NONE
    family = socket.AF_INET if is_ipv4(result) else socket.AF_INET6
    source, destination = (
        HostPort(socket.inet_ntop(family, address.packed), port) for address, port in (result.source, result.dest)
    )
    return ProxyHeader(source, destination)


@given(st.builds(mutate, LINES | MADE, CHANGES))
def test_oracle_v1(data: bytes) -> None:
    """A line is accepted if the oracle accepts it, except for forms that the specification excludes."""
    line = b"PROXY " + data.partition(b"\n")[0].removeprefix(b"PROXY ") + b"\n"
    header, rest = parse(line)
    expected = by_oracle(ProxyProtocolV1(), line)
    if isinstance(expected, ProxyHeader) and isinstance(header, str):
        fields = line.split()
        assert (
            len(line) > 107
            or b"%" in line  # the interface of a link-local address
            or any(not re.fullmatch(rb"0|[1-9][0-9]*", port) for port in line[:-2].split(b" ")[4:])
        ), fields
    else:
        assert (header if isinstance(header, ProxyHeader) else "fault") == (
            expected if isinstance(expected, ProxyHeader) else "fault"
        )
        assert rest == b""


@given(V2_HEADERS | MADE.filter(lambda each: each.startswith(SIGNATURE)), CHANGES)
def test_oracle_v2(data: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    """A header is accepted if the oracle accepts it, except for datagrams, unknown families and long bodies.

    The oracle reads the TLVs, and the paths of AF_UNIX, and refuses a header for a fault in them.
    """
    body = mutate(data[16:], changes)
    data = data[:14] + struct.pack("!H", len(body)) + body
    header, _rest = parse(data)
    expected = by_oracle(ProxyProtocolV2(), data)
    if isinstance(expected, ProxyHeader) and isinstance(header, str):
        assert data[13] & 15 == 2 or data[13] not in {0x00, 0x01, 0x11, 0x21, 0x30, 0x31} or len(body) > 16384
    elif isinstance(header, ProxyHeader) and isinstance(expected, str):
        addresses = {0x11: 12, 0x21: 36}.get(data[13], 0) if data[12] & 15 else 0
        assert len(body) > addresses, expected
    elif isinstance(header, ProxyHeader):
        assert header == expected
