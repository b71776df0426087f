"""config/help.py: the help of the daemon, in the groups that the man page, the docs and the completion have, too."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from echotime.config.help import format_help
from echotime.config.options import DaemonOptions
from echotime.config.settings import GROUPS
from echotime.wire import parsers

ROOT = Path(__file__).parents[2]
TITLES = [
    "Addresses and socket options",
    "Replies",
    "Operators",
    "UDP time",
    "Access and limits",
    "Log",
    "HTTP",
    "Misbehavior for tests",
]


def test_groups() -> None:
    """Every option is in one group, and no group is without options."""
    names = [each.name for options in GROUPS.values() for each in options]
    accepted = {each.rstrip("=") for each in DaemonOptions().longOpt}
    assert sorted(names) == sorted(accepted)
    assert list(GROUPS) == [*TITLES, "Process and files"]
    assert all(GROUPS.values())


@pytest.mark.parametrize("width", [60, 80, 200])
def test_help(width: int) -> None:
    """The help has each option in its group, with metavar and default, and fits the terminal."""
    text = DaemonOptions().getUsage(width)
    assert re.findall(r"^(\S[^:\n]+):$", text, re.MULTILINE) == list(GROUPS)
    for options in GROUPS.values():
        for each in options:
            assert re.search(rf"^  {re.escape(each.form)}( |$)", text, re.MULTILINE), each.form
    whole = " ".join(text.split())
    assert "--idle-timeout TIME End a connection that is idle for TIME. [default: no limit]" in whole
    assert "--deny NET Refuse clients from NET. [repeatable; default: none]" in whole
    # the example is one line, so that it can be copied
    assert max(map(len, text.splitlines()[:-1])) <= min(width, 100)


def test_terminal_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """The help is wrapped at the width of the terminal."""
    monkeypatch.setenv("COLUMNS", "70")
    assert format_help(GROUPS) == format_help(GROUPS, 70)


@pytest.mark.parametrize("short", ["-h", "-V"])
def test_short(short: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The short forms do what the long ones do."""
    printed = []
    for each in (short, {"-h": "--help", "-V": "--version"}[short]):
        with pytest.raises(SystemExit):
            DaemonOptions().parseOptions([each])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_generated() -> None:
    """The man page, the table of the docs and the completion have the groups and options in the same order."""
    man = (ROOT / "docs/man/twistd-echotime.8").read_text(encoding="utf-8").replace("\\-", "-")
    table = (ROOT / "docs/options.md").read_text(encoding="utf-8")
    shell = (ROOT / "etc/completion/twistd-echotime.bash").read_text(encoding="utf-8")
    names = [f"--{each.name}" for options in GROUPS.values() for each in options]
    assert re.findall(r"^\.SS (.*)$", man, re.MULTILINE) == list(GROUPS)
    assert re.findall(r"^\.B (?:-\w, )?(--[a-z-]+)", man, re.MULTILINE) == names
    assert re.findall(r"^## (.*)$", table.partition("<!-- /options -->")[0], re.MULTILINE) == list(GROUPS)
    assert re.findall(r"^\| `(?:-\w, )?(--[a-z-]+)", table, re.MULTILINE)[: len(names)] == names
    assert " ".join(names) in shell


@pytest.mark.parametrize(
    ("parse", "text", "fault"),
    [
        (parsers.positive_int, "0", "must be at least 1"),
        (parsers.positive_int, "-5", "must be at least 1"),
        (parsers.positive_int, "x", "must be a whole number, at least 1"),
        (parsers.positive_int, "0" * 100_000 + "x", "must be a whole number, at least 1"),
        (parsers.non_negative_int, "9" * 100_000, "must be at most 2147483647"),
        (parsers.non_negative_int, "-" + "9" * 100_000, "must be at least 0"),
        (parsers.positive_seconds, "0ms", "must be more than 0"),
        (parsers.positive_seconds, "-1", "must be more than 0"),
        (parsers.non_negative_seconds, "9" * 100_000, "must be at most 2147483647"),
        (parsers.non_negative_seconds, "5d", "must be a time in seconds, or with a unit, as in 5, 0.5, 500ms"),
    ],
)
def test_numbers(parse: Callable[[str], float], text: str, fault: str) -> None:
    """A number that is refused gets a message that says only what is wrong with it."""
    with pytest.raises(ValueError, match=f"^{fault}"):
        parse(text)
