"""`echotime control` at a terminal: a prompt with line editing, history and completion, and what happens above it."""

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
from echotime.cli.control.verbs import (
    COMMANDS,
    CommandSyntaxError,
    ControlCommand,
    ControlSession,
    answer,
    find_command,
    run_line,
)
from echotime.cli.output.columns import pad
from echotime.cli.output.stderr import print_error
from echotime.cli.output.stdio import exit_on_write_error
from echotime.control import commands
from echotime.control.commands import CommandError
from echotime.i18n.language import gettext as _
from echotime.sockopt.catalogue.index import BY_NAME
from echotime.terminal.raw_terminal import RawTerminal

PROMPT = "echotime> "
_HISTORY_LENGTH = 1000


class Screen:
    """Where answers and events are shown: whole lines, never through the line that is being typed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prompt: str | None = None

    def show(self, line: str) -> None:
        """A line, from whatever thread."""
        with self._lock:
            try:
                if self._prompt is None:
                    print(line, flush=True)
                else:
                    print(f"\r\x1b[K{line}\n{self._prompt}{_line_buffer()}", end="", flush=True)
            except OSError as error:
                exit_on_write_error(error)

    def read_line(self, prompt: str) -> str:
        """What a person types. Raises EOFError, KeyboardInterrupt."""
        is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        if not is_terminal:
            line = sys.stdin.readline()
            if not line:
                raise EOFError
            return line.rstrip("\n")
        self._prompt = prompt
        try:
            return input(prompt)
        finally:
            self._prompt = None


def _line_buffer() -> str:
    import readline

    return readline.get_line_buffer()


class Prompt:
    """The conversation: commands until quit or the end of input; `watch` until Ctrl-D or Ctrl-C."""

    def __init__(self, session: ControlSession, screen: Screen) -> None:
        self._session = session
        self._screen = screen
        self._pending: dict[int, str] = {}
        self._status = 0
        self._commands = {
            **COMMANDS,
            "watch": ControlCommand(
                "", _("show what happens; what is typed answers the oldest question"), self._run_watch
            ),
            "help": ControlCommand("", _("this list"), self._run_help),
            "quit": ControlCommand("", _("leave"), lambda session, rest: None),
        }

    def run(self) -> int:
        """Until the person leaves; for a script 1 if something was refused or not understood."""
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
        """Show what happens; each line typed answers the oldest question. Until the end of input."""
        self._pending.clear()
        self._session.connection.call(commands.Watch, on=True)
        try:
            while True:
                target = next(iter(self._pending), None)
                line = self._screen.read_line(_("word: "))
                try:
                    # a word that was begun for one question is not given to another
                    answer(self._session, f"{target or next(iter(self._pending), 'next')} {line}")
                except (CommandSyntaxError, CommandError) as fault:
                    self._session.output({"error": str(fault)}, [str(fault)])
        except EOFError:
            self._session.output({"event": "end"}, [""])
        except KeyboardInterrupt:
            self._on_interrupt()
        finally:
            with contextlib.suppress(ControlConnectionLost, CommandError):
                self._session.connection.call(commands.Watch, on=False)

    def watch_only(self) -> None:
        """Watch, without a prompt before and after it."""
        with _line_editing([]):
            self.watch()

    def _on_interrupt(self) -> None:
        """Ctrl-C, or what stands for it when the daemon is gone."""
        if self._session.connection.closed.is_set():
            raise ControlConnectionLost
        self._screen.show("")

    def on_event(self, command: type[commands.PushedEvent], event: dict[str, Any]) -> None:
        """Show what was pushed."""
        if command is commands.QuestionAsked:
            self._pending[event["number"]] = event["peer"]
        elif command is commands.QuestionSettled:
            self._pending.pop(event["number"], None)
        if self._session.as_json:
            self._session.output({"event": command.event, **event}, [])
            return
        if "message" in event:
            event["message"] = self._session.preview(event["message"], event["size"])
        self._screen.show(_EVENT_FORMATS[command]().format(**event))

    def _run_line(self, line: str) -> bool:
        """Carry a line out; False for quit."""
        try:
            return run_line(self._session, line, self._commands) is not self._commands["quit"]
        except (CommandSyntaxError, CommandError) as fault:
            self._report_error(str(fault))
        return True

    def _report_error(self, text: str) -> None:
        """Tell it: to a person where the answers are, for a script on standard error."""
        if sys.stdin.isatty():
            self._screen.show(text)
        else:
            print_error(f"echotime: {text}")
            self._status = 1

    def run_command(self, argv: list[str]) -> None:
        """One command of the command line. Raises CommandSyntaxError or commands.Refused."""
        name, *rest = argv
        command = find_command(name, self._commands)
        if command is self._commands["watch"]:
            self.watch_only()
        else:
            command.run(self._session, " ".join(rest))

    def _run_watch(self, session: ControlSession, rest: str) -> None:
        self.watch()

    def _run_help(self, session: ControlSession, rest: str) -> None:
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
    commands.EventsDropped: lambda: _("events left out in the last second: {count}"),
}


def _completions(names: list[str], text: str) -> list[str]:
    """What could follow: a command, or what belongs to the one that is there."""
    command, space, _rest = _line_buffer().lstrip().partition(" ")
    known = _ARGUMENTS.get(command, []) if space else names
    return [each for each in known if each.startswith(text)]


_TARGETS = ["tcp", "udp", *BY_NAME]
_ARGUMENTS = {"answer": ["next", "all", "--raw"], "sockopts": ["all", *_TARGETS], "set": _TARGETS}


@contextlib.contextmanager
def _line_editing(names: list[str]) -> Any:
    """readline with a history of its own and completion of the first word."""
    try:
        import readline
    except ImportError:  # a Python without it: lines are typed as the terminal lets them be
        yield
        return
    history = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "echotime_history"
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
        with contextlib.suppress(OSError):
            history.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(history)
