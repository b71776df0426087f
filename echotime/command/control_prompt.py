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

from echotime.command.columns import padded
from echotime.command.control_connection import Lost
from echotime.command.control_verbs import VERBS, Misspoken, Session, Verb, answer, say, verb
from echotime.command.report import say as complain
from echotime.command.streams import output_failed
from echotime.desk import commands
from echotime.desk.commands import Refused
from echotime.locale.language import gettext as _
from echotime.sockopt.catalogue import BY_NAME
from echotime.streams.modes import TerminalModes

PROMPT = "echotime> "
_HISTORY = 1000


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
                    print(f"\r\x1b[K{line}\n{self._prompt}{_typed()}", end="", flush=True)
            except OSError as error:
                output_failed(error)

    def ask(self, prompt: str) -> str:
        """What a person types. Raises EOFError, KeyboardInterrupt."""
        terminal = sys.stdin.isatty() and sys.stdout.isatty()
        if not terminal:
            line = sys.stdin.readline()
            if not line:
                raise EOFError
            return line.rstrip("\n")
        self._prompt = prompt
        try:
            return input(prompt)
        finally:
            self._prompt = None


def _typed() -> str:
    import readline

    return readline.get_line_buffer()


class Prompt:
    """The conversation: commands until quit or the end of input; `watch` until Ctrl-D or Ctrl-C."""

    def __init__(self, session: Session, screen: Screen) -> None:
        self._session = session
        self._screen = screen
        self._waiting: dict[int, str] = {}
        self._status = 0
        self._verbs = {
            **VERBS,
            "watch": Verb("", _("show what happens; what is typed answers the oldest question"), self._watch_verb),
            "help": Verb("", _("this list"), self._help),
            "quit": Verb("", _("leave"), lambda session, rest: None),
        }

    def run(self) -> int:
        """Until the person leaves; for a script 1 if something was refused or not understood."""
        if sys.stdin.isatty():
            greeting = _("connected to echotime {version} as {name}; help lists the commands")
            self._screen.show(greeting.format(**self._session.hello))
        with _line_editing(list(self._verbs)):
            while True:
                try:
                    line = self._screen.ask(PROMPT)
                    if line.strip() and not self._said(line):
                        return self._status
                except EOFError:
                    if sys.stdin.isatty():
                        self._screen.show("")
                    return self._status
                except KeyboardInterrupt:
                    self._interrupted()

    def watch(self) -> None:
        """Show what happens; each line typed answers the oldest question. Until the end of input."""
        self._waiting.clear()
        self._session.connection.ask(commands.Watch, on=True)
        try:
            while True:
                target = next(iter(self._waiting), None)
                line = self._screen.ask(_("word: "))
                try:
                    # a word that was begun for one question is not given to another
                    answer(self._session, f"{target or next(iter(self._waiting), 'next')} {line}")
                except (Misspoken, Refused) as fault:
                    self._session.tell({"error": str(fault)}, [str(fault)])
        except EOFError:
            self._session.tell({"event": "end"}, [""])
        except KeyboardInterrupt:
            self._interrupted()
        finally:
            with contextlib.suppress(Lost, Refused):
                self._session.connection.ask(commands.Watch, on=False)

    def watch_alone(self) -> None:
        """Watch, without a prompt before and after it."""
        with _line_editing([]):
            self.watch()

    def _interrupted(self) -> None:
        """Ctrl-C, or what stands for it when the daemon is gone."""
        if self._session.connection.gone.is_set():
            raise Lost
        self._screen.show("")

    def told(self, command: type[commands.Pushed], event: dict[str, Any]) -> None:
        """Show what was pushed."""
        if command is commands.Asked:
            self._waiting[event["number"]] = event["peer"]
        elif command is commands.SettledNow:
            self._waiting.pop(event["number"], None)
        if self._session.as_json:
            self._session.tell({"event": command.event, **event}, [])
            return
        if "message" in event:
            event["message"] = self._session.message(event["message"], event["size"])
        self._screen.show(_EVENTS[command]().format(**event))

    def _said(self, line: str) -> bool:
        """Carry a line out; False for quit."""
        try:
            return say(self._session, line, self._verbs) is not self._verbs["quit"]
        except (Misspoken, Refused) as fault:
            self._fault(str(fault))
        return True

    def _fault(self, text: str) -> None:
        """Tell it: to a person where the answers are, for a script on standard error."""
        if sys.stdin.isatty():
            self._screen.show(text)
        else:
            complain(f"echotime: {text}")
            self._status = 1

    def carry_out(self, words: list[str]) -> None:
        """One command of the command line. Raises Misspoken or commands.Refused."""
        name, *rest = words
        found = verb(name, self._verbs)
        if found is self._verbs["watch"]:
            self.watch_alone()
        else:
            found.run(self._session, " ".join(rest))

    def _watch_verb(self, session: Session, rest: str) -> None:
        self.watch()

    def _help(self, session: Session, rest: str) -> None:
        for name, each in self._verbs.items():
            self._screen.show(padded(f"{name} {each.words}", 46) + _(each.help))


_EVENTS: dict[type[commands.Pushed], Callable[[], str]] = {
    commands.Asked: lambda: _("question {number} of {peer}: {message}"),
    commands.SettledNow: lambda: _("question {number} of {peer}: {how}"),
    commands.Began: lambda: _("connection from {peer}"),
    commands.Said: lambda: "{peer}: {message}",
    commands.Over: lambda: _("connection from {peer} ended by {how}, {bytes_in} bytes in, {bytes_out} bytes out"),
    commands.LeftOut: lambda: _("events left out in the last second: {count}"),
}


def _completions(words: list[str], text: str) -> list[str]:
    """What could follow: a command, or what belongs to the one that is there."""
    verb_typed, space, _rest = _typed().lstrip().partition(" ")
    known = _SECOND.get(verb_typed, []) if space else words
    return [each for each in known if each.startswith(text)]


_TARGETS = ["tcp", "udp", *BY_NAME]
_SECOND = {"answer": ["next", "all", "--raw"], "sockopts": ["all", *_TARGETS], "set": _TARGETS}


@contextlib.contextmanager
def _line_editing(words: list[str]) -> Any:
    """readline with a history of its own and completion of the first word."""
    try:
        import readline
    except ImportError:  # a Python without it: lines are typed as the terminal lets them be
        yield
        return
    history = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "echotime_history"
    with contextlib.suppress(OSError):
        readline.read_history_file(history)
    readline.set_history_length(_HISTORY)
    readline.parse_and_bind("tab: complete")
    readline.set_completer_delims(" ")
    readline.set_completer(lambda text, state: [*_completions(words, text), None][state])
    modes = TerminalModes(sys.stdin.fileno()) if sys.stdin.isatty() else None
    if modes is not None:
        modes.guard(signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)
    try:
        yield
    finally:
        if modes is not None:
            modes.unguard()
        with contextlib.suppress(OSError):
            history.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(history)
