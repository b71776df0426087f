"""Test daemon/reload.py: a reload runs in slices between turns of the reactor.

tests/integration/test_config.py has the changes that a reload makes.
"""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from typing import Any, cast

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.python.usage import UsageError

from echotime.config.settings import Settings
from echotime.daemon.hangup import MIN_INTERVAL
from echotime.daemon.reload import MAX_SLICE, ReloadService
from echotime.daemon.runtime_config import ReloadResult

STEP = MAX_SLICE / 4
"""Seconds that each step of reading takes."""
TURN = 1e-6
"""Seconds that a turn of the reactor takes besides."""


def turning_clock() -> Any:
    """Return a clock on which calls without a delay run in the next turn, as in a reactor."""
    clock: Any = cast(Any, Clock())
    later = clock.callLater
    clock.callFromThread = lambda act: act()
    clock.callLater = lambda delay, *call: later(delay or TURN, *call)
    return clock


class ReloadHarness:
    """Run a ReloadService whose file takes many steps to read, on a clock that each step advances.

    The harness is the RuntimeConfig, too: `changes` has the settings to apply. `notified` has the calls for the
    service manager, and `results` the outcomes of the reloads.
    """

    def __init__(self) -> None:
        self.clock = turning_clock()
        self.steps = 100
        self.backlog = 1
        self.fault = ""
        self.reads = 0
        self.longest = 0.0
        self.changes: list[int] = []
        self.notified: list[bool] = []
        self.results: list[bool] = []
        self.service = ReloadService(Settings(), self.read, self, self.clock, self.notified.append, self.results.append)

    def read(self) -> Generator[None, None, Settings]:
        """Read `backlog` at once, and then take time."""
        self.reads += 1
        settings = Settings(backlog=self.backlog)
        for _ in range(self.steps):
            self.clock.rightNow += STEP
            yield
        if self.fault:
            raise UsageError(self.fault)
        return settings

    def apply(self, old: Settings, new: Settings) -> ReloadResult:
        """Record the change, as RuntimeConfig would apply it."""
        self.changes.append(new.backlog)
        return ReloadResult(new, ["backlog"], [])

    def turn(self) -> None:
        """Turn the reactor once, and record how long it was blocked."""
        before = self.clock.seconds()
        self.clock.advance(TURN)
        self.longest = max(self.longest, self.clock.seconds() - before)

    def finish(self) -> int:
        """Turn until nothing is left to do, and return the number of turns."""
        turns = 0
        while calls := self.clock.getDelayedCalls():
            self.clock.rightNow = max(self.clock.rightNow, min(each.getTime() for each in calls) - TURN)
            self.turn()
            turns += 1
        return turns


@pytest.fixture
def harness() -> Iterator[ReloadHarness]:
    """Provide a harness with a started service."""
    made, before = ReloadHarness(), signal.getsignal(signal.SIGHUP)
    made.service.startService()
    yield made
    if made.service.running:
        made.service.stopService()
    signal.signal(signal.SIGHUP, before)
    made.finish()


@pytest.mark.parametrize("steps", [100, 10_000])
def test_slices(harness: ReloadHarness, steps: int) -> None:
    """A longer file takes more turns of the reactor, not longer ones; the end is notified after the change."""
    harness.steps = steps
    signal.raise_signal(signal.SIGHUP)
    assert (harness.notified, harness.changes) == ([True], [])
    assert harness.finish() > steps * STEP / MAX_SLICE / 2
    assert harness.longest < MAX_SLICE + 2 * STEP
    assert (harness.notified, harness.changes) == ([True, False], [1])


def test_short_file(harness: ReloadHarness) -> None:
    """A file that is read within one slice is applied at once."""
    harness.steps = 1
    harness.service.reload()
    assert (harness.notified, harness.changes) == ([True, False], [1])


def test_again(harness: ReloadHarness) -> None:
    """Signals during a reload cause one more reload, which reads the file as it is then."""
    signal.raise_signal(signal.SIGHUP)
    harness.turn()
    harness.backlog = 2
    for _ in range(1000):
        signal.raise_signal(signal.SIGHUP)
    harness.finish()
    assert (harness.reads, harness.changes, harness.notified) == (2, [1, 2], [True, False, True, False])
    assert harness.service.settings.backlog == 2
    signal.raise_signal(signal.SIGHUP)
    harness.finish()
    assert harness.reads == 3


def test_many_signals(harness: ReloadHarness) -> None:
    """Any number of signals causes one reload, and one more after an interval."""
    harness.steps = 1
    for _ in range(1000):
        signal.raise_signal(signal.SIGHUP)
    harness.clock.advance(MIN_INTERVAL / 2)
    assert harness.reads == 1
    harness.finish()
    assert harness.reads == 2
    # the kernel may deliver a second signal before the handler of the first blocks it
    harness.service._on_signal(signal.SIGHUP, None)
    harness.service._on_signal(signal.SIGHUP, None)
    assert harness.reads == 3


def test_stop(harness: ReloadHarness) -> None:
    """A stop abandons a reload: nothing is changed, and READY is not notified."""
    harness.service.reload()
    signal.raise_signal(signal.SIGHUP)
    harness.turn()
    harness.service.stopService()
    signal.raise_signal(signal.SIGHUP)
    harness.service.reload()
    harness.finish()
    assert (harness.reads, harness.changes, harness.notified) == (1, [], [True])


def test_faulty(harness: ReloadHarness, clean_reactor: list[LogEvent]) -> None:
    """A faulty file, or a bug, changes nothing; each fault is logged, and the end is notified."""
    harness.fault = "one\ntwo"
    harness.service.reload()
    harness.finish()
    assert [each["fault"] for each in clean_reactor] == ["one", "two"]
    assert (harness.changes, harness.notified) == ([], [True, False])
    clean_reactor.clear()
    harness.fault = ""
    harness.apply = None  # type: ignore[assignment,method-assign]
    harness.service.reload()
    harness.finish()
    assert [each["log_format"] for each in clean_reactor] == ["reload failed"]
    clean_reactor.clear()
    assert harness.notified == [True, False] * 2
    del harness.apply
    harness.service.reload()
    harness.finish()
    assert harness.changes == [1]
    assert harness.results == [False, False, True]


def test_closed_steps(harness: ReloadHarness) -> None:
    """An abandoned reload closes its generator."""
    closed: list[Any] = []

    def read() -> Generator[None, None, Settings]:
        try:
            while True:
                harness.clock.rightNow += STEP
                yield
        finally:
            closed.append(True)

    harness.service._reparse = read
    harness.service.reload()
    harness.service.stopService()
    assert closed
