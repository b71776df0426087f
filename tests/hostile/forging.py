"""Forge the source of packets with raw sockets. Sending raises PermissionError without CAP_NET_RAW."""

from __future__ import annotations

import socket
import struct

Address = tuple[str, int]
"""Host and port."""
_HOPS = 64
"""Time to live of forged packets."""
_UNREACHABLE, _PORT = 3, 3
"""Type and code of the ICMP error."""
_SYN = 0x02
_ETH_P_IP, _ETH_P_IPV6 = 0x0800, 0x86DD


def ip_packet(protocol: int, source: str, to: str, payload: bytes) -> bytes:
    """Build an IPv4 packet; the kernel fills in identification and checksum when it is sent."""
    addresses = socket.inet_aton(source) + socket.inet_aton(to)
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, _HOPS, protocol, 0) + addresses + payload


def udp_packet(source: Address, to: Address, payload: bytes = b"") -> bytes:
    """Build an IPv4 packet with a datagram, without a checksum, which IPv4 allows."""
    header = struct.pack("!HHHH", source[1], to[1], 8 + len(payload), 0)
    return ip_packet(socket.IPPROTO_UDP, source[0], to[0], header + payload)


def udp6_packet(source: Address, to: Address, payload: bytes = b"") -> bytes:
    """Build an IPv6 packet with a datagram; mapped IPv4 addresses are left mapped."""
    addresses = b"".join(socket.inet_pton(socket.AF_INET6, host) for host, _ in (source, to))
    size = 8 + len(payload)
    segment = struct.pack("!HHHH", source[1], to[1], size, 0) + payload
    found = checksum(addresses + struct.pack("!IxxxB", size, socket.IPPROTO_UDP) + segment) or 0xFFFF
    segment = segment[:6] + struct.pack("!H", found) + segment[8:]
    return struct.pack("!IHBB", 6 << 28, size, socket.IPPROTO_UDP, _HOPS) + addresses + segment


def syn_packet(source: Address, to: Address, sequence: int = 0) -> bytes:
    """Build the SYN packet that opens a TCP connection."""
    segment = struct.pack("!HHIIBBHHH", source[1], to[1], sequence, 0, 5 << 4, _SYN, 65535, 0, 0)
    pseudo = socket.inet_aton(source[0]) + socket.inet_aton(to[0]) + struct.pack("!HH", socket.IPPROTO_TCP, 20)
    segment = segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]
    return ip_packet(socket.IPPROTO_TCP, source[0], to[0], segment)


def checksum(data: bytes) -> int:
    """Return the Internet checksum of RFC 1071."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def raw_socket() -> socket.socket:
    """Open a raw socket that sends whole packets, also to broadcast addresses."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    return sock


def forge(source: Address, to: Address, payload: bytes = b"", *, by: socket.socket | None = None) -> None:
    """Send a datagram with a forged source, `by` an open raw socket if there is one."""
    packet = udp_packet(source, to, payload)
    if by is not None:
        by.sendto(packet, (to[0], 0))
        return
    with raw_socket() as sock:
        sock.sendto(packet, (to[0], 0))


def forge_on_link(interface: str, source: Address, to: Address, payload: bytes = b"") -> None:
    """Send a datagram to all hosts on a link, as a neighbor can, past the IP layer of this host.

    So its source may be the unspecified address, or a mapped one in an IPv6 packet. On "lo" this host receives it.
    """
    if ":" in to[0]:
        packet, kind = udp6_packet(source, to, payload), _ETH_P_IPV6
    else:
        packet, kind = udp_packet(source, to, payload), _ETH_P_IP
        packet = packet[:10] + struct.pack("!H", checksum(packet[:20])) + packet[12:]
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as sock:
        sock.sendto(packet, (interface, kind, 0, 0, b"\xff" * 6))


def port_unreachable(source: int, payload: bytes) -> None:
    """Send the ICMP error for a datagram that loopback's `source` would have sent to port 9 there."""
    here = "127.0.0.1"
    quoted = udp_packet((here, source), (here, 9), payload)
    error = struct.pack("!BBHI", _UNREACHABLE, _PORT, 0, 0) + quoted
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.sendto(error[:2] + struct.pack("!H", checksum(error)) + error[4:], (here, 0))
