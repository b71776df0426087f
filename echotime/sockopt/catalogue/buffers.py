"""Buffers, windows and rates."""

from __future__ import annotations

from echotime.sockopt.catalogue.common import BYTES, AnyValue, socket_option, tcp_option
from echotime.sockopt.option import BOTH, TCP, Aliases, Hazard, Option, Privilege, ReadBackNote
from echotime.sockopt.values import N_, Integer

TITLE = N_("Buffers, windows and rates")
INTRODUCTION = "How much the kernel keeps for a socket, and how fast it sends."

_FORCE_PRIVILEGE = "CAP_NET_ADMIN"
_DOUBLED = "the kernel doubles it, between a smallest size and twice "
_FORCE_HAZARD = Hazard(
    BOTH, AnyValue(), "every connection may take as much of the kernel's memory, past the system's bound"
)
_DOUBLED_UNBOUNDED = "the kernel doubles it, and there is no upper bound"

ROWS: tuple[Option, ...] = (
    socket_option(
        "SO_SNDBUF",
        7,
        BYTES,
        BOTH,
        meaning="The send buffer of each socket.",
        use="To bound what a client that does not read may cost.",
        caveat="Unset, TCP lets it grow to some megabytes for a client that does not read; set, it bounds that.",
        example="64K",
        read_back_note=ReadBackNote(_DOUBLED + "net.core.wmem_max", example="64K"),
        aliases=Aliases("SendBuffer=", "so-sndbuf"),
    ),
    socket_option(
        "SO_RCVBUF",
        8,
        BYTES,
        BOTH,
        meaning="The receive buffer of each socket.",
        use="On UDP, larger where bursts are dropped (SO_MEMINFO counts them); on TCP, smaller to bound memory.",
        caveat="Setting it ends TCP's automatic tuning, and the window scale is settled by the SYN: set on a "
        "connection it bounds less than it says. A small datagram takes far more of it than its bytes.",
        example="64K",
        read_back_note=ReadBackNote(_DOUBLED + "net.core.rmem_max", example="64K"),
        aliases=Aliases("ReceiveBuffer=", "so-rcvbuf"),
    ),
    socket_option(
        "SO_SNDBUFFORCE",
        32,
        BYTES,
        BOTH,
        meaning="SO_SNDBUF without its upper bound.",
        use="Where net.core.wmem_max cannot be raised.",
        caveat="It is read as SO_SNDBUF.",
        example="64K",
        read_number=7,
        privilege=Privilege(_FORCE_PRIVILEGE, example="64K"),
        read_back_note=ReadBackNote(_DOUBLED_UNBOUNDED, example="64K"),
        hazard=_FORCE_HAZARD,
    ),
    socket_option(
        "SO_RCVBUFFORCE",
        33,
        BYTES,
        BOTH,
        meaning="SO_RCVBUF without its upper bound.",
        use="Where net.core.rmem_max cannot be raised.",
        caveat="It is read as SO_RCVBUF.",
        example="64K",
        read_number=8,
        privilege=Privilege(_FORCE_PRIVILEGE, example="64K"),
        read_back_note=ReadBackNote(_DOUBLED_UNBOUNDED, example="64K"),
        hazard=_FORCE_HAZARD,
    ),
    socket_option(
        "SO_RCVLOWAT",
        18,
        Integer(0, 2**31 - 1, "bytes"),
        TCP,
        meaning="How many bytes must be there before poll and a blocking recv report any.",
        use="Where messages have a known size and fewer bytes are not worth a wakeup.",
        caveat="A message shorter than this stays unanswered until more comes: an echo appears to hang.",
        example="5",
        read_back_note=ReadBackNote("0 means 1, and half of the receive buffer it may have is the most", example="0"),
        hazard=Hazard(TCP, AnyValue(excluded=(0, 1)), "a message shorter than this waits until more bytes have come"),
        aliases=Aliases(socat="so-rcvlowat"),
    ),
    socket_option(
        "SO_SNDLOWAT",
        19,
        Integer(1, 1),
        (),
        meaning="Always 1 on Linux, which refuses to set it (ENOPROTOOPT).",
        settable=False,
        aliases=Aliases(socat="so-sndlowat"),
    ),
    tcp_option(
        "TCP_NOTSENT_LOWAT",
        25,
        BYTES,
        meaning="How many bytes not yet sent make a socket not writable; 0: net.ipv4.tcp_notsent_lowat.",
        use="To feel a slow client early, and to keep late words from queueing behind old bytes.",
        caveat="Far below what a round trip carries it costs throughput.",
        example="16K",
    ),
    tcp_option(
        "TCP_WINDOW_CLAMP",
        10,
        BYTES,
        meaning="The largest receive window that is offered.",
        use="To make a slow receiver on purpose.",
        caveat="Set before the connection it bounds the window scale and small messages; once bulk data arrives, the "
        "kernel's tuning of the buffer raises it again. 0 is refused on sockets that listen or are connected.",
        example="60000",
        read_back_note=ReadBackNote("the kernel raises it to half of the smallest receive buffer", example="1"),
        hazard=Hazard(TCP, AnyValue(excluded=(0,)), "a small window bounds what a client can send in a round trip"),
        aliases=Aliases(socat="tcp-window-clamp"),
    ),
    socket_option(
        "SO_MAX_PACING_RATE",
        47,
        Integer(0, 2**63 - 1, "bytes", {"unlimited": 2**64 - 1}, size=8),
        BOTH,
        meaning="The most bytes a second that a connection sends.",
        use="To be a slow server on purpose, or a polite one.",
        caveat="TCP keeps it by itself, but for its first ten segments, which on loopback are 640 KB; UDP "
        "only where the "
        "interface's queue is fq. 0 bounds nothing.",
        example="1M",
    ),
)
