r"""Fill in the places of ``--ack`` and ``--reply``, such as ``\{peer}``, for one message of a connection.

The values are what a client behind a NAT or a load balancer cannot know by itself: how the server sees it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Protocol

from echotime.services.echo_transport import IEchoTransport
from echotime.wire.escape import sanitize
from echotime.wire.hostport import format_hostport, host_of
from echotime.wire.template import Template, Text, parse_template


class AnsweredConnection(Protocol):
    """Give `render` what it needs of a connection."""

    number: int
    messages: int
    via: str
    transport: IEchoTransport

    @property
    def peer(self) -> str:
        """Return the client as ``host:port``."""


def answer_text(text: str) -> Text:
    r"""Parse the value of ``--ack`` or ``--reply``. The host name is a constant from now on. Raises ValueError."""
    return parse_template(text, {"host": sanitize(socket.gethostname())})


def render(text: Text, connection: AnsweredConnection) -> bytes:
    """Return the text for the message that the connection has received last. A value that is not known is empty."""
    if isinstance(text, Template):
        return b"".join(each if isinstance(each, bytes) else _value(each, connection) for each in text.parts)
    return text


def _value(name: str, connection: AnsweredConnection) -> bytes:
    try:
        value = _VALUES[name](connection)
    except OSError:  # a kernel without this option, or a socket without a connection
        return b""
    return sanitize(value).encode()


def _server(connection: AnsweredConnection) -> str:
    address = connection.transport.getHost()
    return format_hostport(address.host, address.port)


def _time(connection: AnsweredConnection) -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_VALUES: dict[str, Callable[[AnsweredConnection], str]] = {
    "peer": lambda connection: connection.peer,
    "peer_host": lambda connection: host_of(connection.peer),
    "via": lambda connection: connection.via,
    "server": _server,
    "time": _time,
    "connection": lambda connection: str(connection.number),
    "message": lambda connection: str(connection.messages),
    "rtt": lambda connection: f"{connection.transport.round_trip_time():.3f}",
    "mss": lambda connection: str(connection.transport.segment_size()),
    "ttl": lambda connection: str(connection.transport.received_ttl()),
    "syn": lambda connection: connection.transport.saved_syn().hex(),
}
"""The value of each place of wire.template that differs between messages."""
