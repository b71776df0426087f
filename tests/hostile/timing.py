"""Measure latencies of the daemon, apart from the load of other processes."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, read_exactly
from tests.support.twistd_process import LIMIT, Twistd

_PAUSE = 0.001


@contextlib.contextmanager
def first_in_line() -> Iterator[None]:
    """Run at a real-time priority, ahead of floods on the same CPU, if that is allowed."""
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
    """Hold the duration of one round trip."""

    seconds: float
    of_the_daemon: float
    """CPU time of the daemon in that period, which excludes other processes on its CPU."""


def echoes(daemon: Twistd, seconds: float, reply: bytes = b"") -> list[Echo]:
    """Measure round trips on one connection for `seconds`, with a pause after each."""
    found: list[Echo] = []
    expected = b"x" + ACKNOWLEDGEMENT + reply
    clock = _cpu_clock(daemon.process.pid)
    with connect(daemon.address("TCP")) as sock, first_in_line():
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            spent, began = time.clock_gettime(clock), time.perf_counter()
            sock.sendall(b"x")
            assert read_exactly(sock, len(expected)) == expected
            found.append(Echo(time.perf_counter() - began, time.clock_gettime(clock) - spent))
            # a flood on our CPU runs only while we pause
            time.sleep(_PAUSE)
    return found


def _cpu_clock(pid: int) -> int:
    """Return the CPU-time clock of a process, exact while it runs. See clock_getcpuclockid(3)."""
    return ~pid << 3 | 2


def seconds_of(act: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def settled(number: Callable[[], int], quiet: float = 0.5, longest: float = LIMIT) -> int:
    """Return a number that has not changed for `quiet` seconds, or its value after `longest`."""
    pause = threading.Event()
    last, since = number(), time.monotonic()
    until = since + longest
    while time.monotonic() < min(until, since + quiet):
        pause.wait(quiet / 10)
        if (now := number()) != last:
            last, since = now, time.monotonic()
    return last


def wait_until(holds: Callable[[], bool], longest: float = LIMIT) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    pause = threading.Event()
    until = time.monotonic() + longest
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {longest:g} s")
        pause.wait(0.005)
