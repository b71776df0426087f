"""Implement the commands of `echotime control`, which are the same on the command line and at the prompt."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from echotime.cli.control.connection import ControlConnection, ControlProtocolError
from echotime.cli.output.streams import print_error
from echotime.control import commands
from echotime.control.daemon_text import translate, translate_value
from echotime.i18n.language import gettext as _
from echotime.operators.encode import InvalidReply, encode_reply
from echotime.sockopt.nearest import nearest
from echotime.sockopt.values import N_
from echotime.terminal.columns import Table, fit, terminal_width
from echotime.wire import parsers
from echotime.wire.escape import cut_mark, display_width, preview_decoded, sanitize
from echotime.wire.json_line import format_json

PREVIEW_BYTES = 60
_MAX_CELL = 1000
"""Characters of a value in a table, at most."""
_MAX_NUMBER, _MAX_DIGITS = 2**31 - 1, 10


class CommandSyntaxError(ValueError):
    """Report a command with wrong syntax, and what is expected."""


@dataclass
class ControlSession:
    """Hold the connection to the daemon and the output settings. All output goes through `write_line`."""

    connection: ControlConnection
    as_json: bool
    raw: bool
    encoding: str
    """Encoding of replies and messages. If it is empty, the daemon's is used."""
    write_line: Callable[[str], object]

    def __post_init__(self) -> None:
        self.hello = self.connection.call(commands.Hello, line_ends=b"\r\n\r\n")
        try:
            self.encoding = self.encoding or parsers.encoding(self.hello["encoding"])
        except ValueError:
            raise ControlProtocolError from None

    def parse_reply(self, text: str, *, raw: bool) -> bytes:
        """Return the bytes of a typed reply. Raises CommandSyntaxError."""
        try:
            reply = encode_reply(text, self.encoding, raw=raw)
        except InvalidReply as error:
            raise CommandSyntaxError(str(error)) from None
        if len(reply) > commands.MAX_REPLY_BYTES:
            raise CommandSyntaxError(_("a reply must not exceed {limit} bytes").format(limit=commands.MAX_REPLY_BYTES))
        return reply

    def preview(self, data: bytes, size: int) -> str:
        """Return a peer's message as text. `size` is its length, if `data` is only its beginning."""
        return preview_decoded(data, PREVIEW_BYTES, self.encoding, size)

    def preview_start(self, data: bytes, size: int) -> str:
        """Return the beginning of a datagram of `size` bytes as text, with a mark if it is not all."""
        return preview_decoded(data, len(data), self.encoding) + cut_mark(len(data), size)

    def output(self, result: Any, lines: Iterable[str]) -> None:
        """Write a result as JSON, or the lines, which are wrapped on a terminal."""
        if self.as_json:
            self.write_line(format_json(result))
            return
        for line in lines:
            for each in fit(sanitize(line)):
                self.write_line(each)

    def table(
        self, rows: Sequence[dict[str, Any]], empty: str, *columns: tuple[str, Callable[[dict[str, Any]], str]]
    ) -> None:
        """Write rows under headings. Without rows, write `empty` on standard error, where it is not a row of a pipe."""
        if self.as_json:
            self.output(rows, [])
            return
        if not rows:
            print_error(empty)
            return
        titles = [title for title, _value in columns]
        cells = [[sanitize(value(row)[:_MAX_CELL]) for _title, value in columns] for row in rows]
        widths = [max(map(display_width, column)) + 2 for column in zip(titles, *cells, strict=True)]
        widths[-1] -= 2
        table = Table(widths, terminal_width())
        for line in itertools.chain(table.heading(titles), *map(table.row, cells)):
            self.write_line(line)


class ControlCommand(NamedTuple):
    """Describe a command: its arguments, its help, and the function that runs it."""

    usage: str
    help: str
    run: Callable[[ControlSession, str], None]


