"""NoAccept: leave connections in the accept queue."""

from __future__ import annotations

from echotime.behave.spec import Parameter
from echotime.behave.tcp.behavior import TCPBehavior
from echotime.wire.parsers import non_negative_int


class NoAccept(TCPBehavior):
    """Accept nothing: the kernel completes handshakes until the accept queue is full, and ignores later ones.

    The listener does this, and a client cannot choose it. Connections in the queue are accepted as soon as the listener
    gets another behavior.
    """

    name = "no_accept"
    backlog = Parameter[int | None](
        non_negative_int,
        None,
        "Argument of listen(2). The queue holds one connection more, so 0 lets one handshake complete.",
        "that of --backlog",
    )
