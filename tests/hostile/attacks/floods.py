"""Flood the daemon with datagrams, and measure the cost for the TCP service and the log."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from functools import partial

from tests.hostile.daemons import Daemons
from tests.hostile.figures import Figure, exactly
from tests.hostile.flooding import flooded
from tests.hostile.forging import Address, forge, raw_socket
from tests.hostile.network import hosts
from tests.hostile.timing import echoes
from tests.support.plain_clients import ask_time

_BURST = 50
"""Datagrams between two requests of an honest client, few enough not to fill the receive buffer."""
UNANSWERABLE = {
    "port 0": ("10.77.0.1", 0),
    "a broadcast source": ("10.77.0.255", 4000),
    "an unroutable source": ("192.0.2.1", 4000),
}


def stall(daemons: Daemons, seconds: float = 2.0) -> Iterator[Figure]:
    """Short datagrams: Twisted's port reads for as long as they arrive, and all other connections wait."""
    with daemons.start("--log-message-rate", "0") as daemon:
        for size in (0, 1):
            with flooded(daemon.address("UDP"), size):
                found = echoes(daemon, seconds)
            median = 1000 * statistics.median(each.seconds for each in found)
            longest = 1000 * max(each.of_the_daemon for each in found)
            of = f"TCP echo in a flood of {size}-byte datagrams"
            yield Figure(f"{of}: median", median, "ms", most=3, timed=True)
            yield Figure(f"{of}: longest stall, in CPU time of the daemon", longest, "ms", most=10, timed=True)


def log(daemons: Daemons, number: int = 10_000) -> Iterator[Figure]:
    """Log flooding: each unanswerable datagram costs Twisted a traceback, 23 log bytes per byte received."""
    for what, source in UNANSWERABLE.items():
        # without a rate limit, so that the daemon tries to answer each datagram
        unlimited = ("--udp-rate", "0")
        with hosts(1) as (host,), daemons.start(*unlimited, prefix=host.prefix, host=host.address) as daemon:
            address = daemon.address("UDP")
            host.run(partial(ask_time, address))
            before = len(daemon.text())
            host.run(partial(_forged, source, address, number))
            ended = daemon.stop()
            written = len(ended.out) + len(ended.err) - before
        yield Figure(f"log for {number} datagrams from {what}", written, "bytes", most=2000)
        yield Figure("for each", written / number, "bytes", most=0.2)
        yield exactly("counted", counted(ended.out), number)


def _forged(source: Address, to: Address, number: int) -> None:
    with raw_socket() as raw:
        for _ in range(number // _BURST):
            for _ in range(_BURST):
                forge(source, to, by=raw)
            ask_time(to)


def counted(out: str) -> int:
    """Return the number of datagrams that were refused or could not be answered, as logged at the stop."""
    counts = re.findall(r"datagrams refused \([^)]*\): (\d+)(?:;|$)", out, re.MULTILINE)
    for failures in re.findall(r"datagrams not answered: (.*)", out):
        counts += re.findall(r": (\d+)(?:,|$)", failures)
    return sum(map(int, counts))
