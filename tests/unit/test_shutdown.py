"""Test daemon/shutdown.py: the first and the second reason to stop, in any order and however close."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock

from echotime.daemon import shutdown
from echotime.daemon.shutdown import GRACE_PERIOD, ShutdownController
from echotime.health.readiness import Readiness

_DRAIN = 7
_DELAY = 30


class Process(Clock):
    """Stand for a reactor and the signals of a process, and record events."""

    ITIMER_REAL = signal.ITIMER_REAL
    SIGALRM = signal.SIGALRM
    SIG_IGN = signal.SIG_IGN
    Signals = signal.Signals

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []
        self.timers: dict[int, float] = {}
        self.meanwhile: Callable[[], object] = lambda: None
        self._handlers: dict[int, Any] = dict.fromkeys((signal.SIGTERM, signal.SIGINT), self._twisted)

    def _twisted(self, number: int, frame: object) -> None:
        self.meanwhile()
        self.noted.append("stopped by a signal")
        self.stopping_signal = number

    def arrive(self, number: int) -> None:
        """Call the handler of a signal."""
        if self._handlers[number] is not signal.SIG_IGN:
            self._handlers[number](number, None)

    def getsignal(self, number: int) -> Any:
        return self._handlers[number]

    def signal(self, number: int, handler: Any) -> None:
        self._handlers[number] = handler

    def setitimer(self, which: int, seconds: float, interval: float = 0) -> None:
        self.timers[which] = seconds

    def stop(self) -> None:
        self.noted.append("stopped")

    def callWhenRunning(self, call: Callable[[], object]) -> None:  # noqa: N802 - Twisted's name
        """Call at once: the reactor runs."""
        call()

    def callFromThread(  # noqa: N802 - Twisted's name
        self, call: Callable[..., object], *arguments: str, **values: str
    ) -> None:
        """Call at once: this is the reactor's thread."""
        call(*arguments, **values)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    """Provide a process with a stubbed environment."""
    found = Process()
    monkeypatch.setattr(shutdown, "signal", found)
    monkeypatch.setattr(shutdown, "call_on_memory_error", lambda callback, reactor: None)
    monkeypatch.setattr(shutdown, "ignore_signals", lambda reactor: None)
    monkeypatch.setattr(shutdown, "release_signals", lambda: None)
    monkeypatch.setattr(shutdown, "report_runtime_failure", found.noted.append)
    return found


@pytest.fixture
def ends(process: Process) -> ShutdownController:
    """Provide a controller that records when the daemon ends at once."""
    found = ShutdownController(process, lambda: _DRAIN, Readiness(process))
    found.on_second_signal(lambda: process.noted.append("ended"))
    return found


def test_two_signals(process: Process, ends: ShutdownController) -> None:
    """The first signal is handled by Twisted, a second one ends the daemon at once, and further ones are ignored."""
    process.arrive(signal.SIGTERM)
    assert process.noted == ["stopped by a signal"]
    for _ in range(1000):
        process.arrive(signal.SIGINT)
    assert process.noted == ["stopped by a signal", "ended"]


def test_a_signal_within_another(process: Process, ends: ShutdownController) -> None:
    """A signal during the handling of the first counts as the second."""
    process.meanwhile = lambda: process.arrive(signal.SIGINT)
    process.arrive(signal.SIGTERM)
    assert process.noted == ["ended", "stopped by a signal"]


def test_failures(process: Process, ends: ShutdownController) -> None:
    """A failure stops the daemon within a time limit and is reported once; a later signal is the second."""
    ends.fail("why")
    ends.fail("another")
    assert process.noted == ["why", "stopped"]
    assert process.timers[signal.ITIMER_REAL] == GRACE_PERIOD + _DRAIN
    assert callable(process.getsignal(signal.SIGALRM)), "the timer ends the process"
    process.arrive(signal.SIGTERM)
    assert process.noted == ["why", "stopped", "ended"]


def test_failure_after_a_signal(process: Process, ends: ShutdownController) -> None:
    """A failure after a signal is reported, and the stop continues."""
    process.arrive(signal.SIGTERM)
    ends.fail("why")
    assert process.noted == ["stopped by a signal", "why"]


