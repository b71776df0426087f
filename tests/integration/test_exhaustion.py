"""Test a daemon without free descriptors: excess clients are reset, others are served, and nothing spins."""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import subprocess
from pathlib import Path

from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, read_exactly
from tests.support.twistd_process import DaemonTestCase, Twistd

DESCRIPTORS = 40
CLIENTS = 100
WINDOW = 1.2
"""Seconds for which the daemon is watched; a listener that stays readable would keep it busy all the time."""
LITTLE = 0.8
"""Most CPU seconds for all clients and the window; a spinning daemon uses at least the window."""


class ExhaustionTests(DaemonTestCase):
    """Run a daemon with a low descriptor limit."""

    def setUp(self) -> None:
        self.need("prlimit")

    def daemon(self) -> Twistd:
        """Start a daemon, then lower its descriptor limit."""
        daemon = self.echotime("--max-per-source", "1000")
        self.address, self.udp = daemon.address("TCP"), daemon.address("UDP")
        daemon.line("connection limits")
        # not at the start: the daemon would limit its connections accordingly
        subprocess.run(["prlimit", f"--pid={daemon.process.pid}", f"--nofile={DESCRIPTORS}:"], check=True)
        return daemon

    def used(self, daemon: Twistd) -> float:
        """Return the CPU seconds of the daemon, in user and kernel mode."""
        fields = Path(f"/proc/{daemon.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def clients(self, stack: contextlib.ExitStack, number: int) -> list[socket.socket]:
        """Open so many connections; leave out those that are reset at once."""
        found = []
        for _ in range(number):
            with contextlib.suppress(ConnectionResetError):
                found.append(stack.enter_context(connect(self.address)))
        return found

    def answered(self, sock: socket.socket) -> bool:
        """Return True if the client gets its echo, False if it is reset."""
        try:
            sock.sendall(b"x")
            self.assertEqual(read_exactly(sock, 1 + len(ACKNOWLEDGEMENT)), b"x" + ACKNOWLEDGEMENT)
        except (ConnectionResetError, BrokenPipeError):
            return False
        return True

    def watch(self, *quiet: socket.socket) -> None:
        """Let the window pass, in which nothing may arrive."""
        self.assertEqual(select.select(quiet, [], [], WINDOW)[0], [])

    def test_more_clients_than_descriptors(self) -> None:
        """Clients beyond the descriptors are reset at once; the others and UDP are served, at little CPU time."""
        daemon = self.daemon()
        before = self.used(daemon)
        with contextlib.ExitStack() as stack:
            clients = self.clients(stack, CLIENTS)
            served = [each for each in clients if self.answered(each)]
            self.assertGreater(len(served), 10)
            self.assertLess(len(served), DESCRIPTORS)
            self.watch(*served)
            self.assertEqual(len(ask_time(self.udp)), 4)
            self.assertTrue(all(map(self.answered, served)))
        self.assertLess(self.used(daemon) - before, LITTLE)
        self.again()
        out = self.served(daemon).out
        counted = re.search(r"TCP {}:{}: connections not accepted: accept EMFILE: (\d+)\n".format(*self.address), out)
        assert counted is not None
        self.assertGreaterEqual(int(counted[1]), CLIENTS - len(served))
        since = out[out.index("connection limits") :]
        of_clients = [line for line in since.splitlines() if "connection from" in line or line.endswith(": x")]
        self.assertLess(len(since) - sum(map(len, of_clients)), 2048)

    def again(self) -> None:
        """Connect until a client is served, once the daemon has seen that others left."""
        for _ in range(100):
            with contextlib.suppress(ConnectionResetError), connect(self.address) as sock:
                if self.answered(sock):
                    return
        self.fail("a hundred times in a row not served")

    def test_exactly_all(self) -> None:
        """The client that takes the last descriptor is served, and none is refused."""
        daemon = self.daemon()
        with contextlib.ExitStack() as stack:
            for _ in range(DESCRIPTORS):
                accepted = self.clients(stack, 1)
                if not accepted or not self.answered(accepted[0]):
                    break
        self.assertIn("accept EMFILE: 1\n", self.served(daemon).out)

    def test_not_even_one(self) -> None:
        """If not even the reserved descriptor helps, clients stay pending and the daemon sleeps."""
        daemon = self.daemon()
        with contextlib.ExitStack() as stack:
            (first,) = self.clients(stack, 1)
            self.assertTrue(self.answered(first))
            pid = f"--pid={daemon.process.pid}"
            subprocess.run(["prlimit", pid, "--nofile=3:"], check=True)
            before = self.used(daemon)
            waiting = self.clients(stack, 5)
            self.watch(*waiting)
            self.assertLess(self.used(daemon) - before, LITTLE)
            self.assertTrue(self.answered(first))
            self.assertEqual(len(ask_time(self.udp)), 4)
            subprocess.run(["prlimit", pid, f"--nofile={DESCRIPTORS}:"], check=True)
            self.assertTrue(all(map(self.answered, waiting)))
        self.served(daemon)

    def test_datagram_from_the_same_port(self) -> None:
        """A datagram from the daemon's own port number needs a descriptor to check, and is survived without one."""
        daemon = self.daemon()
        with contextlib.ExitStack() as stack:
            self.clients(stack, CLIENTS)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind(("127.0.0.9", self.udp[1]))
                sock.sendto(b"x", self.udp)
            self.assertEqual(len(ask_time(self.udp)), 4)
        self.served(daemon)


class EPollExhaustionTests(ExhaustionTests):
    """The same on Twisted's epoll reactor."""

    reactor = ("-r", "epoll")
