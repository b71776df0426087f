"""Describe the options for the TCP handshake and for accepting connections."""

from __future__ import annotations

from echotime.sockopt.catalogue.common import NONZERO, ipproto_ip, ipproto_ipv6, ipproto_tcp, ipv6_twin
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
INTRODUCTION = (
    "What happens between a client's SYN and accept(2). The limit of the accept queue is the backlog argument of "
    "listen(2), not a socket option."
)

ROWS: tuple[Option, ...] = (
    Option(
        ipproto_tcp("TCP_DEFER_ACCEPT", 9, Integer(0, 32767, "seconds")),
        meaning="Report a new connection only when its first data arrives, or when this time has passed.",
        use="Use it where clients send first, so that connections without data do not wake the server.",
        caveat="A client that connects and sends nothing is accepted only after this time. It does not suit health "
        "checks that only connect, or servers that send a greeting.",
        example="5s",
        set_deadline=SetDeadline.BEFORE_CONNECTION,
        on_accept=OnAccept.LISTENER_ONLY,
        read_back_note=ReadBackNote("the kernel rounds it to a whole number of SYN-ACK retransmissions", "5s"),
        aliases=Aliases("DeferAcceptSec=", "tcp-defer-accept"),
    ),
    Option(
        ipproto_tcp("TCP_FASTOPEN", 23, Integer(0, 2**31 - 1), roles=(SocketRole.LISTENER,)),
        meaning="Enable TCP Fast Open (RFC 7413): the limit of unfinished handshakes whose SYN carried data; 0 for "
        "none.",
        use="Save returning clients a round trip.",
        caveat="It has no effect unless net.ipv4.tcp_fastopen allows servers (value 2).",
        example="5",
        on_accept=OnAccept.LISTENER_ONLY,
        read_back_note=ReadBackNote("net.core.somaxconn limits it", "2000000000"),
    ),
    Option(
        ipproto_tcp("TCP_SYNCNT", 7, Integer(1, 127)),
        meaning="The number of SYNs that connect retransmits, at doubling intervals; on a listener, of SYN-ACKs.",
        use="Lower it to detect sooner that a server does not respond: 1 gives up after 3 seconds, 2 after 7, the "
        "default of 6 after two minutes.",
        caveat="Since Linux 6.5 the first SYNs are sent every second (net.ipv4.tcp_syn_linear_timeouts), so more SYNs "
        "are sent in the same time. On a listener that does not set it, net.ipv4.tcp_synack_retries applies, although "
        "getsockopt returns net.ipv4.tcp_syn_retries.",
        example="3",
        set_deadline=SetDeadline.BEFORE_CONNECTION,
        aliases=Aliases(socat="tcp-syncnt"),
    ),
    Option(
        ipproto_tcp("TCP_MAXSEG", 2, Integer(88, 32767, "bytes", {"default": 0})),
        meaning="The maximum segment size, as announced to the peer and used for sending.",
        use="Lower it behind a tunnel where path MTU discovery does not work.",
        caveat="On an established connection it is accepted, but has no effect. The TCP options that both sides use "
        "are subtracted: 12 bytes for timestamps.",
        example="1000",
        set_deadline=SetDeadline.BEFORE_CONNECTION,
        on_accept=OnAccept.REDUCED,
        read_back_note=ReadBackNote("the default reads back as 536 until there is a connection", "default"),
        aliases=Aliases(socat="tcp-maxseg"),
    ),
    *ipv6_twin(
        Option(
            ipproto_ip("IP_MINTTL", 21, Integer(0, 255), TCP),
            meaning="Drop segments that arrive with a lower time to live (TTL).",
            use="255 accepts only directly connected neighbors that send with 255; most hosts send with 64 (RFC 5082).",
            caveat="It is enforced on TCP only; a UDP socket accepts the option and still receives every datagram.",
            example="5",
            hazard=Hazard(TCP, NONZERO, "clients whose packets arrive with a lower value cannot connect"),
        ),
        ipproto_ipv6("IPV6_MINHOPCOUNT", 73, Integer(0, 255), TCP),
        "IP_MINTTL for the hop limit of IPv6.",
    ),
    Option(
        ipproto_tcp("TCP_SAVE_SYN", 27, Choice({"off": 0, "on": 1, "link": 2})),
        meaning="Save the headers of the client's SYN for TCP_SAVED_SYN; link also saves the link-layer header.",
        use="See how a middlebox changes the handshake: TTL, window, MSS and TCP options as they arrived.",
        caveat="The headers take memory for each connection until they are read.",
        set_deadline=SetDeadline.BEFORE_CONNECTION,
        hazard=Hazard(TCP, NONZERO, "echotime does not read the saved headers: they take memory for each connection"),
    ),
    Option(
        ipproto_tcp("TCP_SAVED_SYN", 28, ReadOnlyStruct(1024)),
        meaning="The headers of the client's SYN, if TCP_SAVE_SYN was on for the listener.",
        settable=False,
        readable=Readable.ONCE,
    ),
)
