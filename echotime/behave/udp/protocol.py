"""BehavingTimeProtocol: a TimeProtocol whose answers pass through a behavior."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, cast

from twisted.internet.interfaces import IReactorTime

from echotime.behave.kinds import UDP_KINDS, parse_udp_choice
from echotime.behave.spec import Behavior
from echotime.behave.udp.behavior import UDPBehavior
from echotime.behave.udp.guard import BehavingLoopGuard
from echotime.behave.udp.held import HeldAnswers
from echotime.limits.datagrams import Sender
from echotime.services.udp_time import TimeProtocol


class _Port(Protocol):
    """Send for a listener. WholeDatagramPort does."""

    errors: Counter[str]

    def write(self, datagram: bytes, addr: Sender) -> None: ...

    def write_from_other_port(self, datagram: bytes, addr: Sender) -> None: ...

    def asked_address(self, addr: Sender) -> str: ...


class BehavingTimeProtocol(TimeProtocol):
    """Serve one UDP listener of --behave. Its port must be a WholeDatagramPort.

    The other parameters are those of TimeProtocol.
    """

    def __init__(
        self, clock: Callable[[], float], *args: Any, behavior: Behavior, reactor: IReactorTime, **options: Any
    ) -> None:
        self._guard = BehavingLoopGuard(clock)
        super().__init__(clock, *args, guard=self._guard, **options)
        self._held = HeldAnswers(reactor)
        self.set_behavior(behavior)

    def set_behavior(self, behavior: Behavior) -> None:
        """Give another behavior to the datagrams that arrive from now on."""
        self._behavior = self._make(behavior)
        self._guard.shortest_answer = self._behavior.shortest_answer

    def _make(self, behavior: Behavior) -> UDPBehavior:
        return UDP_KINDS[behavior.kind](behavior, self)

    def respond(self, datagram: bytes, response: bytes, addr: Any) -> None:
        self._behavior.handle(datagram, response, addr)

    def stopProtocol(self) -> None:
        self._held.stop()
        if self._log is not None:
            self._log.remove_policy(self.policy)

    # what behaviors use: see UDPListener

    @property
    def _port(self) -> _Port:
        return cast(_Port, self.transport)

    def send(self, datagram: bytes, sender: Sender) -> None:
        self._port.write(datagram, sender)

    def send_from_other_port(self, datagram: bytes, sender: Sender) -> None:
        self._port.write_from_other_port(datagram, sender)

    def hold(
        self, delay: float, datagram: bytes, sender: Sender, on_sent: Callable[[], object] = lambda: None
    ) -> Callable[[], None] | None:
        def send() -> None:
            self.send(datagram, sender)
            on_sent()

        release = self._held.hold(delay, send)
        if release is None:
            sender.reply_failed = True
            self._port.errors["too many answers held back"] += 1
        return release

    def may_send_more(self, sender: Sender) -> bool:
        return self.policy.admits_another(sender)

    def asked_address(self, sender: Sender) -> str:
        return self._port.asked_address(sender)

    def choose(self, line: bytes) -> UDPBehavior | None:
        behavior = parse_udp_choice(line.decode("ascii", "backslashreplace").rstrip("\r"))
        return None if behavior is None else self._make(behavior)
