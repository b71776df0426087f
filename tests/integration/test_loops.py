"""Test that a forged datagram does not make two servers answer each other for ever (VU#417980); needs root."""

from __future__ import annotations

import functools
import os
import socket

from tests.hostile.capture import captured
from tests.hostile.forging import Address, forge
from tests.hostile.responder import echo, responder
from tests.hostile.udp_proxy import Faults, udp_proxy
from tests.support.twistd_process import LIMIT, DaemonTestCase, Twistd

MOST = 10
"""Most datagrams of a loop, the forged one included."""


class LoopTests(DaemonTestCase):
    """Check that loops end within ten datagrams, and that ordinary clients are answered."""

    def setUp(self) -> None:
        """Skip without root: forging needs a raw socket."""
        if os.geteuid():
            self.skipTest("a raw socket is needed to forge a source address, and so root")

    def ends(self, source: Address, to: Address, payload: bytes = b"") -> int:
        """Check that a forged datagram causes few others; return their number."""
        seen = len(captured({source[1], to[1]}, lambda: forge(source, to, payload)))
        self.assertGreater(seen, 0)
        self.assertLessEqual(seen, MOST)
        return seen

    def answers(self, *daemons: Twistd) -> None:
        """Check that ordinary clients are answered, and the daemons end cleanly."""
        for daemon in daemons:
            self.assertEqual(len(self.answer(daemon)), 4)
            self.served(daemon)

    def answer(self, daemon: Twistd) -> bytes:
        """Return the answer to an ordinary client."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(LIMIT)
            sock.sendto(b"?", daemon.address("UDP"))
            return sock.recv(100)

    def test_two_of_us(self) -> None:
        """Two echotimes, each the forged source of the other, fall silent."""
        one, other = self.echotime(), self.echotime()
        self.ends(one.address("UDP"), other.address("UDP"))
        self.answers(one, other)

    def test_epochs(self) -> None:
        """Two echotimes with different epochs fall silent."""
        one, other = self.echotime("--epoch", "1900"), self.echotime()
        self.ends(one.address("UDP"), other.address("UDP"), payload=b"hello")
        self.answers(one, other)

    def test_echo_service(self) -> None:
        """An echo service as in RFC 862, on a high port, falls silent."""
        daemon = self.echotime()
        with responder(echo) as service:
            self.ends(service, daemon.address("UDP"), payload=b"hello")
        self.answers(daemon)

    def test_slow_path(self) -> None:
        """A relay that adds 30 ms each way keeps the loop below any rate limit, and it still ends."""
        one, other = self.echotime(), self.echotime()
        with udp_proxy(other.address("UDP"), Faults(delay=0.03)) as path:
            # each datagram passes both sides of the relay, and is counted on one of them
            seen = self.ends(one.address("UDP"), path.address)
        self.assertGreater(seen, 4)
        self.answers(one, other)

    def test_daytime_service(self) -> None:
        """A daytime server (RFC 867) is not answered at all, since its port is below 1024."""
        daemon = self.echotime()
        try:
            with responder(lambda datagram, source: (b"Sunday\r\n", source), port=13) as daytime:
                forged = functools.partial(forge, daytime, daemon.address("UDP"))
                self.assertEqual(len(captured({13, daemon.address("UDP")[1]}, forged)), 1)
        except PermissionError as error:
            self.skipTest(f"port 13 cannot be had: {error}")
        self.assertEqual(len(self.answer(daemon)), 4)
        self.assertIn("dropped by the kernel: 1", self.served(daemon).out)

    def test_low_ports(self) -> None:
        """With --allow-privileged-ports clients of low ports are answered."""
        daemon = self.echotime("--allow-privileged-ports")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind(("127.0.0.5", 13))
            except PermissionError as error:
                self.skipTest(f"port 13 cannot be had: {error}")
            sock.settimeout(LIMIT)
            sock.sendto(b"?", daemon.address("UDP"))
            self.assertEqual(len(sock.recv(100)), 4)
        self.assertNotIn("dropped by the kernel", self.served(daemon).out)

    def test_itself(self) -> None:
        """A datagram from the daemon's own port and any local address is not answered."""
        daemon = self.twistd("echotime", "--udp", "0")
        port = daemon.address("UDP")[1]
        for host in ("127.0.0.1", "127.0.0.7"):
            forged = functools.partial(forge, (host, port), ("127.0.0.1", port))
            self.assertEqual(len(captured({port}, forged)), 1)
        self.assertIn("datagrams refused (own address): 2", self.served(daemon).out)


class SingleDatagramLoopTests(LoopTests):
    """Test loops without recvmmsg(2), one datagram at a time."""

    python = "from echotime.net import mmsg; mmsg.is_available = lambda: False"
