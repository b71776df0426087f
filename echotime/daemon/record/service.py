"""RecordService: write --record without ever blocking the reactor, and count and report the lines that are lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall

from echotime.counters import RECORD_COUNTERS
from echotime.daemon.record.target import open_target
from echotime.daemon.record.writer import RecordWriter
from echotime.daemon.twistd_options import NewFile
from echotime.errors import report_startup_failure
from echotime.logger import Logger
from echotime.services.connection_record import record_line

MAX_PENDING = 4 * 2**20
"""Bytes that wait to be written, at most: the lines of about 6,000 connections."""
FLUSH_INTERVAL = 0.2
"""Seconds for which lines are collected, because each hand-over to the thread takes time."""
STOP_TIMEOUT = 2.0
"""Seconds in which the rest must be written when the daemon stops."""


class RecordService(Service):
    """Write lines to `path`. Starting raises StartupError if it cannot be opened."""

    _log = Logger()

    def __init__(self, path: str, new_file: NewFile, reactor: Any) -> None:
        self._path = path
        self._new_file = new_file
        self._reactor = reactor
        self.before_end: Callable[[], object] = lambda: None
        """Called when the daemon stops, to write the last lines."""
        self._writer: RecordWriter | None = None
        self._lines: list[bytes] = []
        self._pending_bytes = 0
        """Bytes of `_lines`."""
        self._lost = 0
        """Lines that were lost and not reported yet."""
        self._flush_call: IDelayedCall | None = None
        self._ended: Deferred[None] = Deferred()

    def privilegedStartService(self) -> None:
        """Open the target while the process may still be privileged."""
        super().privilegedStartService()
        open_again = partial(open_target, self._path, self._new_file)
        try:
            self._writer = RecordWriter(open_again, partial(self._reactor.callFromThread, self._log_event))
        except OSError as error:
            raise report_startup_failure(f"--record {self._path}: {error.strerror}") from None
        self._log.info("recording connections: {path}", path=self._path)

    def startService(self) -> None:
        """Start the thread, which a fork would not have survived."""
        super().startService()
        if self._writer is not None:
            try:
                self._writer.start(partial(self._reactor.callFromThread, self._end))
            except RuntimeError as error:  # no thread is left by RLIMIT_NPROC, or TasksMax= of systemd
                raise report_startup_failure(f"--record {self._path}: {error}") from None

    def write(self, line: bytes) -> None:
        """Write a line within a second, or count it as lost."""
        if self._has_room():
            self._lines.append(line)
            self._pending_bytes += len(line)
        else:
            self._lost += 1
            RECORD_COUNTERS.lines_lost += 1
        if self._flush_call is None:
            self._flush_call = self._reactor.callLater(FLUSH_INTERVAL, self._flush)

    def lost_counts(self) -> dict[str, int]:
        """Return the number of lost lines, by its name in the log."""
        return {f"record: {self._path}: lines lost": RECORD_COUNTERS.lines_lost}

    def reopen(self) -> None:
        """Open the target again, because another program may have renamed it."""
        if self._writer is not None:
            self._writer.reopen()

    def stopService(self) -> Deferred[None]:
        """Write what is pending. The Deferred fires when that is done, or after STOP_TIMEOUT."""
        was_running = self.running
        super().stopService()
        if self._writer is None:
            return succeed(None)
        if not was_running:
            self._writer.stop()
            return succeed(None)
        self.before_end()
        if self._flush_call is not None:
            self._flush_call.cancel()
        self._flush()
        self._writer.stop()
        timeout = self._reactor.callLater(STOP_TIMEOUT, self._end)
        return self._ended.addCallback(lambda ended: timeout.cancel() if timeout.active() else None)

    def _has_room(self) -> bool:
        writer = self._writer
        if writer is None:
            return False
        return self._pending_bytes + writer.bytes_put - writer.bytes_done < MAX_PENDING

    def _flush(self) -> None:
        """Hand the lines to the thread, after a line that says how many were lost before them."""
        self._flush_call = None
        if self._lost and self._has_room():
            lost, self._lost = self._lost, 0
            self._lines.insert(0, record_line("lines_lost", new=lost, total=RECORD_COUNTERS.lines_lost))
        if self._lines and self._writer is not None:
            lines, self._lines, self._pending_bytes = self._lines, [], 0
            self._writer.put(b"".join(lines))
        if self._lost and self.running:
            self._flush_call = self._reactor.callLater(FLUSH_INTERVAL, self._flush)

    def _log_event(self, event: str, is_fault: bool) -> None:
        emit = self._log.warn if is_fault else self._log.info
        emit("record: {path}: {event}", path=self._path, event=event)

    def _end(self) -> None:
        """End the service: the thread has ended, or it takes too long."""
        if self._ended.called or self._writer is None:
            return
        if rest := self._writer.lines_put - self._writer.lines_done:
            RECORD_COUNTERS.lines_lost += rest
            self._log.warn("record: {path}: not written at the stop: {lines} lines", path=self._path, lines=rest)
        self._ended.callback(None)
