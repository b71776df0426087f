"""Test `echotime time` against daemons and misbehaving servers."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from pathlib import Path

from tests.support.tool_case import CHINESE, TOOL, ToolTestCase, environment
from tests.support.twistd_process import LIMIT

Peer = tuple[str, int]


class TimeTests(ToolTestCase):
    """`echotime time` with a daemon that serves as it should."""

    def server(self, *args: str) -> str:
        """Start a daemon and return the HOST:PORT of its UDP service."""
        return "{}:{}".format(*self.echotime(*args).address("UDP"))

    def test_forms(self) -> None:
        """Only the time goes to standard output, as ctime, ISO 8601 or seconds, local or UTC."""
        server = self.server()
        ended = self.tool("time", server)
        self.assertEqual(ended.returncode, 0)
        shown = time.mktime(time.strptime(ended.stdout.decode().strip(), "%a %b %d %H:%M:%S %Y"))
        self.assertLessEqual(abs(shown - time.time()), 2)
        self.assertRegex(ended.stderr, rb"waiting for the answer...\noffset [+-]0\.\d{3} s, uncertain by 0\.5\d\d s: ")
        self.assertRegex(
            self.tool("time", "--iso", "--utc", server).stdout, rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\n$"
        )
        self.assertLessEqual(abs(int(self.tool("time", "--raw", server).stdout) - time.time()), 2)
        self.assertRegex(self.tool("time", "--utc", server).stdout, rb"^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n$")
        self.assertEqual(self.tool("time", "--quiet", server).stderr, b"")

    def test_epoch(self) -> None:
        """A server with epoch 1900 is understood with --epoch 1900, and recognized without it."""
        server = self.server("--epoch", "1900")
        self.assertLessEqual(abs(int(self.tool("time", "--raw", "--epoch", "1900", server).stdout) - time.time()), 2)
        self.assertIn(b"probably in seconds since 1900: use --epoch 1900", self.tool("time", server).stderr)

    def test_terminal(self) -> None:
        """The tool prompts for the server. The Chinese prompt is that of the original client."""
        server = self.server()
        shown = self.at_terminal("time", typed=[("输入服务器地址:".encode(), server.encode())], language=CHINESE)
        self.assertEqual(self.status, 0)
        self.assertIn("等待回复……".encode(), shown)

    def test_localhost(self) -> None:
        """All addresses of a name are tried until one answers."""
        port = self.server().rpartition(":")[2]
        self.assertEqual(self.tool("time", f"localhost:{port}").returncode, 0)


class BadAnswerTests(ToolTestCase):
    """Test servers with wrong, late, foreign or missing responses."""

    def assert_bad(self, answer: bytes, size: int, kind: str) -> None:
        """Check status 1 and a line with the printable answer and a guess of its format."""
        server = self.udp_server(lambda sock, datagram, peer: sock.sendto(answer, peer))
        ended = self.tool("time", "--quiet", server)
        self.assertEqual((ended.returncode, ended.stdout), (1, b""))
        self.assertRegex(
            ended.stderr.decode(), rf"^echotime: \S+: bad response, {size} bytes: [ -~]*\(probably {kind}.*\)\n$"
        )

    def test_lengths(self) -> None:
        """An answer of another length is an error, with its format if it is recognized."""
        now = int(time.time())
        self.assert_bad(struct.pack("!q", now), 8, "64-bit Unix time")
        self.assert_bad(struct.pack("!q", now + 2_208_988_800), 8, "64-bit time since 1900")
        self.assert_bad(b"\x24" + bytes(47), 48, "NTP packet")
        self.assert_bad(b"Sun Nov 22 2026\r\n", 17, "text, as from a daytime")
        self.assert_bad(b"", 0, "an unknown format")
        self.assert_bad(b"\x1b[31m\xff", 6, "an unknown format")

    def test_inetutils(self) -> None:
        """The 8-byte answer of GNU inetutils' inetd is recognized."""
        self.need("inetutils-inetd", "ip", "unshare")
        if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
            self.skipTest("its port is 37, so it needs a network namespace of its own, which needs root")
        path = Path(self.mktemp())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("time dgram udp wait root internal\n", encoding="ascii")
        script = (
            'conf=$1; shift; ip link set lo up; "$INETD" -d "$conf" >/dev/null 2>&1 & inetd=$!; '
            'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "$@"; status=$?; '
            "[ $status = 3 ] || break; done; kill $inetd; exit $status"
        )
        ended = subprocess.run(
            ["unshare", "-n", "sh", "-c", script, "sh", str(path), *TOOL, "time", "--quiet", "127.0.0.1:37"],
            env=environment({"INETD": str(self.which("inetutils-inetd"))}),
            capture_output=True,
            timeout=2 * LIMIT,
            check=False,
        )
        self.assertEqual(ended.returncode, 1, ended.stderr)
        self.assertIn(b"bad response, 8 bytes", ended.stderr)
        self.assertIn(b"probably 64-bit time since 1900", ended.stderr)

    def test_retry(self) -> None:
        """A lost answer is requested again."""
        asked: list[bytes] = []

        def third(sock: socket.socket, datagram: bytes, peer: Peer) -> None:
            asked.append(datagram)
            if len(asked) == 3:
                sock.sendto(struct.pack("!I", 0), peer)

        server = self.udp_server(third)
        ended = self.tool("time", "--raw", "--timeout", "0.2", "--tries", "3", server)
        self.assertEqual((ended.returncode, asked), (0, [b"", b"", b""]))

    def test_no_answer(self) -> None:
        """Without an answer the error says how many requests were sent, and how long each waited."""
        server = self.udp_server(lambda sock, datagram, peer: None)
        for tries, text in (("2", "no answer to 2 requests, 0.1 s each"), ("1", "no answer within 0.1 s")):
            ended = self.tool("time", "-q", "--timeout", "0.1", "--tries", tries, server)
            self.assertEqual((ended.returncode, ended.stderr.decode()), (7, f"echotime: {server}: {text}\n"))

    def test_wrapped(self) -> None:
        """A value far off is read as the time nearest to the local clock, with a remark."""
        server = self.udp_server(lambda sock, datagram, peer: sock.sendto(bytes(4), peer))
        ended = self.tool("time", "--raw", server)
        self.assertEqual(ended.stdout, b"4294967296\n" if time.time() > 2**31 else b"0\n")

    def test_stranger(self) -> None:
        """An answer from another port is refused and reported."""

        def elsewhere(sock: socket.socket, datagram: bytes, peer: Peer) -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.sendto(struct.pack("!I", 0), peer)

        ended = self.tool("time", "--timeout", "0.3", "--tries", "1", self.udp_server(elsewhere))
        self.assertEqual((ended.returncode, ended.stdout), (7, b""))
        self.assertRegex(ended.stderr, rb"ignored responses from wrong addresses: 1, the first from 127\.0\.0\.1:\d+\n")

    def test_many_strangers(self) -> None:
        """Answers from many wrong addresses are counted in one line."""

        def elsewhere(sock: socket.socket, datagram: bytes, peer: Peer) -> None:
            for _ in range(50):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                    other.sendto(struct.pack("!I", 0), peer)

        ended = self.tool("time", "-q", "--timeout", "0.5", "--tries", "1", self.udp_server(elsewhere))
        ignored, _failed = ended.stderr.splitlines()
        self.assertRegex(ignored, rb"ignored responses from wrong addresses: 50, the first from 127\.0\.0\.1:\d+$")

    def test_statuses(self) -> None:
        """The status is 3 if refused, 6 for an unknown name, 7 without an answer, 2 for usage."""
        silent = self.udp_server(lambda sock, datagram, peer: None)
        for status, args in (
            (3, [self.closed_port()]),
            (6, ["nowhere.invalid"]),
            (7, ["--timeout", "0.2", "--tries", "2", silent]),
            (2, ["--tries", "0", silent]),
            (2, []),
        ):
            ended = self.tool("time", "--quiet", *args)
            self.assertEqual(ended.returncode, status, ended.stderr)
            self.assertEqual(ended.stdout, b"")
