"""The whole daemon as one service: it opens every listener or none, and drains the connections at the stop."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred

import echotime
from echotime.daemon.ports.port_file import PortFile
from echotime.daemon.signals import stop_command
from echotime.errors import StartupError
from echotime.health.readiness import Readiness
from echotime.health.watchdog import SystemdStatus
from echotime.logger import Logger
from echotime.operators.reply_queue import ReplyQueue
from echotime.services.drain import Drain
from echotime.services.traffic import TrafficLog

OnSecondSignal = Callable[[Callable[[], None]], None]


class Daemon(MultiService):
    """Start and stop the child services, drain connections, and log the totals.

    `readiness` is withdrawn at the stop, unless it was before. `on_second_signal` registers a function to call at a
    second signal.
    """

    _log = Logger()

    def __init__(
        self,
        drain: Drain,
        traffic: TrafficLog,
        readiness: Readiness,
        on_second_signal: OnSecondSignal,
        reply_queue: ReplyQueue | None = None,
    ) -> None:
        super().__init__()
        self._drain = drain
        self._traffic = traffic
        self._readiness = readiness
        self._reply_queue = reply_queue
        self._on_second_signal = on_second_signal
        self.systemd_status: SystemdStatus | None = None
        """None without a service manager."""
        self.after_drain: list[Service] = []
        """Services that end after the drain, one after the other: HTTP, which says that it drains, then the record."""
        self.port_file: PortFile | None = None
        """There is a file exactly while all listeners are open. None without --port-file."""

    def privilegedStartService(self) -> None:
        """Open every port. If one of them fails, close the others and raise its StartupError."""
        system = os.uname()
        self._log.info(
            "echotime {version} on {system} {release}{hint}",
            version=echotime.__version__,
            system=system.sysname,
            release=system.release,
            # a service manager has its own command
            hint=f"; stop with {stop_command()}" if self.systemd_status is None else "",
        )
        with self._undone_at_failure():
            super().privilegedStartService()
            for each in self.after_drain:
                each.privilegedStartService()

    def startService(self) -> None:
        """Start the children. If one of them fails, stop the others and raise its StartupError."""
        with self._undone_at_failure():
            super().startService()
            for each in self.after_drain:
                each.startService()
            # after privilegedStartService the Unix sockets do not listen yet
            if self.port_file is not None:
                self.port_file.write()
        self._on_second_signal(self._drain.abort)
        if self.systemd_status is not None:
            self.systemd_status.notify_ready()

    def stopService(self) -> Deferred[Any]:
        """Close the ports and drain. The Deferred fires when the last connection is closed."""
        self._readiness.withdraw()
        if self.port_file is not None:
            self.port_file.remove()
        if self.systemd_status is not None:
            self.systemd_status.stop_checks()
        if self._reply_queue is not None:
            self._reply_queue.stop()
        stopping: Deferred[Any] = super().stopService()
        stopping.addCallback(lambda closed: self._drain.start())
        for each in self.after_drain:
            stopping.addCallback(lambda ended, service: service.stopService(), each)
        return stopping.addCallback(lambda stopped: self._log_totals())

    @contextmanager
    def _undone_at_failure(self) -> Iterator[None]:
        try:
            yield
        except StartupError:
            super().stopService()
            for each in self.after_drain:
                each.stopService()
            raise

    def _log_totals(self) -> None:
        if self.systemd_status is not None:
            self.systemd_status.close()
        self._traffic.flush()
        self._log.info(
            "served connections: {connections} (empty: {empty_connections}), messages: {messages}, "
            "bytes in: {bytes_in}, bytes out: {bytes_out}, datagrams: {datagrams}",
            **vars(self._traffic.counters),
        )
        if refusals := self._traffic.counters.refusals():
            listed = "; ".join(f"{reason}: {number}" for reason, number in refusals.items())
            self._log.info("refusals: {reasons}", reasons=listed)
        if self._reply_queue is not None:
            self._log.info(
                "questions: {queued}, answered: {answered}, expired: {expired}, abandoned: {abandoned}, "
                "given up: {given_up}; not queued: {unattended} unattended, {beyond_limit} beyond the limit, "
                "{stopped} while stopping",
                **vars(self._reply_queue.counters),
            )
