"""The measurement: each workload in rounds, and in a round every server once, so that the machine's noise meets all.

A server runs through all rounds of a workload. An idle one is started anew for each, since its memory would else be
that of the round before.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import cpu_seconds, resident_bytes
from benchmarks.processes import LOAD_CPU, on_cpu
from benchmarks.results import Figures, Outcome
from benchmarks.servers import DidNotStart, Running, Server, running
from benchmarks.workloads import Workload

WARM_UP = 0.2
"""Seconds of load before the first round."""


class LoadFailed(Exception):
    """A wrong byte, a missing answer, or the load itself could not go on."""


@dataclass(frozen=True)
class Bench:
    """Where things are, and how long each measurement takes."""

    folder: Path
    seconds: float

    def measure(
        self, workload: Workload, servers: Sequence[Server], rounds: int, tell: Callable[[str], None]
    ) -> Outcome:
        """All rounds of a workload. A server that fails takes no further part."""
        servers = [server for server in servers if workload.name not in server.leaves_out]
        outcome = Outcome(workload, {server.name: [] for server in servers})
        with contextlib.ExitStack() as stack:
            up: dict[str, Running] = {}
            for server in servers:
                with self._failures(outcome, server, tell):
                    if not workload.idles:
                        up[server.name] = stack.enter_context(self._running(server, workload))
                        self._loaded(workload, up[server.name], WARM_UP)
            for _ in range(rounds):
                for server in servers:
                    if server.name in outcome.failures:
                        continue
                    with self._failures(outcome, server, tell):
                        figures = (
                            self._idled(workload, server)
                            if workload.idles
                            else self._loaded(workload, up[server.name], self.seconds)
                        )
                        outcome.rounds[server.name].append(figures)
        return outcome

    def _running(self, server: Server, workload: Workload) -> contextlib.AbstractContextManager[Running]:
        log = self.folder / "logs" / f"{server.name}-{workload.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        return running(server, workload.kind, self.folder / "bin", log)

    @contextlib.contextmanager
    def _failures(self, outcome: Outcome, server: Server, tell: Callable[[str], None]) -> Iterator[None]:
        try:
            yield
        except (DidNotStart, LoadFailed, OSError) as failure:
            outcome.failures[server.name] = str(failure)
            tell(f"{server.name} failed at {outcome.workload.name}: {failure}")

    def _loaded(self, workload: Workload, server: Running, seconds: float) -> Figures:
        with self._load(workload, server, seconds) as load:
            before = cpu_seconds(server.pid)
            go(load)
            figures = told(load)
            figures["cpu_seconds"] = cpu_seconds(server.pid) - before
        return {**figures, "per_cpu_second": figures["work"] / figures["cpu_seconds"]}

    def _idled(self, workload: Workload, server: Server) -> Figures:
        with self._running(server, workload) as up:
            empty = resident_bytes(up.pid)
            with self._load(workload, up, 0) as load:
                full = resident_bytes(up.pid)
                before = cpu_seconds(up.pid)
                time.sleep(self.seconds)
                spent = cpu_seconds(up.pid) - before
                go(load)
                told(load)  # each echoes once more, so all were alive
        return {
            "rss_per_connection": (full - empty) / workload.number,
            "rss_empty": empty,
            "rss_full": full,
            "cpu_share": spent / self.seconds,
            "seconds": self.seconds,
        }

    def _load(
        self, workload: Workload, server: Running, seconds: float
    ) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
        words = [str(server.port), str(seconds), str(workload.number), server.server.acknowledgement]
        return loading(self.folder, workload.load, *words)


@contextlib.contextmanager
def loading(folder: Path, name: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A load that has all its sockets, waits to be told to start, and keeps them until it is left."""
    pipe = subprocess.PIPE
    with on_cpu(LOAD_CPU):
        command = [str(folder / "bin" / f"load-{name}"), *words]
        load = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    with load:
        try:
            if _line(load) != "ready\n":
                raise LoadFailed(_complaint(load))
            yield load
        finally:
            load.communicate()


def go(load: subprocess.Popen[str]) -> None:
    """Tell it to start."""
    assert load.stdin is not None
    load.stdin.write("go\n")
    load.stdin.flush()


def is_done(load: subprocess.Popen[str]) -> bool:
    """Whether it has said, or ended."""
    assert load.stdout is not None
    return bool(select.select([load.stdout], [], [], 0)[0])


def told(load: subprocess.Popen[str]) -> Figures:
    """What it says when it is done. Raises LoadFailed."""
    if not (line := _line(load)):
        raise LoadFailed(_complaint(load))
    figures: Figures = json.loads(line)
    return figures


def _line(load: subprocess.Popen[str]) -> str:
    """Waits as long as the load lives, which its own alarm bounds."""
    assert load.stdout is not None
    return load.stdout.readline()


def _complaint(load: subprocess.Popen[str]) -> str:
    assert load.stderr is not None
    return load.stderr.read().strip() or f"the load ended with status {load.wait()}"
