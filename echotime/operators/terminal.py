"""TerminalOperator: show questions at the daemon's own terminal, read the replies, and draw the log above them."""

from __future__ import annotations

import contextlib
import select
import shutil
import signal
from collections.abc import Callable
from gettext import gettext as _
from typing import Any, TextIO

from zope.interface import implementer

from echotime.limits.log_rate import LogRateLimiter
from echotime.operators.encode import InvalidReply, encode_reply
from echotime.operators.line_editor import LineEditor
from echotime.operators.reply_queue import AlreadySettled, IOperator, PendingMessage, ReplyQueue
from echotime.services.traffic import MAX_CONNECTION_LINES, ITrafficObserver
from echotime.terminal.descriptors import DescriptorReader, DescriptorWriter
from echotime.terminal.raw_terminal import RawTerminal
from echotime.wire.escape import preview_decoded, sanitize

MAX_SHOWN_BYTES = 200
NAME = "the operator's terminal"
_MAX_UNWRITTEN = 2**20
"""Maximum bytes of unwritten output, for a terminal that was stopped."""
_POLL_INTERVAL = 0.5
"""Seconds between checks whether the daemon is in the foreground of the terminal."""
_FLUSH_TIMEOUT_MS = 200
"""Maximum milliseconds to write the rest of the output when the operator leaves."""


