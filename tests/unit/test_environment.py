"""Test config/environment.py: the options of ECHOTIME_OPTIONS, together with those of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.python.usage import UsageError

from echotime.config.options import DaemonOptions
from echotime.config.settings import Settings

ETC = Path(__file__).parents[2] / "etc"


def parsed(monkeypatch: pytest.MonkeyPatch, text: str, *command_line: str) -> Settings:
    """Return the settings of a command line while ECHOTIME_OPTIONS has a text."""
    monkeypatch.setenv("ECHOTIME_OPTIONS", text)
    options = DaemonOptions()
    options.parseOptions(command_line)
    return options.settings


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("--reply ok", b"ok"),
        ("\n  --reply\n  ok\n", b"ok"),
        ("--reply='well done'", b"well done"),
        ('--reply "well done"', b"well done"),
        ("--reply well\\ done", b"well done"),
        ("--reply '\\n$HOME'", b"\n$HOME"),
        ("--reply '#'", b"#"),
        ("--reply ''", b""),
        ("", b"default"),
        (" \n", b"default"),
    ],
)
def test_quoting(monkeypatch: pytest.MonkeyPatch, text: str, reply: bytes) -> None:
    """The variable is divided and unquoted as by a shell, without expansions, and its value counts."""
    settings = parsed(monkeypatch, text, "--reply", "default")
    assert settings.reply == parsed(monkeypatch, "", "--reply", reply.decode().replace("\n", "\\n")).reply


def test_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of a repeatable option are added to those of the command line."""
    assert len(parsed(monkeypatch, "--tcp 127.0.0.1:0", "--tcp", "127.0.0.1:0").tcp) == 2


def test_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable takes precedence over the file that it names."""
    file = tmp_path / "file"
    file.write_text("[echotime]\nmax-connections = 7\nbacklog = 8\n", encoding="utf-8")
    settings = parsed(monkeypatch, f"--config '{file}' --backlog 9")
    assert (settings.max_connections, settings.backlog) == (7, 9)


@pytest.mark.parametrize(
    ("text", "command_line", "fault"),
    [
        ("--tcp", (), "option --tcp requires argument"),
        ("--tcp x", (), "--tcp x: 'x' is neither a port nor ADDRESS:PORT"),
        ("--bogus", (), "unknown option --bogus"),
        ("7777", (), "unexpected argument '7777'"),
        ("--udp 0", ("--tcp",), "option --tcp requires argument"),
        ("--udp 0\x1b", (), "--udp 0\\x1b: "),
    ],
)
def test_faults(monkeypatch: pytest.MonkeyPatch, text: str, command_line: tuple[str, ...], fault: str) -> None:
    """Every fault is followed by what the variable has, which may not be in sight."""
    with pytest.raises(UsageError) as raised:
        parsed(monkeypatch, text, *command_line)
    first, note = str(raised.value).splitlines()
    assert first.startswith(fault)
    assert note.startswith("ECHOTIME_OPTIONS follows the command line, and has: ")
    assert note.isprintable()


@pytest.mark.parametrize(
    ("text", "fault"), [("--reply 'a", "no closing quotation"), ("--reply a\\", "no escaped character")]
)
def test_unbalanced(monkeypatch: pytest.MonkeyPatch, text: str, fault: str) -> None:
    """A text that a shell would not accept is a fault of one line, which shows it."""
    with pytest.raises(UsageError, match=f"^ECHOTIME_OPTIONS=--reply .*: {fault}; expected .* as in a shell$"):
        parsed(monkeypatch, text)


def test_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable nothing is said of it."""
    monkeypatch.delenv("ECHOTIME_OPTIONS", raising=False)
    with pytest.raises(UsageError) as raised:
        DaemonOptions().parseOptions(["--bogus"])
    assert "ECHOTIME" not in str(raised.value)


def test_units() -> None:
    """No unit has the variable on its command line, where its options would be given twice."""
    units = [each for each in ETC.iterdir() if each.suffix == ".service"]
    assert len(units) > 2
    assert not [each.name for each in units if "$ECHOTIME_OPTIONS" in each.read_text(encoding="utf-8")]
