"""Test cli/: arguments, the textfile, and the message catalogues."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from twisted.internet.task import Clock

from echotime.cli import arguments
from echotime.cli.main import build_parser
from echotime.cli.option_report import describe_option, option_json
from echotime.cli.output.prometheus import write_metrics
from echotime.client.exit_status import ExitStatus
from echotime.client.idle_timer import IdleTimer
from echotime.i18n.build import compile_catalogues
from echotime.sockopt.catalogue.index import CATALOGUE
from echotime.sockopt.option import Option
from echotime.sockopt.trial import current_values
from echotime.terminal.columns import Heading, Table, pad, wrap
from echotime.wire import parsers
from echotime.wire.escape import TerminalDecoder, display_width
from echotime.wire.exposition import Family, format_metrics
from echotime.wire.hostport import HostPort
from echotime.wire.json_line import format_json

PACKAGE = Path(__file__).parents[2] / "echotime"
SYSTEM_ERRORS = {
    *map(os.strerror, errno.errorcode),
    # gai_strerror(3)
    *("Temporary failure in name resolution", "Non-recoverable failure in name resolution"),
    *("No address associated with hostname", "Address family for hostname not supported"),
}
TRANSLATIONS = sorted((PACKAGE / "i18n").glob("*/LC_MESSAGES/echotime.po"))


@pytest.mark.parametrize(
    ("typed", "server"),
    [
        ("host", HostPort("host", 12345)),
        ("host:7", HostPort("host", 7)),
        ("127.0.0.1", HostPort("127.0.0.1", 12345)),
        ("::1", HostPort("::1", 12345)),
        ("[::1]", HostPort("::1", 12345)),
        ("[::1]:7", HostPort("::1", 7)),
        ("[fe80::1%lo]:7", HostPort("fe80::1%lo", 7)),
    ],
)
def test_server(typed: str, server: HostPort) -> None:
    """A server is a name or an address, with or without a port."""
    assert arguments.parse_server(typed) == server


@pytest.mark.parametrize("typed", ["", "12345", ":7", "host:", "host:x", "host:70000", "[host]:7", "[]", "1:2:3:x"])
def test_no_server(typed: str) -> None:
    """All other texts are errors."""
    with pytest.raises(ValueError, match=r"\w"):
        arguments.parse_server(typed)


def test_list_of_servers() -> None:
    """A list of servers has a message of its own."""
    with pytest.raises(ValueError, match="'a:1,b:1' is a list; expected one server"):
        arguments.parse_server("a:1,b:1")


@pytest.mark.parametrize("typed", ["./control", "/run/echotime/control", "10.0.0.0/8:7"])
def test_path_as_server(typed: str) -> None:
    """A path is not a server."""
    with pytest.raises(ValueError, match=f"^'{typed}' has a slash, and a path is not a server; expected HOST or HOST"):
        arguments.parse_server(typed)


@pytest.mark.parametrize(("typed", "count"), [("10", 10), ("10k", 10_000), ("1K", 1000), ("2M", 2_000_000)])
def test_counts(typed: str, count: int) -> None:
    """A count may have a unit of thousands or millions, for the daemon and the tools."""
    assert parsers.positive_int(typed) == count
    assert build_parser().parse_args(["ping", "-c", typed, "host"]).count == count


def test_sizes() -> None:
    """A number of bytes may have a unit of 1024, as the values of socket options."""
    assert [parsers.byte_count(each) for each in ("0", "1400", "4k", "4K")] == [0, 1400, 4096, 4096]
    for text in ("", "k", "-1", "4kB", "3G"):
        with pytest.raises(ValueError, match="must be"):
            parsers.byte_count(text)


@pytest.mark.parametrize("command", ["", "send", "time", "ping", "check", "sockopts", "explain", "control"])
def test_short_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command has -h and -V."""
    for option, beginning in (("-h", "usage: "), ("-V", "echotime ")):
        with pytest.raises(SystemExit, match="0"):
            build_parser().parse_args([*command.split(), option])
        assert capsys.readouterr().out.startswith(beginning)


def test_families() -> None:
    """-4 and -6 are options, never the server."""
    for command in ("send", "time", "ping", "check"):
        for option, family in (("-4", socket.AF_INET), ("-6", socket.AF_INET6)):
            args = build_parser().parse_args([command, option, "host"])
            assert (args.family, args.server) == (family, HostPort("host", 12345))


