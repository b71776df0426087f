"""Send numbered probes, and count the answers: in time, late, duplicate or wrong.

PingSession counts and keeps the time. A prober (probers.py) sends the probes and recognizes their answers.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from echotime.client.exit_status import ClientError


class ReplyKind(Enum):
    """Classify an answer. The value is its name in JSON."""

    REPLY = "reply"
    DUPLICATE = "duplicate"
    LATE = "late"
    WRONG = "wrong"


@dataclass
class Summary:
    """Count probes and answers. A probe is lost if it has no correct answer in time."""

    sent: int = 0
    received: int = 0
    duplicates: int = 0
    late: int = 0
    wrong: int = 0
    errors: int = 0
    last_error: ClientError | None = None
    """The last of the errors. None: there is none, or the server closed the connection."""
    times: list[float] = field(default_factory=list)
    """Round trips in seconds, one for each correct answer in time."""
    seconds: float = 0.0
    """Duration of the whole session."""

    @property
    def loss(self) -> float:
        """Return the share of lost probes in percent."""
        return 100 * (self.sent - self.received) / self.sent if self.sent else 0.0


class Prober(Protocol):
    """Send probes, and report their answers to a session."""

    def probe(self, sequence: int) -> None:
        """Send the probe with this number."""

    def forget(self, sequence: int) -> None:
        """Release the state that identifies further answers to this probe."""

    def describe_loss(self, sequence: int) -> str:
        """Return why this probe has no answer in time, empty if that is not known."""

    def close(self) -> None:
        """Release all resources; no probe follows."""


class PingReporter(Protocol):
    """Show events as they happen."""

    def reply_received(self, sequence: int, kind: ReplyKind, seconds: float, detail: str) -> None:
        """Show an answer. `detail` describes a wrong one."""

    def probe_failed(self, sequence: int, error: ClientError) -> None:
        """Show that a probe could not be sent, or was refused."""

    def probe_lost(self, sequence: int, reason: str) -> None:
        """Show that a probe had no answer in time. `reason` is empty if it is not known."""

    def connection_lost(self, error: ClientError | None) -> None:
        """Show that the connection of all probes ended. `error` is None if the server closed it."""


_MAX_FINISHED = min(512, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
"""Number of finished probes whose late or second answers are recognized. Each may keep a socket open."""


class PingSession:
    """Send `count` probes (None: no limit), one per `interval` seconds. Wait `timeout` seconds for each answer."""

    def __init__(
        self, reactor: Any, reporter: PingReporter, *, count: int | None, interval: float, timeout: float
    ) -> None:
        self.summary = Summary()
        self._reactor = reactor
        self._reporter = reporter
        self._count = count
        self._interval = interval
        self._timeout = timeout
        self._outstanding: dict[int, IDelayedCall] = {}
        self._finished_probes: dict[int, ReplyKind] = {}
        self._next_send: IDelayedCall | None = None
        self._finished: Deferred[Summary] = Deferred()

    def start(self, make_prober: Callable[[PingSession], Prober], deadline: float | None) -> Deferred[Summary]:
        """Start probing. The result fires when all probes are answered or lost, at the deadline, or at stop."""
        self._started_at = self._reactor.seconds()
        self._prober = make_prober(self)
        self._deadline = self._reactor.callLater(deadline, self.stop) if deadline is not None else None
        self._send()
        return self._finished

    def stop(self) -> None:
        """End now. Probes without an answer are lost."""
        if self._finished.called:
            return
        for call in (self._next_send, self._deadline, *self._outstanding.values()):
            if call is not None and call.active():
                call.cancel()
        self._outstanding.clear()
        self._prober.close()
        self._finished.callback(self.current_summary())

    def current_summary(self) -> Summary:
        """Return the counts until now."""
        self.summary.seconds = self._reactor.seconds() - self._started_at
        return self.summary

    def reply_received(self, sequence: int, seconds: float, *, correct: bool, detail: str = "") -> None:
        """Count an answer. After a wrong answer the probe still waits for a correct one."""
        kind = self._classify(sequence) if correct else ReplyKind.WRONG
        if kind is ReplyKind.REPLY:
            self._outstanding.pop(sequence).cancel()
            self.summary.received += 1
            self.summary.times.append(seconds)
        self.summary.duplicates += kind is ReplyKind.DUPLICATE
        self.summary.late += kind is ReplyKind.LATE
        self.summary.wrong += kind is ReplyKind.WRONG
        self._reporter.reply_received(sequence, kind, seconds, detail)
        if kind is ReplyKind.REPLY:
            self._finish_probe(sequence, ReplyKind.REPLY)

    def probe_failed(self, sequence: int, error: ClientError) -> None:
        """Count a probe that will have no answer."""
        call = self._outstanding.pop(sequence, None)
        if call is None:
            return
        call.cancel()
        self._count_error(error)
        self._reporter.probe_failed(sequence, error)
        self._finish_probe(sequence, ReplyKind.LATE)

    def connection_lost(self, error: ClientError | None) -> None:
        """End, because no more probes can be sent. `error` is None if the server closed the connection."""
        self._count_error(error)
        self._reporter.connection_lost(error)
        self.stop()

    def _count_error(self, error: ClientError | None) -> None:
        self.summary.errors += 1
        self.summary.last_error = error

    def _classify(self, sequence: int) -> ReplyKind:
        if sequence in self._outstanding:
            return ReplyKind.REPLY
        return ReplyKind.DUPLICATE if self._finished_probes.get(sequence) is ReplyKind.REPLY else ReplyKind.LATE

    def _send(self) -> None:
        self.summary.sent += 1
        sequence = self.summary.sent
        self._outstanding[sequence] = self._reactor.callLater(self._timeout, self._on_timeout, sequence)
        if self._count is None or sequence < self._count:
            self._next_send = self._reactor.callLater(self._interval, self._send)
        self._prober.probe(sequence)

    def _on_timeout(self, sequence: int) -> None:
        del self._outstanding[sequence]
        self._reporter.probe_lost(sequence, self._prober.describe_loss(sequence))
        self._finish_probe(sequence, ReplyKind.LATE)

    def _finish_probe(self, sequence: int, next_kind: ReplyKind) -> None:
        """End a probe, and remember the kind of a further answer to it."""
        self._finished_probes[sequence] = next_kind
        if len(self._finished_probes) > _MAX_FINISHED:
            oldest = next(iter(self._finished_probes))
            del self._finished_probes[oldest]
            self._prober.forget(oldest)
        if not self._outstanding and self.summary.sent == self._count:
            self.stop()
