"""Implement `watch` of `echotime control`: show events, and, as an operator, answer the questions among them."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from echotime.cli.control.connection import ControlConnectionLost
from echotime.cli.control.screen import Screen
from echotime.cli.control.verbs import CommandSyntaxError, ControlSession, expect_no_arguments
from echotime.control import commands
from echotime.control.commands import CommandError
from echotime.control.daemon_text import translate
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_

_MAX_PENDING = 100_000
"""Questions remembered in their order, at most. The daemon knows the order of all."""

WATCH_USAGE = "[--events]"
WATCH_HELP = N_(
    "be an operator: clients wait for your replies; each line typed answers the oldest question; "
    "with --events: only show events"
)


def parse_watch(rest: str) -> bool:
    """Return True if `watch` is only to show events. Raises CommandSyntaxError."""
    if rest == "--events":
        return True
    expect_no_arguments(rest)
    return False


class Watch:
    """Show events until the end of input. Each line typed answers the oldest question.

    With `events_only` it is no operator: no message becomes a question because of it, and no line is an answer. So only
    on a terminal does the end of input mean anything.
    On a terminal the prompt is drawn while a question waits, and names it. A reply that was begun for one question is
    not given to another.
    """

    def __init__(self, session: ControlSession, screen: Screen, *, events_only: bool) -> None:
        self._session = session
        self._screen = screen
        self._events_only = events_only
        self._pending: dict[int, None] = {}
        self._typed: deque[tuple[int | None, str]] = deque()
        """Lines typed on a terminal, each with the question that it answers."""
        self._held: tuple[str, str] | None = None
        """Peer and line of the last message, until it is known that it is no question."""

    def run(self) -> None:
        """Show events until the end of input, or KeyboardInterrupt."""
        connection = self._session.connection
        connection.on_event, connection.on_idle = self._on_event, self._show_held
        try:
            with self._screen.start_editor(self._on_line) as self._is_terminal:
                if self._events_only:
                    connection.call(commands.WatchEvents)
                else:
                    connection.call(commands.Watch, on=True)
                if self._is_terminal and not self._session.as_json:
                    self._session.output({}, [self._greeting()])
                self._answer_lines()
        finally:
            with contextlib.suppress(ControlConnectionLost, CommandError):
                connection.call(commands.Watch, on=False)

    def _greeting(self) -> str:
        if self._events_only:
            return _("watching events; Ctrl-D ends it")
        return _("watching as an operator: clients wait for your replies; Ctrl-D ends it")

    def _answer_lines(self) -> None:
        with contextlib.suppress(EOFError):
            while True:
                for number, line in self._read_lines():
                    self._answer(number, line)
        if self._events_only and not sys.stdin.isatty():
            self._session.connection.closed.wait()
            raise self._session.connection.lost()
        self._session.output({"event": "end"}, [])

    def _read_lines(self) -> list[tuple[int | None, str]]:
        """Wait for input. Return the lines that are complete, each with the question that was the oldest."""
        if self._is_terminal:
            self._screen.feed_editor()
            lines = list(self._typed)
            self._typed.clear()
            return lines
        number = self._oldest()
        line = self._screen.read_line("")
        return [(number or self._oldest(), line)]

    def _oldest(self) -> int | None:
        return next(iter(self._pending), None)

    def _on_line(self, line: str) -> None:
        number = self._oldest()
        if number is not None:
            del self._pending[number]  # the next line is for the next question
        self._typed.append((number, line))
        self._draw_prompt()

    def _answer(self, number: int | None, line: str) -> None:
        session = self._session
        if self._events_only:
            text = _("not sent: with --events you are no operator; replies are typed in watch without it")
            session.output({"error": text}, [text])
            return
        try:
            reply = session.parse_reply(line, raw=session.raw)
            if number is None:
                result = session.connection.call(commands.AnswerNext, reply=reply)
            else:
                result = session.connection.call(commands.Answer, number=number, reply=reply)
        except CommandSyntaxError as error:
            session.output({"error": str(error)}, [str(error)])
            if number is not None:
                with self._screen.lock:
                    self._pending = {number: None, **self._pending}
                    self._draw_prompt()
        except CommandError as error:
            session.output({"error": str(error)}, [str(error)])
        else:
            if session.as_json:  # the event shows it already
                session.output(result, [])

    def _draw_prompt(self, *, discard: bool = False) -> None:
        number = self._oldest()
        prompt = "" if number is None else _("reply to {number}: ").format(number=number)
        if self._screen.set_prompt(prompt, discard=discard):
            self._screen.show(_("unfinished input discarded"))

    def _on_event(self, command: type[commands.PushedEvent], event: dict[str, Any]) -> None:
        """Show an event that the daemon sent. This method is called by another thread."""
        with self._screen.lock:
            if self._session.as_json:
                self._session.output({"event": command.event, **event}, [])
            else:
                self._show_event(command, event)
            oldest = self._oldest()
            if command is commands.QuestionAsked and len(self._pending) < _MAX_PENDING:
                self._pending[event["number"]] = None
            elif command is commands.QuestionSettled:
                self._pending.pop(event["number"], None)
            if oldest != self._oldest():
                self._draw_prompt(discard=oldest is not None)

    def _show_event(self, command: type[commands.PushedEvent], event: dict[str, Any]) -> None:
        if command is commands.DatagramReceived:
            message = self._session.preview_start(event["message"], event["size"])
            event["tail"] = _(": {message}").format(message=message) if message else ""
        elif "message" in event:
            event["message"] = self._session.preview(event["message"], event["size"])
        if "how" in event:
            event["how"] = translate(event["how"])
        # an earlier daemon does not tell the proxy
        event["via"] = _(" via {proxy}").format(proxy=event["via"]) if event.get("via") else ""
        line = _EVENT_FORMATS[command]().format(**event)
        if command is commands.QuestionAsked and self._held is not None and self._held[0] == event["peer"]:
            self._held = None  # the question shows the message
        self._show_held()
        if command is commands.MessageReceived:
            self._held = event["peer"], line
        else:
            self._screen.show(line)

    def _show_held(self) -> None:
        """Show a message that is no question: another event has followed, or none has come with it."""
        with self._screen.lock:
            held, self._held = self._held, None
            if held is not None:
                self._screen.show(held[1])


_EVENT_FORMATS: dict[type[commands.PushedEvent], Callable[[], str]] = {
    commands.QuestionAsked: lambda: _("question {number} of {peer}: {message}"),
    commands.QuestionSettled: lambda: _("question {number} of {peer}: {how}"),
    commands.ConnectionOpened: lambda: _("connection from {peer}{via}"),
    commands.MessageReceived: lambda: "{peer}: {message}",
    commands.ConnectionClosed: lambda: _(
        "connection from {peer}{via} ended by {how}, {bytes_in} bytes in, {bytes_out} bytes out"
    ),
    commands.DatagramReceived: lambda: _("datagram from {peer}, length {size}, {outcome}") + "{tail}",
    commands.EventsDropped: lambda: _("events dropped in the last second: {count}"),
}
