"""BehavingFactory: admit connections as EchoFactory does, and give each one the behavior of its listener."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.protocol import Protocol, ServerFactory

from echotime.behave.kinds import TCP_KINDS
from echotime.behave.spec import Behavior
from echotime.behave.tcp.behavior import TCPBehavior
from echotime.services.echo_factory import EchoFactory
from echotime.services.proxied import build_proxied
from echotime.services.tcp_echo import EchoProtocol


def make_tcp_behavior(echo: EchoProtocol, behavior: Behavior, random: Random) -> TCPBehavior:
    """Return the behavior of one connection: that of its kind, or an echo if the probability decides so."""
    # each connection has numbers of its own, which do not depend on what happens on others
    own = Random(random.getrandbits(64))
    kind = TCP_KINDS[behavior.kind]
    misbehaves = own.random() < behavior.values.get("probability", 1.0)
    return (kind if misbehaves else TCPBehavior)(echo, behavior, own)


class BehavingFactory(ServerFactory):
    """Make the protocols of one listener. Connections, limits, timeouts, log and counters are those of `factory`."""

    noisy = False

    def __init__(self, factory: EchoFactory, behavior: Behavior) -> None:
        self._factory = factory
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
        return None if echo is None else make_tcp_behavior(echo, self._behavior, self._random)
