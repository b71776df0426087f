"""Test daemon/signals.py: signals without use, and the end of the controlling terminal."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from twisted.internet.task import Clock

from echotime.daemon import signals
from echotime.daemon.signals import LOG_INTERVAL, ignore_signals


class Reactor(Clock):
    """Call at once what a signal handler hands over."""

    def callFromThread(self, call: Callable[..., object], *args: object) -> None:  # noqa: N802 - Twisted's name
        """Call at once: this is the reactor's thread."""
        call(*args)


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    """Provide a clock that runs handlers, and restore the signals of the process at the end."""
    before = {each: signal.getsignal(each) for each in signals._WITHOUT_USE}
    for each in before:
        signal.signal(each, signal.SIG_DFL)
    yield Reactor()
    for each, handler in before.items():
        signal.signal(each, handler)


def test_terminal_hangs_up_later(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that hangs up while SIGHUP is ignored, after one that was logged, stops the daemon later."""
    sent: list[int] = []
    is_gone = False
    monkeypatch.setattr(signals, "_TERMINAL_SESSION", os.getsid(0))
    monkeypatch.setattr(signals, "_terminal_is_gone", lambda: is_gone)
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(number))
    ignore_signals(reactor)
    handler = signal.getsignal(signal.SIGHUP)
    assert callable(handler)
    handler(signal.SIGHUP, None)
    is_gone = True
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert sent == []
    reactor.advance(LOG_INTERVAL)
    assert sent == [signal.SIGTERM]
