"""A fuzzer of the TCP service: rules in any order, as test_interleavings.py has them, and more of them.

Words fail, or came before they are awaited, and the daemon stops. Whatever happens, what came back is exactly what is
owed, or the connection was reset.
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
from tests.support.echo_model import OPTIONS, SEND_BUFFERS, SIZES, World, nothing_left
from tests.support.fuzz_settings import bounded
from tests.support.participants import Operators
from tests.support.stepping_reactor import REACTORS, SteppingEPollReactor, stepping

WHICH = st.integers(0, 5)
SIZE = st.sampled_from(SIZES)


class EchoMachine(RuleBasedStateMachine):
    """Clients, operators and the daemon, in a world whose reactor turns when a rule says so."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.resources = ExitStack()

    @initialize(
        kind=st.sampled_from(REACTORS),
        trailer=st.sampled_from([ACKNOWLEDGEMENT, b""]),
        send_buffer=st.sampled_from(SEND_BUFFERS),
        reply_source=st.sampled_from([Operators, None]),
    )
    def begin(
        self,
        kind: type[SteppingEPollReactor],
        trailer: bytes,
        send_buffer: int,
        reply_source: Callable[[], IReplySource] | None,
    ) -> None:
        """A port on one of the reactors, with one client."""
        self.resources.enter_context(nothing_left())
        reactor = self.resources.enter_context(stepping(kind))
        self.world = World(reactor, reply_source and reply_source(), trailer, send_buffer)
        self.world.act("connect", 0, 0)

    def act(self, what: str, which: int = 0, size: int = 0) -> None:
        """Do it, and let the reactor turn: seldom would it do so between two rules otherwise."""
        self.world.act(what, which, size)
        self.world.reactor.step(which % 3)

    @rule(which=WHICH, size=SIZE)
    def connect(self, which: int, size: int) -> None:
        """One more client, with a small or a large receive buffer."""
        self.act("connect", which, size)

    @rule(which=WHICH, size=SIZE)
    def send(self, which: int, size: int) -> None:
        """A client sends what the kernel takes of so much."""
        self.act("send", which, size)

    @rule(which=WHICH, size=SIZE)
    def send_more(self, which: int, size: int) -> None:
        """The same, of as much as is read at a time or less: so nothing may be left unread."""
        self.act("send", which, min(size, MESSAGE_SIZE))

    @rule(which=WHICH, size=SIZE)
    def read(self, which: int, size: int) -> None:
        """A client reads; it stops reading where this rule does not come."""
        self.act("read", which, size)

    @rule(which=WHICH, how=st.sampled_from(["half", "half", "reset", "close"]))
    def leave(self, which: int, how: str) -> None:
        """A client ends its side, or both."""
        self.act(how, which)

    @rule(which=WHICH, size=SIZE)
    def word(self, which: int, size: int) -> None:
        """An operator says one of those that are awaited."""
        self.act("word", which, size)

    @rule(which=WHICH)
    def no_word(self, which: int) -> None:
        """A word fails."""
        self.act("no word", which)

    @rule(turns=WHICH)
    def turn(self, turns: int) -> None:
        """The reactor turns."""
        self.act("step", turns)

    @rule(quarters=WHICH)
    def pass_time(self, quarters: int) -> None:
        """Quarters of a second pass."""
        self.act("tick", quarters)

    @rule(which=WHICH, how=st.sampled_from(["their close", "their reset"]))
    def end(self, which: int, how: str) -> None:
        """The daemon ends one of its connections."""
        self.act(how, which)

    @rule(which=st.integers(0, len(OPTIONS) - 1), size=SIZE)
    def change(self, which: int, size: int) -> None:
        """An option changes, of the port or of a connection."""
        self.act("change", which, size)

    @precondition(lambda self: not self.world.draining)
    @rule()
    def settle(self) -> None:
        """Whoever is read from is read to the end."""
        self.act("quiet")

    @precondition(lambda self: not self.world.draining and len(self.world.clients) > 2)
    @rule(quarters=st.sampled_from([0, 1, 3, 9]))
    def drain(self, quarters: int) -> None:
        """The daemon stops, and has two seconds for it, of which some pass."""
        self.act("drain")
        for _ in range(quarters):
            self.act("tick", 1)

    @invariant()
    def exact(self) -> None:
        """Nobody has what is not theirs, nor an end of file in place of what is."""
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        """All who are left get what they are owed, and nothing stays."""
        with self.resources:
            if hasattr(self, "world"):
                try:
                    self.world.drain()
                finally:
                    self.world.reactor.disconnectAll()
                    for each in self.world.clients:
                        each.sock.close()


def test_fuzz_tcp(clean_reactor: list[LogEvent]) -> None:
    """Whatever happens in whatever order: what came back is exactly what is owed, or the connection was reset."""
    run_state_machine_as_test(EchoMachine, settings=bounded())
    # a word that failed is told, and nothing else is
    assert {event["log_format"] for event in clean_reactor} <= {"no reply for {peer}: connection reset"}
    clean_reactor.clear()
