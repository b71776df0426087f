"""`python -m benchmarks.beside`: how long a datagram and an operator wait while 500 connections keep the server busy.

The one who asks shares its processor with the load, so part of the waiting is its own.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.build import BuildFailed, build_c
from benchmarks.processes import server_process
from benchmarks.rounds import LoadFailed, go, is_done, loading, told
from benchmarks.servers import ACKNOWLEDGEMENT, DidNotStart, echotime_port, port_said, twistd_echotime

_CONNECTIONS = 500
_MOST = 5000
_STATUS = b"".join(len(each).to_bytes(2, "big") + each for each in (b"_ask", b"1", b"_command", b"Status")) + b"\0\0"
"""An operator's question, as AMP writes it."""
_PATIENCE = 20


def main() -> int:
    """Print a table; the exit status is 0 when all was measured."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=__doc__)
    made.add_argument("--seconds", type=float, default=2.0, metavar="S", help="of load, default %(default)s")
    made.add_argument("--output", type=Path, default=Path("build/bench"), metavar="DIR", help="default %(default)s")
    asked = made.parse_args()
    try:
        build_c(asked.output / "bin")
        rows = [row for transport in ("fast", "stock") for row in measured(transport, asked.output, asked.seconds)]
    except (BuildFailed, DidNotStart, LoadFailed, OSError) as failure:
        print(f"cannot measure: {failure}", file=sys.stderr)
        return 1
    table = "\n".join([f"Beside {_CONNECTIONS} busy connections, in microseconds: median / 99 %", *rows, ""])
    (asked.output / "beside.txt").write_text(table, encoding="utf-8")
    print(table, end="")
    return 0


def measured(transport: str, folder: Path, seconds: float) -> Iterator[str]:
    """A row for each that asks."""
    with tempfile.TemporaryDirectory() as place:
        control = str(Path(place) / "control")
        log = Path(place) / "log"
        command = twistd_echotime("--transport", transport, "--control", control)
        with server_process(command, log) as server, contextlib.ExitStack() as stack:
            tcp, udp = (port_said("echotime", server, log, echotime_port(kind)) for kind in ("tcp", "udp"))
            datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            datagrams.connect(("127.0.0.1", udp))
            operator = stack.enter_context(socket.socket(socket.AF_UNIX))
            operator.connect(control)
            for name, sock, question in (("datagram", datagrams, b"?"), ("operator", operator, _STATUS)):
                sock.settimeout(_PATIENCE)
                alone = _asked(sock, question, lambda: False)
                with loading(folder, "echo", str(tcp), str(seconds), str(_CONNECTIONS), ACKNOWLEDGEMENT) as load:
                    go(load)
                    beside = _asked(sock, question, lambda: is_done(load))
                    told(load)
                yield f"{transport:6}{name:10}alone {_shown(alone)}   beside {_shown(beside)}"


def _asked(sock: socket.socket, question: bytes, over: Callable[[], bool]) -> list[float]:
    took = []
    for _ in range(_MOST):
        began = time.perf_counter()
        sock.send(question)
        sock.recv(4096)
        took.append((time.perf_counter() - began) * 1e6)
        if over():
            break
    return took


def _shown(took: list[float]) -> str:
    return f"{statistics.median(took):.0f} / {statistics.quantiles(took, n=100)[98]:.0f}"


if __name__ == "__main__":
    sys.exit(main())
