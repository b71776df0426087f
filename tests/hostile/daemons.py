"""Start a fresh daemon for each attack, and check that it ends cleanly."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.processes import SERVER_CPU
from tests.support.tool_case import TOOL, environment
from tests.support.twistd_process import LIMIT, TWISTD, Ended, Twistd


class Complained(Exception):
    """Report a daemon that did not end by our signal, or wrote a traceback."""


class Daemons:
    """Start daemons with `options` added; `pinned` keeps them on one CPU, apart from the attacker."""

    def __init__(self, *options: str, pinned: bool = False) -> None:
        self._options = options
        self._pinned = pinned

    @contextlib.contextmanager
    def start(
        self, *options: str, prefix: tuple[str, ...] = (), host: str = "127.0.0.1", stdin: int = subprocess.DEVNULL
    ) -> Iterator[Twistd]:
        """Start a daemon with both services on a host's address. Raises Complained at the end."""
        addresses = ("--tcp", f"{host}:0", "--udp", f"{host}:0")
        with self.run("echotime", *addresses, "--drain-timeout", "0", *options, prefix=prefix, stdin=stdin) as child:
            yield child

    @contextlib.contextmanager
    def run(self, *arguments: str, prefix: tuple[str, ...] = (), stdin: int = subprocess.DEVNULL) -> Iterator[Twistd]:
        """Start twistd with any arguments; the options are added to those of echotime."""
        added = self._options if arguments[0] == "echotime" else ()
        child = Twistd(*arguments, *added, prefix=prefix, stdin=stdin)
        try:
            if self._pinned:
                os.sched_setaffinity(child.process.pid, {SERVER_CPU})
            child.address("TCP")
            child.address("UDP")
            yield child
            ended = child.ended or child.stop()
        finally:
            child.kill()
        if ended.status != -signal.SIGTERM or "Traceback" in ended.out + ended.err:
            raise Complained(f"the daemon ended with {ended.status}:\n{ended.out[-2000:]}\n{ended.err[-2000:]}")

    def refused(self, *options: str) -> Ended:
        """Return how a daemon ends that cannot start with these options."""
        child = Twistd("echotime", *options, *self._options)
        try:
            return child.wait()
        finally:
            child.kill()

    def knows(self, option: str) -> bool:
        """Return True if the daemon has an option."""
        return f"{option}=" in _help()


@functools.cache
def _help() -> str:
    command = [*TWISTD, "echotime", "--help"]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True).stdout


def descriptors(child: Twistd) -> int:
    """Return the number of open descriptors of a daemon."""
    return len(list(Path(f"/proc/{child.process.pid}/fd").iterdir()))


def control(path: Path, *arguments: str) -> Any:
    """Return the decoded output of `echotime control --json` for a daemon's control socket."""
    command = [*TOOL, "control", "--socket", str(path), "--json", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True, env=environment({}))
    return json.loads(ended.stdout)
