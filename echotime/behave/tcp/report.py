"""Report: tell the client how the server sees its connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import echotime
from echotime.behave.spec import Parameter
from echotime.behave.tcp.behavior import TCPBehavior
from echotime.behave.values import hexadecimal
from echotime.wire.hostport import format_hostport
from echotime.wire.json_line import format_json

T = TypeVar("T")


class Report(TCPBehavior):
    """Send one line of JSON at once, with how the server sees the connection, and echo afterwards.

    With `ended` the line also says how another connection ended.
    """

    name = "report"
    ended = Parameter(hexadecimal, "", "The id of the other connection.", "none")

    def opened(self) -> None:
        self.send(format_json(self._facts()).encode() + b"\n")

    def _facts(self) -> dict[str, Any]:
        transport, server = self.transport, self.transport.getHost()
        syn = _or_none(transport.saved_syn)
        facts = {
            "echotime": echotime.__version__,
            "connection": self.echo.number,
            "peer": self.echo.peer,
            "via": self.echo.via,
            "server": format_hostport(server.host, server.port),
            "ttl": _or_none(transport.received_ttl),
            "syn": syn.hex() if syn else None,
            "mss": _or_none(transport.segment_size),
        }
        if self.ended:
            other = self.context.ended.get(self.ended)
            facts |= other._asdict() if other else dict.fromkeys(("ended", "bytes_in", "bytes_out"))
        return facts


def _or_none(read: Callable[[], T]) -> T | None:
    """Return what the kernel reports, None if it does not."""
    try:
        return read()
    except OSError:
        return None
