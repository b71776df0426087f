"""Screen: read lines from the user of `echotime control`, and show results and events as whole lines."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from echotime.cli.output.last_handler import exit_with_error
from echotime.cli.output.streams import print_line
from echotime.operators.line_editor import LineEditor
from echotime.terminal.raw_terminal import RawTerminal
from echotime.wire.escape import sanitize

_READ_SIZE = 4096


class Screen:
    """Show lines, and read those that are typed, by readline or, while events come, by an editor of its own.

    readline draws its prompt itself, so another thread cannot write above it without tearing it. Between `start_editor`
    and its end the lock covers all that is drawn, and an event and what it does to the prompt are one step.

    Its `on_sigint` is the handler of SIGINT. At the prompt Ctrl-C discards the line, and does not end the program.
    """

    def __init__(self) -> None:
        self._is_closed = False
        self._is_reading = False
        self.lock = threading.RLock()
        """Held while a line is drawn."""
        self._editor: LineEditor | None = None
        self._eof = False

    def show(self, line: str) -> None:
        """Show a line with unprintable characters escaped. This method is thread-safe."""
        with self.lock:
            if self._editor is None:
                print_line(line)
            else:
                self._editor.print_above(sanitize(line) + "\n")

    def read_line(self, prompt: str) -> str:
        """Return a typed line, with a prompt on a terminal. Raises EOFError or KeyboardInterrupt."""
        with self._reading():
            if _is_terminal():
                return input(prompt)
            line = sys.stdin.readline()
            if not line:
                raise EOFError
            return line.rstrip("\n")

    @contextlib.contextmanager
    def start_editor(self, on_line: Callable[[str], object]) -> Iterator[bool]:
        """Edit a line below what is shown, on a terminal. Yield False if this is none.

        `on_line` is called by `feed_editor` with each typed line, while the lock is held.
        """
        if not _is_terminal():
            yield False
            return
        descriptor, self._eof = sys.stdin.fileno(), False
        terminal = RawTerminal(descriptor)
        editor = LineEditor(_write, _columns, on_line, self._on_eof, sys.stdin.encoding)

        def continued(number: int, frame: object) -> None:
            terminal.enter_raw()  # the shell had the terminal
            with self.lock:
                editor.print_above("")

        terminal.restore_on_signals(signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)
        previous = signal.signal(signal.SIGCONT, continued)
        terminal.enter_raw()
        self._editor = editor
        try:
            yield True
        finally:
            with self.lock:
                self.set_prompt("")
                self._editor = None
            signal.signal(signal.SIGCONT, previous)
            terminal.release_signals()
            terminal.restore()

    def feed_editor(self) -> None:
        """Wait for keys, and apply them to the line. Raises EOFError at Ctrl-D, or KeyboardInterrupt."""
        assert self._editor is not None
        with self._reading():
            data = os.read(sys.stdin.fileno(), _READ_SIZE)
        with self.lock:
            self._editor.feed(data)
        if self._eof or not data:
            raise EOFError

    def set_prompt(self, prompt: str, *, discard: bool = False) -> str:
        """Draw another prompt of the editor, or none if it is empty. Return the unfinished line if it is discarded."""
        with self.lock:
            if self._editor is None:
                return ""
            discarded = self._editor.clear() if discard else ""
            self._editor.set_prompt(prompt)
            return discarded

    def _on_eof(self) -> None:
        self._eof = True

    @contextlib.contextmanager
    def _reading(self) -> Any:
        self._is_reading = True
        try:
            if self._is_closed:
                raise KeyboardInterrupt
            yield
        finally:
            self._is_reading = False

    def on_sigint(self, number: int, frame: object) -> None:
        """Raise KeyboardInterrupt, but not while the end of the connection is being reported."""
        if self._is_reading or not self._is_closed:
            raise KeyboardInterrupt

    def connection_lost(self) -> None:
        """Interrupt the reading of a line. This method is called by another thread."""
        self._is_closed = True
        os.kill(os.getpid(), signal.SIGINT)


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _columns() -> int:
    return shutil.get_terminal_size().columns


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        exit_with_error(error)
