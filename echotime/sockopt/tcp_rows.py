"""The rows of IPPROTO_TCP. Sources: tcp(7), and the kernel itself."""

from __future__ import annotations

from functools import partial

from echotime.sockopt.forms import Flag, Integer, Structure
from echotime.sockopt.option import Moment, OnAccept, Option
from echotime.sockopt.row_parts import TCP

_row = partial(Option, "IPPROTO_TCP")

ROWS: tuple[Option, ...] = (
    _row(
        "TCP_NODELAY",
        1,
        Flag(),
        TCP,
        "Send small segments at once instead of waiting for an acknowledgement (Nagle's algorithm).",
        trap="On by default. Off, an answer written in several pieces takes 40 ms longer.",
    ),
    _row(
        "TCP_KEEPIDLE",
        4,
        Integer(1, 32767, "seconds"),
        TCP,
        "How long a connection is silent before the first keepalive probe.",
        trap="Acts only with SO_KEEPALIVE on.",
    ),
    _row(
        "TCP_KEEPINTVL",
        5,
        Integer(1, 32767, "seconds"),
        TCP,
        "The time between keepalive probes.",
        trap="A dead peer is noticed after TCP_KEEPIDLE + TCP_KEEPINTVL x TCP_KEEPCNT.",
    ),
    _row(
        "TCP_KEEPCNT",
        6,
        Integer(1, 127),
        TCP,
        "How many keepalive probes may stay unanswered.",
        trap="TCP_USER_TIMEOUT overrules it.",
    ),
    _row(
        "TCP_DEFER_ACCEPT",
        9,
        Integer(0, 32767, "seconds"),
        TCP,
        "Report a connection only when its first bytes are here, or this time has passed.",
        moment=Moment.BEFORE_LISTEN,
        on_accept=OnAccept.LISTENER_ONLY,
        altered="the kernel rounds it to a whole number of SYN-ACK retransmissions",
        trap="A probe that connects and sends nothing is accepted only after the time.",
    ),
    _row(
        "TCP_INFO",
        11,
        Structure(256),
        TCP,
        "The kernel's view of a connection; on a listener, how many connections wait and how many may.",
        settable=False,
    ),
    _row(
        "TCP_USER_TIMEOUT",
        18,
        Integer(0, 2**31 - 1, "milliseconds"),
        TCP,
        "How long sent bytes may stay unacknowledged before the connection is ended; 0: the system's default.",
    ),
)
