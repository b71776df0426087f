"""How connections come in, and which do not."""

from __future__ import annotations

from echotime.sockopt.catalogue.common import AnyValue, ipv4_option, ipv6_option, tcp_option
from echotime.sockopt.option import (
    TCP,
    Aliases,
    Hazard,
    OnAccept,
    Option,
    Readable,
    ReadBackNote,
    SetDeadline,
    SocketRole,
)
from echotime.sockopt.structures import ReadOnlyStruct
from echotime.sockopt.values import N_, Choice, Integer

TITLE = N_("Incoming connections")
INTRODUCTION = "What happens between a client's SYN and accept. How many may wait is listen's backlog, not an option."

_GTSM_USE = "255 admits direct neighbours only, and of them those that send with 255; most send 64 (RFC 5082)."
_GTSM_CAVEAT = "It holds for TCP alone; a UDP socket takes it and receives everything."

ROWS: tuple[Option, ...] = (
    tcp_option(
        "TCP_DEFER_ACCEPT",
        9,
        Integer(0, 32767, "seconds"),
        meaning="Report a connection only when its first bytes are here, or this time has passed.",
        use="Where clients speak first, and connections without a word are not worth a wakeup.",
        caveat="A probe that connects and sends nothing is accepted only after the time: no use for checks that take a "
        "connection for health, or for servers that greet.",
        example="5s",
        set_deadline=SetDeadline.BEFORE_CONNECTION,
        on_accept=OnAccept.LISTENER_ONLY,
        read_back_note=ReadBackNote("the kernel rounds it to a whole number of SYN-ACK retransmissions", example="5s"),
        aliases=Aliases("DeferAcceptSec=", "tcp-defer-accept"),
    ),
    tcp_option(
        "TCP_FASTOPEN",
        23,
        Integer(0, 2**31 - 1),
        meaning="How many connections may bring data with their SYN before the handshake is done; 0: none (RFC 7413).",
        use="To save returning clients a round trip.",
        caveat="Nothing comes of it unless net.ipv4.tcp_fastopen allows servers (value 2).",
        example="5",
        roles=(SocketRole.LISTENER,),
        on_accept=OnAccept.LISTENER_ONLY,
        read_back_note=ReadBackNote("net.core.somaxconn bounds it", example="2000000000"),
    ),
    tcp_option(
        "TCP_SYNCNT",
        7,
        Integer(1, 127),
        meaning="How long connect tries, in SYNs sent again at doubling intervals; on a listener SYN-ACKs.",
        use="To learn sooner that nobody answers: 1 is three seconds, 2 seven, 6, the default, two minutes.",
        caveat="Since Linux 6.5 more SYNs go out in that time, as the first come every second "
        "(net.ipv4.tcp_syn_linear_timeouts).",
        example="3",
        set_deadline=SetDeadline.BEFORE_CONNECTION,
        aliases=Aliases(socat="tcp-syncnt"),
    ),
    tcp_option(
        "TCP_MAXSEG",
        2,
        Integer(88, 32767, "bytes", {"default": 0}),
        meaning="The largest segment offered to the peer, and sent to it.",
        use="Behind a tunnel whose path MTU discovery is broken.",
        caveat="On a connection that is established it is taken, and nothing comes of it. What both sides' TCP options "
        "take comes off: 12 bytes for time stamps.",
        example="1000",
        set_deadline=SetDeadline.BEFORE_CONNECTION,
        on_accept=OnAccept.REDUCED,
        read_back_note=ReadBackNote("the default reads back as 536 until there is a connection", example="default"),
        aliases=Aliases(socat="tcp-maxseg"),
    ),
    ipv4_option(
        "IP_MINTTL",
        21,
        Integer(0, 255),
        TCP,
        meaning="Drop segments that arrive with a smaller time to live.",
        use=_GTSM_USE,
        caveat=_GTSM_CAVEAT,
        example="5",
        hazard=Hazard(TCP, AnyValue(excluded=(0,)), "clients whose packets arrive with less are not answered at all"),
    ),
    ipv6_option(
        "IPV6_MINHOPCOUNT",
        73,
        Integer(0, 255),
        TCP,
        meaning="IP_MINTTL for IPv6's hop limit.",
        use=_GTSM_USE,
        caveat=_GTSM_CAVEAT,
        example="5",
        hazard=Hazard(TCP, AnyValue(excluded=(0,)), "clients whose packets arrive with less are not answered at all"),
    ),
    tcp_option(
        "TCP_SAVE_SYN",
        27,
        Choice({"off": 0, "on": 1, "link": 2}),
        meaning="Keep the headers of the client's SYN for TCP_SAVED_SYN; link: those of the link layer, too.",
        use="To see what a middlebox made of the handshake: TTL, window, MSS and TCP options as they arrived.",
        caveat="It is memory for each connection until it is read.",
        set_deadline=SetDeadline.BEFORE_CONNECTION,
        hazard=Hazard(
            TCP, AnyValue(excluded=(0,)), "echotime does not read what is kept: some memory for each connection"
        ),
    ),
    tcp_option(
        "TCP_SAVED_SYN",
        28,
        ReadOnlyStruct(1024),
        meaning="The headers of the client's SYN, where the listener had TCP_SAVE_SYN on.",
        settable=False,
        readable=Readable.ONCE,
    ),
)
