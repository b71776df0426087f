"""No descriptor is left: clients that cannot be served are reset, all others are served on, and nothing spins."""

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
"""Seconds for which the daemon is watched; a listener that stays readable would keep it busy for all of them."""
LITTLE = 0.8
"""Seconds of CPU time in which it deals with all clients and the window: a spinning one takes at least the window's."""


class ExhaustionTests(DaemonTestCase):
    """A daemon that may have few descriptors."""

    def setUp(self) -> None:
        """prlimit sets the limit."""
        self.need("prlimit")

    def daemon(self) -> Twistd:
        """One that may have few."""
        daemon = self.echotime("--max-per-source", "1000")
        self.address, self.udp = daemon.address("TCP"), daemon.address("UDP")
        daemon.line("at most")
        # not from the start, as it would keep to fewer connections then
        subprocess.run(["prlimit", f"--pid={daemon.process.pid}", f"--nofile={DESCRIPTORS}:"], check=True)
        return daemon

    def used(self, daemon: Twistd) -> float:
        """CPU seconds of its own and of the kernel for it."""
        fields = Path(f"/proc/{daemon.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def clients(self, stack: contextlib.ExitStack, number: int) -> list[socket.socket]:
        """So many connections, less those that are reset at once."""
        found = []
        for _ in range(number):
            with contextlib.suppress(ConnectionResetError):
                found.append(stack.enter_context(connect(self.address)))
        return found

    def answered(self, sock: socket.socket) -> bool:
        """Whether it gets its echo, or else is reset."""
        try:
            sock.sendall(b"x")
            self.assertEqual(read_exactly(sock, 1 + len(ACKNOWLEDGEMENT)), b"x" + ACKNOWLEDGEMENT)
        except (ConnectionResetError, BrokenPipeError):
            return False
        return True

    def watch(self, *quiet: socket.socket) -> None:
        """Let the window pass; nothing may come meanwhile."""
        self.assertEqual(select.select(quiet, [], [], WINDOW)[0], [])

    def test_more_clients_than_descriptors(self) -> None:
        """Those who come too many are reset at once; the others, UDP and later ones are served; it costs little."""
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
        told = re.search(r"TCP {}:{}: connections not accepted: accept EMFILE: (\d+)\n".format(*self.address), out)
        assert told is not None
        self.assertGreaterEqual(int(told[1]), CLIENTS - len(served))
        since = out[out.index("at most") :]
        of_clients = [line for line in since.splitlines() if "connection from" in line or line.endswith(": x")]
        self.assertLess(len(since) - sum(map(len, of_clients)), 2048)

    def again(self) -> None:
        """It is served again as soon as the daemon has seen that others left."""
        for _ in range(100):
            with contextlib.suppress(ConnectionResetError), connect(self.address) as sock:
                if self.answered(sock):
                    return
        self.fail("a hundred times in a row not served")

    def test_exactly_all(self) -> None:
        """The client that takes the last descriptor is served, and nobody was turned away."""
        daemon = self.daemon()
        with contextlib.ExitStack() as stack:
            for _ in range(DESCRIPTORS):
                accepted = self.clients(stack, 1)
                if not accepted or not self.answered(accepted[0]):
                    break
        self.assertIn("accept EMFILE: 1\n", self.served(daemon).out)

    def test_not_even_one(self) -> None:
        """Where not even the descriptor that is kept for that helps, clients wait, and the daemon does, too."""
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
        """A datagram whose sender takes a descriptor to look at is not what ends the daemon."""
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
