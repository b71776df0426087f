"""Restart two daemons in turn behind a balancer, while clients come, and count the clients that are lost.

``python -m tests.balancers.rolling [BALANCER [RESTARTS]]``: by default, 10 restarts behind HAProxy.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import NamedTuple

from tests.balancers.balancers import (
    ALICE,
    BALANCERS,
    PROXY,
    READY,
    Address,
    Balancer,
    Running,
    free_address,
)
from tests.support.plain_clients import ACKNOWLEDGEMENT, one_shot
from tests.support.twistd_process import LIMIT, Twistd

STOP_DELAY = 8
"""Seconds: longer than two failed checks of the examples."""
_CLIENTS = 3
_PAUSE = 0.005
"""Seconds between two connections of a client, so that they leave some CPU time to the rest."""


class Clients:
    """Connect again and again from several threads, and record the answers that are not complete."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._stop = threading.Event()
        self.served = 0
        self.lost: list[str] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(_CLIENTS)]
        for each in self._threads:
            each.start()

    def _run(self) -> None:
        while not self._stop.wait(_PAUSE):
            try:
                answer = one_shot(self._address, b"hello", ALICE)
            except OSError as error:
                self.lost.append(str(error))
            else:
                if answer == b"hello" + ACKNOWLEDGEMENT:
                    self.served += 1
                else:
                    self.lost.append(repr(answer))

    def end(self) -> None:
        """Stop connecting, and wait for the last answers."""
        self._stop.set()
        for each in self._threads:
            each.join(LIMIT)


class Result(NamedTuple):
    """Hold the number of clients, and what those got that were lost."""

    served: int
    lost: list[str]


def start(address: Address, stop_delay: int) -> Twistd:
    """Start a daemon with the options of the examples, and wait until it listens."""
    place = "{}:{}".format(*address)
    options = ("--proxy-protocol", PROXY, "--quiet", READY, "--stop-delay", str(stop_delay), "--log-message-rate", "0")
    daemon = Twistd("echotime", "--tcp", place, *options)
    daemon.address("TCP")
    return daemon


def roll(balancer: Balancer, restarts: int, stop_delay: int = STOP_DELAY) -> Result:
    """Return how clients fared during restarts, each of which begins when both daemons serve."""
    first = free_address()
    addresses = [first, free_address(first[1])]
    daemons = [start(each, stop_delay) for each in addresses]
    running = Running(balancer, addresses)
    clients = None
    try:
        running.wait_until_it_serves()
        clients = Clients(running.address)
        for number in range(restarts):
            index = number % 2
            daemons[index].stop()
            daemons[index] = start(addresses[index], stop_delay)
            daemons[index].line(f"connection from {ALICE}")
    finally:
        if clients is not None:
            clients.end()
        running.end()
        for each in daemons:
            each.kill()
    return Result(clients.served, clients.lost)


def main() -> int:
    """Return 1 if a client was lost."""
    name, restarts, delay, *_ = [*sys.argv[1:], *("haproxy", "10", str(STOP_DELAY))[len(sys.argv) - 1 :]]
    began = time.monotonic()
    result = roll(BALANCERS[name], int(restarts), int(delay))
    print(
        f"{name}: {restarts} restarts in {time.monotonic() - began:.0f} s with --stop-delay {delay}: "
        f"{len(result.lost)} of {result.served + len(result.lost)} clients lost"
    )
    for each in sorted(set(result.lost)):
        print(f"  {result.lost.count(each)} x {each}")
    return 1 if result.lost else 0


if __name__ == "__main__":
    sys.exit(main())
