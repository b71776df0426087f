"""Provide a test case with listeners of --behave, and plain sockets as their clients."""

from __future__ import annotations

import json
import socket
from typing import Any

from tests.support.plain_clients import connect
from tests.support.twistd_process import DaemonTestCase, Twistd

ACK = b"\nI get it!\n"


def behaving_address(daemon: Twistd, transport: str = "TCP", behavior: str = r"\S+") -> tuple[str, int]:
    """Return the address of the first listener with a behavior, as logged when it was opened."""
    found = daemon.line(rf"listening on {transport} \[?(.*?)\]?:(\d+), which misbehaves: {behavior}$")
    return found[1], int(found[2])


class BehaveTestCase(DaemonTestCase):
    """Choose the behavior of each connection by its first line."""

    def setUp(self) -> None:
        self.daemon = self.echotime("--behave", "127.0.0.1:0=client", "--drain-timeout", "0", shared=True)
        self.address = behaving_address(self.daemon, behavior="client")

    def choose(self, behavior: str) -> socket.socket:
        """Connect a client, and send the line that chooses its behavior."""
        sock = connect(self.address)
        self.addCleanup(sock.close)
        sock.sendall(behavior.encode() + b"\n")
        return sock

    def report(self, behavior: str = "report") -> Any:
        """Return what a connection reports."""
        with self.choose(behavior) as sock, sock.makefile("rb") as reader:
            return json.loads(reader.readline())
