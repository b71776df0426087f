"""Run each attack against a fresh daemon and print a table of the figures: `python -m tests.hostile.attack`.

The numbers are those of the list of threats; + marks attacks beyond that list. The exit status is 1 if a target was
missed or an attack failed, 0 otherwise. Attacks that could not run are reported.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.machine import made_with
from benchmarks.processes import LOAD_CPU, allow_many_sockets
from tests.hostile.attacks import beyond, connections, contents, datagrams, floods, loops, options, streams
from tests.hostile.daemons import Daemons
from tests.hostile.figures import Figure, Result, markdown, plain
from tests.hostile.network import CannotMake

Attack = Callable[[Daemons], Iterator[Figure]]
ATTACKS: tuple[tuple[str, Attack, str], ...] = (
    ("0.6", connections.burst, "in 0.5 s of 200: openbsd-inetd 151, plain Twisted 173"),
    ("0.7", connections.three_parts, "44 ms with Nagle's algorithm"),
    ("3.1", loops.two_hosts, "plain Twisted: without end, 4,000 to 15,000/s"),
    ("3.1", loops.slow_path, "with a limit of the rate alone: without end"),
    ("3.1", loops.with_echo, "xinetd 100, then off for all for 10 s"),
    ("3.1", loops.with_itself, "plain Twisted: without end, 119,143/s"),
    ("3.1", loops.with_loopback, ""),
    ("3.2", datagrams.amplification, ""),
    ("3.3", datagrams.broadcast, "answered by all that were tried"),
    ("3.4", datagrams.victim, "chrony: every fourth, by chance"),
    ("3.5", streams.never_reads, "plain Twisted +354 MB, of 400 MB"),
    ("3.6", floods.stall, "plain Twisted: longest 2,040 ms"),
    ("3.7", datagrams.icmp_errors, "plain Twisted: hung after the first"),
    ("3.8", floods.log, "plain Twisted 651 bytes each"),
    ("3.9", contents.printable, "ncat: as they came"),
    ("3.10", connections.descriptors, "plain Twisted 0 %"),
    ("3.11", connections.silent, "inetds: no limit of idle time"),
    ("3.11", connections.idle, "inetds 62 to 205 KB, plain Twisted 2 KB"),
    ("3.12", connections.flood, "xinetd: off for all for 10 s"),
    ("3.13", datagrams.hijack, "plain SO_REUSEADDR: the other user has it all"),
    ("3.14", connections.dead_resolver, "xinetd 10,000 ms"),
    ("3.15", streams.half_close, "plain Twisted 10 of 10, 19,264 of 5,000,000; ncat 7.93 10 of 10"),
    ("3.15", streams.late_replies, "inetds all; socat and plain Twisted none"),
    ("3.16", streams.stop_while_sending, ""),
    ("3.17", datagrams.secondary_address, "chrony yes; inetds and plain Twisted no"),
    ("3.19", contents.years, ""),
    ("3.20", connections.unattended, ""),
    ("7", options.by_name, "socat: 82 settable, none readable, none explained"),
    ("+1", beyond.half_connections, ""),
    ("+2", beyond.suspects, ""),
    ("+3", beyond.single_bytes, ""),
    ("+4", beyond.resets, ""),
    ("+5", beyond.vanishing_link, ""),
)
"""Number, attack, and how other servers did when the list was made."""
_MOST_OF_A_FAILURE = 300
INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell reports it."""


def parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m tests.hostile.attack",
        description="Attack the daemon in every known way, and measure the effect.",
    )
    made.add_argument(
        "--only", action="append", default=[], choices=list(dict.fromkeys(number for number, _, _ in ATTACKS)),
        metavar="NUMBER", help="run the attacks with this number, as 3.5; repeatable",
    )  # fmt: skip
    made.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    made.add_argument("--list", action="store_true", help="list the attacks and exit")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the attacks and return the exit status."""
    options = parser().parse_args(arguments)
    if options.list:
        print("\n".join(threat(number, attack) for number, attack, _ in ATTACKS))
        return 0
    if reason := allow_many_sockets():
        print(reason, file=sys.stderr)
    # a signal to this process must end the daemons and the networks, too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # the daemons run on the other CPU
    os.sched_setaffinity(0, {LOAD_CPU})
    began = time.monotonic()
    daemons = Daemons(pinned=True)
    chosen = [each for each in ATTACKS if not options.only or each[0] in options.only]
    try:
        results = [carried_out(threat(number, each), each, daemons, others) for number, each, others in chosen]
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    print(", ".join(f"{name} {value}" for name, value in made_with().items()))
    print(f"{time.monotonic() - began:.0f} s in all\n")
    print((markdown if options.markdown else plain)(results))
    return 0 if all(each.met for each in results) else 1


def threat(number: str, attack: Attack) -> str:
    """Return the number of a threat and its name, the docstring's text before the colon."""
    name, _, _ = (attack.__doc__ or "").partition(":")
    return f"{number} {name}"


def carried_out(name: str, attack: Attack, daemons: Daemons, others: str = "") -> Result:
    """Run an attack and return its result; show progress on standard error."""
    print(name, end=" ", file=sys.stderr, flush=True)
    began = time.monotonic()
    figures: list[Figure] = []
    not_measured = failure = ""
    try:
        for each in attack(daemons):
            figures.append(each)
    except (CannotMake, PermissionError) as error:
        not_measured = str(error)
    except Exception as error:
        failure = " ".join(f"{type(error).__name__}: {error}".split())[:_MOST_OF_A_FAILURE]
    result = Result(name, figures, not_measured, failure, others)
    outcome = ", ".join(filter(None, [not_measured, failure, "" if result.met else "MISSED"])) or "done"
    print(f"{outcome}, {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
