"""Run `twistd -n` as a child process: start it, follow its log, and end it whatever the test does."""

from __future__ import annotations

import atexit
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from twisted.trial.unittest import SynchronousTestCase

TWISTD = [sys.executable, str(Path(sysconfig.get_path("scripts")) / "twistd"), "-n", "--pidfile="]
VERBOSE = ("env", "DEBUG_INVOCATION=1")
"""Prefix of a daemon whose log shows details."""
# background shells and nohup ignore these signals, and children would inherit that
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)
LIMIT = 120.0
"""Seconds after which a test gives up waiting. Only a hang takes so long, however loaded the machine is."""


class Ended(NamedTuple):
    """Hold the exit status of a child, as subprocess gives it, and its output."""

    status: int
    out: str
    err: str


class Twistd:
    """Run one child whose output is read by threads, so that it never blocks on a pipe."""

    program: Sequence[str] = TWISTD
    """First words of the command line, between the prefix and the arguments."""

    def __init__(
        self,
        *args: str,
        prefix: tuple[str, ...] = (),
        inherited: tuple[int, ...] = (),
        python: str = "",
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        """Start the child with the `inherited` descriptors; `python` is run in its process before twistd."""
        first = [sys.executable, "-c", f"{python}\nfrom twisted.scripts.twistd import run; run()", *TWISTD[2:]]
        # if the tests are killed, the kernel ends the child
        guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        self.process = subprocess.Popen(
            [*guard, *prefix, *(first if python else self.program), *args],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            pass_fds=inherited,
        )
        self.lines: list[str] = []
        self.ended: Ended | None = None
        """Status and output of the child, once wait() returned."""
        self._arrived: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._follow, args=(self.process.stdout,), daemon=True),
            threading.Thread(target=self._collect, args=(self.process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _follow(self, stream: IO[str]) -> None:
        for line in stream:
            self._arrived.put(line.rstrip("\n"))
        self._arrived.put(None)

    def _collect(self, stream: IO[str]) -> None:
        self._errors.extend(stream)

    def line(self, pattern: str) -> re.Match[str]:
        """Wait for a log line that matches `pattern`, searching from the start of the log; return the match."""
        for known in self.lines:
            if found := re.search(pattern, known):
                return found
        while True:
            try:
                line = self._arrived.get(timeout=LIMIT)
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"no line with {pattern!r} in:\n" + self.text())
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found

    def address(self, transport: str, number: int = 0) -> tuple[str, int]:
        """Return host and port of the number-th listener of a transport, as logged at the start."""
        self.line(rf"listening on {transport} ")
        pattern = rf"listening on {transport} \[?(.*?)\]?:(\d+)$"
        found = [match for line in self.lines if (match := re.search(pattern, line))]
        while len(found) <= number:
            found.append(self._next(pattern))
        return found[number][1], int(found[number][2])

    def _next(self, pattern: str) -> re.Match[str]:
        known, self.lines = self.lines, []
        try:
            return self.line(pattern)
        finally:
            self.lines = known + self.lines

    def text(self) -> str:
        """Return all output of the child that has been read."""
        return "\n".join(self.lines) + "\n--- standard error ---\n" + "".join(self._errors)

    def resident(self) -> int:
        """Return the child's resident memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii", errors="replace")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to the child."""
        self.process.send_signal(number)

    def wait(self) -> Ended:
        """Wait until the child ends by itself."""
        status = self.process.wait(LIMIT)
        for thread in self._threads:
            thread.join(LIMIT)
        while (line := self._arrived.get(timeout=LIMIT)) is not None:
            self.lines.append(line)
        self._arrived.put(None)
        self._close()
        self.ended = Ended(status, "\n".join(self.lines), "".join(self._errors))
        return self.ended

    def stop(self) -> Ended:
        """Send SIGTERM and wait for the end."""
        self.signal()
        return self.wait()

    def kill(self) -> None:
        """Kill the child if it still runs; for clean-up."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(LIMIT)
        for thread in self._threads:
            thread.join(LIMIT)
        self._close()

    def _close(self) -> None:
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


_shared: dict[tuple[type, tuple[str, ...]], Twistd] = {}
"""The daemons that tests share, by class and arguments."""


class DaemonTestCase(SynchronousTestCase):
    """Start daemons that end with the test, also if it fails."""

    reactor: tuple[str, ...] = ()
    """Option of twistd that selects a reactor; empty for the daemon's own."""
    python = ""
    """Python code to run in every daemon's process before twistd."""

    def twistd(self, *args: str, shared: bool = False, **how: Any) -> Twistd:
        """Start `twistd -n` with any arguments; `how` as for Twistd.

        A `shared` daemon serves all tests of the class that request the same one. The last test is followed by a
        check of its end. A test that reads the log or stops the daemon needs one of its own.
        """
        key = type(self), args
        if shared and (known := _shared.get(key)) is not None and known.process.poll() is None:
            return known
        child = Twistd(*self.reactor, *args, **{"python": self.python, **how})
        if shared:
            _shared[key] = child
            self.addClassCleanup(child.kill)
            self.addClassCleanup(self.served, child)
            atexit.register(child.kill)  # for trial, which runs no class cleanups
        else:
            self.addCleanup(child.kill)
        return child

    def echotime(self, *args: str, shared: bool = False, **how: Any) -> Twistd:
        """Start a daemon on loopback port 0 for TCP and UDP, with these options added; `how` as for Twistd."""
        return self.twistd("echotime", "--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0", *args, shared=shared, **how)

    def late_replies(self, *, shared: bool = False) -> Twistd:
        """Start the daemon with replies that come late."""
        return self.application("late_replies.tac", shared=shared)

    def application(self, name: str, *, shared: bool = False) -> Twistd:
        """Start a daemon from a .tac file of tests/integration."""
        ours = () if self.reactor else ("-r", "echotime")
        return self.twistd(*ours, "-y", str(Path(__file__).parents[1] / "integration" / name), shared=shared)

    def refused(self, *args: str, prefix: tuple[str, ...] = ()) -> Ended:
        """Return how a daemon ends that cannot start, and fail if it prints a traceback."""
        ended = self.twistd("echotime", *args, prefix=prefix).wait()
        self.assertNotIn("Traceback", ended.out + ended.err)
        return ended

    def twistd_in_daemon_mode(self, directory: str, *args: str, before: tuple[str, ...] = ()) -> Ended:
        """Run `twistd` in a directory without -n and return how it ends; the test has to end the daemon.

        `before` are options of twistd.
        """
        command = [*TWISTD[:2], *self.reactor, *before, "echotime", *args]
        ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=LIMIT, check=False)
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def served(self, child: Twistd) -> Ended:
        """Stop a daemon and check that it ended cleanly; return its output."""
        ended = child.stop()
        self.assertEqual(ended.status, -signal.SIGTERM, ended.err)
        self.assertNotIn("Traceback", ended.out + ended.err)
        self.assertNotIn("after the last one ended", ended.out, "connections that are over leave a place")
        return ended

    def need(self, *programs: str) -> None:
        """Skip the test if a program is not installed."""
        for program in programs:
            if self.which(program) is None:
                self.skipTest(f"{program} is not installed")

    @staticmethod
    def which(program: str) -> str | None:
        """Return the path of a program; system programs are found without root, too."""
        return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
