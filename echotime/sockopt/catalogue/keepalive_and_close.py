"""Describe the options for dead peers, timeouts and the end of a connection."""

from __future__ import annotations

from echotime.sockopt.catalogue.common import FLAG, NONZERO, ipproto_tcp, sol_socket
from echotime.sockopt.option import BOTH, TCP, Aliases, Hazard, Option, ReadBackNote
from echotime.sockopt.structures import Linger, Timeval
from echotime.sockopt.values import N_, Integer

TITLE = N_("Dead peers and the end of a connection")
INTRODUCTION = "Detection of dead peers, and the behavior of close(2)."

_SECONDS = Integer(1, 32767, "seconds")
_BLOCKING_CAVEAT = "It has no effect on nonblocking sockets, and all of Twisted's sockets are nonblocking."
_BLOCKING_HAZARD = Hazard(BOTH, NONZERO, "it has no effect: the daemon's sockets are nonblocking")
_ROUNDED_TO_TICKS = ReadBackNote("the kernel rounds it up to its clock ticks", "1ms")

ROWS: tuple[Option, ...] = (
    Option(
        sol_socket("SO_KEEPALIVE", 9, FLAG, TCP),
        meaning="Send keepalive probes on an idle connection, and end it if they stay unanswered.",
        use="Use it for long idle connections: to detect a dead peer, or to keep a NAT entry alive.",
        caveat="The first probe is sent after TCP_KEEPIDLE, which is two hours by default.",
        aliases=Aliases("KeepAlive=", "so-keepalive"),
    ),
    Option(
        ipproto_tcp("TCP_KEEPIDLE", 4, _SECONDS),
        meaning="The idle time before the first keepalive probe.",
        use="Set it below the idle timeout of NATs and firewalls on the path.",
        caveat="It has an effect only if SO_KEEPALIVE is on.",
        example="5s",
        aliases=Aliases("KeepAliveTimeSec=", "tcp-keepidle"),
    ),
    Option(
        ipproto_tcp("TCP_KEEPINTVL", 5, _SECONDS),
        meaning="The time between keepalive probes.",
        use="Together with TCP_KEEPCNT it determines how soon a dead peer is detected.",
        caveat="A dead peer is detected after TCP_KEEPIDLE + TCP_KEEPINTVL x TCP_KEEPCNT. While sent data is "
        "unacknowledged, keepalive does not detect it.",
        example="5s",
        aliases=Aliases("KeepAliveIntervalSec=", "tcp-keepintvl"),
    ),
    Option(
        ipproto_tcp("TCP_KEEPCNT", 6, Integer(1, 127)),
        meaning="The number of unanswered keepalive probes after which the connection ends.",
        use="Use more than 1 where packets may be lost.",
        caveat="TCP_USER_TIMEOUT overrides it.",
        example="5",
        aliases=Aliases("KeepAliveProbes=", "tcp-keepcnt"),
    ),
    Option(
        ipproto_tcp("TCP_USER_TIMEOUT", 18, Integer(0, 2**31 - 1, "milliseconds")),
        meaning="The longest time that sent data may stay unacknowledged before the connection ends; 0 for the system "
        "default.",
        use="Detect a dead peer while sent data is unacknowledged, which keepalive does not do.",
        caveat="The time counts from the first retransmission, so the connection ends some tenths of a second later. "
        "With keepalive it replaces TCP_KEEPCNT. A client that is alive but does not read is disconnected, too.",
        example="10s",
        hazard=Hazard(TCP, NONZERO, "a client that does not read for this time is disconnected"),
    ),
    Option(
        sol_socket("SO_LINGER", 13, Linger(), TCP),
        meaning="The behavior of close with unsent data; off sends it in the background.",
        use="Use 0 to reset the connection at once and leave nothing in TIME_WAIT.",
        caveat="With a number of seconds close blocks, also on a nonblocking socket, and with it the whole daemon: "
        "echotime turns it off before it closes. 0 resets the connection.",
        example="5s",
        hazard=Hazard(TCP, (0,), "with 0 every close is a reset, and data that has not arrived yet may be lost"),
        aliases=Aliases(socat="so-linger"),
    ),
    Option(
        ipproto_tcp("TCP_LINGER2", 8, Integer(1, 120, "seconds", {"default": 0, "none": -1})),
        meaning="The time that a closed connection waits in FIN_WAIT2 for the peer's FIN; none does not wait.",
        use="Lower it where many clients never close.",
        caveat="Data that the peer sends after close is answered with RST in any case.",
        example="30s",
        read_back_note=ReadBackNote("the default reads back as net.ipv4.tcp_fin_timeout", "default"),
        aliases=Aliases(socat="tcp-linger2"),
    ),
    Option(
        sol_socket("SO_RCVTIMEO", 20, Timeval()),
        meaning="The longest time that a receiving call may block.",
        use="Use it in programs with blocking sockets. The daemon has its own timeout for idle connections.",
        caveat=_BLOCKING_CAVEAT,
        example="3s",
        read_back_note=_ROUNDED_TO_TICKS,
        hazard=_BLOCKING_HAZARD,
    ),
    Option(
        sol_socket("SO_SNDTIMEO", 21, Timeval()),
        meaning="The longest time that a sending call, or connect, may block.",
        use="Use it in programs with blocking sockets.",
        caveat=_BLOCKING_CAVEAT,
        example="3s",
        read_back_note=_ROUNDED_TO_TICKS,
        hazard=_BLOCKING_HAZARD,
    ),
)
