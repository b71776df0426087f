"""The catalogue: one row an option, data only. Numbers are Linux's (x86, arm), measured on Linux 6.18.

What is here drives the command line, the checks, the moment of setting, the start report and
docs/socket-options.md. The rows stand in a module a level.
"""

from __future__ import annotations

from echotime.sockopt import ip_rows, ipv6_rows, socket_rows, tcp_rows
from echotime.sockopt.option import Option

CATALOGUE: tuple[Option, ...] = (
    *socket_rows.ROWS,
    *tcp_rows.ROWS,
    *ip_rows.ROWS,
    *ipv6_rows.ROWS,
    socket_rows.PRIORITY,
)
"""Every option known by name, in the order in which they are set."""

BY_NAME = {option.name: option for option in CATALOGUE}
