"""AcceptingPort: accept connections, and handle every error of accept(2).

An error is counted, not logged, and never retried in a busy loop. An error that concerns one client is skipped. Where
descriptors or memory are lacking, pending connections are reset, or the port stops accepting for a second.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from twisted.internet import tcp

from echotime.logger import Logger
from echotime.net.connection import close_without_blocking
from echotime.net.owned import LossNotifyingPort, SocketShutDown, is_shut_down
from echotime.sockopt.errno_name import errno_name

RETRY_DELAY = 1.0
"""Seconds until accepting resumes after an error that resetting connections does not help with."""
_RESOURCE_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_TRANSIENT_ERRNOS = frozenset(
    {
        *(errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.EINTR),
        # network errors that are pending on the new connection, which accept(2) returns on Linux
        *(errno.ENETDOWN, errno.ENOPROTOOPT, errno.EHOSTDOWN, errno.ENONET, errno.EHOSTUNREACH),
        *(errno.EOPNOTSUPP, errno.ENETUNREACH),
    }
)
_LINGER_RESET = struct.pack("ii", 1, 0)
_NUMERIC_FLAGS = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


class ReservedFD:
    """Hold one descriptor open, so that a connection can still be accepted and reset when no other is left.

    Twisted reserves one, too, but private to its own port, and logs each use.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Open the descriptor unless it is open. Without a free descriptor nothing is reserved."""
        if self._descriptor is None:
            with suppress(OSError):
                self._descriptor = os.open(os.devnull, os.O_RDONLY)

    @contextmanager
    def released(self) -> Iterator[None]:
        """Close the descriptor for the duration of the context."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        try:
            yield
        finally:
            self.acquire()


RESERVED_FD = ReservedFD()
"""The reserved descriptor of this process."""


class AcceptingPort(LossNotifyingPort, tcp.Port):  # type: ignore[misc]  # Twisted's stopListening has an alias
    """A tcp.Port that counts failures to accept in `errors`, by errno name (``accept EMFILE``)."""

    factory: Any
    socket: Any
    lingers: bool
    """True if close(2) of a connection would block."""
    _log = Logger()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.errors: Counter[str] = Counter()
        self._family = int(self.addressFamily)
        self._resume_call: Any = None
        self._is_held = False

    def startListening(self) -> None:
        """Reserve a descriptor and listen. Raises what tcp.Port raises."""
        RESERVED_FD.acquire()
        super().startListening()

    def doRead(self) -> Exception | None:
        """Accept at most `numberAccepts` connections. Return an exception if the socket is permanently unusable."""
        failures = 0
        for _ in range(self.numberAccepts):
            try:
                # socket.accept would look up the names of family and type each time
                descriptor, client = self.socket._accept()
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno in _RESOURCE_ERRNOS:
                    self._shed_pending(error)
                    return None
                if error.errno not in _TRANSIENT_ERRNOS:
                    return SocketShutDown() if is_shut_down(self.socket) else error
                self._count(error)
                failures += 1
            else:
                # socket.SocketType, the class written in C, takes half the time of its Python subclass to create
                self.start_connection(socket.SocketType(self._family, socket.SOCK_STREAM, 0, descriptor), client)
        if failures == self.numberAccepts:
            self._pause_accepting()
        return None

    def start_connection(self, sock: socket.socket, client: tuple[Any, ...]) -> Any:
        """Serve a connection, with `client` as the peer's address. Return its transport, None if it was refused."""
        connection: Any = None
        self.sessionno += 1
        try:
            if client[2:] and client[3]:
                # getnameinfo adds the interface name to a link-local address
                client = (socket.getnameinfo(client, _NUMERIC_FLAGS)[0], *client[1:])
            protocol = self.factory.buildProtocol(self._buildAddr(client))
            if protocol is None:
                close_without_blocking(sock, lingers=self.lingers)
                return None
            connection = self.transport(sock, protocol, client, self, self.sessionno, self.reactor)
            protocol.makeConnection(connection)
        except BaseException:  # as in Twisted: an exception of one connection must not end the port
            self._log.failure("a connection could not be served")
            sock.close() if connection is None else connection.abortConnection()
        return connection

    def _shed_pending(self, error: OSError) -> None:
        """Reset pending connections on the reserved descriptor; otherwise the listener would stay readable forever."""
        shed = 0
        with RESERVED_FD.released():
            try:
                while shed < self.numberAccepts:
                    descriptor, _ = self.socket._accept()
                    shed += 1
                    with socket.socket(self._family, socket.SOCK_STREAM, 0, descriptor) as sock:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
            except BlockingIOError:
                pass  # the accept queue is empty
            except OSError:
                self._pause_accepting()
                shed = shed or 1
        self._count(error, shed)

    def _count(self, error: OSError, number: int = 1) -> None:
        if number:
            self.errors[f"accept {errno_name(error)}"] += number

    def hold_accepting(self, held: bool) -> None:
        """Leave connections in the accept queue from now on, or accept them again."""
        self._is_held = held
        self._update_reading()

    def _pause_accepting(self) -> None:
        self._resume_call = self.reactor.callLater(RETRY_DELAY, self._resume_accepting)
        self._update_reading()

    @property
    def is_paused(self) -> bool:
        """Return True while the port waits before it accepts again."""
        return self._resume_call is not None

    def _resume_accepting(self) -> None:
        self._resume_call = None
        self._update_reading()

    def _update_reading(self) -> None:
        if self._is_held or self.is_paused:
            self.stopReading()
        else:
            self.startReading()

    def connectionLost(self, reason: Any = None) -> None:
        if self._resume_call is not None:
            self._resume_call.cancel()
            self._resume_call = None
        super().connectionLost(reason)
