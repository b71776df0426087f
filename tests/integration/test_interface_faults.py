"""The network below the daemon fails and comes back: what cannot be sent is counted, and it serves on."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import struct

from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, one_shot, read_exactly
from tests.support.twistd_process import DaemonTestCase, Twistd
from tests.support.veth_pair import CLIENT, SERVER, Cable

TRIES = 40
PATIENCE = 0.25


class InterfaceTests(DaemonTestCase):
    """The daemon is at the other end of a cable."""

    def setUp(self) -> None:
        """Lay the cable."""
        self.cable = Cable()
        self.addCleanup(self.cable.leave)

    def daemon(self, *args: str, host: str = SERVER) -> Twistd:
        """One at the other end."""
        where = ("--tcp", f"{host}:0", "--udp", f"{host}:0")
        daemon = self.twistd("echotime", *where, *args, prefix=self.cable.prefix)
        self.tcp, self.udp = ((SERVER, daemon.address(each)[1]) for each in ("TCP", "UDP"))
        return daemon

    def asked(self) -> bool:
        """Whether UDP answers once, within some patience."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            with contextlib.suppress(OSError):
                sock.sendto(b"x", self.udp)
            return bool(select.select([sock], [], [], PATIENCE)[0]) and len(sock.recv(9)) == 4

    def works(self) -> None:
        """That both services do, or will within a bounded time."""
        self.assertTrue(any(self.asked() for _ in range(TRIES)))
        self.assertEqual(one_shot(self.tcp, b"new"), b"new" + ACKNOWLEDGEMENT)

    def echoes(self, sock: socket.socket, message: bytes) -> None:
        """That a connection does."""
        sock.sendall(message)
        self.hears(sock, message)

    def hears(self, sock: socket.socket, message: bytes) -> None:
        """That it gets its echo."""
        self.assertEqual(read_exactly(sock, len(message) + len(ACKNOWLEDGEMENT)), message + ACKNOWLEDGEMENT)

    def between(self, daemon: Twistd, down: str, up: tuple[str, ...], *, unsendable: str) -> None:
        """A fault in the middle of everything: a connection, and a datagram that is read when no answer can leave."""
        with connect(self.tcp) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            self.echoes(sock, b"before")
            daemon.signal(signal.SIGSTOP)
            asker.sendto(b"x", self.udp)
            sock.sendall(b"meanwhile")
            self.cable.server(down)
            daemon.signal(signal.SIGCONT)
            self.assertEqual(select.select([sock, asker], [], [], PATIENCE)[0], [])
            self.assertFalse(self.asked())
            self.cable.server(*up)
            self.hears(sock, b"meanwhile")
            self.works()
            self.echoes(sock, b"after")
        self.assertRegex(self.served(daemon).out, rf"UDP .*: datagrams not answered: {unsendable}: \d+")

    def test_interface(self) -> None:
        """An interface goes down and up again."""
        for host in (SERVER, "0.0.0.0"):
            self.between(
                self.daemon(host=host), "ip link set here down", ("ip link set here up",), unsendable="send ENETUNREACH"
            )

    def test_address(self) -> None:
        """The address that is listened on vanishes, and comes back."""
        address = f"{SERVER}/24 dev here"
        self.between(
            self.daemon(), f"ip address del {address}", (f"ip address add {address}",), unsendable="send [A-Z]+"
        )

    def test_icmp_errors(self) -> None:
        """Nobody is there for the answer, or not even a host, and IP_RECVERR has it reported."""
        daemon = self.daemon("--sockopt", "udp:IP_RECVERR=on")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind((CLIENT, 0))
            daemon.signal(signal.SIGSTOP)
            gone.sendto(b"x", self.udp)
        daemon.signal(signal.SIGCONT)
        self.forge(("10.9.0.77", 4000))
        self.works()
        self.assertEqual(select.select([], [], [], PATIENCE), ([], [], []))  # the search for a host takes a while
        self.works()
        self.assertRegex(self.served(daemon).out, r"ICMP error: [2-9]")

    def forge(self, source: tuple[str, int]) -> None:
        """A question that seems to come from elsewhere."""
        addresses = socket.inet_aton(source[0]) + socket.inet_aton(self.udp[0])

        header = struct.pack("!BBHHHBBH", 0x45, 0, 28, 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            sock.sendto(header + struct.pack("!HHHH", source[1], self.udp[1], 8, 0), (self.udp[0], 0))

    def test_full_queue(self) -> None:
        """The interface takes no more for a while, which IP_RECVERR has reported as ENOBUFS."""
        daemon = self.daemon("--sockopt", "udp:IP_RECVERR=on")
        self.works()
        self.cable.server("tc qdisc add dev here root tbf rate 20kbit burst 1540 limit 1540")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(500):
                sock.sendto(b"x", self.udp)
        self.cable.server("tc qdisc del dev here root")
        self.works()
        self.assertRegex(self.served(daemon).out, r"send ENOBUFS: \d+")

    def test_stopped_and_continued(self) -> None:
        """SIGSTOP and SIGCONT: who is connected gets its echoes, and so does who came meanwhile."""
        daemon = self.daemon()
        with connect(self.tcp) as sock:
            self.echoes(sock, b"before")
            daemon.signal(signal.SIGSTOP)
            sock.sendall(b"meanwhile")
            self.assertFalse(self.asked())
            newcomers = [connect(self.tcp) for _ in range(20)]
            for each in newcomers:
                self.addCleanup(each.close)
                each.sendall(b"new")
            self.assertEqual(select.select([sock, *newcomers], [], [], 1)[0], [])
            daemon.signal(signal.SIGCONT)
            self.hears(sock, b"meanwhile")
            for each in newcomers:
                self.hears(each, b"new")
        self.works()
        self.served(daemon)
