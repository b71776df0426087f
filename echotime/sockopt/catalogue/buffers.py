"""Describe the options for buffers, windows and rates."""

from __future__ import annotations

from echotime.sockopt.catalogue.common import BYTES, NONZERO, AnyValue, ipproto_tcp, sol_socket
from echotime.sockopt.option import BOTH, TCP, Aliases, Hazard, Option, Privilege, ReadBackNote
from echotime.sockopt.values import N_, Integer

TITLE = N_("Buffers, windows and rates")
INTRODUCTION = "How much the kernel buffers for a socket, and how fast it sends."

_DOUBLED = "the kernel doubles it, between a minimum size and twice net.core."
_DOUBLED_UNLIMITED = ReadBackNote("the kernel doubles it, without an upper limit", "64K")
_FORCE_PRIVILEGE = Privilege("CAP_NET_ADMIN", "64K")
_FORCE_HAZARD = Hazard(BOTH, AnyValue(), "each connection may use that much kernel memory, beyond the system limit")

ROWS: tuple[Option, ...] = (
    Option(
        sol_socket("SO_SNDBUF", 7, BYTES),
        meaning="The size of the send buffer of each socket.",
        use="Limit the memory that a client can occupy by not reading.",
        caveat="If it is not set, TCP lets the buffer of such a client grow to several megabytes.",
        example="64K",
        read_back_note=ReadBackNote(f"{_DOUBLED}wmem_max", "64K"),
        aliases=Aliases("SendBuffer=", "so-sndbuf"),
    ),
    Option(
        sol_socket("SO_RCVBUF", 8, BYTES),
        meaning="The size of the receive buffer of each socket.",
        use="On UDP, raise it if bursts are dropped (SO_MEMINFO counts the drops). On TCP, lower it to limit memory.",
        caveat="Setting it disables TCP's automatic tuning. The window scale is fixed by the SYN, so on an established "
        "connection the limit is less strict. A small datagram takes far more of the buffer than its own size.",
        example="64K",
        read_back_note=ReadBackNote(f"{_DOUBLED}rmem_max", "64K"),
        aliases=Aliases("ReceiveBuffer=", "so-rcvbuf"),
    ),
    Option(
        sol_socket("SO_SNDBUFFORCE", 32, BYTES),
        meaning="SO_SNDBUF without its upper limit.",
        use="Use it where net.core.wmem_max cannot be raised.",
        caveat="It is read as SO_SNDBUF.",
        example="64K",
        read_number=7,
        privilege=_FORCE_PRIVILEGE,
        read_back_note=_DOUBLED_UNLIMITED,
        hazard=_FORCE_HAZARD,
    ),
    Option(
        sol_socket("SO_RCVBUFFORCE", 33, BYTES),
        meaning="SO_RCVBUF without its upper limit.",
        use="Use it where net.core.rmem_max cannot be raised.",
        caveat="It is read as SO_RCVBUF.",
        example="64K",
        read_number=8,
        privilege=_FORCE_PRIVILEGE,
        read_back_note=_DOUBLED_UNLIMITED,
        hazard=_FORCE_HAZARD,
    ),
    Option(
        sol_socket("SO_RCVLOWAT", 18, Integer(0, 2**31 - 1, "bytes"), TCP),
        meaning="The number of bytes in the receive buffer from which poll and a blocking recv report data.",
        use="Use it where messages have a known size and fewer bytes are not worth a wakeup.",
        caveat="A shorter message is not reported until more data arrives: an echo appears to hang.",
        example="5",
        read_back_note=ReadBackNote("0 means 1, and the limit is half of the largest possible receive buffer", "0"),
        hazard=Hazard(TCP, AnyValue(excluded=(0, 1)), "a message shorter than this waits until more bytes arrive"),
        aliases=Aliases(socat="so-rcvlowat"),
    ),
    Option(
        sol_socket("SO_SNDLOWAT", 19, Integer(1, 1), ()),
        meaning="Always 1 on Linux; setting it fails with ENOPROTOOPT.",
        settable=False,
        aliases=Aliases(socat="so-sndlowat"),
    ),
    Option(
        ipproto_tcp("TCP_NOTSENT_LOWAT", 25, BYTES),
        meaning="The number of unsent bytes from which a socket is not writable; 0 for net.ipv4.tcp_notsent_lowat.",
        use="Notice a slow client early, and keep later replies from queueing behind old data.",
        caveat="A value far below the bandwidth-delay product reduces throughput.",
        example="16K",
    ),
    Option(
        ipproto_tcp("TCP_WINDOW_CLAMP", 10, BYTES),
        meaning="The largest receive window that is advertised.",
        use="Simulate a slow receiver.",
        caveat="Set before the connection, it limits the window scale and the window for small messages. Once bulk "
        "data arrives, the kernel's buffer tuning raises it again. 0 is refused on listening and connected sockets.",
        example="60000",
        read_back_note=ReadBackNote("the kernel raises it to half of the minimum receive buffer", "1"),
        hazard=Hazard(TCP, NONZERO, "a small window limits what a client can send in a round trip"),
        aliases=Aliases(socat="tcp-window-clamp"),
    ),
    Option(
        sol_socket("SO_MAX_PACING_RATE", 47, Integer(0, 2**63 - 1, "bytes", {"unlimited": 2**64 - 1}, size=8)),
        meaning="The maximum sending rate of a connection, in bytes per second.",
        use="Simulate a slow server, or limit the bandwidth that each connection uses.",
        caveat="TCP enforces it itself, except for its first ten segments, which are 640 KB on loopback. UDP enforces "
        "it only if the queueing discipline of the interface is fq. 0 does not limit the rate.",
        example="1M",
    ),
)
