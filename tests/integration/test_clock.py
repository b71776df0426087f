"""Test steps of the wall clock, by an administrator or NTP: UDP answers follow it, timers do not."""

from __future__ import annotations

import json
import mmap
import signal
import socket
import struct
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path

from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, fill, read_all, read_exactly
from tests.support.tool_case import ToolTestCase
from tests.support.twistd_process import LIMIT, Twistd

HOUR = 3600


class ClockTests(ToolTestCase):
    """Step the daemon's clock an hour forward and back, with a library preloaded before the C library."""

    def setUp(self) -> None:
        """Build the library to be preloaded."""
        self.need("gcc")
        library, self.file = Path(self.mktemp()).absolute(), Path(self.mktemp()).absolute()
        source = Path(__file__).with_name("stepped_clock.c")
        command = ["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True)
        self.prefix = ("env", f"LD_PRELOAD={library}", f"STEPPED_CLOCK={self.file}")
        self.file.write_bytes(bytes(8))

    def daemon(self, *args: str) -> Twistd:
        """Start a daemon whose clock can be stepped, and is right."""
        self.step(0)
        where = ("--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0")
        return self.twistd("echotime", *where, *args, prefix=self.prefix)

    def step(self, seconds: int) -> None:
        """Set the daemon's clock so many seconds from ours."""
        with self.file.open("r+b") as file, mmap.mmap(file.fileno(), 8) as mapped:
            mapped[:] = struct.pack("=q", seconds)

    def test_answers_follow(self) -> None:
        """UDP answers show the stepped wall clock at once."""
        daemon = self.daemon()
        for seconds in (0, HOUR, -HOUR, 0):
            self.step(seconds)
            (answer,) = struct.unpack("!I", ask_time(daemon.address("UDP")))
            self.assertLess(abs(answer - time.time() - seconds), HOUR / 2)
        self.served(daemon)

    def test_own_answers_are_known_by_the_new_time(self) -> None:
        """Datagrams that look like our own answers are recognized by the stepped time."""
        daemon = self.daemon()
        for seconds in (5 * HOUR, -5 * HOUR):
            self.step(seconds)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(daemon.address("UDP"))
                sock.settimeout(LIMIT)
                for _ in range(4):
                    sock.send(struct.pack("!I", int(time.time()) + seconds))
                sock.send(b"?")
                self.assertEqual([len(sock.recv(9)) for _ in range(4)], [4] * 4)
        self.assertIn("refusals: datagrams refused (loop): 2", self.served(daemon).out)

    def test_log_follows(self) -> None:
        """Dates in the log follow the stepped clock."""
        daemon = self.daemon()
        address = daemon.address("TCP")
        self.step(HOUR)
        with connect(address) as sock:
            sock.sendall(b"x")
            line = daemon.line(r"^(\S+) .*connection from")
        logged = datetime.strptime(line[1], "%Y-%m-%dT%H:%M:%S%z").timestamp()
        self.assertLess(abs(logged - time.time() - HOUR), 60)

    def test_line_limit(self) -> None:
        """The one-second window of the message limit lasts a second."""
        for seconds in (-HOUR, HOUR):
            daemon = self.daemon("--log-message-rate", "1")
            with connect(daemon.address("TCP")) as sock:
                for _ in range(3):
                    sock.sendall(b"x")
                    read_exactly(sock, 1 + len(ACKNOWLEDGEMENT))
                self.step(seconds)
                began = time.monotonic()
                daemon.line("message lines left out in the last second: 2")
                self.assertLess(time.monotonic() - began, LIMIT)
                sock.sendall(b"seen")
                daemon.line(": seen$")
            self.served(daemon)

    def test_drain_does_not_stall(self) -> None:
        """A drain ends in time also if the clock is set back meanwhile."""
        daemon = self.daemon("--drain-timeout", "1")
        with connect(daemon.address("TCP")) as sock:
            fill(sock)
            daemon.signal()
            daemon.line("stopping: open connections: 1")
            self.step(-HOUR)
            began = time.monotonic()
            ended = daemon.wait()
            self.assertLess(time.monotonic() - began, LIMIT)
        self.assertIn("ended by server's reset", ended.out)
        self.assertEqual(ended.status, -signal.SIGTERM)

    def test_drain_does_not_hurry(self) -> None:
        """A drain does not end early if the clock is set forward."""
        daemon = self.daemon("--drain-timeout", "60")
        with connect(daemon.address("TCP")) as sock:
            sent = fill(sock)
            daemon.signal()
            daemon.line("stopping: open connections: 1")
            self.step(HOUR)
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(sum(map(len, read_all(sock).split(ACKNOWLEDGEMENT))), sent)
        self.assertIn("ended by client,", daemon.wait().out)

    def test_age(self) -> None:
        """The age of a connection does not depend on clock steps."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        control = f"{directory.name}/control"
        daemon = self.daemon("--control", control)
        daemon.line("listening on control socket")
        with connect(daemon.address("TCP")) as sock:
            sock.sendall(b"x")
            read_exactly(sock, 1 + len(ACKNOWLEDGEMENT))
            self.step(-HOUR)
            shown = json.loads(self.tool("control", "--socket", control, "--json", "connections").stdout)
        self.assertGreaterEqual(shown[0]["age"], 0)
        self.assertLess(shown[0]["age"], HOUR)
