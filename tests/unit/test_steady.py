"""daemon/steady.py."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from twisted.internet.epollreactor import EPollReactor

from echotime.daemon.steady import steady


@pytest.fixture
def reactor() -> Iterator[EPollReactor]:
    """One of the test's own, not installed."""
    found = EPollReactor()
    yield found
    for each in found.removeAll():
        with suppress(AttributeError):
            each.connectionLost(None)
    if found.waker is not None:
        found.waker.connectionLost(None)
    found._poller.close()


def test_seconds(reactor: EPollReactor) -> None:
    """They are those of the clock that nobody sets, also for what begins to wait from now on."""
    steady(reactor)
    assert abs(reactor.seconds() - time.monotonic()) < 1
    call = reactor.callLater(7, lambda: None)
    assert abs(call.getTime() - time.monotonic() - 7) < 1


def test_what_waits_already(reactor: EPollReactor) -> None:
    """It waits for as long as it would have, in its order, and can be moved as ever; twice is as once."""
    done: list[str] = []
    later = reactor.callLater(20, done.append, "later")
    soon = reactor.callLater(0, done.append, "soon")
    reactor.timeout()  # takes them into its heap
    new = reactor.callLater(10, done.append, "new")
    for _ in range(2):
        steady(reactor)
        waits = [each.getTime() - time.monotonic() for each in (soon, new, later)]
        assert [round(each) for each in waits] == [0, 10, 20]
    later.reset(0)
    reactor.runUntilCurrent()
    assert done == ["soon", "later"]
    assert 9 < (reactor.timeout() or 0) < 10.1
