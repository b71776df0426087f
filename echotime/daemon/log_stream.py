"""The choice of the log's target, and a standard output that never blocks: without a reader, full, or on a full disk.

twistd writes its log with blocking writes. A pipe that is not read would stop the whole daemon at its first full
buffer, and so would a terminal behind a connection that is lost.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, LogLevel, formatEventAsClassicLogText, textFileLogObserver

from echotime.daemon.journal import JournalObserver, is_journal

_RETRY_INTERVAL = 1.0
"""Seconds between two attempts to write."""
_STDOUT_FD = 1


def logs_to_stdout(twistd: Mapping[str, Any]) -> bool:
    """Return True unless twistd's options send the log to a file or to syslog."""
    return twistd.get("logfile") in {None, "-"} and not twistd.get("syslog")


def choose_logger(twistd: Any, clock: IReactorTime) -> None:
    """Replace standard output of `twistd -n`, and twistd's logger where it would log there or to the journal.

    A file, syslog and `--logger` stay as they were given. twistd imports its logger by name, before it makes the
    application.
    """
    foreground = twistd["nodaemon"]
    if foreground:
        sys.stdout = DroppingStream(sys.stdout, clock)
    if logs_to_stdout(twistd) and (foreground or is_journal(_STDOUT_FD, os.environ)):
        twistd["logger"] = twistd.get("logger") or f"{__name__}.{log_observer.__name__}"


def log_observer() -> ILogObserver:
    """Return the observer for what standard output is: the journal's stream, or anything else that takes lines."""
    return (JournalObserver if is_journal(_STDOUT_FD, os.environ) else textFileLogObserver)(sys.stdout)


class NonBlockingWriter:
    """Writes to a descriptor without blocking, and without raising an OSError.

    A pipe or terminal is opened once more with O_NONBLOCK, as the flag on the descriptor itself would affect all who
    share it. Where it may not be opened, poll(2) is asked: a pipe that is writable takes PIPE_BUF bytes.
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
        except OSError:  # no room, no reader, no terminal
            pass
        return written


class DroppingStream:
    """A text stream that drops a line it cannot write at once, and counts it.

    One line tells the number of dropped lines, with the next line that can be written or within a second of that. A
    line that was begun is completed before any other. None stands for a standard output that was closed.
    """

    def __init__(self, stream: TextIO | None, clock: IReactorTime) -> None:
        self._stream = stream or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open until the end
        self._stream.flush()
        self._clock = clock
        self._writer = NonBlockingWriter(self._stream.fileno())
        self._partial = b""
        self._dropped = 0
        self._retry_pending = False

    def write(self, text: str) -> int:
        """Write the text, or count its lines as lost."""
        self._partial = self._partial[self._writer.write(self._partial) :]
        data = (self._drop_notice() + text).encode(self._stream.encoding, "backslashreplace")
        written = 0 if self._partial else self._writer.write(data)
        if written:
            self._partial, self._dropped = data[written:], 0
        else:
            self._dropped += text.count("\n")
        if (self._partial or self._dropped) and not self._retry_pending:
            self._retry_pending = True
            self._clock.callLater(_RETRY_INTERVAL, self._retry)
        return len(text)

    def _drop_notice(self) -> str:
        """Return the line about dropped lines, in the form of twistd's log; empty if there are none."""
        if not self._dropped:
            return ""
        event = {"log_format": "log lines lost: {number}", "number": self._dropped, "log_time": time.time()}
        return formatEventAsClassicLogText({**event, "log_namespace": __name__, "log_level": LogLevel.warn}) or ""

    def _retry(self) -> None:
        self._retry_pending = False
        self.write("")

    def flush(self) -> None:
        """Do nothing: all that could be written was."""

    def fileno(self) -> int:
        """Return the descriptor for others that write here without blocking."""
        return self._writer.descriptor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
