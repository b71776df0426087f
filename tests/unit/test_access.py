"""servers/access.py, and what both services make of it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from echotime.servers.access import Access
from echotime.servers.admission import Admission
from echotime.servers.echo import EchoFactory
from echotime.servers.replies import NoWords
from echotime.servers.time import TimeProtocol
from echotime.servers.traffic import Counters, Traffic


def access(allow: str = "", deny: str = "") -> Access:
    """Of networks, separated by blanks."""
    return Access(map(ip_network, allow.split()), map(ip_network, deny.split()))


@pytest.mark.parametrize(
    ("allow", "deny", "served", "refused"),
    [
        ("", "", "192.0.2.1 2001:db8::1 fe80::1%lo", ""),
        ("192.0.2.0/24", "", "192.0.2.1 ::ffff:192.0.2.1", "192.0.3.1 2001:db8::1 ::1"),
        ("", "192.0.2.0/24", "192.0.3.1 2001:db8::1", "192.0.2.1 ::ffff:192.0.2.1"),
        ("192.0.2.128/25", "192.0.2.0/24", "192.0.2.129", "192.0.2.1 192.0.3.1"),
        ("192.0.2.0/24", "192.0.2.7", "192.0.2.6", "192.0.2.7"),
        ("2001:db8::/32", "2001:db8:1::/48", "2001:db8::1", "2001:db8:1::1 192.0.2.1"),
        ("0.0.0.0/0", "", "192.0.2.1 ::ffff:10.0.0.1", "2001:db8::1"),
        ("", "::/0", "192.0.2.1 ::ffff:192.0.2.1", "::1"),
        ("fe80::/10", "", "fe80::1%eth0", "::1"),
    ],
)
def test_who_is_served(allow: str, deny: str, served: str, refused: str) -> None:
    """The most specific network decides; who is not named is served, unless some are allowed."""
    one = access(allow, deny)
    assert [host for host in served.split() if not one.admits(host)] == []
    assert [host for host in refused.split() if one.admits(host)] == []
    assert one.restricts == bool(allow or deny)


def test_connections() -> None:
    """Who is not admitted gets no protocol, which closes the connection, and costs one counter."""
    traffic = Traffic(Clock())
    admission = Admission(traffic.counters, access(deny="192.0.2.0/24"))
    factory = EchoFactory(NoWords(), traffic, admission=admission)
    assert factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 7)) is None
    assert factory.buildProtocol(IPv4Address("TCP", "192.0.3.1", 7)) is not None
    assert traffic.counters == Counters(refused_connections=1)


def test_datagrams() -> None:
    """Who is not admitted gets no answer; and every datagram has to be looked at."""
    counters = Counters()
    protocol = TimeProtocol(lambda: 0, counters, access=access(deny="192.0.2.0/24"))
    assert protocol.all_apart
    protocol.transport = object()  # type: ignore[assignment]  # nothing is sent
    protocol.datagramReceived(b"", ("192.0.2.1", 2000))
    assert counters == Counters(refused_datagrams=1)
    assert not TimeProtocol(lambda: 0, counters).all_apart
