"""Test limits/source.py: addresses that count as one source."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echotime.limits.source import is_loopback, source_key


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:0:0:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("64:ff9b::c000:201", "192.0.2.1"),
        ("64:ff9b::7f00:1", "64:ff9b::/64"),
        ("fe80::1", "fe80::1"),
        ("::1", "::1"),
    ],
)
def test_source(host: str, expected: str) -> None:
    """A source is an IPv4 address or a 64-bit IPv6 network; a link-local address counts alone."""
    assert source_key(host) == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::ffff:0.0.0.0", "64:ff9b::7f00:1", "::127.0.0.1", "2002:7f00:1::"])
def test_not_loopback(host: str) -> None:
    """The unspecified address is not loopback, nor is a foreign address that contains 127.0.0.1."""
    assert not is_loopback(source_key(host))


def test_loopback() -> None:
    """Loopback addresses of both versions are recognized, and no others."""
    assert [one for one in ("127.0.0.1", "127.9.9.9", "::1", "12.7.0.1", "::/64", "128.0.0.1") if is_loopback(one)] == [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
    ]


@given(st.one_of(st.ip_addresses(v=6), st.ip_addresses(network="::ffff:0:0/96"), st.ip_addresses(network="fe80::/9")))
def test_ipaddress(address: ipaddress.IPv6Address) -> None:
    """The key of an IPv6 address is the one that the ipaddress module gives."""
    if address.ipv4_mapped:
        expected = str(address.ipv4_mapped)
    elif address in ipaddress.ip_network("64:ff9b::/96"):
        return
    elif address.is_link_local or address.is_loopback:
        expected = str(address)
    else:
        expected = str(ipaddress.ip_network((address, 64), strict=False))
    assert source_key(str(address)) == expected
