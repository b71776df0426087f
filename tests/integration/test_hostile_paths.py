"""Test faulty paths: what a client receives is exact or visibly cut, and the daemon keeps nothing."""

from __future__ import annotations

import contextlib
import select
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from echotime.client.exit_status import ExitStatus
from tests.hostile.daemons import control, descriptors
from tests.hostile.tcp_proxy import Fault, Then, tcp_proxy
from tests.hostile.timing import wait_until
from tests.hostile.udp_proxy import Faults, udp_proxy
from tests.support.plain_clients import (
    ACKNOWLEDGEMENT,
    ask_time,
    connect,
    one_shot,
    read_all,
    read_exactly,
    split_answers,
)
from tests.support.tool_case import ToolTestCase
from tests.support.twistd_process import Twistd


class PathTestCase(ToolTestCase):
    """Run a daemon that must keep no connection and no descriptor after a test's clients are gone."""

    @contextlib.contextmanager
    def unchanged(self, *args: str) -> Iterator[Twistd]:
        """Start a daemon; at the end check its connections, descriptors and service."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "control")
            daemon = self.echotime("--control", str(path), *args)
            with connect(daemon.address("TCP")) as sock:
                # the first echo opens descriptors that all connections share
                for _ in range(2):
                    sock.sendall(b"warm up")
                    read_exactly(sock, len(b"warm up" + ACKNOWLEDGEMENT))
                before = descriptors(daemon) - 1
            yield daemon
            wait_until(lambda: control(path, "status")["connections"] == 0)
            self.assertEqual(descriptors(daemon), before)
            self.assertEqual(one_shot(daemon.address("TCP"), b"next"), b"next" + ACKNOWLEDGEMENT)
            self.served(daemon)


class TcpPathTests(PathTestCase):
    """Relay TCP over faulty paths."""

    def test_small_segments(self) -> None:
        """A path with segments of one byte each way loses none."""
        with self.unchanged() as daemon, tcp_proxy(daemon.address("TCP"), Fault(1), Fault(1)) as path:
            sent = bytes(range(11, 256)) * 8
            came = one_shot(path.address, sent)
            self.assertEqual(b"".join(split_answers(came, ACKNOWLEDGEMENT)), sent)

    def test_delays(self) -> None:
        """A path that delays each segment loses none."""
        slow = Fault(segment=700, delay=0.005)
        with self.unchanged() as daemon, tcp_proxy(daemon.address("TCP"), slow, slow) as path:
            sent = bytes(range(11, 256)) * 50
            came = one_shot(path.address, sent)
            self.assertEqual(b"".join(split_answers(came, ACKNOWLEDGEMENT)), sent)

    def test_end_of_what_is_sent(self) -> None:
        """Data that arrived before the path ended the client's side is answered, followed by an end of file."""
        with self.unchanged() as daemon:
            for after in (1, 4095, 4096, 4097, 10_000):
                cut = Fault(after=after, then=Then.HALF_CLOSE)
                with tcp_proxy(daemon.address("TCP"), up=cut) as path, connect(path.address) as sock:
                    sock.sendall(b"x" * 20_000)
                    came = read_all(sock)
                    self.assertEqual(path.faults, 1)
                self.assertEqual(b"".join(split_answers(came, ACKNOWLEDGEMENT)), b"x" * after)

    def test_end_of_what_comes(self) -> None:
        """A path that ends the daemon's side while the client sends leaves nothing behind."""
        with self.unchanged() as daemon:
            cut = Fault(after=100, then=Then.HALF_CLOSE)
            with tcp_proxy(daemon.address("TCP"), down=cut) as path, connect(path.address) as sock:
                sock.sendall(b"x" * 20_000)
                self.assertEqual(read_all(sock), b"x" * 100)
                sock.sendall(b"x" * 20_000)
                sock.shutdown(socket.SHUT_WR)

    def test_cuts(self) -> None:
        """A connection reset or closed on both sides after any number of bytes is noticed and leaves nothing."""
        with self.unchanged() as daemon:
            for then in (Then.RESET, Then.CLOSE):
                for after in (1, 11, 4096, 4107, 30_000):
                    fault = Fault(after=after, then=then)
                    for faults in ({"up": fault}, {"down": fault}):
                        self.cut(daemon, then, **faults)

    def cut(self, daemon: Twistd, then: Then, **faults: Fault) -> None:
        """Cut one client's path while it sends."""
        with tcp_proxy(daemon.address("TCP"), **faults) as path, connect(path.address) as sock:
            came = b""
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                sock.sendall(b"x" * 50_000)
                came = read_all(sock)
            self.assertEqual(path.faults, 1)
            self.assertLess(len(came), 50_000)

    def test_stall(self) -> None:
        """A path that stalls in either direction delays no other client."""
        with self.unchanged() as daemon:
            address = daemon.address("TCP")
            stall = Fault(after=5000)
            with (
                tcp_proxy(address, up=stall) as one,
                tcp_proxy(address, down=stall) as other,
                connect(one.address) as sent,
                connect(other.address) as unread,
            ):
                for sock in (sent, unread):
                    sock.sendall(b"x" * 20_000)
                wait_until(lambda: one.faults == other.faults == 1)
                for _ in range(20):
                    self.assertEqual(one_shot(address, b"other"), b"other" + ACKNOWLEDGEMENT)

    def test_late_word(self) -> None:
        """A reply two seconds after the end of file passes a slow path, too."""
        child = self.late_replies()
        slow = Fault(segment=4, delay=0.01)
        with tcp_proxy(child.address("TCP"), slow, slow) as path:
            self.assertEqual(one_shot(path.address, b"slow"), b"slow" + ACKNOWLEDGEMENT + b"late")

    def test_tool(self) -> None:
        """`echotime send --verify` succeeds on a path of small segments, and reports one that is cut."""
        with self.unchanged() as daemon:
            text = b"0123456789" * 300
            with tcp_proxy(daemon.address("TCP"), Fault(7), Fault(5)) as path:
                host, port = path.address
                ended = self.tool("send", "-q", "--verify", f"{host}:{port}", "-", stdin=text)
            self.assertEqual((ended.returncode, ended.stderr), (0, b""))
            with tcp_proxy(daemon.address("TCP"), down=Fault(after=1000, then=Then.RESET)) as path:
                host, port = path.address
                ended = self.tool("send", "-q", "--verify", f"{host}:{port}", "-", stdin=text)
            self.assertEqual(ended.returncode, ExitStatus.RESET)
            self.assertEqual(ended.stderr.count(b"\n"), 1)


