"""Read a SYN with its IP header, as TCP_SAVED_SYN returns it: see tcp(7), RFC 791, RFC 8200 and RFC 9293."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_IPV4, _IPV6 = 4, 6
_IPV6_HEADER = 40
_FLAGS_AT, _OFFSET_AT = 13, 12
_TCP_HEADER = 20
_END, _NO_OPERATION, _MSS, _EXPERIMENTAL = 0, 1, 2, 254
_FAST_OPEN_MAGIC = b"\xf9\x89"
_ECE_CWR = 0xC0
_NAMES = {
    2: "MSS",
    3: "window scale",
    4: "SACK",
    8: "timestamps",
    19: "MD5",
    29: "TCP-AO",
    30: "MPTCP",
    34: "Fast Open",
    69: "ENO",
}
"""Names of the options by kind, from IANA's registry."""


@dataclass(frozen=True)
class Syn:
    """Hold what a path may change in a SYN."""

    tos: int
    """DSCP in the upper six bits, ECN in the lower two."""
    ttl: int
    """TTL, or hop limit for IPv6."""
    mss: int | None
    """None if there is no such option."""
    options: frozenset[str]
    """Names of the options, `option N` for those without a name. MSS is among them."""
    asks_ecn: bool
    """True if the flags ECE and CWR ask for ECN (RFC 3168)."""

    @property
    def dscp(self) -> int:
        return self.tos >> 2


def parse_syn(packet: bytes) -> Syn:
    """Return the fields of an IP packet with a SYN. Raises ValueError if it is malformed."""
    try:
        version = packet[0] >> 4
        if version == _IPV4:
            tos, ttl, start = packet[1], packet[8], (packet[0] & 0x0F) * 4
        elif version == _IPV6:
            tos, ttl, start = struct.unpack_from("!H", packet)[0] >> 4 & 0xFF, packet[7], _IPV6_HEADER
        else:
            raise ValueError(f"IP version {version}")
        size = (packet[start + _OFFSET_AT] >> 4) * 4
        options = dict(_options(packet[start + _TCP_HEADER : start + size]))
        mss = struct.unpack("!H", options[_MSS])[0] if _MSS in options else None
        flags = packet[start + _FLAGS_AT]
    except (IndexError, struct.error) as error:
        raise ValueError(f"not a complete SYN: {error}") from None
    names = frozenset(map(_name, options, options.values()))
    return Syn(tos, ttl, mss, names, flags & _ECE_CWR == _ECE_CWR)


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and value of each option but the padding."""
    at = 0
    while at < len(data) and data[at] != _END:
        if data[at] == _NO_OPERATION:
            at += 1
            continue
        size = data[at + 1]
        if size < len(data[at : at + 2]):
            raise ValueError(f"option {data[at]} has length {size}")
        yield data[at], data[at + 2 : at + size]
        at += size


def _name(kind: int, value: bytes) -> str:
    if kind == _EXPERIMENTAL and value.startswith(_FAST_OPEN_MAGIC):
        kind = 34  # as Linux sent it before RFC 7413
    return _NAMES.get(kind, f"option {kind}")
