"""At most so many log lines a second, and then one line that says how many were left out."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

_WINDOW = 1.0


class LogRateLimiter:
    """Counts lines within seconds that begin with the first line after a pause.

    Once too many were asked for it is `suppressing` for a second; then, and at a flush, `report` is called with the
    number of lines left out.
    """

    def __init__(self, max_lines: int, clock: IReactorTime, report: Callable[[int], None]) -> None:
        self._max_lines = max_lines
        self._clock = clock
        self._report = report
        self._window_start = -_WINDOW
        self._written = 0
        self.suppressing = False
        """Whether no line is allowed for now."""
        self._suppressed = 0

    def allows(self) -> bool:
        """Whether one more line may be written now; if not, it counts as left out."""
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
        """Report what was left out so far."""
        suppressed, self._suppressed = self._suppressed, 0
        self._report(suppressed)

    def _resume(self) -> None:
        self.suppressing = False
        self.flush()
