"""Who is served: networks that are allowed and denied, by address. No name is looked up."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_REMEMBERED = 4096


class Access:
    """The most specific network that holds an address decides.

    Where none does, all are served; but nobody, if there are any to allow.
    """

    def __init__(self, allow: Iterable[Network] = (), deny: Iterable[Network] = ()) -> None:
        rules = {**dict.fromkeys(allow, True), **dict.fromkeys(deny, False)}
        self._rules = sorted(rules.items(), key=lambda rule: -rule[0].prefixlen)
        self._otherwise = not any(rules.values())
        self.restricts = bool(rules)
        """Whether there is anybody who is not served."""
        self.admits = lru_cache(_REMEMBERED)(self._admits)
        """Whether to serve a numeric address; an IPv4 address that is mapped into IPv6 is the IPv4 one."""

    def _admits(self, host: str) -> bool:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(host.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return next((served for network, served in self._rules if address in network), self._otherwise)
