"""TimeProtocol, the UDP service: reply to any datagram with the time, four bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import DatagramProtocol

from echotime.counters import ServiceCounters
from echotime.limits.access import AccessList
from echotime.limits.datagrams import DatagramBatch
from echotime.limits.udp_rate import RateLimit
from echotime.services.datagram_log import DatagramLog
from echotime.services.datagram_policy import DatagramPolicy
from echotime.wire import timestamp


class TimeProtocol(DatagramProtocol):
    """Reply to the datagrams that `policy` admits, and pass all to `log` while it wants them.

    `clock` gives the Unix time in seconds (time.time).
    """

    noisy = False

    def __init__(
        self,
        clock: Callable[[], float],
        counters: ServiceCounters,
        epoch: timestamp.Epoch = timestamp.Epoch.UNIX,
        access: AccessList | None = None,
        rate_limit: RateLimit | None = None,
        *,
        answer_broadcast: bool = False,
        log: DatagramLog | None = None,
        quiet: AccessList | None = None,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._clock = clock
        self._counters = counters
        self._epoch = epoch
        self.policy = DatagramPolicy(
            counters, clock, access, rate_limit, answer_broadcast=answer_broadcast, quiet=quiet
        )
        self._is_ready = is_ready
        self._log = log
        if log is not None:
            log.add_policy(self.policy)

    @property
    def handled(self) -> int:
        """The number of datagrams that all protocols with these counters received, answered or refused."""
        return self._counters.datagrams_handled

    def batch_response(self, batch: DatagramBatch) -> bytes | None:
        """Return and count the response to a batch, or None if each datagram has to be checked by itself."""
        if not self.policy.admits_batch(batch):
            return None
        self._counters.datagrams += batch.count
        return timestamp.pack(self._clock(), self._epoch)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        quiet = self.policy.quiet is not None and self.policy.quiet.admits(addr.host)
        if quiet and not self._is_ready():
            return  # by a failed check a load balancer learns that the daemon is leaving
        if not (refusal := self.policy.refusal(datagram, addr)):
            if quiet:
                self._counters.quiet_datagrams += 1
            else:
                self._counters.datagrams += 1
            self.respond(datagram, timestamp.pack(self._clock(), self._epoch), addr)
        if self._log is not None:
            if quiet:
                self._log.skip()
            elif self._log.wants:
                self._log.log(datagram, addr, refusal)

    def respond(self, datagram: bytes, response: bytes, addr: Any) -> None:
        """Send the response to a datagram that was admitted."""
        assert self.transport is not None
        self.transport.write(response, addr)

    def probe_received(self, addr: Any) -> None:
        """Reply to the health check, to which the policy does not apply."""
        assert self.transport is not None
        self._counters.health_checks += 1
        self.transport.write(timestamp.pack(self._clock(), self._epoch), addr)
