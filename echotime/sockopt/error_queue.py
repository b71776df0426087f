"""Read the error queue of a socket: ICMP errors that IP_RECVERR and IPV6_RECVERR collect. See ip(7).

epoll(7) reports EPOLLERR while the queue is not empty. Timestamps of sent data are in it, too, and are no errors.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

_MSG_ERRQUEUE = 0x2000
_ANCILLARY_SIZE = 512
_EXTENDED_ERROR = struct.Struct("=I")
"""ee_errno, the first field of struct sock_extended_err."""
_RECVERR = frozenset({(socket.IPPROTO_IP, 11), (socket.IPPROTO_IPV6, 25)})


def read_errors(sock: socket.socket, max_errors: int) -> list[int]:
    """Remove at most `max_errors` messages from the queue, and return the errno of each error (0 if it has none).

    An error that did not fit into the queue is still pending, and keeps the socket readable until SO_ERROR is read.
    """
    errors = []
    for _ in range(max_errors):
        try:
            _, control, _, _ = sock.recvmsg(0, _ANCILLARY_SIZE, _MSG_ERRQUEUE)
        except OSError:
            break
        number = next(_errnos(control), 0)
        if number != errno.ENOMSG:  # a timestamp
            errors.append(number)
    pending = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return errors or ([pending] if pending else [])


def _errnos(control: list[tuple[int, int, bytes]]) -> Iterator[int]:
    for level, kind, data in control:
        if (level, kind) in _RECVERR:
            yield int(_EXTENDED_ERROR.unpack_from(data)[0])
