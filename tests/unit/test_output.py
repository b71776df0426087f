"""Test that text from outside the process is escaped wherever it is shown: log, tools, terminal and metrics."""

from __future__ import annotations

import ast
import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs, formatEvent

from echotime.cli.main import build_parser
from echotime.cli.output.streams import print_error, print_lines
from echotime.logger import Logger
from echotime.operators.reply_queue import PendingMessage, ReplyQueue
from echotime.operators.terminal import TerminalOperator
from echotime.systemd.activation import InheritedFD, InheritedSockets
from echotime.wire.exposition import Family

ROOT = Path(__file__).parents[2]
NASTY = "\x1b[2J\n\N{RIGHT-TO-LEFT OVERRIDE}\udcff"
SHOWN = r"\x1b[2J\n\u202e\udcff"
STREAM_WRITERS = {
    "errors.py",
    "cli/output/streams.py",
    "cli/output/progress.py",
    "cli/output/terminal_sink.py",
    "cli/arguments.py",
    "cli/control/screen.py",
}
"""Modules that write to standard streams. Those of the tools escape what they write, or write constant text."""


def writes(path: Path) -> Iterator[ast.Call]:
    """Yield the calls of a module that write to a standard stream, unless the text is sanitized."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "print" or called.endswith((".stdout.write", ".stderr.write")):
                yield node


@pytest.mark.parametrize("path", sorted((ROOT / "echotime/cli").rglob("*.py")), ids=lambda path: path.name)
def test_tools_print_in_one_place(path: Path) -> None:
    """The tools print through cli/output/streams.py, which escapes."""
    if str(path.relative_to(ROOT / "echotime")) not in STREAM_WRITERS:
        assert all("sanitize(" in ast.unparse(each.args[0]) for each in writes(path))


def test_print(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of the tools are escaped, and a text is one line."""
    print_lines([NASTY, "plain"])
    print_error(NASTY)
    assert capsys.readouterr() == (f"{SHOWN}\nplain\n", f"{SHOWN}\n")


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments are escaped in usage errors of the tools, those of subcommands included."""
    for arguments in (["time", "a", NASTY], ["explain", NASTY]):
        with pytest.raises(SystemExit):
            build_parser().parse_args(arguments)
        assert SHOWN in capsys.readouterr().err


def test_log() -> None:
    """Texts of an event are escaped. Numbers keep their type."""
    with capturedLogs() as events:
        Logger().emit(LogLevel.info, "{name}: {seconds:.1f}", name=NASTY, seconds=1)
    assert formatEvent(events[0]) == f"{SHOWN}: 1.0"


def test_name_of_an_inherited_socket() -> None:
    """The name of a socket that was passed in and not used is escaped in the log."""
    with capturedLogs() as events:
        InheritedSockets([InheritedFD(os.open(os.devnull, os.O_RDONLY), NASTY)]).close()
    assert SHOWN in formatEvent(events[-1])


def test_metrics() -> None:
    """A label is escaped in the text file, so that the file can be written as UTF-8."""
    (sample,) = Family("echotime_up", "").add(1, server=f'"{NASTY}"').samples
    assert str(sample) == r'{server="\"\\x1b[2J\n\\u202e\\udcff\""} 1'


def test_operator_terminal() -> None:
    """The name of another operator is escaped at the daemon's terminal."""
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0), os.fdopen(slave, "w", encoding="utf-8") as screen:
        operator = TerminalOperator(ReplyQueue(MemoryReactorClock()), screen, screen, MemoryReactorClock())
        question = PendingMessage(1, "127.0.0.1:1", b"hello", 0.0)
        operator.on_question(question)
        operator.on_settled(question, f"answered by {NASTY}")
        shown = b""
        while b"answered" not in shown:
            shown += os.read(master, 4096)
        assert f"127.0.0.1:1: answered by {SHOWN}\r\n".encode() in shown
