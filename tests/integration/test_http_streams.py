"""Test that the event streams of clients end that read nothing more, or whose host is gone."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from tests.support.http_case import HTTPTestCase, UnixConnection, Where, ask
from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, read_exactly
from tests.support.twistd_process import LIMIT
from tests.support.veth_pair import CLIENT, SERVER, Cable

MESSAGE = b"x" * 1000


class StreamTests(HTTPTestCase):
    """Be present as an operator, and stop reading. The daemon allows that for a second."""

    python = "import echotime.web.site; echotime.web.site.IDLE_TIMEOUT = 1.0"

    def operators(self) -> int:
        """Return the number of operators who are present."""
        return int(json.loads(ask(self.http, "/api/status")[1])["operators"])

    def be_present(self, where: Where) -> None:
        """Open a stream as an operator, and read nothing of it but the beginning."""
        if isinstance(where, Path):
            connection = UnixConnection(where)
            connection.connect()
            sock = connection.sock
        else:
            sock = socket.socket()
            sock.settimeout(LIMIT)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(where)
        self.addCleanup(sock.close)
        head = f"POST /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: {self.token()}\r\n"
        sock.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        self.assertEqual(read_exactly(sock, 12), b"HTTP/1.1 200")
        self.assertEqual(self.operators(), 1)

    def test_unread(self) -> None:
        """A client that does not read is disconnected, over TCP and on a Unix socket."""
        daemon = self.start_http("--wait-for-operator", "--reply-deadline", "0.001")
        for where in (self.where, self.http):
            self.be_present(where)
            with connect(self.address) as client:

                def has_left(client: socket.socket = client) -> bool:
                    client.sendall(MESSAGE)
                    read_exactly(client, len(MESSAGE) + len(ACKNOWLEDGEMENT))
                    return self.operators() == 0

                self.wait_for(has_left)
        daemon.line("http: event stream closed: the client does not read")

    def test_gone(self) -> None:
        """An operator whose host is cut off is disconnected, although no byte and no FIN comes from there."""
        cable = Cable()
        self.addCleanup(cable.leave)
        self.http = self.directory / "http"
        where = ("--http", f"{SERVER}:0", "--http-allow-remote", "--http", str(self.http))
        daemon = self.echotime("--control", str(self.path), *where, prefix=cable.prefix)
        port = daemon.address("HTTP")[1]
        daemon.line("listening on control socket ")
        self.be_present((SERVER, port))
        cable.client(f"ip address del {CLIENT}/24 dev there")
        self.wait_for(lambda: self.operators() == 0)
