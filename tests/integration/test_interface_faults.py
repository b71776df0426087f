"""Test network faults below the daemon: unsendable answers are counted, and the daemon serves on."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import time
from pathlib import Path

from tests.hostile.forging import forge
from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, one_shot, read_exactly
from tests.support.twistd_process import LIMIT, DaemonTestCase, Twistd
from tests.support.veth_pair import CLIENT, SERVER, Cable

TRIES = 40
PATIENCE = 0.25


class InterfaceTests(DaemonTestCase):
    """Reach the daemon over a veth pair that fails and recovers."""

    def setUp(self) -> None:
        self.cable = Cable()
        self.addCleanup(self.cable.leave)

    def daemon(self, *args: str, host: str = SERVER) -> Twistd:
        """Start a daemon at the other end of the veth pair."""
        where = ("--tcp", f"{host}:0", "--udp", f"{host}:0")
        daemon = self.twistd("echotime", *where, *args, prefix=self.cable.prefix)
        self.tcp, self.udp = ((SERVER, daemon.address(each)[1]) for each in ("TCP", "UDP"))
        return daemon

    def time_answered(self) -> bool:
        """Return True if UDP answers a request in time."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            with contextlib.suppress(OSError):
                sock.sendto(b"x", self.udp)
            return bool(select.select([sock], [], [], PATIENCE)[0]) and len(sock.recv(9)) == 4

    def works(self) -> None:
        """Check that both services work, within a bounded number of tries."""
        self.assertTrue(any(self.time_answered() for _ in range(TRIES)))
        self.assertEqual(one_shot(self.tcp, b"new"), b"new" + ACKNOWLEDGEMENT)

    def echoes(self, sock: socket.socket, message: bytes) -> None:
        """Check that a connection echoes."""
        sock.sendall(message)
        self.hears(sock, message)

    def hears(self, sock: socket.socket, message: bytes) -> None:
        """Check that the client receives its echo."""
        self.assertEqual(read_exactly(sock, len(message) + len(ACKNOWLEDGEMENT)), message + ACKNOWLEDGEMENT)

    def between(self, daemon: Twistd, down: str, up: tuple[str, ...], *, unsendable: str) -> None:
        """Cause a fault while a connection is open and a datagram waits that cannot be answered."""
        with connect(self.tcp) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            self.echoes(sock, b"before")
            daemon.signal(signal.SIGSTOP)
            asker.sendto(b"x", self.udp)
            sock.sendall(b"meanwhile")
            self.cable.server(down)
            daemon.signal(signal.SIGCONT)
            self.assertEqual(select.select([sock, asker], [], [], PATIENCE)[0], [])
            self.assertFalse(self.time_answered())
            self.cable.server(*up)
            self.hears(sock, b"meanwhile")
            self.works()
            self.echoes(sock, b"after")
        self.assertRegex(self.served(daemon).out, rf"UDP .*: datagrams not answered: {unsendable}: \d+")

    def all_read(self, daemon: Twistd) -> None:
        """Wait until the daemon has read all datagrams that have arrived."""
        deadline = time.monotonic() + LIMIT
        while True:
            sockets = Path(f"/proc/{daemon.process.pid}/net/udp").read_text(encoding="ascii").splitlines()[1:]
            if all(each.split()[4].endswith(":00000000") for each in sockets):
                return
            self.assertLess(time.monotonic(), deadline)

    def test_interface(self) -> None:
        """An interface goes down and up again, and the daemon serves on."""
        for host in (SERVER, "0.0.0.0"):
            self.between(
                self.daemon(host=host), "ip link set here down", ("ip link set here up",), unsendable="send ENETUNREACH"
            )

    def test_address(self) -> None:
        """The listening address is removed and added again, and the daemon serves on."""
        address = f"{SERVER}/24 dev here"
        self.between(
            self.daemon(), f"ip address del {address}", (f"ip address add {address}",), unsendable="send [A-Z]+"
        )

    def test_icmp_errors(self) -> None:
        """An answer to a closed port or a missing host causes an ICMP error, which IP_RECVERR reports."""
        daemon = self.daemon("--sockopt", "udp:IP_RECVERR=on")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind((CLIENT, 0))
            daemon.signal(signal.SIGSTOP)
            gone.sendto(b"x", self.udp)
        daemon.signal(signal.SIGCONT)
        forge(("10.9.0.77", 4000), self.udp)
        self.works()
        self.assertEqual(select.select([], [], [], PATIENCE), ([], [], []))  # ARP takes a while
        self.works()
        self.assertRegex(self.served(daemon).out, r"ICMP error: [2-9]")

    def test_full_queue(self) -> None:
        """A full interface queue, which IP_RECVERR reports as ENOBUFS, does not stop the service."""
        daemon = self.daemon("--sockopt", "udp:IP_RECVERR=on")
        self.works()
        self.cable.server("tc qdisc add dev here root tbf rate 20kbit burst 1540 limit 1540")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(500):
                sock.sendto(b"x", self.udp)
        self.all_read(daemon)
        self.cable.server("tc qdisc del dev here root")
        self.works()
        self.assertRegex(self.served(daemon).out, r"send ENOBUFS: \d+")

    def test_stopped_and_continued(self) -> None:
        """After SIGSTOP and SIGCONT the connected clients and those that came meanwhile get their echoes."""
        daemon = self.daemon()
        with connect(self.tcp) as sock:
            self.echoes(sock, b"before")
            daemon.signal(signal.SIGSTOP)
            sock.sendall(b"meanwhile")
            self.assertFalse(self.time_answered())
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
