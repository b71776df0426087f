"""UDPBehavior: decide what is sent for a datagram that the policy of the port admits."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, ClassVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from echotime.behave.spec import Behavior, Parameter
from echotime.behave.values import number, probability

Send = Callable[[bytes, Any], object]
"""Sends a datagram to the address from which one came."""


class UDPBehavior:
    """Answer as an ordinary listener does. There is one object for a listener.

    A kind overrides `answer`. `send` sends a datagram to a sender. `random` gives what the kind draws.
    """

    name: ClassVar[str]
    probability = Parameter(probability, 1.0, "Share of datagrams to which this happens.")
    seed = Parameter[int | None](number, None, "Start of the random numbers, to repeat a test.", "random")

    def __init__(self, behavior: Behavior, send: Send, clock: IReactorTime) -> None:
        self.values = behavior.values
        self.send = send
        self.clock = clock
        self.random = Random(self.seed)
        self._timers: set[IDelayedCall] = set()

    def handle(self, datagram: bytes, response: bytes, sender: Any) -> None:
        """Misbehave for a datagram, or send the response if the probability decides so."""
        if self.random.random() < self.probability:
            self.answer(datagram, response, sender)
        else:
            self.send(response, sender)

    def answer(self, datagram: bytes, response: bytes, sender: Any) -> None:
        """Handle an admitted datagram. `response` is what an ordinary listener would send to `sender`."""
        self.send(response, sender)

    def later(self, delay: float, function: Callable[..., object], *args: object) -> IDelayedCall:
        """Call a function after `delay` seconds, unless the listener is closed then."""

        def call() -> None:
            self._timers.discard(timer)
            function(*args)

        timer = self.clock.callLater(delay, call)
        self._timers.add(timer)
        return timer

    def stop(self) -> None:
        """Cancel what is delayed, because the listener closes or gets another behavior."""
        for each in self._timers:
            each.cancel()
        self._timers.clear()
