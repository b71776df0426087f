"""limits/access.py, and both services with it."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import address
from twisted.internet.task import Clock

from echotime.counters import ServiceCounters
from echotime.limits.access import AccessList, Network, Networks
from echotime.limits.admission import Admission
from echotime.net.pktinfo import SourceAddress
from echotime.services.echo_factory import EchoFactory
from echotime.services.traffic import TrafficLog
from echotime.services.udp_time import TimeProtocol
from tests.support.call_count import calls


def access(allow: str = "", deny: str = "") -> AccessList:
    """Return the access lists of networks that are separated by blanks."""
    return AccessList(Networks(map(ip_network, allow.split())), Networks(map(ip_network, deny.split())))


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
    """The most specific network decides; a client in no network is served, unless some networks are allowed."""
    one = access(allow, deny)
    assert [host for host in served.split() if not one.admits(host)] == []
    assert [host for host in refused.split() if one.admits(host)] == []
    assert one.restricts == bool(allow or deny)


def _network(number: int, length: int, version: int) -> Network:
    address, bits = (IPv4Address(number % 2**32), 32) if version == 4 else (IPv6Address(number), 128)
    return ip_network(f"{address}/{min(length, bits)}", strict=False)


def _host(number: int, form: str) -> str:
    mapped = 0xFFFF << 32 | number % 2**32
    return form.format(v4=IPv4Address(number % 2**32), v6=IPv6Address(number), mapped=IPv6Address(mapped))


# few bits differ, so that networks hold each other
NUMBERS = st.sets(st.sampled_from([127, 32, 31, 24, 8, 1, 0])).map(lambda bits: sum(1 << each for each in bits))
LENGTHS = st.integers(0, 128) | st.sampled_from([0, 24, 32, 127])
NETWORK = st.builds(_network, NUMBERS, LENGTHS, st.sampled_from([4, 6]))
NETWORKS = st.lists(NETWORK) | st.lists(NETWORK, max_size=0)
HOSTS = st.builds(_host, NUMBERS, st.sampled_from(["{v4}", "{v6}", "{v6}%eth0", "{mapped}"]))


def plainly_served(host: str, allow: Iterable[Network], deny: Iterable[Network]) -> bool:
    """Decide by a scan of all networks: the longest one that contains the address wins."""
    found = ip_address(host.partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    rules = [(each.prefixlen, False) for each in deny if found in each]
    rules += [(each.prefixlen, True) for each in allow if found in each and each not in deny]
    return max(rules)[1] if rules else not allow


@given(NETWORKS, NETWORKS, HOSTS)
def test_as_defined(allow: list[Network], deny: list[Network], host: str) -> None:
    """The lookup tables give the same result as a scan of all networks."""
    assert AccessList(Networks(allow), Networks(deny)).admits(host) == plainly_served(host, allow, deny)


@given(NETWORKS, NETWORKS)
def test_networks(some: list[Network], others: list[Network]) -> None:
    """Networks behaves as a set of networks."""
    one = Networks(some)
    assert len(one) == len(set(some))
    assert [each in one for each in others] == [each in some for each in others]
    assert (one == Networks(others)) == (set(some) == set(others))


def test_cost() -> None:
    """A lookup and a swap of the lists cost the same for one network and for many."""
    many = Networks(IPv6Network((number << 64, 64)) for number in range(3000))
    one = Networks([IPv6Network("2001:db8::/64")])
    hosts = [str(IPv6Address(number << 77)) for number in range(100)]

    def work(networks: Networks) -> int:
        made = AccessList(networks, Networks())
        return calls(lambda: [made.admits(host) for host in hosts]) + calls(lambda: AccessList(networks, networks))

    assert work(many) == work(one)


def test_connections() -> None:
    """A refused connection gets no protocol, which closes it, and is counted."""
    traffic = TrafficLog(Clock())
    admission = Admission(traffic.counters, access(deny="192.0.2.0/24"))
    factory = EchoFactory(traffic, admission=admission)
    for count in (1, 2):
        assert factory.buildProtocol(address.IPv4Address("TCP", "192.0.2.1", 7)) is None
        assert traffic.counters == ServiceCounters(refused_connections=count)
    assert factory.buildProtocol(address.IPv4Address("TCP", "192.0.3.1", 7)) is not None
    assert traffic.counters == ServiceCounters(refused_connections=2)


def test_datagrams() -> None:
    """A refused datagram gets no answer, and with access lists every datagram is checked by itself."""
    counters = ServiceCounters()
    protocol = TimeProtocol(lambda: 0, counters, access=access(deny="192.0.2.0/24"))
    assert protocol.policy.one_by_one
    protocol.transport = object()  # type: ignore[assignment]  # nothing is sent
    protocol.datagramReceived(b"", SourceAddress(("192.0.2.1", 2000)))
    assert counters == ServiceCounters(refused_datagrams=1)
    assert not TimeProtocol(lambda: 0, counters).policy.one_by_one
