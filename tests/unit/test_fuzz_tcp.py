"""Fuzz the TCP service with the rules of test_interleavings.py and more, in any order.

Replies fail, or come before they are awaited, and the daemon stops. In every case the output is exactly what the
client is owed, or the connection was reset.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.logger import LogEvent

from echotime.services.replies import IReplySource
from echotime.wire.message import ACKNOWLEDGEMENT, MESSAGE_SIZE
from tests.support.echo_model import OPTIONS, SEND_BUFFERS, SIZES, EchoModel, nothing_left
from tests.support.fuzz_settings import bounded
from tests.support.participants import Operators
from tests.support.stepping_reactor import REACTORS, SteppingEPollReactor, stepping

WHICH = st.integers(0, 5)
SIZE = st.sampled_from(SIZES)


class EchoMachine(RuleBasedStateMachine):
    """Drive clients, operators and the daemon in a model whose reactor turns when a rule says so."""

    model: EchoModel

    def __init__(self) -> None:
        super().__init__()
        self.resources = ExitStack()

    @initialize(
        kind=st.sampled_from(REACTORS),
        trailer=st.sampled_from([ACKNOWLEDGEMENT, b""]),
        send_buffer=st.sampled_from(SEND_BUFFERS),
        source=st.sampled_from([Operators, None]),
    )
    def begin(
        self,
        kind: type[SteppingEPollReactor],
        trailer: bytes,
        send_buffer: int,
        source: Callable[[], IReplySource] | None,
    ) -> None:
        """Open a port on one of the reactors, with one client."""
        self.resources.enter_context(nothing_left())
        reactor = self.resources.enter_context(stepping(kind))
        self.model = EchoModel(reactor, source and source(), trailer, send_buffer)
        self.model.act("connect", 0, 0)

    def act(self, what: str, which: int = 0, size: int = 0) -> None:
        """Do an action and let the reactor turn, which it would seldom do between two rules otherwise."""
        self.model.act(what, which, size)
        self.model.reactor.step(which % 3)

    @rule(which=WHICH, size=SIZE)
    def connect(self, which: int, size: int) -> None:
        """Connect a client with a small or a large receive buffer."""
        self.act("connect", which, size)

    @rule(which=WHICH, size=SIZE)
    def send(self, which: int, size: int) -> None:
        """Send up to `size` bytes from a client."""
        self.act("send", which, size)

    @rule(which=WHICH, size=SIZE)
    def send_more(self, which: int, size: int) -> None:
        """Send at most one message, so that nothing may be left unread."""
        self.act("send", which, min(size, MESSAGE_SIZE))

    @rule(which=WHICH, size=SIZE)
    def read(self, which: int, size: int) -> None:
        """Read from a client; without this rule it stops reading."""
        self.act("read", which, size)

    @rule(which=WHICH, how=st.sampled_from(["half", "half", "reset", "close"]))
    def leave(self, which: int, how: str) -> None:
        """Half-close, reset or close a client."""
        self.act(how, which)

    @rule(which=WHICH, size=SIZE)
    def reply(self, which: int, size: int) -> None:
        """Give one of the pending replies."""
        self.act("reply", which, size)

    @rule(which=WHICH)
    def fail_reply(self, which: int) -> None:
        """Fail one of the pending replies."""
        self.act("fail reply", which)

    @rule(turns=WHICH)
    def turn(self, turns: int) -> None:
        """Turn the reactor without any client action."""
        self.act("step", turns)

    @rule(quarters=WHICH)
    def pass_time(self, quarters: int) -> None:
        """Advance the clock by quarters of a second."""
        self.act("tick", quarters)

    @rule(which=WHICH, how=st.sampled_from(["their close", "their reset"]))
    def end(self, which: int, how: str) -> None:
        """Close or reset a connection from the daemon's side."""
        self.act(how, which)

    @rule(which=st.integers(0, len(OPTIONS) - 1), size=SIZE)
    def change(self, which: int, size: int) -> None:
        """Change an option of the port or of a connection."""
        self.act("change", which, size)

    @precondition(lambda self: not self.model.draining)
    @rule()
    def settle(self) -> None:
        """Let every readable connection be read to the end."""
        self.act("quiet")

    @precondition(lambda self: not self.model.draining and len(self.model.clients) > 2)
    @rule(quarters=st.sampled_from([0, 1, 3, 9]))
    def drain(self, quarters: int) -> None:
        """Stop the daemon with a drain of two seconds, of which some pass."""
        self.act("drain")
        for _ in range(quarters):
            self.act("tick", 1)

    @invariant()
    def exact(self) -> None:
        """Check that each client has received a prefix of its own replies, and no early end of file."""
        if hasattr(self, "model"):
            self.model.check()

    def teardown(self) -> None:
        """Drain the model and check that nothing is left."""
        with self.resources:
            if hasattr(self, "model"):
                try:
                    self.model.drain()
                finally:
                    self.model.reactor.disconnectAll()
                    for each in self.model.clients:
                        each.sock.close()


def test_fuzz_tcp(clean_reactor: list[LogEvent]) -> None:
    """In any order of events, each client receives exactly what it is owed, or a reset."""
    run_state_machine_as_test(EchoMachine, settings=bounded())
    # only a failed reply is logged
    assert {event["log_format"] for event in clean_reactor} <= {"no reply for {peer}: connection reset"}
    clean_reactor.clear()
