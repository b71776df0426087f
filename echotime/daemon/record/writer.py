"""RecordWriter: write lines in a thread, because a write to a file waits for its file system, however long that takes.

The thread does nothing but wait and write, so that it leaves Python's lock to the reactor.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue

from echotime.daemon.record.target import Target
from echotime.sockopt.errno_name import errno_name

RETRY_INTERVAL = 1.0
"""Seconds between two attempts to write after an error, such as that of a full disk."""


class RecordWriter:
    """Write what `put` is given to the target that `open_target` returns, in order, and retry after an error.

    A failing target loses nothing: the writer goes on where it stopped. `report` is called in the thread with a text
    for the log, and True for a fault, when writing fails for the first time or works again, when closing fails, and
    after `reopen`. The counts of bytes and lines grow only. The reactor may read them at any time.
    """

    def __init__(self, open_target: Callable[[], Target], report: Callable[[str, bool], object]) -> None:
        self._open_target = open_target
        self._report = report
        self._target = open_target()
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._must_reopen = False
        self._ends = threading.Event()
        self._is_failing = False
        self.bytes_put = self.lines_put = 0
        self.bytes_done = self.lines_done = 0

    def start(self, on_end: Callable[[], object]) -> None:
        """Begin to write. `on_end` is called in the thread after `stop`, when nothing more will be written.

        Raises RuntimeError if the process may have no more threads.
        """
        # a daemon thread, because a process that stops must not wait for a hanging file system
        thread = threading.Thread(target=self._run, args=(on_end,), name="record", daemon=True)
        # a signal that the main thread blocks while it handles another one must not arrive here instead
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._thread = thread

    def put(self, lines: bytes) -> None:
        """Write whole lines after those that were put before."""
        self.bytes_put += len(lines)
        self.lines_put += lines.count(b"\n")
        self._queue.put(lines)

    def reopen(self) -> None:
        """Open the target again before the next line. If that fails, continue with the old one."""
        self._must_reopen = True
        self._queue.put(b"")

    def stop(self) -> None:
        """Write what was put, but stop at an error. Then close the target."""
        self._ends.set()
        self._queue.put(None)
        if self._thread is None:
            self._close(self._target)

    def _run(self, on_end: Callable[[], object]) -> None:
        try:
            while (lines := self._queue.get()) is not None and self._write(lines):
                pass
            self._close(self._target)
        finally:
            on_end()

    def _write(self, lines: bytes) -> bool:
        """Write lines, however long that takes. Return False if that was not possible and the daemon stops."""
        offset = 0
        while True:
            if self._must_reopen:
                # the rest of a line would be worth nothing at the beginning of another file
                offset = self._advance(lines, offset, lines.rfind(b"\n", 0, offset) + 1)
                self._reopen()
            if offset == len(lines):
                return True
            try:
                written = os.write(self._target.descriptor, self._piece(lines, offset))
            except BlockingIOError:  # a standard stream that another process has made non-blocking
                if not self._is_writable() and self._ends.is_set():
                    return False
            except OSError as error:
                self._failed(error)
                if self._ends.wait(RETRY_INTERVAL):
                    return False
            else:
                offset = self._advance(lines, offset, offset + written)
                if self._is_failing:
                    self._is_failing = False
                    self._report("written again", False)

    def _is_writable(self) -> bool:
        poll = select.poll()
        poll.register(self._target.descriptor, select.POLLOUT)
        return bool(poll.poll(RETRY_INTERVAL * 1000))

    def _piece(self, lines: bytes, offset: int) -> memoryview:
        """Return what to write in one call: whole lines, if others may write to the target, too."""
        end = len(lines)
        if self._target.max_write is not None and end - offset > self._target.max_write:
            limit = offset + self._target.max_write
            end = lines.rfind(b"\n", offset, limit) + 1 or limit
        return memoryview(lines)[offset:end]

    def _advance(self, lines: bytes, offset: int, to: int) -> int:
        self.bytes_done += to - offset
        self.lines_done += lines.count(b"\n", offset, to)
        return to

    def _failed(self, error: OSError) -> None:
        if not self._is_failing:
            self._is_failing = True
            self._report(f"cannot write: {error.strerror} ({errno_name(error)}); trying again every second", True)

    def _reopen(self) -> None:
        self._must_reopen = False
        try:
            target = self._open_target()
        except OSError as error:
            self._report(f"not opened again: {error.strerror} ({errno_name(error)}); the old file goes on", True)
            return
        old, self._target = self._target, target
        self._close(old)
        self._report("opened again", False)

    def _close(self, target: Target) -> None:
        """Close a target. NFS and quotas may refuse there what write(2) took: see NOTES in close(2)."""
        try:
            os.close(target.descriptor)
        except OSError as error:
            reason = f"{error.strerror} ({errno_name(error)})"
            self._report(f"closing failed: {reason}; the last lines may be missing", True)
