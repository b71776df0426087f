"""UDPBehavior: decide what is sent for a datagram that the policy of the port admits."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import ClassVar, Protocol

from echotime.behave.spec import Behavior, Parameter
from echotime.behave.values import probability
from echotime.limits.datagrams import Sender
from echotime.limits.source import is_loopback, source_key
from echotime.wire.parsers import non_negative_int


class UDPListener(Protocol):
    """Send answers for the behaviors of a listener. BehavingTimeProtocol does."""

    def send(self, datagram: bytes, sender: Sender) -> None:
        """Send a datagram to a sender, from the address that it has asked."""

    def send_from_other_port(self, datagram: bytes, sender: Sender) -> None:
        """Send it from a port of its own."""

    def hold(
        self, delay: float, datagram: bytes, sender: Sender, on_sent: Callable[[], object] = lambda: None
    ) -> Callable[[], None] | None:
        """Send it after `delay` seconds, or once the function that is returned is called, and call `on_sent`.

        Return None, and send nothing, if too many are held back.
        """

    def may_send_more(self, sender: Sender) -> bool:
        """Return True if the rate limit admits one more answer to a sender, and count it."""

    def asked_address(self, sender: Sender) -> str:
        """Return the address and port that a sender has asked, as HOST:PORT."""

    def choose(self, line: bytes) -> UDPBehavior | None:
        """Return the behavior that a line names, None if it names no kind. Raises ValueError if the rest is faulty."""


class UDPBehavior:
    """Decide what is sent for the datagrams of a listener, or for those of one client that chose this behavior."""

    name: ClassVar[str]

    def __init__(self, behavior: Behavior, listener: UDPListener) -> None:
        self.values = behavior.values
        self.listener = listener

    @property
    def shortest_answer(self) -> int:
        """Return 0 if answers are empty, for the guard against loops, else 1."""
        return 1

    def handle(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        """Handle an admitted datagram. `response` is what an ordinary listener would send to `sender`."""
        self.listener.send(response, sender)


class Fault(UDPBehavior):
    """Misbehave for a share of the datagrams. A kind overrides `answer`; `random` gives what it draws."""

    probability = Parameter(probability, 1.0, "Share of the datagrams to which this happens.")
    seed = Parameter[int | None](non_negative_int, None, "Start of the random numbers, to repeat a test.", "random")

    def __init__(self, behavior: Behavior, listener: UDPListener) -> None:
        super().__init__(behavior, listener)
        self.random = Random(self.seed)

    def handle(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        if self.random.random() < self.probability:
            self.answer(datagram, response, sender)
        else:
            super().handle(datagram, response, sender)

    @staticmethod
    def is_local(sender: Sender) -> bool:
        """Return True for a sender on loopback. Any other may be forged, and must not get much more than it sent."""
        return is_loopback(source_key(sender.host))

    def answer(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        """Handle a datagram that the probability has chosen."""
        raise NotImplementedError
