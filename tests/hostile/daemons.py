"""The daemon as an attack needs it: a fresh one each time, told where to run, held to end well."""

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
    """A daemon ended otherwise than by our signal, or wrote a traceback."""


class Daemons:
    """Starts them with `options` added; `pinned` keeps them on one CPU, apart from whoever attacks."""

    def __init__(self, *options: str, pinned: bool = False) -> None:
        self._options = options
        self._pinned = pinned

    @contextlib.contextmanager
    def start(
        self, *options: str, prefix: tuple[str, ...] = (), host: str = "127.0.0.1", stdin: int = subprocess.DEVNULL
    ) -> Iterator[Twistd]:
        """A daemon with both services on a host's address. Raises Complained, once all else went well."""
        addresses = ("--tcp", f"{host}:0", "--udp", f"{host}:0")
        with self.run("echotime", *addresses, "--drain-timeout", "0", *options, prefix=prefix, stdin=stdin) as child:
            yield child

    @contextlib.contextmanager
    def run(self, *words: str, prefix: tuple[str, ...] = (), stdin: int = subprocess.DEVNULL) -> Iterator[Twistd]:
        """The same for any arguments of twistd; options are added to those of echotime."""
        added = self._options if words[0] == "echotime" else ()
        child = Twistd(*words, *added, prefix=prefix, stdin=stdin)
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
        """Whether the daemon has an option."""
        return f"{option}=" in _help()


@functools.cache
def _help() -> str:
    command = [*TWISTD, "echotime", "--help"]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True).stdout


def descriptors(child: Twistd) -> int:
    """How many it has open."""
    return len(list(Path(f"/proc/{child.process.pid}/fd").iterdir()))


def control(path: Path, *words: str) -> Any:
    """What `echotime control --json` says of a daemon with a control socket."""
    command = [*TOOL, "control", "--socket", str(path), "--json", *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True, env=environment({}))
    return json.loads(ended.stdout)
