"""Provide fixtures for the unit tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import maybeDeferred
from twisted.logger import LogEvent, globalLogPublisher

from tests.support.checked_listeners import Daemon, open_sockets
from tests.support.loopback import Started
from tests.support.recording_protocol import PortHarness
from tests.support.stepping_reactor import REACTORS, SteppingEPollReactor, stepping


@pytest.fixture(params=REACTORS)
def stepped(request: pytest.FixtureRequest) -> Iterator[SteppingEPollReactor]:
    """Provide the echotime reactor and Twisted's, stepped by the test."""
    with stepping(request.param) as reactor:
        yield reactor


@pytest_twisted.async_yield_fixture()
async def started() -> AsyncIterator[Started]:
    """Provide a function that starts ports, which are stopped after the test."""
    ports: list[Any] = []

    def start(port: Any) -> Any:
        port.startListening()
        ports.append(port)
        return port

    yield start
    for port in ports:
        await maybeDeferred(port.stopListening)


@pytest.fixture
def harness(stepped: SteppingEPollReactor) -> PortHarness:
    """Provide a TCP port on each of the reactors."""
    return PortHarness(stepped)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Collect the formats of logged events."""
    found: list[str] = []

    def note(event: LogEvent) -> None:
        found.append(str(event.get("log_format")))

    globalLogPublisher.addObserver(note)  # type: ignore[arg-type]  # a function is one
    yield found
    globalLogPublisher.removeObserver(note)  # type: ignore[arg-type]


@pytest.fixture
def daemon(stepped: SteppingEPollReactor) -> Iterator[Daemon]:
    """Provide a daemon on each of the reactors, which must leave no descriptor and no timer."""
    made = Daemon(stepped)
    before = open_sockets()
    yield made
    made.stop()
    for each in stepped.clock.getDelayedCalls():
        assert "LogRateLimiter" in str(each), each
    assert open_sockets() == before
