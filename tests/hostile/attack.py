"""`python -m tests.hostile.attack`: each attack against a fresh daemon, and a table of what was measured.

The numbers are those of the list of threats that the defences were built for; + marks what was tried beyond it.
The exit status is 1 if a target was missed or an attack failed, 0 otherwise; what could not be carried out is told.
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
ATTACKS: tuple[tuple[str, Attack], ...] = (
    ("0.6", connections.burst),
    ("0.7", connections.three_parts),
    ("3.1", loops.two_hosts),
    ("3.1", loops.slow_path),
    ("3.1", loops.with_echo),
    ("3.1", loops.with_itself),
    ("3.2", datagrams.amplification),
    ("3.3", datagrams.broadcast),
    ("3.4", datagrams.victim),
    ("3.5", streams.never_reads),
    ("3.6", floods.stall),
    ("3.7", datagrams.icmp_errors),
    ("3.8", floods.log),
    ("3.9", contents.printable),
    ("3.10", connections.descriptors),
    ("3.11", connections.silent),
    ("3.11", connections.idle),
    ("3.12", connections.flood),
    ("3.13", datagrams.hijack),
    ("3.14", connections.dead_resolver),
    ("3.15", streams.half_close),
    ("3.15", streams.late_words),
    ("3.16", streams.stop_while_sending),
    ("3.17", datagrams.secondary_address),
    ("3.19", contents.years),
    ("3.20", connections.unattended),
    ("7", options.by_name),
    ("+1", beyond.half_connections),
    ("+2", beyond.suspects),
    ("+3", beyond.single_bytes),
    ("+4", beyond.resets),
    ("+5", beyond.vanishing_link),
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m tests.hostile.attack",
        description="Attacks the daemon in every way that is known, and measures what comes of it.",
    )
    made.add_argument("--only", action="append", default=[], metavar="NUMBER", help="these, as 3.5; repeatable")
    made.add_argument("--transport", choices=["fast", "stock"], default="fast", help="default %(default)s")
    made.add_argument("--markdown", action="store_true", help="the table as documents have it")
    made.add_argument("--list", action="store_true", help="say which there are")
    return made


def main(words: Sequence[str] | None = None) -> int:
    """The exit status."""
    asked = parser().parse_args(words)
    if asked.list:
        print("\n".join(threat(number, attack) for number, attack in ATTACKS))
        return 0
    if reason := allow_many_sockets():
        print(reason, file=sys.stderr)
    # whoever ends us ends the daemons and the networks too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # the daemons are put on the other one
    os.sched_setaffinity(0, {LOAD_CPU})
    began = time.monotonic()
    daemons = Daemons("--transport", asked.transport, pinned=True)
    chosen = [each for each in ATTACKS if not asked.only or each[0] in asked.only]
    results = [carried_out(threat(*each), each[1], daemons) for each in chosen]
    print(", ".join(f"{name} {value}" for name, value in made_with().items()))
    print(f"transport {asked.transport}, {time.monotonic() - began:.0f} s in all\n")
    print((markdown if asked.markdown else plain)(results))
    return 0 if all(each.met for each in results) else 1


def threat(number: str, attack: Attack) -> str:
    """Its number and its name, which begins its docstring."""
    name, _, _ = (attack.__doc__ or "").partition(":")
    return f"{number} {name}"


def carried_out(name: str, attack: Attack, daemons: Daemons) -> Result:
    """What became of it; told on standard error as well, as it takes its time."""
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
        failure = f"{type(error).__name__}: {error}"
    result = Result(name, figures, not_measured, failure)
    told = ", ".join(filter(None, [not_measured, failure, "" if result.met else "MISSED"])) or "done"
    print(f"{told}, {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
