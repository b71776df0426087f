"""Guess the format of a time response that is not echotime's, from its bytes and the time of day."""

from __future__ import annotations

import struct
from enum import Enum

from echotime.wire import timestamp
from echotime.wire.timestamp import Epoch

_DAY = 86400
_NTP_SIZE = 48
_NTP_VERSIONS = range(1, 5)
_NTP_MODES = range(1, 8)
_INT64 = struct.Struct("!q")


class ReplyFormat(Enum):
    """List the formats that `identify` knows. TEXT is what daytime and echo services send."""

    UNIX_64 = "unix_64"
    RFC868_64 = "rfc868_64"
    NTP = "ntp"
    TEXT = "text"
    UNKNOWN = "unknown"


def identify(response: bytes, now: float) -> ReplyFormat:
    """Return the most likely format. A time must be within a day of `now` (Unix time, seconds)."""
    number = _INT64.unpack(response)[0] if len(response) == _INT64.size else 0  # 0 is not near `now`
    guesses = {
        ReplyFormat.UNIX_64: abs(number - now) < _DAY,
        ReplyFormat.RFC868_64: abs(number - Epoch.RFC868.value - now) < _DAY or _is_padded_rfc868(response, now),
        ReplyFormat.NTP: (
            len(response) >= _NTP_SIZE and response[0] >> 3 & 7 in _NTP_VERSIONS and response[0] & 7 in _NTP_MODES
        ),
        ReplyFormat.TEXT: response != b"" and all(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in response),
    }
    return next((kind for kind, fits in guesses.items() if fits), ReplyFormat.UNKNOWN)


def guess_epoch(response: bytes, now: float) -> Epoch | None:
    """Return the epoch from which four bytes stand for a time within a day of `now`, None if there is no such epoch."""
    for epoch in Epoch:
        if abs(timestamp.nearest_era(timestamp.unpack(response, epoch), now) - now) < _DAY:
            return epoch
    return None


def _is_padded_rfc868(response: bytes, now: float) -> bool:
    """Return True for four correct bytes and four zero bytes, which GNU inetutils' inetd sends."""
    seconds, padding = response[: timestamp.SIZE], response[timestamp.SIZE :]
    return padding == bytes(_INT64.size - timestamp.SIZE) and guess_epoch(seconds, now) is Epoch.RFC868
