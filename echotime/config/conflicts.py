"""Find addresses and paths that two options have. The second could not be opened, or would replace the first."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from echotime.behave.kinds import transports_of
from echotime.behave.spec import BehavingAddress
from echotime.net.sockopt_port import socket_kind
from echotime.sockopt.assignment import Assignment, select_assignments
from echotime.systemd.activation import SystemdSocket
from echotime.wire.hostport import HostPort

Value = HostPort | SystemdSocket | BehavingAddress | str | None
"""A value of --tcp, --udp, --http or --behave, None if it could not be parsed."""
_SHARING = {"tcp": {"SO_REUSEPORT"}, "udp": {"SO_REUSEPORT", "SO_REUSEADDR"}}
"""Socket options that let sockets share a port, if all of them have it. TCP sockets share none in LISTEN otherwise."""
_V6ONLY = "IPV6_V6ONLY"


class _Claim(NamedTuple):
    option: str
    address: HostPort


class ClaimedAddresses:
    """Compare addresses with those of earlier options. `sockopts` are for all listeners but those of HTTP."""

    def __init__(self, sockopts: Iterable[Assignment | None]) -> None:
        known = [each for each in sockopts if each is not None]
        of_transport = {name: select_assignments(known, socket_kind(name, "::")) for name in _SHARING}
        self._enabled = {name: {each.option.name for each in of if each.value} for name, of in of_transport.items()}
        """Names of the socket options that are set to something other than 0, by transport."""
        self._claims: dict[tuple[str, int], list[_Claim]] = {}

    def claim(self, option: str, values: Iterable[Value]) -> Iterator[str]:
        """Yield a fault, or an empty text, for each value of an option."""
        for value in values:
            faults = []
            for transport, address in _listeners(option, value):
                claims = self._claims.setdefault((transport, address.port), [])
                mine = _Claim(option, address)
                # the kernel chooses a free port for port 0
                faults += [self._fault(transport, mine, each) for each in claims if address.port]
                claims.append(mine)
            yield next(filter(None, faults), "")

    def _fault(self, transport: str, mine: _Claim, other: _Claim) -> str:
        if mine.address == other.address:
            # "given twice" is a fault of its own
            return "" if mine.option == other.option else f"--{other.option} has this address, too"
        enabled = self._enabled[transport]
        if "http" not in {mine.option, other.option} and enabled & _SHARING[transport]:
            return ""
        overlap = f"overlaps --{other.option} {other.address}"
        if mine.address.overlaps(other.address, dual_stack=False):
            return overlap
        if not mine.address.overlaps(other.address, dual_stack=True) or not _is_dual_stack_default():
            return ""
        dual = mine if mine.address.host == "::" else other
        if dual.option == "http":
            return f"{overlap}; [::] serves IPv4, too"
        return "" if _V6ONLY in enabled else f"{overlap}; [::] serves IPv4, too, unless --sockopt {_V6ONLY}=on"


def _listeners(option: str, value: Value) -> Iterator[tuple[str, HostPort]]:
    """Yield the transport and the address of each listener that a value of an option opens."""
    if isinstance(value, HostPort):
        yield "udp" if option == "udp" else "tcp", value
    elif isinstance(value, BehavingAddress) and value.behavior is not None:
        for transport in transports_of(value.behavior):
            yield transport, value.address


def _is_dual_stack_default() -> bool:
    """Return True if a new IPv6 socket receives IPv4, too (net.ipv6.bindv6only, ipv6(7))."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            return not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return False


def claim_path(holders: dict[str, str], option: str, path: str) -> str:
    """Return the fault that another option has the same path, or an empty text. `holders` are the options by path."""
    holder = holders.setdefault(os.path.realpath(path), option)
    return "" if holder == option else f"is also given to --{holder}; expected a path of its own"
