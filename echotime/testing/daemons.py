"""Run daemons as child processes of a test suite. Each ends with the suite, even if that is killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from weakref import WeakSet

Address = tuple[str, int]
"""Host and port, as for socket.connect()."""

_START_LIMIT = 60.0
"""Seconds for a start, which takes half a second on an idle machine."""
_STOP_LIMIT = 10.0
_END_LIMIT = 1.0
"""Seconds for the end of a process whose sockets are closed already."""
_CHILD = """\
import sys
sys.path = [each for each in sys.path if each]  # modules of the current directory could replace others
import fcntl, os, select, signal
fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
fcntl.fcntl(0, fcntl.F_SETSIG, signal.SIGTERM)
fcntl.fcntl(0, fcntl.F_SETFL, os.O_ASYNC)
if select.select([0], [], [], 0)[0]:
    sys.exit("the process that started this daemon has ended")
from twisted.scripts.twistd import run
run()
"""
"""The program of the child. Its standard input is a pipe, and nothing is written to that.

When the process with the other end has ended, the kernel sends SIGTERM (F_SETSIG of fcntl(2)). PR_SET_PDEATHSIG of
prctl(2) would send it already when the thread that started the child has ended.
"""
_pipes: WeakSet[IO[bytes]] = WeakSet()
"""The ends of these pipes that the process holds."""


def _close_pipes() -> None:
    """Close the pipes in a worker made by fork(2). The daemons would run until the worker has ended, too."""
    for each in list(_pipes):
        each.close()


os.register_at_fork(after_in_child=_close_pipes)


class DaemonProcess:
    """Start a daemon with the options `args` on free ports of 127.0.0.1, and wait until it listens.

    Raises RuntimeError with the daemon's output if it ends instead, as after a faulty option.
    """

    def __init__(self, args: Sequence[str] = ()) -> None:
        # the path of a Unix socket must be short, and those of pytest are long
        self._directory = Path(tempfile.mkdtemp(prefix="echotime-"))
        self.control = str(self._directory / "control")
        """The path of the control socket."""
        self._log_path = self._directory / "log"
        port_file = self._directory / "ports.json"
        command = [sys.executable, "-c", _CHILD, "--nodaemon", "--pidfile=", "echotime"]
        command += ["--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--drain-timeout", "0", *args]
        command += ["--control", self.control, "--port-file", str(port_file)]
        try:
            with self._log_path.open("wb") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C is for the tests, which then stop the daemon
                    start_new_session=True,
                )
        except BaseException:
            self._remove_files()
            raise
        assert self._process.stdin is not None
        self._pipe = self._process.stdin
        _pipes.add(self._pipe)
        try:
            self._wait_for(port_file)
            ports = json.loads(port_file.read_bytes())
        except BaseException:
            self.stop()
            raise
        self.tcp: Address = (ports["tcp"][0]["host"], ports["tcp"][0]["port"])
        self.udp: Address = (ports["udp"][0]["host"], ports["udp"][0]["port"])

    @property
    def is_running(self) -> bool:
        """Return True until the process has ended."""
        return self._process.poll() is None

    def fate(self) -> str:
        """Return what has become of a process that does not respond. Its sockets are closed before it has ended."""
        try:
            status = self._process.wait(_END_LIMIT)
        except subprocess.TimeoutExpired:
            return "the daemon does not respond"
        return f"the daemon has ended by signal {-status}" if status < 0 else f"the daemon has ended, status {status}"

    @property
    def log_size(self) -> int:
        """Return the length of the log in bytes."""
        return self._log_path.stat().st_size

    def log(self, start: int = 0) -> str:
        """Return the log from the byte `start` on."""
        with self._log_path.open("rb") as log:
            log.seek(start)
            return log.read().decode(errors="backslashreplace")

    def stop(self) -> None:
        """End the process, and remove its files."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._pipe.close()
        self._remove_files()

    def _remove_files(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def _wait_for(self, port_file: Path) -> None:
        deadline = time.monotonic() + _START_LIMIT
        while not port_file.exists():
            try:
                status = self._process.wait(0.01)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                status = None
            outcome = f"did not start within {_START_LIMIT:.0f} s" if status is None else f"ended with status {status}"
            raise RuntimeError(f"the echotime daemon {outcome}:\n{self.log()}")


class Daemons:
    """Keep a daemon for each set of options, because a start takes long beside a test."""

    def __init__(self) -> None:
        self._daemons: dict[tuple[str, ...], DaemonProcess] = {}

    def running(self, args: Sequence[str]) -> DaemonProcess:
        """Return a daemon with these options that runs: the last one, or a new one if there is none or it has ended."""
        if not isinstance(args, (list, tuple)) or not all(isinstance(each, str) for each in args):
            raise TypeError(f"expected a list of strings, such as ['--reply', 'ok'], not {args!r}")
        key = tuple(args)
        daemon = self._daemons.get(key)
        if daemon is not None and not daemon.is_running:
            self._daemons.pop(key).stop()
            daemon = None
        if daemon is None:
            daemon = self._daemons[key] = DaemonProcess(key)
        return daemon

    def stop(self) -> None:
        """Stop all daemons, and remove their files."""
        while self._daemons:
            self._daemons.popitem()[1].stop()
