"""Test that a unit is ready when it serves, and what a stop leaves."""

from __future__ import annotations

import socket
import time

from tests.support.plain_clients import (
    ACKNOWLEDGEMENT,
    ask_time,
    connect,
    one_shot,
    read_all,
    read_exactly,
    split_answers,
)
from tests.systemd.units import ADDRESS, DIRECT, SERVICE, SOCKET, UnitTestCase, systemctl, wait_for


class StartTests(UnitTestCase):
    """Start both units, which have Type=notify."""

    def test_serves(self) -> None:
        """Both units serve both services when `systemctl start` returns, and report a status."""
        for unit in (SERVICE, DIRECT):
            self.start(unit)
            self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)
            self.assertEqual(len(ask_time(ADDRESS)), 4)
            self.assertIn("open connections: 0; since the start: ", self.show(unit, "StatusText"))

    def test_waits_for_ready(self) -> None:
        """A daemon that serves but does not report it counts as not started, and is ended after its timeout."""
        self.change(DIRECT, "TimeoutStartSec=4", "UnsetEnvironment=NOTIFY_SOCKET", "Restart=no")
        began = time.monotonic()
        self.assertEqual(self.fails(DIRECT), "timeout")
        self.assertGreater(time.monotonic() - began, 3.9)
        self.line(DIRECT, "listening on TCP")

    def test_faulty_command_line(self) -> None:
        """A faulty command line is reported in the journal, and the start is not repeated."""
        self.options("--tcp nowhere")
        self.fails(DIRECT)
        found = self.line(DIRECT, "^echotime: --tcp nowhere: ")
        self.assertEqual((found["PRIORITY"], found["SYSLOG_IDENTIFIER"]), ("3", "echotime"))
        self.assertEqual((self.show(DIRECT, "ExecMainStatus"), self.show(DIRECT, "NRestarts")), ("2", "0"))

    def test_faulty_under_a_socket(self) -> None:
        """A faulty command line under a socket is reported in the journal, and the start is not repeated."""
        self.options("--tcp nowhere")
        self.fails(SERVICE)
        self.line(SERVICE, "^echotime: --tcp nowhere: ")
        self.assertEqual((self.show(SERVICE, "ActiveState"), self.show(SERVICE, "NRestarts")), ("failed", "0"))

    def test_given_up(self) -> None:
        """A client makes systemd retry and give up, socket included; after the repair both can be started."""
        self.options("--tcp nowhere")
        self.change(SERVICE, "[Unit]", "StartLimitIntervalSec=1h")  # 10 tries take longer than 10 s on a busy machine
        systemctl("start", SOCKET)
        with connect(ADDRESS):
            wait_for(lambda: self.show(SOCKET, "ActiveState") == "failed", "an end of its tries")
        self.assertEqual(self.show(SOCKET, "Result"), "service-start-limit-hit")
        self.assertRaises(ConnectionRefusedError, connect, ADDRESS)
        self.options("")
        systemctl("reset-failed", "echotime*")
        systemctl("start", SOCKET, SERVICE)
        self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)

    def test_port_is_taken(self) -> None:
        """A port in use is reported in the journal as an error, with status 1."""
        self.change(DIRECT, "Restart=no")
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(ADDRESS)
            sock.listen()
            self.fails(DIRECT)
        (found,) = self.entries(DIRECT, "-p", "warning")
        self.assertIn("cannot listen on TCP 0.0.0.0:12345: Address already in use", found["MESSAGE"])
        self.assertEqual(found["PRIORITY"], "2")
        self.assertEqual(self.show(DIRECT, "ExecMainStatus"), "1")


class StopTests(UnitTestCase):
    """Stop units by `systemctl stop`."""

    def test_at_once(self) -> None:
        """A daemon stopped just after its start stays stopped: its own probes do not start it again."""
        self.start(SERVICE)
        systemctl("stop", SERVICE)
        self.assertEqual((self.show(SERVICE, "ActiveState"), self.show(SERVICE, "Job")), ("inactive", ""))

    def test_clean(self) -> None:
        """The signal that ends the daemon is not a failure of the unit."""
        self.start(DIRECT)
        systemctl("stop", DIRECT)
        self.assertEqual((self.show(DIRECT, "Result"), self.show(DIRECT, "ActiveState")), ("success", "inactive"))

    def test_drain_longer_than_the_time(self) -> None:
        """A drain longer than the unit's timeout asks for more time, and the clients get all their replies."""
        self.change(DIRECT, "TimeoutStopSec=1")
        self.options("--drain-timeout 20 --log-message-rate 0")
        self.start(DIRECT)
        with connect(ADDRESS) as sock:
            sent = 0
            sock.settimeout(0.2)
            try:
                while True:
                    sent += sock.send(b"x" * 65536)
            except TimeoutError:
                sock.settimeout(20)
            systemctl("stop", "--no-block", DIRECT)
            self.line(DIRECT, "stopping: open connections: 1")
            time.sleep(2.5)  # longer than TimeoutStopSec=
            self.assertEqual(self.show(DIRECT, "ActiveState"), "deactivating")
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(sum(map(len, split_answers(read_all(sock), ACKNOWLEDGEMENT))), sent)
        systemctl("stop", DIRECT)
        self.assertEqual(self.show(DIRECT, "Result"), "success")

    def test_stop_delay(self) -> None:
        """A stop delay longer than the unit's timeout and its watchdog lasts to its end, and clients are served."""
        self.change(DIRECT, "TimeoutStopSec=1", "WatchdogSec=1")
        self.options("--stop-delay 4")
        self.start(DIRECT)
        began = time.monotonic()
        systemctl("stop", "--no-block", DIRECT)
        wait_for(lambda: self.show(DIRECT, "StatusText").startswith("stopping in 4 s; "), "a status of the delay")
        self.assertEqual(self.show(DIRECT, "ActiveState"), "deactivating")
        self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)
        systemctl("stop", DIRECT)
        self.assertGreater(time.monotonic() - began, 3.9)
        self.line(DIRECT, "stop delay ended: stopping")
        self.assertEqual(self.show(DIRECT, "Result"), "success")

    def test_a_quiet_client(self) -> None:
        """A quiet client is closed with an end of file."""
        self.start(DIRECT)
        with connect(ADDRESS) as sock:
            sock.sendall(b"hi")
            read_exactly(sock, 2 + len(ACKNOWLEDGEMENT))
            systemctl("stop", DIRECT)
            self.assertEqual(read_all(sock), b"")
