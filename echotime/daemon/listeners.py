"""A port as a service: it listens from privilegedStartService on, says so, and what became of its options."""

from __future__ import annotations

from collections.abc import Callable
from traceback import format_exception_only

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure

from echotime.daemon.failure import cannot_listen, start_failed
from echotime.daemon.settings import Address
from echotime.ports.owned import ShutDown
from echotime.ports.tcp import EchoPort
from echotime.ports.udp import TimePort
from echotime.sockopt.apply import OptionFailed, warning
from echotime.sockopt.tcp_info import tcp_info


class Listener(Service):
    """Holds one EchoPort or TimePort. No daemon lives on deaf.

    A port that cannot listen is StartFailed; one that is lost later is what `failed` is told.
    """

    _log = Logger()

    def __init__(
        self,
        transport: str,
        address: Address,
        port: EchoPort | TimePort,
        failed: Callable[[str], object] = lambda reason: None,
        origin: str = "",
    ) -> None:
        self.transport = transport
        self._address = address
        self._origin = origin
        self._where = f"{transport.upper()} {address}"
        self.port = port
        self._failed = failed
        port.lost = self._lost

    def privilegedStartService(self) -> None:
        """Bind, and listen, while there may still be privileges to do so."""
        super().privilegedStartService()
        if self.port.connected:
            return
        try:
            self.port.startListening()
        except (CannotListenError, OptionFailed, OSError) as error:
            raise start_failed(cannot_listen(self.transport.upper(), self._address, error)) from error
        self._report()

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
            self._log.info("{name}: {what}, {errors}", name=self.where, what=what, errors=listed)
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
    def where(self) -> str:
        """Transport and address, as the log has them; also of a port that is closed by now."""
        if self.port.connected:
            host = self.port.getHost()
            self._where = f"{self.transport.upper()} {Address(host.host, host.port)}"
        return self._where

    def _report(self) -> None:
        name = self.where
        self._log.info("listening on {name}", name=name)
        if self._origin:
            self._log.info("{name}: {origin}", name=name, origin=self._origin)
        if isinstance(self.port, EchoPort):
            self._report_backlog(name, self.port)
        else:
            self._report_datagrams(name, self.port)
        for reading in self.port.readings():
            self._log.info("{name}: {reading}", name=name, reading=str(reading))
            if danger := warning(reading.asked, self.transport):
                self._log.warn("{name}: {asked}: {danger}", name=name, asked=str(reading.asked), danger=danger)

    def _lost(self, why: Failure) -> None:
        error = why.value
        # what Python and Twisted raise tells more with its name
        told = str(error) if isinstance(error, ShutDown) else "".join(format_exception_only(why.type, error)).strip()
        self._failed(f"{self.where} is lost: {told}")

    def _report_datagrams(self, name: str, port: TimePort) -> None:
        self._log.info("{name}: served by {io_method}", name=name, io_method=port.io_method)
        if lowest := port.lowest_port:
            self._log.info("{name}: datagrams from ports below {lowest} are dropped", name=name, lowest=lowest)

    def _report_backlog(self, name: str, port: EchoPort) -> None:
        limit = tcp_info(port.socket).limit
        if port.backlog is not None and limit < port.backlog:
            self._log.warn(
                "{name}: backlog asked {asked}, effective {limit}: net.core.somaxconn bounds it",
                name=name,
                asked=port.backlog,
                limit=limit,
            )
