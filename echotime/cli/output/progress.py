"""Show on a terminal how far a tool is, in one line of standard error that is redrawn each second."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from echotime.i18n.language import gettext as _
from echotime.wire.escape import display_width, sanitize

_DELAY, _INTERVAL = 2.0, 1.0
"""Seconds before the first line, so that short runs show none, and between lines."""
_KIB = 1024
_UNITS = ("KiB", "MiB", "GiB", "TiB")


def add_progress(parser: Any) -> None:
    """Add the option --no-progress to a parser."""
    parser.add_argument(
        "--no-progress", action="store_true", help=_("do not show the progress, which only a terminal shows")
    )


class Progress:
    """Redraw a line while a tool runs. It does nothing if standard error is no terminal, or if not `enabled`.

    `describe` returns the line, for the seconds that have passed.
    """

    def __init__(self, clock: IReactorTime, enabled: bool, describe: Callable[[float], str]) -> None:
        self._clock = clock
        self._describe = describe
        self._started_at = clock.seconds()
        self._shown_width = 0
        self._next: IDelayedCall | None = None
        if enabled and sys.stderr.isatty():
            self._next = clock.callLater(_DELAY, self._show)

    def _show(self) -> None:
        self._next = self._clock.callLater(_INTERVAL, self._show)
        text = sanitize(self._describe(self._clock.seconds() - self._started_at))
        # a line that wraps could not be erased
        while display_width(text) >= shutil.get_terminal_size().columns:
            text = text[:-1]
        self._draw(text)

    def erase(self) -> None:
        """Erase the line, before other output. It returns within a second."""
        if self._shown_width:
            self._draw("")
            sys.stderr.write("\r")
            sys.stderr.flush()

    def stop(self) -> None:
        """Erase the line, and show no other."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self.erase()

    def _draw(self, text: str) -> None:
        width = display_width(text)
        sys.stderr.write(f"\r{text}{' ' * (self._shown_width - width)}")
        sys.stderr.flush()
        self._shown_width = width


def format_size(size: int) -> str:
    """Return a number of bytes with a unit, as in 12.3 MiB."""
    if size < _KIB:
        return _("{size} bytes").format(size=size)
    exponent = min((size.bit_length() - 1) // 10, len(_UNITS))
    return f"{size / _KIB**exponent:.1f} {_UNITS[exponent - 1]}"
