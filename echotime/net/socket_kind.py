"""Which kind of socket an address makes: the options that fit, and those set unless asked otherwise."""

from __future__ import annotations

from collections.abc import Iterable

from echotime.sockopt.assignment import Assignment, select_assignments
from echotime.sockopt.catalogue.index import BY_NAME
from echotime.sockopt.option import SocketTraits

_ANY_IPV4 = frozenset({"", "0.0.0.0"})
_ANY_IPV6 = "::"


def socket_kind(transport: str, interface: str) -> SocketTraits:
    """The kind of socket on an address; ``::`` makes one for both IP versions."""
    if interface == _ANY_IPV6:
        return SocketTraits(transport, frozenset({4, 6}))
    return SocketTraits(transport, frozenset({6 if ":" in interface else 4}))


def effective_options(transport: str, interface: str, sockopts: Iterable[Assignment]) -> tuple[Assignment, ...]:
    """All that is set on a socket: the daemon's own choices, overruled by what was asked and fits."""
    return select_assignments((*_default_options(transport, interface), *sockopts), socket_kind(transport, interface))


def _default_options(transport: str, interface: str) -> list[Assignment]:
    # on UDP, SO_REUSEADDR before bind would share the port with any other socket that has it, whichever binds first
    names = {"SO_REUSEADDR": int(transport == "tcp")}
    if transport == "tcp":
        names["TCP_NODELAY"] = 1
    elif interface in _ANY_IPV4:
        names["IP_PKTINFO"] = 1
    elif interface == _ANY_IPV6:
        names["IPV6_RECVPKTINFO"] = 1
    if interface == _ANY_IPV6:
        names["IPV6_V6ONLY"] = 0
    return [Assignment(BY_NAME[name], value) for name, value in names.items()]
