"""RawTerminal: switch a terminal to raw mode, and restore it, whatever ends the program except SIGKILL."""

from __future__ import annotations

import contextlib
import os
import signal
import termios
from typing import Any

_LFLAG = 3


class RawTerminal:
    """Change the modes of the terminal at `descriptor`, while this process is in its foreground.

    The kernel stops a background process that changes them (SIGTTOU).
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._original = termios.tcgetattr(descriptor)
        self._previous_handlers: dict[int, Any] = {}

    def enter_raw(self) -> None:
        """Switch off line mode and echo; keys for signals stay. Call it again after the shell had the terminal."""
        modes = termios.tcgetattr(self._descriptor)
        modes[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
        self._set(modes)

    def restore(self) -> None:
        """Restore the modes that the terminal had at first."""
        self._set(self._original)

    def restore_on_signals(self, *signals: signal.Signals) -> None:
        """Restore the terminal before one of these signals ends the process."""
        for number in signals:
            self._previous_handlers[number] = signal.signal(number, self._restore_and_kill)

    def release_signals(self) -> None:
        """Restore the signal handlers that restore_on_signals replaced."""
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self._previous_handlers.clear()

    @property
    def foreground(self) -> bool:
        """Return True if this process is in the foreground of the terminal, and so may read and change it."""
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
