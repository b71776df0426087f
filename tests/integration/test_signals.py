"""Test signals that do not stop the daemon: held back during the start, ignored, or taken for a reload."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.integration.test_config import ConfigTestCase
from tests.support import listening_address
from tests.support.operator_case import SERVE
from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, one_shot, read_exactly
from tests.support.pty_child import OnTerminal
from tests.support.twistd_process import LIMIT, Twistd

HERE = "tcp = 127.0.0.1:0\n"
IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF)
BLOCK_ALL = (
    *(sys.executable, "-c"),
    "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals());"
    "os.execvp(sys.argv[1], sys.argv[1:])",
)
"""Run a command with all signals blocked."""
KILL_DURING_START = """
import os, signal
from echotime.daemon.serving import Serving
build = Serving._build_listeners
def build_later(self):
    for each in (signal.SIGHUP, signal.SIGUSR1):
        os.kill(os.getpid(), each)
    build(self)
Serving._build_listeners = build_later
"""


class SignalTests(ConfigTestCase):
    """Send signals to a daemon that must go on serving."""

    def assert_serves(self, daemon: Twistd) -> None:
        """Check that the daemon replies."""
        self.assertEqual(one_shot(daemon.address("TCP"), b"hi"), b"hi" + ACKNOWLEDGEMENT)

    def test_ignored(self) -> None:
        """A signal without use is logged once in a while, and ignored."""
        daemon = self.echotime()
        self.assert_serves(daemon)
        for number in IGNORED:
            daemon.signal(number)
            daemon.line(f"echotime#warn. signal ignored: {number.name}")
            daemon.signal(number)
        self.assert_serves(daemon)
        self.assertEqual(self.served(daemon).out.count("signal ignored: "), len(IGNORED))
        daemon.line(r"signal ignored: SIGHUP \(a reload requires --config\)$")

    def test_blocked_by_the_parent(self) -> None:
        """Signals that the parent process blocked are received."""
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.twistd("echotime", "--tcp", "127.0.0.1:0", prefix=BLOCK_ALL)
            self.assert_serves(daemon)
            daemon.signal(signal.SIGUSR1)
            daemon.line("signal ignored: SIGUSR1")
            daemon.signal(number)
            self.assertEqual(daemon.wait().status, -number)

    def test_during_the_start(self) -> None:
        """Signals during the start are handled when the daemon runs: SIGHUP causes a reload if there is a file."""
        daemon = self.twistd("echotime", "--tcp", "127.0.0.1:0", python=KILL_DURING_START)
        daemon.line("signal ignored: SIGHUP")
        daemon.line("signal ignored: SIGUSR1")
        self.assert_serves(daemon)
        self.served(daemon)
        self.write(HERE)
        daemon = self.twistd("echotime", "--config", str(self.path), python=KILL_DURING_START)
        daemon.line("reload: changed: nothing")
        self.assert_serves(daemon)
        self.served(daemon)

    def test_many(self) -> None:
        """Many signals cause few reloads, and delay no client for long."""
        daemon = self.configured(HERE)
        longest, begin = 0.0, time.monotonic()
        with connect(daemon.address("TCP")) as sock:
            for _ in range(100):
                for _ in range(1000):
                    daemon.signal(signal.SIGHUP)
                sent = time.monotonic()
                sock.sendall(b"hi")
                read_exactly(sock, 2 + len(ACKNOWLEDGEMENT))
                longest = max(longest, time.monotonic() - sent)
        ended = self.served(daemon)
        self.assertIn("reload: changed: nothing", ended.out)
        self.assertLess(ended.out.count("reload: changed"), (time.monotonic() - begin) / 0.5 + 2)
        self.assertLess(longest, LIMIT / 4)
        self.assertNotIn("Exception ignored", ended.out + ended.err)

    def test_log_file(self) -> None:
        """With --logfile SIGUSR1 starts a new file, as in every twistd."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "log")
            daemon = self.twistd("--logfile", str(path), "echotime", "--tcp", "127.0.0.1:0")
            address = listening_address.address(daemon.process, "TCP")
            daemon.signal(signal.SIGUSR1)
            deadline = time.monotonic() + LIMIT
            while not Path(f"{path}.1").exists():
                self.assertLess(time.monotonic(), deadline)
                one_shot(address, b"hi")
            self.served(daemon)

    def test_log_file_of_another_user(self) -> None:
        """A daemon with --uid owns its log file, and so can rotate it in a directory of that user."""
        if os.geteuid() != 0:
            self.skipTest("needs root to become another user")
        with tempfile.TemporaryDirectory() as folder:
            os.chown(folder, 65534, -1)
            path = Path(folder, "log")
            daemon = self.twistd("--logfile", str(path), "--uid", "65534", "echotime", "--tcp", "127.0.0.1:0")
            address = listening_address.address(daemon.process, "TCP")
            daemon.signal(signal.SIGUSR1)
            deadline = time.monotonic() + LIMIT
            while not (Path(f"{path}.1").exists() and path.exists()):
                self.assertLess(time.monotonic(), deadline)
                one_shot(address, b"hi")
            for each in (path, Path(f"{path}.1")):
                self.assertEqual((each.stat().st_uid, oct(each.stat().st_mode)[-3:]), (65534, "640"))
            self.served(daemon)

    def test_terminal_hangs_up(self) -> None:
        """A terminal that hangs up stops the daemon in order; a SIGHUP while it is there is ignored."""
        self.need("setsid")
        terminal = OnTerminal([*SERVE])
        self.addCleanup(terminal.close)
        terminal.until("listening on UDP")
        terminal.child.send_signal(signal.SIGHUP)
        terminal.until("signal ignored: SIGHUP")
        self.assertIsNone(terminal.child.poll())
        terminal = OnTerminal([*SERVE])
        self.addCleanup(terminal.close)
        terminal.until("listening on UDP")
        terminal.hang_up()
        self.assertEqual(terminal.child.wait(LIMIT), -signal.SIGTERM)
