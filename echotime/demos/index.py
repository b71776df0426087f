"""Which demonstration belongs to which option, and to the topics that are no options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from echotime.demos import accepting, buffers, client_steps, closing, dead_peers, headers, ports, reach, stream
from echotime.demos.script import Demonstration
from echotime.demos.server_steps import server


class Topic(NamedTuple):
    """Something to explain that is no socket option."""

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

TOPICS: Mapping[str, Topic] = {
    "backlog": Topic(
        "The number that listen takes: how many connections may wait to be accepted.",
        "Larger than the number of clients that come at once while the server is busy. It may be changed by listening "
        "again.",
        "net.core.somaxconn bounds it in silence. A client whose connection waits is connected already, and does not "
        "know that nobody has accepted it; one that finds no room sends its SYN again, each second at first, then ever "
        "later.",
        accepting.backlog,
    ),
    "server": Topic(
        "How a server comes to be: for TCP socket, setsockopt, bind, listen; for UDP recvfrom in place of listen.",
        "Each step is carried out here, with what it changes and what a client sees at that moment.",
        "Each step is left out here, or misplaced, where something can be seen of it.",
        server,
    ),
    "client": Topic(
        "How a client comes to be: for TCP socket and connect; for UDP socket and sendto.",
        "Each step is carried out here, with what it changes.",
        "Each step is left out here, or misplaced, where something can be seen of it.",
        client_steps.client,
    ),
}