def test_at_once(process: Process, ends: ShutdownController) -> None:
    """An immediate failure ends the daemon at once."""
    ends.fail("why", immediate=True)
    assert process.noted == ["why", "stopped", "ended"]
    assert process.timers[signal.ITIMER_REAL] == GRACE_PERIOD


def test_at_once_while_it_stops(process: Process, ends: ShutdownController) -> None:
    """An immediate failure ends also a daemon that is stopping."""
    ends.fail("why")
    ends.fail("worse", immediate=True)
    assert process.noted == ["why", "stopped", "ended"]
    assert process.timers[signal.ITIMER_REAL] == GRACE_PERIOD


@pytest.fixture
def delayed(process: Process, ends: ShutdownController) -> ShutdownController:
    """Provide such a controller with a stop delay."""
    ends.stop_delay = _DELAY
    return ends


def test_delay(process: Process, delayed: ShutdownController) -> None:
    """With a delay, the first signal withdraws readiness at once, and is handled by Twisted after the delay."""
    readiness = delayed._readiness
    assert (readiness.is_ready, readiness.seconds_left) == (True, None)
    process.arrive(signal.SIGTERM)
    assert (readiness.is_ready, readiness.seconds_left) == (False, _DELAY)
    process.advance(_DELAY - 1)
    assert (process.noted, readiness.seconds_left) == ([], 1)
    process.advance(1)
    assert (process.noted, process.stopping_signal) == (["stopped by a signal"], signal.SIGTERM)
    process.arrive(signal.SIGTERM)
    assert process.noted == ["stopped by a signal", "ended"], "a signal after the delay ends the drain"


def test_signals_end_the_delay(process: Process, delayed: ShutdownController) -> None:
    """A second signal ends the delay, a third one the drain. The timer of the delay stops nothing again."""
    process.arrive(signal.SIGTERM)
    process.arrive(signal.SIGINT)
    assert process.noted == ["stopped by a signal"]
    process.advance(_DELAY)
    assert process.noted == ["stopped by a signal"]
    for _ in range(1000):
        process.arrive(signal.SIGTERM)
    assert process.noted == ["stopped by a signal", "ended"]


def test_failure_during_the_delay(process: Process, delayed: ShutdownController) -> None:
    """A failure does not wait for the end of the delay, nor do later signals begin another one."""
    process.arrive(signal.SIGTERM)
    delayed.fail("why")
    assert process.noted == ["why", "stopped"]
    assert process.timers[signal.ITIMER_REAL] == GRACE_PERIOD + _DRAIN
    process.advance(_DELAY)
    assert process.noted == ["why", "stopped"]
    process.arrive(signal.SIGTERM)
    assert process.noted == ["why", "stopped", "ended"]


def test_at_once_during_the_delay(process: Process, delayed: ShutdownController) -> None:
    """An immediate failure, such as no memory, ends the delay and the daemon at once."""
    process.arrive(signal.SIGTERM)
    delayed.fail("why", immediate=True)
    process.advance(_DELAY)
    assert process.noted == ["why", "stopped", "ended"]
    assert process.timers[signal.ITIMER_REAL] == GRACE_PERIOD


def test_failure_without_delay(process: Process, delayed: ShutdownController) -> None:
    """A failure stops at once, and the next signal ends the drain."""
    delayed.fail("why")
    assert process.noted == ["why", "stopped"]
    process.arrive(signal.SIGTERM)
    assert process.noted == ["why", "stopped", "ended"]


def test_reloaded_delay(process: Process, ends: ShutdownController) -> None:
    """A delay that is set after the first signal has no effect."""
    process.arrive(signal.SIGTERM)
    ends.stop_delay = _DELAY
    process.arrive(signal.SIGTERM)
    assert process.noted == ["stopped by a signal", "ended"]


def test_withdrawn_once() -> None:
    """Readiness is withdrawn once; a stop that comes earlier moves the moment, one that comes later does not."""
    clock, calls = Clock(), []
    readiness = Readiness(clock)
    readiness.on_withdrawn = lambda: calls.append("withdrawn")
    for delay, left in ((9, 9), (20, 9), (0, 0), (5, 0)):
        readiness.withdraw(delay)
        assert (readiness.seconds_left, readiness.is_ready, calls) == (left, False, ["withdrawn"])
    clock.advance(1)
    assert readiness.seconds_left == 0
