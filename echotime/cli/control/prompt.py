"""Implement the prompt of `echotime control`: line editing, history and completion."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

from echotime.cli.control.screen import Screen
from echotime.cli.control.verbs import (
    COMMANDS,
    HELP_WIDTH,
    USAGE_WIDTH,
    CommandSyntaxError,
    ControlCommand,
    ControlSession,
    expect_no_arguments,
    find_command,
    run_line,
)
from echotime.cli.control.watch import WATCH_HELP, WATCH_USAGE, Watch, parse_watch
from echotime.cli.output.streams import print_error
from echotime.control.commands import CommandError
from echotime.control.daemon_text import translate
from echotime.i18n.language import gettext as _
from echotime.sockopt.catalogue.index import BY_NAME
from echotime.sockopt.values import N_
from echotime.terminal.columns import Table, fit, terminal_width
from echotime.terminal.raw_terminal import RawTerminal
from echotime.wire.escape import sanitize

PROMPT = "echotime> "
_HISTORY_LENGTH = 1000


def _line_buffer() -> str:
    import readline

    return readline.get_line_buffer()


class Prompt:
    """Run commands until quit or the end of input. `watch` lasts until Ctrl-D or Ctrl-C."""

    def __init__(self, session: ControlSession, screen: Screen) -> None:
        self._session = session
        self._screen = screen
        self._status = 0
        self._commands = {
            **COMMANDS,
            "watch": ControlCommand(WATCH_USAGE, WATCH_HELP, lambda session, rest: self._watch(rest)),
            "help": ControlCommand("", N_("show this list"), lambda session, rest: self._help(rest)),
            "quit": ControlCommand("", N_("leave the prompt"), lambda session, rest: expect_no_arguments(rest)),
        }

    def run(self) -> int:
        """Run the prompt, and return the exit status: for a script, 1 if a command failed."""
        if sys.stdin.isatty():
            greeting = _("connected to echotime {version} as {name}; help lists the commands")
            hello = {**self._session.hello, "name": translate(self._session.hello["name"])}
            for line in fit(sanitize(greeting.format(**hello))):
                self._screen.show(line)
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
                    self._raise_if_lost()
                    self._screen.show("")

    def _watch(self, rest: str) -> None:
        """Show events until the end of input, or Ctrl-C."""
        watch = Watch(self._session, self._screen, events_only=parse_watch(rest))
        try:
            watch.run()
        except KeyboardInterrupt:
            self._raise_if_lost()

    def _raise_if_lost(self) -> None:
        """Raise ControlConnectionLost if SIGINT came from `on_lost`, because the daemon ended, and not from Ctrl-C."""
        if self._session.connection.closed.is_set():
            raise self._session.connection.lost()

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
        find_command(name, self._commands).run(self._session, " ".join(rest))

    def _help(self, rest: str) -> None:
        expect_no_arguments(rest)
        table = Table([USAGE_WIDTH, HELP_WIDTH], terminal_width())
        for name, each in self._commands.items():
            for line in table.row([f"{name} {each.usage}", _(each.help)]):
                self._screen.show(line)


def _completions(names: list[str], text: str) -> list[str]:
    """Return the completions of a word: commands, or arguments of the command before it."""
    command, space, _rest = _line_buffer().lstrip().partition(" ")
    known = _ARGUMENTS.get(command, []) if space else names
    return [each for each in known if each.startswith(text)]


_TARGETS = ["tcp", "udp", *BY_NAME]
_ARGUMENTS = {
    "answer": ["next", "all", "--raw"],
    "sockopts": ["all", *_TARGETS],
    "set": _TARGETS,
    "watch": ["--events"],
}


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
