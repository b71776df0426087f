"""Faulty paths between clients and the daemon: what a client gets is exact or visibly cut, and nothing of it stays."""

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
    """A daemon that has to be as it was, once a test's clients are gone."""

    @contextlib.contextmanager
    def unchanged(self, *args: str) -> Iterator[Twistd]:
        """One; at the end it has no connection left, and no descriptor that it did not have before."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "control")
            daemon = self.echotime("--control", str(path), *args)
            with connect(daemon.address("TCP")) as sock:
                # the first that has to be waited for opens what all have in common
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
    """TCP."""

    def test_small_segments(self) -> None:
        """A path that lets a byte through at a time, each way, loses none."""
        with self.unchanged() as daemon, tcp_proxy(daemon.address("TCP"), Fault(1), Fault(1)) as path:
            sent = bytes(range(11, 256)) * 8
            came = one_shot(path.address, sent)
            self.assertEqual(b"".join(split_answers(came, ACKNOWLEDGEMENT)), sent)

    def test_delays(self) -> None:
        """Nor does one that takes its time for each piece."""
        slow = Fault(segment=700, delay=0.005)
        with self.unchanged() as daemon, tcp_proxy(daemon.address("TCP"), slow, slow) as path:
            sent = bytes(range(11, 256)) * 50
            came = one_shot(path.address, sent)
            self.assertEqual(b"".join(split_answers(came, ACKNOWLEDGEMENT)), sent)

    def test_end_of_what_is_sent(self) -> None:
        """What arrived before the path ended the client's side is answered, and then there is an end of file."""
        with self.unchanged() as daemon:
            for after in (1, 4095, 4096, 4097, 10_000):
                cut = Fault(after=after, then=Then.HALF_CLOSE)
                with tcp_proxy(daemon.address("TCP"), up=cut) as path, connect(path.address) as sock:
                    sock.sendall(b"x" * 20_000)
                    came = read_all(sock)
                    self.assertEqual(path.faults, 1)
                self.assertEqual(b"".join(split_answers(came, ACKNOWLEDGEMENT)), b"x" * after)

    def test_end_of_what_comes(self) -> None:
        """A path that ends the daemon's side while the client still sends leaves nothing behind."""
        with self.unchanged() as daemon:
            cut = Fault(after=100, then=Then.HALF_CLOSE)
            with tcp_proxy(daemon.address("TCP"), down=cut) as path, connect(path.address) as sock:
                sock.sendall(b"x" * 20_000)
                self.assertEqual(read_all(sock), b"x" * 100)
                sock.sendall(b"x" * 20_000)
                sock.shutdown(socket.SHUT_WR)

    def test_cuts(self) -> None:
        """Reset or closed on both sides after any number of bytes either way: a client knows, and nothing stays."""
        with self.unchanged() as daemon:
            for then in (Then.RESET, Then.CLOSE):
                for after in (1, 11, 4096, 4107, 30_000):
                    fault = Fault(after=after, then=then)
                    for faults in ({"up": fault}, {"down": fault}):
                        self.cut(daemon, then, **faults)

    def cut(self, daemon: Twistd, then: Then, **faults: Fault) -> None:
        """One client, whose path is cut once while it sends."""
        with tcp_proxy(daemon.address("TCP"), **faults) as path, connect(path.address) as sock:
            came = b""
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                sock.sendall(b"x" * 50_000)
                came = read_all(sock)
            self.assertEqual(path.faults, 1)
            self.assertLess(len(came), 50_000)

    def test_stall(self) -> None:
        """A path that stalls, one way or the other, holds up nobody else."""
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
        """A word that comes two seconds after the end of file passes a slow path, too."""
        child = self.late_words()
        slow = Fault(segment=4, delay=0.01)
        with tcp_proxy(child.address("TCP"), slow, slow) as path:
            self.assertEqual(one_shot(path.address, b"slow"), b"slow" + ACKNOWLEDGEMENT + b"late")

    def test_tool(self) -> None:
        """`echotime send --verify` finds all right on a path of small segments, and says so of one that is cut."""
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
    """UDP."""

    def test_one_answer_for_each(self) -> None:
        """However datagrams are doubled and overtaken, each that arrives has one answer of four bytes."""
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
        """`echotime time` asks again where datagrams are lost, and is content with the first answer of several."""
        with self.unchanged() as daemon:
            faults = Faults(drop=0.4, duplicate=0.3, reorder=0.3, delay=0.005, seed=1)
            with udp_proxy(daemon.address("UDP"), faults) as path:
                host, port = path.address
                for _ in range(5):
                    ended = self.tool("time", "-q", "--tries", "30", "--timeout", "0.2", f"{host}:{port}")
                    self.assertEqual((ended.returncode, ended.stderr), (0, b""))
                self.assertGreater(path.lost, 0)
            self.assertEqual(len(ask_time(daemon.address("UDP"))), 4)
