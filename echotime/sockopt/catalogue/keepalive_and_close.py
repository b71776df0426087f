"""Dead peers, times that run out, and the end of a connection."""

from __future__ import annotations

from echotime.sockopt.catalogue.common import FLAG, AnyValue, socket_option, tcp_option
from echotime.sockopt.option import BOTH, TCP, Aliases, Hazard, Option, ReadBackNote
from echotime.sockopt.structures import Linger, Timeval
from echotime.sockopt.values import N_, Integer

TITLE = N_("Dead peers and the end of a connection")
INTRODUCTION = "How long a connection outlives its peer, and what close does."

_SECONDS = Integer(1, 32767, "seconds")
_BLOCKING_CAVEAT = "Nothing comes of it on sockets that do not block, which all of Twisted's are."
_BLOCKING_HAZARD = Hazard(BOTH, AnyValue(excluded=(0,)), "nothing comes of it: the daemon's sockets do not block")
_ROUNDED_TO_TICKS = ReadBackNote("the kernel rounds it up to its clock's ticks", example="1ms")

ROWS: tuple[Option, ...] = (
    socket_option(
        "SO_KEEPALIVE",
        9,
        FLAG,
        TCP,
        meaning=N_("Probe a silent connection, and end it when the probes stay unanswered."),
        use=N_("Where connections are long and silent: to notice a peer that is gone, or to keep a NAT's entry alive."),
        caveat=N_("The first probe goes out after TCP_KEEPIDLE, two hours unless set."),
        aliases=Aliases("KeepAlive=", "so-keepalive"),
    ),
    tcp_option(
        "TCP_KEEPIDLE",
        4,
        _SECONDS,
        meaning="How long a connection is silent before the first keepalive probe.",
        use="Below the idle time after which a NAT or firewall on the way forgets the connection.",
        caveat="Acts only with SO_KEEPALIVE on.",
        example="5s",
        aliases=Aliases("KeepAliveTimeSec=", "tcp-keepidle"),
    ),
    tcp_option(
        "TCP_KEEPINTVL",
        5,
        _SECONDS,
        meaning="The time between keepalive probes.",
        use="Together with TCP_KEEPCNT, to settle how soon a dead peer is given up.",
        caveat="A dead peer is noticed after TCP_KEEPIDLE + TCP_KEEPINTVL x TCP_KEEPCNT, and not by "
        "keepalive while sent "
        "bytes are unacknowledged.",
        example="5s",
        aliases=Aliases("KeepAliveIntervalSec=", "tcp-keepintvl"),
    ),
    tcp_option(
        "TCP_KEEPCNT",
        6,
        Integer(1, 127),
        meaning="How many keepalive probes may stay unanswered.",
        use="More than 1 where packets get lost.",
        caveat="TCP_USER_TIMEOUT overrules it.",
        example="5",
        aliases=Aliases("KeepAliveProbes=", "tcp-keepcnt"),
    ),
    tcp_option(
        "TCP_USER_TIMEOUT",
        18,
        Integer(0, 2**31 - 1, "milliseconds"),
        meaning="How long sent bytes may stay unacknowledged before the connection is ended; 0: the system's default.",
        use="Where a dead peer must be noticed while there is something to send, of which keepalive knows nothing.",
        caveat="It counts from the first retransmission, so the end comes some tenths of a second later. "
        "With keepalive "
        "it takes the place of TCP_KEEPCNT. A client that lives and does not read is cut off, too.",
        example="10s",
        hazard=Hazard(TCP, AnyValue(excluded=(0,)), "a client that does not read for so long is cut off"),
    ),
    socket_option(
        "SO_LINGER",
        13,
        Linger(),
        TCP,
        meaning="What close does with bytes not yet sent: off sends them in the background.",
        use="0 where a peer is to be told at once that all is over, and nothing may stay in TIME_WAIT.",
        caveat="A number of seconds makes close itself wait, also on a socket that does not block, and "
        "the whole daemon "
        "with it: echotime switches it off before it closes. 0 resets the connection.",
        example="5s",
        hazard=Hazard(TCP, (0,), "with 0 every close is a reset, and what has not arrived yet may be lost"),
        aliases=Aliases(socat="so-linger"),
    ),
    tcp_option(
        "TCP_LINGER2",
        8,
        Integer(1, 120, "seconds", {"default": 0, "none": -1}),
        meaning="How long a closed connection waits in FIN_WAIT2 for the peer's end of file.",
        use="Shorter where many clients never close.",
        caveat="Bytes of the peer that come after close are answered with a reset in any case; none: no wait.",
        example="30s",
        read_back_note=ReadBackNote("the default reads back as net.ipv4.tcp_fin_timeout", example="default"),
        aliases=Aliases(socat="tcp-linger2"),
    ),
    socket_option(
        "SO_RCVTIMEO",
        20,
        Timeval(),
        BOTH,
        meaning="How long a receiving call may block.",
        use="In programs with blocking sockets; a daemon ends idle connections by its own clock.",
        caveat=_BLOCKING_CAVEAT,
        example="3s",
        read_back_note=_ROUNDED_TO_TICKS,
        hazard=_BLOCKING_HAZARD,
    ),
    socket_option(
        "SO_SNDTIMEO",
        21,
        Timeval(),
        BOTH,
        meaning="How long a sending call, or connect, may block.",
        use="In programs with blocking sockets.",
        caveat=_BLOCKING_CAVEAT,
        example="3s",
        read_back_note=_ROUNDED_TO_TICKS,
        hazard=_BLOCKING_HAZARD,
    ),
)