@implementer(IOperator, ITrafficObserver)
class TerminalOperator:
    """Show one question at a time, the oldest first, and reply with the line that is typed.

    `screen` and `keyboard` are its terminal. `on_attach` is called with True at the start, and with False at the end.
    `listeners` returns the listeners to show at the start, none if the log on the same terminal shows them.
    """

    def __init__(
        self,
        queue: ReplyQueue,
        screen: TextIO,
        keyboard: TextIO,
        reactor: Any,
        encoding: str = "utf-8",
        on_attach: Callable[[bool], object] = lambda here: None,
        listeners: Callable[[], list[str]] = list,
    ) -> None:
        self._queue = queue
        self._on_attach = on_attach
        self._listeners = listeners
        self._screen = screen
        self._reactor = reactor
        self._encoding = encoding
        self._current: PendingMessage | None = None
        self._raw_terminal: RawTerminal | None = None
        self._poll_call: Any = None
        self._keyboard = keyboard.fileno()
        self.editor = LineEditor(self._write, _width, self._on_line, self.leave, keyboard.encoding)
        self._input = DescriptorReader(
            self._keyboard, self.editor.feed, self.leave, lambda error: self.leave(), reactor
        )
        self._output = DescriptorWriter(screen.fileno(), lambda error: self.leave(), reactor)
        self._connection_limiter = LogRateLimiter(MAX_CONNECTION_LINES, reactor, self._report_suppressed)

    def start(self) -> None:
        """Switch the terminal to raw mode, and attach to the reply queue."""
        self._raw_terminal = RawTerminal(self._keyboard)
        self._raw_terminal.restore_on_signals(signal.SIGHUP, signal.SIGQUIT)  # Twisted handles the other signals
        self._previous_sigcont = signal.signal(signal.SIGCONT, self._on_sigcont)
        self._sync_foreground()
        self._on_attach(True)
        if listeners := self._listeners():
            self._show(_("serving {listeners}").format(listeners=_(", ").join(listeners)))
        self._show(_("questions appear here; Ctrl-D leaves, Ctrl-C stops the daemon"))
        self._queue.attach(self)

    def leave(self) -> None:
        """Detach at Ctrl-D or a hangup of the terminal; the daemon keeps running."""
        if self._raw_terminal is not None:
            self.stop()
            self._show(_("the operator left; the daemon keeps running"))

    def stop(self) -> None:
        """Detach from the reply queue, and restore the terminal."""
        if self._raw_terminal is None:
            return
        self.editor.set_prompt("")
        self._input.stopReading()
        self._cancel_poll()
        signal.signal(signal.SIGCONT, self._previous_sigcont)
        self._flush()
        self._raw_terminal.release_signals()
        self._raw_terminal.restore()
        self._raw_terminal = None
        self._current = None
        self._on_attach(False)
        self._queue.detach(self)

    def on_question(self, question: PendingMessage) -> None:
        """Show a question, unless another one is shown."""
        if self._current is None:
            self._show_question(question)

    def on_settled(self, question: PendingMessage, how: str) -> None:
        """Show the outcome if the question is the one shown, and show the next question."""
        if question is self._current:
            self.editor.set_prompt("")
            self._show(f"{question.peer}: {how}")
            if self.editor.clear():  # the unfinished line was a reply to this question
                self._show(_("unfinished input discarded"))
            self._show_next()

    def connection_opened(self, number: int, peer: str, via: str) -> None:
        if self._connection_limiter.allows():
            shown = _("connection from: {peer}").format(peer=peer)
            self._show(_("{connection} via {proxy}").format(connection=shown, proxy=via) if via else shown)

    def message_received(self, number: int, peer: str, message: bytes) -> None:
        """Do nothing: a message is shown when its question is."""

    def connection_closed(self, number: int, peer: str, via: str, ended_by: str, bytes_in: int, bytes_out: int) -> None:
        pass

    def datagram_received(self, peer: str, data: bytes, size: int, outcome: str) -> None:
        """Do nothing: datagrams are in the log."""

    def messages_left_out(self, number: int) -> None:
        pass

    def datagrams_left_out(self, number: int) -> None:
        pass

    def _show(self, line: str) -> None:
        """Show a line above the prompt. Users and interfaces of any name may be part of it."""
        self.editor.print_above(sanitize(line) + "\n")

    def _show_question(self, question: PendingMessage) -> None:
        self._current = question
        host = question.peer.rpartition(":")[0]
        text = preview_decoded(question.message, MAX_SHOWN_BYTES, self._encoding)
        self._show(f"{host}: {text}")
        self.editor.set_prompt(_("input the word:"))

    def _show_next(self) -> None:
        self._current = None
        for question in self._queue.pending[:1]:
            self._show_question(question)

    def _on_line(self, line: str) -> None:
        question = self._current
        if question is None:
            return
        try:
            reply = encode_reply(line, self._encoding)
        except InvalidReply as refused:
            self._show(str(refused))
            self.editor.set_prompt(_("input the word:"))
            return
        self.editor.set_prompt("")
        self._current = None
        with contextlib.suppress(AlreadySettled):
            self._queue.answer(question.number, reply, NAME)
        if self._current is None:
            self._show_next()

    def _report_suppressed(self, number: int) -> None:
        self._show(_("connections left out in the last second: {number}").format(number=number))

    def _write(self, text: str) -> None:
        """Write without blocking, because Ctrl-S may have stopped the terminal. Excess output is dropped."""
        if self._raw_terminal is None:
            with contextlib.suppress(OSError):  # the terminal was hung up
                self._screen.write(text)
                self._screen.flush()
        elif self._output.pending_bytes < _MAX_UNWRITTEN:
            self._output.write(text.encode(self._screen.encoding, "backslashreplace"))

    def _flush(self) -> None:
        """Write the remaining output, as far as the terminal accepts it now."""
        poll = select.poll()
        poll.register(self._output.fileno(), select.POLLOUT)
        while self._output.pending_bytes and self._output.connected and poll.poll(_FLUSH_TIMEOUT_MS):
            self._output.doWrite()

    def _on_sigcont(self, number: int, frame: object) -> None:
        """Check the terminal after SIGCONT: fg leaves it in the shell's modes, and after bg the shell owns it."""
        self._reactor.callFromThread(self._poll_foreground)

    def _poll_foreground(self) -> None:
        if self._raw_terminal is not None:
            self._sync_foreground()
            if self._raw_terminal.foreground:
                self.editor.print_above("")

    def _cancel_poll(self) -> None:
        if self._poll_call is not None and self._poll_call.active():
            self._poll_call.cancel()

    def _sync_foreground(self) -> None:
        """Read the terminal in the foreground only: in the background SIGTTIN would stop the whole daemon."""
        self._cancel_poll()
        if self._raw_terminal is not None and self._raw_terminal.foreground:
            self._raw_terminal.enter_raw()
            self._input.startReading()
        else:
            self._input.stopReading()
            # a shell sends no signal when it moves a running job to the foreground
            self._poll_call = self._reactor.callLater(_POLL_INTERVAL, self._poll_foreground)


def _width() -> int:
    return shutil.get_terminal_size().columns


class PromptAwareStdout:
    """Replace sys.stdout: draw all other output above the prompt of `operator`."""

    def __init__(self, screen: TextIO, operator: TerminalOperator) -> None:
        self._screen = screen
        self._operator = operator

    def write(self, text: str) -> int:
        """Write `text` above the prompt, and redraw the prompt."""
        self._operator.editor.print_above(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: `write` does not buffer."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._screen, name)
