"""DatagramPolicy: every reason to refuse a UDP datagram, each declared once as a Rule.

To add a refusal, add a counter to ServiceCounters and a Rule to DatagramPolicy._active_rules. Control socket, log,
shutdown figures and health check follow from the counter. A rule without a batch check makes the port pass each
datagram by itself, which is slower but never wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import NamedTuple

from echotime.counters import ServiceCounters
from echotime.limits.access import AccessList
from echotime.limits.datagrams import DatagramBatch, Sender
from echotime.limits.loop_guard import LoopGuard
from echotime.limits.udp_rate import RateLimit


class Rule(NamedTuple):
    """Declare one reason to refuse a datagram."""

    counter: str
    """Field of ServiceCounters that counts the refused datagrams."""
    refuses: Callable[[bytes, Sender], bool]
    admits_batch: Callable[[DatagramBatch], bool] | None = None
    """Returns True if the rule refuses no datagram of a batch. None makes every batch be checked one by one."""


_has_ordinary_addresses: Callable[[DatagramBatch], bool] = attrgetter("ordinary_addresses")


class DatagramPolicy:
    """Decide for a UDP port which datagrams are answered, and count the refused ones.

    `clock` gives the Unix time in seconds. A rule that can refuse nothing at present is left out of the checks.
    """

    def __init__(
        self,
        counters: ServiceCounters,
        clock: Callable[[], float],
        access: AccessList | None = None,
        rate_limit: RateLimit | None = None,
        *,
        answer_broadcast: bool = False,
        quiet: AccessList | None = None,
    ) -> None:
        self._counters = counters
        self._guard = LoopGuard(clock)
        self._access = access or AccessList()
        self._rate_limit = rate_limit or RateLimit(0, clock)
        self._answer_broadcast = answer_broadcast
        self._min_source_port = 0
        self._muted = False
        self._observed = False
        self.quiet = quiet
        """The networks of --quiet, whose datagrams are not logged; None without any."""
        self._update()

    def _active_rules(self) -> Iterator[Rule]:
        """Yield the rules in the order of their checks. The rate limit is last, because it counts what it admits."""
        yield Rule("refused_unspecified_source", lambda _, sender: sender.is_unspecified, _has_ordinary_addresses)
        yield Rule("refused_own_address", lambda _, sender: sender.is_own_address, _has_ordinary_addresses)
        if lowest := self._min_source_port:
            yield Rule(
                "refused_low_port",
                lambda _, sender: sender[1] < lowest,
                lambda batch: min(batch.source_ports()) >= lowest,
            )
        if not self._answer_broadcast:
            yield Rule("refused_broadcast", lambda _, sender: sender.multicast_destination, _has_ordinary_addresses)
        if self._access.restricts:
            admits = self._access.admits
            yield Rule("refused_datagrams", lambda _, sender: not admits(sender[0]))
        if self._muted:
            yield Rule("refused_unsynced", lambda _, sender: True)
        yield Rule("refused_loop", self._guard.refuses, self._guard.admits_batch)
        allows = self._rate_limit.allows
        yield Rule("refused_rate_limit", lambda _, sender: not allows(sender.host), self._rate_limit.allow_batch)

    def _update(self) -> None:
        rules = tuple(self._active_rules())
        self._checks = tuple((rule.refuses, rule.counter) for rule in rules)
        self._ordinary_checks = tuple(
            (rule.refuses, rule.counter) for rule in rules if rule.admits_batch is not _has_ordinary_addresses
        )
        batch_checks = dict.fromkeys(rule.admits_batch for rule in rules)
        self.one_by_one = self._observed or self.quiet is not None or None in batch_checks
        """True if each datagram has to be passed by itself, to log it, or because a check of a batch is missing."""
        self._batch_checks = (_admits_no_batch,) if self.one_by_one else tuple(filter(None, batch_checks))

    def set_access(self, access: AccessList) -> None:
        """Apply another access list from now on."""
        self._access = access
        self._update()

    def set_quiet(self, quiet: AccessList | None) -> None:
        """Apply other networks of --quiet from now on."""
        self.quiet = quiet
        self._update()

    def set_muted(self, muted: bool) -> None:
        """Refuse all datagrams while the clock is not synchronized."""
        if muted != self._muted:
            self._muted = muted
            self._update()

    def set_answer_broadcast(self, answer_broadcast: bool) -> None:
        """Answer or refuse datagrams to broadcast and multicast addresses from now on."""
        self._answer_broadcast = answer_broadcast
        self._update()

    def set_observed(self, observed: bool) -> None:
        """Have each datagram passed by itself while datagrams are logged."""
        if observed != self._observed:
            self._observed = observed
            self._update()

    def set_min_source_port(self, min_source_port: int) -> None:
        """Refuse datagrams from lower source ports; 0 if the kernel drops all of them."""
        self._min_source_port = min_source_port
        self._update()

    def refusal(self, datagram: bytes, sender: Sender) -> str:
        """Return the counter of the reason to refuse a datagram, after counting it. Return "" if it is answered."""
        for refuses, counter in self._ordinary_checks if sender.ordinary else self._checks:
            if refuses(datagram, sender):
                self._counters.refuse(counter, sender.host)
                return counter
        return ""

    def admits_batch(self, batch: DatagramBatch) -> bool:
        """Return True if all datagrams of a batch are to be answered. If not, check each one by `refusal`."""
        for admits in self._batch_checks:  # noqa: SIM110 - all() with a generator takes longer
            if not admits(batch):
                return False
        return True


def _admits_no_batch(_batch: DatagramBatch) -> bool:
    return False
