"""Build the daemon from its settings. No address is bound before the service starts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from zope.interface import classImplements

from echotime.behave.udp.protocol import BehavingTimeProtocol
from echotime.config.settings import Settings
from echotime.control.backend import ControlBackend, status_line
from echotime.control.listener import UnixSocketService
from echotime.control.peer import MAX_CONTROL_CONNECTIONS, PeerPolicy
from echotime.control.server import ControlFactory
from echotime.daemon.behave_service import BehaveService
from echotime.daemon.clock_watch import SyncMonitor, read_adjtimex
from echotime.daemon.drop_report import DropReporter
from echotime.daemon.limits_service import LimitsService
from echotime.daemon.listener_service import TCPListenerService, UDPListenerService, listen_error_message
from echotime.daemon.listeners import Listeners, build_listeners
from echotime.daemon.port_file import PortFile, describe_address
from echotime.daemon.record import RecordService
from echotime.daemon.runtime_config import RuntimeConfig
from echotime.daemon.service import Daemon
from echotime.daemon.shared_settings import SharedSettings
from echotime.daemon.shutdown import ShutdownController
from echotime.daemon.twistd_options import NewFile
from echotime.errors import report_startup_failure
from echotime.health.check import HealthCheck
from echotime.health.monitor import HealthMonitor
from echotime.health.readiness import Readiness
from echotime.health.watchdog import SystemdStatus
from echotime.limits.access import AccessList
from echotime.limits.admission import Admission
from echotime.limits.capacity import FDS_PER_HTTP_LISTENER, compute_capacity, count_overhead
from echotime.limits.udp_rate import RateLimit
from echotime.net.udp import IBatchResponder
from echotime.operators.presence import PresenceSwitch
from echotime.operators.reply_queue import ReplyQueue
from echotime.operators.service import build_local_operator
from echotime.services.connection_record import ConnectionRecord
from echotime.services.datagram_policy import DatagramPolicy
from echotime.services.drain import Drain
from echotime.services.echo_factory import EchoFactory
from echotime.services.proxied import build_proxied
from echotime.services.quiet_echo import QuietEchoFactory
from echotime.services.replies import IReplySource
from echotime.services.timeouts import TimeoutMonitor
from echotime.services.traffic import TrafficLog
from echotime.services.udp_time import TimeProtocol
from echotime.systemd.activation import InheritedSockets, listen_fds
from echotime.systemd.environment import InvalidEnvironment, initial_environ, other_process
from echotime.systemd.notify import notifier_from_environ, watchdog_seconds
from echotime.web.adopted import claim_sockets
from echotime.web.state import WebState

if TYPE_CHECKING:
    from echotime.web.service import WebService

# services/ and net/ do not import each other
classImplements(TimeProtocol, IBatchResponder)


TimeT = TypeVar("TimeT", bound=TimeProtocol)


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
        self._settings = settings
        self._reactor = reactor
        self._custom_replies = replies
        self._new_file = new_file
        self.record: RecordService | None = None
        """None without --record."""
        self._reload_succeeded = True
        self._build_services()
        try:
            self._build_listeners()
            self._limit_connections()
            self._build_housekeeping()
        except InvalidEnvironment as error:
            raise report_startup_failure(str(error), logged=False) from None
        self.runtime_config = RuntimeConfig(
            self._factory,
            self._timeout_monitor,
            self._drain,
            self._shutdown,
            self._listeners.tcp,
            self._listeners.udp,
            self._shared.apply_log,
            self._shared.apply_udp_rate,
            self._shared.apply_replies,
            self._shared.apply_proxies,
            self._compute_capacity,
            partial(setattr, self, "_settings"),
        )

    def _build_services(self) -> None:
        """Build what both transports share: traffic log, limits, replies, timeouts and shutdown."""
        settings = self._settings
        self._traffic = TrafficLog(self._reactor)
        self._reply_queue = ReplyQueue(self._reactor) if settings.has_operator else None
        self._factory = EchoFactory(self._traffic, admission=Admission(self._traffic.counters))
        self._factory.build_proxied = partial(build_proxied, self._factory)
        self._factory.quiet_factory = QuietEchoFactory(self._factory)
        presence: PresenceSwitch | None = None
        if self._reply_queue is not None and self._custom_replies is None:
            presence = PresenceSwitch(self._factory, self._reply_queue)
        self._rate_limit = RateLimit(0, time.monotonic)
        self._shared = SharedSettings(
            self._traffic, self._factory, self._rate_limit, self._reply_queue, presence, self._custom_replies
        )
        self._shared.apply(settings)
        self._timeout_monitor = TimeoutMonitor(self._factory, self._reactor, settings.timeouts)
        self._drain = Drain(self._factory, self._reactor, settings.drain_timeout)
        self._readiness = Readiness(self._reactor)
        self._factory.is_ready = lambda: self._readiness.is_ready
        self._shutdown = ShutdownController(
            self._reactor, lambda: self._drain.timeout, self._readiness, settings.stop_delay
        )
        self.service = Daemon(
            self._drain, self._traffic, self._readiness, self._shutdown.on_second_signal, self._reply_queue
        )

    def _build_listeners(self) -> None:
        settings = self._settings
        tcp_options, udp_options = self._port_options()
        environment = initial_environ()
        inherited = InheritedSockets(listen_fds(environment), other_process(environment, "LISTEN_PID"))
        common_arguments = inherited, self._shutdown.fail
        # before --tcp systemd claims what is left
        self._http = claim_sockets(settings.http, inherited, allow_remote=settings.http_allow_remote)
        self._tcp = list(
            build_listeners(TCPListenerService, settings.tcp, lambda: self._factory, tcp_options, *common_arguments)
        )
        self._udp = list(
            build_listeners(
                UDPListenerService,
                settings.udp,
                lambda: self._make_time_protocol(TimeProtocol),
                udp_options,
                *common_arguments,
            )
        )
        inherited.close()
        self._listeners = Listeners(list(self._tcp), list(self._udp))
        for each in self._listeners:
            self.service.addService(each)
        self._behave = BehaveService(
            settings.behave,
            self._factory,
            partial(self._make_time_protocol, partial(BehavingTimeProtocol, reactor=self._reactor)),
            self._listeners,
            self._port_options,
            self._shutdown.fail,
        )
        self.service.addService(self._behave)

    def _port_options(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the keyword arguments of TCP and of UDP ports."""
        settings = self._settings
        common = {"sockopts": settings.sockopts, "reactor": self._reactor}
        tcp_options = {"backlog": settings.backlog, "keeps_final_state": settings.record is not None, **common}
        return tcp_options, {"min_source_port": settings.min_source_port, **common}

    def _make_time_protocol(self, make: Callable[..., TimeT], **options: Any) -> TimeT:
        """Return a protocol that shares counters, limits and log with those of the other UDP listeners."""
        settings = self._settings
        return make(
            time.time,
            self._traffic.counters,
            settings.epoch,
            AccessList(settings.allow, settings.deny),
            self._rate_limit,
            answer_broadcast=settings.answer_broadcast,
            log=self._traffic.datagrams,
            quiet=AccessList.only(settings.quiet),
            is_ready=lambda: self._readiness.is_ready,
            **options,
        )

    def _limit_connections(self) -> None:
        """Derive the connection limits from the descriptors that are left. Raises StartupError if there are none."""
        settings = self._settings
        # one more control connection is open while it is refused
        control = 0 if settings.control is None else 2 + MAX_CONTROL_CONNECTIONS
        clients = control + len(self._http) * FDS_PER_HTTP_LISTENER
        record = 2 * (settings.record is not None)  # one more while it is opened again
        overhead = count_overhead(len(self._tcp) + len(self._udp) + 2 * len(settings.behave), clients + record)
        self._compute_capacity = partial(compute_capacity, overhead=overhead, reactor=self._reactor)
        self._capacity = self._compute_capacity(settings.max_connections, settings.max_per_source)
        # a client, and one that is evicted
        needed = overhead + 2 * bool(settings.tcp)
        if self._capacity.descriptors < needed:
            raise report_startup_failure(
                f"too few descriptors: {self._capacity.cause}, and {needed} are needed for the listeners, the control "
                "socket, HTTP, the log and a client; raise it with ulimit -n, or LimitNOFILE= of systemd",
                logged=False,
            )
        self._factory.admission.set_limits(AccessList(settings.allow, settings.deny), self._capacity.limits)

    def _build_housekeeping(self) -> None:
        """Add the services other than the listeners: limits, reports, the health check, and operators."""
        settings, service, reactor = self._settings, self.service, self._reactor
        if settings.tcp or settings.behave or settings.control is not None:
            service.addService(LimitsService(self._capacity, self._timeout_monitor))
        if settings.require_sync:
            service.addService(SyncMonitor(self._udp_policies, reactor))
        health = HealthCheck(self._tcp, self._udp, self._factory, reactor)
        if (notify := notifier_from_environ(os.environ)) is not None:
            format_status = partial(status_line, self._factory, self._readiness)
            service.systemd_status = SystemdStatus(notify, format_status, health, reactor, watchdog_seconds(os.environ))
            self._readiness.on_withdrawn = service.systemd_status.notify_stopping
        backend = ControlBackend(
            self._factory,
            self._listeners.tcp,
            self._listeners.udp,
            health,
            self._readiness,
            lambda: str(read_adjtimex()),
        )
        self._web = web = self._build_web(backend, health) if self._http else None
        self._build_reports()
        if self._reply_queue is not None and settings.control is not None:
            policy = PeerPolicy(settings.control_group)
            control_factory = ControlFactory(
                self._reply_queue, backend, self._traffic, reactor, policy, settings.encoding
            )
            control_factory.change_behaviors = self._behave.change
            control_factory.describe_http = web.describe_access if web is not None else None
            service.addService(UnixSocketService(settings.control, settings.control_group, control_factory, reactor))
        if self._reply_queue is not None and settings.operator:
            service.addService(
                build_local_operator(
                    self._reply_queue,
                    self._traffic,
                    reactor,
                    settings.encoding,
                    lambda: [each.label for each in self._listeners],
                    log_to_stdout=settings.log_to_stdout,
                )
            )
        if settings.port_file is not None:
            service.port_file = PortFile(settings.port_file, self._describe_ports)
            self._behave.on_change = service.port_file.update

    def _build_reports(self) -> None:
        """Add the reports of refusals and failures, and the record, which has refusals, too."""
        settings, reactor = self._settings, self._reactor
        sources = self._traffic.counters.refused_sources
        if settings.record is None:
            self.service.addService(DropReporter(self._drop_counts, sources, reactor))
            return
        self.record = RecordService(settings.record, self._new_file, reactor)
        record = ConnectionRecord(self.record.write, reactor)
        self._traffic.record_connection = record.connection_closed
        reporter = DropReporter(self._drop_counts, sources, reactor, record.refused)
        self.record.before_end = reporter.record_rest
        self.service.addService(reporter)
        self.service.addService(DropReporter(self.record.lost_counts, dict, reactor))
        self.service.after_drain.append(self.record)

    def _build_web(self, backend: ControlBackend, health: HealthCheck) -> WebService:
        """Add HTTP, and the periodic check whose results it shows."""
        # twisted.web takes 4 MB of memory
        from echotime.web.service import build_web

        monitor = HealthMonitor(health, self._reactor)
        self.service.addService(monitor)
        state = WebState(
            backend=backend,
            factory=self._factory,
            queue=self._reply_queue,
            traffic=self._traffic,
            readiness=self._readiness,
            health=monitor,
            listeners=self._listeners,
            read_clock=read_adjtimex,
            reload_succeeded=lambda: self._reload_succeeded,
            encoding=self._settings.encoding,
            reactor=self._reactor,
        )
        describe_error = partial(listen_error_message, "TCP")
        web = build_web(state, self._http, describe_error, public_metrics=self._settings.http_public_metrics)
        self.service.after_drain.append(web)
        return web

    def _describe_ports(self) -> dict[str, Any]:
        """Return what the port file says besides version and process ID. Every listener is open."""
        web = self._web
        return {
            "tcp": [describe_address(each.address) for each in self._tcp],
            "udp": [describe_address(each.address) for each in self._udp],
            "http": [describe_address(each) for each in web.addresses] if web is not None else [],
            "control": self._settings.control,
            "behave": [
                {**describe_address(each.address), "transport": each.transport, "behavior": str(behavior)}
                for each, behavior in self._behave.behaviors.items()
            ],
        }

    def on_reload_result(self, succeeded: bool) -> None:
        """Record whether the last reload succeeded, for the metrics."""
        self._reload_succeeded = succeeded

    def _udp_policies(self) -> list[DatagramPolicy]:
        return [each.port.protocol.policy for each in self._listeners.udp]

    def _drop_counts(self) -> dict[str, int]:
        counts = self._traffic.counters.refusals()
        for listener in self._listeners:
            counts.update({f"{listener.label}: {error}": number for error, number in listener.errors().items()})
        return counts
