"""Test the log lines of a daemon."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import tempfile
from pathlib import Path

from echotime.systemd.journal import JOURNAL_SOCKET
from tests.hostile.timing import wait_until
from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_exactly
from tests.support.pty_child import OnTerminal
from tests.support.twistd_process import TWISTD, DaemonTestCase

JOURNAL = ("bash", "-c", 'export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/$$/fd/1); exec "$@"', "bash")
"""Command prefix that marks standard output as the journal's stream."""


class LogTests(DaemonTestCase):
    """Check the lines of connections, messages and ends: printable and bounded."""

    def test_start_lines(self) -> None:
        """The start takes at most six lines, which say where it listens and how to stop it, and the stop two more."""
        directory = Path(tempfile.mkdtemp())  # short enough for a Unix socket
        self.addCleanup(shutil.rmtree, directory)
        file = directory / "echotime.conf"
        file.write_text("[echotime]\nbacklog = 50\n", encoding="utf-8")
        daemon = self.echotime("--config", str(file), "--control", str(directory / "control"))
        daemon.line("reload: enabled")
        starting = list(daemon.lines)
        self.assertLessEqual(len(starting), 6)
        self.assertEqual(len([each for each in starting if "listening on " in each]), 3)
        self.assertRegex(starting[0], rf"echotime \S+ on Linux \S+; stop with kill {daemon.process.pid}$")
        out = self.served(daemon).out.splitlines()
        self.assertEqual([each for each in out if "[echotime#" not in each], [])
        self.assertRegex(out[len(starting)], r"#info\] received SIGTERM: stopping$")

    def test_stop_at_a_terminal(self) -> None:
        """In the foreground of a terminal the first line names Ctrl-C, which stops the daemon."""
        self.need("setsid")
        terminal = OnTerminal([*TWISTD, "echotime", "--tcp", "127.0.0.1:0"])
        self.addCleanup(terminal.close)
        terminal.until(r"echotime \S+ on Linux \S+; stop with Ctrl-C\r\n")
        terminal.until("connection limits")
        terminal.type(b"\x03")
        self.assertEqual(terminal.end(), -signal.SIGINT)
        terminal.until("received SIGINT: stopping")

    def test_a_session(self) -> None:
        """A connection is logged as the original scripts do, and its end with the bytes and who ended it."""
        daemon = self.echotime("--reply", "ok")
        with connect(daemon.address("TCP")) as sock:
            peer = f"127.0.0.1:{sock.getsockname()[1]}"
            sock.sendall(b"hello")
            read_exactly(sock, 5 + len(ACKNOWLEDGEMENT) + 2)
        daemon.line(rf"#info\] connection from {peer}$")
        daemon.line(rf"#info\] {peer}: hello$")
        daemon.line(rf"#info\] connection from {peer} ended by client, 5 bytes in, 18 bytes out$")

    def test_journal(self) -> None:
        """On the journal's stream without journald each line begins with its priority."""
        if Path(JOURNAL_SOCKET).exists():
            self.skipTest("a journald is here, and takes the entries")
        address = ("--tcp", "127.0.0.1:0", "--sockopt", "IP_FREEBIND=on")
        daemon = self.twistd("echotime", *address, prefix=JOURNAL)
        daemon.line(r"^<6>listening on TCP 127\.0\.0\.1:\d+$")
        log = self.mktemp()
        file = self.twistd("--logfile", log, "echotime", *address, prefix=JOURNAL)
        wait_until(lambda: Path(log).exists() and "listening on TCP" in Path(log).read_text(encoding="utf-8"))
        self.assertEqual(file.stop().out, "")
        self.assertIn("#info] listening on TCP", Path(log).read_text(encoding="utf-8"))

    def test_hostile_bytes(self) -> None:
        """A message is logged as one line of printable ASCII, whatever it contains."""
        daemon = self.echotime()
        one_shot(daemon.address("TCP"), b"\x1b[2J\nfake\r\x00\xff\\x00")
        daemon.line(r"127\.0\.0\.1:\d+: \\x1b\[2J\\nfake\\r\\x00\\xff\\\\x00$")
        out = self.served(daemon).out
        self.assertRegex(out, re.compile(r"\A[ -~\n]*\Z"))

    def test_cut(self) -> None:
        """A long message is cut, and its length is logged."""
        daemon = self.echotime()
        one_shot(daemon.address("TCP"), b"x" * 4096)
        daemon.line(r": x{200}\\\.\.\. \(first 200 of 4096 bytes\)$")

    def flood(self, address: tuple[str, int], messages: int) -> None:
        """Send so many messages on one connection."""
        with connect(address) as sock:
            for _ in range(messages):
                sock.sendall(b"m")
                read_exactly(sock, 1 + len(ACKNOWLEDGEMENT))

    def test_message_lines_are_bounded(self) -> None:
        """--log-message-rate N logs N messages a second and the number left out."""
        daemon = self.echotime("--log-message-rate", "5")
        self.flood(daemon.address("TCP"), 200)
        out = self.served(daemon).out
        shown = len(re.findall(r"127\.0\.0\.1:\d+: m$", out, re.MULTILINE))
        left_out = sum(map(int, re.findall(r"message lines left out in the last second: (\d+)", out)))
        self.assertGreaterEqual(shown, 4, "the refused one is the fifth, if all came in one second")
        self.assertLess(shown, 100)
        self.assertEqual(shown + left_out, 200)

    def test_no_messages(self) -> None:
        """--log-message-rate 0 logs no messages, and no number left out."""
        daemon = self.echotime("--log-message-rate", "0")
        self.flood(daemon.address("TCP"), 3)
        out = self.served(daemon).out
        self.assertIn("connection from", out)
        self.assertNotIn(": m", out)
        self.assertNotIn("left out", out)

    def test_connection_lines_are_bounded(self) -> None:
        """A thousand connections do not log a thousand lines."""
        daemon = self.echotime("--log-message-rate", "0")
        for _ in range(1000):
            one_shot(daemon.address("TCP"), b"m")
        out = self.served(daemon).out
        left_out = sum(map(int, re.findall(r"connection lines left out in the last second: (\d+)", out)))
        self.assertEqual(out.count("connection from") + left_out, 2000)
        self.assertLess(out.count("connection from"), 1000)

    def test_datagrams(self) -> None:
        """--log-also datagrams logs each datagram within --log-message-rate, and the number left out."""
        daemon = self.echotime("--log-also", "datagrams", "--log-message-rate", "5", "--deny", "127.0.0.9")
        address = daemon.address("UDP")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.9", 0))
            sock.sendto(b"who\n", address)
            peer = f"127.0.0.9:{sock.getsockname()[1]}"
            daemon.line(rf"#info\] datagram from {peer}, length 4, refused \(access list\): who\\n$")
        daemon.line(r"#warn\] datagrams refused \(access list\): 1 new, 1 total, last from 127\.0\.0\.9$")
        for _ in range(300):
            ask_time(address)
        out = self.served(daemon).out
        shown = len(re.findall(r"datagram from 127\.0\.0\.1:\d+, length \d+, answered", out))
        left_out = sum(map(int, re.findall(r"datagram lines left out in the last second: (\d+)", out)))
        self.assertGreaterEqual(shown, 4, "the refused one is the fifth, if all came in one second")
        self.assertLess(shown, 150)
        self.assertEqual(shown + left_out, 300)

    def test_empty_connections(self) -> None:
        """--log-also empty logs the end of a connection that sent nothing."""
        daemon = self.echotime("--log-also", "empty")
        with connect(daemon.address("TCP")) as sock:
            peer = f"127.0.0.1:{sock.getsockname()[1]}"
        daemon.line(rf"#info\] connection from {peer} ended by client, 0 bytes in, 0 bytes out$")

    def test_kinds(self) -> None:
        """Another kind is a usage error, and so are datagrams without a line for them."""
        self.assertIn(
            "--log-also udp: 'udp' is not something to log; expected datagrams or empty",
            self.refused("--log-also", "udp").err,
        )
        self.assertIn(
            "--log-also datagrams requires a --log-message-rate of 1 or more",
            self.refused("--log-also", "datagrams", "--log-message-rate", "0").err,
        )

    def test_health_check(self) -> None:
        """A connection that sends nothing is not logged."""
        daemon = self.echotime()
        address = daemon.address("TCP")
        for _ in range(20):
            connect(address).close()
        with connect(address) as sock:
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(sock.recv(1), b"")
        out = self.served(daemon).out
        self.assertNotIn("connection from", out)
        self.assertIn("served connections: 21 (empty: 21), messages: 0, bytes in: 0, bytes out: 0, datagrams: 0", out)
