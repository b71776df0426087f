"""LargeReads: let connections that stream use large reads, within limits on memory and reactor time.

A message is what one recv(2) of 4096 bytes returns. If the receive queue holds more, one larger read that is split into
pieces of 4096 bytes gives the same messages with a fraction of the system calls. So a connection whose read returned a
full message reads LARGE_READ_SIZE bytes next, and returns to single messages after a read that returned less.

SO_SNDBUF must be at least twice the size of a large read. If an answer is larger than the send buffer, the kernel takes
one segment of it and no more before the client's delayed ACK: 40 ms for each 64 KiB.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from echotime.wire.message import MESSAGE_SIZE

LARGE_READ_SIZE = 128 * 1024
"""Size of a large read in bytes."""
MAX_OUTPUT_PER_ITERATION = 2 * 1024 * 1024
"""Bytes of answers in one iteration of the reactor, after which connections read single messages until the next."""
MAX_UNSENT = 16 * 1024 * 1024
"""Maximum bytes of unsent answers to large reads, of all connections together."""
_REVOKE_THRESHOLD = MAX_UNSENT - MAX_OUTPUT_PER_ITERATION - 2 * LARGE_READ_SIZE
"""Unsent bytes at which large reads stop. The rest is left for those granted before in the same iteration."""


class LargeReader(Protocol):
    """Give LargeReads control of the read size of a connection."""

    def set_read_size(self, size: int) -> None:
        """Read at most `size` bytes at a time from now on."""

    def send_buffer(self) -> int:
        """Return SO_SNDBUF in bytes, up to half of which the kernel uses for its own data; see socket(7)."""


class LargeReads:
    """Choose which connections of one factory use large reads. `clock` marks the iterations of the reactor.

    Large reads are not allowed while a reply source replies to each message, or while the trailer is longer than a
    message. The output could then be many times as long as the input.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._allowed = True
        self._budget = MAX_OUTPUT_PER_ITERATION
        self._large_readers: set[LargeReader] = set()
        """Connections whose next read is large."""
        self._unsent: dict[LargeReader, int] = {}
        """Upper bound of unsent bytes, by connection whose output buffer a large read has filled."""
        self.unsent_bytes = 0
        """Sum of `_unsent` in bytes."""

    def allow(self, allowed: bool) -> None:
        """Allow large reads, or revoke all that are granted."""
        self._allowed = allowed
        if not allowed:
            self._revoke_all()

    def record_read(self, connection: LargeReader, read_size: int, output_size: int, output_full: bool) -> None:
        """Choose the size of a connection's next read, after one of `read_size` bytes.

        `output_size` bytes were written for it. `output_full` is True if the transport could not send all of them.
        """
        if self._budget == MAX_OUTPUT_PER_ITERATION:
            self._clock.callLater(0, self._renew_budget)
        self._budget -= output_size
        if output_full and read_size > MESSAGE_SIZE:
            self.release(connection)
            self._unsent[connection] = output_size
            self.unsent_bytes += output_size
        if self._budget <= 0 or self.unsent_bytes > _REVOKE_THRESHOLD:
            self._revoke_all()
        elif read_size < MESSAGE_SIZE:
            self._revoke(connection)
        elif (
            self._allowed and connection not in self._large_readers and connection.send_buffer() >= 2 * LARGE_READ_SIZE
        ):
            self._large_readers.add(connection)
            connection.set_read_size(LARGE_READ_SIZE)

    def release(self, connection: LargeReader) -> None:
        """Stop counting the unsent answers of a connection: they were sent, or the connection is lost."""
        self.unsent_bytes -= self._unsent.pop(connection, 0)

    def forget(self, connection: LargeReader) -> None:
        """Forget a connection that is lost."""
        self.release(connection)
        self._large_readers.discard(connection)

    def _renew_budget(self) -> None:
        self._budget = MAX_OUTPUT_PER_ITERATION

    def _revoke(self, connection: LargeReader) -> None:
        if connection in self._large_readers:
            self._large_readers.discard(connection)
            connection.set_read_size(MESSAGE_SIZE)

    def _revoke_all(self) -> None:
        """Let every connection read a single message next."""
        for each in self._large_readers:
            each.set_read_size(MESSAGE_SIZE)
        self._large_readers.clear()
