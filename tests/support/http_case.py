"""Provide a test case with a daemon that serves HTTP, and plain clients of it."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

from tests.support.control_case import ControlTestCase
from tests.support.twistd_process import LIMIT, Twistd

Where = tuple[str, int] | Path
"""A TCP address, or the path of a Unix socket."""


class UnixConnection(http.client.HTTPConnection):
    """Connect to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=LIMIT)
        self._path = path

    def connect(self) -> None:
        """Connect the socket of this connection."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT)
        self.sock.connect(str(self._path))


def ask(where: Where, path: str = "/livez", method: str = "GET", **headers: str) -> tuple[int, str]:
    """Return status and body of a response. Headers are given by name, with _ for -."""
    connection = UnixConnection(where) if isinstance(where, Path) else http.client.HTTPConnection(*where, timeout=LIMIT)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


class HTTPTestCase(ControlTestCase):
    """Serve HTTP beside the control socket."""

    def start_http(self, *args: str) -> Twistd:
        """Start a daemon with HTTP on a free port and on a Unix socket, and set their addresses."""
        self.http = self.directory / "http"
        daemon = self.start_daemon("--http", "0", "--http", str(self.http), *args)
        self.where = daemon.address("HTTP")
        daemon.line("listening on HTTP socket ")
        return daemon

    def token(self) -> str:
        """Return the token as an Authorization header has it."""
        found: str = self.rows("token")["token"]
        return f"Bearer {found}"

    def wait_until(self, where: Where, path: str, status: int) -> None:
        """Wait until a page has a status."""
        self.wait_for(lambda: ask(where, path)[0] == status)
