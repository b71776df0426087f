"""Test wire/timestamp.py, which packs the time."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echotime.wire import timestamp
from echotime.wire.timestamp import Epoch


@pytest.mark.parametrize(
    ("seconds", "answer"),
    [
        (0, b"\x00\x00\x00\x00"),
        (2**31 - 1, b"\x7f\xff\xff\xff"),
        (2**31, b"\x80\x00\x00\x00"),
        (2**32 - 1, b"\xff\xff\xff\xff"),
        (2**32, b"\x00\x00\x00\x00"),
        (1_344_244_757.9, struct.pack("!I", 1_344_244_757)),
    ],
)
def test_unix(seconds: float, answer: bytes) -> None:
    """A Unix time is packed as unsigned big-endian seconds since 1970, modulo 2**32."""
    assert timestamp.pack(seconds) == answer


@pytest.mark.parametrize(
    ("seconds", "answer"),
    [
        (0, b"\x83\xaa\x7e\x80"),  # RFC 868: 2,208,988,800 corresponds to 00:00 1 Jan 1970 GMT
        (2_085_978_495, b"\xff\xff\xff\xff"),  # 2036-02-07T06:28:15Z
        (2_085_978_496, b"\x00\x00\x00\x00"),
    ],
)
def test_rfc868(seconds: float, answer: bytes) -> None:
    """RFC 868 time counts seconds since 1900, which wrap in 2036."""
    assert timestamp.pack(seconds, Epoch.RFC868) == answer


@given(st.integers(0, 2**32 - 1))
def test_back(seconds: int) -> None:
    """A packed time unpacks to the same time."""
    assert timestamp.unpack(timestamp.pack(seconds)) == seconds


@given(st.binary().filter(lambda answer: len(answer) != 4))
def test_other_length(answer: bytes) -> None:
    """An answer of another length is an error that gives the length."""
    with pytest.raises(ValueError, match=f"got {len(answer)}$"):
        timestamp.unpack(answer)