def status(session: ControlSession, rest: str) -> None:
    """Show a summary of the daemon."""
    expect_no_arguments(rest)
    result = session.connection.call(commands.Status)
    lines = [
        _("echotime {version}, pid {pid}, running {seconds:.0f} s").format(**result),
        *_readiness_lines(result["stopping_in"]),
        *map(_health_line, result["health"]),
        *_other_listeners(result),
        _("connections: {connections} of {max_connections}, questions: {questions}, operators: {operators}").format(
            **result
        ),
        _("clock: {clock}").format(clock=translate(result["clock"])),
    ]
    session.output(result, lines)


def _readiness_lines(stopping_in: float | None) -> list[str]:
    if stopping_in is None:
        return []
    return [_("not ready: stopping in {seconds:.0f} s, ports open until then").format(seconds=stopping_in)]


def _health_line(row: dict[str, Any]) -> str:
    if row["status"] == "answered":
        return _("listening on {listener}, probe answered in {milliseconds:.1f} ms").format(
            listener=row["listener"], milliseconds=row["seconds"] * 1000
        )
    reason = translate(row["reason"])
    if row["status"] == "hung":
        return _("{listener} is hung: {reason}").format(listener=row["listener"], reason=reason)
    if row["status"] == "not probed":
        return _("listening on {listener}, not probed: {reason}").format(listener=row["listener"], reason=reason)
    return _("listening on {listener}, probe not answered: {reason}").format(listener=row["listener"], reason=reason)


def _other_listeners(result: dict[str, Any]) -> list[str]:
    """Return a line with the listeners that are not probed: those of --behave and --http."""
    probed = {row["listener"] for row in result["health"]}
    others = [each for each in result["listening"] if each not in probed]
    return [_("also listening on {listeners}").format(listeners=_(", ").join(others))] if others else []


def connections(session: ControlSession, rest: str) -> None:
    """List the open connections with their statistics."""
    expect_no_arguments(rest)
    rows = list(session.connection.rows(commands.Connections, "number"))
    session.table(
        rows,
        _("no open connections"),
        (_("ID"), lambda row: str(row["number"])),
        (_("PEER"), lambda row: str(row["peer"])),
        *([(_("VIA"), lambda row: str(row["via"]))] if any(row.get("via") for row in rows) else []),
        (_("AGE"), lambda row: f"{row['age']:.0f}s"),
        (_("IN"), lambda row: str(row["bytes_in"])),
        (_("OUT"), lambda row: str(row["bytes_out"])),
        (_("MSGS"), lambda row: str(row["messages"])),
        (_("WAIT"), lambda row: _("yes") if row["awaiting_reply"] else _("no")),
        (_("RTT"), lambda row: f"{row['rtt'] * 1000:.3f}ms"),
        (_("RETR"), lambda row: str(row["retransmits"])),
        (_("UNSENT"), lambda row: str(row["unsent"])),
    )


def questions(session: ControlSession, rest: str) -> None:
    """List the pending questions with their messages."""
    expect_no_arguments(rest)
    session.table(
        list(session.connection.rows(commands.Questions, "number")),
        _("no pending questions; a message becomes one while an operator watches, or with --wait-for-operator"),
        (_("ID"), lambda row: str(row["number"])),
        (_("PEER"), lambda row: str(row["peer"])),
        (_("AGE"), lambda row: f"{row['age']:.0f}s"),
        (_("MESSAGE"), lambda row: session.preview(row["message"], row["size"])),
    )


def answer(session: ControlSession, rest: str) -> None:
    """Reply to one question, the next, or all."""
    _expect_arguments("answer", rest.strip())
    selector, _space, text = rest.removeprefix("--raw ").partition(" ")
    reply = session.parse_reply(text, raw=session.raw or rest.startswith("--raw "))
    if selector == "all":
        result = session.connection.call(commands.AnswerAll, reply=reply)
        session.output(result, [_("answered: {count}").format(**result)])
    elif selector == "next":
        result = session.connection.call(commands.AnswerNext, reply=reply)
        session.output(result, [_("answered question {number} of {peer}").format(**result)])
    else:
        number = _parse_number(selector, _("a question's number, next or all"))
        result = session.connection.call(commands.Answer, number=number, reply=reply)
        session.output(result, [_("answered question {number} of {peer}").format(number=number, **result)])


