"""Test what clients and daemon see of each other through each balancer."""

from __future__ import annotations

import select
import socket
import subprocess

from tests.balancers.balancers import ALICE, BOB, ENVOY, HAPROXY, NGINX, PROXY, TRAEFIK, BalancerTestCase
from tests.support.plain_clients import (
    ACKNOWLEDGEMENT,
    RESET,
    connect,
    duplex,
    one_shot,
    read_all,
    read_exactly,
    sent_by_duplex,
    split_answers,
)
from tests.support.twistd_process import LIMIT, Twistd

_LATE = 1.5
"""Seconds between a half-close and its reply; Traefik's own default is 0.1."""
_LONG = 3_000_000


class _Clients(BalancerTestCase):
    """Hold the tests that each balancer's class inherits."""

    def asking(self, *args: str) -> tuple[Twistd, socket.socket]:
        """Start a daemon with an operator, and a client at ALICE that awaits the reply after its half-close."""
        daemon, address = self.serve("--operator", *args, stdin=subprocess.PIPE)
        assert daemon.process.stdin is not None
        self.addCleanup(daemon.process.stdin.close)
        sock = connect(address, ALICE)
        self.addCleanup(sock.close)
        sock.sendall(b"hello")
        self.assertEqual(read_exactly(sock, 16), b"hello" + ACKNOWLEDGEMENT)
        return daemon, sock

    @staticmethod
    def reply(daemon: Twistd, text: str) -> None:
        """Type a reply as the operator."""
        assert daemon.process.stdin is not None
        daemon.process.stdin.write(text + "\n")
        daemon.process.stdin.flush()

    def test_exact(self) -> None:
        """A short and a long message come back complete after a half-close."""
        daemon, address = self.serve()
        self.assertEqual(one_shot(address, b"hello", ALICE), b"hello" + ACKNOWLEDGEMENT)
        received = duplex(address, _LONG, ALICE)
        self.assertEqual(b"".join(split_answers(received, ACKNOWLEDGEMENT)), sent_by_duplex(_LONG))
        self.served(daemon)

    def test_client_address(self) -> None:
        """The log has the client's address, and the balancer's."""
        daemon, address = self.serve()
        with connect(address, ALICE) as sock:
            port = sock.getsockname()[1]
            sock.sendall(b"hello")
            daemon.line(rf"connection from {ALICE}:{port} via {PROXY}:\d+$")
            daemon.line(rf"{ALICE}:{port}: hello")
        daemon.line(rf"connection from {ALICE}:{port} via {PROXY}:\d+ ended by client")
        self.served(daemon)

    def test_access(self) -> None:
        """Networks of --deny are those of clients."""
        daemon, address = self.serve("--deny", BOB)
        self.assertFalse(self.is_served(address, BOB))
        self.assertTrue(self.is_served(address, ALICE))
        self.assertRegex(self.served(daemon).out, r"connections refused \(access list\): \d+")

    def test_limit_per_client(self) -> None:
        """--max-per-source counts the connections of each client."""
        daemon, address = self.serve("--max-per-source", "1")
        with connect(address, ALICE) as sock:
            sock.sendall(b"1")
            read_exactly(sock, 1 + len(ACKNOWLEDGEMENT))
            self.assertFalse(self.is_served(address, ALICE))
            self.assertTrue(self.is_served(address, BOB))
        self.assertRegex(self.served(daemon).out, r"connections refused \(source limit\): \d+")

    def is_served(self, address: tuple[str, int], source: str) -> bool:
        """Return False if a client gets nothing but an end of file or a reset."""
        try:
            answer = one_shot(address, b"hello", source)
        except ConnectionError:
            return False
        self.assertIn(answer, (b"", b"hello" + ACKNOWLEDGEMENT))
        return bool(answer)

    def test_late_reply(self) -> None:
        """A reply arrives that the operator types long after the client's half-close."""
        daemon, sock = self.asking()
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(select.select([sock], [], [], _LATE)[0], [], "closed before the reply")
        self.reply(daemon, "late")
        self.assertEqual(read_all(sock), b"late")

    def test_reset_by_the_daemon(self) -> None:
        """A reset by the daemon reaches the client as a reset, or as an end of file."""
        daemon, sock = self.asking("--drain-timeout", "0")
        daemon.signal()
        if self.balancer.passes_reset:
            with self.assertRaises(ConnectionResetError):
                sock.recv(1)
        else:
            self.assertEqual(sock.recv(1), b"")
        self.assertIn("ended by server's reset", daemon.wait().out)

    def test_reset_by_the_client(self) -> None:
        """A reset by the client reaches the daemon as a reset, or as an end of file that it takes for a half-close."""
        daemon, sock = self.asking()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()
        if not self.balancer.passes_client_reset:
            # the daemon still awaits the reply, and the connection ends after it
            self.reply(daemon, "too late")
            daemon.line(f"connection from {ALICE}:.* ended by client")
        else:
            daemon.line(f"connection from {ALICE}:.* ended by client's reset")


class _Datagrams(BalancerTestCase):
    """Hold the tests of UDP, which HAProxy does not forward."""

    def test_udp(self) -> None:
        """Datagrams are answered, empty ones if the balancer passes them on."""
        daemon, address = self.serve()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(LIMIT)
            sock.connect(address)
            sock.send(b"")
            if self.balancer.passes_empty_datagrams:
                self.assertEqual(len(sock.recv(9)), 4)
            sock.send(b"x")
            self.assertEqual(len(sock.recv(9)), 4)
        expected = 1 + self.balancer.passes_empty_datagrams
        self.assertRegex(self.served(daemon).out, rf"datagrams: {expected}\b")


class HAProxyTests(_Clients):
    """Run the tests through HAProxy."""

    balancer = HAPROXY


class NginxTests(_Clients, _Datagrams):
    """Run the tests through nginx."""

    balancer = NGINX


class EnvoyTests(_Clients, _Datagrams):
    """Run the tests through Envoy."""

    balancer = ENVOY


class TraefikTests(_Clients, _Datagrams):
    """Run the tests through Traefik."""

    balancer = TRAEFIK


# not to be collected by themselves
del _Clients, _Datagrams
