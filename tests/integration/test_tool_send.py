"""Test `echotime send` against a real daemon."""

from __future__ import annotations

import contextlib  # not `suppress` itself: trial takes a module attribute of that name for its own
import re
import signal
import subprocess
from pathlib import Path

from tests.support.plain_clients import ACKNOWLEDGEMENT
from tests.support.tool_case import CHINESE, ToolTestCase
from tests.support.twistd_process import LIMIT


def where(address: tuple[str, int]) -> str:
    """Return an address as HOST:PORT, as the tools take it."""
    return "{}:{}".format(*address)


class SendTests(ToolTestCase):
    """`echotime send` with a daemon that serves as it should."""

    def server(self, *args: str) -> str:
        """Return the address of a shared daemon as HOST:PORT."""
        return where(self.echotime(*args, shared=True).address("TCP"))

    def test_message(self) -> None:
        """Standard output has the answer and nothing else; progress goes to standard error."""
        ended = self.tool("send", self.server("--reply", "ok"), "hello")
        self.assertEqual((ended.returncode, ended.stdout), (0, b"hello\nI get it!\nok"))
        self.assertEqual(ended.stderr, b"Sending is done.\n")

    def test_standard_input(self) -> None:
        """A pipe, or - for it, is sent unchanged, with bytes of any value."""
        server = self.server("--ack", "")
        data = bytes(range(256)) * 1000
        for args in (["send", server], ["send", server, "-"]):
            ended = self.tool(*args, stdin=data)
            self.assertEqual(ended.returncode, 0)
            self.assertTrue(ended.stdout == data, "the echo differs from what was sent")

    def test_empty_input(self) -> None:
        """Empty input is not a failure."""
        ended = self.tool("send", self.server())
        self.assertEqual((ended.returncode, ended.stdout), (0, b""))

    def test_gigabyte(self) -> None:
        """A gigabyte passes unchanged, and the tool's memory stays small."""
        server = self.server("--ack", "", "--log-message-rate", "0")
        size = "1000000000"
        source = subprocess.Popen(["head", "-c", size, "/dev/zero"], stdout=subprocess.PIPE)
        child = subprocess.Popen(
            self.command("send", server), stdin=source.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        compare = subprocess.Popen(["cmp", "-n", size, "-", "/dev/zero"], stdin=child.stdout, stderr=subprocess.PIPE)
        for process in (source, child, compare):
            self.addCleanup(process.wait, LIMIT)
            self.addCleanup(process.kill)
        for stream in (source.stdout, child.stdout):
            assert stream is not None
            stream.close()
        peak = 0
        while compare.poll() is None:
            # not ru_maxrss, which begins with what the tests themselves had when they forked
            peak = max(peak, self.peak_memory(child.pid))
            with contextlib.suppress(subprocess.TimeoutExpired):
                compare.wait(0.2)
        _, differs = compare.communicate(timeout=LIMIT)
        self.assertEqual((child.wait(LIMIT), compare.returncode, differs), (0, 0, b""))
        self.assertGreater(peak, 10_000_000)
        self.assertLess(peak, 100_000_000)

    @staticmethod
    def peak_memory(pid: int) -> int:
        """Return the peak resident memory of a process in bytes; 0 if it has ended."""
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(found[1]) * 1024 if found else 0

    def test_verify(self) -> None:
        """--verify accepts an exact reply, and names the first wrong offset of another."""
        server = self.server("--reply", "ok")
        big = bytes(1_000_000)
        ended = self.tool("send", "--verify", "--reply", "ok", server, stdin=big)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertRegex(ended.stderr, rb"\nVerified: 1000000 bytes sent, 10\d+ bytes received, all correct\.\n$")
        ended = self.tool("send", "--verify", server, "hello")
        self.assertEqual((ended.returncode, ended.stdout), (1, b"hello\nI get it!\nok"))
        self.assertIn(b"wrong byte at offset 16: expected end of file, found 'o' (usual cause: ", ended.stderr)

    def test_keep_open(self) -> None:
        """--keep-open does not half-close: the daemon waits on, and --timeout ends the session."""
        ended = self.tool("send", "--keep-open", "--timeout", "2", self.server(), "hello")
        self.assertEqual((ended.returncode, ended.stdout), (4, b"hello" + ACKNOWLEDGEMENT))

    def test_repeat(self) -> None:
        """--repeat and --parallel run many sessions, check each, and summarize them."""
        ended = self.tool("send", "--repeat", "200", "--parallel", "20", self.server(), "hello")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn(b"sessions: 200, exact: 200, bytes lost: 0\n", ended.stdout)
        self.assertIn(b"min/avg/max/mdev/p50/p99 = ", ended.stdout)

    def test_repeat_other_reply(self) -> None:
        """--repeat describes the first failure of each kind; a reply that was not expected is no loss."""
        ended = self.tool("send", "--repeat", "10", self.server("--reply", "ok"), "hello")
        self.assertEqual(ended.returncode, 1, ended.stderr)
        lost, failures = ended.stdout.splitlines()
        self.assertEqual(lost, b"sessions: 10, exact: 0, bytes lost: 0")
        self.assertTrue(
            failures.startswith(
                b"failures: 10, first in session 1: wrong byte at offset 16: expected end of file, found 'o' "
                b"(usual cause: the server also sends"
            ),
            failures,
        )

    def test_sockopt(self) -> None:
        """Socket options are set on the client, and a wrong one is a fault."""
        server = self.server("--ack", "")
        self.assertEqual(self.tool("send", "--sockopt", "TCP_NODELAY=on", server, "x").stdout, b"x")
        ended = self.tool("send", "--sockopt", "TCP_NODELY=on", server, "x")
        self.assertEqual(ended.returncode, 2)
        self.assertIn(b"nearest is TCP_NODELAY", ended.stderr)
        ended = self.tool("send", "--sockopt", "SO_BINDTODEVICE=none0", server, "x")
        self.assertEqual(ended.returncode, 1)
        self.assertIn(b"SO_BINDTODEVICE=none0: No such device (ENODEV)", ended.stderr)

    def test_addresses(self) -> None:
        """A server is a name, IPv4 address or bracketed IPv6 address."""
        daemon = self.twistd("echotime", "--tcp", "[::]:0", "--ack", "")
        port = daemon.address("TCP")[1]
        for host in ("localhost", "127.0.0.1", "[::1]"):
            self.assertEqual(self.tool("send", f"{host}:{port}", "x").stdout, b"x", host)

    def test_message_after_options(self) -> None:
        """Options may stand between server and message, and a message after -- may begin with -."""
        server = self.server("--ack", "")
        for args in (("--", "-x"), ("-q", "--", "-x")):
            self.assertEqual(self.tool("send", server, *args).stdout, b"-x")
        self.assertEqual(self.tool("send", server, "-q", "x").stdout, b"x")
        for argument, message in (
            ("-x", b"unknown option '-x'; to send it as the message, write -- before it"),
            ("y", b"unexpected argument 'y'"),
        ):
            ended = self.tool("send", server, "-q", "x", argument)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(message, ended.stderr)

    def test_progress(self) -> None:
        """On a terminal --repeat shows how far it is, and Ctrl-C ends it with the summary, by SIGINT."""
        server = self.server()
        shown = self.at_terminal("send", "--repeat", "1G", server, "x", typed=[(b" of 1000000000, exact: ", b"\x03")])
        self.assertRegex(
            shown.decode(),
            r"(?s)\rsessions: \d+ of 1000000000, exact: \d+, bytes lost: 0, 2 s.*"
            r"\rsessions: \d+ of 1000000000, exact: \d+, bytes lost: 0\r\n"
            r"times of exact sessions: .*",
        )
        self.assertIn(self.status, {-signal.SIGINT, 128 + signal.SIGINT})

    def test_broken_pipe(self) -> None:
        """If its output is closed, `send` ends quietly by SIGPIPE."""
        child = self.start("send", self.server())
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdin.write(b"hello")
        child.stdin.flush()
        self.assertEqual(child.stdout.read(5), b"hello")
        child.stdout.close()
        child.stdin.write(b"more")
        child.stdin.close()
        self.assertEqual(child.wait(LIMIT), -signal.SIGPIPE)
        self.assertNotIn(b"Traceback", child.stderr.read())

    def test_terminal(self) -> None:
        """On a terminal it prompts for missing arguments, as the original client does."""
        server = self.server("--reply", "ok")
        shown = self.at_terminal(
            "send", typed=[(b"input the server ip:", server.encode()), (b"input the message to send:", b"hello")]
        )
        self.assertEqual(self.status, 0, shown)
        self.assertTrue(shown.endswith(b"Sending is done.\r\nhello\r\nI get it!\r\nok"), shown)

    def test_chinese_terminal(self) -> None:
        """The Chinese prompts are those of the original client."""
        server = self.server("--reply", "ok")
        shown = self.at_terminal(
            "send",
            typed=[("输入服务器ip:".encode(), server.encode()), ("输入要发送的信息:".encode(), "你好".encode())],
            language=CHINESE,
        )
        self.assertEqual(self.status, 0, shown)
        self.assertTrue(shown.endswith("发送完成。\r\n你好\r\nI get it!\r\nok".encode()), shown)

    def test_encoding(self) -> None:
        """--encoding encodes the message and decodes the reply."""
        server = self.server("--ack", "")
        self.assertEqual(self.tool("send", "--encoding", "cp936", server, "你好").stdout, "你好".encode("cp936"))
        shown = self.at_terminal("send", "--encoding", "cp936", server, "你好", typed=[])
        self.assertTrue(shown.endswith("你好".encode()), shown)

    def test_terminal_is_safe(self) -> None:
        """A peer's control characters reach a terminal with --raw only."""
        server = self.server("--ack", "", "--reply", r"\x1b[31mred\x07\xff")
        shown = self.at_terminal("send", server, "x", typed=[])
        self.assertTrue(shown.endswith(rb"x\x1b[31mred\x07\xff"), shown)
        raw = self.at_terminal("send", "--raw", server, "x", typed=[])
        self.assertTrue(raw.endswith(b"x\x1b[31mred\x07\xff"), raw)
