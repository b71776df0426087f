"""Test limits of connections and datagrams: they affect a greedy source and no other."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import subprocess
import tempfile
import time

from echotime.control.peer import MAX_CONTROL_CONNECTIONS
from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_all, read_exactly
from tests.support.tool_case import TOOL
from tests.support.twistd_process import LIMIT, DaemonTestCase, Twistd

LOOPBACK = ("127.0.0.1", 0)


class LimitTests(DaemonTestCase):
    """Connect from addresses of loopback to a real daemon."""

    def come(self, daemon: Twistd, host: str) -> socket.socket:
        """Connect from an address of loopback."""
        sock = socket.create_connection(daemon.address("TCP"), timeout=LIMIT, source_address=(host, 0))
        self.addCleanup(sock.close)
        return sock

    def served_now(self, sock: socket.socket) -> bool:
        """Return True if a message is echoed, False if the connection has ended."""
        try:
            sock.sendall(b"hi")
            return read_exactly(sock, 2 + len(ACKNOWLEDGEMENT)) == b"hi" + ACKNOWLEDGEMENT
        except (OSError, AssertionError):
            return False

    def test_logged_at_start(self) -> None:
        """The start report has the limits, derived from the descriptor limit, and notes a lowered one."""
        daemon = self.twistd("echotime", "--tcp", "127.0.0.1:0", prefix=("prlimit", "--nofile=100:200"))
        daemon.line("connection limits: 50 in all, 12 per source$")
        daemon = self.echotime("--max-connections", "77", "--max-per-source", "9")
        daemon.line("connection limits: 77 in all, 9 per source$")
        daemon = self.twistd(
            "echotime", "--tcp", "127.0.0.1:0", "--max-connections", "500", prefix=("prlimit", "--nofile=100:200")
        )
        daemon.line("connection limits: 136 in all, 34 per source$")
        daemon.line("--max-connections: requested 500, effective 136, because RLIMIT_NOFILE is 200")

    def test_one_source(self) -> None:
        """One source has a limit of its own."""
        daemon = self.echotime("--max-per-source", "3")
        own = [self.come(daemon, "127.0.0.2") for _ in range(3)]
        self.assertTrue(all(map(self.served_now, own)))
        self.assertEqual(self.come(daemon, "127.0.0.2").recv(1), b"")
        self.assertTrue(self.served_now(self.come(daemon, "127.0.0.3")))
        own[0].close()
        daemon.line("ended by client")
        self.assertTrue(self.served_now(self.come(daemon, "127.0.0.2")))
        daemon.line(r"connections refused \(source limit\): 1 new, 1 total")
        self.served(daemon)

    def test_full(self) -> None:
        """At the limit a new source evicts the longest-idle connection of the largest source."""
        daemon = self.echotime("--max-connections", "4", "--max-per-source", "4")
        honest = self.come(daemon, "127.0.0.9")
        self.assertTrue(self.served_now(honest))
        many = [self.come(daemon, "127.0.0.2") for _ in range(3)]
        for each in (0, 1, 2, 0):
            self.assertTrue(self.served_now(many[each]))
        self.assertTrue(self.served_now(self.come(daemon, "127.0.0.3")))
        self.assertEqual([self.served_now(each) for each in many], [True, False, True])
        self.assertTrue(self.served_now(honest))
        self.assertEqual(self.come(daemon, "127.0.0.2").recv(1), b"")
        ended = self.served(daemon)
        self.assertIn("ended by eviction", ended.out)
        self.assertIn(
            "refusals: connections refused (connection limit): 1; connections evicted (connection limit): 1",
            ended.out,
        )

    def test_a_thousand_silent_ones(self) -> None:
        """A thousand idle connections from one address leave room for others, and cost a few lines."""
        daemon = self.echotime("--max-connections", "400")
        silent = [self.come(daemon, "127.0.0.2") for _ in range(1000)]
        self.assertEqual(one_shot(daemon.address("TCP"), b"hi"), b"hi" + ACKNOWLEDGEMENT)
        self.assertEqual(sum(self.served_now(each) for each in silent), 100)
        self.assertIn("connections refused (source limit): 900", self.served(daemon).out)
        self.assertLess(len([line for line in daemon.lines if " new, " in line]), 5)

    def test_many_sources(self) -> None:
        """Many sources with one connection each leave the service to the next one."""
        daemon = self.echotime("--max-connections", "50")
        for number in range(200):
            self.come(daemon, f"127.0.1.{number}")
        self.assertTrue(self.served_now(self.come(daemon, "127.0.0.9")))
        self.served(daemon)

    def test_no_descriptor_left(self) -> None:
        """Without any descriptor left, connections are closed at the cost of a few lines."""
        daemon = self.echotime()
        daemon.line("connection limits")
        subprocess.run(["prlimit", f"--pid={daemon.process.pid}", "--nofile=20:"], check=True)
        here = []
        for number in range(100):
            with contextlib.suppress(ConnectionResetError):  # a refused client may be reset at once
                here.append(self.come(daemon, f"127.0.1.{number}"))
        daemon.line(r"TCP 127.0.0.1:\d+: accept EMFILE: \d+ new")
        for each in here:
            each.close()
        until = time.monotonic() + LIMIT
        served = False
        while not served:
            self.assertLess(time.monotonic(), until)  # the closes above may not have been read yet
            with contextlib.suppress(ConnectionResetError):
                served = self.served_now(self.come(daemon, "127.0.0.9"))
        ended = self.served(daemon)
        self.assertLess(len([line for line in daemon.lines if "EMFILE" in line]), 5, ended.out)

    def test_too_few_descriptors(self) -> None:
        """The start fails with the number of descriptors that are needed. With that number everything works."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = f"{folder.name}/control"
        arguments = ("--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--control", path)
        ended = self.refused(*arguments, prefix=("prlimit", "--nofile=16"))
        found = re.search(r"echotime: too few descriptors: RLIMIT_NOFILE is 16, and (\d+) are needed", ended.err)
        assert found is not None, ended.err
        self.assertEqual(ended.status, 1)
        needed = int(found[1])
        self.assertEqual(self.refused(*arguments, prefix=("prlimit", f"--nofile={needed - 1}")).status, 1)
        daemon = self.twistd("echotime", *arguments, prefix=("prlimit", f"--nofile={needed}"))
        daemon.line("connection limits: 1 in all, 1 per source$")
        daemon.line("listening on control socket")
        operators = []
        for _ in range(MAX_CONTROL_CONNECTIONS - 1):
            operators.append(socket.socket(socket.AF_UNIX))
            self.addCleanup(operators[-1].close)
            operators[-1].connect(path)
        sock = self.come(daemon, "127.0.0.1")
        self.assertTrue(self.served_now(sock))
        self.assertTrue(self.served_now(self.come(daemon, "127.0.0.2")), "evicts the one before")
        self.assertEqual(len(ask_time(daemon.address("UDP"))), 4)
        status = [*TOOL, "control", "--socket", path, "status"]
        shown = subprocess.run(status, capture_output=True, timeout=LIMIT, check=False)
        self.assertEqual((shown.returncode, shown.stdout.count(b" answered")), (0, 2), shown)
        self.assertNotIn("EMFILE", self.served(daemon).out)

    def test_select(self) -> None:
        """On the select reactor connections stay within its 1024 descriptors."""
        if self.reactor:
            self.skipTest("needs the select reactor")
        options = ("--max-connections", "3000", "--max-per-source", "3000")
        daemon = self.twistd("-r", "select", "echotime", "--tcp", "127.0.0.1:0", *options)
        daemon.line(
            r"--max-connections: requested 3000, effective 960, because select\(2\) is limited to 1024 descriptors$"
        )
        many = [self.come(daemon, "127.0.0.2") for _ in range(1100)]
        self.assertEqual(sum(self.served_now(each) for each in many), 960)
        self.assertTrue(self.served_now(self.come(daemon, "127.0.0.3")))
        self.served(daemon)

    def test_idle(self) -> None:
        """An idle connection is closed after its timeout; a busy one is not."""
        daemon = self.echotime("--idle-timeout", "0.5")
        with connect(daemon.address("TCP")) as busy, connect(daemon.address("TCP")) as idle:
            self.assertTrue(self.served_now(idle))
            idle.setblocking(False)
            until = time.monotonic() + LIMIT
            while not select.select([idle], [], [], 0.05)[0] and time.monotonic() < until:
                self.assertTrue(self.served_now(busy))
            self.assertEqual(idle.recv(1), b"")
            self.assertTrue(self.served_now(busy))
        daemon.line("ended by idle timeout, 2 bytes in, 13 bytes out")
        self.served(daemon)

    def test_session(self) -> None:
        """A busy connection ends at the session timeout."""
        daemon = self.echotime("--session-timeout", "0.5")
        sock = self.come(daemon, "127.0.0.1")
        until = time.monotonic() + LIMIT
        while self.served_now(sock) and time.monotonic() < until:
            pass
        daemon.line("ended by session timeout")
        self.served(daemon)

    def test_half_closed(self) -> None:
        """A half-closed client that awaits a reply is reset at the half-closed timeout."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        control = ("--control", f"{folder.name}/control", "--wait-for-operator")
        daemon = self.echotime("--half-closed-timeout", "0.5", *control)
        sock = self.come(daemon, "127.0.0.1")
        sock.sendall(b"hi")
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(read_exactly(sock, 13), b"hi" + ACKNOWLEDGEMENT)
        self.assertRaises(ConnectionResetError, read_all, sock)
        daemon.line("ended by reset at the half-closed timeout")
        self.served(daemon)

    def test_does_not_read(self) -> None:
        """A client that sends and does not read is reset: it would not get all replies."""
        daemon = self.echotime("--idle-timeout", "0.5", "--sockopt", "tcp:SO_SNDBUF=8K")
        sock = self.come(daemon, "127.0.0.1")
        sock.setblocking(False)
        block = b"x" * 65536
        while select.select([], [sock], [], 0.2)[1]:
            try:
                sock.send(block)
            except OSError:
                break
        daemon.line("ended by reset at the idle timeout")
        self.served(daemon)

    def test_half_closed_does_not_read(self) -> None:
        """A half-closed client that does not read is reset, as one that is open."""
        timeouts = ("--idle-timeout", "0.5", "--half-closed-timeout", "1h")
        daemon = self.echotime(*timeouts, "--log-message-rate", "0", "--sockopt", "tcp:SO_SNDBUF=8K")
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.settimeout(LIMIT)
            sock.connect(daemon.address("TCP"))
            sock.sendall(bytes(20_000))
            sock.shutdown(socket.SHUT_WR)
            daemon.line("ended by reset at the idle timeout")
            self.assertRaises(ConnectionResetError, read_all, sock)
        self.served(daemon)

    def test_reads_slowly(self) -> None:
        """A client that acknowledges output is not idle, though the kernel holds all output."""
        daemon = self.echotime("--idle-timeout", "1", "--log-message-rate", "0", "--sockopt", "tcp:SO_SNDBUF=1M")
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.settimeout(LIMIT)
            sock.connect(daemon.address("TCP"))
            sock.sendall(bytes(4096) * 50)
            until = time.monotonic() + 3
            while time.monotonic() < until:
                self.assertTrue(sock.recv(4096))
                select.select([], [], [], 0.1)
            received = read_exactly(sock, 4096)
            self.assertEqual(len(received), 4096)
        self.assertNotIn("timeout", self.served(daemon).out)

    def test_udp_rate(self) -> None:
        """Above the rate limit a part of the datagrams is answered, and other sources are unaffected."""
        daemon = self.echotime("--udp-rate", "50")
        address = daemon.address("UDP")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.2", 0))
            sock.settimeout(LIMIT)
            for _ in range(20):
                for _ in range(50):
                    sock.sendto(b"?", address)
                ask_time(address)  # the datagrams before it are processed
            answers = 0
            while select.select([sock], [], [], 0)[0]:
                answers += bool(sock.recv(4))
        self.assertLess(answers, 600)
        self.assertGreater(answers, 100)
        daemon.line(r"datagrams refused \(rate limit\): ")
        self.served(daemon)

    def test_loopback_has_no_rate(self) -> None:
        """Loopback has no rate limit by default, as it cannot be forged from elsewhere."""
        daemon = self.echotime()
        address = daemon.address("UDP")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(LIMIT)
            for _ in range(50):
                for _ in range(50):
                    sock.sendto(b"?", address)
                for _ in range(50):
                    self.assertEqual(len(sock.recv(5)), 4)
        self.assertNotIn("refused", self.served(daemon).out)

    def test_faults(self) -> None:
        """A limit that is not a number is reported."""
        ended = self.refused(
            "--max-connections", "0", "--max-per-source", "x", "--udp-rate", "-1", "--idle-timeout", "0"
        )
        self.assertEqual(ended.status, 2)
        for fault in (
            "--max-connections 0: must be at least 1",
            "--max-per-source x: must be a whole number, at least 1",
            "--udp-rate -1: must be at least 0",
            "--idle-timeout 0: must be more than 0",
        ):
            self.assertIn(fault, ended.err)


class EPollLimitTests(LimitTests):
    """The same on Twisted's epoll reactor."""

    reactor = ("-r", "epoll")
