"""LogRateLimiter: limit the log lines per second, and report how many were suppressed."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

_WINDOW = 1.0


class LogRateLimiter:
    """Allow `max_lines` within each second, 0 for none. A second begins with the first line after a pause.

    After that, lines are suppressed for a second. At its end, and at a flush, `report` is called with the number of
    suppressed lines. Where no line is ever allowed, none is counted.
    """

    def __init__(self, max_lines: int, clock: IReactorTime, report: Callable[[int], None]) -> None:
        self._clock = clock
        self._report = report
        self._suppressed = 0
        self._resume_call: IDelayedCall | None = None
        self._start(max_lines)

    def _start(self, max_lines: int) -> None:
        self.max_lines = max_lines
        self.suppressing = not max_lines
        """True while no line is allowed."""
        self._window_start = -_WINDOW
        self._written = 0

    def set_max_lines(self, max_lines: int) -> None:
        """Allow another number of lines from now on. The same number changes nothing."""
        if max_lines == self.max_lines:
            return  # a new second would allow more lines in this one
        if self._resume_call is not None:
            self._resume_call.cancel()
            self._resume_call = None
        self.flush()
        self._start(max_lines)

    def allows(self) -> bool:
        """Return True if a line may be written now. Otherwise count it as suppressed."""
        if not self.suppressing:
            now = self._clock.seconds()
            if now - self._window_start >= _WINDOW or now < self._window_start:
                self._window_start, self._written = now, 0
            if self._written < self.max_lines:
                self._written += 1
                return True
            self.suppressing = True
            self._resume_call = self._clock.callLater(_WINDOW, self._resume)
        self._suppressed += bool(self.max_lines)
        return False

    def flush(self) -> None:
        """Report the number of lines suppressed so far."""
        suppressed, self._suppressed = self._suppressed, 0
        self._report(suppressed)

    def _resume(self) -> None:
        self._resume_call = None
        self.suppressing = False
        self.flush()
