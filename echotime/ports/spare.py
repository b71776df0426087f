"""A connection that is over, made into a new socket, for a process that can make none in the network of its listener.

In a sandbox (RestrictAddressFamilies=, PrivateNetwork=) a daemon has the sockets that were passed in, and the
connections that it accepts on them. connect(2) with AF_UNSPEC dissolves a TCP connection and leaves a socket that
can be bound and connected again. The client loses nothing by it: what is kept here is a connection whose client has
ended its side, or was refused, it was shut down as a close would have done, and it is dissolved only when it is over
at both ends.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from echotime.ports.connection import close
from echotime.ports.own_address import MAPPED
from echotime.sockopt.tcp_info import tcp_info

_LIBC = ctypes.CDLL(None, use_errno=True)
_NO_ADDRESS = struct.pack("H14x", socket.AF_UNSPEC)
_LINGER = struct.Struct("ii")
_RESETS = (1, 0)
"""SO_LINGER: a close throws away what was not sent, and resets."""
_NAME_SIZE = 16
"""Of an interface, with its NUL."""
_BIND_ADDRESS_NO_PORT = 24
_PATIENCE = 10.0
"""Seconds that are left to a client to take what it is owed, until one that ends later may do instead."""


class Spare:
    """At most one, of connections to this listener. `clock` gives seconds."""

    def __init__(self, listener: socket.socket, clock: Callable[[], float] = time.monotonic) -> None:
        self.wanted = True
        """Whether connections that are over are of use here."""
        self.mapped = False
        """Whether it was a connection over IPv4 to an IPv6 socket: it can be no other then."""
        self._device = _device(listener)
        self._clock = clock
        self._kept: socket.socket | None = None
        self._since = 0.0

    def take(self, sock: socket.socket, *, refused: bool = False) -> bool:
        """Keep it, in place of closing it in order, for which the client cannot tell the difference; or do not.

        While a client may send on it is not taken, as a close may have to tell by a reset that something was not read;
        unless it was `refused`, and so nothing of it is.
        """
        if not self.wanted or self._worth_waiting_for() or not self._fits(sock, refused) or not _all_read(sock):
            return False
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # reset, at this moment
            return False
        if not _all_read(sock):  # sent, at this moment
            return False
        self._close()
        # a connection has the C class, which has no dup()
        self._kept, self._since = socket.socket(fileno=sock.detach()), self._clock()
        self.mapped = self._kept.getsockname()[0].startswith(MAPPED)
        return True

    def lend(self, address: tuple[Any, ...]) -> socket.socket | None:
        """A socket that is bound there, and connected to nothing, if there is one. The next may be the same again.

        Raises OSError; if it cannot be bound, the next connection is wanted in its place.
        """
        if self._kept is None or (self.wanted and not self._over()):
            return None
        lent = self._kept.dup()
        try:
            _rebind(lent, address)
        except OSError:
            lent.close()
            self._close()
            self.wanted = True
            raise
        self.wanted = False
        return lent

    def close(self) -> None:
        """Keep none any more."""
        self._close()
        self.wanted = False

    def _over(self) -> bool:
        """Whether nobody waits for anything of the one that is kept."""
        return self._kept is not None and tcp_info(self._kept).state == "CLOSE"

    def _worth_waiting_for(self) -> bool:
        return self._kept is not None and (self._over() or self._clock() - self._since < _PATIENCE)

    def _fits(self, sock: socket.socket, refused: bool) -> bool:
        """Whether a close would end it in order; and it could reach what its listener can.

        A connection of a link-local client is bound to its interface for ever.
        """
        if tcp_info(sock).state not in {"CLOSE_WAIT", *(["ESTABLISHED"] if refused else [])}:
            return False
        linger = _LINGER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.size))
        return linger != _RESETS and _device(sock) == self._device

    def _close(self) -> None:
        if self._kept is not None:
            close(self._kept, lingers=True)
            self._kept = None


def _device(sock: socket.socket) -> bytes:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _NAME_SIZE)


def _all_read(sock: socket.socket) -> bool:
    """Whether nothing waits to be read; an urgent byte, which would be passed over, counts."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    try:
        return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False


def _rebind(sock: socket.socket, address: tuple[Any, ...]) -> None:
    """Raises OSError."""
    _dissolve(sock)
    # a client's route is not ours; and a port has to be known as soon as it is bound
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"")
    sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 0)
    sock.setblocking(False)
    try:
        sock.bind(address)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # it has a port already, for a connection that could not even be begun; a listener gives that back
        sock.listen(0)
        _dissolve(sock)
        sock.bind(address)


def _dissolve(sock: socket.socket) -> None:
    """Raises OSError."""
    if _LIBC.connect(sock.fileno(), _NO_ADDRESS, len(_NO_ADDRESS)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # that of the connection, which is no longer
