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

LARGE = 128 * 1024
"""Bytes of a large read."""
PER_ITERATION = 2 * 1024 * 1024
"""Bytes of answers in one iteration of the reactor, after which reads are of one message until the next iteration."""
BUFFERED = 16 * 1024 * 1024
"""Bytes of unsent answers to large reads that all connections together may hold, beside an answer to a message each."""
_STOP = BUFFERED - PER_ITERATION - 2 * LARGE
"""Unsent bytes at which large reads stop: connections that may read already can add the rest in their iteration."""


class Reader(Protocol):
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
        self._left = PER_ITERATION
        self._readers: set[Reader] = set()
        """Connections whose next read is a large one."""
        self._held: dict[Reader, int] = {}
        """Bytes of unsent answers to large reads, at most, of connections that were told to stop writing."""
        self.held = 0
        """Sum of `_held`, in bytes."""

    def allow(self, allowed: bool) -> None:
        """Allow large reads, or end them at once."""
        self._allowed = allowed
        if not allowed:
            self._revoke_all()

    def answered(self, reader: Reader, size: int, answer: int, full: bool) -> None:
        """Choose the size of a connection's next read, after a read of `size` bytes.

        `answer` is the number of bytes written for it; `full` says that the transport could not send all of them.
        """
        if self._left == PER_ITERATION:
            self._clock.callLater(0, self._renew)
        self._left -= answer
        if full and size > MESSAGE_SIZE:
            self.release(reader)
            self._held[reader] = answer
            self.held += answer
        if self._left <= 0 or self.held > _STOP:
            self._revoke_all()
        elif size < MESSAGE_SIZE:
            self._revoke(reader)
        elif self._allowed and reader not in self._readers and reader.send_buffer() >= 2 * LARGE:
            self._readers.add(reader)
            reader.set_read_size(LARGE)

    def release(self, reader: Reader) -> None:
        """Count a connection's unsent answers no more: they were sent, or the connection is lost."""
        self.held -= self._held.pop(reader, 0)

    def forget(self, reader: Reader) -> None:
        """Forget a connection that is lost."""
        self.release(reader)
        self._readers.discard(reader)

    def _renew(self) -> None:
        self._left = PER_ITERATION

    def _revoke(self, reader: Reader) -> None:
        if reader in self._readers:
            self._readers.discard(reader)
            reader.set_read_size(MESSAGE_SIZE)

    def _revoke_all(self) -> None:
        """Let every connection read one message next: each of these has read in full since it was last revoked."""
        for each in self._readers:
            each.set_read_size(MESSAGE_SIZE)
        self._readers.clear()
