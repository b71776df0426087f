"""Send bytes to an HTTPSite over a transport in memory, and read its responses."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.http import Request
from twisted.web.resource import Resource

from echotime.health.check import HealthStatus, ProbeResult
from echotime.health.readiness import Readiness
from echotime.web.guard import GuardPolicy
from echotime.web.root import build_root
from echotime.web.site import HTTPConnection, HTTPSite
from echotime.web.state import WebState

TCP = IPv4Address("TCP", "127.0.0.1", 9180)
UNIX = UNIXAddress("/run/echotime-http")


class Transport(StringTransport):
    """A transport that ends the protocol's connection at connectionLost, as a socket's transport does."""

    protocol: HTTPConnection
    aborted = False

    def connectionLost(self, reason: Any) -> None:
        """End the connection of the protocol."""
        self.disconnected = True
        self.protocol.connectionLost(reason)

    def abortConnection(self) -> None:
        """Note the reset of the connection."""
        self.aborted = True

    def unregisterProducer(self) -> None:
        """Forget the producer, as a socket's transport does also if there is none."""
        self.producer = None


class EchoResource(Resource):
    """Answer every method with the request's method and body, or fail at the body ``fail``."""

    isLeaf = True  # noqa: N815 - Twisted's

    def render(self, request: Request) -> bytes:
        """Return what was requested as JSON."""
        assert request.content is not None
        body = request.content.read()
        if body == b"fail":
            raise ValueError("on request")
        return json.dumps([request.method.decode(), len(body)]).encode()


@dataclass
class Harness:
    """Hold a site with the daemon's guard, the health pages, and EchoResource at the paths of `echo`."""

    policy: GuardPolicy = field(default_factory=lambda: GuardPolicy(host_name="here"))
    clock: Clock = field(default_factory=Clock)
    echo: tuple[bytes, ...] = (b"api", b"metrics")

    def __post_init__(self) -> None:
        self.readiness = Readiness(self.clock)
        self.health = SimpleNamespace(results=[ProbeResult("TCP here", HealthStatus.ANSWERED)], hung=[], checked_at=0.0)
        known = {"health": self.health, "readiness": self.readiness, "queue": None, "reactor": self.clock}
        state = cast("WebState", SimpleNamespace(**known))
        self.root = build_root(state, self.policy)
        for name in self.echo:
            self.root.putChild(name, EchoResource())
        self.site = HTTPSite(self.root, self.clock)

    def connect(self, host: IPv4Address | UNIXAddress = TCP) -> tuple[HTTPConnection, Transport] | None:
        """Return a connection to this address of the server, with its transport, or None if it is not served."""
        connection = self.site.buildProtocol(host)
        if connection is None:
            return None
        transport = Transport(host)
        transport.protocol = connection
        connection.makeConnection(transport)
        return connection, transport

    def send(self, data: bytes, host: IPv4Address | UNIXAddress = TCP) -> bytes:
        """Return what is sent back on a new connection."""
        connected = self.connect(host)
        assert connected is not None
        connection, transport = connected
        connection.dataReceived(data)
        return bytes(transport.value())

    def status(
        self,
        path: str = "/api",
        method: str = "GET",
        body: bytes = b"",
        on: IPv4Address | UNIXAddress = TCP,
        **headers: str,
    ) -> int:
        """Return the status of a response. Headers are given by name, with _ for -, and replace the usual ones."""
        sent = {"Host": "localhost", "Authorization": f"Bearer {self.policy.token}", "Content-Type": "application/json"}
        sent |= {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items() if value)]
        return status_of(self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body, on))


def status_of(response: bytes) -> int:
    """Return the status of a response, 0 if there is none."""
    return int(response.split()[1]) if response else 0
