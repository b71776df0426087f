"""Make the messages of `echotime ping` over TCP, and find their echoes in what a server returns.

A server may read a message in several pieces, or several messages at a time, and send a trailer after each read. So an
echo is matched byte by byte, with other bytes in between.
"""

from __future__ import annotations

import os
import re

DEFAULT_PATTERN = b"0123456789"
DEFAULT_TCP_SIZE = 56
"""Bytes, as of ping(8)."""
MAX_SIZE = 65507
"""The longest datagram over IPv4 (udp(7))."""
_MAX_BUFFERED = 4 * MAX_SIZE
_RANDOM_BYTES = 6
_MAX_DIGITS = 10
_NUMBER = re.compile(rb"[0-9]{1,%d}(?= )" % _MAX_DIGITS)
_START = b"echotime ping "
MIN_TCP_SIZE = len(_START) + 2 * _RANDOM_BYTES + 1 + _MAX_DIGITS + 2
"""Bytes of a message with a long number and no padding."""


def pad(pattern: bytes, size: int) -> bytes:
    """Repeat a pattern up to a size in bytes."""
    return (pattern * (size // len(pattern) + 1))[:size]


class Message:
    """Make numbered messages of one size. Their start is random, so that it matches no other echo."""

    def __init__(self, size: int, pattern: bytes = DEFAULT_PATTERN) -> None:
        self._prefix = _START + os.urandom(_RANDOM_BYTES).hex().encode() + b" "
        self._size = size
        self._padding = pad(pattern, size)
        self._received = b""
        self.expected = 1
        """The number of the next echo, because a connection keeps the order of the probes."""

    def numbered(self, sequence: int) -> bytes:
        """Return the message with this number."""
        return self._prefix + self._numbered_rest(sequence)

    def _numbered_rest(self, sequence: int) -> bytes:
        """Return the number and what follows it."""
        number = b"%d " % sequence
        return number + self._padding[: max(self._size - len(self._prefix) - len(number) - 1, 0)] + b"\n"

    def echoes(self, data: bytes) -> list[int | bytes]:
        """Return the numbers of the echoes that are complete with this data, and the text of each changed one."""
        self._received += data
        echoes = []
        while (echo := self._next_echo()) is not None:
            echoes.append(echo)
        self._received = self._received[-_MAX_BUFFERED:]
        return echoes

    def _next_echo(self) -> int | bytes | None:
        before, prefix, after = self._received.partition(self._prefix)
        # a server that reads several probes in one message may put its trailer anywhere, also into a prefix or number
        if (end := find_end(self.numbered(self.expected), before)) is not None:
            return self._consume(self.expected, self._received[end:])
        if not prefix:
            return None
        following = after.find(self._prefix)
        echo = after if following < 0 else after[:following]
        shown = int(found[0]) if (found := _NUMBER.match(echo)) else self.expected
        if echo.startswith(self._numbered_rest(shown)):
            numbers = [shown]
        else:  # until the next echo, digits of a trailer may seem to belong to the number before them
            numbers = [self.expected] if following < 0 else [self.expected, shown]
        for number in numbers:
            if (end := find_end(self._numbered_rest(number), echo)) is not None:
                return self._consume(number, after[end:])
        if following < 0:
            return None
        # an echo that another one follows is over, and was changed on the way if it is not complete
        self._consume(self.expected, after[following:])
        return echo

    def _consume(self, number: int, rest: bytes) -> int:
        """Go on with `rest` after the echo of this number, and return the number."""
        self._received = rest
        self.expected = number + 1
        return number


def find_end(sent: bytes, received: bytes) -> int | None:
    """Return where the echo of sent bytes ends in received ones, which may have others in between, or None."""
    if received.startswith(sent):
        return len(sent)
    position = 0
    # too short: the usual case while the echo arrives
    for byte in sent if len(received) > len(sent) else ():
        position = received.find(byte, position) + 1
        if not position:
            return None
    return position or None
