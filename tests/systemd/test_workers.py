"""Test echotime-worker@.service: several processes serve the sockets of echotime.socket, and replace each other."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from functools import partial
from pathlib import Path

from tests.support.http_case import ask
from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_all, read_exactly
from tests.systemd.load import Load
from tests.systemd.units import ADDRESS, LIMIT, PROGRAMS, SERVICE, SOCKET, UNITS, UnitTestCase, systemctl, wait_for

WORKERS = ("echotime-worker@1.service", "echotime-worker@2.service")
CONTROLS = ("/run/echotime-worker-1/control", "/run/echotime-worker-2/control")


class WorkerTestCase(UnitTestCase):
    """Start two workers of echotime.socket."""

    def start_workers(self, watchdog: str = "30") -> list[int]:
        """Start the workers and return their processes."""
        for each in WORKERS:
            self.change(each, f"WatchdogSec={watchdog}", "RestartSec=0")
        return [self.start(each) for each in WORKERS]

    def states(self) -> list[str]:
        """Return the states of echotime.service and of the workers."""
        return [self.show(each, "ActiveState") for each in (SERVICE, *WORKERS)]

    def ready(self, http: Path) -> bool:
        """Return True if a worker reports over HTTP that it is ready."""
        return ask(http, "/readyz")[0] == 200

    def served(self, name: str) -> list[int]:
        """Return a counter of each worker."""
        found = [re.search(rf"(?m)^{name}: (\d+)", self.control("counters", path=each)) for each in CONTROLS]
        return [int(each[1]) if each else 0 for each in found]


class ShareTests(WorkerTestCase):
    """Serve clients by two workers."""

    def test_all_are_served(self) -> None:
        """Each client is served by one of the workers, and each worker has its own control and HTTP socket."""
        before = self.start_workers()
        for _ in range(50):
            self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)
            self.assertEqual(len(ask_time(ADDRESS)), 4)
        self.assertEqual((sum(self.served("connections")), sum(self.served("datagrams"))), (50, 50))
        for unit, control in zip(WORKERS, CONTROLS, strict=True):
            http = Path(control).with_name("http")
            wait_for(partial(self.ready, http), "ready")
            self.assertIn("echotime_connections_open 0", ask(http, "/metrics")[1])
            status = self.control("status", path=control)
            self.assertIn("listening on UDP [::]:12345, not probed: other processes serve the same socket\n", status)
            self.assertIn("listening on TCP [::]:12345, probe answered in ", status)
            self.assertEqual(self.entries(unit, "-p", "warning"), [])
        self.assertEqual([self.process(each) for each in WORKERS], before)

    def test_many_wait(self) -> None:
        """Connections that wait while no worker runs are shared by both."""
        self.start_workers()
        for each in WORKERS:
            systemctl("kill", "-s", "STOP", each)
        waiting = [connect(ADDRESS) for _ in range(400)]
        for each in WORKERS:
            systemctl("kill", "-s", "CONT", each)
        for sock in waiting:
            with sock:
                sock.sendall(b"hi")
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(read_all(sock), b"hi" + ACKNOWLEDGEMENT)
        self.assertEqual(sum(self.served("connections")), 400)

    def test_exclusive(self) -> None:
        """Either echotime.service runs, or workers do; without workers the next client starts echotime.service."""
        self.start(SERVICE)
        self.start(WORKERS[0])
        self.assertEqual(self.states(), ["inactive", "active", "inactive"])
        self.start(WORKERS[1])
        self.start(SERVICE)
        self.assertEqual(self.states(), ["active", "inactive", "inactive"])
        self.start_workers()
        systemctl("stop", WORKERS[0])
        self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)
        self.assertEqual(self.states(), ["inactive", "inactive", "active"])
        systemctl("stop", WORKERS[1])
        self.assertEqual(self.states(), ["inactive"] * 3, "its own probes start nothing")
        self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)
        self.assertEqual(self.states(), ["active", "inactive", "inactive"])
        systemctl("stop", SOCKET)
        self.assertRaises(ConnectionRefusedError, connect, ADDRESS)


class DocumentedTests(WorkerTestCase):
    """Type the commands that docs/workers.md shows."""

    def test_change_and_back(self) -> None:
        """The commands for the change to workers and back work, and so do those for a rolling restart."""
        there, back = self.blocks("Change to workers, and back")
        systemctl("enable", "--now", SOCKET, SERVICE)
        self.addCleanup(systemctl, "disable", SOCKET, SERVICE, *WORKERS)
        self.type(there)
        self.assertEqual(self.states(), ["inactive", "active", "active"])
        before = [self.process(each) for each in WORKERS]
        for each in self.blocks("Rolling restart"):
            self.type(each)
        self.assertFalse(set(before) & {self.process(each) for each in WORKERS})
        systemctl("reload", "echotime-worker@*")
        self.type(back)
        self.assertEqual(self.states(), ["active", "inactive", "inactive"])
        self.assertEqual([self.show(each, "UnitFileState") for each in WORKERS], ["disabled"] * 2)
        self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)

    def test_metrics_on_a_port(self) -> None:
        """The unit for a port of each worker and the commands below it work, and other pages need the token."""
        curl, unit, commands = self.blocks("Control, metrics and health")
        path, options = UNITS / "echotime-worker-http@.socket", Path("/etc/default/echotime-worker")
        self._changed |= {path, options}
        path.write_text(unit, encoding="ascii")
        options.parent.mkdir(exist_ok=True)
        sockets = [f"echotime-worker-http@{number}.socket" for number in (1, 2)]
        self.addCleanup(systemctl, "disable", *sockets)
        self.start_workers()
        self.type(commands)
        for port in (9181, 9182):
            self.assertEqual(ask(("127.0.0.1", port), "/metrics")[0], 200)
            self.assertEqual(ask(("127.0.0.1", port), "/api/status")[0], 401)
        self.assertIn("--unix-socket /run/echotime-worker-1/http", curl)
        self.assertEqual(ask(Path("/run/echotime-worker-1/http"), "/metrics")[0], 200)

    def blocks(self, title: str) -> list[str]:
        """Return the indented blocks of a section, without the indentation."""
        page = (Path(__file__).parents[2] / "docs" / "workers.md").read_text(encoding="utf-8")
        section = page.partition(f"## {title}\n")[2].partition("\n## ")[0]
        return [each.replace("    ", "") for each in re.findall(r"(?m)(?:^    .*\n)+", section)]

    def type(self, commands: str) -> None:
        """Run commands in a shell, which ends at the first failure."""
        search = f"{PROGRAMS}:{os.environ['PATH']}"
        subprocess.run(["bash", "-e"], input=commands, text=True, check=True, timeout=3 * LIMIT, env={"PATH": search})


class WorkerRestartTests(WorkerTestCase):
    """Restart workers while clients are served."""

    def test_one_after_the_other(self) -> None:
        """A rolling restart loses no connection and no datagram, and is not taken for a hang."""
        self.options("--log-message-rate 0 --drain-timeout 20")
        seen = set(self.start_workers(watchdog="5"))
        with Load() as load:
            for _ in range(3):
                for each in WORKERS:
                    systemctl("restart", each)
                    seen.add(self.process(each))
                    load.goes_on()
        print(f"6 restarts of one of two workers under load: {load.done}, faults: {len(load.faults)}")
        self.assertEqual((load.faults, len(seen)), ([], 8))
        self.assertEqual(self.states(), ["inactive", "active", "active"])
        for each in WORKERS:
            self.assertEqual(self.show(each, "NRestarts"), "0")

    def test_all_at_once(self) -> None:
        """While all workers restart at once, clients wait in the sockets, and echotime.service is not started."""
        self.options("--log-message-rate 0")
        before = self.start_workers()
        with Load() as load:
            systemctl("restart", *WORKERS)
            load.goes_on()
        self.assertEqual(load.faults, [])
        self.assertFalse(set(before) & {self.process(each) for each in WORKERS})
        self.assertEqual(self.states(), ["inactive", "active", "active"])

    def test_owed_bytes(self) -> None:
        """A worker that stops sends its clients what they are owed, while the other one serves new clients."""
        self.options("--drain-timeout 20")
        self.start_workers()
        with connect(ADDRESS) as sock:
            sock.sendall(b"hi")
            read_exactly(sock, 2 + len(ACKNOWLEDGEMENT))
            unit = WORKERS[self.served("messages").index(1)]
            systemctl("kill", "-s", "STOP", unit)
            sock.sendall(b"there")
            systemctl("restart", "--no-block", unit)
            self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)
            systemctl("kill", "-s", "CONT", unit)
            self.assertEqual(read_all(sock), b"there" + ACKNOWLEDGEMENT)
        wait_for(lambda: self.states() == ["inactive", "active", "active"], "the restart")

    def test_killed(self) -> None:
        """While a killed worker is away the other one serves, and echotime.service is not started in its place."""
        before = self.start_workers()
        self.change(WORKERS[0], "RestartSec=2")
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda: self.show(WORKERS[0], "ActiveState") != "active", "the end of the worker")
        for _ in range(20):
            self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)
            self.assertEqual(len(ask_time(ADDRESS)), 4)
        self.assertEqual(self.states(), ["inactive", "activating", "active"])
        self.restarted(before[0], WORKERS[0])
        self.assertEqual(self.process(WORKERS[1]), before[1])


class WorkerWatchdogTests(WorkerTestCase):
    """Let one of two workers hang."""

    def test_stopped(self) -> None:
        """While a worker is stopped, the other one answers at once; the watchdog restarts the stopped one."""
        before = self.start_workers(watchdog="4")
        os.kill(before[0], signal.SIGSTOP)
        began = time.monotonic()
        for _ in range(20):
            self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)
            self.assertEqual(len(ask_time(ADDRESS)), 4)
        self.assertLess(time.monotonic() - began, 2)
        self.restarted(before[0], WORKERS[0])
        self.assertEqual(self.process(WORKERS[1]), before[1])

    def test_hung(self) -> None:
        """A worker that stops reading one socket is restarted, though the other one leaves nothing pending there."""
        for transport in ("tcp", "udp"):
            self.hung(WORKERS[0], transport)
            before = self.start_workers(watchdog="1")
            os.kill(before[0], signal.SIGUSR2)
            for _ in range(20):
                self.assertEqual(one_shot(ADDRESS, b"hi"), b"hi" + ACKNOWLEDGEMENT)
                self.assertEqual(len(ask_time(ADDRESS)), 4)
            self.line(WORKERS[0], f"health check: {transport.upper()} .* hung: ")
            self.restarted(before[0], WORKERS[0])
            self.assertEqual(self.process(WORKERS[1]), before[1])
            self.assertEqual([each for each in self.entries(WORKERS[1]) if "hung" in each["MESSAGE"]], [])
            self._restore()
