"""Convert a time to the UDP response, four bytes, unsigned and big-endian, and back. No clock is read here."""

from __future__ import annotations

import struct
from enum import IntEnum

SIZE = 4
"""Length of a response in bytes."""

MODULUS = 2**32
"""The response counts seconds modulo this. From the Unix epoch it wraps at 2106-02-07T06:28:16Z."""


class Epoch(IntEnum):
    """Name the moment that seconds are counted from. The value is how many seconds it is before 1970."""

    UNIX = 0
    """1970-01-01T00:00:00Z, as in the original scripts."""
    RFC868 = 2_208_988_800
    """1900-01-01T00:00:00Z, the Time Protocol of RFC 868. It wraps at 2036-02-07T06:28:16Z."""


def pack(seconds: float, epoch: Epoch = Epoch.UNIX) -> bytes:
    """Return four bytes for a Unix time (original script: ``struct.pack("!I", int(time.time()))``)."""
    return struct.pack("!I", (int(seconds) + epoch) % MODULUS)


def nearest_era(seconds: int, near: float) -> int:
    """Return the time nearest to `near` (Unix time, seconds) that the same four bytes stand for.

    The result is correct if `near` is off by less than 68 years (the same method as for the eras of RFC 5905).
    """
    return seconds + round((near - seconds) / MODULUS) * MODULUS


def unpack(response: bytes, epoch: Epoch = Epoch.UNIX) -> int:
    """Return the Unix time in seconds of a response, without unwrapping times after 2106.

    Raises ValueError for a response of another length.
    """
    if len(response) != SIZE:
        raise ValueError(f"expected a response of {SIZE} bytes, got {len(response)}")
    (seconds,) = struct.unpack("!I", response)
    return int(seconds) - epoch
