"""Listen for HTTP on TCP addresses, on Unix sockets, and on inherited sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twisted.application.service import Service
from twisted.internet import tcp
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from echotime.control.listener import BACKLOG, UnixPort, UnixSocketService
from echotime.errors import report_startup_failure
from echotime.logger import Logger
from echotime.net.owned import LossNotifyingPort, describe_loss
from echotime.web.adopted import HTTPAddress
from echotime.web.site import HTTPSite
from echotime.wire.hostport import HostPort

DescribeError = Callable[[HostPort, Exception], str]


class HTTPPort(LossNotifyingPort, tcp.Port):  # type: ignore[misc]  # Twisted's stopListening has an alias
    """Listen on a TCP address, or on an inherited TCP socket."""


class HTTPPortService(Service):
    """Run a TCP port, or a port on an inherited socket. Starting raises StartupError if it cannot listen.

    `on_lost` is called with the reason if the port fails later.
    """

    _log = Logger()

    def __init__(
        self,
        port: HTTPPort | UnixPort,
        requested: HostPort,
        describe_error: DescribeError,
        on_lost: Callable[[str], object],
    ) -> None:
        self._port = port
        self._on_lost = on_lost
        self._requested = requested
        self._describe_error = describe_error
        self._is_tcp = port.addressFamily != socket.AF_UNIX
        port.on_lost = self._port_lost

    @property
    def address(self) -> HostPort | str:
        """Return the address that is served, or the path of a Unix socket."""
        if not self._port.connected:
            return self._requested
        name = self._port.socket.getsockname()
        return HostPort.from_sockaddr(name) if self._is_tcp else str(name)

    def privilegedStartService(self) -> None:
        """Bind and listen while the process may still be privileged."""
        super().privilegedStartService()
        try:
            self._port.startListening()
        except (CannotListenError, OSError) as error:
            raise report_startup_failure(f"--http: {self._describe_error(self._requested, error)}") from error
        self._label = f"{'HTTP' if self._is_tcp else 'HTTP socket'} {self.address}"
        self._log.info("listening on {name}", name=self._label)

    def stopService(self) -> Deferred[None]:
        """Close the socket and all connections."""
        super().stopService()
        return maybeDeferred(self._port.stopListening) if self._port.connected else succeed(None)

    def _port_lost(self, failure: Failure) -> None:
        self._on_lost(describe_loss(self._label, failure))


class HTTPSocketService(UnixSocketService):
    """Run a Unix socket of the daemon's own."""

    def __init__(self, path: str, site: HTTPSite, reactor: Any, on_lost: Callable[[str], object]) -> None:
        super().__init__(path, None, site, reactor, on_lost, "HTTP")
        self.address = path


def build_listeners(
    addresses: Iterable[HTTPAddress],
    root: IResource,
    reactor: Any,
    describe_error: DescribeError,
    on_lost: Callable[[str], object],
) -> Iterator[HTTPPortService | HTTPSocketService]:
    """Yield a service for each address. Each has its own limit of connections."""
    for each in addresses:
        site = HTTPSite(root, reactor)
        if isinstance(each, str):
            yield HTTPSocketService(each, site, reactor, on_lost)
        elif isinstance(each, HostPort):
            port = HTTPPort(each.port, site, BACKLOG, each.host, reactor)
            yield HTTPPortService(port, each, describe_error, on_lost)
        elif each.family == socket.AF_UNIX:
            yield HTTPPortService(UnixPort(each, site, reactor), HostPort("", 0), describe_error, on_lost)
        else:
            with each:  # the port duplicates it
                port = HTTPPort._fromListeningDescriptor(reactor, each.fileno(), each.family, site)
            yield HTTPPortService(port, HostPort("", 0), describe_error, on_lost)
