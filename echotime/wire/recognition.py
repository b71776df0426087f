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
    guesses = {
        Kind.RFC868_32: len(answer) == timestamp.SIZE and _near_1900(answer, now),
        Kind.UNIX_64: abs(_long(answer) - now) < _DAY,
        Kind.RFC868_64: abs(_long(answer) - Epoch.RFC868.value - now) < _DAY or _padded(answer, now),
        Kind.NTP: len(answer) >= _NTP_SIZE and answer[0] >> 3 & 7 in _NTP_VERSIONS and answer[0] & 7 in _NTP_MODES,
        Kind.TEXT: answer != b"" and all(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in answer),
    }
    return next((kind for kind, fits in guesses.items() if fits), Kind.UNKNOWN)


def _long(answer: bytes) -> int:
    """A 64-bit integer; 0, which no time of today is, for an answer of another length."""
    return int(struct.unpack("!q", answer)[0]) if len(answer) == struct.calcsize("!q") else 0


def _padded(answer: bytes, now: float) -> bool:
    """GNU inetutils' inetd puts four right bytes into a long, which has eight."""
    right, padding = answer[: timestamp.SIZE], bytes(struct.calcsize("!q") - timestamp.SIZE)
    return len(answer) == struct.calcsize("!q") and answer == right + padding and _near_1900(right, now)


def _near_1900(answer: bytes, now: float) -> bool:
    return _near(timestamp.unpack(answer, Epoch.RFC868), now)


def _near(seconds: int, now: float) -> bool:
    return abs(timestamp.unwrapped(seconds, now) - now) < _DAY
