"""Implement the prompt of `echotime control`: line editing, history, completion, and events above the line."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from echotime.cli.control.connection import ControlConnectionLost
from echotime.cli.control.daemon_text import translate
from echotime.cli.control.verbs import (
    COMMANDS,
    WATCH_HELP,
    CommandSyntaxError,
    ControlCommand,
    ControlSession,
    answer,
    find_command,
    run_line,
)
from echotime.cli.output.columns import pad
from echotime.cli.output.last_handler import exit_with_error
from echotime.cli.output.streams import print_error, print_line
from echotime.control import commands
from echotime.control.commands import CommandError
from echotime.i18n.language import gettext as _
from echotime.sockopt.catalogue.index import BY_NAME
from echotime.sockopt.values import N_
from echotime.terminal.raw_terminal import RawTerminal
from echotime.wire.escape import sanitize

PROMPT = "echotime> "
_HISTORY_LENGTH = 1000
_MAX_PENDING = 100_000
"""Questions remembered in their order, at most. The daemon knows the order of all."""


class Screen:
    """Show results and events as whole lines, above the line that is being typed.

    Its `on_sigint` is the handler of SIGINT. At the prompt Ctrl-C discards the line, and does not end the program.
    """

    def __init__(self) -> None:
        self._is_closed = False
        self._is_reading = False
        self._lock = threading.Lock()
        self._prompt: str | None = None

    def show(self, line: str) -> None:
        """Show a line with unprintable characters escaped. This method is thread-safe."""
        with self._lock:
            if self._prompt is None:
                print_line(line)
                return
            try:
                sys.stdout.write(f"\r\x1b[K{sanitize(line)}\n{self._prompt}{_line_buffer()}")
                sys.stdout.flush()
            except OSError as error:
                exit_with_error(error)

    def read_line(self, prompt: str) -> str:
        """Return a typed line. Raises EOFError or KeyboardInterrupt."""
        self._is_reading = True
        try:
            if self._is_closed:
                raise KeyboardInterrupt
            if sys.stdin.isatty() and sys.stdout.isatty():
                self._prompt = prompt
                return input(prompt)
            line = sys.stdin.readline()
            if not line:
                raise EOFError
            return line.rstrip("\n")
        finally:
            self._prompt = None
            self._is_reading = False

    def on_sigint(self, number: int, frame: object) -> None:
        """Raise KeyboardInterrupt, but not while the end of the connection is being reported."""
        if self._is_reading or not self._is_closed:
            raise KeyboardInterrupt

    def connection_lost(self) -> None:
        """Interrupt the reading of a line. This method is called by another thread."""
        self._is_closed = True
        os.kill(os.getpid(), signal.SIGINT)


def _line_buffer() -> str:
    import readline

    return readline.get_line_buffer()


class Prompt:
    """Run commands until quit or the end of input. `watch` lasts until Ctrl-D or Ctrl-C."""

    def __init__(self, session: ControlSession, screen: Screen) -> None:
        self._session = session
        session.connection.on_event = self.on_event
        self._screen = screen
        self._pending: dict[int, None] = {}
        self._status = 0
        self._commands = {
            **COMMANDS,
            "watch": ControlCommand("", WATCH_HELP, lambda session, rest: self.watch()),
            "help": ControlCommand("", N_("show this list"), lambda session, rest: self._help()),
            "quit": ControlCommand("", N_("leave the prompt"), lambda session, rest: None),
        }

    def run(self) -> int:
        """Run the prompt, and return the exit status: for a script, 1 if a command failed."""
        if sys.stdin.isatty():
            greeting = _("connected to echotime {version} as {name}; help lists the commands")
            self._screen.show(greeting.format(**self._session.hello))
        with _line_editing(list(self._commands)):
            while True:
                try:
                    line = self._screen.read_line(PROMPT)
                    if line.strip() and not self._run_line(line):
                        return self._status
                except EOFError:
                    if sys.stdin.isatty():
                        self._screen.show("")
                    return self._status
                except KeyboardInterrupt:
                    self._on_interrupt()

    def watch(self) -> None:
        """Show events until the end of input. Each line typed answers the oldest question."""
        self._pending.clear()
        self._session.connection.call(commands.Watch, on=True)
        try:
            while True:
                target = next(iter(self._pending), None)
                line = self._screen.read_line(_("reply: "))
                try:
                    # a reply that was begun for one question is not given to another
                    answer(self._session, f"{target or next(iter(self._pending), 'next')} {line}")
                except (CommandSyntaxError, CommandError) as error:
                    self._session.output({"error": str(error)}, [str(error)])
        except EOFError:
            self._session.output({"event": "end"}, [""])
        except KeyboardInterrupt:
            self._on_interrupt()
        finally:
            with contextlib.suppress(ControlConnectionLost, CommandError):
                self._session.connection.call(commands.Watch, on=False)

    def _on_interrupt(self) -> None:
        """Handle SIGINT, from Ctrl-C or from `on_lost` when the daemon ended."""
        if self._session.connection.closed.is_set():
            raise self._session.connection.lost()
        self._screen.show("")

    def on_event(self, command: type[commands.PushedEvent], event: dict[str, Any]) -> None:
        """Show an event that the daemon sent."""
        if command is commands.QuestionAsked:
            if len(self._pending) < _MAX_PENDING:
                self._pending[event["number"]] = None
        elif command is commands.QuestionSettled:
            self._pending.pop(event["number"], None)
        if self._session.as_json:
            self._session.output({"event": command.event, **event}, [])
            return
        if "message" in event:
            event["message"] = self._session.preview(event["message"], event["size"])
        if "how" in event:
            event["how"] = translate(event["how"])
        self._screen.show(_EVENT_FORMATS[command]().format(**event))

    def _run_line(self, line: str) -> bool:
        """Run a line, and return False for quit."""
        try:
            return run_line(self._session, line, self._commands) is not self._commands["quit"]
        except (CommandSyntaxError, CommandError) as error:
            if sys.stdin.isatty():
                self._screen.show(str(error))
            else:
                print_error(f"echotime: {error}")
                self._status = 1
        return True

    def run_command(self, argv: list[str]) -> None:
        """Run one command of the command line. Raises CommandSyntaxError or CommandError."""
        name, *rest = argv
        command = find_command(name, self._commands)
        if command is self._commands["watch"]:
            with _line_editing([]):
                self.watch()
        else:
            command.run(self._session, " ".join(rest))

    def _help(self) -> None:
        for name, each in self._commands.items():
            self._screen.show(pad(f"{name} {each.usage}", 46) + _(each.help))


_EVENT_FORMATS: dict[type[commands.PushedEvent], Callable[[], str]] = {
    commands.QuestionAsked: lambda: _("question {number} of {peer}: {message}"),
    commands.QuestionSettled: lambda: _("question {number} of {peer}: {how}"),
    commands.ConnectionOpened: lambda: _("connection from {peer}"),
    commands.MessageReceived: lambda: "{peer}: {message}",
    commands.ConnectionClosed: lambda: _(
        "connection from {peer} ended by {how}, {bytes_in} bytes in, {bytes_out} bytes out"
    ),
    commands.EventsDropped: lambda: _("events dropped in the last second: {count}"),
}


def _completions(names: list[str], text: str) -> list[str]:
    """Return the completions of a word: commands, or arguments of the command before it."""
    command, space, _rest = _line_buffer().lstrip().partition(" ")
    known = _ARGUMENTS.get(command, []) if space else names
    return [each for each in known if each.startswith(text)]


_TARGETS = ["tcp", "udp", *BY_NAME]
_ARGUMENTS = {"answer": ["next", "all", "--raw"], "sockopts": ["all", *_TARGETS], "set": _TARGETS}


def _history_file() -> Path | None:
    """Return the path of the history, None if the user has no home directory."""
    try:
        directory = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:  # HOME is not set, and the uid has no entry in passwd
        return None
    return Path(directory) / "echotime_history"


@contextlib.contextmanager
def _line_editing(names: list[str]) -> Any:
    """Set readline up with a history file and completion."""
    try:
        import readline
    except ImportError:  # this Python has no readline: the terminal edits the line
        yield
        return
    history = _history_file()
    if history is not None:
        with contextlib.suppress(OSError):
            readline.read_history_file(history)
    readline.set_history_length(_HISTORY_LENGTH)
    readline.parse_and_bind("tab: complete")
    readline.set_completer_delims(" ")
    readline.set_completer(lambda text, state: [*_completions(names, text), None][state])
    terminal = RawTerminal(sys.stdin.fileno()) if sys.stdin.isatty() else None
    if terminal is not None:
        terminal.restore_on_signals(signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)
    try:
        yield
    finally:
        if terminal is not None:
            terminal.release_signals()
        if history is not None:
            with contextlib.suppress(OSError):
                history.parent.mkdir(parents=True, exist_ok=True)
                readline.write_history_file(history)
