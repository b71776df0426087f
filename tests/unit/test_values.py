"""Test the value types of sockopt/values.py and structures.py."""

import contextlib
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echotime.sockopt.catalogue.addresses import INTERFACE_NAME
from echotime.sockopt.catalogue.index import CATALOGUE
from echotime.sockopt.catalogue.ip_header import TRAFFIC_CLASS
from echotime.sockopt.structures import InAddr, Linger, MulticastGroup, ReadOnlyStruct, Timeval
from echotime.sockopt.values import Choice, Flag, Integer, RawValue, Value, ValueType

VALUE_TYPES = [option.value_type for option in CATALOGUE] + [RawValue()]
SECONDS = Integer(1, 32767, "seconds")
MILLISECONDS = Integer(0, 2**31 - 1, "milliseconds")
GROUP = MulticastGroup(socket.AF_INET, "a multicast group")
GROUP6 = MulticastGroup(socket.AF_INET6, "a multicast group")
CHOICE = Choice({"dont": 0, "do": 2})
BYTES = Integer(0, 2**31 - 1, "bytes")


@pytest.mark.parametrize(
    ("value_type", "text", "value"),
    [
        (Flag(), "on", 1),
        (Flag(), "No", 0),
        (SECONDS, "10", 10),
        (SECONDS, "10s", 10),
        (SECONDS, "2m", 120),
        (SECONDS, "1h", 3600),
        (SECONDS, "5000ms", 5),
        (MILLISECONDS, "500ms", 500),
        (MILLISECONDS, "10s", 10_000),
        (BYTES, "64K", 65536),
        (BYTES, "64k", 65536),
        (BYTES, "1M", 2**20),
        (BYTES, "0x1000", 4096),
        (Integer(0, 255, "", {"EF": 0xB8}), "ef", 0xB8),
        (Linger(), "off", -1),
        (Linger(), "5s", 5),
        (INTERFACE_NAME, "eth0", "eth0"),
        (Integer(0, 2**28, "microseconds"), "20ms", 20_000),
        (Integer(0, 2**63 - 1, "bytes", {"unlimited": 2**64 - 1}, size=8), "unlimited", 2**64 - 1),
        (Integer(0, 2**63 - 1, "bytes", size=8), "8G", 2**33),
        (CHOICE, "Do", 2),
        (CHOICE, "0", 0),
        (Timeval(), "3s", 3_000_000),
        (Timeval(), "1.5", 1_500_000),
        (Timeval(), "500ms", 500_000),
        (Timeval(), "2m", 120_000_000),
        (InAddr(), "127.0.0.1", "127.0.0.1"),
        (GROUP, "239.1.2.3%lo", "239.1.2.3%lo"),
        (GROUP6, "FF02::0:1", "ff02::1"),
        (BYTES, "0X1000", 4096),
        (TRAFFIC_CLASS, "AF41", 0x88),
        (TRAFFIC_CLASS, "cs6", 0xC0),
        (TRAFFIC_CLASS, "reliability", 0x04),
        (RawValue(), "on", 1),
        (RawValue(), "-1", -1),
        (RawValue(), "64K", 65536),
        (RawValue(), "hex:00FF", "00ff"),
    ],
)
def test_parse(value_type: ValueType, text: str, value: Value) -> None:
    """Numbers, switches, sizes, times, names and strings are parsed."""
    assert value_type.parse(text) == value


@pytest.mark.parametrize(
    ("value_type", "text"),
    [
        (Flag(), "2"),
        (SECONDS, "0"),
        (SECONDS, "500ms"),
        (SECONDS, "10K"),
        (SECONDS, "10.5"),
        (SECONDS, "1500ms"),
        (SECONDS, ""),
        (SECONDS, "٣"),
        (SECONDS, "9" * 400 + "ms"),
        (BYTES, "-1"),
        (BYTES, "3G"),
        (Linger(), "-1"),
        (Linger(), "on"),
        (INTERFACE_NAME, "x" * 16),
        (INTERFACE_NAME, "a\0b"),
        (CHOICE, "3"),
        (CHOICE, ""),
        (Timeval(), "-1s"),
        (Timeval(), "1e3"),
        (Timeval(), "0.0001ms"),
        (Timeval(), "9999999999s"),
        (InAddr(), "127.1"),
        (InAddr(), "::1"),
        (InAddr(), "a\0b"),
        (GROUP, "10.0.0.1"),
        (GROUP, "239.1.2.3%"),
        (GROUP, "ff02::1"),
        (GROUP6, "2001:db8::1"),
        (GROUP6, "ff02::1%a\0"),
        (RawValue(), "hex:0"),
        (RawValue(), "4G"),
        (ReadOnlyStruct(4), "1"),
    ],
)
def test_refused(value_type: ValueType, text: str) -> None:
    """The error for an invalid value says what was expected."""
    with pytest.raises(ValueError, match="expected " + value_type.expected.split(",")[0].replace("(", r"\(")):
        value_type.parse(text)


@given(st.sampled_from(VALUE_TYPES), st.text(max_size=12))
def test_any_text(value_type: ValueType, text: str) -> None:
    """Any text is a value that survives pack, unpack and show, or raises ValueError."""
    with contextlib.suppress(ValueError):
        value = value_type.parse(text)
        assert value_type.unpack(value_type.pack(value)) == value
        assert value_type.parse(value_type.show(value)) == value or value_type.show(value) in {"none", "-1"}


@given(st.sampled_from([SECONDS, MILLISECONDS, BYTES]), st.integers(1, 32767))
def test_numbers(value_type: Integer, number: int) -> None:
    """Every number in the range survives pack and unpack."""
    assert value_type.unpack(value_type.pack(value_type.parse(str(number)))) == number


def test_one_byte() -> None:
    """Some options return one byte instead of an int."""
    assert Integer(0, 255).unpack(b"\x07") == 7