def test_json() -> None:
    """JSON has no digits beyond a microsecond, and bytes are escaped."""
    value = {"a": 0.1234567891, "b": [0.3 - 0.1, 1], "c": b"\0x"}
    assert format_json(value) == r'{"a": 0.123457, "b": [0.2, 1], "c": "\\x00x"}'


@pytest.mark.parametrize("typed", ["0", "-1", "x", "nan", "inf", "", "1d"])
def test_no_seconds(typed: str) -> None:
    """A number of seconds must be above 0."""
    with pytest.raises(ValueError, match="must be"):
        parsers.positive_seconds(typed)


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("5", 5), (".5", 0.5), ("500ms", 0.5), ("500us", 0.0005), ("2s", 2), ("5m", 300), ("5min", 300), ("1h", 3600)],
)
def test_seconds(typed: str, seconds: float) -> None:
    """The tools accept the times of the daemon."""
    args = build_parser().parse_args(["send", "--timeout", typed, "host", "x"])
    assert args.timeout == seconds


def test_statuses_are_promised() -> None:
    """The exit statuses are the promised numbers."""
    assert {status.name: status.value for status in ExitStatus} == {
        "OK": 0,
        "FAILED": 1,
        "USAGE": 2,
        "REFUSED": 3,
        "TIMED_OUT": 4,
        "RESET": 5,
        "NAME_NOT_FOUND": 6,
        "NO_ANSWER": 7,
    }


def test_inactivity() -> None:
    """The function is called only after a time without a reset."""
    clock, given_up = Clock(), []
    watch = IdleTimer(clock, 2)
    watch.reset()  # before it has begun
    watch.start(lambda: given_up.append(clock.seconds()))
    clock.advance(1.5)
    watch.reset()
    clock.advance(1.5)
    assert given_up == []
    clock.advance(1)
    assert given_up == [3.5 + 0.5]
    watch.cancel()
    IdleTimer(clock, None).start(lambda: given_up.append(0))
    assert clock.getDelayedCalls() == []


def test_textfile(tmp_path: Path) -> None:
    """The textfile is replaced in one step, and nothing but a file is replaced."""
    metrics = [Family("a", "First.").add(1)]
    write_metrics(tmp_path / "x.prom", metrics)
    assert (tmp_path / "x.prom").read_text(encoding="utf-8") == format_metrics(metrics)
    with pytest.raises(OSError, match="regular file"):
        write_metrics(tmp_path, metrics)
    assert [each.name for each in tmp_path.iterdir()] == ["x.prom"], "no unfinished file is left"


@pytest.mark.parametrize("option", CATALOGUE, ids=lambda option: option.name)
def test_facts(option: Option) -> None:
    """Every option can be described, in lines that fit a terminal and as JSON."""
    values = current_values(option)
    lines = list(describe_option(option, values))
    told = " ".join(" ".join(lines).split())
    for each in (option.name, option.meaning, option.use, option.caveat, *values.values()):
        assert each in told
    assert all(display_width(line) <= 80 for line in lines)
    assert json.loads(json.dumps(option_json(option, values)))["meaning"] == option.meaning


