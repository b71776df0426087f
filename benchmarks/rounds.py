"""Measure each workload in rounds. Every server has its turn in each round, so that noise affects all.

The order of the servers is reversed in every other round, so that a slower machine favors none. A server runs
through all rounds of a workload. In the idle workload it starts anew each round, since memory used in the round
before would not be counted again.
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
from benchmarks.processes import LOAD_CPU, on_cpus
from benchmarks.results import Figures, Outcome
from benchmarks.servers import DidNotStart, Running, Server, load_cpus, running
from benchmarks.workloads import Workload

WARM_UP = 0.2
"""Seconds of load before the first round."""


class LoadFailed(Exception):
    """Report a wrong byte, a missing answer, or an error of the load itself."""


@dataclass(frozen=True)
class Bench:
    """Measure workloads, with files in `folder`, and `seconds` for each measurement."""

    folder: Path
    seconds: float

    def measure(
        self, workload: Workload, servers: Sequence[Server], rounds: int, print_error: Callable[[str], None]
    ) -> Outcome:
        """Measure all rounds of a workload. A server that fails takes no further part."""
        servers = [server for server in servers if workload.name not in server.leaves_out]
        outcome = Outcome(workload, {server.name: [] for server in servers})
        with contextlib.ExitStack() as stack:
            up: dict[str, Running] = {}
            for server in servers:
                with self._failures(outcome, server, print_error):
                    if not workload.idles:
                        up[server.name] = stack.enter_context(self._running(server, workload))
                        self._loaded(workload, up[server.name], WARM_UP)
            for number in range(rounds):
                for server in servers if number % 2 == 0 else reversed(servers):
                    if server.name in outcome.failures:
                        continue
                    with self._failures(outcome, server, print_error):
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
    def _failures(self, outcome: Outcome, server: Server, print_error: Callable[[str], None]) -> Iterator[None]:
        try:
            yield
        except (DidNotStart, LoadFailed, OSError) as failure:
            outcome.failures[server.name] = str(failure)
            print_error(f"{server.name} failed at {outcome.workload.name}: {failure}")

    def _loaded(self, workload: Workload, server: Running, seconds: float) -> Figures:
        """Return the figures of the last load that did any work, with the work of all loads."""
        with contextlib.ExitStack() as stack:
            cpus = load_cpus(server.server)
            loads = [stack.enter_context(self._load(workload, server, seconds, cpu)) for cpu in cpus]
            before = [cpu_seconds(pid) for pid in server.pids]
            for load in loads:
                start(load)
            figures = [read_figures(load) for load in loads]
            spent = [cpu_seconds(pid) - then for pid, then in zip(server.pids, before, strict=True)]
        work = sum(each["work"] for each in figures)
        return {
            **{name: figure for each in figures for name, figure in each.items()},
            "work": work,
            "cpu_seconds": sum(spent),
            "busiest_share": max(spent) / sum(spent),
            "per_cpu_second": work / sum(spent),
        }

    def _idled(self, workload: Workload, server: Server) -> Figures:
        with self._running(server, workload) as up:
            (pid,) = up.pids
            empty = resident_bytes(pid)
            with self._load(workload, up, 0) as load:
                full = resident_bytes(pid)
                before = cpu_seconds(pid)
                time.sleep(self.seconds)
                spent = cpu_seconds(pid) - before
                start(load)
                read_figures(load)  # each connection echoes once more, so all were alive
        return {
            "rss_per_connection": (full - empty) / workload.number,
            "rss_empty": empty,
            "rss_full": full,
            "cpu_share": spent / self.seconds,
            "seconds": self.seconds,
        }

    def _load(
        self, workload: Workload, server: Running, seconds: float, cpu: int = LOAD_CPU
    ) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
        arguments = [str(server.port), str(seconds), str(workload.number), server.server.acknowledgement]
        return loading(self.folder, workload.load, *arguments, cpu=cpu)


@contextlib.contextmanager
def loading(folder: Path, name: str, *arguments: str, cpu: int = LOAD_CPU) -> Iterator[subprocess.Popen[str]]:
    """Run a load, from when all its sockets are open. It waits for start(), and keeps its sockets until the end."""
    pipe = subprocess.PIPE
    with on_cpus(cpu):
        command = [str(folder / "bin" / f"load-{name}"), *arguments]
        load = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    with load:
        try:
            if _line(load) != "ready\n":
                raise LoadFailed(_complaint(load))
            yield load
        finally:
            load.communicate()


def start(load: subprocess.Popen[str]) -> None:
    """Let a load begin its work."""
    assert load.stdin is not None
    load.stdin.write("go\n")
    load.stdin.flush()


def is_done(load: subprocess.Popen[str]) -> bool:
    """Return True when a load has printed its figures, or ended."""
    assert load.stdout is not None
    return bool(select.select([load.stdout], [], [], 0)[0])


def read_figures(load: subprocess.Popen[str]) -> Figures:
    """Wait for the figures of a load, and return them. Raises LoadFailed."""
    if not (line := _line(load)):
        raise LoadFailed(_complaint(load))
    figures: Figures = json.loads(line)
    return figures


def _line(load: subprocess.Popen[str]) -> str:
    """Wait for a line; the load's own alarm bounds the time."""
    assert load.stdout is not None
    return load.stdout.readline()


def _complaint(load: subprocess.Popen[str]) -> str:
    assert load.stderr is not None
    return load.stderr.read().strip() or f"the load ended with status {load.wait()}"
