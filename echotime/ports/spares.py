"""Connections that are over, made into new sockets, for a process that may make none in the network of its listeners.

In a sandbox (RestrictAddressFamilies=, PrivateNetwork=) a daemon has the sockets that were passed in, and the
connections that it accepts on them. connect(2) with AF_UNSPEC dissolves a TCP connection and leaves a socket that
can be bound and connected again. The client loses nothing by it: what is kept here is a connection whose client has
ended its side, or was refused, it was shut down as a close would have done, and it is dissolved only when it is over
at both ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import termios
from dataclasses import dataclass
from typing import NamedTuple

from echotime.ports.connection import close
from echotime.ports.own_address import MAPPED
from echotime.sockopt.tcp_info import tcp_info

_LIBC = ctypes.CDLL(None, use_errno=True)
_NO_ADDRESS = struct.pack("H14x", socket.AF_UNSPEC)
_NETNS_COOKIE = 71
_INT = struct.Struct("i")


def network(sock: socket.socket) -> bytes:
    """The cookie of the network namespace that it lives in (SO_NETNS_COOKIE); nothing before Linux 5.14."""
    try:
        return sock.getsockopt(socket.SOL_SOCKET, _NETNS_COOKIE, 8)
    except OSError:
        return b""


class Kind(NamedTuple):
    """What a socket can reach, once and for all: one that was a connection over IPv4 stays so, on IPv6 sockets, too."""

    network: bytes
    family: int
    mapped: bool

    @classmethod
    def of(cls, sock: socket.socket) -> Kind:
        """That of a connection, by its own end."""
        return cls(network(sock), sock.family, sock.getsockname()[0].startswith(MAPPED))


@dataclass
class _Kept:
    sock: socket.socket
    free: bool = False
    """Whether it is a connection no more, but ours."""

    @property
    def over(self) -> bool:
        """Whether nobody waits for anything of it."""
        return self.free or tcp_info(self.sock).state == "CLOSE"


class Spares:
    """At most one of each kind."""

    def __init__(self) -> None:
        self._kept: dict[Kind, _Kept] = {}

    def take(self, sock: socket.socket, *, refused: bool = False) -> bool:
        """Keep it, in place of closing it in order, for which the client cannot tell the difference; or do not.

        While a client may send on it is not taken, as a close may have to tell by a reset that something was not read;
        unless it was `refused`, and so nothing of it is.
        """
        if tcp_info(sock).state not in {"CLOSE_WAIT", *(["ESTABLISHED"] if refused else [])} or _unread(sock):
            return False
        kind = Kind.of(sock)
        before = self._kept.get(kind)
        if before is not None and before.over:
            return False
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # reset, at this moment
            return False
        if _unread(sock):  # sent, at this moment
            return False
        if before is not None:
            close(before.sock, lingers=True)
        self._kept[kind] = _Kept(sock)
        return True

    def lend(self, kind: Kind) -> socket.socket | None:
        """A socket that is bound and connected to nothing, if there is one. The next one may be the same again."""
        kept = self._kept.get(kind)
        if kept is None or not kept.over:
            return None
        kept.free = True
        _dissolve(kept.sock)
        kept.sock.setblocking(False)
        return kept.sock.dup()

    def close(self) -> None:
        """Keep none."""
        for each in self._kept.values():
            close(each.sock, lingers=True)
        self._kept.clear()


def _unread(sock: socket.socket) -> int:
    return int(_INT.unpack(fcntl.ioctl(sock, termios.FIONREAD, bytes(_INT.size)))[0])


def _dissolve(sock: socket.socket) -> None:
    """Raises OSError."""
    if _LIBC.connect(sock.fileno(), _NO_ADDRESS, len(_NO_ADDRESS)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # that of the connection, which is no longer
    # a client's route is not ours
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"")
