"""Test `echotime explain`: texts, demonstrations and their exit status."""

from __future__ import annotations

import re
import subprocess

from tests.support.tool_case import CHINESE, ToolTestCase
from tests.support.twistd_process import LIMIT


class ExplainTests(ToolTestCase):
    """Run `echotime explain`, which uses its own sockets."""

    def explain(self, *args: str) -> str:
        """Return the output of `echotime explain ARGS`, and assert that it succeeds."""
        ended = self.tool("explain", *args)
        self.assertEqual((ended.returncode, ended.stderr), (0, b""))
        return ended.stdout.decode()

    def test_demonstration(self) -> None:
        """The text is followed by what real sockets did."""
        text = self.explain("SO_OOBINLINE")
        self.assertIn("SO_OOBINLINE (SOL_SOCKET 10): Keep TCP urgent data in the normal data stream.", text)
        self.assertRegex(text, r"use +Use it where every byte")
        self.assertRegex(text, r"caution +If off, recv does not return the urgent byte")
        off, on = text.partition("Demonstration on loopback:")[2].split("SO_OOBINLINE=")[1:]
        self.assertRegex(off, r"server +recv until the end of file +b'abcdef'\n +\(one byte short")
        self.assertRegex(on, r"server +recv until the end of file +b'abcXdef'\n")

    def test_dead_peer(self) -> None:
        """With SO_KEEPALIVE a dead peer is noticed."""
        detected = r"recv\(100\), with SO_KEEPALIVE +Connection timed out \(ETIMEDOUT\) after [12]\.\d s\n"
        self.assertRegex(self.explain("so_keepalive"), detected)

    def test_every_other(self) -> None:
        """An option without its own demonstration is tried with an example; a read-only one is shown."""
        text = self.explain("SO_PRIORITY")
        self.assertIn("Trial of an example on loopback:\nSO_PRIORITY, requested 5\n", text)
        self.assertIn("connection    effective 0: not inherited: echotime sets it on each connection\n", text)
        self.assertRegex(self.explain("SO_TYPE"), r"now +TCP listener: stream\n +connection: stream\n +UDP: datagram\n")

    def test_server_and_client(self) -> None:
        """The steps of the original text are carried out."""
        text = self.explain("server")
        steps = [
            "step 1: s = socket(",
            "step 2: s.setsockopt(",
            "step 3: s.bind(",
            "step 4: s.listen(",
            "step 5: connection, peer = s.accept()",
        ]
        places = [text.index(f"TCP server, {step}") for step in steps]
        self.assertEqual(places, sorted(places))
        self.assertIn("UDP server, step 4: recvfrom(8192), in place of listen", text)
        self.assertRegex(text, r"\n    without listen: accept +Invalid argument \(EINVAL\)\n")
        self.assertRegex(text, r"server +the state, by TCP_INFO +LISTEN\n")
        text = self.explain("client")
        self.assertRegex(text, r"\n    without the server's listen: connect +Connection refused \(ECONNREFUSED\)\n")
        self.assertRegex(text, r"client +the state, by TCP_INFO +ESTABLISHED\n")

    def test_acts_on(self) -> None:
        """One line names the sockets on which an option acts, and those that only accept it."""
        for name, line in (
            ("SO_KEEPALIVE", "TCP (UDP accepts it, without effect)"),
            ("SO_BROADCAST", "UDP (TCP accepts it, without effect)"),
            ("SO_REUSEADDR", "TCP, UDP"),
            ("TCP_FASTOPEN", "TCP listener"),
        ):
            described = self.tool("sockopts", name).stdout.decode()
            self.assertRegex(described, rf"\n  acts on +{re.escape(line)}\n")
        described = self.tool("sockopts", "SO_KEEPALIVE", language=CHINESE).stdout.decode()
        self.assertRegex(described, r"作用于 +TCP\W+UDP 可以设置\W+但不起作用\W")

    def test_several(self) -> None:
        """Several names are explained one after the other."""
        text = self.explain("SO_TYPE", "backlog")
        self.assertLess(text.index("SO_TYPE (SOL_SOCKET 3)"), text.index("The argument of listen(2)"))

    def test_list(self) -> None:
        """Without a name the demonstrations are listed."""
        text = self.explain()
        for name in ("backlog", "server", "client", "SO_REUSEADDR", "TCP_USER_TIMEOUT"):
            self.assertIn(name, text)

    def test_usage(self) -> None:
        """An unknown name is reported with the nearest one."""
        for typed, near in (("SO_REUSADDR", b"SO_REUSEADDR"), ("servr", b"server"), ("backlogs", b"backlog")):
            ended = self.tool("explain", typed)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(b"the nearest is " + near, ended.stderr)

    def test_interrupted(self) -> None:
        """Ctrl-C ends a demonstration by the signal."""
        child = self.start("explain", "SO_KEEPALIVE")
        assert child.stdout is not None
        for line in child.stdout:
            if b"no longer responds" in line:
                break
        child.send_signal(2)
        self.assertEqual(child.wait(LIMIT), -2)

    def test_a_host_that_differs(self) -> None:
        """A demonstration without sockets fails with status 1 and a message, not a traceback."""
        self.need("prlimit")
        code = ["prlimit", "--nofile=9", *self.command("explain", "SO_REUSEPORT")]
        ended = subprocess.run(code, capture_output=True, timeout=60, check=False)
        self.assertEqual(ended.returncode, 1, ended.stdout)
        self.assertNotIn(b"Traceback", ended.stdout + ended.stderr)
        self.assertIn(b"Too many open files", ended.stdout + ended.stderr)

    def test_chinese(self) -> None:
        """The six options of the original text are explained in Chinese."""
        ended = self.tool("explain", "SO_BROADCAST", language=CHINESE)
        self.assertEqual(ended.returncode, 0)
        self.assertIn("允许向广播地址发送", ended.stdout.decode())
