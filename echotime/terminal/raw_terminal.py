"""A terminal's modes, given back as they were found, whatever ends the program but SIGKILL."""

from __future__ import annotations

import contextlib
import os
import signal
import termios
from typing import Any

_LFLAG = 3


class RawTerminal:
    """Of the terminal that `descriptor` is. Only a process in its foreground may change them: others are stopped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._original = termios.tcgetattr(descriptor)
        self._previous_handlers: dict[int, Any] = {}

    def enter_raw(self) -> None:
        """Characters as they are typed, without echo; signals as ever. Again after the shell had the terminal."""
        modes = termios.tcgetattr(self._descriptor)
        modes[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
        self._set(modes)

    def restore(self) -> None:
        """As it was found."""
        self._set(self._original)

    def restore_on_signals(self, *signals: signal.Signals) -> None:
        """Give it back before one of these signals ends the process."""
        for number in signals:
            self._previous_handlers[number] = signal.signal(number, self._restore_and_kill)

    def release_signals(self) -> None:
        """Not any more."""
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self._previous_handlers.clear()

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

    def _restore_and_kill(self, signal_number: int, frame: object) -> None:
        self.restore()
        signal.signal(signal_number, signal.SIG_DFL)
        os.kill(os.getpid(), signal_number)
