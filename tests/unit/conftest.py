"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import maybeDeferred

from echotime.ports.polled import PolledPort
from echotime.ports.stock import StockPort
from echotime.ports.tcp import EchoPort
from tests.unit.checking import Daemon, open_sockets
from tests.unit.loopback import Started
from tests.unit.noting import Bench
from tests.unit.stepping import stepping


@pytest.fixture(params=[StockPort, PolledPort])
def kind(request: pytest.FixtureRequest) -> type[EchoPort]:
    """Each kind of TCP port."""
    found: type[EchoPort] = request.param
    return found


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
def bench(kind: type[EchoPort]) -> Iterator[Bench]:
    """One, for each kind."""
    with stepping() as reactor:
        yield Bench(kind, reactor)


@pytest.fixture(params=[True, False], ids=["fast", "stock"])
def daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """One on each transport, that leaves no descriptor and no time limit behind."""
    with stepping() as reactor:
        made = Daemon(reactor, fast=request.param)
        before = open_sockets()
        yield made
        made.stop()
        for each in reactor.clock.getDelayedCalls():
            assert "LineLimit" in str(each) or "HangupWatch" in str(each), each
        assert open_sockets() == before
