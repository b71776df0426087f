"""BehavingFactory: admit connections as EchoFactory does, and give each one the behavior of its listener."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.protocol import Protocol, ServerFactory

from echotime.behave.kinds import TCP_KINDS, parse_choice
from echotime.behave.spec import Behavior
from echotime.behave.tcp.behavior import TCPBehavior
from echotime.behave.tcp.context import Context, EndedConnections
from echotime.services.echo_factory import EchoFactory
from echotime.services.proxied import build_proxied
from echotime.services.tcp_echo import EchoProtocol


class BehavingFactory(ServerFactory):
    """Make the protocols of one listener. Connections, limits, timeouts, log and counters are those of `factory`.

    `ended` remembers how connections of all such listeners have ended.
    """

    noisy = False

    def __init__(self, factory: EchoFactory, behavior: Behavior, ended: EndedConnections) -> None:
        self._factory = factory
        self._ended = ended
        self.set_behavior(behavior)

    def set_behavior(self, behavior: Behavior) -> None:
        """Give another behavior to the connections that are accepted from now on."""
        self._behavior = behavior
        self._random = Random(behavior.values.get("seed"))

    def buildProtocol(self, addr: Any) -> Protocol | None:
        """Return a protocol for an accepted connection, None if it is refused."""
        proxies = self._factory.proxies
        if proxies is not None and proxies.admits(addr.host):
            return build_proxied(self._factory, addr, self.admit)
        return self.admit(addr)

    def admit(self, client: Any, *, via: str = "", quiet: bool = False) -> TCPBehavior | None:
        """Return a protocol for the client at an address, None if it is refused; see EchoFactory.admit."""
        echo = self._factory.admit(client, via=via, quiet=quiet)
        # the numbers that a connection draws do not depend on what others draw at the same time
        return None if echo is None else self._make(echo, self._behavior, Random(self._random.getrandbits(64)))

    def _make(self, echo: EchoProtocol, behavior: Behavior, random: Random) -> TCPBehavior:
        """Return the behavior of one connection: that of its kind, or an echo if the probability decides so."""
        kind = TCP_KINDS[behavior.kind]
        if random.random() >= behavior.values.get("probability", 1.0):
            kind = TCPBehavior
        echo.behavior = str(behavior) if kind.name == behavior.kind else kind.name
        return kind(echo, behavior, Context(random, self._ended, self._choose))

    def _choose(self, text: str, echo: EchoProtocol) -> TCPBehavior:
        """Return the behavior that a client names. Raises ValueError."""
        behavior = parse_choice(text)
        return self._make(echo, behavior, Random(behavior.values.get("seed")))
