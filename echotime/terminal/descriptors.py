"""DescriptorReader and DescriptorWriter: stream standard input and output in the reactor, without O_NONBLOCK.

That flag would belong to the open file description, so it would affect every process that shares the terminal or pipe,
and remain set after the exit. A descriptor that poll(2) reports as ready does not block for a read, nor for a write of
at most PIPE_BUF bytes.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Callable

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure

_READ_SIZE = 65536


class DescriptorReader(FileDescriptor):
    """Read a descriptor as a push producer.

    `on_data` is called with each piece of data, and then `on_end` at end of file, or `on_error` if reading fails.
    """

    def __init__(
        self,
        descriptor: int,
        on_data: Callable[[bytes], object],
        on_end: Callable[[], object],
        on_error: Callable[[OSError], object],
        reactor: object,
    ) -> None:
        super().__init__(reactor)  # type: ignore[arg-type]
        self._descriptor = descriptor
        self._on_data = on_data
        self._on_end = on_end
        self._on_error = on_error
        self.connected = 1

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> Exception | None:
        try:
            data = os.read(self._descriptor, _READ_SIZE)
        except OSError as error:
            self.stopReading()
            self._on_error(error)
            return None
        if not data:
            return CONNECTION_DONE
        self._on_data(data)
        return None

    def stopProducing(self) -> None:
        """Stop reading for good, without a call of `on_end`."""
        self.stopReading()

    def connectionLost(self, reason: Failure) -> None:
        """Call `on_end`. The descriptor stays open, because it belongs to the caller."""
        super().connectionLost(reason)
        self._on_end()


class DescriptorWriter(FileDescriptor):
    """Write a descriptor as a consumer. `on_error` is called once, with the error that ends writing."""

    def __init__(self, descriptor: int, on_error: Callable[[OSError], object], reactor: object) -> None:
        super().__init__(reactor)  # type: ignore[arg-type]
        self._descriptor = descriptor
        self._on_error = on_error
        self._finished: Deferred[None] = Deferred()
        self._pending_bytes = 0
        self._is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self.connected = 1

    def fileno(self) -> int:
        return self._descriptor

    @property
    def pending_bytes(self) -> int:
        """Return the number of buffered bytes."""
        return self._pending_bytes

    def write(self, data: bytes) -> None:
        """Write to a regular file at once, as it is always ready, and to other descriptors when they are ready."""
        if not self._is_file:
            self._pending_bytes += len(data)
            super().write(data)
            return
        view = memoryview(data)
        try:
            while view and self.connected:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            self._fail(error)

    def writeSomeData(self, data: bytes) -> int | Exception:
        """Write at most PIPE_BUF bytes, which cannot block."""
        try:
            written = os.write(self._descriptor, memoryview(data)[: select.PIPE_BUF])
        except BlockingIOError:
            return 0
        except OSError as error:
            self._fail(error)
            return 0
        self._pending_bytes -= written
        return written

    def finish(self) -> Deferred[None]:
        """Return a Deferred that fires when all output is written, or writing has failed."""
        if self.connected:
            self.unregisterProducer()
            if self._pending_bytes:
                self.loseConnection()
            else:
                # a reader that has read all output may have closed its end, which is no failure
                self.connectionLost(Failure(CONNECTION_DONE))
        return self._finished

    def connectionLost(self, reason: Failure) -> None:
        """Fire the Deferred of `finish`, after an error if the other end was closed. The descriptor stays open."""
        if self._finished.called:
            return
        super().connectionLost(reason)
        if not reason.check(ConnectionDone):
            self._on_error(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
        self._finished.callback(None)

    def _fail(self, error: OSError) -> None:
        self.connected = 0
        self.stopWriting()
        self._on_error(error)
        self._finished.callback(None)
