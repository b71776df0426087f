"""EchoFactory: admit the connections of the TCP service, and hold what they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, ServerFactory

from echotime.counters import ServiceCounters
from echotime.limits.access import AccessList
from echotime.limits.admission import Admission
from echotime.limits.source import source_key
from echotime.services.large_reads import LargeReads
from echotime.services.replies import IReplySource, SameReplies
from echotime.services.tcp_echo import EchoProtocol
from echotime.services.traffic import TrafficLog
from echotime.wire.message import ACKNOWLEDGEMENT, MESSAGE_SIZE
from echotime.wire.template import Text


class EchoFactory(ServerFactory):
    """Make the protocol of each admitted connection, and hold the open ones.

    `acknowledgement` follows every echo at once. `reply_source` replies to each message after that, None for none.
    `traffic` logs and counts connections and messages.
    """

    noisy = False

    def __init__(
        self,
        traffic: TrafficLog,
        acknowledgement: Text = ACKNOWLEDGEMENT,
        reply_source: IReplySource | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.connections: set[EchoProtocol] = set()
        self.admission = admission or Admission(traffic.counters)
        self.traffic = traffic
        self.seconds = traffic.clock.seconds
        self.large_reads = LargeReads(traffic.clock)
        self.set_reply(acknowledgement, reply_source)
        self.probe_factory: EchoFactory | None = None
        """The factory of the health check (services.probe_echo), None without one. It refuses all but probes."""
        self.proxies: AccessList | None = None
        """The networks whose connections begin with a PROXY header, None without any."""
        self.build_proxied: Callable[[Any], Protocol | None] = self.admit
        """Returns the protocol of such a connection (services.proxied)."""
        self.quiet_networks: AccessList | None = None
        """The networks whose connections are not logged, None without any."""
        self.is_ready: Callable[[], bool] = lambda: True
        """Returns False while no new clients should be sent here. Then quiet connections are refused."""
        self.quiet_factory = self
        """The factory of connections that are not logged (services.quiet_echo)."""
        self.awaiting_header: set[Any] = set()
        """Connections of `build_proxied` that have no protocol of a client yet."""
        self._last_number = 0
        self._empty_waiters: list[Deferred[None]] = []

    def set_reply(self, acknowledgement: Text, reply_source: IReplySource | None = None, reply: Text = b"") -> None:
        """Change what follows the echo of messages that arrive from now on.

        `reply` follows the acknowledgement if there is no reply source.
        """
        self.acknowledgement = acknowledgement
        self.trailer = acknowledgement if isinstance(acknowledgement, bytes) else b""
        """What follows each echo at once, unless it differs between messages."""
        if reply_source is None:
            if isinstance(acknowledgement, bytes) and isinstance(reply, bytes):
                self.trailer += reply
            else:
                reply_source = SameReplies(reply)
        self.reply_source = reply_source
        self.large_reads.allow(self.reply_source is None and len(self.trailer) <= MESSAGE_SIZE)

    def buildProtocol(self, addr: Any) -> Protocol | None:
        """Return a protocol for an accepted connection, None if it is refused."""
        if self.probe_factory is not None and (probe := self.probe_factory.buildProtocol(addr)) is not None:
            return probe
        if self.proxies is not None and self.proxies.admits(addr.host):
            return self.build_proxied(addr)
        return self.admit(addr)

    def admit(self, client: Any, *, via: str = "", quiet: bool = False) -> EchoProtocol | None:
        """Return a protocol for the client at an address, None if it is refused.

        `via` is the proxy that named the client. The connection is quiet, too, if --quiet names its network.
        """
        quiet = quiet or (self.quiet_networks is not None and self.quiet_networks.admits(client.host))
        if quiet and not self.is_ready():
            return None  # by a failed check a load balancer learns that the daemon is leaving
        source = source_key(client.host)
        if not self.admission.try_admit(client.host, source):
            return None
        self._last_number += 1
        protocol = EchoProtocol(self._last_number, source)
        protocol.factory = self.quiet_factory if quiet else self
        if via:
            protocol.address, protocol.via = client, via
        return protocol

    def counters(self) -> ServiceCounters:
        """Return the counters of both services, including those of open connections that are not quiet."""
        counters = replace(self.traffic.counters)
        for each in self.connections:
            if each.factory is self:
                counters.add(each)
        return counters

    def when_empty(self) -> Deferred[None]:
        """Return a Deferred that fires when no connection is open any more, at once if none is."""
        waiter: Deferred[None] = Deferred()
        self._empty_waiters.append(waiter)
        self.notify_if_empty()
        return waiter

    def notify_if_empty(self) -> None:
        """Fire the Deferreds of `when_empty` if no connection is open."""
        while self._empty_waiters and not self.connections and not self.awaiting_header:
            self._empty_waiters.pop().callback(None)
