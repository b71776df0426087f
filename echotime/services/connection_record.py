"""Make the lines of --record: one for each TCP connection that ended, and others for refusals and lost lines.

The fields that `echotime control watch --json` has, too, have the same names here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quote
from typing import Any

from twisted.internet.interfaces import IReactorTime

from echotime.services.traffic import LoggedConnection
from echotime.sockopt.tcp_info import figures_json
from echotime.wire.hostport import HostPort
from echotime.wire.json_line import format_utc

_CONNECTION = (
    '{"event":"connection_closed","time":"%s","connection":%d,"peer":%s,"via":%s,"server":%s,"started":"%s",'
    '"seconds":%.6f,"how":%s,"behavior":%s,"messages":%d,"bytes_in":%d,"bytes_out":%d,"tcp":%s}\n'
)
_LOCAL_ADDRESSES = 64
"""Local addresses whose texts are kept."""
_encode = json.JSONEncoder(separators=(",", ":")).encode


def record_line(event: str, **fields: Any) -> bytes:
    """Return a line for an event that happens now."""
    return _encode({"event": event, "time": format_utc(time.time()), **fields}).encode() + b"\n"


class ConnectionRecord:
    """Pass the lines of connections and refusals to `write`."""

    def __init__(self, write: Callable[[bytes], object], clock: IReactorTime) -> None:
        self._write = write
        self._clock = clock

    def connection_closed(self, connection: LoggedConnection, ended_by: str) -> None:
        """Record the end of a connection. `ended_by` names the side or the timeout that ended it."""
        now = time.time()
        duration = self._clock.seconds() - connection.connected_at
        transport = connection.transport
        raw, sockname = transport.final_tcp_info, transport.final_sockname
        # json.dumps of the same takes twice as long, and this is done for each connection
        self._write(
            (
                _CONNECTION
                % (
                    format_utc(now),
                    connection.number,
                    _quote(connection.peer),
                    _quote(connection.via),
                    _quote(_local_address(sockname) if sockname else ""),
                    # from the end, so that a clock that is set does not contradict the duration
                    format_utc(now - duration),
                    duration,
                    _quote(ended_by),
                    _quote(connection.behavior),
                    connection.messages,
                    connection.bytes_in,
                    connection.bytes_out,
                    figures_json(raw) if raw else "null",
                )
            ).encode()
        )

    def refused(self, reason: str, new: int, total: int, last: str | None) -> None:
        """Record `new` refusals for one reason, `total` since the start. `last` is the last client, if it is known."""
        self._write(record_line("refused", reason=reason, new=new, total=total, last=last))


@lru_cache(_LOCAL_ADDRESSES)
def _local_address(sockname: tuple[Any, ...]) -> str:
    return str(HostPort.from_sockaddr(sockname))
