"""Run TCP and UDP ports as services, and log their addresses, socket options and errors."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from echotime.daemon.ports.port_users import describe_port_users
from echotime.errors import report_startup_failure
from echotime.logger import Logger
from echotime.net.listener import DROPPED_BY_KERNEL, ListeningPort
from echotime.net.owned import describe_loss
from echotime.net.tcp import EchoPort
from echotime.net.udp import TimePort
from echotime.net.udp_port import SingleDatagramPort
from echotime.sockopt.apply import OptionError, ReadBack, warning
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.errno_name import errno_name
from echotime.wire.hostport import HostPort

_HINTS = {
    errno.EAFNOSUPPORT: "the kernel does not support the address family, or a sandbox forbids it "
    "(RestrictAddressFamilies= of systemd); echotime.service serves only the sockets of echotime.socket",
    errno.EADDRNOTAVAIL: "this host does not have the address",
    errno.ENOSPC: "epoll_ctl(2) failed, because fs.epoll.max_user_watches is reached",
    errno.ENODEV: "there is no such interface",
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE, or root",
}
PortT = TypeVar("PortT", bound=ListeningPort)


class ListenFailedError(Exception):
    """Raised if a listener cannot be opened. The message is the reason."""


class ListenerService(Service, Generic[PortT]):
    """Run one port as a service.

    Starting raises StartupError if the port cannot listen. `on_lost` is called with the reason if the port fails later.
    `origin` says where an inherited socket came from.
    """

    transport: str
    remark = ""
    """What is unusual about the listener, for a warning at the start."""
    _errors_title: str
    _log = Logger()

    def __init__(
        self,
        address: HostPort,
        port: PortT,
        on_lost: Callable[[str], object] = lambda reason: None,
        origin: str = "",
    ) -> None:
        self._address = address
        self._origin = origin
        self._label = f"{self.transport.upper()} {address}"
        self.port = port
        self._on_lost = on_lost
        port.on_lost = self._port_lost

    def privilegedStartService(self) -> None:
        """Bind and listen while the process may still be privileged."""
        super().privilegedStartService()
        if not self.port.connected:
            try:
                self.listen()
            except ListenFailedError as error:
                raise report_startup_failure(str(error)) from error

    def listen(self) -> None:
        """Bind and listen. Raises ListenFailedError."""
        try:
            self.port.startListening()
        except (CannotListenError, OptionError, OSError) as error:
            raise ListenFailedError(listen_error_message(self.transport.upper(), self._address, error)) from error
        self._log_state()

    def set_option(self, assignment: Assignment) -> None:
        """Set a socket option, and log it as at the start. Raises OptionError."""
        reading = self.port.set_option(assignment)
        self._log_option(self.label, reading)

    def startService(self) -> None:
        self.privilegedStartService()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Close the port. Accepted connections stay open."""
        super().stopService()
        if errors := self.errors():
            listed = ", ".join(f"{reason}: {number}" for reason, number in errors.items())
            self._log.info("{name}: {what}: {errors}", name=self.label, what=self._errors_title, errors=listed)
        return maybeDeferred(self.port.stopListening) if self.port.connected else succeed(None)

    def errors(self) -> dict[str, int]:
        return dict(self.port.errors) if self.port.connected else {}

    @property
    def address(self) -> HostPort:
        """Return the address that the port is bound to. The port must be open."""
        return HostPort.from_sockaddr(self.port.socket.getsockname())

    @property
    def label(self) -> str:
        if self.port.connected:
            self._label = f"{self.transport.upper()} {self.address}"
        return self._label

    def _log_state(self) -> None:
        name = self.label
        if self.remark:
            self._log.warn("listening on {name}, {remark}", name=name, remark=self.remark)
        else:
            self._log.info("listening on {name}", name=name)
        if self._origin:
            self._log.debug("{name}: {origin}", name=name, origin=self._origin)
        self._log_details(name)
        for reading in self.port.read_back():
            self._log_option(name, reading)

    def _log_option(self, name: str, reading: ReadBack) -> None:
        self._log.info("{name}: {reading}", name=name, reading=str(reading))
        if hazard := warning(reading.assignment, self.transport):
            self._log.warn(
                "{name}: {assignment}: {hazard}", name=name, assignment=str(reading.assignment), hazard=hazard
            )

    def _log_details(self, name: str) -> None:
        """Log the settings that only this transport has."""

    def _port_lost(self, failure: Failure) -> None:
        self._on_lost(describe_loss(self.label, failure))


class TCPListenerService(ListenerService[EchoPort]):
    """Run an EchoPort as a service."""

    transport = "tcp"
    port_class = EchoPort
    _errors_title = "connections not accepted"

    def set_backlog(self, backlog: int) -> bool:
        """Change the limit of the accept queue as at the start. Return True if it has changed. Raises OSError."""
        is_new = backlog != self.port.backlog and self.port.fixed_backlog is None
        changed = self.port.configure_backlog(backlog)
        if is_new:
            self._log_details(self.label)
        if is_new and (limit := self.port.accept_queue_limit) > backlog:
            self._log.warn(
                "{name}: backlog: requested {requested}, effective {limit}, "
                "because a passed-in accept queue is not made shorter",
                name=self.label,
                requested=backlog,
                limit=limit,
            )
        return changed

    def _log_details(self, name: str) -> None:
        limit, requested = self.port.accept_queue_limit, self.port.backlog
        if limit < requested:
            self._log.warn(
                "{name}: backlog: requested {requested}, effective {limit}, because of net.core.somaxconn",
                name=name,
                requested=requested,
                limit=limit,
            )


class UDPListenerService(ListenerService[SingleDatagramPort]):
    """Run a UDP port as a service."""

    transport = "udp"
    port_class = TimePort
    _errors_title = "datagrams not answered"

    def errors(self) -> dict[str, int]:
        errors = super().errors()
        if self.port.connected and (dropped := self.port.dropped):
            errors[DROPPED_BY_KERNEL] = dropped
        return errors

    def _log_details(self, name: str) -> None:
        self._log.debug("{name}: served by {io_method}", name=name, io_method=self.port.io_method)
        if lowest := self.port.min_source_port:
            self._log.debug("{name}: datagrams from ports below {lowest} are dropped", name=name, lowest=lowest)


def listen_error_message(transport: str, address: HostPort, error: Exception) -> str:
    """Return why a listener cannot be opened, with a hint for common causes."""
    cause = error.socketError if isinstance(error, CannotListenError) else error
    if not isinstance(cause, OSError):
        return f"cannot listen on {transport} {address}: {cause}"
    if cause.filename is not None:
        return f"cannot listen on {transport} {address}: {cause.filename}: {cause.strerror} ({errno_name(cause)})"
    hint = f": {_HINTS[cause.errno]}" if cause.errno in _HINTS else ""
    if cause.errno == errno.EADDRINUSE:
        hint = f": {describe_port_users(transport.lower(), address.port)}"
    if cause.errno == errno.EINVAL and address.host.lower().startswith("fe80:") and "%" not in address.host:
        hint = f": a link-local address needs its interface, as in [{address.host}%eth0]"
    return f"cannot listen on {transport} {address}: {cause.strerror} ({errno_name(cause)}){hint}"
