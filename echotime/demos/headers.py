"""What is in the packets' headers, and what of it a server is told: IP_TOS and IP_PKTINFO."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Step, result_of
from echotime.sockopt.scratch import Scratch

_IP_PKTINFO = 8
_TIMEOUT = 0.3
_DESTINATION = "127.0.0.2"


def type_of_service() -> Iterator[Entry]:
    """IP_TOS: on the wire, read back, and its side effect."""
    yield Section("UDP: IP_TOS=0xb8 (EF), and a server with IP_RECVTOS=1")
    with Scratch() as scratch:
        server = scratch.bind(scratch.open("udp"))
        server.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        client = scratch.connected_client(server)
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB8)
        client.send(b"hello")
        yield Step(CLIENT, "setsockopt(IP_TOS, 0xb8), send(b'hello')", "ok")
        yield Step(SERVER, "recvmsg: the datagram came with", result_of(_received_tos, server), expected="0xb8")
        priority = client.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY)
        yield Step(CLIENT, "getsockopt(SO_PRIORITY)", str(priority), "IP_TOS sets it, too", "4")
    yield Section("TCP: all eight bits")
    with Scratch() as scratch:
        sock = scratch.open("tcp")
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 255)
        result = str(sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS))
        yield Step(
            SERVER, "setsockopt(IP_TOS, 255), getsockopt", result, "the two ECN bits are the kernel's own", "252"
        )


def _received_tos(server: socket.socket) -> str:
    (_level, _kind, value), *_rest = server.recvmsg(100, 100)[1]
    return hex(value[0])


def packet_info() -> Iterator[Entry]:
    """IP_PKTINFO: answering from the address that was asked."""
    for enabled, expected, remark in (
        (0, "nothing", "the answer came from 127.0.0.1, which the client does not know"),
        (1, "b'now'", "the answer came from the address that was asked"),
    ):
        yield Section(f"a UDP server on 0.0.0.0, IP_PKTINFO={enabled}; a client asks {_DESTINATION}")
        with Scratch() as scratch:
            server, client = scratch.open("udp"), scratch.open("udp")
            server.bind(("0.0.0.0", 0))
            server.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, enabled)
            client.settimeout(_TIMEOUT)
            client.bind(("127.0.0.1", 0))
            client.connect((_DESTINATION, server.getsockname()[1]))
            client.send(b"when?")
            _datagram, control, _flags, address = server.recvmsg(100, 100)
            yield Step(
                SERVER,
                "recvmsg: the address that was asked",
                _pktinfo_address(control),
                expected=_DESTINATION if enabled else "not told",
            )
            server.sendmsg([b"now"], _source_control(control), 0, address)
            yield Step(CLIENT, "recv(100)", result_of(client.recv, 100), remark, expected)


def _pktinfo_address(control: list[tuple[int, int, bytes]]) -> str:
    """The address in struct in_pktinfo: ipi_ifindex, ipi_spec_dst, ipi_addr."""
    return socket.inet_ntoa(control[0][2][8:12]) if control else "not told"


def _source_control(control: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """The control message that makes an answer leave from the address that was asked."""
    return [(level, kind, struct.pack("=i4s4s", 0, value[8:12], b"")) for level, kind, value in control]
