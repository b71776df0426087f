"""One forged datagram must not make two servers talk for ever (VU#417980). As root: forging takes a raw socket."""

from __future__ import annotations

import functools
import os
import socket

from tests.hostile.capture import captured
from tests.hostile.forging import Address, forge
from tests.hostile.responder import echo, responder
from tests.hostile.udp_proxy import Faults, udp_proxy
from tests.support.twistd_process import DaemonTestCase, Twistd

MOST = 10
"""Datagrams that a loop may have, the forged one included."""


class LoopTests(DaemonTestCase):
    """Loops end within ten datagrams, and ordinary clients are answered meanwhile and after."""

    def setUp(self) -> None:
        """Forging takes root."""
        if os.geteuid():
            self.skipTest("a raw socket is needed to forge a source address, and so root")

    def ends(self, source: Address, to: Address, payload: bytes = b"") -> int:
        """That a forged datagram has few consequences; how many."""
        seen = len(captured({source[1], to[1]}, lambda: forge(source, to, payload)))
        self.assertGreater(seen, 0)
        self.assertLessEqual(seen, MOST)
        return seen

    def answers(self, *daemons: Twistd) -> None:
        """That ordinary clients are answered, and there is nothing to complain of."""
        for daemon in daemons:
            self.assertEqual(len(self.asked(daemon)), 4)
            self.served(daemon)

    def asked(self, daemon: Twistd) -> bytes:
        """What an ordinary client hears."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.sendto(b"?", daemon.address("UDP"))
            return sock.recv(100)

    def test_two_of_us(self) -> None:
        """Two echotimes, each other's forged source."""
        one, other = self.echotime(), self.echotime()
        self.ends(one.address("UDP"), other.address("UDP"))
        self.answers(one, other)

    def test_epochs(self) -> None:
        """One of them counts from 1900."""
        one, other = self.echotime("--epoch", "1900"), self.echotime()
        self.ends(one.address("UDP"), other.address("UDP"), payload=b"hello")
        self.answers(one, other)

    def test_echo_service(self) -> None:
        """An echo service as RFC 862 has it, on a high port."""
        daemon = self.echotime()
        with responder(echo) as service:
            self.ends(service, daemon.address("UDP"), payload=b"hello")
        self.answers(daemon)

    def test_slow_path(self) -> None:
        """A relay that adds 30 ms on each way, so that no rate is ever exceeded."""
        one, other = self.echotime(), self.echotime()
        with udp_proxy(other.address("UDP"), Faults(delay=0.03)) as path:
            # each passes both sides of the relay, and is looked for on one of them
            seen = self.ends(one.address("UDP"), path.address)
        self.assertGreater(seen, 4)
        self.answers(one, other)

    def test_daytime_service(self) -> None:
        """A daytime server as RFC 867 has it answers with text; its port is below 1024, so it hears nothing at all."""
        daemon = self.echotime()
        try:
            with responder(lambda datagram, source: (b"Sunday\r\n", source), port=13) as daytime:
                forged = functools.partial(forge, daytime, daemon.address("UDP"))
                self.assertEqual(len(captured({13, daemon.address("UDP")[1]}, forged)), 1)
        except PermissionError as error:
            self.skipTest(f"port 13 cannot be had: {error}")
        self.assertEqual(len(self.asked(daemon)), 4)
        self.assertIn("dropped by the kernel: 1", self.served(daemon).out)

    def test_low_ports(self) -> None:
        """With --allow-privileged-ports they are answered; whoever asks for it wants that."""
        daemon = self.echotime("--allow-privileged-ports")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind(("127.0.0.5", 13))
            except PermissionError as error:
                self.skipTest(f"port 13 cannot be had: {error}")
            sock.settimeout(5)
            sock.sendto(b"?", daemon.address("UDP"))
            self.assertEqual(len(sock.recv(100)), 4)
        self.assertNotIn("dropped by the kernel", self.served(daemon).out)

    def test_itself(self) -> None:
        """A datagram from the daemon's own port is not answered, whichever address of the host it names."""
        daemon = self.twistd("echotime", "--udp", "0")
        port = daemon.address("UDP")[1]
        for host in ("127.0.0.1", "127.0.0.7"):
            forged = functools.partial(forge, (host, port), ("127.0.0.1", port))
            self.assertEqual(len(captured({port}, forged)), 1)
        self.assertIn("from our own address: 2", self.served(daemon).out)


class SingleDatagramLoopTests(LoopTests):
    """The same where recvmmsg(2) is missing, datagram by datagram."""

    python = "from echotime.net import mmsg; mmsg.is_available = lambda: False"
