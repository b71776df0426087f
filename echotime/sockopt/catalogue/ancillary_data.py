"""Describe the options for ancillary data and for the error queue."""

from __future__ import annotations

from echotime.sockopt.catalogue.common import FLAG, ON, ipproto_ip, ipproto_ipv6, ipv6_twin, sol_socket
from echotime.sockopt.option import TCP, UDP, Aliases, Hazard, Option
from echotime.sockopt.values import N_

TITLE = N_("Ancillary data and the error queue")
INTRODUCTION = (
    "Control messages of recvmsg(2). The time service receives them; it uses the destination address and the error "
    "queue only."
)

_TIMESTAMP_USE = "Measure a server from inside: the current time minus this time is how long the datagram was queued."

ROWS: tuple[Option, ...] = (
    *ipv6_twin(
        Option(
            ipproto_ip("IP_PKTINFO", 8, FLAG, UDP),
            meaning="Deliver the destination address of each datagram.",
            use="Set it on wildcard addresses, so that an answer is sent from the address that the client used.",
            caveat="Without it, the route determines the source address of an answer. echotime turns it on for "
            "wildcard addresses.",
            aliases=Aliases("PassPacketInfo=", "ip-pktinfo"),
        ),
        ipproto_ipv6("IPV6_RECVPKTINFO", 49, FLAG, UDP),
        aliases=Aliases("PassPacketInfo=", "ipv6-recvpktinfo"),
    ),
    *ipv6_twin(
        Option(
            ipproto_ip("IP_RECVTTL", 12, FLAG, UDP),
            meaning="Deliver the time to live (TTL) with which each datagram arrived.",
            use="Find out how many hops away a sender is.",
            caveat="The initial value that the sender used is a guess: 64, 128 or 255.",
            aliases=Aliases(socat="ip-recvttl"),
        ),
        ipproto_ipv6("IPV6_RECVHOPLIMIT", 51, FLAG, UDP),
        "Deliver the hop limit with which each datagram arrived.",
        aliases=Aliases(socat="ipv6-recvhoplimit"),
    ),
    *ipv6_twin(
        Option(
            ipproto_ip("IP_RECVTOS", 13, FLAG, UDP),
            meaning="Deliver the DSCP and ECN byte with which each datagram arrived.",
            use="Find out whether the network changes the value.",
            aliases=Aliases(socat="ip-recvtos"),
        ),
        ipproto_ipv6("IPV6_RECVTCLASS", 66, FLAG, UDP),
        "Deliver the traffic class with which each datagram arrived.",
        aliases=Aliases(socat="ipv6-recvtclass"),
    ),
    Option(
        sol_socket("SO_TIMESTAMP", 29, FLAG),
        meaning="Deliver the time of receipt, in microseconds.",
        use=_TIMESTAMP_USE,
        caveat="Setting it turns off SO_TIMESTAMPNS, and vice versa.",
        aliases=Aliases("Timestamping=us", "so-timestamp"),
    ),
    Option(
        sol_socket("SO_TIMESTAMPNS", 35, FLAG),
        meaning="Deliver the time of receipt, in nanoseconds.",
        use=_TIMESTAMP_USE,
        caveat="Setting it turns off SO_TIMESTAMP, and vice versa.",
        aliases=Aliases("Timestamping=ns"),
    ),
    Option(
        sol_socket("SO_RXQ_OVFL", 40, FLAG, UDP),
        meaning="Deliver the number of datagrams that this socket dropped, if any; mostly because its buffer was full.",
        use="Notice drops with the next datagram; SO_MEMINFO reports them without one.",
    ),
    *ipv6_twin(
        Option(
            ipproto_ip("IP_RECVERR", 11, FLAG),
            meaning="Report ICMP errors at once, through the socket's error queue.",
            use="Detect peers that are gone, without a connected socket for each.",
            caveat="On UDP, a later call reports the error of an earlier answer. A server that takes it for the error "
            "of that call stops after one datagram; echotime reads the error queue, counts the error and continues. On "
            "TCP the next call fails once, and most servers then close a connection that would have recovered.",
            hazard=Hazard(
                TCP,
                ON,
                "a single ICMP error ends a connection; an attacker who knows its sequence numbers can forge one",
            ),
            aliases=Aliases(socat="ip-recverr"),
        ),
        ipproto_ipv6("IPV6_RECVERR", 25, FLAG),
        aliases=Aliases(socat="ipv6-recverr"),
    ),
)
