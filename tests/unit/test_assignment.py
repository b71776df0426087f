"""Test parsing and selection in sockopt/assignment.py."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echotime.sockopt.assignment import parse, select_assignments
from echotime.sockopt.catalogue.index import BY_NAME
from echotime.sockopt.option import OnAccept, SocketTraits

TCP = SocketTraits("tcp", frozenset({4}))
UDP = SocketTraits("udp", frozenset({4}))
TCP6 = SocketTraits("tcp", frozenset({6}))


@pytest.mark.parametrize("text", ["SO_KEEPALIVE=on", "so-keepalive=1", "1:9=1", "SOL_SOCKET:9=yes"])
def test_names(text: str) -> None:
    """A name in any case, with - for _, and a level and number find the same row."""
    requested = parse(text)
    assert requested.option is BY_NAME["SO_KEEPALIVE"]
    assert requested.value == 1
    assert requested.transport is None


def test_scope() -> None:
    """The prefixes tcp: and udp: restrict an assignment, and are shown again."""
    requested = parse("udp:IP_TOS=EF")
    assert str(requested) == "udp:IP_TOS=184"
    assert requested.fits(UDP)
    assert not requested.fits(TCP)


def test_by_number() -> None:
    """An option without a row applies to every socket, and is set again on each connection."""
    requested = parse("6:45=50000")
    assert requested.option.name == "6:45"
    assert requested.option.level == "IPPROTO_TCP"
    assert requested.option.on_accept is OnAccept.REAPPLIED
    assert requested.fits(TCP)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SO_KEEPALIVE", r"expected \[tcp:\|udp:\]NAME=VALUE"),
        ("=on", r"expected \[tcp:\|udp:\]NAME=VALUE"),
        ("SO_KEEPALVE=on", "nearest is SO_KEEPALIVE"),
        ("nodelay=on", "nearest is TCP_NODELAY"),
        ("SO_KEEPALIVE=maybe", "expected on or off"),
        ("TCP_INFO=1", "read-only"),
        ("udp:TCP_NODELAY=on", "no effect on a UDP socket; it acts on TCP"),
        ("x:1=1", "invalid option number x:1; expected"),
        ("sctp:SO_KEEPALIVE=on", "invalid option number"),
        ("1:2147483648=1", "level and number must be 0 to 2147483647"),
        ("-1:1=1", "invalid option number"),
        ("1:1_5=1", "invalid option number"),
        ("1:99999999999=1", "level and number must be 0 to"),
        ("foo=1", "unknown option 'foo'; expected a name as in SO_KEEPALIVE"),
        ("SO_DEBUG=1", "SO_DEBUG can only be given by number: SOL_SOCKET:1"),
        ("IP_TTL=300", "IP_TTL: '300' is out of range; expected 1 to 255"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """The error message names the fault."""
    with pytest.raises(ValueError, match=reason):
        parse(text)


@given(st.text(max_size=30))
def test_any_text(text: str) -> None:
    """Any text is either an assignment or a ValueError."""
    with contextlib.suppress(ValueError):
        parse(text)


def test_select_by_socket() -> None:
    """Only the options that apply to a socket are selected: IP options for IPv4, IPV6 options for IPv6."""
    requested = [parse(text) for text in ("SO_BROADCAST=on", "TCP_NODELAY=on", "IP_TTL=9", "IPV6_TCLASS=1")]
    assert [str(each) for each in select_assignments(requested, TCP)] == ["TCP_NODELAY=on", "IP_TTL=9"]
    assert [str(each) for each in select_assignments(requested, UDP)] == ["IP_TTL=9", "SO_BROADCAST=on"]
    assert [str(each) for each in select_assignments(requested, TCP6)] == ["TCP_NODELAY=on", "IPV6_TCLASS=1"]


def test_versions() -> None:
    """IP_FREEBIND acts on IPv6, too; an option without a row applies to every IP version."""
    assert parse("IP_FREEBIND=on").fits(TCP6)
    assert parse("0:99=1").fits(TCP6)
    assert not parse("IP_TTL=9").fits(TCP6)


def test_select_last() -> None:
    """The last assignment for an option wins."""
    requested = [parse(text) for text in ("SO_RCVBUF=1K", "SO_RCVBUF=2K")]
    assert [str(each) for each in select_assignments(requested, TCP)] == ["SO_RCVBUF=2048"]


def test_select_order() -> None:
    """SO_PRIORITY is set after IP_TOS, which changes it, in whatever order they are requested."""
    requested = [parse(text) for text in ("1:99=1", "SO_PRIORITY=3", "IP_TOS=EF")]
    assert [str(each) for each in select_assignments(requested, TCP)] == ["IP_TOS=184", "SO_PRIORITY=3", "1:99=1"]
