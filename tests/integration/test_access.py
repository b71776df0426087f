"""Test --allow and --deny over TCP and UDP."""

from __future__ import annotations

import select
import socket

from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, one_shot
from tests.support.twistd_process import LIMIT, DaemonTestCase


class AccessTests(DaemonTestCase):
    """Connect and send from addresses inside and outside of the access lists."""

    def from_host(self, host: str, address: tuple[str, int]) -> bytes:
        """Send a message from a loopback address and return everything received."""
        with socket.create_connection(address, timeout=LIMIT, source_address=(host, 0)) as sock:
            try:
                sock.sendall(b"hi")
                sock.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: sock.recv(100), b""))
            except OSError:
                return b""  # closed before the send, or reset because the message was not read

    def answered(self, host: str, address: tuple[str, int]) -> bool:
        """Return True if a datagram from a host is answered."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((host, 0))
            sock.sendto(b"?", address)
            return bool(select.select([sock], [], [], 0.5)[0])

    def test_both_services(self) -> None:
        """An address can be denied within a network that is allowed."""
        daemon = self.echotime("--allow", "127.0.0.0/8", "--deny", "127.0.0.7")
        tcp, udp = daemon.address("TCP"), daemon.address("UDP")
        self.assertEqual(self.from_host("127.0.0.6", tcp), b"hi" + ACKNOWLEDGEMENT)
        self.assertEqual(self.from_host("127.0.0.7", tcp), b"")
        self.assertTrue(self.answered("127.0.0.6", udp))
        self.assertFalse(self.answered("127.0.0.7", udp))
        out = self.served(daemon).out
        self.assertNotIn("from 127.0.0.7", out, "a refused client is not logged")
        self.assertIn("refusals: connections refused (access list): 1; datagrams refused (access list): 1", out)

    def test_mapped_addresses(self) -> None:
        """On [::] the lists match an IPv4 client by its IPv4 address."""
        daemon = self.twistd("echotime", "--tcp", "[::]:0", "--udp", "[::]:0", "--deny", "127.0.0.0/8")
        port = daemon.address("TCP")[1]
        self.assertEqual(self.from_host("127.0.0.1", ("127.0.0.1", port)), b"")
        self.assertFalse(self.answered("127.0.0.1", ("127.0.0.1", daemon.address("UDP")[1])))
        self.assertEqual(one_shot(("::1", port), b"hi"), b"hi" + ACKNOWLEDGEMENT)
        self.served(daemon)

    def test_refused_at_once(self) -> None:
        """A refused client is closed without having sent anything."""
        daemon = self.echotime("--deny", "127.0.0.1")
        with connect(daemon.address("TCP")) as sock:
            self.assertEqual(sock.recv(1), b"")
        self.served(daemon)

    def test_faults(self) -> None:
        """A network that is invalid or in both lists is reported, with the nearest valid one."""
        ended = self.refused("--allow", "10.0.0.1/8", "--deny", "example", "--allow", "::1", "--deny", "::1")
        self.assertEqual(ended.status, 2)
        for fault in (
            "--allow 10.0.0.1/8: '10.0.0.1/8' has host bits set; expected a network, as in 192.0.2.0/24",
            "the nearest is 10.0.0.0/8",
            "--deny example: 'example' is not a network; expected a network, as in",
            "--deny ::1: is also given to --allow; give it to one of the two",
        ):
            self.assertIn(fault, ended.err)