def sockopts(session: ControlSession, rest: str) -> None:
    """Show options of live sockets."""
    words = rest.split()
    _expect_arguments("sockopts", words)
    target, *names = words
    _show_options(session, list(session.connection.rows(commands.Sockopts, target=target, names=names)))


def set_option(session: ControlSession, rest: str) -> None:
    """Set an option on live sockets."""
    target, _space, text = rest.partition(" ")
    _expect_arguments("set", "=" in text)
    _show_options(session, session.connection.call(commands.SetOption, target=target, assignment=text.strip())["rows"])


def _show_options(session: ControlSession, rows: list[dict[str, Any]]) -> None:
    session.table(
        rows,
        _("no socket options were requested; with 'all' or a NAME, others are listed, too"),
        (_("SOCKET"), lambda row: translate(str(row["socket"]))),
        (_("NAME"), lambda row: str(row["name"])),
        (_("REQUESTED"), lambda row: str(row["requested"]) or "-"),
        (_("EFFECTIVE"), lambda row: translate_value(str(row["name"]), str(row["effective"]))),
        (_("NOTE"), lambda row: translate(str(row["note"]))),
    )


def backlog(session: ControlSession, rest: str) -> None:
    """Show the accept queues, and set their limit if one is given."""
    try:
        limit = {"limit": parsers.positive_int(rest)} if rest else {}
    except ValueError as error:
        raise CommandSyntaxError(_("{name}: {reason}").format(name=f"backlog {rest}", reason=error)) from None
    rows = session.connection.call(commands.Backlog, **limit)["rows"]
    session.table(
        rows,
        _("no TCP listener"),
        (_("LISTENER"), lambda row: str(row["listener"])),
        (_("PENDING"), lambda row: str(row["pending"])),
        (_("LIMIT"), lambda row: str(row["limit"])),
    )
    for row in rows:
        if limit and row["limit"] < limit["limit"]:
            text = _("echotime: {listener}: requested {requested}, effective {limit}, because of net.core.somaxconn")
            print_error(text.format(listener=sanitize(row["listener"]), requested=limit["limit"], limit=row["limit"]))


def behave(session: ControlSession, rest: str) -> None:
    """Show the listeners that misbehave, after changing those that are given."""
    texts = rest.split()
    for each in texts:
        if "=" not in each:
            form = "ADDRESS=KIND[:PARAMETER=VALUE,...]"
            raise CommandSyntaxError(_("'{text}' names no behavior; expected {form}").format(text=each, form=form))
    session.table(
        session.connection.call(commands.Behave, behaviors=texts)["rows"],
        _("closed") if texts else _("no listener misbehaves; behave ADDRESS=KIND opens one"),
        (_("ADDRESS"), lambda row: str(row["address"])),
        (_("TRANSPORT"), lambda row: str(row["transport"])),
        (_("BEHAVIOR"), lambda row: str(row["behavior"])),
    )


def close(session: ControlSession, rest: str, *, orderly: bool = True) -> None:
    """Close a connection with a FIN, or with a RST unless `orderly`."""
    _expect_arguments("close" if orderly else "reset", rest)
    number = _parse_number(rest, _("a connection's number"))
    result = session.connection.call(commands.CloseConnection, number=number, orderly=orderly)
    session.output(result, [_("connection {number} of {peer} ended").format(number=number, **result)])


def counters(session: ControlSession, rest: str) -> None:
    """Show the counters of the daemon."""
    expect_no_arguments(rest)
    rows = session.connection.call(commands.Counters)["rows"]
    result = {row["name"]: row["value"] for row in rows}
    session.output(result, (f"{name}: {value}" for name, value in result.items()))


