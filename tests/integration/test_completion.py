"""Shell completion, tried in shells on a terminal: what a key of theirs puts into the line."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from echotime.completion.grammar import Node, daemon, tools
from tests.integration.terminal import OnTerminal

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "etc" / "completion"
_ALL, _SHOW, _CLEAR = b"\x14", b"\x07", b"\x15"


class ShellTestCase(SynchronousTestCase):
    """One shell, in a folder of its own, for the tests of a class."""

    command: tuple[str, ...] = ()
    prepared: str
    folder: Path
    _shell: OnTerminal | None = None

    @classmethod
    def setUpClass(cls) -> None:
        """Start it, with a key that inserts all that fits and one that shows the line."""
        if not cls.command or shutil.which(cls.command[0]) is None:
            return
        cls.folder = Path(tempfile.mkdtemp(prefix="echotime-completion-"))
        (cls.folder / "options.conf").touch()
        environment = {"PATH": "/usr/bin:/bin", "TERM": "dumb", "HOME": str(cls.folder), "LC_ALL": "C.UTF-8", "PS1": ""}
        cls._shell = OnTerminal(["env", "-C", str(cls.folder), *cls.command], environment)
        cls._shell.type(cls.prepared.format(files=FILES).encode())
        cls._shell.until("prepare[d]")

    @classmethod
    def tearDownClass(cls) -> None:
        """It is gone."""
        if cls._shell is not None:
            cls._shell.close()
            shutil.rmtree(cls.folder)

    def completed(self, typed: str) -> str:
        """The line, when all that fits is put into it."""
        if self._shell is None:
            raise SkipTest(f"{self.command[0]} is not installed")
        self._shell.type(typed.encode() + _ALL + _SHOW)
        line = self._shell.until(r"\n<(.*?)>\r?\n")[1]
        self._shell.type(_CLEAR)
        return str(line).rstrip()

    def assert_offers(self, root: Node) -> None:
        """Every option of every command, and its commands; and nothing else."""
        for node in root.all():
            names = {name for option in node.options for name in option.names if name.startswith("--")}
            if names:
                found = self.completed(f"{node.path} --").removeprefix(node.path).split()
                self.assertEqual({each.rstrip("=") for each in found}, names, node.path)
            if node.children:
                found = self.completed(f"{node.path} ").removeprefix(node.path).split()
                self.assertEqual(sorted(found), sorted(child.name for child in node.children))


class _Cases:
    """What holds in both shells."""

    def test_everything(self: ShellTestCase) -> None:  # type: ignore[misc]
        """All commands and options, those of both parsers."""
        self.assert_offers(tools())
        self.assert_offers(daemon())

    def test_values(self: ShellTestCase) -> None:  # type: ignore[misc]
        """Files, words and socket options, behind a blank and behind =."""
        for typed, expected in {
            "twistd-echotime --nodaemon echotime --config opt": "options.conf",
            "twistd-echotime --nodaemon echotime --config=opt": "--config=options.conf",
            "twistd-echotime --nodaemon echotime --epoch ": "1900 unix",
            "twistd-echotime --nodaemon echotime --epoch=u": "--epoch=unix",
            "twistd-echotime --nodaemon echotime --backlog 9 --epoch u": "unix",
            "twistd-echotime echotime --tcp [::]:1945 --backl": "--backlog",
            "twistd-echotime echotime --sockopt SO_KEEPA": "SO_KEEPALIVE=",
            "twistd-echotime echotime --sockopt tcp:SO_KEEPA": "tcp:SO_KEEPALIVE=",
            "twistd-echotime echotime --sockopt=udp:SO_BROAD": "--sockopt=udp:SO_BROADCAST=",
            "twistd-echotime echotime --sockopt SO_KEEPALIVE=on --drain": "--drain-seconds",
            "echotime explain SO_OOB": "SO_OOBINLINE",
            "echotime explain SO_OOBINLINE back": "backlog",
            "echotime time --epoch 19": "1900",
            "echotime ping localhos": "localhost",
            "echotime check -w off": "offset=",
            "echotime control --socket opt": "options.conf",
            "echotime control --json cou": "counters",
            "echotime control set tcp SO_KEEPA": "SO_KEEPALIVE=",
            "echotime control sockopts ud": "udp",
        }.items():
            # zsh puts = behind an option that takes a value, and takes it away again
            self.assertEqual(self.completed(typed).rstrip("="), f"{typed.rpartition(' ')[0]} {expected}".rstrip("="))


class BashTests(_Cases, ShellTestCase):
    """As readline completes with what bash has loaded; with nothing of the package bash-completion."""

    command = ("bash", "--norc", "--noprofile", "-i")
    prepared = (
        "bind 'set enable-bracketed-paste off'; bind '\"\\C-t\": insert-completions'; "
        "show() {{ printf '\\n<%s>\\n' \"$READLINE_LINE\"; }}; bind -x '\"\\C-g\": show'; set -u; "
        "for each in {files}/*.bash; do source $each; done; echo prepare''d\n"
    )


class ZshTests(_Cases, ShellTestCase):
    """As compinit finds it."""

    command = ("zsh", "-f", "-i")
    prepared = (
        "unsetopt zle_bracketed_paste prompt_cr prompt_sp; fpath=({files} $fpath); PROMPT=; "
        "autoload -Uz compinit && compinit -u -D; "
        "zle -C all complete-word _generic; bindkey '^T' all; bindkey '^U' kill-whole-line; "
        "zstyle ':completion:all:*' completer _all_matches _complete; zstyle ':completion:all:*' insert true; "
        "zstyle ':completion:*:hosts' hosts localhost; "
        "show() {{ print -r; print -r -- \"<$BUFFER>\"; }}; zle -N show; bindkey '^G' show; print prepare''d\n"
    )


class FilesTests(SynchronousTestCase):
    """etc/completion."""

    def test_current(self) -> None:
        """What stands there is what the parsers make of themselves (`make docs`)."""
        made = Path(self.mktemp()).resolve()
        made.mkdir()
        subprocess.run([sys.executable, "-m", "echotime.completion", str(made)], check=True, timeout=60, cwd=ROOT)
        self.assertEqual({each.name for each in made.iterdir()}, {each.name for each in FILES.iterdir()})
        for each in made.iterdir():
            self.assertEqual(each.read_text(encoding="utf-8"), (FILES / each.name).read_text(encoding="utf-8"))
