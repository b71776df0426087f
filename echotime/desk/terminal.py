"""An operator at the daemon's own terminal: sees each question, types the word; the log goes around the line typed."""

from __future__ import annotations

import contextlib
import select
import shutil
import signal
from collections.abc import Callable
from gettext import gettext as _
from typing import Any, TextIO

from zope.interface import implementer

from echotime.desk.line_editor import LineEditor
from echotime.desk.questions import Desk, IOperator, Question, Settled
from echotime.desk.words import WordRefused, word_of
from echotime.servers.line_limit import LineLimit
from echotime.servers.traffic import CONNECTION_LINES, ITrafficWatcher
from echotime.streams.descriptors import Input, Output
from echotime.streams.modes import TerminalModes
from echotime.wire.printable import shown_as

SHOWN_BYTES = 200
NAME = "the operator's terminal"
_UNSEEN = 2**20
"""Bytes that may wait for the terminal."""
_LOOK = 0.5
"""Seconds between two looks whether the terminal is ours again."""
_FLUSH = 200
"""Milliseconds that it may take to show the last of them."""


@implementer(IOperator, ITrafficWatcher)
class TerminalOperator:
    """Asks one question at a time, the oldest first. `screen` and `keyboard` are its terminal."""

    def __init__(
        self,
        desk: Desk,
        screen: TextIO,
        keyboard: TextIO,
        reactor: Any,
        encoding: str = "utf-8",
        seated: Callable[[bool], object] = lambda here: None,
    ) -> None:
        self._desk = desk
        self._seated = seated
        self._screen = screen
        self._reactor = reactor
        self._encoding = encoding
        self._current: Question | None = None
        self._modes: TerminalModes | None = None
        self._looking: Any = None
        self._keyboard = keyboard.fileno()
        self.editor = LineEditor(self._write, _width, self._entered, self.leave, keyboard.encoding)
        self._input = Input(self._keyboard, self.editor.typed, self.leave, self._failed, reactor)
        self._output = Output(screen.fileno(), self._failed, reactor)
        self._arrivals = LineLimit(CONNECTION_LINES, reactor, self._left_out)

    def start(self) -> None:
        """Sit down: take the terminal out of its line mode and answer questions."""
        self._modes = TerminalModes(self._keyboard)
        self._modes.guard(signal.SIGHUP, signal.SIGQUIT)  # Twisted has the others
        self._before = signal.signal(signal.SIGCONT, self._continued)
        self._read_or_not()
        self._seated(True)
        self._desk.join(self)

    def leave(self) -> None:
        """Ctrl-D, or the terminal is gone: the daemon goes on without this operator."""
        if self._modes is not None:
            self.stop()
            self.editor.aside(_("the operator has left; the daemon goes on") + "\n")

    def stop(self) -> None:
        """Get up, and give the terminal back."""
        if self._modes is None:
            return
        self.editor.ask("")
        self._input.stopReading()
        self._look_no_more()
        signal.signal(signal.SIGCONT, self._before)
        self._flush()
        self._modes.unguard()
        self._modes.give_back()
        self._modes = None
        self._current = None
        self._seated(False)
        self._desk.leave(self)

    def asked(self, question: Question) -> None:
        """Show it, unless another is being answered; that one's turn comes."""
        if self._current is None:
            self._present(question)

    def settled(self, question: Question, how: str) -> None:
        """If it is the one shown, it needs no word any more."""
        if question is self._current:
            self.editor.ask("")
            self.editor.aside(f"{question.peer}: {how}\n")
            if self.editor.drop():  # it was meant for that one
                self.editor.aside(_("what was typed is dropped") + "\n")
            self._next()

    def began(self, peer: str) -> None:
        """A connection's first message is here."""
        if self._arrivals.allows():
            self.editor.aside(_("connection from: {peer}").format(peer=peer) + "\n")

    def message(self, peer: str, message: bytes) -> None:
        """Shown when its turn comes."""

    def ended(self, peer: str, how: str, bytes_in: int, bytes_out: int) -> None:
        """A connection is over."""

    def _present(self, question: Question) -> None:
        self._current = question
        host = question.peer.rpartition(":")[0]
        text = shown_as(question.message, SHOWN_BYTES, self._encoding)
        self.editor.aside(f"{host}: {text}\n")
        self.editor.ask(_("input the word:"))

    def _next(self) -> None:
        self._current = None
        for question in self._desk.questions[:1]:
            self._present(question)

    def _entered(self, line: str) -> None:
        question = self._current
        if question is None:
            return
        try:
            word = word_of(line, self._encoding)
        except WordRefused as refused:
            self.editor.aside(f"{refused}\n")
            self.editor.ask(_("input the word:"))
            return
        self.editor.ask("")
        self._current = None
        with contextlib.suppress(Settled):
            self._desk.answer(question.number, word, NAME)
        if self._current is None:
            self._next()

    def _failed(self, error: OSError) -> None:
        self.leave()

    def _left_out(self, number: int) -> None:
        self.editor.aside(_("connections left out in the last second: {number}").format(number=number) + "\n")

    def _write(self, text: str) -> None:
        """Without waiting for the terminal, which may be stopped by Ctrl-S. What nobody sees for long is dropped."""
        if self._modes is None:
            with contextlib.suppress(OSError):  # a terminal that was hung up
                self._screen.write(text)
                self._screen.flush()
        elif self._output.unwritten < _UNSEEN:
            self._output.write(text.encode(self._screen.encoding, "backslashreplace"))

    def _flush(self) -> None:
        """Show what is left, if the terminal takes it now."""
        poll = select.poll()
        poll.register(self._output.fileno(), select.POLLOUT)
        while self._output.unwritten and self._output.connected and poll.poll(_FLUSH):
            self._output.doWrite()

    def _continued(self, number: int, frame: object) -> None:
        """After Ctrl-Z and fg the terminal is in the shell's modes; after bg it is the shell's."""
        self._reactor.callFromThread(self._again)

    def _again(self) -> None:
        if self._modes is not None:
            self._read_or_not()
            if self._modes.foreground:
                self.editor.aside("")

    def _look_no_more(self) -> None:
        if self._looking is not None and self._looking.active():
            self._looking.cancel()

    def _read_or_not(self) -> None:
        """In the background the terminal is the shell's, and whoever reads it there is stopped, all of the daemon."""
        self._look_no_more()
        if self._modes is not None and self._modes.foreground:
            self._modes.take()
            self._input.startReading()
        else:
            self._input.stopReading()
            # a shell says nothing when it puts a job that runs into the foreground
            self._looking = self._reactor.callLater(_LOOK, self._again)


def _width() -> int:
    return shutil.get_terminal_size().columns


class Aside:
    """Standard output for everybody else: what is written here goes around the line that is typed."""

    def __init__(self, screen: TextIO, operator: TerminalOperator) -> None:
        self._screen = screen
        self._operator = operator

    def write(self, text: str) -> int:
        """Write, and draw the prompt anew behind it."""
        self._operator.editor.aside(text)
        return len(text)

    def flush(self) -> None:
        """Everything was written already."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._screen, name)
