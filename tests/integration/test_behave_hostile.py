"""Test clients that ask for the worst on a listener of --behave: memory, time and connections stay bounded."""

from __future__ import annotations

import socket
import struct
import time

from tests.support.behave_case import ACK, behaving_address
from tests.support.plain_clients import connect, fill, one_shot, read_exactly
from tests.support.twistd_process import DaemonTestCase, Twistd

CLIENTS = 60
MEMORY = 256 * 1024
"""Bytes that one connection may cost: 64 KiB held back, one answer, and the objects of the connection."""


class WorstCaseTests(DaemonTestCase):
    """Choose what costs most, on many connections."""

    def start(self, *options: str) -> Twistd:
        """Start a daemon whose clients choose, and set `address`."""
        daemon = self.echotime("--behave", "0=client", "--drain-timeout", "0", *options)
        self.address = behaving_address(daemon)
        return daemon

    def choose(self, behavior: str, source: str = "") -> socket.socket:
        """Connect a client that chooses a behavior."""
        sock = connect(self.address, source)
        self.addCleanup(sock.close)
        sock.sendall(behavior.encode() + b"\n")
        return sock

    def test_memory(self) -> None:
        """Clients that send as much as they can, and let it be held back for an hour, cost a bounded amount."""
        daemon = self.start()
        one_shot(daemon.address("TCP"), b"m")
        for behavior in ("latency:delay=1h", "trickle:gap=1h", "bandwidth:rate=1", "late_reply:delay=1h", "no_read"):
            before = daemon.resident()
            held = [self.choose(behavior) for _ in range(CLIENTS)]
            for sock in held:
                fill(sock)
            self.assertLess(daemon.resident() - before, CLIENTS * MEMORY, behavior)
            for sock in held:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()

    def test_tiny_messages(self) -> None:
        """Messages of one byte that are held back cost no more than large ones."""
        daemon = self.start("--ack", "")
        one_shot(daemon.address("TCP"), b"m")
        before = daemon.resident()
        clients = [self.choose("latency:delay=1h") for _ in range(10)]
        for _ in range(2000):
            for sock in clients:
                sock.send(b"x")
        one_shot(daemon.address("TCP"), b"m")
        self.assertLess(daemon.resident() - before, 10 * MEMORY)

    def test_ordinary_clients_are_served(self) -> None:
        """Clients that get a byte each millisecond do not keep the daemon from the ordinary ones."""
        daemon = self.start()
        for _ in range(CLIENTS):
            self.choose("slicer:size=1,gap=0.001").sendall(b"x" * 60_000)
        times = []
        with connect(daemon.address("TCP")) as sock:
            for _ in range(20):
                began = time.monotonic()
                sock.sendall(b"m")
                self.assertEqual(read_exactly(sock, 1 + len(ACK)), b"m" + ACK)
                times.append(time.monotonic() - began)
        self.assertLess(sorted(times)[10], 1.0)

    def test_eviction(self) -> None:
        """Clients that are never answered do not keep other sources out."""
        self.start("--max-connections", "20", "--max-per-source", "20")
        for number in range(20):
            self.choose(("timeout", "no_read", "latency:delay=1h", "half_close_first")[number % 4]).sendall(b"hello")
        with self.choose("echo", "127.0.0.2") as sock:
            sock.sendall(b"m")
            self.assertEqual(read_exactly(sock, 1 + len(ACK)), b"m" + ACK)

    def test_access_list(self) -> None:
        """The access list applies to these listeners, too."""
        daemon = self.echotime("--behave", "0=echo", "--deny", "127.0.0.3")
        address = behaving_address(daemon)
        self.assertEqual(one_shot(address, b"m"), b"m" + ACK)
        with connect(address, "127.0.0.3") as sock:
            self.assertEqual(sock.recv(1), b"")
