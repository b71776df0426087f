"""At most so many log lines a second, and then one line that says how many were left out."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

_SECOND = 1.0


class LineLimit:
    """Counts lines within seconds that begin with the first line after a pause.

    Once too many were asked for it is `closed` for a second; then, and at a flush, `report` is called with the number
    of lines left out.
    """

    def __init__(self, lines: int, clock: IReactorTime, report: Callable[[int], None]) -> None:
        self._lines = lines
        self._clock = clock
        self._report = report
        self._began = -_SECOND
        self._written = 0
        self.closed = False
        """Whether no line is allowed for now."""
        self._left_out = 0

    def allows(self) -> bool:
        """Whether one more line may be written now; if not, it counts as left out."""
        if not self.closed:
            now = self._clock.seconds()
            if now - self._began >= _SECOND or now < self._began:
                self._began, self._written = now, 0
            if self._written < self._lines:
                self._written += 1
                return True
            self.closed = True
            self._clock.callLater(_SECOND, self._open)
        self._left_out += 1
        return False

    def flush(self) -> None:
        """Report what was left out so far."""
        left_out, self._left_out = self._left_out, 0
        self._report(left_out)

    def _open(self) -> None:
        self.closed = False
        self.flush()
