"""The rows of SOL_SOCKET: what every socket has. Sources: socket(7), and the kernel itself."""

from __future__ import annotations

from functools import partial

from echotime.sockopt.forms import Device, Flag, Integer, Linger, Structure
from echotime.sockopt.option import Danger, Moment, OnAccept, Option
from echotime.sockopt.row_parts import BOTH, BYTES, TCP, UDP

_row = partial(Option, "SOL_SOCKET")
_DOUBLED = "the kernel doubles it, between a smallest size and twice "

ROWS: tuple[Option, ...] = (
    _row(
        "SO_REUSEADDR",
        2,
        Flag(),
        BOTH,
        "Bind although connections of an earlier server on the port are still in TIME_WAIT.",
        moment=Moment.BEFORE_BIND,
        trap="On by default on TCP. On UDP it means something else: every process that sets it, of any user, may "
        "bind the same port and take our datagrams; echotime sets it before bind, as the seed does, and clears it "
        "right after, unless it is asked for.",
        danger=Danger("udp", 1, "any process of any user that sets it too may bind this port and take our datagrams"),
    ),
    _row(
        "SO_DONTROUTE",
        5,
        Flag(),
        BOTH,
        "Send to directly attached networks only, never through a gateway.",
        trap="A client behind a gateway gets no answer: TCP times out, UDP answers fail with ENETUNREACH.",
    ),
    _row(
        "SO_BROADCAST",
        6,
        Flag(),
        UDP,
        "Allow sending to a broadcast address; without it such a send fails with EACCES.",
        trap="Receiving broadcasts needs no option.",
    ),
    _row(
        "SO_SNDBUF",
        7,
        BYTES,
        BOTH,
        "The send buffer of each socket.",
        altered=_DOUBLED + "net.core.wmem_max",
        trap="Unset, TCP lets it grow to some megabytes for a client that does not read; set, it bounds that.",
    ),
    _row(
        "SO_RCVBUF",
        8,
        BYTES,
        BOTH,
        "The receive buffer of each socket.",
        moment=Moment.BEFORE_LISTEN,
        altered=_DOUBLED + "net.core.rmem_max",
        trap="Setting it ends TCP's automatic tuning, and the window scale is settled by the SYN: set later it "
        "bounds less than it says.",
    ),
    _row(
        "SO_KEEPALIVE",
        9,
        Flag(),
        TCP,
        "Probe a silent connection, and end it when the probes stay unanswered.",
        trap="The first probe goes out after TCP_KEEPIDLE, two hours unless set.",
    ),
    _row(
        "SO_OOBINLINE",
        10,
        Flag(),
        TCP,
        "Keep TCP's urgent byte in the stream.",
        trap="Off, the urgent byte is not part of what is read: abc, urgent X, def comes back as abcdef.",
    ),
    _row(
        "SO_LINGER",
        13,
        Linger(),
        TCP,
        "What close does with bytes not yet sent: off sends them in the background.",
        trap="A number of seconds makes close itself wait, also on a socket that does not block, and the whole daemon "
        "with it: echotime switches it off before it closes. 0 resets the connection.",
        danger=Danger("tcp", 0, "every close is a reset, and the client may lose what it has not read yet"),
    ),
    _row(
        "SO_BINDTODEVICE",
        25,
        Device(),
        BOTH,
        "Receive and send through one network interface only.",
        moment=Moment.BEFORE_BIND,
        privilege="CAP_NET_RAW to change or clear it, and before Linux 5.7 to set it at all",
        trap="The interface must exist at start. Bound to another, 127.0.0.1 is refused.",
    ),
    _row(
        "SO_TIMESTAMPNS",
        35,
        Flag(),
        UDP,
        "Deliver the time of receipt, in nanoseconds, with each datagram.",
    ),
    _row(
        "SO_MEMINFO",
        55,
        Structure(36),
        BOTH,
        "Nine counters of the socket's memory; the last is the number of datagrams dropped.",
        settable=False,
    ),
)

# The catalogue has it last: IP_TOS, which is set before, shifts it.
PRIORITY = _row(
    "SO_PRIORITY",
    12,
    Integer(-(2**31), 2**31 - 1),
    BOTH,
    "The queueing priority of what is sent.",
    on_accept=OnAccept.SET_AGAIN,
    privilege="CAP_NET_ADMIN (or CAP_NET_RAW since Linux 5.17) for values below 0 and above 6",
)
