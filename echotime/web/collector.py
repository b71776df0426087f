"""Collect the daemon's metrics: every declared counter, the listeners, questions, the clock, the log and the reload.

No label has the address of a client, because Prometheus keeps each value of a label as a series for as long as it
keeps data.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator

import echotime
import twisted
from echotime.counters import LOG_COUNTERS, METRIC_HELP, RECORD_COUNTERS, Counters, declared
from echotime.health.check import HealthStatus
from echotime.net.listener import DROPPED_BY_KERNEL
from echotime.web.state import WebState
from echotime.wire.exposition import Family, Kind

_PREFIX = "echotime_"
_ACCEPT = "accept "
"""Precedes the errno in the reason of a connection that was not accepted."""
_EXPECTED_ERRNOS = ("EMFILE", "ENFILE")
"""Shown from the start, because an alert cannot see the first increase of a metric that was not there before."""


class DaemonCollector:
    """Collect the metrics of one daemon. Nothing is probed: health is the last known state."""

    def __init__(self, state: WebState) -> None:
        self._state = state

    def collect(self) -> Iterator[Family]:
        """Yield every metric with its present value."""
        state = self._state
        yield _gauge("build_info", "1, with the versions as labels.").add(
            1, version=echotime.__version__, twisted=twisted.__version__, python=platform.python_version()
        )
        yield _gauge("connections_open", "Open TCP connections.").add(len(state.factory.connections))
        if limit := state.factory.admission.limits.max_connections:
            yield _gauge("connections_limit", "Maximum number of open TCP connections.").add(limit)
        yield from self._counters()
        yield from self._listeners()
        if state.queue is not None:
            yield _gauge("questions_waiting", "Messages that wait for an operator's reply.").add(
                len(state.queue.pending)
            )
            yield _gauge("operators", "Operators who are present.").add(state.queue.operator_count)
        yield from self._clock()
        yield _gauge("config_last_reload_successful", "0 if the last reload failed, else 1.").add(
            int(state.reload_succeeded())
        )

    def _counters(self) -> Iterator[Family]:
        """Yield the declared counters, with the datagrams and connections that ports lost among the refusals."""
        families: dict[str, Family] = {}
        groups: list[Counters] = [self._state.factory.counters(), LOG_COUNTERS, RECORD_COUNTERS]
        if self._state.queue is not None:
            groups.append(self._state.queue.counters)
        for group in groups:
            for each in declared(group):
                family, label, value = each.metric
                if family not in families:
                    families[family] = _counter(family, METRIC_HELP.get(family, each.help))
                families[family].add(getattr(group, each.name), **({label: value} if label else {}))
        for reason, number in self._state.errors("udp").items():
            families["datagrams_unanswered"].add(number, reason=reason)
        yield from families.values()

    def _listeners(self) -> Iterator[Family]:
        """Yield the figures of each listener, except those of --behave, and the errors of accept(2) of all.

        Each listener of --behave on a free port would have a label of its own, and new alerts.
        """
        state = self._state
        labels = {each.label for each in state.listeners}
        healthy = _gauge("listener_healthy", "0 if the last health check has proven the listener hung, else 1.")
        for result in state.health.results:
            healthy.add(int(result.status is not HealthStatus.HUNG), listener=result.listener)
        pending = _gauge("backlog", "Connections in the accept queue.")
        limit = _gauge("backlog_limit", "Maximum length of the accept queue.")
        for row in state.backend.backlog(None):
            if row["listener"] in labels:
                pending.add(row["pending"], listener=row["listener"])
                limit.add(row["limit"], listener=row["listener"])
        errors = {name.removeprefix(_ACCEPT): number for name, number in state.errors("tcp").items()}
        failed = _counter("accept_errors", "TCP connections that could not be accepted.")
        for errno_name, number in (dict.fromkeys(_EXPECTED_ERRNOS, 0) | errors).items():
            failed.add(number, errno=errno_name)
        drops = _counter("kernel_drops", "Datagrams dropped: from a low port, or because the receive buffer was full.")
        for each in state.listeners:
            if each.port.kind.transport == "udp" and each.port.connected:
                drops.add(each.errors().get(DROPPED_BY_KERNEL, 0), listener=each.label)
        return iter((healthy, pending, limit, failed, drops))

    def _clock(self) -> Iterator[Family]:
        """Yield the synchronization status of the system clock, nothing if it is unknown."""
        clock = self._state.read_clock()
        if clock.synchronized is not None:
            yield _gauge("clock_synchronized", "1 if the kernel reports the clock as synchronized, else 0.").add(
                int(clock.synchronized)
            )
            yield _gauge("clock_max_error_seconds", "Maximum error of the clock, as the kernel estimates it.").add(
                clock.max_error
            )


def _gauge(name: str, help_text: str) -> Family:
    return Family(_PREFIX + name, help_text)


def _counter(name: str, help_text: str) -> Family:
    return Family(_PREFIX + name, help_text, Kind.COUNTER)
