"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import maybeDeferred
from twisted.logger import LogEvent, globalLogPublisher

from tests.support.checked_listeners import Daemon, open_sockets
from tests.support.loopback import Started
from tests.support.recording_protocol import Bench
from tests.support.stepping_reactor import REACTORS, SteppingEPollReactor, stepping


@pytest.fixture(params=REACTORS)
def stepped(request: pytest.FixtureRequest) -> Iterator[SteppingEPollReactor]:
    """Our reactor and Twisted's, turned by hand."""
    with stepping(request.param) as reactor:
        yield reactor


@pytest_twisted.async_yield_fixture()
async def started() -> AsyncIterator[Started]:
    """Starts ports, and stops them after the test."""
    ports: list[Any] = []

    def start(port: Any) -> Any:
        port.startListening()
        ports.append(port)
        return port

    yield start
    for port in ports:
        await maybeDeferred(port.stopListening)


@pytest.fixture
def bench(stepped: SteppingEPollReactor) -> Bench:
    """A TCP port on each of the reactors."""
    return Bench(stepped)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Collect the formats of what is logged."""
    found: list[str] = []

    def note(event: LogEvent) -> None:
        found.append(str(event.get("log_format")))

    globalLogPublisher.addObserver(note)  # type: ignore[arg-type]  # a function is one
    yield found
    globalLogPublisher.removeObserver(note)  # type: ignore[arg-type]


@pytest.fixture
def daemon(stepped: SteppingEPollReactor) -> Iterator[Daemon]:
    """One on each of the reactors, that leaves no descriptor and no time limit behind."""
    made = Daemon(stepped)
    before = open_sockets()
    yield made
    made.stop()
    for each in stepped.clock.getDelayedCalls():
        assert "LogRateLimiter" in str(each), each
    assert open_sockets() == before