def test_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide characters count twice, a line may break before each, and no line begins with punctuation."""
    monkeypatch.setenv("COLUMNS", "60")
    assert pad("值", 4) + "|" == "值  |"
    assert pad("value", 4) == "value ", "one space at least"
    text = "只向直接相连的网络发送。" * 10
    lines = list(wrap(text, "  A ", "    "))
    assert "".join(line.strip() for line in lines) == "A " + text
    assert all(50 < display_width(line) <= 60 for line in lines[:-1])
    assert not [line for line in lines if line.strip().startswith("。")]
    assert list(wrap("one two", "> ")) == ["> one two"]
    assert list(wrap("", "> ")) == []


def test_long_words_are_cut() -> None:
    """A word that is wider than the line is cut, without losing or repeating a character."""
    for text in ("x" * 200, "值" * 100 + " b", "a " + "、" * 90):
        lines = list(wrap(text, "> ", "    ", 60))
        assert all(display_width(line) <= 60 for line in lines)
        assert "".join(lines).replace(" ", "") == "> ".replace(" ", "") + text.replace(" ", "")


def test_table_rows() -> None:
    """Without a width a row is one line; otherwise all rows fold at the same column, and the last cell is wrapped."""
    rows = [["id", "NAME", "text " * 20], ["2", "名称", ""]]
    assert list(Table([30, 20, 100], None).row(rows[0])) == [
        "id" + " " * 28 + "NAME" + " " * 16 + ("text " * 20).rstrip()
    ]
    table = Table([30, 20, 100], 60)
    first, *rest = table.row(rows[0])
    assert first == "id" + " " * 28 + "NAME"
    assert len(rest) == 2
    assert all(line.startswith("    text") and len(line) <= 60 for line in rest)
    assert list(table.row(rows[1])) == ["2" + " " * 29 + "名称"]
    assert list(Table([10, 100], 60).row(["a", "text " * 20]))[1].startswith(" " * 10 + "text")
    assert all(isinstance(line, Heading) for line in table.heading(rows[0]))


def test_terminal_text() -> None:
    """Characters may arrive in pieces; control characters and undecodable bytes are escaped."""
    shown = TerminalDecoder()
    assert shown.feed("a\n\t你".encode()[:-1]) == "a\n\t"
    assert shown.feed("你".encode()[-1:]) == "你"
    assert shown.feed(b"\x1b[2J\r\x00\xff") == r"\x1b[2J\r\x00\xff"
    assert shown.feed("\u202e\u200b".encode()) == r"\u202e\u200b"
    assert shown.feed(b"\xe4", final=True) == r"\xe4"
    assert TerminalDecoder("cp936").feed("你".encode("cp936")) == "你"


def read(path: Path) -> Catalog:
    """Return a catalogue from its .po file."""
    with path.open("rb") as source:
        return read_po(source, abort_invalid=True)


@functools.cache
def messages() -> set[str]:
    """Return every message that the source marks, and the texts of the catalogue of socket options."""
    found = extract_from_dir(PACKAGE, method_map=[("**.py", "python")], keywords={"_": None, "N_": None})
    marked = {message for _, _, message, _, _ in found if isinstance(message, str)}
    return marked | {text for option in CATALOGUE for text in texts_of(option)}


def texts_of(option: Option) -> Iterator[str]:
    """Yield the texts of a row that are translated where they are shown."""
    yield from filter(None, (option.meaning, option.use, option.caveat))
    if option.read_back_note:
        yield option.read_back_note.reason
    if option.hazard:
        yield option.hazard.warning
    if option.privilege:
        yield option.privilege.required


def fields(message: str) -> set[str]:
    """Return the fields of a message, with their conversions and formats."""
    if "%(" in message or "%s" in message or "%r" in message:
        return set(re.findall(r"%\(?\w*\)?[sr]", message))
    return {f"{name}!{conversion}:{form}" for _, name, form, conversion in Formatter().parse(message) if name}


def test_there_is_chinese() -> None:
    """There is a Chinese catalogue."""
    assert [path.parts[-3] for path in TRANSLATIONS] == ["zh_CN"]
    assert len(messages()) > 100


@pytest.mark.parametrize("path", TRANSLATIONS, ids=lambda path: path.parts[-3])
def test_catalogue_is_complete(path: Path) -> None:
    """Every message of the source is translated with the same fields, and there are no other entries."""
    catalogue = read(path)
    translated = {entry.id for entry in catalogue if entry.string and not entry.fuzzy}
    assert messages() - translated == set()
    for entry in catalogue:
        if entry.id:
            assert fields(str(entry.id)) == fields(str(entry.string)), entry.id
            known = entry.id in messages() | SYSTEM_ERRORS or "argparse" in entry.auto_comments
            assert known, f"{entry.id!r} is not in the source"


@pytest.mark.parametrize("path", TRANSLATIONS, ids=lambda path: path.parts[-3])
def test_build(path: Path, tmp_path: Path) -> None:
    """The package build makes a .mo with the same messages."""
    copy = tmp_path / path.relative_to(PACKAGE / "i18n")
    copy.parent.mkdir(parents=True)
    copy.write_bytes(path.read_bytes())
    (made,) = compile_catalogues(tmp_path)
    with made.open("rb") as binary:
        said = {entry.id: entry.string for entry in read_mo(binary) if entry.id}
    assert said == {entry.id: entry.string for entry in read(path) if entry.id}


def test_original_wording() -> None:
    """Texts of the original scripts are unchanged."""
    said = {str(entry.id): str(entry.string) for entry in read(TRANSLATIONS[0])}
    for message, wording in {
        "connection from {peer}": "连接来自: {peer}",
        "input the server ip:": "输入服务器ip:",
        "input the server address:": "输入服务器地址:",
        "input the message to send:": "输入要发送的信息:",
        "Sending is done.": "发送完成。",
        "waiting for the answer...": "等待回复……",
    }.items():
        assert said[message] == wording
    assert "回复错误" in said["echotime: {server}: bad response, {size} bytes: {text} (probably {kind})"]
