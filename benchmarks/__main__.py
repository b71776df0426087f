"""Build everything, measure it in rounds, and report: `python -m benchmarks`."""

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
"""Exit status after Ctrl-C, as a shell reports it."""
_print_error = functools.partial(print, file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
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
    made.add_argument("--list", action="store_true", help="list the workloads and servers and exit")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; return 0 if everything was measured, 1 if something failed. Missed bars do not count."""
    options = parser().parse_args(arguments)
    if options.list:
        print(listing())
        return 0
    if options.rounds < 1 or options.seconds <= 0:
        parser().error("at least one round, of more than 0 seconds")
    if reason := allow_many_sockets():
        _print_error(f"idle-10000 will fail: {reason}")
    try:
        build_c(options.output / "bin")
    except (BuildFailed, OSError) as failure:
        _print_error(f"cannot measure: {failure}")
        return 1
    servers, left_out = chosen(options.server, options.output / "bin")
    # the servers must end with this process
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = measured(options, servers, left_out)
    except KeyboardInterrupt:
        _print_error("interrupted")
        return _INTERRUPTED
    report(results, options.output)
    return 1 if results.failed else 0


def listing() -> str:
    """Return a list of the workloads and servers."""
    lines = [f"{each.name:12}{each.what}" for each in WORKLOADS]
    return "\n".join([*lines, "", "servers: " + ", ".join(each.name for each in SERVERS)])


def measured(options: argparse.Namespace, servers: Sequence[Server], left_out: dict[str, str]) -> Results:
    """Measure the chosen workloads on these servers."""
    bench = Bench(options.output, options.seconds)
    outcomes = []
    for workload in WORKLOADS:
        if options.only and workload.name not in options.only:
            continue
        _print_error(f"{workload.name}: {workload.what}")
        outcomes.append(bench.measure(workload, servers, options.rounds, _print_error))
    return Results(options.rounds, options.seconds, made_with(), servers, left_out, outcomes)


def report(results: Results, folder: Path) -> None:
    """Write the tables to files and print them; they end with what is missing."""
    tables = text(results)
    everything = {**results.as_json(), "bars": [{**asdict(bar), "reached": bar.reached} for bar in judged(results)]}
    (folder / "results.txt").write_text(tables, encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    try:
        draw(results, folder / "results.svg")
    except ImportError:
        _print_error("no results.svg: matplotlib is not installed: pip install -e '.[bench]'")
    print(tables, end="")


if __name__ == "__main__":
    sys.exit(main())
