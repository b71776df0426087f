"""Measure how long small requests wait while a load keeps the daemon busy: `python -m benchmarks.beside`.

The requesting process shares its CPU with the load. It has real-time priority (man 7 sched) where the system allows
it. Elsewhere it also waits for the load, and the table says so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.build import BuildFailed, build_c
from benchmarks.processes import LOAD_CPU, on_cpus, server_process
from benchmarks.report import aligned
from benchmarks.rounds import LoadFailed, is_done, loading, read_figures, start
from benchmarks.servers import ACKNOWLEDGEMENT, DidNotStart, echotime_port, reported_port, twistd_echotime

_LOADS = {"500 busy connections": ("echo", 500), "8 streams": ("stream", 8)}
"""Name and number of each load."""
_REACTORS = {"echotime": None, "echotime-epoll": "epoll"}
_STATUS = b"".join(len(each).to_bytes(2, "big") + each for each in (b"_ask", b"1", b"_command", b"Status")) + b"\0\0"
"""A status command of the control protocol, encoded in AMP."""
_MESSAGE = b"x" * 100
_MOST = 5000
"""Largest number of requests per measurement."""
_PATIENCE = 20
"""Seconds to wait for an answer."""


@dataclass(frozen=True)
class Question:
    """Send a request on its own socket; an answer is complete when it ends with `ending`."""

    name: str
    sock: socket.socket
    data: bytes
    ending: bytes

    def wait(self) -> float:
        """Send the request and return the microseconds until the answer."""
        began = time.perf_counter()
        self.sock.send(self.data)
        answer = self.sock.recv(65536)
        while not answer.endswith(self.ending):
            if not (more := self.sock.recv(65536)):
                raise LoadFailed(f"{self.name}: end of file before the answer")
            answer += more
        return (time.perf_counter() - began) * 1e6


def main() -> int:
    """Print a table; the exit status is 0 if everything was measured."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=__doc__)
    made.add_argument("--seconds", type=float, default=2.0, metavar="S", help="of load, default %(default)s")
    made.add_argument("--output", type=Path, default=Path("build/bench"), metavar="DIR", help="default %(default)s")
    options = made.parse_args()
    try:
        build_c(options.output / "bin")
        rows = [row for name in _REACTORS for row in measured(name, options.output, options.seconds)]
    except (BuildFailed, DidNotStart, LoadFailed, OSError) as failure:
        print(f"cannot measure: {failure}", file=sys.stderr)
        return 1
    title = f"Microseconds to an answer: median / 99 % / most; sent {_priority()}"
    header = ["", "alone", *(f"beside {load}" for load in _LOADS)]
    table = "\n".join([title, *aligned([header, *rows]), ""])
    (options.output / "beside.txt").write_text(table, encoding="utf-8")
    print(table)
    return 0


def measured(name: str, folder: Path, seconds: float) -> Iterator[list[str]]:
    """Run a daemon, and yield a row for each kind of request."""
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        control, log = str(Path(place) / "control"), Path(place) / "log"
        command = twistd_echotime("--control", control, reactor=_REACTORS[name])
        server = stack.enter_context(server_process(command, log))
        tcp, udp = (reported_port("echotime", server, log, echotime_port(kind)) for kind in ("tcp", "udp"))
        for question in questions(stack, tcp, udp, control):
            cells = [_shown(_waits(question, lambda: False))]
            for load_name, number in _LOADS.values():
                arguments = (str(tcp), str(seconds), str(number), ACKNOWLEDGEMENT)
                with loading(folder, load_name, *arguments) as load:
                    start(load)
                    cells.append(_shown(_waits(question, lambda: is_done(load))))
                    read_figures(load)
            yield [f"{name} {question.name}", *cells]


def questions(stack: contextlib.ExitStack, tcp: int, udp: int, control: str) -> Iterator[Question]:
    """Connect to both ports and to the control socket."""
    for name, family, kind, address, data, ending in (
        ("datagram", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", udp), b"?", b""),
        ("echo", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", tcp), _MESSAGE, ACKNOWLEDGEMENT.encode()),
        ("operator", socket.AF_UNIX, socket.SOCK_STREAM, control, _STATUS, b"\0\0"),
    ):
        sock = stack.enter_context(socket.socket(family, kind))
        sock.settimeout(_PATIENCE)
        sock.connect(address)
        yield Question(name, sock, data, ending)


def _priority() -> str:
    with _requesting() as first:
        return "with real-time priority" if first else "at normal priority, so the load delays the client, too"


@contextlib.contextmanager
def _requesting() -> Iterator[bool]:
    """Run on the load's CPU, ahead of the load if the system allows it; yield whether it does."""
    with on_cpus(LOAD_CPU):
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        except PermissionError:
            yield False
            return
        try:
            yield True
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _waits(question: Question, over: Callable[[], bool]) -> list[float]:
    waits: list[float] = []
    with _requesting():
        while len(waits) < _MOST and not over():
            waits.append(question.wait())
    return waits


def _shown(waits: list[float]) -> str:
    most_of_them = statistics.quantiles(waits, n=100, method="inclusive")[98]
    return f"{statistics.median(waits):.0f} / {most_of_them:.0f} / {max(waits):.0f}"


if __name__ == "__main__":
    sys.exit(main())
