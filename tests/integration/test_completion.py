"""Test shell completion in shells on a terminal, by the words that a key inserts."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from echotime.cli.control.verbs import COMMANDS
from echotime.cli.main import build_parser
from echotime.config.options import DaemonOptions
from tests.support.pty_child import OnTerminal

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "etc" / "completion"
_ALL, _SHOW, _CLEAR = b"\x14", b"\x07", b"\x15"


class ShellTestCase(SynchronousTestCase):
    """Run one shell in a folder of its own for the tests of a class."""

    command: tuple[str, ...] = ()
    prepared: str
    more: ClassVar[dict[str, str]]
    """Command lines that only this shell completes, and the word that each is completed to."""
    folder: Path
    _shell: OnTerminal | None = None

    @classmethod
    def setUpClass(cls) -> None:
        """Start the shell, with a key that inserts all matches and a key that shows the line."""
        if not cls.command or shutil.which(cls.command[0]) is None:
            return
        cls.folder = Path(tempfile.mkdtemp(prefix="echotime-completion-"))
        (cls.folder / "options.conf").touch()
        # zsh runs the command itself; installed, this name is a link to twistd
        (cls.folder / "twistd-echotime").symlink_to(Path(sys.executable).with_name("twistd"))
        path = f"{cls.folder}:/usr/bin:/bin"
        environment = {"PATH": path, "TERM": "dumb", "HOME": str(cls.folder), "LC_ALL": "C.UTF-8", "PS1": ""}
        cls._shell = OnTerminal(["env", "-C", str(cls.folder), *cls.command], environment)
        cls._shell.type(cls.prepared.format(files=FILES).encode())
        cls._shell.until("prepare[d]")

    @classmethod
    def tearDownClass(cls) -> None:
        """Close the shell and remove its folder."""
        if cls._shell is not None:
            cls._shell.close()
            shutil.rmtree(cls.folder)

    def completed(self, typed: str) -> str:
        """Return the line after all matches were inserted."""
        if self._shell is None:
            raise SkipTest(f"{self.command[0]} is not installed")
        self._shell.type(typed.encode() + _ALL + _SHOW)
        line = self._shell.until(r"\n<(.*?)>\r?\n")[1]
        self._shell.type(_CLEAR)
        return str(line).rstrip()

    def assert_offers(self, command: str, expected: set[str], before: str = "") -> None:
        """Check the words offered after a command, for a word that begins with `before`."""
        self.assertEqual(self.offered(command, before), expected, command)

    def offered(self, command: str, before: str = "") -> set[str]:
        """Return the words offered after a command, without the = after an option."""
        found = self.completed(f"{command} {before}").removeprefix(command).split()
        return {each.rstrip("=") for each in found}


def _parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield the commands of echotime with their parsers."""
    whole = build_parser()
    yield "echotime", whole
    (commands,) = (each for each in whole._actions if isinstance(each, argparse._SubParsersAction))
    yield from ((f"echotime {name}", each) for name, each in commands.choices.items())


