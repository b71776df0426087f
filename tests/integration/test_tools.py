"""Test clients of other projects: nc, socat, ncat, rdate."""

from __future__ import annotations

import re
import subprocess
import time

from tests.support.twistd_process import LIMIT, DaemonTestCase


class ToolTests(DaemonTestCase):
    """Run common clients against the daemon."""

    def run_tool(self, *command: str, stdin: bytes = b"") -> bytes:
        """Run a program, which must end with status 0, and return its output."""
        self.need(command[0])
        program = self.which(command[0])
        assert program is not None
        ended = subprocess.run([program, *command[1:]], input=stdin, capture_output=True, timeout=LIMIT, check=False)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return ended.stdout

    def test_nc(self) -> None:
        """`echo hello | nc -N` ends by itself with the whole reply."""
        host, port = self.echotime("--reply", "ok", shared=True).address("TCP")
        answer = self.run_tool("nc", "-N", host, str(port), stdin=b"hello\n")
        self.assertEqual(answer, b"hello\n\nI get it!\nok")

    def test_socat(self) -> None:
        """Socat, which half-closes at the end of its input, gets the whole reply."""
        host, port = self.echotime("--reply", "ok", shared=True).address("TCP")
        answer = self.run_tool("socat", "-t", "10", "-", f"TCP:{host}:{port}", stdin=b"hello\n")
        self.assertEqual(answer, b"hello\n\nI get it!\nok")

    def test_ncat(self) -> None:
        """Ncat gets the whole reply."""
        host, port = self.echotime("--reply", "ok", shared=True).address("TCP")
        answer = self.run_tool("ncat", host, str(port), stdin=b"hello\n")
        self.assertEqual(answer, b"hello\n\nI get it!\nok")

    def test_large_file_through_socat(self) -> None:
        """A megabyte through socat comes back whole."""
        host, port = self.echotime("--ack", "").address("TCP")
        sent = bytes(range(256)) * 4096
        answer = self.run_tool("socat", "-t", "10", "-", f"TCP:{host}:{port}", stdin=sent)
        self.assertTrue(answer == sent, "the echo differs from what was sent")

    def test_nc_udp(self) -> None:
        """`nc -u` prints the four bytes."""
        host, port = self.echotime().address("UDP")
        answer = self.run_tool("nc", "-u", "-w", "2", host, str(port), stdin=b"x")
        self.assertEqual(len(answer), 4)

    def test_rdate(self) -> None:
        """With --epoch 1900 a real RFC 868 client reads the right time."""
        host, port = self.echotime("--epoch", "1900").address("UDP")
        answer = self.run_tool("rdate", "-u", "-p", "-o", str(port), host).decode()
        found = re.search(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d .*?\d{4}", answer)
        assert found is not None, answer
        shown = time.mktime(time.strptime(re.sub(r" [A-Z]{3,4} ", " ", found[0]), "%a %b %d %H:%M:%S %Y"))
        self.assertLessEqual(abs(shown - time.time()), 2)
