"""Provide what rows of several chapters share: levels, value types, privileges and texts."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from functools import partial

from echotime.sockopt.option import TCP, TCP_ROLES, Aliases, Definition, Option
from echotime.sockopt.values import Flag, Integer, Value

sol_socket = partial(Definition, "SOL_SOCKET")
ipproto_tcp = partial(Definition, "IPPROTO_TCP", transports=TCP, roles=TCP_ROLES)
ipproto_ip = partial(Definition, "IPPROTO_IP")
ipproto_ipv6 = partial(Definition, "IPPROTO_IPV6")
_NO_ALIASES = Aliases()


def ipv6_twin(
    ipv4: Option, ipv6: Definition, meaning: str = "", *, aliases: Aliases = _NO_ALIASES, example: str = ""
) -> tuple[Option, Option]:
    """Return an IPv4 option and its IPv6 counterpart, which differs in what is given here."""
    return ipv4, replace(
        ipv4,
        definition=ipv6,
        meaning=meaning or f"{ipv4.name} for IPv6.",
        example=example or ipv4.example,
        versions=(),
        aliases=aliases,
    )


@dataclass(frozen=True)
class AnyValue(Container[Value]):
    """Contain every value except those in `excluded`."""

    excluded: tuple[Value, ...] = ()

    def __contains__(self, value: object) -> bool:
        return value not in self.excluded


NONZERO = AnyValue(excluded=(0,))
ON = frozenset({1})
FLAG = Flag()
BYTES = Integer(0, 2**31 - 1, "bytes")
HOP_LIMIT = Integer(0, 255, "", {"default": -1})
DEFAULT_RESOLVED = "the default reads back as the number it stands for"
