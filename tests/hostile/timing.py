"""Latencies as the daemon makes them, not as whoever else is on our CPU does."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, read_exactly
from tests.support.twistd_process import Twistd

_PAUSE = 0.001


@contextlib.contextmanager
def first_in_line() -> Iterator[None]:
    """Run as soon as there is something to do, ahead of floods on the same CPU, where that is allowed."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Echo(NamedTuple):
    """One round trip."""

    seconds: float
    of_the_daemon: float
    """What it spent on its CPU meanwhile, on whatever: who else was on that CPU is left out."""


def echoes(daemon: Twistd, seconds: float, word: bytes = b"") -> list[Echo]:
    """Round trips of one connection, one after the other with a pause in between, for so long."""
    found: list[Echo] = []
    expected = b"x" + ACKNOWLEDGEMENT + word
    clock = _cpu_clock(daemon.process.pid)
    with connect(daemon.address("TCP")) as sock, first_in_line():
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            spent, began = time.clock_gettime(clock), time.perf_counter()
            sock.sendall(b"x")
            assert read_exactly(sock, len(expected)) == expected
            found.append(Echo(time.perf_counter() - began, time.clock_gettime(clock) - spent))
            # ahead of a flood on our CPU, there would be none without it
            time.sleep(_PAUSE)
    return found


def _cpu_clock(pid: int) -> int:
    """The clock of what a process spends, exact while it runs. See clock_getcpuclockid(3)."""
    return ~pid << 3 | 2


def seconds_of(act: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def settled(number: Callable[[], int], quiet: float = 0.5, longest: float = 10.0) -> int:
    """A number, once it has not changed for `quiet` seconds, or after `longest`."""
    pause = threading.Event()
    last, since = number(), time.monotonic()
    until = since + longest
    while time.monotonic() < min(until, since + quiet):
        pause.wait(quiet / 10)
        if (now := number()) != last:
            last, since = now, time.monotonic()
    return last


def wait_until(holds: Callable[[], bool], longest: float = 20.0) -> None:
    """Until it does. Raises TimeoutError."""
    pause = threading.Event()
    until = time.monotonic() + longest
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {longest:g} s")
        pause.wait(0.005)
