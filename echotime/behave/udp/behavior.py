"""UDPBehavior: decide what is sent for a datagram that the policy of the port admits."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import ClassVar, Protocol

from echotime.behave.spec import Behavior, Parameter
from echotime.behave.values import number, probability
from echotime.limits.datagrams import Sender


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

    def parse(self, line: bytes) -> UDPBehavior | None:
        """Return the behavior that a line names, None if it names no kind. Raises ValueError if the rest is faulty."""


class UDPBehavior:
    """Answer as an ordinary listener does. There is one object for a listener, or for each client that chose it.

    A kind overrides `answer`. `random` gives what the kind draws.
    """

    name: ClassVar[str]
    probability = Parameter(probability, 1.0, "Share of datagrams to which this happens.")
    seed = Parameter[int | None](number, None, "Start of the random numbers, to repeat a test.", "random")

    def __init__(self, behavior: Behavior, listener: UDPListener) -> None:
        self.values = behavior.values
        self.listener = listener
        self.random = Random(self.seed)

    @property
    def shortest_answer(self) -> int:
        """Return 0 if answers are empty, for the guard against loops, else 1."""
        return 1

    def handle(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        """Misbehave for a datagram, or send the response if the probability decides so."""
        if self.random.random() < self.probability:
            self.answer(datagram, response, sender)
        else:
            self.listener.send(response, sender)

    def answer(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        """Handle an admitted datagram. `response` is what an ordinary listener would send to `sender`."""
        self.listener.send(response, sender)
