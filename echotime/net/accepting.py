"""AcceptingPort: how connections are accepted, and what is done when they cannot be.

No error costs a line in the log or is tried again without end. Each is counted; what concerns one client is passed
over; and where descriptors or memory are lacking those who wait are reset, or left to wait for a moment.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import Counter
from typing import Any

from twisted.internet import tcp

from echotime.logger import Logger
from echotime.net.connection import close_without_blocking
from echotime.net.owned import LossNotifyingPort, SocketShutDown, is_shut_down
from echotime.net.reserved_fd import RESERVED_FD
from echotime.sockopt.errno_name import errno_name

RETRY_DELAY = 1.0
"""Seconds until the next try, where nothing helps."""
_RESOURCE_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_TRANSIENT_ERRNOS = frozenset(
    {
        *(errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.EINTR),
        # what was pending on the connection, which accept(2) tells on Linux
        *(errno.ENETDOWN, errno.ENOPROTOOPT, errno.EHOSTDOWN, errno.ENONET, errno.EHOSTUNREACH),
        *(errno.EOPNOTSUPP, errno.ENETUNREACH),
    }
)
_LINGER_RESET = struct.pack("ii", 1, 0)
_NUMERIC_FLAGS = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


class AcceptingPort(LossNotifyingPort, tcp.Port):  # type: ignore[misc]  # Twisted's stopListening has an alias
    """A tcp.Port in whose `errors` stands what kept clients out, by errno name (``accept EMFILE``), and how often."""

    factory: Any
    socket: Any
    lingers: bool
    """Whether a close of a connection would wait."""
    _log = Logger()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.errors: Counter[str] = Counter()
        self._family = int(self.addressFamily)
        self._resume_call: Any = None

    def startListening(self) -> None:
        """As the parent's, with a descriptor kept for bad times."""
        RESERVED_FD.acquire()
        super().startListening()

    def doRead(self) -> Exception | None:
        """Accept who is there, a bounded number. An exception is returned for a socket that will not be well again."""
        failures = 0
        for _ in range(self.numberAccepts):
            try:
                # what socket.accept does, without looking up the names of family and type each time
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
                # the class of C, without Python's subclass around it, takes half the time to make
                self.start_connection(socket.SocketType(self._family, socket.SOCK_STREAM, 0, descriptor), client)
        if failures == self.numberAccepts:
            self._pause_accepting()
        return None

    def start_connection(self, sock: socket.socket, client: tuple[Any, ...]) -> Any:
        """Serve a connection, with `client` as the peer's address. Return its transport, None if it was refused."""
        connection: Any = None
        try:
            if client[2:] and client[3]:
                # a link-local address: with the name of its link
                client = (socket.getnameinfo(client, _NUMERIC_FLAGS)[0], *client[1:])
            protocol = self.factory.buildProtocol(self._buildAddr(client))
            if protocol is None:
                close_without_blocking(sock, lingers=self.lingers)
                return None
            connection = self.transport(sock, protocol, client, self, self.sessionno, self.reactor)
            self.sessionno += 1
            protocol.makeConnection(connection)
        except BaseException:  # as Twisted's: it must not end the port
            self._log.failure("a connection could not be served")
            sock.close() if connection is None else connection.abortConnection()
        return connection

    def _shed_pending(self, error: OSError) -> None:
        """Reset those who wait, in the place that is kept for it; else the socket would stay readable for ever."""
        shed = 0
        with RESERVED_FD.released():
            try:
                while shed < self.numberAccepts:
                    descriptor, _ = self.socket._accept()
                    shed += 1
                    with socket.socket(self._family, socket.SOCK_STREAM, 0, descriptor) as sock:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
            except BlockingIOError:
                pass  # nobody waits any more; perhaps nobody did
            except OSError:
                self._pause_accepting()
                shed = shed or 1
        self._count(error, shed)

    def _count(self, error: OSError, number: int = 1) -> None:
        if number:
            self.errors[f"accept {errno_name(error)}"] += number

    def _pause_accepting(self) -> None:
        self.stopReading()
        self._resume_call = self.reactor.callLater(RETRY_DELAY, self._resume_accepting)

    @property
    def is_paused(self) -> bool:
        """Return True while the port waits before its next try."""
        return self._resume_call is not None

    def _resume_accepting(self) -> None:
        self._resume_call = None
        self.startReading()

    def connectionLost(self, reason: Any = None) -> None:
        """It accepts no more."""
        if self._resume_call is not None:
            self._resume_call.cancel()
            self._resume_call = None
        super().connectionLost(reason)
