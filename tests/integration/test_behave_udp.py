"""Test the UDP listeners of --behave with the real daemon and plain sockets."""

from __future__ import annotations

import json
import re
import socket
import struct
import time

from tests.support.behave_case import behaving_address
from tests.support.plain_clients import ask_time
from tests.support.twistd_process import LIMIT, DaemonTestCase, Twistd


class BehaveUDPTests(DaemonTestCase):
    """Ask UDP listeners that misbehave."""

    def start(self, *behaviors: str, host: str = "127.0.0.1", more: tuple[str, ...] = ()) -> Twistd:
        """Start a daemon with an ordinary listener, and one for each behavior."""
        requested = [part for each in behaviors for part in ("--behave", f"{host}:0={each}")]
        return self.echotime(*requested, *more)

    def port_of(self, daemon: Twistd, behavior: str) -> int:
        """Return the port of the listener with a behavior."""
        return behaving_address(daemon, "UDP", re.escape(behavior))[1]

    def client(self, address: tuple[str, int]) -> socket.socket:
        """Return a client that receives only what comes from the address that it asks."""
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.settimeout(LIMIT)
        sock.connect(address)
        return sock

    def seconds(self, answer: bytes) -> int:
        """Return the time of an answer of four bytes."""
        (found,) = struct.unpack("!I", answer)
        return int(found)

    def assert_silent(self, sock: socket.socket, daemon: Twistd) -> None:
        """Assert that no answer is on its way: the daemon has read all, and has answered a later datagram."""
        ask_time(daemon.address("UDP"))
        sock.setblocking(False)
        with self.assertRaises(BlockingIOError):
            sock.recv(100)
        sock.settimeout(LIMIT)

    def test_each_kind(self) -> None:
        """Each kind has its effect, and the ordinary listener serves beside them."""
        kinds = ("drop", "delay:delay=0.3", "duplicate", "reorder:delay=60", "truncate:size=3", "extend:size=48")
        daemon = self.start(*kinds, "wrong_source_port", "report")
        clients = {each.partition(":")[0]: self.client(("127.0.0.1", self.port_of(daemon, each))) for each in kinds}
        before = time.monotonic()
        for sock in clients.values():
            sock.send(b"x")
        self.assertEqual(self.seconds(clients["duplicate"].recv(100)), self.seconds(clients["duplicate"].recv(100)))
        self.assertEqual(len(clients["truncate"].recv(100)), 3)
        self.assertEqual(clients["extend"].recv(100)[4:], bytes(44))
        self.assertEqual(len(clients["delay"].recv(100)), 4)
        self.assertGreaterEqual(time.monotonic() - before, 0.3)
        for name in ("drop", "reorder"):
            self.assert_silent(clients[name], daemon)
        clients["reorder"].send(b"x")
        clients["reorder"].recv(100)
        clients["reorder"].recv(100)
        self.served(daemon)

    def test_wrong_source_port(self) -> None:
        """A client that asks for the sender sees another port; one that is connected receives nothing."""
        daemon = self.start("wrong_source_port")
        port = self.port_of(daemon, "wrong_source_port")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(LIMIT)
            sock.sendto(b"", ("127.0.0.1", port))
            answer, source = sock.recvfrom(100)
        self.assertEqual((len(answer), source[0]), (4, "127.0.0.1"))
        self.assertNotEqual(source[1], port)
        self.served(daemon)

    def test_clients_choose(self) -> None:
        """On wildcard addresses each datagram has the behavior that it names, from the address that it asks."""
        for host, addresses in (("0.0.0.0", ("127.0.0.2",)), ("[::]", ("127.0.0.2", "::1"))):
            daemon = self.start("client", host=host)
            port = self.port_of(daemon, "client")
            for address in addresses:
                sock = self.client((address, port))
                sock.send(b"truncate:size=1\n")
                self.assertEqual(len(sock.recv(100)), 1)
                sock.send(b"report\n".ljust(300, b"x"))
                own, shown = sock.getsockname(), f"[{address}]" if ":" in address else address
                report = json.loads(sock.recv(400))
                self.assertEqual(report.pop("peer"), f"{shown if ':' in address else own[0]}:{own[1]}")
                self.assertEqual(report.pop("server"), f"{shown}:{port}")
                self.assertEqual((report.pop("size"), report.pop("tos")), (300, 0))
                self.assertIn(report.pop("ttl"), range(1, 256))
                self.assertEqual(report, {})
                sock.send(b"delay:delay=fast\n")
                self.assertEqual(sock.recv(100), b"error: delay=fast")
                sock.send(b"")
                self.assertEqual(len(sock.recv(100)), 4)
            self.served(daemon)

    def test_flood_of_held_answers(self) -> None:
        """Held answers do not grow with a flood, are counted, and do not delay a stop."""
        daemon = self.start("delay:delay=600")
        sock = self.client(("127.0.0.1", self.port_of(daemon, "delay:delay=600")))
        before = 0
        for number in range(5_000):
            sock.send(b"x" * 1000)
            if number % 20 == 19:  # the daemon keeps up
                ask_time(daemon.address("UDP"))
            if number == 1_500:
                before = daemon.resident()
        self.assertLess(daemon.resident() - before, 2_000_000)
        self.assertRegex(self.served(daemon).out, r"(?m)datagrams not answered: too many answers held back: 4000$")

    def test_log(self) -> None:
        """The log warns of the listener, and does not call a dropped answer sent."""
        daemon = self.start("drop", more=("--log-also", "datagrams"))
        self.client(("127.0.0.1", self.port_of(daemon, "drop"))).send(b"hello")
        daemon.line(r"datagram from 127\.0\.0\.1:\d+, length 5, answer not sent: hello")
        self.served(daemon)
