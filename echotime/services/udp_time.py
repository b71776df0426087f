"""The UDP service: any datagram is answered with the time, four bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twisted.internet.protocol import DatagramProtocol

from echotime.counters import ServiceCounters
from echotime.limits.access import AccessList
from echotime.limits.loop_guard import LoopGuard
from echotime.limits.udp_rate import RateLimit
from echotime.wire import timestamp


class TimeProtocol(DatagramProtocol):
    """Answers whom `access` admits, as often as `rate_limit` allows, which without one is always.

    `clock` gives the Unix time in seconds (time.time).
    """

    noisy = False
    per_datagram_lengths = frozenset({timestamp.SIZE})
    """Lengths of datagrams to look at one by one (net.batch_responder.IOneAnswer): those of answers."""

    def __init__(
        self,
        clock: Callable[[], float],
        counters: ServiceCounters,
        epoch: timestamp.Epoch = timestamp.Epoch.UNIX,
        access: AccessList | None = None,
        rate_limit: RateLimit | None = None,
    ) -> None:
        self._clock = clock
        self._counters = counters
        self._epoch = epoch
        self._muted = False
        self.set_access(access or AccessList())
        self._guard = LoopGuard(clock)
        self._rate_limit = rate_limit or RateLimit(0, clock)
        self.per_datagram_ports: Collection[int] = self._guard.suspect_ports
        """The source ports of those that have sent what looks like answers, kept up to date."""
        self.allow_batch = self._rate_limit.allow_batch
        """Return True if no source of a batch sends too much; then the batch is counted."""

    def set_access(self, access: AccessList) -> None:
        """Answer whom it admits, from now on."""
        self._access = access
        self._update_per_datagram_only()

    def set_muted(self, muted: bool) -> None:
        """Answer nobody, for as long as it is so; or again."""
        self._muted = muted
        self._update_per_datagram_only()

    def _update_per_datagram_only(self) -> None:
        self.per_datagram_only = self._access.restricts or self._muted
        """Whether every datagram has to be looked at."""

    @property
    def handled(self) -> int:
        """How many datagrams were taken by all protocols that share the counters, answered or not."""
        return self._counters.datagrams_handled

    def batch_response(self, count: int) -> bytes:
        """The answer to so many datagrams; what they hold does not matter."""
        self._counters.datagrams += count
        return timestamp.pack(self._clock(), self._epoch)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Answer one, unless its sender is not admitted, or it is to be ignored as a part of a loop."""
        assert self.transport is not None
        if self._access.restricts and not self._access.admits(addr[0]):
            self._counters.refused_datagrams += 1
        elif self._muted:
            self._counters.unsynced_dropped += 1
        elif not self._guard.should_answer(datagram, addr[:2]):
            self._counters.loop_dropped += 1
        elif not self._rate_limit.allows(addr[0]):
            self._counters.rate_limited += 1
        else:
            self.transport.write(self.batch_response(1), addr)

    def probe_received(self, addr: Any) -> None:
        """Answer the daemon's health check, to which no access list, rate limit or loop guard applies."""
        assert self.transport is not None
        self._counters.health_checks += 1
        self.transport.write(timestamp.pack(self._clock(), self._epoch), addr)
