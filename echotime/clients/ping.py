"""Pings: numbered probes of either service, and the account of what came back, late, twice or wrong.

PingSession counts and keeps time; a prober (probers.py) knows how one probe is sent and its answer recognised.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from echotime.clients.status import ClientFailed


class Came(Enum):
    """What an answer was; the value is its name in JSON."""

    REPLY = "reply"
    DUPLICATE = "duplicate"
    LATE = "late"
    WRONG = "wrong"


@dataclass
class Summary:
    """The account. Loss is what had no right answer in time; late, double and wrong answers are counted apart."""

    sent: int = 0
    received: int = 0
    duplicates: int = 0
    late: int = 0
    wrong: int = 0
    errors: int = 0
    times: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def loss(self) -> float:
        """The part that was lost, in per cent."""
        return 100 * (self.sent - self.received) / self.sent if self.sent else 0.0


class Prober(Protocol):
    """Sends probes; tells a session what comes back."""

    def probe(self, sequence: int) -> None:
        """Send one."""

    def forget(self, sequence: int) -> None:
        """Nothing that belongs to it needs to be recognised any more."""

    def close(self) -> None:
        """No more probes."""


class Watcher(Protocol):
    """Who shows what happens, line by line."""

    def came(self, sequence: int, what: Came, seconds: float, detail: str) -> None:
        """An answer."""

    def failed(self, sequence: int, reason: ClientFailed) -> None:
        """A probe that could not be sent, or was refused."""

    def lost(self, sequence: int) -> None:
        """A probe whose time is over."""

    def broke(self, reason: ClientFailed | None) -> None:
        """The connection that all probes need is over."""


_KEPT = min(512, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
"""Of how many probes a late or second answer is still recognised; each may keep a socket."""


class PingSession:
    """Sends `count` probes (None: until stopped), one each `interval` seconds, and waits `timeout` for each answer."""

    def __init__(self, reactor: Any, watcher: Watcher, *, count: int | None, interval: float, timeout: float) -> None:
        self.summary = Summary()
        self._reactor = reactor
        self._watcher = watcher
        self._count = count
        self._interval = interval
        self._timeout = timeout
        self._open: dict[int, IDelayedCall] = {}
        self._over: dict[int, Came] = {}
        self._next: IDelayedCall | None = None
        self._ended: Deferred[Summary] = Deferred()

    def start(self, make: Callable[[PingSession], Prober], deadline: float | None) -> Deferred[Summary]:
        """Begin; fires with the summary when all is answered or lost, at the deadline, or at stop."""
        self._began = self._reactor.seconds()
        self._prober = make(self)
        self._deadline = self._reactor.callLater(deadline, self.stop) if deadline is not None else None
        self._send()
        return self._ended

    def stop(self) -> None:
        """End now; what is still open is lost."""
        if self._ended.called:
            return
        for call in (self._next, self._deadline, *self._open.values()):
            if call is not None and call.active():
                call.cancel()
        self._open.clear()
        self._prober.close()
        self.summary.seconds = self._reactor.seconds() - self._began
        self._ended.callback(self.summary)

    def came(self, sequence: int, seconds: float, *, right: bool, detail: str = "") -> None:
        """For the prober: an answer to a probe. A wrong one does not end the waiting for a right one."""
        what = self._what(sequence) if right else Came.WRONG
        if what is Came.REPLY:
            self._open.pop(sequence).cancel()
            self.summary.received += 1
            self.summary.times.append(seconds)
        self.summary.duplicates += what is Came.DUPLICATE
        self.summary.late += what is Came.LATE
        self.summary.wrong += what is Came.WRONG
        self._watcher.came(sequence, what, seconds, detail)
        if what is Came.REPLY:
            self._close(sequence, Came.REPLY)

    def failed(self, sequence: int, reason: ClientFailed) -> None:
        """For the prober: a probe that will have no answer."""
        call = self._open.pop(sequence, None)
        if call is None:
            return
        call.cancel()
        self.summary.errors += 1
        self._watcher.failed(sequence, reason)
        self._close(sequence, Came.LATE)

    def broke(self, reason: ClientFailed | None) -> None:
        """For the prober: no more probes can be sent; None where the server ended it in order."""
        self.summary.errors += 1
        self._watcher.broke(reason)
        self.stop()

    def _what(self, sequence: int) -> Came:
        if sequence in self._open:
            return Came.REPLY
        return Came.DUPLICATE if self._over.get(sequence) is Came.REPLY else Came.LATE

    def _send(self) -> None:
        self.summary.sent += 1
        sequence = self.summary.sent
        self._open[sequence] = self._reactor.callLater(self._timeout, self._lost, sequence)
        if self._count is None or sequence < self._count:
            self._next = self._reactor.callLater(self._interval, self._send)
        self._prober.probe(sequence)

    def _lost(self, sequence: int) -> None:
        del self._open[sequence]
        self._watcher.lost(sequence)
        self._close(sequence, Came.LATE)

    def _close(self, sequence: int, later: Came) -> None:
        """A probe is over; remember what a further answer to it would be."""
        self._over[sequence] = later
        if len(self._over) > _KEPT:
            oldest = next(iter(self._over))
            del self._over[oldest]
            self._prober.forget(oldest)
        if not self._open and self.summary.sent == self._count:
            self.stop()
