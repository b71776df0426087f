"""Write to standard output and standard error without ever blocking, even if they are pipes that are not read."""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Callable
from functools import partial


class NonBlockingWriter:
    """Write to a descriptor without blocking, and without raising an OSError.

    A pipe or terminal is opened again with O_NONBLOCK, because setting the flag on the descriptor itself would affect
    every process that shares it. If it cannot be opened, poll(2) is used: a writable pipe takes PIPE_BUF bytes.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.close: Callable[[], object] = lambda: None
        self._is_ready: Callable[[], object] = lambda: True
        self._write: Callable[[bytes], int] = partial(os.write, descriptor)
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISSOCK(mode):
            sock = socket.socket(fileno=os.dup(descriptor))
            self._write, self.close = (lambda data: sock.send(data, socket.MSG_DONTWAIT)), sock.close
        elif stat.S_ISFIFO(mode) or os.isatty(descriptor):
            try:
                nonblocking_fd = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            except OSError:
                poll = select.poll()
                poll.register(descriptor, select.POLLOUT)
                self._is_ready = partial(poll.poll, 0)
            else:
                self.descriptor, self._write, self.close = (
                    nonblocking_fd,
                    partial(os.write, nonblocking_fd),
                    partial(os.close, nonblocking_fd),
                )

    def write(self, data: bytes) -> int:
        """Write from the beginning of `data`; return the number of bytes written."""
        written = 0
        try:
            while written < len(data) and self._is_ready():
                written += self._write(data[written : written + select.PIPE_BUF])
        except OSError:  # the device is full, or the reader or terminal is gone
            pass
        return written
