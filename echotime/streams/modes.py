"""A terminal's modes, given back as they were found, whatever ends the program but SIGKILL."""

from __future__ import annotations

import contextlib
import os
import signal
import termios
from typing import Any

_LOCAL_FLAGS = 3


class TerminalModes:
    """Of the terminal that `descriptor` is. Only a process in its foreground may change them: others are stopped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._found = termios.tcgetattr(descriptor)
        self._before: dict[int, Any] = {}

    def take(self) -> None:
        """Characters as they are typed, without echo; signals as ever. Again after the shell had the terminal."""
        modes = termios.tcgetattr(self._descriptor)
        modes[_LOCAL_FLAGS] &= ~(termios.ICANON | termios.ECHO)
        self._set(modes)

    def give_back(self) -> None:
        """As it was found."""
        self._set(self._found)

    def guard(self, *numbers: signal.Signals) -> None:
        """Give it back before one of these signals ends the process."""
        for number in numbers:
            self._before[number] = signal.signal(number, self._end)

    def unguard(self) -> None:
        """Not any more."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()

    @property
    def foreground(self) -> bool:
        """Whether the terminal is ours to read and to change; the system stops a process that does so otherwise."""
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:
            return False

    def _set(self, modes: list[Any]) -> None:
        with contextlib.suppress(termios.error):
            if self.foreground:
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, modes)

    def _end(self, number: int, frame: object) -> None:
        self.give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
