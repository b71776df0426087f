"""Test what the tools say about paths that lose a half-close, a reply or a reset, as proxies do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from functools import partial

from tests.support.plain_clients import ACKNOWLEDGEMENT, RESET, read_all
from tests.support.relays import HalfClose, relay_to
from tests.support.tool_case import CHINESE, ToolTestCase
from tests.support.twistd_process import LIMIT

_NO_HALF_CLOSE = "(usual cause: a proxy that does not pass on the half-close: nginx needs proxy_half_close on, "


def _echo_after(header: bytes, connection: socket.socket) -> None:
    """Send a header before an answer."""
    connection.sendall(header + read_all(connection) + ACKNOWLEDGEMENT)


class VerdictTests(ToolTestCase):
    """Run the tools through relays that behave as real proxies."""

    def behind(self, half_close: HalfClose, *args: str) -> str:
        """Return HOST:PORT of a relay to a daemon."""
        return self.tcp_server(relay_to("{}:{}".format(*self.echotime(*args).address("TCP")), half_close))

    def far_server(self, serve: Callable[[socket.socket], object], half_close: HalfClose) -> str:
        """Return HOST:PORT of a relay to a server that calls `serve`."""
        return self.tcp_server(relay_to(self.tcp_server(serve), half_close))

    def test_half_close_not_passed_on(self) -> None:
        """A proxy that closes at the half-close is named, with the setting that mends it."""
        # a server that answers after the half-close, so that no answer can come before it
        server = self.far_server(lambda connection: connection.sendall(read_all(connection)), HalfClose.CLOSES)
        checked = self.tool("check", "--tcp", server)
        self.assertEqual(checked.returncode, 2)
        self.assertRegex(checked.stdout, rb"TCP echo: end of file [\d.]+ ms after the half-close, 0 of 5022 bytes \(")
        self.assertIn(_NO_HALF_CLOSE.encode(), checked.stdout)
        for options in ([], ["--verify"]):
            sent = self.tool("send", "--quiet", *options, server, "hello")
            self.assertEqual((sent.returncode, sent.stdout), (7, b""))
            self.assertIn(_NO_HALF_CLOSE.encode(), sent.stderr)
        repeated = self.tool("send", "--repeat", "2", server, "hello")
        self.assertEqual(repeated.returncode, 7)
        self.assertIn(_NO_HALF_CLOSE.encode(), repeated.stdout)
        pinged = self.tool("ping", "--connect", "-c", "1", server)
        self.assertEqual(pinged.returncode, 1)
        self.assertRegex(
            pinged.stdout.decode(),
            r": seq=1: end of file [\d.]+ ms after the half-close, 56 bytes sent and 0 received \(usual cause: a proxy",
        )
        self.assertIn(b"wrong: 0, errors: 1", pinged.stdout)
        self.assertIn("代理不转发半关闭", self.tool("send", server, "hello", language=CHINESE).stderr.decode())

    def test_no_half_close(self) -> None:
        """With --no-half-close a check passes where no half-close does, and says that it was not tested."""
        server = self.behind(HalfClose.CLOSES, "--reply", "ok")
        for options in ([], ["-v"]):
            checked = self.tool("check", "--tcp", "--no-half-close", "--reply", "ok", *options, server)
            self.assertEqual(checked.returncode, 0, checked.stdout)
            self.assertRegex(checked.stdout, rb"^ECHOTIME OK - TCP echo exact in [\d.]+ ms, half-close not tested \|")
        found = json.loads(self.tool("check", "--json", "--tcp", "--no-half-close", "--reply", "ok", server).stdout)
        self.assertEqual((found["up"], found["half_close_tested"]), ({"tcp": True}, False))
        self.assertIn("half-close not tested", found["message"])
        other = self.tool("check", "--tcp", "--no-half-close", server)
        self.assertEqual(other.returncode, 2)
        self.assertRegex(other.stdout, rb"found 'o' \(usual cause: the server (also|has another)")
        cut = self.far_server(lambda connection: connection.sendall(connection.recv(100)[:3]), HalfClose.PASSED_ON)
        self.assertIn(
            b"TCP echo: cut after 3 of 5022 bytes, end of file (usual cause: a reset or a stop of the server",
            self.tool("check", "--tcp", "--no-half-close", cut).stdout,
        )

    def test_late_reply(self) -> None:
        """A reply that comes later than the proxy waits after the half-close."""
        released = threading.Event()

        def serve(connection: socket.socket) -> None:
            connection.sendall(read_all(connection) + ACKNOWLEDGEMENT)
            released.wait(LIMIT)

        server = self.far_server(serve, HalfClose.CLOSES_LATER)
        self.addCleanup(released.set)
        sent = self.tool("send", "--quiet", "--verify", "--reply", "ok", server, "hello")
        self.assertEqual(sent.returncode, 1)
        self.assertRegex(
            sent.stderr.decode(),
            r": no reply after the acknowledgement, end of file [\d.]+ ms after the half-close \(usual cause: "
            r"the server has another reply, see --reply; or a proxy .* Traefik needs a longer terminationDelay\)\n",
        )

    def test_reset_as_end_of_file(self) -> None:
        """A reset of the server in the middle of the answer, which the proxy passes on as FIN."""

        def serve(connection: socket.socket) -> None:
            connection.sendall(read_all(connection)[:1000])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        checked = self.tool("check", "--tcp", self.far_server(serve, HalfClose.PASSED_ON))
        self.assertEqual(checked.returncode, 2)
        self.assertRegex(
            checked.stdout.decode(),
            r"TCP echo: cut after 1000 of 5022 bytes, end of file .*; or a reset of the server, .* as FIN\)",
        )

    def test_half_close_kept(self) -> None:
        """A proxy that ignores the half-close: all bytes come back, and no end of file."""
        server = self.behind(HalfClose.KEPT)
        sent = self.tool("send", "--quiet", "--verify", "--timeout", "1", server, "hello")
        self.assertEqual((sent.returncode, sent.stdout), (4, b"hello" + ACKNOWLEDGEMENT))
        self.assertIn(
            b": timed out, after 16 of 16 bytes (usual cause: a proxy that keeps the half-close to itself", sent.stderr
        )

    def test_proxy_header(self) -> None:
        """A load balancer that sends a PROXY header to a server that echoes it."""
        for header in (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0"):
            server = self.tcp_server(partial(_echo_after, header))
            sent = self.tool("send", "--quiet", "--verify", server, "hello")
            self.assertEqual(sent.returncode, 1)
            self.assertIn(
                b"(usual cause: a load balancer sends a PROXY header, and the server expects none)", sent.stderr
            )
