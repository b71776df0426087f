"""Listen for HTTP on TCP addresses, on Unix sockets, and on inherited sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twisted.application.service import Service
from twisted.internet import tcp
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.web.resource import IResource

from echotime.control.listener import BACKLOG, UnixPort, UnixSocketService
from echotime.errors import report_startup_failure
from echotime.logger import Logger
from echotime.web.adopted import HTTPAddress
from echotime.web.site import HTTPSite
from echotime.wire.hostport import HostPort

DescribeError = Callable[[HostPort, Exception], str]


class HTTPPortService(Service):
    """Run a TCP port, or a port on an inherited socket. Starting raises StartupError if it cannot listen."""

    _log = Logger()

    def __init__(self, port: tcp.Port, requested: HostPort, describe_error: DescribeError) -> None:
        self._port = port
        self._requested = requested
        self._describe_error = describe_error
        self._is_tcp = port.addressFamily != socket.AF_UNIX

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
        kind = "HTTP" if self._is_tcp else "HTTP socket"
        self._log.info("listening on {kind} {address}", kind=kind, address=str(self.address))

    def stopService(self) -> Deferred[None]:
        """Close the socket and all connections."""
        super().stopService()
        return maybeDeferred(self._port.stopListening) if self._port.connected else succeed(None)


class HTTPSocketService(UnixSocketService):
    """Run a Unix socket of the daemon's own."""

    def __init__(self, path: str, site: HTTPSite, reactor: Any) -> None:
        super().__init__(path, None, site, reactor, "HTTP")
        self.address = path


def build_listeners(
    addresses: Iterable[HTTPAddress], root: IResource, reactor: Any, describe_error: DescribeError
) -> Iterator[HTTPPortService | HTTPSocketService]:
    """Yield a service for each address. Each has its own limit of connections."""
    for each in addresses:
        site = HTTPSite(root, reactor)
        if isinstance(each, str):
            yield HTTPSocketService(each, site, reactor)
        elif isinstance(each, HostPort):
            port = tcp.Port(each.port, site, BACKLOG, each.host, reactor)
            yield HTTPPortService(port, each, describe_error)
        elif each.family == socket.AF_UNIX:
            yield HTTPPortService(UnixPort(each, site, reactor), HostPort("", 0), describe_error)
        else:
            with each:  # the port duplicates it
                port = tcp.Port._fromListeningDescriptor(reactor, each.fileno(), each.family, site)
            yield HTTPPortService(port, HostPort("", 0), describe_error)
