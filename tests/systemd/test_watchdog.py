"""Test that a stopped, stuck or hung daemon is restarted, and a healthy one is not."""

from __future__ import annotations

import os
import signal
import socket
import time

from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_all
from tests.systemd.units import ADDRESS, DIRECT, SERVICE, UnitTestCase, shut_down, systemctl, wait_for


class WatchdogTests(UnitTestCase):
    """Run the daemon with a short WatchdogSec=."""

    def watched(self, unit: str) -> int:
        """Start a unit with a short watchdog and return its process."""
        self.change(unit, "WatchdogSec=1", "RestartSec=0")
        return self.start(unit)

    def test_well(self) -> None:
        """A healthy daemon stays up and logs nothing, also in a sandbox without a network."""
        for unit in (SERVICE, DIRECT):
            before = self.watched(unit)
            first = self.show(unit, "WatchdogTimestampMonotonic")
            time.sleep(2)  # twice WatchdogSec=
            self.assertNotEqual(self.show(unit, "WatchdogTimestampMonotonic"), first)
            self.assertEqual((self.process(unit), self.show(unit, "NRestarts")), (before, "0"))
            self.assertTrue(self.answered())
            checks = [each["MESSAGE"] for each in self.entries(unit) if "health check" in each["MESSAGE"]]
            self.assertEqual(checks, [])
            self.assertEqual(self.entries(unit, "-p", "warning"), [])

    def test_before_the_first_client(self) -> None:
        """A daemon without a network answers its own probes as soon as it runs, and so does an instance."""
        self.start()
        wait_for(self.answered, "answers to its own questions")
        systemctl("start", "echotime@7777.service")
        wait_for(lambda: self.answered("/run/echotime-7777/control"), "those of an instance")

    def test_stopped(self) -> None:
        """A stopped process is restarted, and the pending client is answered by the next one."""
        before = self.watched(SERVICE)
        os.kill(before, signal.SIGSTOP)
        with connect(ADDRESS) as sock:
            sock.sendall(b"hi")
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(sock), b"hi" + ACKNOWLEDGEMENT)
        self.restarted(before)
        self.assertEqual(self.show(SERVICE, "NRestarts"), "1")

    def test_hung_on_its_own_ports(self) -> None:
        """A daemon that stops reading one port is detected by its own probe, without any client."""
        for transport in ("tcp", "udp"):
            self.hung(DIRECT, transport)
            before = self.watched(DIRECT)
            os.kill(before, signal.SIGUSR2)
            self.line(DIRECT, rf"health check: {transport.upper()} .* hung: ")
            self.restarted(before, DIRECT)
            self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)
            self.assertEqual(len(ask_time(ADDRESS)), 4)
            self._restore()

    def test_hung_under_a_socket(self) -> None:
        """In a sandbox without a network a socket that is not read is detected without any client."""
        for transport, reason in (
            ("tcp", "the reactor does not read the socket"),
            ("udp", "pending datagrams, none read"),
        ):
            self.hung(SERVICE, transport)
            before = self.watched(SERVICE)
            os.kill(before, signal.SIGUSR2)
            self.line(SERVICE, f"health check: {transport.upper()} .* hung: {reason}")
            self.restarted(before)
            self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)
            self.assertEqual(len(ask_time(ADDRESS)), 4)
            self._restore()

    def test_client_of_a_hung_daemon(self) -> None:
        """There a listener that the kernel does not report to the reactor is detected by a pending client, not before.

        The client is answered by the next daemon.
        """
        self.hung(SERVICE, "tcp:unregistered")
        before = self.watched(SERVICE)
        os.kill(before, signal.SIGUSR2)
        self.line(SERVICE, "hung from now on")
        time.sleep(2)  # twice WatchdogSec=
        wait_for(self.answered, "answers over the socketpair")
        self.assertEqual(self.process(), before)
        with connect(ADDRESS) as sock:
            sock.sendall(b"hi")
            sock.shutdown(socket.SHUT_WR)
            self.line(SERVICE, "health check: TCP .* hung: 1 pending connection, none accepted")
            self.assertEqual(read_all(sock), b"hi" + ACKNOWLEDGEMENT)
        self.restarted(before)

    def test_client_of_a_hung_udp_socket(self) -> None:
        """A datagram that arrives while the daemon hangs is answered by the next one."""
        self.hung(SERVICE, "udp")
        before = self.watched(SERVICE)
        os.kill(before, signal.SIGUSR2)
        self.line(SERVICE, "hung from now on")
        self.assertEqual(len(ask_time(ADDRESS)), 4)
        self.restarted(before)

    def test_socket_shut_down(self) -> None:
        """A daemon whose socket another process has shut down ends with status 1, and is restarted."""
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            before = self.watched(DIRECT)
            shut_down(self.held(before, kind, ADDRESS[1]))
            self.restarted(before, DIRECT)
            self.assertEqual(self.show(DIRECT, "NRestarts"), "1")
            self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)
            self.assertEqual(len(ask_time(ADDRESS)), 4)
            self._restore()

    def test_firewalled(self) -> None:
        """A daemon whose own probe is filtered is left alone: a restart would not help."""
        self.change(DIRECT, "IPAddressDeny=localhost")
        before = self.watched(DIRECT)
        self.line(DIRECT, "health check: TCP .* not answered: ")
        self.line(DIRECT, "health check: UDP .* not answered: ")
        time.sleep(2)
        self.assertEqual(self.process(DIRECT), before)