class _Cases:
    """Test completion that is the same in both shells."""

    def test_everything(self: ShellTestCase) -> None:  # type: ignore[misc]
        """All commands and options of both parsers are offered."""
        for path, found in _parsers():
            names = {name for each in found._actions for name in each.option_strings if name.startswith("--")}
            self.assert_offers(path, names, "--")
        self.assert_offers("echotime", {path.partition(" ")[2] for path, _found in _parsers()} - {""})
        self.assert_offers("echotime control", {*COMMANDS, "watch"})
        self.assert_offers(
            "twistd-echotime echotime", {f"--{each.rstrip('=')}" for each in DaemonOptions().longOpt}, "--"
        )
        self.assertIn("echotime", self.offered("twistd-echotime"))
        own = self.offered("twistd-echotime", "--")
        self.assertEqual(own - {f"--{each.rstrip('=')}" for each in ServerOptions().longOpt}, set())
        self.assertEqual({"--nodaemon", "--pidfile", "--logfile", "--uid"} - own, set())

    def test_values(self: ShellTestCase) -> None:  # type: ignore[misc]
        """Files, words and socket options are completed after a blank and after =."""
        for typed, expected in {
            "twistd-echotime --nodaemon echotime --config opt": "options.conf",
            "twistd-echotime --nodaemon echotime --config=opt": "--config=options.conf",
            "twistd-echotime --nodaemon echotime --epoch ": "1900 unix",
            "twistd-echotime --nodaemon echotime --epoch=u": "--epoch=unix",
            "twistd-echotime --nodaemon echotime --backlog 9 --epoch u": "unix",
            "twistd-echotime echotime --tcp [::]:1945 --backl": "--backlog",
            "twistd-echotime echotime --sockopt SO_KEEPA": "SO_KEEPALIVE=",
            "twistd-echotime echotime --sockopt SO_KEEPALIVE=on --drain": "--drain-timeout",
            "echotime explain SO_OOB": "SO_OOBINLINE",
            "echotime explain SO_OOBINLINE back": "backlog",
            "echotime time --epoch 19": "1900",
            "echotime ping localhos": "localhost",
            "echotime check -w off": "offset=",
            "echotime check -H localhos": "localhost",
            "echotime check --proxy-protocol ": "1 2",
            "echotime send --proxy-source 1.2.3.4:1 --proxy-p": "--proxy-protocol",
            "echotime control --socket opt": "options.conf",
            "echotime control --json cou": "counters",
            "echotime control set tcp SO_KEEPA": "SO_KEEPALIVE=",
            "echotime control sockopts ud": "udp",
            "echotime control sockopts udp SO_OOB": "SO_OOBINLINE",
            "echotime control answer n": "next",
            **self.more,
        }.items():
            # zsh appends = to an option that takes a value, and removes it again
            self.assertEqual(self.completed(typed).rstrip("="), f"{typed.rpartition(' ')[0]} {expected}".rstrip("="))


class BashTests(_Cases, ShellTestCase):
    """Complete by readline in bash, without the package bash-completion."""

    command = ("bash", "--norc", "--noprofile", "-i")
    more: ClassVar[dict[str, str]] = {
        "twistd-echotime echotime --sockopt tcp:SO_KEEPA": "tcp:SO_KEEPALIVE=",
        "twistd-echotime echotime --sockopt=udp:SO_BROAD": "--sockopt=udp:SO_BROADCAST=",
        "twistd-echotime ": "echotime",
        "twistd -n echotime --config opt": "options.conf",
        "twistd --pidfile opt": "options.conf",
    }
    prepared = (
        "bind 'set enable-bracketed-paste off'; bind '\"\\C-t\": insert-completions'; "
        "show() {{ printf '\\n<%s>\\n' \"$READLINE_LINE\"; }}; bind -x '\"\\C-g\": show'; set -u; "
        "for each in {files}/*.bash; do source $each; done; echo prepare''d\n"
    )


class ZshTests(_Cases, ShellTestCase):
    """Complete by compinit in zsh."""

    command = ("zsh", "-f", "-i")
    more: ClassVar[dict[str, str]] = {
        "echotime send --sockopt tcp:SO_KEEPA": "tcp:SO_KEEPALIVE=",
        "echotime send --sockopt tc": "tcp:",
    }
    prepared = (
        "unsetopt zle_bracketed_paste prompt_cr prompt_sp; fpath=({files} $fpath); PROMPT=; "
        "autoload -Uz compinit && compinit -u -D; "
        "zle -C all complete-word _generic; bindkey '^T' all; bindkey '^U' kill-whole-line; "
        "zstyle ':completion:all:*' completer _all_matches _complete; zstyle ':completion:all:*' insert true; "
        "zstyle ':completion:*:hosts' hosts localhost; "
        "show() {{ print -r; print -r -- \"<$BUFFER>\"; }}; zle -N show; bindkey '^G' show; print prepare''d\n"
    )
