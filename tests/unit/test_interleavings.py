"""The TCP service under random interleavings of what clients, operators and the reactor do, against a simple model.

On our reactor and on Twisted's.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from echotime.services.replies import IReplySource
from echotime.wire.message import ACKNOWLEDGEMENT, MESSAGE_SIZE
from tests.support.echo_model import SEND_BUFFERS, SIZES, World, nothing_left
from tests.support.participants import Operators
from tests.support.stepping_reactor import REACTORS, SteppingEPollReactor, stepping

ACTS = [
    "send",
    "read",
    "half",
    "reset",
    "close",
    "word",
    "their close",
    "their reset",
    "step",
    "tick",
    "change",
    "quiet",
]
OFTEN = ["connect", "send", "read", "word", "step", "step"]
EXAMPLES = 250

STEPS = st.tuples(st.sampled_from([*ACTS, *OFTEN, *OFTEN, *OFTEN, "stop"]), st.integers(0, 5), st.sampled_from(SIZES))


@pytest.mark.parametrize("kind", REACTORS)
@pytest.mark.parametrize("reply_source", [None, Operators])
@pytest.mark.parametrize("trailer", [ACKNOWLEDGEMENT, b""])
def test_interleavings(
    kind: type[SteppingEPollReactor], reply_source: Callable[[], IReplySource] | None, trailer: bytes
) -> None:
    """Whatever happens in whatever order: exact answers, one end each, nothing missed, nothing left."""

    largest = 0

    @settings(max_examples=EXAMPLES, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.lists(STEPS, min_size=5, max_size=60), st.sampled_from(SEND_BUFFERS))
    def holds(steps: list[tuple[str, int, int]], send_buffer: int) -> None:
        with nothing_left(), stepping(kind) as reactor:
            world = World(reactor, reply_source and reply_source(), trailer, send_buffer)
            try:
                world.act("connect", 0, 0)
                for what, which, size in steps:
                    world.act(what, which, size)
                    assert not world.factory.wrong
                world.drain()
            finally:
                nonlocal largest
                largest = max(largest, world.factory.largest)
                reactor.disconnectAll()
                for each in world.clients:
                    each.sock.close()

    holds()
    assert (largest > MESSAGE_SIZE) is (reply_source is None), "large reads, but not where each message is needed"
