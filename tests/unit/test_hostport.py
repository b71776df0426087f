"""Test wire/hostport.py: addresses and ports as text."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from echotime.wire import hostport


@given(st.ip_addresses(), st.integers(0, 65535))
def test_back(address: IPv4Address | IPv6Address, port: int) -> None:
    """An address and port formatted as text split into the same address and port."""
    assume(not (isinstance(address, IPv6Address) and address.ipv4_mapped))
    host, number = hostport.split_hostport(hostport.format_hostport(str(address), port))
    assert (host, number) == (str(address), str(port))
    assert hostport.parse_port(str(port)) == port


def test_mapped() -> None:
    """An IPv4 client of a dual-stack socket is shown as IPv4."""
    assert hostport.format_hostport("::ffff:127.0.0.1", 7) == "127.0.0.1:7"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("12345", (None, "12345")),
        ("host", ("host", None)),
        ("host:7", ("host", "7")),
        ("[::1]", ("::1", None)),
        ("[::1]:7", ("::1", "7")),
        ("[fe80::1%lo]:7", ("fe80::1%lo", "7")),
        (":7", ("", "7")),
    ],
)
def test_split(text: str, parts: tuple[str | None, str | None]) -> None:
    """Every form of host and port is recognized."""
    assert hostport.split_hostport(text) == parts


def test_ipv6_without_brackets() -> None:
    """An IPv6 address with a port needs brackets."""
    for text, form in (("::1:7", r"\[::1\]:7"), ("fe80::1", r"\[fe80::1\]:12345"), ("::1:12345", r"\[::1\]:12345")):
        with pytest.raises(ValueError, match=f"brackets, as in {form}$"):
            hostport.split_hostport(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tcp://host:7", "has a scheme, tcp://; expected host:7$"),
        ("http://host/", "has a scheme, http://; expected host$"),
        ("udp://", "expected HOST:PORT$"),
        ("host:1:2", "'host:1:2' has more than one colon; expected HOST:PORT"),
        ("[::1:7", r"^'\]' is missing in '\[::1:7'; expected \[IPv6\] or \[IPv6\]:PORT$"),
        ("[::1", r"^'\]' is missing in '\[::1'"),
        ("[::1]7", r"^':' is missing after '\]' in '\[::1\]7'; expected \[IPv6\]:PORT$"),
        ("[::1]:7:8", "more than one colon"),
        ("::1]:7", "more than one colon"),
    ],
)
def test_wrong_forms(text: str, message: str) -> None:
    """Each wrong form has a message of its own."""
    with pytest.raises(ValueError, match=message):
        hostport.split_hostport(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("024111", "port '024111' has a leading zero"),
        ("00", "port '00' has a leading zero"),
        ("http", "'http' is no port number, and service names are not looked up"),
        ("99999", "invalid port '99999'"),
        ("0", "invalid port '0'"),
    ],
)
def test_reasons(text: str, reason: str) -> None:
    """A text that is no port has a reason, and the range is the one that is accepted."""
    with pytest.raises(ValueError, match=f"^{reason}; expected a number from 1 to 65535$"):
        hostport.parse_port(text, 1)


@pytest.mark.parametrize("text", ["", "-1", "65536", "1e3", "0x10", "\u0661", "1_0", " 7", "999999"])
def test_no_port(text: str) -> None:
    """A port is 0 to 65535 in ASCII digits."""
    with pytest.raises(ValueError, match="expected a number from 0 to 65535"):
        hostport.parse_port(text)
