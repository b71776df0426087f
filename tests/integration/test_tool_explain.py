"""`echotime explain`."""

from __future__ import annotations

import subprocess

from tests.support.tool_case import CHINESE, ToolTestCase


class ExplainTests(ToolTestCase):
    """It needs no server: all happens on sockets of its own."""

    def told(self, *args: str) -> str:
        """What `echotime explain ARGS` says, as described and without a fault."""
        ended = self.tool("explain", *args)
        self.assertEqual((ended.returncode, ended.stderr), (0, b""))
        return ended.stdout.decode()

    def test_demonstration(self) -> None:
        """The text, then what real sockets did."""
        text = self.told("SO_OOBINLINE")
        self.assertIn("SO_OOBINLINE (SOL_SOCKET 10): Keep TCP urgent data in the normal data stream.", text)
        self.assertRegex(text, r"when +Use it where every byte")
        self.assertRegex(text, r"careful +If off, recv does not return the urgent byte")
        off, on = text.partition("On loopback, now:")[2].split("SO_OOBINLINE=")[1:]
        self.assertRegex(off, r"server +recv until the end of file +b'abcdef'\n +\(one byte short")
        self.assertRegex(on, r"server +recv until the end of file +b'abcXdef'\n")

    def test_dead_peer(self) -> None:
        """SO_KEEPALIVE notices a peer that is gone."""
        self.assertRegex(self.told("so_keepalive"), r"with: recv\(100\) +ETIMEDOUT after [12]\.\d s\n")

    def test_every_other(self) -> None:
        """An option without a demonstration of its own is tried with an example; one that is only read is shown."""
        text = self.told("SO_PRIORITY")
        self.assertIn("On loopback, now, with an example:\nSO_PRIORITY, asked 5\n", text)
        self.assertIn("connection    effective 0: not inherited: echotime sets it on each connection\n", text)
        self.assertRegex(self.told("SO_TYPE"), r"now +TCP listener: stream\n +connection: stream\n +UDP: datagram\n")

    def test_server_and_client(self) -> None:
        """The seed's step tables, carried out."""
        text = self.told("server")
        steps = ["step 1: s = socket(", "step 2: s.setsockopt(", "step 3: s.bind(", "step 4: s.listen("]
        places = [text.index(f"TCP server, {step}") for step in steps]
        self.assertEqual(places, sorted(places))
        self.assertIn("UDP server, step 4: recvfrom(8192), in place of listen", text)
        self.assertRegex(text, r"without +listen: accept +EINVAL\n")
        self.assertRegex(text, r"server +the state, by TCP_INFO +LISTEN\n")
        text = self.told("client")
        self.assertRegex(text, r"without +the server's listen: connect +ECONNREFUSED\n")
        self.assertRegex(text, r"client +the state, by TCP_INFO +ESTABLISHED\n")

    def test_several(self) -> None:
        """More than one name is explained one after the other."""
        text = self.told("SO_TYPE", "backlog")
        self.assertLess(text.index("SO_TYPE (SOL_SOCKET 3)"), text.index("The argument of listen(2)"))

    def test_list(self) -> None:
        """Without a name: what there is."""
        text = self.told()
        for name in ("backlog", "server", "client", "SO_REUSEADDR", "TCP_USER_TIMEOUT"):
            self.assertIn(name, text)

    def test_usage(self) -> None:
        """An unknown name is answered with the nearest."""
        for typed, near in (("SO_REUSADDR", b"SO_REUSEADDR"), ("servr", b"server"), ("backlogs", b"backlog")):
            ended = self.tool("explain", typed)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(b"the nearest is " + near, ended.stderr)

    def test_interrupted(self) -> None:
        """Ctrl-C in the middle of a demonstration ends it as it ends other programs."""
        child = self.start("explain", "SO_KEEPALIVE")
        assert child.stdout is not None
        for line in child.stdout:
            if b"is gone" in line:
                break
        child.send_signal(2)
        self.assertEqual(child.wait(20), -2)

    def test_a_host_that_differs(self) -> None:
        """Where no socket can be opened that is said, with status 1 and no traceback."""
        self.need("prlimit")
        code = ["prlimit", "--nofile=9", *self.command("explain", "SO_REUSEPORT")]
        ended = subprocess.run(code, capture_output=True, timeout=60, check=False)
        self.assertEqual(ended.returncode, 1, ended.stdout)
        self.assertNotIn(b"Traceback", ended.stdout + ended.stderr)
        self.assertIn(b"Too many open files", ended.stdout + ended.stderr)

    def test_chinese(self) -> None:
        """In Chinese, with the six of the seed's table explained."""
        ended = self.tool("explain", "SO_BROADCAST", language=CHINESE)
        self.assertEqual(ended.returncode, 0)
        self.assertIn("允许向广播地址发送", ended.stdout.decode())
