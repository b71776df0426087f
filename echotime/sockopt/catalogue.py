"""The catalogue: one row an option, data only. Numbers are Linux's (x86, arm), measured on Linux 6.18.

What is here drives the command line, the checks, the moment of setting, the start report and
docs/socket-options.md. Sources: socket(7), tcp(7), ip(7), ipv6(7), and the kernel itself.
"""

from __future__ import annotations

from functools import partial

from echotime.sockopt.forms import Device, Flag, Integer, Linger, Structure
from echotime.sockopt.option import Danger, Moment, OnAccept, Option

_BYTES = Integer(0, 2**31 - 1, "bytes")
_DSCP = {
    **{f"CS{n}": n << 5 for n in range(8)},
    **{f"AF{c}{d}": (c << 5) | (d << 3) for c in (1, 2, 3, 4) for d in (1, 2, 3)},
    "EF": 0xB8,
    "lowdelay": 0x10,
    "throughput": 0x08,
    "reliability": 0x04,
}
_TRAFFIC_CLASS = Integer(0, 255, "", _DSCP)
_ECN = "on TCP the two ECN bits are the kernel's own and are cleared"
_DEFAULT = "the default reads back as the number it stands for"
_DOUBLED = "the kernel doubles it, between a smallest size and twice "


_socket = partial(Option, "SOL_SOCKET")
_tcp = partial(Option, "IPPROTO_TCP")
_ip = partial(Option, "IPPROTO_IP")
_ipv6 = partial(Option, "IPPROTO_IPV6")

_BOTH = ("tcp", "udp")
_UDP = ("udp",)
_TCP = ("tcp",)
_ERRORS_TRAP = (
    "On UDP errors of earlier answers then surface at the next call. A server that takes such an error for its own "
    "goes deaf after one datagram; echotime reads the error queue, counts and goes on. On TCP a single ICMP error ends "
    "the connection, where it would otherwise be tried on."
)
_ERRORS_DANGER = Danger("tcp", 1, "a single ICMP error, which others can forge, ends a connection")

_SOCKET_LEVEL = (
    _socket(
        "SO_REUSEADDR",
        2,
        Flag(),
        _BOTH,
        "Bind although connections of an earlier server on the port are still in TIME_WAIT.",
        moment=Moment.BEFORE_BIND,
        trap="On by default on TCP. On UDP it means something else: every process that sets it, of any user, may "
        "bind the same port and take our datagrams; echotime sets it before bind, as the seed does, and clears it "
        "right after, unless it is asked for.",
        danger=Danger("udp", 1, "any process of any user that sets it too may bind this port and take our datagrams"),
    ),
    _socket(
        "SO_DONTROUTE",
        5,
        Flag(),
        _BOTH,
        "Send to directly attached networks only, never through a gateway.",
        trap="A client behind a gateway gets no answer: TCP times out, UDP answers fail with ENETUNREACH.",
    ),
    _socket(
        "SO_BROADCAST",
        6,
        Flag(),
        _UDP,
        "Allow sending to a broadcast address; without it such a send fails with EACCES.",
        trap="Receiving broadcasts needs no option.",
    ),
    _socket(
        "SO_SNDBUF",
        7,
        _BYTES,
        _BOTH,
        "The send buffer of each socket.",
        altered=_DOUBLED + "net.core.wmem_max",
        trap="Unset, TCP lets it grow to some megabytes for a client that does not read; set, it bounds that.",
    ),
    _socket(
        "SO_RCVBUF",
        8,
        _BYTES,
        _BOTH,
        "The receive buffer of each socket.",
        moment=Moment.BEFORE_LISTEN,
        altered=_DOUBLED + "net.core.rmem_max",
        trap="Setting it ends TCP's automatic tuning, and the window scale is settled by the SYN: set later it "
        "bounds less than it says.",
    ),
    _socket(
        "SO_KEEPALIVE",
        9,
        Flag(),
        _TCP,
        "Probe a silent connection, and end it when the probes stay unanswered.",
        trap="The first probe goes out after TCP_KEEPIDLE, two hours unless set.",
    ),
    _socket(
        "SO_OOBINLINE",
        10,
        Flag(),
        _TCP,
        "Keep TCP's urgent byte in the stream.",
        trap="Off, the urgent byte is not part of what is read: abc, urgent X, def comes back as abcdef.",
    ),
    _socket(
        "SO_LINGER",
        13,
        Linger(),
        _TCP,
        "What close does with bytes not yet sent: off sends them in the background.",
        trap="A number of seconds makes close itself wait, also on a socket that does not block, and the whole daemon "
        "with it: echotime switches it off before it closes. 0 resets the connection.",
        danger=Danger("tcp", 0, "every close is a reset, and the client may lose what it has not read yet"),
    ),
    _socket(
        "SO_BINDTODEVICE",
        25,
        Device(),
        _BOTH,
        "Receive and send through one network interface only.",
        moment=Moment.BEFORE_BIND,
        privilege="CAP_NET_RAW to change or clear it, and before Linux 5.7 to set it at all",
        trap="The interface must exist at start. Bound to another, 127.0.0.1 is refused.",
    ),
    _socket(
        "SO_TIMESTAMPNS",
        35,
        Flag(),
        _UDP,
        "Deliver the time of receipt, in nanoseconds, with each datagram.",
    ),
    _socket(
        "SO_MEMINFO",
        55,
        Structure(36),
        _BOTH,
        "Nine counters of the socket's memory; the last is the number of datagrams dropped.",
        settable=False,
    ),
)