class UdpPathTests(PathTestCase):
    """Relay UDP over faulty paths."""

    def test_one_answer_for_each(self) -> None:
        """Each datagram that arrives has one answer of four bytes, also if doubled or overtaken."""
        with self.unchanged() as daemon:
            faults = Faults(duplicate=0.3, reorder=0.3, seed=1)
            with udp_proxy(daemon.address("UDP"), faults) as path:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.connect(path.address)
                    for _ in range(100):
                        sock.send(b"?")
                    answers = []
                    while select.select([sock], [], [], 1.0)[0]:
                        answers.append(sock.recv(100))
                self.assertGreater(path.doubled, 0)
                self.assertGreater(path.overtaken, 0)
                self.assertEqual(len(answers), 100 + path.doubled)
                self.assertEqual({*map(len, answers)}, {4})

    def test_tool(self) -> None:
        """`echotime time` retries if datagrams are lost, and accepts the first of several answers."""
        with self.unchanged() as daemon:
            faults = Faults(drop=0.4, duplicate=0.3, reorder=0.3, delay=0.005, seed=1)
            with udp_proxy(daemon.address("UDP"), faults) as path:
                host, port = path.address
                for _ in range(5):
                    ended = self.tool("time", "-q", "--tries", "30", "--timeout", "0.2", f"{host}:{port}")
                    self.assertEqual((ended.returncode, ended.stderr), (0, b""))
                self.assertGreater(path.lost, 0)
            self.assertEqual(len(ask_time(daemon.address("UDP"))), 4)
