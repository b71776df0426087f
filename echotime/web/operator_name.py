"""Name the operator who uses the page, for the log and for other operators."""

from __future__ import annotations

import socket
from typing import Any

from twisted.web.server import Request

from echotime.control.peer import read_peer


def operator_name(request: Request) -> str:
    """Return the address of a TCP client, or the user of a client of a Unix socket."""
    channel: Any = request.channel
    transport = channel.transport
    handle = transport.getHandle()
    if handle.family == socket.AF_UNIX:
        return f"page: {read_peer(handle)}"
    return f"page: {transport.getPeer().host}"
