"""Test --proxy-protocol of the tools, against an echo server that requires a PROXY header of each connection."""

from __future__ import annotations

import json
import socket
from queue import SimpleQueue

from echotime.wire.hostport import HostPort
from echotime.wire.message import ACKNOWLEDGEMENT, MESSAGE_SIZE
from echotime.wire.proxy_header import ProxyHeaderParser, make_v1, make_v2
from tests.support.tool_case import ToolTestCase
from tests.support.twistd_process import LIMIT

SOURCE, DESTINATION = HostPort("192.0.2.7", 4711), HostPort("198.51.100.1", 443)


class ProxyTests(ToolTestCase):
    """Run tools against a server that keeps the headers it gets."""

    def server(self, host: str = "127.0.0.1") -> str:
        """Return HOST:PORT of the server. It keeps each header with the real ends of its connection."""
        self.headers: SimpleQueue[tuple[bytes, HostPort, HostPort]] = SimpleQueue()
        return self.tcp_server(self._serve, host)

    def _serve(self, sock: socket.socket) -> None:
        parser, received = ProxyHeaderParser(), b""
        while (data := sock.recv(65536)) and parser.feed(data) is None:
            received += data
        header = (received + data).removesuffix(parser.rest)
        self.headers.put((header, HostPort(*sock.getpeername()[:2]), HostPort(*sock.getsockname()[:2])))
        data = parser.rest
        while data or (data := sock.recv(MESSAGE_SIZE)):
            sock.sendall(data[:MESSAGE_SIZE] + ACKNOWLEDGEMENT)
            data = data[MESSAGE_SIZE:]

    def check_headers(self, count: int) -> None:
        """Check that `count` connections had headers with their real ends, of version 1 or 2."""
        for _ in range(count):
            header, own, remote = self.headers.get(timeout=LIMIT)
            self.assertIn(header, (make_v1(own, remote), make_v2(own, remote)))
        self.assertTrue(self.headers.empty())

    def test_send(self) -> None:
        """The header comes first, and is neither echoed nor counted."""
        for version in ("1", "2"):
            ended = self.tool("send", "--proxy-protocol", version, "--verify", self.server(), "hello")
            self.assertEqual((ended.returncode, ended.stdout), (0, b"hello\nI get it!\n"), ended.stderr)
            self.assertIn(b"Verified: 5 bytes sent, 16 bytes received", ended.stderr)
            self.check_headers(1)

    def test_repeat(self) -> None:
        """Each session of --repeat has a header of its own."""
        server = self.server()
        ended = self.tool("send", "--proxy-protocol", "2", "--repeat", "3", server, "hello")
        self.assertIn(b"sessions: 3, exact: 3, bytes lost: 0", ended.stdout, ended.stderr)
        self.check_headers(3)

    def test_ends(self) -> None:
        """Both addresses may be others than those of the connection, also of the other family."""
        server = self.server("::1")
        ends = "--proxy-source", str(SOURCE), "--proxy-destination", str(DESTINATION)
        ended = self.tool("send", "-6", "--proxy-protocol", "1", *ends, server, "hello")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        header, _own, _remote = self.headers.get(timeout=LIMIT)
        self.assertEqual(header, make_v1(SOURCE, DESTINATION))

    def test_one_end(self) -> None:
        """The other address is that of the connection, whose family the given one decides."""
        source = HostPort("2001:db8::7", 4711)
        ended = self.tool("send", "--proxy-protocol", "2", "--proxy-source", str(source), self.server("::1"), "x")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        header, _own, remote = self.headers.get(timeout=LIMIT)
        self.assertEqual(header, make_v2(source, remote))

    def test_ping(self) -> None:
        """--tcp sends one header, --connect one for each probe."""
        for way, version, count in (("--tcp", "1", 1), ("--connect", "2", 3)):
            server = self.server()
            ended = self.tool("ping", way, "--proxy-protocol", version, "-c", "3", "-i", "0.01", "--json", server)
            self.assertEqual(json.loads(ended.stdout)["received"], 3, ended.stdout)
            self.check_headers(count)

    def test_check(self) -> None:
        """The TCP part of `check` sends a header."""
        ended = self.tool("check", "--tcp", "--proxy-protocol", "1", self.server())
        self.assertIn(b"TCP echo exact", ended.stdout)
        self.assertEqual(ended.returncode, 0, ended.stdout)
        self.check_headers(1)

    def test_usage(self) -> None:
        """Options that cannot be combined are usage errors, which `check` reports as unknown."""
        source = ("--proxy-source", str(SOURCE))
        ended = self.tool("send", *source, self.closed_port(), "x")
        self.assertEqual(ended.returncode, 2)
        self.assertIn(b"error: --proxy-source requires --proxy-protocol\n", ended.stderr)
        ended = self.tool("check", "--udp", "--proxy-protocol", "1", self.closed_port())
        self.assertEqual(ended.returncode, 3)
        self.assertIn(b"ECHOTIME UNKNOWN - --proxy-protocol: this command uses UDP", ended.stdout)
