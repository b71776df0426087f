"""What an answer that is not echotime's probably is, from its bytes and the time of day."""

from __future__ import annotations

import struct
from enum import Enum

from echotime.wire import timestamp
from echotime.wire.timestamp import Epoch

_DAY = 86400
_NTP_SIZE = 48
_NTP_VERSIONS = range(1, 5)
_NTP_MODES = range(1, 8)


class Kind(Enum):
    """What it probably is: a 64-bit time, RFC 868's 32-bit time, an NTP packet, text as daytime services send."""

    UNIX_64 = "unix_64"
    RFC868_64 = "rfc868_64"
    RFC868_32 = "rfc868_32"
    NTP = "ntp"
    TEXT = "text"
    UNKNOWN = "unknown"


def recognised(answer: bytes, now: float) -> Kind:
    """The best guess; times count as recognised when they are within a day of `now` (Unix time, seconds)."""
    if len(answer) == timestamp.SIZE and _near(timestamp.unpack(answer, Epoch.RFC868), now):
        return Kind.RFC868_32
    if len(answer) == struct.calcsize("!q"):
        (seconds,) = struct.unpack("!q", answer)
        if abs(seconds - now) < _DAY:
            return Kind.UNIX_64
        if abs(seconds - Epoch.RFC868.value - now) < _DAY:
            return Kind.RFC868_64
    if len(answer) >= _NTP_SIZE and answer[0] >> 3 & 7 in _NTP_VERSIONS and answer[0] & 7 in _NTP_MODES:
        return Kind.NTP
    if answer and all(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in answer):
        return Kind.TEXT
    return Kind.UNKNOWN


def _near(seconds: int, now: float) -> bool:
    return abs(timestamp.unwrapped(seconds, now) - now) < _DAY
