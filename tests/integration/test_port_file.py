"""Test --port-file: ports that the system chose, for scripts."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from echotime.cli.control.connection import ControlConnection
from echotime.control.commands import Behave
from tests.support.plain_clients import ask_time, one_shot
from tests.support.twistd_process import LIMIT, DaemonTestCase, Twistd

_ADDRESSES = ("--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0")


class PortFileTests(DaemonTestCase):
    """Start daemons with a port file, and read it."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.path = self.directory / "ports.json"

    def wait_for_file(self, daemon: Twistd) -> Any:
        """Wait until the daemon has written the file, and return its content."""
        deadline = time.monotonic() + LIMIT
        while not self.path.exists():
            self.assertIsNone(daemon.process.poll(), daemon.text())
            self.assertLess(time.monotonic(), deadline)
            threading.Event().wait(0.01)
        return json.loads(self.path.read_text(encoding="ascii"))

    def test_all_listeners(self) -> None:
        """When the file is there, everything that it names listens. It is gone when the daemon has ended."""
        sockets = [str(self.directory / name) for name in ("control", "http")]
        daemon = self.echotime(
            *("--tcp", "[::1]:0", "--http", "0", "--control", sockets[0], "--http", sockets[1]),
            *("--port-file", str(self.path), "--behave", "127.0.0.1:0=drop"),
        )
        found = self.wait_for_file(daemon)
        self.assertEqual(found["pid"], daemon.process.pid)
        for each in found["tcp"]:
            self.assertEqual(one_shot((each["host"], each["port"]), b"a"), b"a\nI get it!\n")
        self.assertEqual([each["host"] for each in found["tcp"]], ["127.0.0.1", "::1"])
        (udp,) = found["udp"]
        ask_time((udp["host"], udp["port"]))
        self.assertEqual(udp["address"], f"127.0.0.1:{udp['port']}")
        self.assertEqual((found["control"], found["http"][1]), (sockets[0], {"path": sockets[1]}))
        (behaving,) = found["behave"]
        self.assertEqual((behaving["transport"], behaving["behavior"]), ("udp", "drop"))
        daemon.line(rf"listening on UDP {behaving['address']}, which misbehaves: drop$")
        for path in sockets:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(path)
        socket.create_connection((found["http"][0]["host"], found["http"][0]["port"]), LIMIT).close()
        self.served(daemon)
        self.assertFalse(self.path.exists())

    def test_listener_opened_later(self) -> None:
        """A listener that `control behave` opens is in the file when the command has returned, until it is closed."""
        control = str(self.directory / "control")
        self.wait_for_file(self.echotime("--control", control, "--port-file", str(self.path)))
        connection = ControlConnection(control)
        self.addCleanup(connection.close)
        (row,) = connection.call(Behave, behaviors=["127.0.0.1:0=latency"])["rows"]
        (behaving,) = json.loads(self.path.read_text(encoding="ascii"))["behave"]
        self.assertEqual((behaving["address"], behaving["behavior"]), (row["address"], "latency"))
        connection.call(Behave, behaviors=[f"{row['address']}=latency:delay=1"])
        (behaving,) = json.loads(self.path.read_text(encoding="ascii"))["behave"]
        self.assertEqual(behaving["behavior"], "latency:delay=1")
        connection.call(Behave, behaviors=[f"{row['address']}=off"])
        self.assertEqual(json.loads(self.path.read_text(encoding="ascii"))["behave"], [])

    def test_background(self) -> None:
        """Without -n the file is there when twistd returns, with the process ID of the daemon in the background."""
        options = (*_ADDRESSES, "--port-file", "ports.json")
        ended = self.twistd_in_daemon_mode(str(self.directory), *options, before=("--logfile", "log"))
        self.assertEqual(ended.status, 0, ended.err)
        found = json.loads(self.path.read_text(encoding="ascii"))
        with os.fdopen(os.pidfd_open(found["pid"]), "rb") as process:
            self.addCleanup(self.kill, found["pid"])
            self.assertEqual(found["pid"], int((self.directory / "twistd.pid").read_text(encoding="ascii")))
            (tcp,) = found["tcp"]
            self.assertEqual(one_shot((tcp["host"], tcp["port"]), b"a"), b"a\nI get it!\n")
            signal.pidfd_send_signal(process.fileno(), signal.SIGTERM)
            deadline = time.monotonic() + LIMIT
            while self.path.exists():
                self.assertLess(time.monotonic(), deadline)
                threading.Event().wait(0.01)

    @staticmethod
    def kill(pid: int) -> None:
        """Kill a daemon in the background, if it still runs."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def test_left_by_a_killed_daemon(self) -> None:
        """A killed daemon leaves its file, and the next one replaces it."""
        first = self.echotime("--port-file", str(self.path))
        self.wait_for_file(first)
        first.kill()
        self.assertTrue(self.path.exists())
        second = self.echotime("--port-file", str(self.path))
        second.address("UDP")
        deadline = time.monotonic() + LIMIT
        while self.wait_for_file(second)["pid"] != second.process.pid:
            self.assertLess(time.monotonic(), deadline)
            threading.Event().wait(0.01)
        self.served(second)
        self.assertFalse(self.path.exists())

    def test_stop_delay(self) -> None:
        """During --stop-delay the ports are open, and so the file stays."""
        daemon = self.echotime("--port-file", str(self.path), "--stop-delay", "1h")
        self.wait_for_file(daemon)
        daemon.signal()
        daemon.line("received SIGTERM: ")
        self.assertTrue(self.path.exists())
        self.served(daemon)
        self.assertFalse(self.path.exists())

    def test_unwritable(self) -> None:
        """The file is written by the user of --uid. If that fails, nothing listens any more, and the status is 1."""
        if os.geteuid() != 0:
            self.skipTest("only root may start with --uid")
        control = ("--control", str(self.directory / "control"))
        self.directory.chmod(0o777)
        daemon = self.twistd("--uid", "65534", "echotime", *_ADDRESSES, *control, "--port-file", str(self.path))
        self.wait_for_file(daemon)
        self.assertEqual(self.path.stat().st_uid, 65534)
        self.served(daemon)
        self.directory.chmod(0o755)
        ended = self.twistd("--uid", "65534", "echotime", *_ADDRESSES, "--port-file", str(self.path)).wait()
        self.assertEqual(ended.status, 1, ended.out)
        reason = f"echotime: cannot write the port file {self.path}: Permission denied (as user nobody)\n"
        self.assertEqual(ended.err, reason)
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_faulty_path(self) -> None:
        """A missing directory and a device are faults of the command line."""
        for path, reason in (
            (f"{self.directory}/missing/ports", "there is no directory '"),
            ("/dev/stdout", "'/dev/stdout' exists and is not a regular file; expected a new file, or one to replace"),
        ):
            ended = self.refused(*_ADDRESSES, "--port-file", path)
            self.assertEqual(ended.status, 2)
            self.assertIn(f"--port-file {path}: {reason}", ended.err)
