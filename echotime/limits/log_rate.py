"""LogRateLimiter: limit the log lines per second, and report how many were suppressed."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

_WINDOW = 1.0


class LogRateLimiter:
    """Allow `max_lines` within each second. A second begins with the first line after a pause.

    After that, lines are suppressed for a second. At its end, and at a flush, `report` is called with the number of
    suppressed lines.
    """

    def __init__(self, max_lines: int, clock: IReactorTime, report: Callable[[int], None]) -> None:
        self._max_lines = max_lines
        self._clock = clock
        self._report = report
        self._window_start = -_WINDOW
        self._written = 0
        self.suppressing = False
        """True while no line is allowed."""
        self._suppressed = 0

    def allows(self) -> bool:
        """Return True if a line may be written now. Otherwise count it as suppressed."""
        if not self.suppressing:
            now = self._clock.seconds()
            if now - self._window_start >= _WINDOW or now < self._window_start:
                self._window_start, self._written = now, 0
            if self._written < self._max_lines:
                self._written += 1
                return True
            self.suppressing = True
            self._clock.callLater(_WINDOW, self._resume)
        self._suppressed += 1
        return False

    def flush(self) -> None:
        """Report the number of lines suppressed so far."""
        suppressed, self._suppressed = self._suppressed, 0
        self._report(suppressed)

    def _resume(self) -> None:
        self.suppressing = False
        self.flush()
