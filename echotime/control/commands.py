"""What is said on the control socket: typed commands of AMP (twisted.protocols.amp), known to both of its ends.

A list comes in pages, as a value of AMP has at most 65535 bytes: `after` is the number (or the count) of the last
row that is known, `more` whether there are others.
"""

from __future__ import annotations

from typing import ClassVar

from twisted.protocols.amp import AmpList, Argument, Boolean, Command, Float, Integer, ListOf, String, Unicode

PAGE_SIZE = 50
MAX_MESSAGE_BYTES = 500
"""The most bytes of a message that are sent to an operator."""

Arguments = list[tuple[bytes, Argument]]
_PAGE_ARGUMENTS: Arguments = [(b"after", Integer())]


class CommandError(Exception):
    """What was asked for cannot be done; says why."""


class _FallibleCommand(Command):
    errors = {CommandError: b"REFUSED"}


def _rows(*columns: tuple[bytes, Argument]) -> Arguments:
    return [(b"rows", AmpList(list(columns))), (b"more", Boolean())]


_SOCKOPT_ROWS = _rows(
    (b"where", Unicode()),
    (b"name", Unicode()),
    (b"asked", Unicode()),
    (b"effective", Unicode()),
    (b"remark", Unicode()),
)


class Hello(_FallibleCommand):
    """The first: who is there, and by what name the operator is known."""

    response: ClassVar[Arguments] = [
        (b"version", Unicode()),
        (b"encoding", Unicode()),
        (b"name", Unicode()),
    ]


class Status(_FallibleCommand):
    """The daemon in a few figures; `seconds` is how long it runs, `clock` what the kernel says of the clock.

    `health` is what came of a question to each listener: a verdict, ``answered``, ``not answered`` or ``hung``; the
    milliseconds until the answer, or the reason why there was none.
    """

    response: ClassVar[Arguments] = [
        (b"version", Unicode()),
        (b"pid", Integer()),
        (b"seconds", Float()),
        (b"listening", ListOf(Unicode())),
        (b"connections", Integer()),
        (b"most_connections", Integer()),
        (b"clock", Unicode()),
        (b"questions", Integer()),
        (b"operators", Integer()),
        (
            b"health",
            AmpList(
                [(b"where", Unicode()), (b"verdict", Unicode()), (b"milliseconds", Float()), (b"reason", Unicode())]
            ),
        ),
    ]


class Connections(_FallibleCommand):
    """Open connections by number. `rtt` is milliseconds, `age` seconds; `unsent` bytes not taken yet."""

    arguments: ClassVar[Arguments] = _PAGE_ARGUMENTS
    response: ClassVar[Arguments] = _rows(
        (b"number", Integer()),
        (b"peer", Unicode()),
        (b"age", Float()),
        (b"bytes_in", Integer()),
        (b"bytes_out", Integer()),
        (b"messages", Integer()),
        (b"waiting", Boolean()),
        (b"rtt", Float()),
        (b"retransmits", Integer()),
        (b"unsent", Integer()),
    )


class Questions(_FallibleCommand):
    """Messages that wait for a word; the message's first bytes, and how many it has."""

    arguments: ClassVar[Arguments] = _PAGE_ARGUMENTS
    response: ClassVar[Arguments] = _rows(
        (b"number", Integer()),
        (b"peer", Unicode()),
        (b"message", String()),
        (b"size", Integer()),
        (b"age", Float()),
    )


class Answer(_FallibleCommand):
    """The word for one question. Refused if it is not waiting any more: says who was faster."""

    arguments: ClassVar[Arguments] = [(b"number", Integer()), (b"word", String())]
    response: ClassVar[Arguments] = [(b"peer", Unicode())]


class AnswerNext(_FallibleCommand):
    """The word for the oldest question. Refused if none waits."""

    arguments: ClassVar[Arguments] = [(b"word", String())]
    response: ClassVar[Arguments] = [(b"number", Integer()), (b"peer", Unicode())]


