"""A port as a service: it listens from privilegedStartService on, says so, and what became of its options."""

from __future__ import annotations

from collections.abc import Callable
from traceback import format_exception_only

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure

from echotime.daemon.listen_error import listen_error_message
from echotime.errors import report_startup_failure
from echotime.net.owned import SocketShutDown
from echotime.net.tcp import EchoPort
from echotime.net.udp import TimePort
from echotime.sockopt.apply import OptionError, warning
from echotime.sockopt.tcp_info import read_tcp_info
from echotime.wire.hostport import HostPort


class ListenerService(Service):
    """Holds one EchoPort or TimePort. No daemon lives on deaf.

    A port that cannot listen is StartupError; one that is lost later is what `on_lost` is told.
    """

    _log = Logger()

    def __init__(
        self,
        transport: str,
        address: HostPort,
        port: EchoPort | TimePort,
        on_lost: Callable[[str], object] = lambda reason: None,
        origin: str = "",
    ) -> None:
        self.transport = transport
        self._address = address
        self._origin = origin
        self._label = f"{transport.upper()} {address}"
        self.port = port
        self._on_lost = on_lost
        port.on_lost = self._port_lost

    def privilegedStartService(self) -> None:
        """Bind, and listen, while there may still be privileges to do so."""
        super().privilegedStartService()
        if self.port.connected:
            return
        try:
            self.port.startListening()
        except (CannotListenError, OptionError, OSError) as error:
            raise report_startup_failure(listen_error_message(self.transport.upper(), self._address, error)) from error
        self._log_state()

    def startService(self) -> None:
        """Listen, if nobody called privilegedStartService."""
        self.privilegedStartService()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Close the port; connections that it accepted are not touched."""
        super().stopService()
        if errors := self.errors():
            listed = ", ".join(f"{reason}: {number}" for reason, number in errors.items())
            what = "not accepted" if isinstance(self.port, EchoPort) else "not received or not sent"
            self._log.info("{name}: {what}, {errors}", name=self.label, what=what, errors=listed)
        return maybeDeferred(self.port.stopListening) if self.port.connected else succeed(None)

    def errors(self) -> dict[str, int]:
        """What went wrong with connections to be accepted, or with datagrams, and how often."""
        if not self.port.connected:
            return {}
        errors = dict(self.port.errors)
        if isinstance(self.port, TimePort) and (dropped := self.port.dropped):
            errors["dropped by the kernel"] = dropped
        return errors

    @property
    def label(self) -> str:
        """Transport and address, as the log has them; also of a port that is closed by now."""
        if self.port.connected:
            host = self.port.getHost()
            self._label = f"{self.transport.upper()} {HostPort(host.host, host.port)}"
        return self._label

    def _log_state(self) -> None:
        name = self.label
        self._log.info("listening on {name}", name=name)
        if self._origin:
            self._log.info("{name}: {origin}", name=name, origin=self._origin)
        if isinstance(self.port, EchoPort):
            self._check_backlog(name, self.port)
        else:
            self._log_udp_state(name, self.port)
        for reading in self.port.read_back():
            self._log.info("{name}: {reading}", name=name, reading=str(reading))
            if hazard := warning(reading.assignment, self.transport):
                self._log.warn("{name}: {asked}: {danger}", name=name, asked=str(reading.assignment), danger=hazard)

    def _port_lost(self, failure: Failure) -> None:
        error = failure.value
        # what Python and Twisted raise tells more with its name
        description = (
            str(error)
            if isinstance(error, SocketShutDown)
            else "".join(format_exception_only(failure.type, error)).strip()
        )
        self._on_lost(f"{self.label} is lost: {description}")

    def _log_udp_state(self, name: str, port: TimePort) -> None:
        self._log.info("{name}: served by {io_method}", name=name, io_method=port.io_method)
        if min_port := port.min_source_port:
            self._log.info("{name}: datagrams from ports below {lowest} are dropped", name=name, lowest=min_port)

    def _check_backlog(self, name: str, port: EchoPort) -> None:
        limit = read_tcp_info(port.socket).accept_queue_limit
        if port.backlog is not None and limit < port.backlog:
            self._log.warn(
                "{name}: backlog asked {asked}, effective {limit}: net.core.somaxconn bounds it",
                name=name,
                asked=port.backlog,
                limit=limit,
            )
