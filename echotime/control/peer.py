"""Identify the clients of the control socket by the kernel's credentials, and decide which of them are served."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

MAX_CONTROL_CONNECTIONS = 16
"""Connections to the control socket at a time."""
_RESERVED_FOR_OWNER = 4
"""Connections that only root and the daemon's user may use, so that others cannot keep them out."""
_UCRED = struct.Struct("=iII")
_SO_PEERGROUPS = 59
_GETSOCKOPT_SIZE = 1024
"""Bytes that socket.getsockopt can return, at most: 256 groups."""
_MAX_GROUPS = 65536
"""NGROUPS_MAX of Linux."""


@dataclass(frozen=True)
class Peer:
    """Hold the credentials of a client, as they were when it called connect(2)."""

    pid: int
    uid: int
    groups: frozenset[int]
    """The primary and all supplementary groups."""

    def __str__(self) -> str:
        return f"{user_name(self.uid)} (pid {self.pid})"


def user_name(uid: int) -> str:
    """Return the name of a user, or the number if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def group_name(gid: int) -> str:
    """Return the name of a group, or the number if it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return str(gid)


def read_peer(sock: socket.socket) -> Peer:
    """Return the client of a connected Unix socket (SO_PEERCRED and SO_PEERGROUPS, see unix(7))."""
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Peer(pid, uid, frozenset({gid, *_supplementary_groups(sock)}))


def _supplementary_groups(sock: socket.socket) -> Iterable[int]:
    """Return no groups before Linux 4.13."""
    try:
        groups = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GETSOCKOPT_SIZE)
    except OSError as error:
        return _many_groups(sock) if error.errno == errno.ERANGE else []
    return memoryview(groups).cast("I")


def _many_groups(sock: socket.socket) -> Iterable[int]:
    """Return more groups than socket.getsockopt can, or none if ctypes cannot call the C library."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
    except (ImportError, OSError):  # this Python has no ctypes, or its C library is linked statically
        return []
    groups = (ctypes.c_uint32 * _MAX_GROUPS)()
    size = ctypes.c_uint32(ctypes.sizeof(groups))
    if libc.getsockopt(sock.fileno(), socket.SOL_SOCKET, _SO_PEERGROUPS, groups, ctypes.byref(size)):
        return []
    return groups[: size.value // ctypes.sizeof(ctypes.c_uint32)]


class PeerPolicy:
    """Serve root, the daemon's own user, and members of `group` (a gid)."""

    def __init__(self, group: int | None) -> None:
        self._group = group

    def refusal(self, peer: Peer, connections: int) -> str:
        """Return why a peer is not served beside so many connections, or an empty text if it is served."""
        is_owner = peer.uid in {0, os.geteuid()}
        if not is_owner and self._group not in peer.groups:
            return "permission denied: neither root, nor the daemon's user, nor a member of --control-group"
        limit = MAX_CONTROL_CONNECTIONS - (0 if is_owner else _RESERVED_FOR_OWNER)
        if connections >= limit:
            return f"too many control connections: {connections} are open, {limit} are allowed"
        return ""
