"""LargeReads: lets connections that stream read much at a time, within bounds on memory and on the reactor's time.

A message is what one recv(2) of 4096 bytes returns. Where more than that waits in the receive queue, one larger read
that is cut into pieces of 4096 gives the same messages for a fraction of the system calls. So a connection whose read
returned a full message reads LARGE bytes next, and goes back to messages after a read that returned less.

SO_SNDBUF has to be twice as large as a large read. The kernel takes one segment of an answer that is larger than the
send buffer, and no more before the client's delayed acknowledgement: 40 ms for each 64 KiB.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from echotime.wire.message import MESSAGE_SIZE

LARGE_READ_SIZE = 128 * 1024
"""Bytes of a large read."""
MAX_OUTPUT_PER_ITERATION = 2 * 1024 * 1024
"""Bytes of answers in one iteration of the reactor, after which reads are of one message until the next iteration."""
MAX_UNSENT = 16 * 1024 * 1024
"""Bytes of unsent answers to large reads that all connections together may hold, beside an answer to a message each."""
_REVOKE_THRESHOLD = MAX_UNSENT - MAX_OUTPUT_PER_ITERATION - 2 * LARGE_READ_SIZE
"""Unsent bytes at which large reads stop: connections that may read already can add the rest in their iteration."""


class LargeReader(Protocol):
    """A connection, as far as LargeReads has to do with it."""

    def set_read_size(self, size: int) -> None:
        """Read at most `size` bytes at a time from now on."""

    def send_buffer(self) -> int:
        """Return SO_SNDBUF in bytes, of which the kernel needs up to half for itself; see socket(7)."""


class LargeReads:
    """The large reads of all connections of one factory; `clock` tells iterations of the reactor apart.

    `allowed` is False while large reads are out of the question: where each message is awaited by a reply source, or
    where what follows an echo is longer than a message, so that an answer might be many times as long as a read.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._allowed = True
        self._budget = MAX_OUTPUT_PER_ITERATION
        self._large_readers: set[LargeReader] = set()
        """Connections whose next read is a large one."""
        self._unsent: dict[LargeReader, int] = {}
        """Bytes of unsent answers to large reads, at most, of connections that were told to stop writing."""
        self.unsent_bytes = 0
        """Sum of `_held`, in bytes."""

    def allow(self, allowed: bool) -> None:
        """Allow large reads, or end them at once."""
        self._allowed = allowed
        if not allowed:
            self._revoke_all()

    def record_read(self, connection: LargeReader, read_size: int, output_size: int, output_full: bool) -> None:
        """Choose the size of a connection's next read, after a read of `size` bytes.

        `output_size` is the number of bytes written for it; `output_full` says that the transport could not send all of
        them.
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
        """Count a connection's unsent answers no more: they were sent, or the connection is lost."""
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
        """Let every connection read one message next: each of these has read in full since it was last revoked."""
        for each in self._large_readers:
            each.set_read_size(MESSAGE_SIZE)
        self._large_readers.clear()
