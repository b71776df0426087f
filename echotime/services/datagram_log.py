"""DatagramLog: log the datagrams that arrive, a bounded number in a second, and count the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from zope.interface import Interface

from echotime.counters import ServiceCounters, declared
from echotime.limits.datagrams import Sender
from echotime.limits.log_rate import LogRateLimiter
from echotime.logger import Logger
from echotime.wire.escape import cut_mark, escape
from echotime.wire.hostport import format_hostport

MAX_LOGGED_BYTES = 16
"""Maximum number of bytes of a datagram in a log line. A port that works in batches keeps one more."""
_OUTCOMES = {each.name: each.log_name.removeprefix("datagrams ") for each in declared(ServiceCounters)}
"""What became of a datagram, by the counter of the refusal."""


class IDatagramObserver(Interface):
    """Observe the datagrams that are logged; peers are ``host:port``."""

    def datagram_received(peer: str, data: bytes, size: int, outcome: str) -> None:
        """Handle a datagram of `size` bytes that begins with `data`. `outcome` is ``answered``, or why it was not."""

    def datagrams_left_out(number: int) -> None:
        """Handle the number of datagrams that were not passed on in the last second."""


class BatchSwitch(Protocol):
    """The policy of a port that may work in batches."""

    def set_observed(self, observed: bool) -> None:
        """Make the port pass each datagram by itself, or let it work in batches again."""


class DatagramLog:
    """Log at most `rate` datagrams in a second, and pass the same ones to `observers`. It is off until `set_rate`.

    `counters` has counted a datagram when it is logged. While a line is allowed, ports pass each datagram by itself. In
    the rest of a second that has its lines they work in batches, as they do while the log is off, and it costs nothing.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, counters: ServiceCounters, observers: Sequence[IDatagramObserver] = ()
    ) -> None:
        self._counters = counters
        self._observers = observers
        self._policies: list[BatchSwitch] = []
        self._limiter = LogRateLimiter(0, clock, self._report_left_out)
        self._accounted = 0
        """How many of the datagrams handled so far were logged, or reported as left out."""
        self.wants = False
        """True while datagrams are to be passed to `log`."""

    def set_rate(self, rate: int) -> None:
        """Log at most `rate` datagrams in a second from now on, none if it is 0."""
        self._limiter.set_max_lines(rate)
        self._update()

    def add_policy(self, policy: BatchSwitch) -> None:
        """Let a port pass each datagram by itself while the log wants datagrams."""
        self._policies.append(policy)
        policy.set_observed(self.wants)

    def remove_policy(self, policy: BatchSwitch) -> None:
        """Forget the policy of a port that is closed."""
        self._policies.remove(policy)

    def log(self, data: bytes, sender: Sender, refusal: str) -> None:
        """Log a datagram that was answered, if `refusal` is empty, or that the counter `refusal` has counted."""
        if not self._limiter.allows():
            self._update()
            return
        self._accounted += 1
        peer, data = format_hostport(sender.host, sender[1]), data[:MAX_LOGGED_BYTES]
        outcome = _OUTCOMES[refusal] if refusal else "answer not sent" if sender.reply_failed else "answered"
        text = escape(data) + cut_mark(len(data), sender.size)
        self._log.info(
            "datagram from {peer}, length {size}, {outcome}" + (": {text}" if text else ""),
            peer=peer,
            size=sender.size,
            outcome=outcome,
            text=text,
        )
        for observer in self._observers:
            observer.datagram_received(peer, data, sender.size, outcome)

    def skip(self) -> None:
        """Leave out a datagram that needs no line, without reporting it as left out."""
        self._accounted += 1

    def flush(self) -> None:
        """Log how many datagrams were left out so far, at the end of the daemon."""
        self._limiter.flush()

    def _update(self) -> None:
        self.wants = not self._limiter.suppressing
        for policy in self._policies:
            policy.set_observed(self.wants)

    def _report_left_out(self, _lines: int) -> None:
        # the limiter has not seen the datagrams of batches
        handled = self._counters.datagrams_handled
        number, self._accounted = handled - self._accounted, handled
        if number and self._limiter.max_lines:
            self._log.info("datagram lines left out in the last second: {number}", number=number)
            for observer in self._observers:
                observer.datagrams_left_out(number)
        self._update()
