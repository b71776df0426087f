"""Run honest and hostile clients together against one daemon: `python -m tests.hostile.soak SECONDS`.

At the end the honest clients have lost nothing, and the daemon's connections, descriptors and memory are back where
they were. Otherwise the exit status is 1. Replies come from late_replies.tac: most at once, some two seconds later,
some never.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.attack import INTERRUPTED
from tests.hostile.daemons import Complained, Daemons, control, descriptors
from tests.hostile.figures import Figure, Result, exactly, plain
from tests.hostile.harm import HARM, Harm
from tests.hostile.honest import CLIENTS, Client, Tally, Target
from tests.hostile.suspects import send_answers
from tests.hostile.timing import wait_until
from tests.support.twistd_process import Twistd

_REPLIES = Path(__file__).parents[1] / "integration" / "late_replies.tac"
_SHORTEST = 5.0
_WARM_UP = 0.25
"""Share of the time after which the daemon's memory should have stopped growing."""
_LONGEST_WARM_UP = 20.0
_SOURCES = 12_000
"""More sources than the loop guard remembers."""
_PAUSE = 0.01
"""Seconds between two turns of a hostile client, which shares a CPU with the honest ones."""
_MB = 1_000_000
_MOST_WRONG = 5
"""Errors that are kept for each kind of client."""


@dataclass
class Soak:
    """Load one daemon with all clients; `control` is its control socket."""

    daemon: Twistd
    control: Path
    tallies: dict[str, Tally]
    harm: dict[str, int]

    def load(self, seconds: float) -> None:
        """Run all clients for `seconds`; honest ones finish their last turn."""
        over = threading.Event()
        target = Target(self.daemon.address("TCP"), self.daemon.address("UDP"), over)
        threads = [
            threading.Thread(
                target=self._run, args=(client, target, f"127.0.{1 + each}.{kind + 1}", self.tallies[name])
            )
            for kind, (name, client) in enumerate(CLIENTS.items())
            for each in range(2)
        ]
        threads += [
            threading.Thread(target=self._harm, args=(name, make(target, f"127.0.9.{kind + 1}", random.Random(kind))))
            for kind, (name, make) in enumerate(HARM.items())
        ]
        for thread in threads:
            thread.start()
        try:
            over.wait(seconds)
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _run(self, client: Client, target: Target, source: str, tally: Tally) -> None:
        chance = random.Random(source)
        while not target.over.is_set() and len(tally.wrong) < _MOST_WRONG:
            try:
                client(target, source, tally, chance)
            except (OSError, AssertionError) as error:
                tally.wrong.append(f"{type(error).__name__}: {error}")
            else:
                tally.done += 1

    def _harm(self, name: str, harm: Harm) -> None:
        try:
            while not harm.target.over.wait(_PAUSE):
                with suppress(OSError):
                    harm.turn()
                self.harm[name] = self.harm.get(name, 0) + 1
        finally:
            harm.close()

    def fill(self) -> None:
        """Make the loop guard remember as many sources as it can."""
        with suppress(PermissionError):
            send_answers(self.daemon.address("UDP"), _SOURCES, 1)

    def settle(self) -> tuple[int, int, int]:
        """Wait until no client is connected; return open connections, descriptors and resident bytes."""
        with suppress(TimeoutError):
            wait_until(lambda: not self._open())
        return self._open(), descriptors(self.daemon), self.daemon.resident()

    def _open(self) -> int:
        return int(control(self.control, "status")["connections"])


@contextmanager
def soaking(daemons: Daemons) -> Iterator[Soak]:
    """Start the daemon for a soak. Raises Complained if it wrote a traceback."""
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory()), "control")
        control = ("env", f"ECHOTIME_CONTROL={path}")
        daemon = stack.enter_context(daemons.run("-r", "echotime", "-y", str(_REPLIES), prefix=control))
        daemon.line("listening on control socket")
        yield Soak(daemon, path, {name: Tally() for name in CLIENTS}, {})


def soaked(soak: Soak, seconds: float, most_growth: float) -> Iterator[Result]:
    """Yield the results of a soak; `most_growth` is the accepted growth of memory in MB."""
    warm_up = min(_LONGEST_WARM_UP, _WARM_UP * seconds)
    soak.load(warm_up)
    soak.fill()
    before = soak.settle()
    soak.load(seconds - warm_up)
    after = soak.settle()
    for name, tally in soak.tallies.items():
        yield Result(
            f"honest: {name}",
            (
                Figure("served", tally.done, least=1),
                Figure("bytes received, each compared", tally.received),
                *((Figure("options again", tally.again),) if tally.again else ()),
                exactly("lost or wrong", len(tally.wrong), 0),
            ),
            failure="; ".join(tally.wrong),
        )
    yield Result("hostile", [Figure(f"{name}: turns", number) for name, number in sorted(soak.harm.items())])
    counters = control(soak.control, "counters")
    yield Result("served in all", [Figure(name, counters[name]) for name in ("connections", "messages", "datagrams")])
    yield Result(
        "the daemon, after",
        (
            exactly("open connections", after[0], 0),
            exactly("descriptors more than before", after[1] - before[1], 0),
            Figure("memory more than before", max(0, after[2] - before[2]) / _MB, "MB", most=most_growth),
        ),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.hostile.soak", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("seconds", type=float, nargs="?", default=300, help="default %(default)s, at least 5")
    options = parser.parse_args(arguments)
    if not options.seconds >= _SHORTEST:
        parser.error(f"seconds: expected at least {_SHORTEST:g}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if os.geteuid():
        print("raw sockets require root: no packets will be forged", file=sys.stderr)
    try:
        with soaking(Daemons()) as soak:
            results = list(soaked(soak, options.seconds, most_growth=2))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Complained as complaint:
        print(complaint, file=sys.stderr)
        return 1
    print(plain(results))
    return 0 if all(each.met for each in results) else 1


if __name__ == "__main__":
    sys.exit(main())
