"""The UDP answer: a time as four bytes, unsigned and big-endian, and back. No clock is read here."""

from __future__ import annotations

import struct
from enum import IntEnum

SIZE = 4
"""Bytes of an answer."""

MODULUS = 2**32
"""The answer counts seconds modulo this; from the Unix epoch it wraps at 2106-02-07T06:28:16Z."""


class Epoch(IntEnum):
    """The moment seconds are counted from; the value is its distance to 1970 in seconds."""

    UNIX = 0
    """1970-01-01T00:00:00Z, as the seed counts."""
    RFC868 = 2_208_988_800
    """1900-01-01T00:00:00Z, the Time Protocol of RFC 868; wraps at 2036-02-07T06:28:16Z."""


def pack(seconds: float, epoch: Epoch = Epoch.UNIX) -> bytes:
    """Four bytes for a Unix time in seconds (seed: ``struct.pack("!I", int(time.time()))``)."""
    return struct.pack("!I", (int(seconds) + epoch) % MODULUS)


def nearest_era(seconds: int, near: float) -> int:
    """Of all the times that the same four bytes stand for, the one nearest to `near` (Unix time, seconds).

    Right as long as `near` is less than 68 years off, whatever the year (as RFC 5905 does for NTP's eras).
    """
    return seconds + round((near - seconds) / MODULUS) * MODULUS


def unpack(reply: bytes, epoch: Epoch = Epoch.UNIX) -> int:
    """The Unix time in seconds that four bytes stand for, before any unwrapping past 2106.

    Raises ValueError for an answer of another length.
    """
    if len(reply) != SIZE:
        raise ValueError(f"an answer has {SIZE} bytes, not {len(reply)}")
    (seconds,) = struct.unpack("!I", reply)
    return int(seconds) - epoch