_TCP_LEVEL = (
    _tcp(
        "TCP_NODELAY",
        1,
        Flag(),
        _TCP,
        "Send small segments at once instead of waiting for an acknowledgement (Nagle's algorithm).",
        trap="On by default. Off, an answer written in several pieces takes 40 ms longer.",
    ),
    _tcp(
        "TCP_KEEPIDLE",
        4,
        Integer(1, 32767, "seconds"),
        _TCP,
        "How long a connection is silent before the first keepalive probe.",
        trap="Acts only with SO_KEEPALIVE on.",
    ),
    _tcp(
        "TCP_KEEPINTVL",
        5,
        Integer(1, 32767, "seconds"),
        _TCP,
        "The time between keepalive probes.",
        trap="A dead peer is noticed after TCP_KEEPIDLE + TCP_KEEPINTVL x TCP_KEEPCNT.",
    ),
    _tcp(
        "TCP_KEEPCNT",
        6,
        Integer(1, 127),
        _TCP,
        "How many keepalive probes may stay unanswered.",
        trap="TCP_USER_TIMEOUT overrules it.",
    ),
    _tcp(
        "TCP_DEFER_ACCEPT",
        9,
        Integer(0, 32767, "seconds"),
        _TCP,
        "Report a connection only when its first bytes are here, or this time has passed.",
        moment=Moment.BEFORE_LISTEN,
        on_accept=OnAccept.LISTENER_ONLY,
        altered="the kernel rounds it to a whole number of SYN-ACK retransmissions",
        trap="A probe that connects and sends nothing is accepted only after the time.",
    ),
    _tcp(
        "TCP_INFO",
        11,
        Structure(256),
        _TCP,
        "The kernel's view of a connection; on a listener, how many connections wait and how many may.",
        settable=False,
    ),
    _tcp(
        "TCP_USER_TIMEOUT",
        18,
        Integer(0, 2**31 - 1, "milliseconds"),
        _TCP,
        "How long sent bytes may stay unacknowledged before the connection is ended; 0: the system's default.",
    ),
)

_IP_LEVEL = (
    _ip(
        "IP_TOS",
        1,
        _TRAFFIC_CLASS,
        _BOTH,
        "The DSCP and ECN byte of what is sent; shifts a socket's SO_PRIORITY too.",
        altered=_ECN,
    ),
    _ip(
        "IP_TTL",
        2,
        Integer(1, 255, "", {"default": -1}),
        _BOTH,
        "The time to live of what is sent.",
        altered=_DEFAULT,
    ),
    _ip(
        "IP_PKTINFO",
        8,
        Flag(),
        _UDP,
        "Deliver with each datagram the address it was sent to.",
        trap="On by default on a wildcard address: only so does an answer leave from the address that was asked.",
    ),
    _ip(
        "IP_RECVERR",
        11,
        Flag(),
        _BOTH,
        "Report ICMP errors at once, through the socket's error queue.",
        trap=_ERRORS_TRAP,
        danger=_ERRORS_DANGER,
    ),
    _ip("IP_RECVTTL", 12, Flag(), _UDP, "Deliver the time to live each datagram arrived with."),
    _ip("IP_RECVTOS", 13, Flag(), _UDP, "Deliver the DSCP and ECN byte each datagram arrived with."),
    _ip(
        "IP_FREEBIND",
        15,
        Flag(),
        _BOTH,
        "Bind to an address that this host does not have yet, IPv4 or IPv6.",
        versions=(4, 6),
        moment=Moment.BEFORE_BIND,
    ),
)

_IPV6_LEVEL = (
    _ipv6(
        "IPV6_UNICAST_HOPS",
        16,
        Integer(0, 255, "", {"default": -1}),
        _BOTH,
        "The hop limit of what is sent.",
        altered=_DEFAULT,
    ),
    _ipv6("IPV6_RECVERR", 25, Flag(), _BOTH, "IP_RECVERR for IPv6.", trap=_ERRORS_TRAP, danger=_ERRORS_DANGER),
    _ipv6(
        "IPV6_V6ONLY",
        26,
        Flag(),
        _BOTH,
        "Serve IPv6 only; off, a socket on [::] serves IPv4 as well.",
        moment=Moment.BEFORE_BIND,
        altered="a socket bound to an IPv6 address other than [::] speaks IPv6 only",
        trap="Off by default on [::], whatever the system's net.ipv6.bindv6only says.",
    ),
    _ipv6(
        "IPV6_RECVPKTINFO",
        49,
        Flag(),
        _UDP,
        "IP_PKTINFO for IPv6.",
        trap="On by default on [::]: only so does an answer leave from the address that was asked.",
    ),
    _ipv6("IPV6_RECVHOPLIMIT", 51, Flag(), _UDP, "Deliver the hop limit each datagram arrived with."),
    _ipv6("IPV6_RECVTCLASS", 66, Flag(), _UDP, "Deliver the traffic class each datagram arrived with."),
    _ipv6("IPV6_TCLASS", 67, _TRAFFIC_CLASS, _BOTH, "The traffic class of what is sent.", altered=_ECN),
)

# Set after IP_TOS, which shifts it, as the order of the catalogue is the order of setting.
_PRIORITY = _socket(
    "SO_PRIORITY",
    12,
    Integer(-(2**31), 2**31 - 1),
    _BOTH,
    "The queueing priority of what is sent.",
    on_accept=OnAccept.SET_AGAIN,
    privilege="CAP_NET_ADMIN (or CAP_NET_RAW since Linux 5.17) for values below 0 and above 6",
)

CATALOGUE: tuple[Option, ...] = (*_SOCKET_LEVEL, *_TCP_LEVEL, *_IP_LEVEL, *_IPV6_LEVEL, _PRIORITY)
"""Every option known by name, in the order in which they are set."""

BY_NAME = {option.name: option for option in CATALOGUE}
