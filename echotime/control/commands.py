"""The AMP commands of the control socket (twisted.protocols.amp), shared by the daemon and `echotime control`.

An AMP value has at most 65535 bytes, so lists come in pages. `after` is the number of the last row received, or the
count of rows received. `more` is True if there are further rows.

Each `commandName` is fixed, so that renaming a class does not change the protocol.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.protocols.amp import (
    COMMAND,
    AmpBox,
    AmpList,
    Argument,
    Boolean,
    Command,
    Float,
    Integer,
    ListOf,
    String,
    Unicode,
)

PAGE_SIZE = 50
MAX_MESSAGE_BYTES = 500
"""Bytes of a message that are sent to an operator, at most."""
MAX_REPLY_BYTES = 65535
"""Bytes of a reply, at most, because that is the maximum length of a value in AMP."""

Arguments = list[tuple[bytes, Argument]]
Rows = list[dict[str, Any]]
"""Rows of a response, by column."""


class CommandError(Exception):
    """Raised if the daemon refuses a command. The message is the reason."""


class InvalidArgument(CommandError):
    """Raised if a command has a syntax error or an unknown name, whatever the state of the daemon."""


class _FallibleCommand(Command):
    errors = {InvalidArgument: b"INVALID", CommandError: b"REFUSED"}


def _arguments(**arguments: Argument) -> Arguments:
    return [(name.encode(), argument) for name, argument in arguments.items()]


def _rows(**columns: Argument) -> Arguments:
    return _arguments(rows=AmpList(_arguments(**columns)), more=Boolean())


def _event(**arguments: Argument) -> Arguments:
    return _arguments(time=Unicode(optional=True), **arguments)


_CONNECTION = Integer(optional=True)
_SOCKOPT_ROWS = _rows(socket=Unicode(), name=Unicode(), requested=Unicode(), effective=Unicode(), note=Unicode())


class Hello(_FallibleCommand):
    """Return the daemon's version and encoding, and the name by which the daemon knows the operator.

    A daemon ignores `line_ends`. At a server of a text protocol they end a line, which it answers with an error.
    """

    commandName = b"Hello"
    arguments: ClassVar[Arguments] = _arguments(line_ends=String(optional=True))
    response: ClassVar[Arguments] = _arguments(version=Unicode(), encoding=Unicode(), name=Unicode())


class Status(_FallibleCommand):
    """Return an overview of the daemon, after a health check.

    `seconds` is the uptime. `clock` is the synchronization status of the system clock. `stopping_in` is the number of
    seconds until the ports are closed, None while the daemon is ready for new clients. The `status` of a listener is
    ``answered``, ``not answered``, ``not probed`` or ``hung``. `seconds` is the time until the answer. `reason` says
    why there was none. `listening` has the listeners of --behave and --http, too, which are not checked.
    """

    commandName = b"Status"
    response: ClassVar[Arguments] = _arguments(
        version=Unicode(),
        pid=Integer(),
        seconds=Float(),
        listening=ListOf(Unicode()),
        connections=Integer(),
        max_connections=Integer(),
        clock=Unicode(),
        questions=Integer(),
        operators=Integer(),
        stopping_in=Float(optional=True),
        health=AmpList(_arguments(listener=Unicode(), status=Unicode(), seconds=Float(), reason=Unicode())),
    )


class Connections(_FallibleCommand):
    """List open connections by number.

    `via` is the proxy that named the peer, empty for a direct connection. `age` and `rtt` are in seconds. `unsent` is
    the number of bytes that the client has not acknowledged.
    """

    commandName = b"Connections"
    arguments: ClassVar[Arguments] = _arguments(after=Integer())
    response: ClassVar[Arguments] = _rows(
        number=Integer(),
        peer=Unicode(),
        via=Unicode(optional=True),
        age=Float(),
        bytes_in=Integer(),
        bytes_out=Integer(),
        messages=Integer(),
        awaiting_reply=Boolean(),
        rtt=Float(),
        retransmits=Integer(),
        unsent=Integer(),
    )


class Questions(_FallibleCommand):
    """List pending questions. `message` is the beginning of the message, `size` its length in bytes."""

    commandName = b"Questions"
    arguments: ClassVar[Arguments] = _arguments(after=Integer())
    response: ClassVar[Arguments] = _rows(
        number=Integer(), peer=Unicode(), message=String(), size=Integer(), age=Float()
    )


class Answer(_FallibleCommand):
    """Reply to one question. Refused if the question is not pending, with the reason."""

    commandName = b"Answer"
    arguments: ClassVar[Arguments] = _arguments(number=Integer(), reply=String())
    response: ClassVar[Arguments] = _arguments(peer=Unicode())


class AnswerNext(_FallibleCommand):
    """Reply to the oldest question. Refused if none is pending."""

    commandName = b"AnswerNext"
    arguments: ClassVar[Arguments] = _arguments(reply=String())
    response: ClassVar[Arguments] = _arguments(number=Integer(), peer=Unicode())


class AnswerAll(_FallibleCommand):
    """Give the same reply to all questions that are pending now."""

    commandName = b"AnswerAll"
    arguments: ClassVar[Arguments] = _arguments(reply=String())
    response: ClassVar[Arguments] = _arguments(count=Integer())


class Watch(_FallibleCommand):
    """Be present as an operator and receive events, or stop that."""

    commandName = b"Watch"
    arguments: ClassVar[Arguments] = _arguments(on=Boolean())


class WatchEvents(_FallibleCommand):
    """Receive events, but no questions, without being present as an operator, until Watch stops that."""

    commandName = b"WatchEvents"


class Sockopts(_FallibleCommand):
    """List socket options of ``tcp``, ``udp`` or a connection: the requested ones, the named ones, or ``all``."""

    commandName = b"Sockopts"
    arguments: ClassVar[Arguments] = _arguments(target=Unicode(), names=ListOf(Unicode()), after=Integer())
    response: ClassVar[Arguments] = _SOCKOPT_ROWS


class SetOption(_FallibleCommand):
    """Set an option, ``NAME=VALUE``, on live sockets. Refused if it is too late, with when it could be set."""

    commandName = b"SetOption"
    arguments: ClassVar[Arguments] = _arguments(target=Unicode(), assignment=Unicode())
    response: ClassVar[Arguments] = _SOCKOPT_ROWS


class Backlog(_FallibleCommand):
    """List the accept queues with their lengths and limits.

    With `limit`, call listen(2) with it first, and list only those to which it applies.
    """

    commandName = b"Backlog"
    arguments: ClassVar[Arguments] = _arguments(limit=Integer(optional=True))
    response: ClassVar[Arguments] = _rows(listener=Unicode(), pending=Integer(), limit=Integer())


class Behave(_FallibleCommand):
    """Change listeners that misbehave, by texts as of --behave or ``ADDRESS=off``, and list those with a behavior.

    Without texts list all of them.
    """

    commandName = b"Behave"
    arguments: ClassVar[Arguments] = _arguments(behaviors=ListOf(Unicode()))
    response: ClassVar[Arguments] = _rows(address=Unicode(), transport=Unicode(), behavior=Unicode())


class CloseConnection(_FallibleCommand):
    """Close a connection after its pending output if `orderly`, else reset it."""

    commandName = b"CloseConnection"
    arguments: ClassVar[Arguments] = _arguments(number=Integer(), orderly=Boolean())
    response: ClassVar[Arguments] = _arguments(peer=Unicode())


class Counters(_FallibleCommand):
    """List the counters of both services, of the ports and of the questions."""

    commandName = b"Counters"
    response: ClassVar[Arguments] = _rows(name=Unicode(), value=Integer())


class Token(_FallibleCommand):
    """Return the token for HTTP, and where HTTP is served.

    `links` open the page, and contain the token. `sockets` are paths of Unix sockets. Refused without --http.
    """

    commandName = b"Token"
    response: ClassVar[Arguments] = _arguments(token=Unicode(), links=ListOf(Unicode()), sockets=ListOf(Unicode()))


class PushedEvent(Command):
    """Push an event to an operator who watches.

    `time` is when it happened, in UTC in the form of ISO 8601. `connection` is the number of the connection. An earlier
    daemon sends neither.
    """

    requiresAnswer = False
    event: ClassVar[str]
    """Name of the event in JSON."""


class Refused(Command):
    """Push the reason why the daemon does not serve the client. The end of the connection follows."""

    commandName = b"Refused"
    arguments: ClassVar[Arguments] = _arguments(reason=Unicode())
    requiresAnswer = False

    @classmethod
    def encode(cls, reason: str) -> bytes:
        """Return the bytes of the command."""
        return bytes(AmpBox({COMMAND: cls.commandName, b"reason": reason.encode()}).serialize())


class QuestionAsked(PushedEvent):
    """Push a question that needs a reply."""

    commandName = b"QuestionAsked"
    event = "question"
    arguments: ClassVar[Arguments] = _event(number=Integer(), peer=Unicode(), message=String(), size=Integer())


class QuestionSettled(PushedEvent):
    """Push the end of a question. `how` says who answered it, or why there was no reply."""

    commandName = b"QuestionSettled"
    event = "question_settled"
    arguments: ClassVar[Arguments] = _event(number=Integer(), peer=Unicode(), how=Unicode())


class ConnectionOpened(PushedEvent):
    """Push the first message of a connection. `via` is as for Connections."""

    commandName = b"ConnectionOpened"
    event = "connection_opened"
    arguments: ClassVar[Arguments] = _event(connection=_CONNECTION, peer=Unicode(), via=Unicode(optional=True))


class MessageReceived(PushedEvent):
    """Push a message. If the message needs a reply, QuestionAsked follows."""

    commandName = b"MessageReceived"
    event = "message"
    arguments: ClassVar[Arguments] = _event(connection=_CONNECTION, peer=Unicode(), message=String(), size=Integer())


class ConnectionClosed(PushedEvent):
    """Push the end of a connection."""

    commandName = b"ConnectionClosed"
    event = "connection_closed"
    arguments: ClassVar[Arguments] = _event(
        connection=_CONNECTION,
        peer=Unicode(),
        via=Unicode(optional=True),
        how=Unicode(),
        bytes_in=Integer(),
        bytes_out=Integer(),
    )


class DatagramReceived(PushedEvent):
    """Push a datagram that is logged. `message` is its beginning, `outcome` is ``answered`` or why it was not."""

    commandName = b"DatagramReceived"
    event = "datagram"
    arguments: ClassVar[Arguments] = _event(peer=Unicode(), message=String(), size=Integer(), outcome=Unicode())


class EventsDropped(PushedEvent):
    """Push the number of events that were dropped in the last second."""

    commandName = b"EventsDropped"
    event = "events_dropped"
    arguments: ClassVar[Arguments] = _event(count=Integer())


PUSHED_EVENTS: tuple[type[PushedEvent], ...] = (
    QuestionAsked,
    QuestionSettled,
    ConnectionOpened,
    MessageReceived,
    ConnectionClosed,
    DatagramReceived,
    EventsDropped,
)