class AnswerAll(_FallibleCommand):
    """The same word for all that wait now."""

    arguments: ClassVar[Arguments] = [(b"word", String())]
    response: ClassVar[Arguments] = [(b"count", Integer())]


class Watch(_FallibleCommand):
    """Be there, as an operator, and be told what happens; or not any more."""

    arguments: ClassVar[Arguments] = [(b"on", Boolean())]


class Sockopts(_FallibleCommand):
    """Socket options of ``tcp``, ``udp`` or a connection: those that were set, those named, or ``all``."""

    arguments: ClassVar[Arguments] = [(b"target", Unicode()), (b"names", ListOf(Unicode())), *_PAGE_ARGUMENTS]
    response: ClassVar[Arguments] = _SOCKOPT_ROWS


class SetOption(_FallibleCommand):
    """Set an option on live sockets: ``NAME=VALUE``. Refused, with when it could be set, if that is too late."""

    arguments: ClassVar[Arguments] = [(b"target", Unicode()), (b"assignment", Unicode())]
    response: ClassVar[Arguments] = _SOCKOPT_ROWS


class Backlog(_FallibleCommand):
    """How many connections wait to be accepted, and how many may; with `limit` after listening again with it."""

    arguments: ClassVar[Arguments] = [(b"limit", Integer(optional=True))]
    response: ClassVar[Arguments] = _rows((b"where", Unicode()), (b"waiting", Integer()), (b"limit", Integer()))


class CloseConnection(_FallibleCommand):
    """End a connection: in order, or by a reset."""

    arguments: ClassVar[Arguments] = [(b"number", Integer()), (b"orderly", Boolean())]
    response: ClassVar[Arguments] = [(b"peer", Unicode())]


class Counters(_FallibleCommand):
    """What was served since the start."""

    response: ClassVar[Arguments] = _rows((b"name", Unicode()), (b"value", Integer()))


class PushedEvent(Command):
    """Push an event to an operator who watches; `event` is its name in JSON, which stays when a class is renamed."""

    requiresAnswer = False  # noqa: N815 - AMP's name
    event: ClassVar[str]


class QuestionAsked(PushedEvent):
    """Pushed to whoever watches: a question came."""

    event = "question"
    arguments: ClassVar[Arguments] = [
        (b"number", Integer()),
        (b"peer", Unicode()),
        (b"message", String()),
        (b"size", Integer()),
    ]


class QuestionSettled(PushedEvent):
    """Pushed: a question is answered or gone; `how` says by whom or why."""

    event = "question_settled"
    arguments: ClassVar[Arguments] = [(b"number", Integer()), (b"peer", Unicode()), (b"how", Unicode())]


class ConnectionOpened(PushedEvent):
    """Pushed: a connection sent its first message."""

    event = "connection_opened"
    arguments: ClassVar[Arguments] = [(b"peer", Unicode())]


class MessageReceived(PushedEvent):
    """Pushed: a message came. If it is due a word, Asked follows."""

    event = "message"
    arguments: ClassVar[Arguments] = [(b"peer", Unicode()), (b"message", String()), (b"size", Integer())]


class ConnectionClosed(PushedEvent):
    """Pushed: a connection ended."""

    event = "connection_closed"
    arguments: ClassVar[Arguments] = [
        (b"peer", Unicode()),
        (b"how", Unicode()),
        (b"bytes_in", Integer()),
        (b"bytes_out", Integer()),
    ]


class EventsDropped(PushedEvent):
    """Pushed: so many events of a second were not."""

    event = "events_dropped"
    arguments: ClassVar[Arguments] = [(b"count", Integer())]


PUSHED_EVENTS: tuple[type[PushedEvent], ...] = (
    QuestionAsked,
    QuestionSettled,
    ConnectionOpened,
    MessageReceived,
    ConnectionClosed,
    EventsDropped,
)
