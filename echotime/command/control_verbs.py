"""What can be said to `echotime control`: the same words on the command line and at its prompt."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from echotime.command.columns import padded
from echotime.command.control_connection import ControlConnection
from echotime.command.streams import show
from echotime.desk import commands
from echotime.desk.words import WordRefused, word_of
from echotime.locale.language import gettext as _
from echotime.sockopt.forms import N_
from echotime.wire.printable import columns, escape, shown_as

SHOWN_BYTES = 60
_MOST, _DIGITS = 2**31 - 1, 10
_LONGEST = 65535
"""What fits a value of AMP."""


class Misspoken(ValueError):
    """What was said is no command; says what was expected."""


class Session:
    """One operator's conversation with the daemon. What is shown goes through `out`."""

    def __init__(
        self,
        connection: ControlConnection,
        *,
        as_json: bool,
        raw: bool,
        encoding: str | None,
        out: Callable[[str], Any] = show,
    ) -> None:
        self.connection = connection
        self.as_json = as_json
        self.raw = raw
        self.hello = connection.ask(commands.Hello)
        self.encoding = encoding or str(self.hello["encoding"])
        self.out = out

    def word(self, text: str) -> bytes:
        """What is typed as a word. Raises Misspoken."""
        try:
            word = word_of(text, self.encoding, raw=self.raw)
        except WordRefused as refused:
            raise Misspoken(str(refused)) from None
        if len(word) > _LONGEST:
            raise Misspoken(_("a word has at most {most} bytes").format(most=_LONGEST))
        return word

    def message(self, data: bytes, size: int) -> str:
        """A peer's message, to be shown; `size` is how many bytes it has."""
        return shown_as(data, SHOWN_BYTES, self.encoding, size)

    def tell(self, found: Any, lines: Iterable[str]) -> None:
        """One thing, as a person or a program wants it."""
        if self.as_json:
            self.out(json.dumps(found, default=escape))
            return
        for line in lines:
            self.out(line)

    def table(self, rows: Sequence[dict[str, Any]], *shown: tuple[str, Callable[[dict[str, Any]], str]]) -> None:
        """Rows under headings; nothing where there are none."""
        cells = [[title for title, _value in shown], *([value(row) for _title, value in shown] for row in rows)]
        widths = [max(map(columns, column)) + 2 for column in zip(*cells, strict=True)]
        lines = ["".join(map(padded, line, widths)).rstrip() for line in cells]
        self.tell(rows, lines if rows else [])


class Verb(NamedTuple):
    """A command: its words, what it does, and the function that does it."""

    words: str
    help: str
    run: Callable[[Session, str], None]


def status(session: Session, rest: str) -> None:
    """The daemon in a few figures."""
    _nothing(rest)
    found = session.connection.ask(commands.Status)
    lines = [
        _("echotime {version}, pid {pid}, running {seconds:.0f} s").format(**found),
        *map(_health_line, found["health"]),
        _("connections: {connections} of {most_connections}, questions: {questions}, operators: {operators}").format(
            **found
        ),
        _("clock: {clock}").format(**found),
    ]
    session.tell(found, lines)


def _health_line(row: dict[str, Any]) -> str:
    if row["verdict"] == "answered":
        return _("listening on {where}, answered in {milliseconds:.1f} ms").format(**row)
    if row["verdict"] == "hung":
        return _("{where} is hung: {reason}").format(**row)
    return _("listening on {where}, not answered: {reason}").format(**row)


def connections(session: Session, rest: str) -> None:
    """All that are open."""
    _nothing(rest)
    session.table(
        list(session.connection.rows(commands.Connections, "number")),
        (_("ID"), lambda row: str(row["number"])),
        (_("PEER"), lambda row: str(row["peer"])),
        (_("AGE"), lambda row: f"{row['age']:.0f}s"),
        (_("IN"), lambda row: str(row["bytes_in"])),
        (_("OUT"), lambda row: str(row["bytes_out"])),
        (_("MESSAGES"), lambda row: str(row["messages"])),
        (_("WAITING"), lambda row: _("yes") if row["waiting"] else _("no")),
        (_("RTT"), lambda row: f"{row['rtt']:.3f}ms"),
        (_("RETRANSMITS"), lambda row: str(row["retransmits"])),
        (_("UNSENT"), lambda row: str(row["unsent"])),
    )


def questions(session: Session, rest: str) -> None:
    """All that wait."""
    _nothing(rest)
    session.table(
        list(session.connection.rows(commands.Questions, "number")),
        (_("ID"), lambda row: str(row["number"])),
        (_("PEER"), lambda row: str(row["peer"])),
        (_("AGE"), lambda row: f"{row['age']:.0f}s"),
        (_("MESSAGE"), lambda row: session.message(row["message"], row["size"])),
    )


