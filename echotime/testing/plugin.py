"""The pytest plugin `echotime`. Loading it imports nothing else, because every pytest of the environment loads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from echotime.testing.daemons import Daemons
    from echotime.testing.peer import Peer


@pytest.fixture
def echotime_args() -> Sequence[str]:
    """Return further options of the daemon, such as ["--ack", ""]. Override or parametrize this fixture."""
    return ()


@pytest.fixture(scope="session")
def _echotime_daemons() -> Iterator[Daemons]:
    """Provide the daemons of the session, one for each set of options."""
    from echotime.testing.daemons import Daemons

    daemons = Daemons()
    yield daemons
    daemons.stop()


@pytest.fixture
def echotime_peer(
    request: pytest.FixtureRequest, _echotime_daemons: Daemons, echotime_args: Sequence[str]
) -> Iterator[Peer]:
    """Provide an exact TCP echo and UDP time server on free ports, which can misbehave on request.

    `tcp` and `udp` are (host, port); `behave("reset_peer:bytes=3")` returns the (host, port) of a listener that
    misbehaves. `connections()`, `counters()` and `log` tell what happened during the test.
    """
    from echotime.testing.peer import Peer

    peer = Peer(_echotime_daemons.running(echotime_args))
    yield peer
    peer.close()
    request.node.add_report_section("teardown", "echotime log", peer.log)
