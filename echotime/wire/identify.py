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


class ReplyFormat(Enum):
    """What it probably is: a 64-bit time, RFC 868's 32-bit time, an NTP packet, text as daytime services send."""

    UNIX_64 = "unix_64"
    RFC868_64 = "rfc868_64"
    RFC868_32 = "rfc868_32"
    NTP = "ntp"
    TEXT = "text"
    UNKNOWN = "unknown"


def identify(reply: bytes, now: float) -> ReplyFormat:
    """The best guess; times count as recognised when they are within a day of `now` (Unix time, seconds)."""
    guesses = {
        ReplyFormat.RFC868_32: len(reply) == timestamp.SIZE and _is_current_rfc868(reply, now),
        ReplyFormat.UNIX_64: abs(_int64(reply) - now) < _DAY,
        ReplyFormat.RFC868_64: abs(_int64(reply) - Epoch.RFC868.value - now) < _DAY or _is_padded_rfc868(reply, now),
        ReplyFormat.NTP: len(reply) >= _NTP_SIZE and reply[0] >> 3 & 7 in _NTP_VERSIONS and reply[0] & 7 in _NTP_MODES,
        ReplyFormat.TEXT: reply != b"" and all(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in reply),
    }
    return next((kind for kind, fits in guesses.items() if fits), ReplyFormat.UNKNOWN)


def _int64(reply: bytes) -> int:
    """A 64-bit integer; 0, which no time of today is, for an answer of another length."""
    return int(struct.unpack("!q", reply)[0]) if len(reply) == struct.calcsize("!q") else 0


def _is_padded_rfc868(reply: bytes, now: float) -> bool:
    """GNU inetutils' inetd puts four right bytes into a long, which has eight."""
    timestamp_bytes, padding = reply[: timestamp.SIZE], bytes(struct.calcsize("!q") - timestamp.SIZE)
    return (
        len(reply) == struct.calcsize("!q")
        and reply == timestamp_bytes + padding
        and _is_current_rfc868(timestamp_bytes, now)
    )


def _is_current_rfc868(reply: bytes, now: float) -> bool:
    return _is_current(timestamp.unpack(reply, Epoch.RFC868), now)


def _is_current(seconds: int, now: float) -> bool:
    return abs(timestamp.nearest_era(seconds, now) - now) < _DAY
