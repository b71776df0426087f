"""Find out whether other processes serve a socket's port: they inherited the same socket, or set SO_REUSEPORT.

Each process holds a read lock (F_SETLK of fcntl(2)) on each socket that it serves. The kernel keeps this lock for the
process, although all processes that inherited a socket share its open file description. A process that holds the
socket and does not serve it, such as the service manager, has no lock.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from contextlib import suppress

_FLOCK = "hhqqi"
"""struct flock: type, whence, start, length, process."""


def mark_served(sock: socket.socket) -> None:
    """Let other processes that inherited the socket see that this process serves it, until it closes the socket."""
    with suppress(OSError):
        fcntl.lockf(sock, fcntl.LOCK_SH | fcntl.LOCK_NB)


def other_servers(sock: socket.socket) -> str:
    """Return how other processes may serve the port as well: "" if none does."""
    # closing any descriptor of the socket, such as a duplicate, has removed the lock
    mark_served(sock)
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
        return "other sockets may share the port (SO_REUSEPORT)"
    try:
        found = fcntl.fcntl(sock, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except OSError:
        return ""
    return "" if struct.unpack(_FLOCK, found)[0] == fcntl.F_UNLCK else "other processes serve the same socket"
