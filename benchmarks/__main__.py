"""`python -m benchmarks`: builds everything, measures it in rounds, and reports."""

from __future__ import annotations

import argparse
import functools
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.bars import judged
from benchmarks.build import BuildFailed, build_c
from benchmarks.machine import made_with
from benchmarks.plot import draw
from benchmarks.processes import allow_many_sockets
from benchmarks.report import text
from benchmarks.results import Results
from benchmarks.rounds import Bench
from benchmarks.servers import SERVERS, Server, chosen
from benchmarks.workloads import WORKLOADS

_INTERRUPTED = 130
"""The exit status, as that of a shell."""
_tell = functools.partial(print, file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Work per second of server CPU time: echotime, and others that do the same, on loopback.",
    )
    made.add_argument("--rounds", type=int, default=5, metavar="N", help="default %(default)s")
    made.add_argument(
        "--seconds", type=float, default=0.7, metavar="S", help="of each measurement, default %(default)s"
    )
    made.add_argument(
        "--only", action="append", default=[], choices=[each.name for each in WORKLOADS], metavar="WORKLOAD",
        help="this workload; repeatable",
    )  # fmt: skip
    made.add_argument(
        "--server", action="append", default=[], choices=[each.name for each in SERVERS], metavar="NAME",
        help="this server; repeatable",
    )  # fmt: skip
    made.add_argument("--output", type=Path, default=Path("build/bench"), metavar="DIR", help="default %(default)s")
    made.add_argument("--list", action="store_true", help="say which workloads and servers there are")
    return made


def main(words: Sequence[str] | None = None) -> int:
    """The exit status: 0 when all was measured, 1 when something failed; whether bars are reached does not count."""
    asked = parser().parse_args(words)
    if asked.list:
        print(listing())
        return 0
    if asked.rounds < 1 or asked.seconds <= 0:
        parser().error("at least one round, of more than 0 seconds")
    if reason := allow_many_sockets():
        _tell(f"idle-10000 will fail: {reason}")
    try:
        build_c(asked.output / "bin")
    except (BuildFailed, OSError) as failure:
        _tell(f"cannot measure: {failure}")
        return 1
    servers, left_out = chosen(asked.server, asked.output / "bin", _tell)
    # whoever ends us ends the servers too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = measured(asked, servers, left_out)
    except KeyboardInterrupt:
        _tell("interrupted")
        return _INTERRUPTED
    report(results, asked.output)
    return 1 if results.failed else 0


def listing() -> str:
    """Workloads and servers."""
    lines = [f"{each.name:12}{each.what}" for each in WORKLOADS]
    return "\n".join([*lines, "", "servers: " + ", ".join(each.name for each in SERVERS)])


def measured(asked: argparse.Namespace, servers: Sequence[Server], left_out: dict[str, str]) -> Results:
    """Run all that was asked for."""
    bench = Bench(asked.output, asked.seconds)
    outcomes = []
    for workload in WORKLOADS:
        if asked.only and workload.name not in asked.only:
            continue
        _tell(f"{workload.name}: {workload.what}")
        outcomes.append(bench.measure(workload, servers, asked.rounds, _tell))
    return Results(asked.rounds, asked.seconds, made_with(), servers, left_out, outcomes)


def report(results: Results, folder: Path) -> None:
    """Print the tables, and leave them in files."""
    tables = text(results)
    everything = {**results.as_json(), "bars": [{**asdict(bar), "reached": bar.reached} for bar in judged(results)]}
    print(tables)
    (folder / "results.txt").write_text(tables, encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    try:
        draw(results, folder / "results.svg")
    except ImportError:
        _tell("no results.svg: matplotlib is not installed")


if __name__ == "__main__":
    sys.exit(main())
