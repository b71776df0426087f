"""daemon/reload.py: slices, between which the reactor turns. tests/integration/test_config.py has what is changed."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from typing import Any, cast

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.python.usage import UsageError

from echotime.config.settings import Settings
from echotime.daemon.reload import MAX_SLICE, ReloadResult, ReloadService

STEP = MAX_SLICE / 4
"""Seconds that each step of reading takes here."""
TURN = 1e-6
"""Seconds that a turn of the reactor takes besides."""


def turning_clock() -> Any:
    """Return a clock on which what is due at once is due in the next turn, as in a reactor."""
    clock: Any = cast(Any, Clock())
    later = clock.callLater
    clock.callFromThread = lambda act: act()
    clock.callLater = lambda delay, *call: later(delay or TURN, *call)
    return clock


class Bench:
    """A ReloadService whose file takes some steps to read, on a clock; each step moves the clock by what it takes.

    It is the RuntimeConfig, too: `changes` has what it is asked to change. `told` has what the service manager is told.
    """

    def __init__(self) -> None:
        self.clock = turning_clock()
        self.steps = 100
        self.backlog = 1
        self.fault = ""
        self.reads = 0
        self.longest = 0.0
        self.changes: list[int] = []
        self.told: list[bool] = []
        self.service = ReloadService(Settings(), self.read, self, self.clock, self.told.append)

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
        """As RuntimeConfig."""
        self.changes.append(new.backlog)
        return ReloadResult(new, ["backlog"], [])

    def turn(self) -> None:
        """Turn the reactor once, and note how long it is held."""
        before = self.clock.seconds()
        self.clock.advance(TURN)
        self.longest = max(self.longest, self.clock.seconds() - before)

    def finish(self) -> int:
        """Turn until nothing is left to do; return how many turns it took."""
        turns = 0
        while self.clock.getDelayedCalls():
            self.turn()
            turns += 1
        return turns


@pytest.fixture
def bench() -> Iterator[Bench]:
    """One that is started."""
    made, before = Bench(), signal.getsignal(signal.SIGHUP)
    made.service.startService()
    yield made
    if made.service.running:
        made.service.stopService()
    signal.signal(signal.SIGHUP, before)
    assert not made.clock.getDelayedCalls()


@pytest.mark.parametrize("steps", [100, 10_000])
def test_slices(bench: Bench, steps: int) -> None:
    """A longer file takes more turns of the reactor, not longer ones; the end is told after the change."""
    bench.steps = steps
    signal.raise_signal(signal.SIGHUP)
    assert (bench.told, bench.changes) == ([True], [])
    assert bench.finish() > steps * STEP / MAX_SLICE / 2
    assert bench.longest < MAX_SLICE + 2 * STEP
    assert (bench.told, bench.changes) == ([True, False], [1])


def test_short_file(bench: Bench) -> None:
    """One that is read within a slice is dealt with at once."""
    bench.steps = 1
    bench.service.reload()
    assert (bench.told, bench.changes) == ([True, False], [1])


def test_again(bench: Bench) -> None:
    """Signals that come meanwhile are followed by one reload more, which sees the file as it is then."""
    bench.service.reload()
    bench.turn()
    bench.backlog = 2
    for _ in range(3):
        signal.raise_signal(signal.SIGHUP)
    bench.finish()
    assert (bench.reads, bench.changes, bench.told) == (2, [1, 2], [True, False, True, False])
    assert bench.service.settings.backlog == 2
    bench.service.reload()
    bench.finish()
    assert bench.reads == 3


def test_stop(bench: Bench) -> None:
    """A stop gives a reload up: nothing is changed, and the service manager is not told that the daemon is ready."""
    bench.service.reload()
    signal.raise_signal(signal.SIGHUP)
    bench.turn()
    bench.service.stopService()
    assert not bench.clock.getDelayedCalls()
    signal.raise_signal(signal.SIGHUP)
    bench.service.reload()
    assert (bench.reads, bench.changes, bench.told) == (1, [], [True])


def test_faulty(bench: Bench, clean_reactor: list[LogEvent]) -> None:
    """A faulty file changes nothing; each fault is a line of the log, and the end is told. So with a bug of ours."""
    bench.fault = "one\ntwo"
    bench.service.reload()
    bench.finish()
    assert [each["fault"] for each in clean_reactor] == ["one", "two"]
    assert (bench.changes, bench.told) == ([], [True, False])
    clean_reactor.clear()
    bench.fault = ""
    bench.apply = None  # type: ignore[assignment,method-assign]
    bench.service.reload()
    bench.finish()
    assert [each["log_format"] for each in clean_reactor] == ["reload failed"]
    clean_reactor.clear()
    assert bench.told == [True, False] * 2
    del bench.apply
    bench.service.reload()
    bench.finish()
    assert bench.changes == [1]


def test_closed_steps(bench: Bench) -> None:
    """What reads is closed with the reload that is given up."""
    closed: list[Any] = []

    def read() -> Generator[None, None, Settings]:
        try:
            while True:
                bench.clock.rightNow += STEP
                yield
        finally:
            closed.append(True)

    bench.service._reparse = read
    bench.service.reload()
    bench.service.stopService()
    assert closed
