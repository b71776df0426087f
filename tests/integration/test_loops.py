"""One forged datagram must not make two servers talk for ever (VU#417980). As root: forging takes a raw socket."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator

from tests.integration.twistd import DaemonTestCase, Twistd

QUIET = 0.5
"""Seconds without any datagram after which a loop has ended; longer than any way takes."""
MOST = 10
"""Datagrams that a loop may have, the forged one included."""
_ENDLESS = 500
_ALL_IPV4 = 0x0800

Address = tuple[str, int]
Heard = Callable[[bytes, Address], tuple[bytes, Address] | None]


@contextlib.contextmanager
def responder(answer: Heard, host: str = "127.0.0.5", port: int = 0, delay: float = 0) -> Iterator[Address]:
    """Another service: sends what `answer` says of each datagram, after a delay; bounded in datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, port))
        sock.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            for _ in range(1000):
                if over.is_set():
                    return
                with contextlib.suppress(TimeoutError, ConnectionRefusedError):
                    if (said := answer(*sock.recvfrom(100))) is not None:
                        over.wait(delay)
                        sock.sendto(*said)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()
        finally:
            over.set()
            thread.join()


class LoopTests(DaemonTestCase):
    """Loops end within ten datagrams, and ordinary clients are answered meanwhile and after."""

    def setUp(self) -> None:
        """Forging takes root."""
        if os.geteuid():
            self.skipTest("a raw socket is needed to forge a source address, and so root")

    def forge(self, source: Address, to: Address, payload: bytes = b"") -> None:
        """A datagram that seems to come from elsewhere."""
        addresses = socket.inet_aton(source[0]) + socket.inet_aton(to[0])
        header = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0) + addresses
        datagram = struct.pack("!HHHH", source[1], to[1], 8 + len(payload), 0) + payload
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            sock.sendto(header + datagram, (to[0], 0))

    def loops(self, ports: set[int], forge: Callable[[], None]) -> int:
        """How many datagrams there are between these ports until there is none for a while."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_IPV4)) as wire:
            wire.bind(("lo", _ALL_IPV4))
            forge()
            seen = 0
            while seen < _ENDLESS and select.select([wire], [], [], QUIET)[0]:
                packet = wire.recv(100)
                source, to = struct.unpack_from("!HH", packet, 20)
                if packet[9] == socket.IPPROTO_UDP and {source, to} <= ports:
                    seen += 1
            return seen

    def ends(self, source: Address, to: Address, *others: Address, payload: bytes = b"") -> None:
        """That a forged datagram has few consequences."""
        ports = {port for _, port in (source, to, *others)}
        seen = self.loops(ports, lambda: self.forge(source, to, payload))
        self.assertGreater(seen, 0)
        self.assertLessEqual(seen, MOST)

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
        with responder(lambda datagram, source: (datagram, source)) as echo:
            self.ends(echo, daemon.address("UDP"), payload=b"hello")
        self.answers(daemon)

    def test_slow_path(self) -> None:
        """A relay that adds 30 ms on each way, so that no rate is ever exceeded."""
        one, other = self.echotime(), self.echotime()
        ends = {one.address("UDP"): other.address("UDP"), other.address("UDP"): one.address("UDP")}
        with responder(lambda datagram, source: (datagram, ends[source]), delay=0.03) as relay:
            # each datagram is seen on both of its ways
            ports = {port for _, port in (relay, *ends)}
            seen = self.loops(ports, lambda: self.forge(relay, other.address("UDP")))
        self.assertGreater(seen, 4)
        self.assertLessEqual(seen, 2 * MOST)
        self.answers(one, other)

    def test_daytime_service(self) -> None:
        """A daytime server as RFC 867 has it answers with text; its port is below 1024, so it hears nothing at all."""
        daemon = self.echotime()
        try:
            with responder(lambda datagram, source: (b"Sunday\r\n", source), port=13) as daytime:
                forged = functools.partial(self.forge, daytime, daemon.address("UDP"))
                self.assertEqual(self.loops({13, daemon.address("UDP")[1]}, forged), 1)
        except PermissionError as error:
            self.skipTest(f"port 13 cannot be had: {error}")
        self.assertEqual(len(self.asked(daemon)), 4)
        self.assertIn("dropped by the kernel: 1", self.served(daemon).out)

    def test_low_ports(self) -> None:
        """With --answer-low-ports they are answered; whoever asks for it wants that."""
        daemon = self.echotime("--answer-low-ports")
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
        daemon = self.twistd("echotime", *self.options, "--udp", "0")
        port = daemon.address("UDP")[1]
        for host in ("127.0.0.1", "127.0.0.7"):
            forged = functools.partial(self.forge, (host, port), ("127.0.0.1", port))
            self.assertEqual(self.loops({port}, forged), 1)
        self.assertIn("from our own address: 2", self.served(daemon).out)


class StockLoopTests(LoopTests):
    """The same, one datagram a call."""

    options = ("--transport", "stock")