def token(session: ControlSession, rest: str) -> None:
    """Show the links to the page, with the token for HTTP."""
    expect_no_arguments(rest)
    result = session.connection.call(commands.Token)
    lines = [
        *result["links"],
        *(_("Unix socket: {path}").format(path=path) for path in result["sockets"]),
        _("token: {token}").format(**result),
    ]
    session.output(result, lines)


COMMANDS = {
    "status": ControlCommand("", N_("show a summary of the daemon"), status),
    "connections": ControlCommand("", N_("list open connections"), connections),
    "questions": ControlCommand("", N_("list messages that await a reply"), questions),
    "answer": ControlCommand("[--raw] ID|next|all REPLY", N_("reply to questions; --raw allows \\n \\t \\xNN"), answer),
    "sockopts": ControlCommand("tcp|udp|CONNECTION [all|NAME...]", N_("show options of live sockets"), sockopts),
    "set": ControlCommand("tcp|udp|CONNECTION NAME=VALUE", N_("set an option on live sockets"), set_option),
    "backlog": ControlCommand("[N]", N_("show the accept queues; with N, set their limit"), backlog),
    "behave": ControlCommand("[ADDRESS=KIND[:P=V,...]|off...]", N_("show or change listeners that misbehave"), behave),
    "close": ControlCommand("CONNECTION", N_("close a connection with a FIN"), close),
    "reset": ControlCommand("CONNECTION", N_("reset a connection with a RST"), partial(close, orderly=False)),
    "counters": ControlCommand("", N_("show the counters"), counters),
    "token": ControlCommand("", N_("show the links and the token for HTTP"), token),
}
"""The commands of both. The prompt adds watch, help and quit."""
_NEVER_SUGGESTED = {"close", "reset"}
"""Commands that end a connection. A misspelled command may have been harmless."""
_ALIASES = {"exit": "quit", "?": "help"}
"""Names of commands in other programs."""
USAGE_WIDTH = 46
"""Columns for the usage of a command in a list of commands."""
HELP_WIDTH = 60
"""Columns for its help."""


def run_line(session: ControlSession, line: str, known: dict[str, ControlCommand]) -> ControlCommand:
    """Run one command, and return it. Raises CommandSyntaxError, CommandError or ControlConnectionLost."""
    name, _space, rest = line.lstrip().partition(" ")
    command = find_command(name.strip(), known)
    # spaces in a reply are kept
    command.run(session, rest if command is COMMANDS["answer"] else rest.strip())
    return command


def find_command(name: str, known: dict[str, ControlCommand]) -> ControlCommand:
    """Return the command of this name or unambiguous prefix. Raises CommandSyntaxError with the nearest name."""
    name = _ALIASES.get(name, name)
    matches = [name] if name in known else [each for each in known if name and each.startswith(name)]
    if len(matches) == 1:
        return known[matches[0]]
    if matches:
        raise CommandSyntaxError(_("'{name}' is ambiguous: {names}").format(name=name, names=_(", ").join(matches)))
    if near := nearest(name, known.keys() - _NEVER_SUGGESTED):
        raise CommandSyntaxError(_("unknown command '{name}'; the nearest is {near}").format(name=name, near=near))
    raise CommandSyntaxError(
        _("unknown command '{name}'; expected one of {names}").format(name=name, names=_(", ").join(known))
    )


def expect_no_arguments(rest: str) -> None:
    """Raise CommandSyntaxError if a command that takes no arguments has some."""
    if rest:
        raise CommandSyntaxError(_("unexpected argument '{text}'").format(text=rest))


def _expect_arguments(name: str, are_there: object) -> None:
    """Raise CommandSyntaxError with the usage of a command that lacks arguments."""
    if not are_there:
        raise CommandSyntaxError(_("expected {usage}").format(usage=f"{name} {COMMANDS[name].usage}"))


def _parse_number(text: str, expected: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and int(text) <= _MAX_NUMBER):
        raise CommandSyntaxError(
            _("invalid argument '{text}'; expected {expected}").format(text=text, expected=expected)
        )
    return int(text)
