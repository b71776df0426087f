"""The choice of the log's target, and a standard output that never blocks: without a reader, full, or on a full disk.

twistd writes its log with blocking writes. A pipe that is not read would stop the whole daemon at its first full
buffer, and so would a terminal behind a connection that is lost.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, LogLevel, formatEventAsClassicLogText, textFileLogObserver

from echotime.config.options import logs_to_stdout
from echotime.logger import NAMESPACE
from echotime.systemd.journal import JournalObserver, is_journal
from echotime.terminal.nonblocking_writer import NonBlockingWriter

_RETRY_INTERVAL = 1.0
"""Seconds between two attempts to write."""
_STDOUT_FD = 1


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
        return formatEventAsClassicLogText({**event, "log_namespace": NAMESPACE, "log_level": LogLevel.warn}) or ""

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
