"""Send requests to the JSON resources, and read their responses and events, over a connection in memory."""

from __future__ import annotations

import json
import socket
from typing import Any, NamedTuple

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from echotime.web.site import HTTPSite
from tests.support.http_exchange import TCP, Transport

CLIENT = IPv4Address("TCP", "127.0.0.1", 40000)


class _ClientTransport(Transport):
    """Stand for the connection of a client at 127.0.0.1."""

    dataBuffer, offset, _tempDataLen = b"", 0, 0  # noqa: N815 - Twisted's names

    def __init__(self, host: IPv4Address, peer: IPv4Address) -> None:
        super().__init__(host, peer)
        self.handle = _Handle()

    def getHandle(self) -> _Handle:  # noqa: N802 - Twisted's name
        """Return the socket of the connection."""
        return self.handle


class _Handle:
    """Stand for a TCP socket, and record the options that are set."""

    family = socket.AF_INET

    def __init__(self) -> None:
        self.options: dict[tuple[int, int], int] = {}

    def setsockopt(self, level: int, number: int, value: int) -> None:
        """Record the value of an option."""
        self.options[level, number] = value


class Response(NamedTuple):
    """Hold the status, the header and the body of a response."""

    status: int
    header: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class APIClient:
    """Hold one connection to a site, on a clock."""

    def __init__(self, resource: IResource, clock: IReactorTime) -> None:
        self.transport = _ClientTransport(TCP, CLIENT)
        self.channel: Any = HTTPSite(resource, clock).buildProtocol(CLIENT)
        self.transport.protocol = self.channel
        self.channel.makeConnection(self.transport)

    def send(self, method: str, path: str, body: bytes = b"", *header: str) -> None:
        """Send a request, and forget what was received before."""
        self.transport.clear()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *header, "", ""]
        self.channel.dataReceived("\r\n".join(lines).encode() + body)

    def get(self, path: str) -> Response:
        """Return the response to GET."""
        self.send("GET", path)
        return self.response()

    def post(self, path: str, fields: Any) -> Response:
        """Return the response to a POST of JSON."""
        self.send("POST", path, json.dumps(fields).encode(), "Content-Type: application/json")
        return self.response()

    def response(self) -> Response:
        """Return what was received, as a response that is complete."""
        header, _, body = self.transport.value().partition(b"\r\n\r\n")
        first, _, rest = header.decode().partition("\r\n")
        return Response(int(first.split()[1]), rest, body)

    def events(self) -> list[tuple[str, Any]]:
        """Return the events that were received since the last call, each with its name and fields."""
        data = self.transport.value()
        self.transport.clear()
        found = [
            part for part in data.decode().replace("\r\n", "\n").split("\n") if part.startswith(("event: ", "data: "))
        ]
        pairs = zip(found[::2], found[1::2], strict=True)
        return [(name.removeprefix("event: "), json.loads(fields.removeprefix("data: "))) for name, fields in pairs]

    def close(self) -> None:
        """End the connection, as the client does."""
        self.channel.connectionLost(Failure(ConnectionDone()))
