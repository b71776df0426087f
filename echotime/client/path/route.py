"""Open connections to the server of a run, and ask it for behaviors."""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.client.path.outcome import FarEnd, Value
from echotime.client.path.tcp.stream import Stream, open_stream
from echotime.sockopt.values import N_
from echotime.wire.verify import EchoVerifier, VerifyResult

SECONDS = 3.0
"""Time for an answer. On a path that answers at all, only a finding takes so long."""
QUIET = 0.3
"""Seconds without a byte after which an answer counts as complete, where its end is not known."""
TOKEN_SIZE = 16
ANSWERS_VARY = N_("the server's answers vary; this test needs a constant --ack and --reply")
"""Why a test was not carried out that compares answers byte by byte."""
_MAX_REPORT = 4096
"""Bytes of a report. Its longest value, the headers of a SYN in hexadecimal, has less than 300."""


def behavior(kind: str, **parameters: object) -> bytes:
    """Return the line that asks for a behavior."""
    text = ",".join(f"{name}={value}" for name, value in parameters.items())
    return f"{kind}:{text}\n".encode() if text else f"{kind}\n".encode()


def token() -> bytes:
    """Return bytes that no other message has. They are printable, and without a line end."""
    return secrets.token_hex(TOKEN_SIZE // 2).encode()


def parse_report(line: bytes, *texts: str) -> dict[str, Value] | None:
    """Return the values of a report, or None if the line is no report with both addresses and these other texts."""
    if len(line) > _MAX_REPORT:
        return None
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    if not all(isinstance(values.get(each), str) for each in ("peer", "server", *texts)):
        return None
    # no value is a fraction, and an infinite one would not be valid in --json
    return {str(name): value for name, value in values.items() if isinstance(value, str | int | None)}


class Route:
    """Hold what all experiments share: the server's address, and what is known of it."""

    def __init__(self, reactor: Any, address: ResolvedAddress, far_end: FarEnd) -> None:
        self.reactor = reactor
        self.address = address
        self.far_end = far_end
        self.udp_loss = 0.0
        """Share of datagrams that were lost, with their answers, as far as measured."""
        self.good_udp_ports: deque[int] = deque()
        """Source ports from which datagrams are answered, if there are others."""

    def udp_port(self) -> int:
        """Return a port to send datagrams from: 0 for any, or in turn those that are answered if some are not."""
        if not self.good_udp_ports:
            return 0
        self.good_udp_ports.rotate()
        return self.good_udp_ports[0]

    def udp_ports(self, most: int) -> list[int]:
        """Return at most `most` ports for sockets that are open at the same time. Only 0 occurs more than once."""
        return [self.udp_port() for _number in range(min(most, len(self.good_udp_ports) or most))]

    async def open(self, kind: str = "echo", **parameters: object) -> Stream:
        """Return a connection with a behavior, an ordinary one if the server takes no requests. Raises ClientError."""
        first = behavior(kind, **parameters) if self.far_end.behaves else b""
        return await open_stream(self.reactor, self.address, first=first)

    async def report(self, **parameters: object) -> Mapping[str, Value]:
        """Return the server's report of a new connection. Raises ClientError if it makes none."""
        stream = await self.open("report", **parameters)
        try:
            return await read_report(stream)
        finally:
            stream.close()

    def verify(self, sent: bytes, received: bytes) -> VerifyResult:
        """Compare an answer with what was sent. The trailer must be known."""
        verifier = EchoVerifier(self.far_end.trailer or b"")
        verifier.feed_sent(sent)
        verifier.feed_received(received)
        return verifier.finish()

    def answered(self, stream: Stream, sent: bytes) -> Callable[[], bool]:
        """Return a function that tells if the answer to a short message is complete."""
        size = len(sent) + len(self.far_end.trailer or b"")
        return lambda: len(stream.received) >= size


async def read_report(stream: Stream) -> Mapping[str, Value]:
    """Return the report that a connection begins with. Raises ClientError if there is none."""
    await stream.read_until(lambda: b"\n" in stream.received, SECONDS)
    values = parse_report(bytes(stream.received).partition(b"\n")[0], "echotime")
    if values is None:
        raise ClientError(ExitStatus.NO_ANSWER if stream.end is None else ExitStatus.FAILED)
    return values
