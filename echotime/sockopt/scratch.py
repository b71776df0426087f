"""Open sockets on loopback for trials and demonstrations, and close them together."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from gettext import gettext as _
from types import TracebackType

from echotime.sockopt.errno_name import errno_name
from echotime.sockopt.option import SocketRole

TIMEOUT = 1.0
"""Timeout of every socket, in seconds."""

_UNAVAILABLE_ERRNOS = frozenset({errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EAFNOSUPPORT})
_LOOPBACK = {4: (socket.AF_INET, "127.0.0.1"), 6: (socket.AF_INET6, "::1")}


class LoopbackUnavailable(OSError):
    """Report that loopback lacks an IP version, or is down."""


class Scratch:
    """Open sockets of one IP version, and close them when the context ends.

    Every method may raise OSError; entering the context raises LoopbackUnavailable.
    """

    def __init__(self, version: int = 4) -> None:
        self.family, self.host = _LOOPBACK[version]
        self._version = version
        self._opened = ExitStack()

    def __enter__(self) -> Scratch:
        try:
            with socket.socket(self.family, socket.SOCK_DGRAM) as probe:
                probe.bind((self.host, 0))
                probe.connect(probe.getsockname())
        except OSError as error:
            if error.errno not in _UNAVAILABLE_ERRNOS:
                raise
            text = _("this host has no IPv{version} loopback ({error})")
            raise LoopbackUnavailable(
                error.errno, text.format(version=self._version, error=errno_name(error))
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def open(self, transport: str) -> socket.socket:
        """Return a new socket, not bound."""
        kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
        sock = self._opened.enter_context(socket.socket(self.family, kind))
        sock.settimeout(TIMEOUT)
        return sock

    def bind(self, sock: socket.socket, backlog: int = 16) -> socket.socket:
        """Bind to an ephemeral port; a TCP socket also listens."""
        sock.bind((self.host, 0))
        if sock.type == socket.SOCK_STREAM:
            sock.listen(backlog)
        return sock

    def connected_client(self, server: socket.socket) -> socket.socket:
        """Return a socket that is connected to `server`."""
        sock = self.open("tcp" if server.type == socket.SOCK_STREAM else "udp")
        sock.connect(server.getsockname()[:2])
        return sock

    def accept(self, listener: socket.socket) -> socket.socket:
        """Accept a connection; it gets the timeout of its listener."""
        connection, _address = listener.accept()
        connection.settimeout(listener.gettimeout())
        return self._opened.enter_context(connection)

    def connection_pair(self, listener: socket.socket | None = None) -> tuple[socket.socket, socket.socket]:
        """Return both ends of a connection: the client has sent one byte, the server has not read it."""
        listener = listener or self.bind(self.open("tcp"))
        client = self.connected_client(listener)
        client.send(b"x")  # TCP_DEFER_ACCEPT waits for data
        return client, self.accept(listener)

    def ready_socket(self, role: SocketRole) -> socket.socket:
        """Return a listener, connection or bound UDP socket with default options."""
        if role is SocketRole.CONNECTION:
            return self.connection_pair()[1]
        return self.bind(self.open(role.transport))
