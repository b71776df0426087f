"""Build what serves clients: the services, their listeners and their limits. No address is bound yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from zope.interface import classImplements

from echotime.behave.udp.protocol import BehavingTimeProtocol
from echotime.config.settings import Settings
from echotime.control.peer import MAX_CONTROL_CONNECTIONS
from echotime.daemon.ports.behave_service import BehaveService
from echotime.daemon.ports.listener_service import TCPListenerService, UDPListenerService
from echotime.daemon.ports.listeners import Listeners, build_listeners
from echotime.daemon.shared_settings import SharedSettings
from echotime.daemon.shutdown import ShutdownController
from echotime.errors import report_startup_failure
from echotime.health.readiness import Readiness
from echotime.limits.access import AccessList
from echotime.limits.admission import Admission
from echotime.limits.capacity import FDS_PER_HTTP_LISTENER, compute_capacity, count_overhead
from echotime.limits.udp_rate import RateLimit
from echotime.net.udp import IBatchResponder
from echotime.operators.presence import PresenceSwitch
from echotime.operators.reply_queue import ReplyQueue
from echotime.services.drain import Drain
from echotime.services.echo_factory import EchoFactory
from echotime.services.proxied import build_proxied
from echotime.services.quiet_echo import QuietEchoFactory
from echotime.services.replies import IReplySource
from echotime.services.timeouts import TimeoutMonitor
from echotime.services.traffic import TrafficLog
from echotime.services.udp_time import TimeProtocol
from echotime.systemd.activation import InheritedSockets, listen_fds
from echotime.systemd.environment import initial_environ, other_process
from echotime.web.adopted import claim_sockets

# services/ and net/ do not import each other
classImplements(TimeProtocol, IBatchResponder)


TimeT = TypeVar("TimeT", bound=TimeProtocol)


class Serving:
    """Hold what serves clients. DaemonBuilder adds what watches and operates it.

    `replies` replaces the reply source that the settings name. Raises StartupError if a requested socket was not passed
    in, or if there are too few descriptors, and InvalidEnvironment.
    """

    def __init__(self, settings: Settings, reactor: Any, replies: IReplySource | None) -> None:
        self.settings = settings
        """The settings of the last reload, for listeners that are opened later."""
        self._reactor = reactor
        self._custom_replies = replies
        self.is_muted: Callable[[], bool] = lambda: False
        """Returns True while the clock is not synchronized, with --require-sync."""
        self._build_services()
        self._build_listeners()
        self._limit_connections()

    def _build_services(self) -> None:
        """Build what both transports share: traffic log, limits, replies, timeouts and shutdown."""
        settings = self.settings
        self.traffic = TrafficLog(self._reactor)
        self.reply_queue = ReplyQueue(self._reactor) if settings.has_operator else None
        self.factory = EchoFactory(self.traffic, admission=Admission(self.traffic.counters))
        self.factory.build_proxied = partial(build_proxied, self.factory)
        self.factory.quiet_factory = QuietEchoFactory(self.factory)
        presence: PresenceSwitch | None = None
        if self.reply_queue is not None and self._custom_replies is None:
            presence = PresenceSwitch(self.factory, self.reply_queue)
        self.rate_limit = RateLimit(0, time.monotonic)
        self.shared = SharedSettings(
            self.traffic, self.factory, self.rate_limit, self.reply_queue, presence, self._custom_replies
        )
        self.shared.apply(settings)
        self.timeout_monitor = TimeoutMonitor(self.factory, self._reactor, settings.timeouts)
        self.drain = Drain(self.factory, self._reactor, settings.drain_timeout)
        self.readiness = Readiness(self._reactor)
        self.factory.is_ready = lambda: self.readiness.is_ready
        self.shutdown = ShutdownController(
            self._reactor, lambda: self.drain.timeout, self.readiness, settings.stop_delay
        )

    def _build_listeners(self) -> None:
        settings = self.settings
        tcp_options, udp_options = self._port_options()
        environment = initial_environ()
        inherited = InheritedSockets(listen_fds(environment), other_process(environment, "LISTEN_PID"))
        common_arguments = inherited, self.shutdown.fail
        # before --tcp systemd claims what is left
        self.http = claim_sockets(settings.http, inherited, allow_remote=settings.http_allow_remote)
        self.tcp = list(
            build_listeners(TCPListenerService, settings.tcp, lambda: self.factory, tcp_options, *common_arguments)
        )
        self.udp = list(
            build_listeners(
                UDPListenerService,
                settings.udp,
                lambda: self._make_time_protocol(TimeProtocol),
                udp_options,
                *common_arguments,
            )
        )
        inherited.close()
        self.listeners = Listeners(list(self.tcp), list(self.udp))
        self.behave = BehaveService(
            settings.behave,
            self.factory,
            partial(self._make_time_protocol, partial(BehavingTimeProtocol, reactor=self._reactor)),
            self.listeners,
            self._port_options,
            self.shutdown.fail,
        )

    def _port_options(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the keyword arguments of TCP and of UDP ports."""
        settings = self.settings
        common = {"sockopts": settings.sockopts, "reactor": self._reactor}
        tcp_options = {"backlog": settings.backlog, "keeps_final_state": settings.record is not None, **common}
        return tcp_options, {"min_source_port": settings.min_source_port, **common}

    def _make_time_protocol(self, make: Callable[..., TimeT], **options: Any) -> TimeT:
        """Return a protocol that shares counters, limits and log with those of the other UDP listeners."""
        settings = self.settings
        protocol = make(
            time.time,
            self.traffic.counters,
            settings.epoch,
            AccessList(settings.allow, settings.deny),
            self.rate_limit,
            answer_broadcast=settings.answer_broadcast,
            log=self.traffic.datagrams,
            quiet=AccessList.only(settings.quiet),
            is_ready=lambda: self.readiness.is_ready,
            **options,
        )
        protocol.policy.set_muted(self.is_muted())
        return protocol

    def _limit_connections(self) -> None:
        """Derive the connection limits from the descriptors that are left. Raises StartupError if there are none."""
        settings = self.settings
        # one more control connection is open while it is refused
        control = 0 if settings.control is None else 2 + MAX_CONTROL_CONNECTIONS
        clients = control + len(self.http) * FDS_PER_HTTP_LISTENER
        record = 2 * (settings.record is not None)  # one more while it is opened again
        overhead = count_overhead(len(self.tcp) + len(self.udp) + 2 * len(settings.behave), clients + record)
        self.compute_capacity = partial(compute_capacity, overhead=overhead, reactor=self._reactor)
        self.capacity = self.compute_capacity(settings.max_connections, settings.max_per_source)
        # a client, and one that is evicted
        needed = overhead + 2 * bool(settings.tcp)
        if self.capacity.descriptors < needed:
            raise report_startup_failure(
                f"too few descriptors: {self.capacity.cause}, and {needed} are needed for the listeners, the control "
                "socket, HTTP, the log and a client; raise it with ulimit -n, or LimitNOFILE= of systemd",
                logged=False,
            )
        self.factory.admission.set_limits(AccessList(settings.allow, settings.deny), self.capacity.limits)
