"""Map socket options and other topics to their demonstrations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from echotime.demos import (
    accepting,
    buffers,
    client_steps,
    closing,
    dead_peers,
    headers,
    ports,
    reach,
    server_steps,
    stream,
)
from echotime.demos.script import Demonstration
from echotime.sockopt.values import N_


class Topic(NamedTuple):
    """Explain a subject that is not a socket option."""

    meaning: str
    use: str
    caveat: str
    demonstration: Demonstration


DEMONSTRATIONS: Mapping[str, Demonstration] = {
    "SO_REUSEADDR": ports.reuse_address,
    "SO_REUSEPORT": ports.reuse_port,
    "SO_BINDTODEVICE": reach.bind_to_device,
    "SO_DONTROUTE": reach.dont_route,
    "SO_BROADCAST": reach.broadcast,
    "SO_KEEPALIVE": dead_peers.keepalive,
    "TCP_KEEPIDLE": dead_peers.keepalive,
    "TCP_KEEPINTVL": dead_peers.keepalive,
    "TCP_KEEPCNT": dead_peers.keepalive,
    "TCP_USER_TIMEOUT": dead_peers.user_timeout,
    "SO_LINGER": closing.linger,
    "SO_OOBINLINE": stream.urgent,
    "TCP_NODELAY": stream.nagle,
    "SO_RCVBUF": buffers.receive_buffer,
    "SO_MEMINFO": buffers.receive_buffer,
    "TCP_DEFER_ACCEPT": accepting.defer_accept,
    "TCP_INFO": accepting.backlog,
    "IP_TOS": headers.type_of_service,
    "IP_RECVTOS": headers.type_of_service,
    "IP_PKTINFO": headers.packet_info,
}

_STEPS_CAVEAT = N_(
    "A line that begins with `without` shows what happens if the step that it names is left out. A line that begins "
    "with `mistake` shows a call that is wrong at this place."
)

TOPICS: Mapping[str, Topic] = {
    "backlog": Topic(
        N_("The argument of listen(2): how many connections may be pending until accept."),
        N_(
            "Make it larger than the number of clients that connect at once while the server is busy. Calling listen "
            "again changes it."
        ),
        N_(
            "net.core.somaxconn limits it without an error. A pending connection is already established: the client "
            "cannot tell that it has not been accepted. If the queue is full, a client retransmits its SYN, each "
            "second at first, then less and less often."
        ),
        accepting.backlog,
    ),
    "server": Topic(
        N_("The calls of a server: socket, setsockopt, bind, then listen and accept for TCP, or recvfrom for UDP."),
        N_("Each step is carried out here, with what it changes and what a client sees at that moment."),
        _STEPS_CAVEAT,
        server_steps.server,
    ),
    "client": Topic(
        N_("The calls that set up a client: socket, and connect for TCP or sendto for UDP."),
        N_("Each step is carried out here, with what it changes."),
        _STEPS_CAVEAT,
        client_steps.client,
    ),
}
