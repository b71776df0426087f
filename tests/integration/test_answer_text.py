r"""Test --ack and --reply with values of the connection, such as ``\{peer}``."""

from __future__ import annotations

import re
import socket

from tests.support.plain_clients import connect, one_shot, read_exactly
from tests.support.twistd_process import DaemonTestCase


class AnswerTextTests(DaemonTestCase):
    """Answer with what the daemon knows of a connection."""

    def test_you_are(self) -> None:
        """Two clients learn their own address and the name of the host."""
        daemon = self.echotime("--reply", r"you are \{peer}, served by \{host}\n")
        for source in ("127.0.0.2", "127.0.0.3"):
            with connect(daemon.address("TCP"), source) as sock:
                host, port = sock.getsockname()
                expected = f"m\nI get it!\nyou are {host}:{port}, served by {socket.gethostname()}\n".encode()
                sock.sendall(b"m")
                self.assertEqual(read_exactly(sock, len(expected)), expected)
        self.assertRegex(
            self.served(daemon).out, r"connection from 127.0.0.2:\d+ ended by client, 1 bytes in, \d\d+ bytes"
        )

    def test_kernel_values(self) -> None:
        """The kernel gives round-trip time, segment size, and the TTL or hop limit of the client's handshake."""
        daemon = self.twistd("echotime", "--tcp", "[::]:0", "--ack", "", "--reply", r"|\{rtt}|\{mss}|\{ttl}|\{server}|")
        port = daemon.address("TCP")[1]
        for host, level, option in (
            ("127.0.0.1", socket.IPPROTO_IP, socket.IP_TTL),
            ("::1", socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS),
        ):
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
                sock.setsockopt(level, option, 37)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
                sock.connect((host, port))
                sock.sendall(b"m")
                sock.shutdown(socket.SHUT_WR)
                answer = sock.makefile("rb").read().decode()
            server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            self.assertRegex(answer, rf"^m\|\d+\.\d\d\d\|9\d\d\|37\|{re.escape(server)}\|$")

    def test_stream(self) -> None:
        """Each message of a stream gets its own text, and no byte is lost."""
        daemon = self.echotime("--ack", r"<\{message}>")
        sent = b"0123456789" * 50_000
        parts = re.split(rb"<(\d+)>", one_shot(daemon.address("TCP"), sent))
        self.assertEqual(b"".join(parts[0::2]), sent)
        self.assertLessEqual(max(map(len, parts[0::2])), 4096)
        self.assertEqual([int(each) for each in parts[1::2]], list(range(1, 1 + len(parts) // 2)))

    def test_no_operator(self) -> None:
        """A message that no operator answers gets the reply with the values of its own connection."""
        daemon = self.echotime("--operator", "--reply", r"\{peer_host}")  # its standard input has ended
        for source in ("127.0.0.2", "127.0.0.3"):
            self.assertEqual(one_shot(daemon.address("TCP"), b"m", source), b"m\nI get it!\n" + source.encode())
