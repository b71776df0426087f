"""Build the daemon from its settings. No address is bound before the service starts."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from echotime.config.settings import Settings
from echotime.control.backend import ControlBackend, status_line
from echotime.control.listener import UnixSocketService
from echotime.control.peer import PeerPolicy
from echotime.control.server import ControlFactory
from echotime.daemon.clock_watch import SyncMonitor, read_adjtimex
from echotime.daemon.drop_report import DropReporter
from echotime.daemon.limits_service import LimitsService
from echotime.daemon.ports.listener_service import listen_error_message
from echotime.daemon.ports.port_file import PortFile, describe_address
from echotime.daemon.record.service import RecordService
from echotime.daemon.runtime_config import RuntimeConfig
from echotime.daemon.service import Daemon
from echotime.daemon.serving import Serving
from echotime.daemon.twistd_options import NewFile
from echotime.errors import report_startup_failure
from echotime.health.check import HealthCheck
from echotime.health.monitor import HealthMonitor
from echotime.health.watchdog import SystemdStatus
from echotime.logger import Logger
from echotime.operators.service import build_local_operator
from echotime.services.connection_record import ConnectionRecord
from echotime.services.datagram_policy import DatagramPolicy
from echotime.services.replies import IReplySource
from echotime.systemd.environment import InvalidEnvironment
from echotime.systemd.notify import notifier_from_environ, watchdog_seconds
from echotime.web.state import WebState

if TYPE_CHECKING:
    from echotime.web.service import WebService

_log = Logger()


class DaemonBuilder:
    """Build the daemon as `service`, and `runtime_config` to change it at a reload.

    `replies` replaces the reply source that the settings name. Raises StartupError if a requested socket was not passed
    in, or a variable of the service manager is faulty. `new_file` has the rights of a file that the daemon creates.
    """

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        replies: IReplySource | None = None,
        new_file: NewFile = NewFile(),  # noqa: B008 - immutable
    ) -> None:
        for warning in settings.warnings:
            _log.warn("{warning}", warning=warning)
        self._settings = settings
        self._reactor = reactor
        self._new_file = new_file
        self.record: RecordService | None = None
        """None without --record."""
        self._reload_succeeded = True
        try:
            self.serving = serving = Serving(settings, reactor, replies)
            self.service = Daemon(
                serving.drain,
                serving.traffic,
                serving.readiness,
                serving.shutdown.on_second_signal,
                serving.reply_queue,
            )
            for each in (*serving.listeners, serving.behave):
                self.service.addService(each)
            self._build_housekeeping()
        except InvalidEnvironment as error:
            raise report_startup_failure(str(error), logged=False) from None
        self.runtime_config = RuntimeConfig(
            serving.factory,
            serving.timeout_monitor,
            serving.drain,
            serving.shutdown,
            serving.listeners.tcp,
            serving.listeners.udp,
            serving.shared.apply_log,
            serving.shared.apply_udp_rate,
            serving.shared.apply_replies,
            serving.shared.apply_proxies,
            serving.compute_capacity,
            partial(setattr, serving, "settings"),
        )

    def _build_housekeeping(self) -> None:
        """Add the services other than the listeners: limits, reports, the health check, and operators."""
        serving, settings, service, reactor = self.serving, self._settings, self.service, self._reactor
        if settings.tcp or settings.behave or settings.control is not None:
            service.addService(LimitsService(serving.capacity, serving.timeout_monitor))
        if settings.require_sync:
            monitor = SyncMonitor(self._udp_policies, reactor)
            service.addService(monitor)
            serving.is_muted = monitor.is_muted
        health = HealthCheck(serving.tcp, serving.udp, serving.factory, reactor)
        if (notify := notifier_from_environ(os.environ)) is not None:
            format_status = partial(status_line, serving.factory, serving.readiness)
            service.systemd_status = SystemdStatus(notify, format_status, health, reactor, watchdog_seconds(os.environ))
            serving.readiness.on_withdrawn = service.systemd_status.notify_stopping
        backend = ControlBackend(
            serving.factory,
            serving.listeners.tcp,
            serving.listeners.udp,
            health,
            serving.readiness,
            lambda: str(read_adjtimex()),
        )
        self._web = web = self._build_web(backend, health) if serving.http else None
        self._build_reports()
        if serving.reply_queue is not None and settings.control is not None:
            policy = PeerPolicy(settings.control_group)
            control_factory = ControlFactory(
                serving.reply_queue, backend, serving.traffic, reactor, policy, settings.encoding
            )
            control_factory.change_behaviors = serving.behave.change
            control_factory.http = web
            path, group = settings.control, settings.control_group
            service.addService(UnixSocketService(path, group, control_factory, reactor, serving.shutdown.fail))
        if serving.reply_queue is not None and settings.operator:
            service.addService(
                build_local_operator(
                    serving.reply_queue,
                    serving.traffic,
                    reactor,
                    settings.encoding,
                    lambda: [each.label for each in serving.listeners],
                    log_to_stdout=settings.log_to_stdout,
                )
            )
        if settings.port_file is not None:
            service.port_file = PortFile(settings.port_file, self._describe_ports)
            serving.behave.on_change = service.port_file.update

    def _build_reports(self) -> None:
        """Add the reports of refusals and failures, and the record, which has refusals, too."""
        settings, reactor = self._settings, self._reactor
        sources = self.serving.traffic.counters.refused_sources
        if settings.record is None:
            self.service.addService(DropReporter(self._drop_counts, sources, reactor))
            return
        self.record = RecordService(settings.record, self._new_file, reactor)
        record = ConnectionRecord(self.record.write, reactor)
        self.serving.traffic.record_connection = record.connection_closed
        reporter = DropReporter(self._drop_counts, sources, reactor, record.refused)
        self.record.before_end = reporter.record_rest
        self.service.addService(reporter)
        self.service.addService(DropReporter(self.record.lost_counts, dict, reactor))
        self.service.after_drain.append(self.record)

    def _build_web(self, backend: ControlBackend, health: HealthCheck) -> WebService:
        """Add HTTP, and the periodic check whose results it shows."""
        # twisted.web takes 4 MB of memory
        from echotime.web.service import build_web

        serving = self.serving
        monitor = HealthMonitor(health, self._reactor)
        self.service.addService(monitor)
        state = WebState(
            backend=backend,
            factory=serving.factory,
            queue=serving.reply_queue,
            traffic=serving.traffic,
            readiness=serving.readiness,
            health=monitor,
            listeners=[*serving.tcp, *serving.udp],
            errors=serving.listeners.errors,
            read_clock=read_adjtimex,
            reload_succeeded=lambda: self._reload_succeeded,
            encoding=self._settings.encoding,
            reactor=self._reactor,
        )
        describe_error = partial(listen_error_message, "TCP")
        public_metrics = self._settings.http_public_metrics
        web = build_web(state, serving.http, describe_error, serving.shutdown.fail, public_metrics=public_metrics)
        self.service.after_drain.append(web)
        return web

    def _describe_ports(self) -> dict[str, Any]:
        """Return what the port file says besides version and process ID. Every listener is open."""
        web = self._web
        return {
            "tcp": [describe_address(each.address) for each in self.serving.tcp],
            "udp": [describe_address(each.address) for each in self.serving.udp],
            "http": [describe_address(each) for each in web.addresses] if web is not None else [],
            "control": self._settings.control,
            "behave": [
                {**describe_address(each.address), "transport": each.transport, "behavior": str(behavior)}
                for each, behavior in self.serving.behave.behaviors.items()
            ],
        }

    def on_reload_result(self, succeeded: bool) -> None:
        """Record whether the last reload succeeded, for the metrics."""
        self._reload_succeeded = succeeded

    def _udp_policies(self) -> list[DatagramPolicy]:
        return [each.port.protocol.policy for each in self.serving.listeners.udp]

    def _drop_counts(self) -> dict[str, int]:
        counts = self.serving.traffic.counters.refusals()
        for listener in self.serving.listeners:
            counts.update({f"{listener.label}: {error}": number for error, number in listener.errors().items()})
        return counts
