"""Listen for HTTP on loopback addresses, on Unix sockets, and on inherited sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twisted.application.service import Service
from twisted.internet import tcp
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.web.resource import IResource

from echotime.control.listener import UnixSocketService
from echotime.errors import report_startup_failure
from echotime.logger import Logger
from echotime.systemd.activation import SystemdSocket
from echotime.web.site import HTTPSite
from echotime.wire.hostport import HostPort

DescribeError = Callable[[HostPort, Exception], str]


class HTTPListenerService(Service):
    """Listen for HTTP on a TCP address. Starting raises StartupError if that fails."""

    _log = Logger()

    def __init__(self, address: HostPort, site: HTTPSite, reactor: Any, describe_error: DescribeError) -> None:
        self._address = address
        self._describe_error = describe_error
        self._port = tcp.Port(address.port, site, interface=address.host, reactor=reactor)

    @property
    def url(self) -> str:
        """Return the address as a link. It ends with a slash."""
        return f"http://{self._bound_address()}/"

    def privilegedStartService(self) -> None:
        """Bind and listen while the process may still be privileged."""
        super().privilegedStartService()
        try:
            self._port.startListening()
        except (CannotListenError, OSError) as error:
            raise report_startup_failure(f"--http: {self._describe_error(self._address, error)}") from error
        self._log.info("listening on HTTP {address}", address=str(self._bound_address()))

    def stopService(self) -> Deferred[None]:
        """Close the socket and all connections."""
        super().stopService()
        return maybeDeferred(self._port.stopListening) if self._port.connected else succeed(None)

    def _bound_address(self) -> HostPort:
        if self._port.connected:
            return HostPort.from_sockaddr(self._port.socket.getsockname())
        return self._address


class HTTPSocketService(UnixSocketService):
    """Listen for HTTP on a Unix socket."""

    def __init__(self, path: str, site: HTTPSite, reactor: Any) -> None:
        super().__init__(path, None, site, reactor, "HTTP")
        self.url = path


def build_listeners(
    addresses: Iterable[HostPort | SystemdSocket | str], root: IResource, reactor: Any, describe_error: DescribeError
) -> Iterator[HTTPListenerService | HTTPSocketService]:
    """Yield a service for each address. Each has its own limit of connections."""
    for each in addresses:
        site = HTTPSite(root, reactor)
        if isinstance(each, str):
            yield HTTPSocketService(each, site, reactor)
        elif isinstance(each, HostPort):
            yield HTTPListenerService(each, site, reactor, describe_error)