def answer(session: Session, rest: str) -> None:
    """A word for one, the next, or all."""
    if rest.startswith("--raw "):
        session.raw, before = True, session.raw
        try:
            answer(session, rest.removeprefix("--raw "))
        finally:
            session.raw = before
        return
    which, _space, text = rest.partition(" ")
    word = session.word(text)
    if which == "all":
        found = session.connection.ask(commands.AnswerAll, word=word)
        session.tell(found, [_("answered: {count}").format(**found)])
    elif which == "next":
        found = session.connection.ask(commands.AnswerNext, word=word)
        session.tell(found, [_("answered question {number} of {peer}").format(**found)])
    else:
        number = _number(which, _("the number of a question, next or all"))
        found = session.connection.ask(commands.Answer, number=number, word=word)
        session.tell(found, [_("answered question {number} of {peer}").format(number=number, **found)])


def sockopts(session: Session, rest: str) -> None:
    """Options of live sockets."""
    target, *names = rest.split() or [""]
    if not target:
        raise Misspoken(_("expected {words}").format(words="sockopts " + VERBS["sockopts"].words))
    _readings(session, list(session.connection.rows(commands.Sockopts, target=target, names=names)))


def set_option(session: Session, rest: str) -> None:
    """Set one on live sockets."""
    target, _space, text = rest.partition(" ")
    if "=" not in text:
        raise Misspoken(_("expected {words}").format(words="set " + VERBS["set"].words))
    _readings(session, session.connection.ask(commands.SetOption, target=target, assignment=text.strip())["rows"])


def _readings(session: Session, rows: list[dict[str, Any]]) -> None:
    session.table(
        rows,
        (_("SOCKET"), lambda row: str(row["where"])),
        (_("NAME"), lambda row: str(row["name"])),
        (_("ASKED"), lambda row: str(row["asked"]) or "-"),
        (_("EFFECTIVE"), lambda row: str(row["effective"])),
        (_("REMARK"), lambda row: str(row["remark"])),
    )


def backlog(session: Session, rest: str) -> None:
    """Queues, and their limit."""
    limit = {"limit": _number(rest, _("a number, or nothing"))} if rest else {}
    session.table(
        session.connection.ask(commands.Backlog, **limit)["rows"],
        (_("SOCKET"), lambda row: str(row["where"])),
        (_("WAITING"), lambda row: str(row["waiting"])),
        (_("LIMIT"), lambda row: str(row["limit"])),
    )


def close(session: Session, rest: str) -> None:
    """End a connection in order."""
    _end(session, rest, orderly=True)


def reset(session: Session, rest: str) -> None:
    """End it by a reset."""
    _end(session, rest, orderly=False)


def _end(session: Session, rest: str, *, orderly: bool) -> None:
    number = _number(rest, _("the number of a connection"))
    found = session.connection.ask(commands.End, number=number, orderly=orderly)
    session.tell(found, [_("connection {number} of {peer} is ended").format(number=number, **found)])


def counters(session: Session, rest: str) -> None:
    """What was served."""
    _nothing(rest)
    rows = session.connection.ask(commands.Counters)["rows"]
    found = {row["name"]: row["value"] for row in rows}
    session.tell(found, (f"{name}: {value}" for name, value in found.items()))


VERBS = {
    "status": Verb("", N_("the daemon in a few figures"), status),
    "connections": Verb("", N_("open connections"), connections),
    "questions": Verb("", N_("messages that wait for a word"), questions),
    "answer": Verb("[--raw] ID|next|all WORD", N_("give a word; with --raw \\n \\t \\xNN are understood"), answer),
    "sockopts": Verb("tcp|udp|CONNECTION [all|NAME...]", N_("options of live sockets"), sockopts),
    "set": Verb("tcp|udp|CONNECTION NAME=VALUE", N_("set an option of live sockets"), set_option),
    "backlog": Verb("[N]", N_("how many connections wait to be accepted, and may; with N, listen again"), backlog),
    "close": Verb("CONNECTION", N_("end a connection in order"), close),
    "reset": Verb("CONNECTION", N_("end a connection by a reset"), reset),
    "counters": Verb("", N_("what was served since the start"), counters),
}
"""watch, help and quit are the prompt's own."""


def say(session: Session, line: str, known: dict[str, Verb]) -> Verb:
    """Carry out one command; which it was. Raises Misspoken, commands.Refused or Lost."""
    name, _space, rest = line.lstrip().partition(" ")
    found = verb(name.strip(), known)
    # of a word every blank counts
    found.run(session, rest if found is VERBS["answer"] else rest.strip())
    return found


def verb(name: str, known: dict[str, Verb]) -> Verb:
    """The one of this name, or of an unambiguous beginning. Raises Misspoken with the nearest."""
    found = [name] if name in known else [each for each in known if name and each.startswith(name)]
    if len(found) == 1:
        return known[found[0]]
    if found:
        raise Misspoken(_("'{name}' is ambiguous: {names}").format(name=name, names=", ".join(found)))
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        raise Misspoken(_("unknown command '{name}'; the nearest is {near}").format(name=name, near=near[0]))
    raise Misspoken(_("unknown command '{name}'; expected one of {names}").format(name=name, names=", ".join(known)))


def _nothing(rest: str) -> None:
    if rest:
        raise Misspoken(_("'{rest}': nothing is expected here").format(rest=rest))


def _number(text: str, expected: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text) <= _MOST):
        raise Misspoken(_("'{text}' is not understood; expected {expected}").format(text=text, expected=expected))
    return int(text)
