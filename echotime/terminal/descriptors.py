"""Standard input and output in the reactor: streamed, with constant memory, and without O_NONBLOCK.

That flag would belong to the open file, so to whoever shares the terminal or pipe, and outlive us. A
descriptor that poll calls ready does not block for a read, nor for a write of at most PIPE_BUF bytes.
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
    """A push producer that reads a descriptor; `on_data` gets what comes, `on_end` is called after it.

    `on_error` is called instead where it cannot be read.
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
        """The descriptor."""
        return self._descriptor

    def doRead(self) -> Exception | None:
        """Read once."""
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
        """Whoever wanted it is gone: read no more, and do not call that its end."""
        self.stopReading()

    def connectionLost(self, reason: Failure) -> None:
        """There is no more to read. The descriptor stays open: it is not ours."""
        super().connectionLost(reason)
        self._on_end()


class DescriptorWriter(FileDescriptor):
    """A consumer that writes a descriptor; `on_error` is called once with what keeps it from doing so."""

    def __init__(self, descriptor: int, on_error: Callable[[OSError], object], reactor: object) -> None:
        super().__init__(reactor)  # type: ignore[arg-type]
        self._descriptor = descriptor
        self._on_error = on_error
        self._finished: Deferred[None] = Deferred()
        self._pending_bytes = 0
        self._is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self.connected = 1

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    @property
    def pending_bytes(self) -> int:
        """Bytes that nobody has taken yet."""
        return self._pending_bytes

    def write(self, data: bytes) -> None:
        """Write a regular file now, as it is always ready; anything else when it is."""
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
        """Write at most what cannot block."""
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
        """Fires when all is written, or cannot be."""
        if self.connected:
            self.unregisterProducer()
            if self._pending_bytes:
                self.loseConnection()
            else:
                # whoever has read all of it may be gone, which is no failure
                self.connectionLost(Failure(CONNECTION_DONE))
        return self._finished

    def connectionLost(self, reason: Failure) -> None:
        """All is written and it was asked to end, or the other end was closed. The descriptor stays open."""
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
