"""When bytes are sent, and in what order they are read."""

from __future__ import annotations

from echotime.sockopt.catalogue.common import FLAG, ON, AnyValue, socket_option, tcp_option
from echotime.sockopt.option import TCP, Aliases, Hazard, OnAccept, Option, ReadBackNote
from echotime.sockopt.structures import CString
from echotime.sockopt.values import N_, Integer

TITLE = N_("When bytes are sent")
INTRODUCTION = "Delays that TCP makes or avoids, and the one byte that overtakes others."

ROWS: tuple[Option, ...] = (
    tcp_option(
        "TCP_NODELAY",
        1,
        FLAG,
        meaning="Send small segments at once instead of waiting for an acknowledgement (Nagle's algorithm).",
        use="On every server that answers in more than one write.",
        caveat="The daemon has it on, Linux off. Off, an answer in several writes takes 40 ms and a round trip longer.",
        aliases=Aliases("NoDelay=", "tcp-nodelay"),
    ),
    tcp_option(
        "TCP_CORK",
        3,
        FLAG,
        meaning="Send full segments only; a shorter rest is held until it is switched off, or for 200 ms and more.",
        use="Around several writes that belong together, on then off.",
        caveat="Left on, as one that a listener hands down is, each answer's last bytes are 200 ms late, "
        "more where the "
        "round trip is long.",
        hazard=Hazard(TCP, ON, "each answer is held back for 200 ms or more"),
        aliases=Aliases(socat="tcp-cork"),
    ),
    tcp_option(
        "TCP_QUICKACK",
        12,
        FLAG,
        meaning="Acknowledge at once instead of waiting for data that could carry the acknowledgement.",
        use="Right before a receive, where the peer still has Nagle's algorithm on.",
        caveat="It does not stay: the kernel sets it anew as the connection goes on.",
        example="off",
        on_accept=OnAccept.REAPPLIED,
        read_back_note=ReadBackNote("the kernel does not keep it", example="off"),
        hazard=Hazard(TCP, AnyValue(), "it does not stay; the kernel sets it anew as a connection goes on"),
        aliases=Aliases(socat="tcp-quickack"),
    ),
    tcp_option(
        "TCP_CONGESTION",
        13,
        CString(N_("the name of a congestion control algorithm, such as cubic")),
        meaning="The congestion control algorithm.",
        use="To try another than net.ipv4.tcp_congestion_control names.",
        caveat="The kernel must have it (net.ipv4.tcp_available_congestion_control); those not in "
        "net.ipv4.tcp_allowed_congestion_control take CAP_NET_ADMIN.",
        example="reno",
        aliases=Aliases("TCPCongestion="),
    ),
    tcp_option(
        "TCP_TX_DELAY",
        37,
        Integer(0, 2**28 - 1, "microseconds"),
        meaning="Delay all that is sent by so much.",
        use="To be a far-away server on purpose.",
        caveat="Only where the interface's queue is fq; on loopback nothing comes of it.",
        example="20ms",
    ),
    socket_option(
        "SO_OOBINLINE",
        10,
        FLAG,
        TCP,
        meaning=N_("Keep TCP's urgent byte in the stream."),
        use=N_("Wherever every byte that a client sends has to be answered."),
        caveat=N_("Off, the urgent byte is not part of what is read: abc, urgent X, def comes back as abcdef."),
        aliases=Aliases(socat="so-oobinline"),
    ),
)
