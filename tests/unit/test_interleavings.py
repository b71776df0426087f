"""Test the TCP service under random interleavings of clients, operators and reactor turns, against a simple model.

The tests run on the echotime reactor and on Twisted's.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from echotime.services.replies import IReplySource
from echotime.wire.message import ACKNOWLEDGEMENT, MESSAGE_SIZE
from tests.support.echo_model import SEND_BUFFERS, SIZES, EchoModel, nothing_left
from tests.support.participants import Operators
from tests.support.stepping_reactor import REACTORS, SteppingEPollReactor, stepping

ACTS = [
    "send",
    "read",
    "half",
    "reset",
    "close",
    "reply",
    "their close",
    "their reset",
    "step",
    "tick",
    "change",
    "quiet",
]
OFTEN = ["connect", "send", "read", "reply", "step", "step"]
EXAMPLES = 250

STEPS = st.tuples(st.sampled_from([*ACTS, *OFTEN, *OFTEN, *OFTEN, "stop"]), st.integers(0, 5), st.sampled_from(SIZES))


@pytest.mark.parametrize("kind", REACTORS)
@pytest.mark.parametrize("source", [None, Operators])
@pytest.mark.parametrize("trailer", [ACKNOWLEDGEMENT, b""])
def test_interleavings(
    kind: type[SteppingEPollReactor], source: Callable[[], IReplySource] | None, trailer: bytes
) -> None:
    """In any order of events the replies are exact, each connection ends once, and nothing is left."""

    largest = 0

    # the first example reaches a large read, which the others may miss
    @example([("send", 0, 9000), *[("step", 0, 0)] * 5], max(SEND_BUFFERS))
    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(STEPS, min_size=5, max_size=60), st.sampled_from(SEND_BUFFERS))
    def holds(steps: list[tuple[str, int, int]], send_buffer: int) -> None:
        with nothing_left(), stepping(kind) as reactor:
            model = EchoModel(reactor, source and source(), trailer, send_buffer)
            try:
                model.act("connect", 0, 0)
                for what, which, size in steps:
                    model.act(what, which, size)
                    assert not model.factory.wrong
                model.drain()
            finally:
                nonlocal largest
                largest = max(largest, model.factory.largest)
                reactor.disconnectAll()
                for each in model.clients:
                    each.sock.close()

    holds()
    assert (largest > MESSAGE_SIZE) is (source is None), (
        "large reads are used exactly if no operator needs each message"
    )
