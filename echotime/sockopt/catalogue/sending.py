"""Describe the options for when TCP sends, and for urgent data."""

from __future__ import annotations

from echotime.sockopt.catalogue.common import FLAG, ON, AnyValue, ipproto_tcp, sol_socket
from echotime.sockopt.option import TCP, Aliases, Hazard, OnAccept, Option, ReadBackNote
from echotime.sockopt.structures import CString
from echotime.sockopt.values import N_, Integer

TITLE = N_("Send timing and urgent data")
INTRODUCTION = "Delays that TCP causes or avoids, and the urgent byte."

ROWS: tuple[Option, ...] = (
    Option(
        ipproto_tcp("TCP_NODELAY", 1, FLAG),
        meaning="Send small segments at once instead of waiting for an acknowledgement (Nagle's algorithm).",
        use="Set it on every server that answers in more than one write.",
        caveat="The daemon turns it on; the default of Linux is off. If off, an answer in several writes takes 40 ms "
        "and a round trip longer.",
        aliases=Aliases("NoDelay=", "tcp-nodelay"),
    ),
    Option(
        ipproto_tcp("TCP_CORK", 3, FLAG),
        meaning="Send full segments only; a partial segment is held until the option is turned off, or for at least "
        "200 ms.",
        use="Turn it on before several writes that belong together, and off after them.",
        caveat="Connections inherit it from the listener. While it stays on, the last bytes of each answer are 200 ms "
        "late, more if the round trip is long.",
        hazard=Hazard(TCP, ON, "each answer is delayed by 200 ms or more"),
        aliases=Aliases(socat="tcp-cork"),
    ),
    Option(
        ipproto_tcp("TCP_QUICKACK", 12, FLAG),
        meaning="Acknowledge at once instead of waiting for data that could carry the acknowledgement.",
        use="Set it right before a receive, if the peer uses Nagle's algorithm.",
        caveat="It is not permanent: the kernel changes it as the connection proceeds.",
        example="off",
        on_accept=OnAccept.REAPPLIED,
        read_back_note=ReadBackNote("the kernel does not keep it", "off"),
        hazard=Hazard(TCP, AnyValue(), "it is not permanent; the kernel changes it as a connection proceeds"),
        aliases=Aliases(socat="tcp-quickack"),
    ),
    Option(
        ipproto_tcp("TCP_CONGESTION", 13, CString(N_("the name of a congestion control algorithm, such as cubic"))),
        meaning="The congestion control algorithm.",
        use="Try another algorithm than the default (net.ipv4.tcp_congestion_control).",
        caveat="The kernel must provide it (net.ipv4.tcp_available_congestion_control). An algorithm outside "
        "net.ipv4.tcp_allowed_congestion_control needs CAP_NET_ADMIN.",
        example="reno",
        aliases=Aliases("TCPCongestion="),
    ),
    Option(
        ipproto_tcp("TCP_TX_DELAY", 37, Integer(0, 2**28 - 1, "microseconds")),
        meaning="Delay everything that is sent by this time.",
        use="Simulate a distant server.",
        caveat="It has an effect only if the queueing discipline of the interface is fq, and none on loopback.",
        example="20ms",
    ),
    Option(
        sol_socket("SO_OOBINLINE", 10, FLAG, TCP),
        meaning="Keep TCP urgent data in the normal data stream.",
        use="Use it where every byte that a client sends must be answered.",
        caveat="If off, recv does not return the urgent byte: abc, urgent X, def is echoed as abcdef.",
        aliases=Aliases(socat="so-oobinline"),
    ),
)
