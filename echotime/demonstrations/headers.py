"""What is in the packets' headers, and what of it a server is told: IP_TOS and IP_PKTINFO."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from echotime.demonstrations.script import CLIENT, SERVER, Act, Line, Phase, outcome
from echotime.sockopt.scratch import Scratch

_IP_PKTINFO = 8
_SHORT = 0.3
_ASKED = "127.0.0.2"


def type_of_service() -> Iterator[Line]:
    """IP_TOS: on the wire, read back, and its side effect."""
    yield Phase("UDP: IP_TOS=0xb8 (EF), and a server with IP_RECVTOS=1")
    with Scratch() as scratch:
        server = scratch.bind(scratch.open("udp"))
        server.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        client = scratch.client(server)
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB8)
        client.send(b"hello")
        yield Act(CLIENT, "setsockopt(IP_TOS, 0xb8), send(b'hello')", "ok")
        yield Act(SERVER, "recvmsg: the datagram came with", outcome(_tos, server), expected="0xb8")
        priority = client.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY)
        yield Act(CLIENT, "getsockopt(SO_PRIORITY)", str(priority), "IP_TOS sets it, too", "4")
    yield Phase("TCP: all eight bits")
    with Scratch() as scratch:
        sock = scratch.open("tcp")
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 255)
        result = str(sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS))
        yield Act(SERVER, "setsockopt(IP_TOS, 255), getsockopt", result, "the two ECN bits are the kernel's own", "252")


def _tos(server: socket.socket) -> str:
    (_level, _kind, value), *_rest = server.recvmsg(100, 100)[1]
    return hex(value[0])


def packet_info() -> Iterator[Line]:
    """IP_PKTINFO: answering from the address that was asked."""
    for told, expected, remark in (
        (0, "nothing", "the answer came from 127.0.0.1, which the client does not know"),
        (1, "b'now'", "the answer came from the address that was asked"),
    ):
        yield Phase(f"a UDP server on 0.0.0.0, IP_PKTINFO={told}; a client asks {_ASKED}")
        with Scratch() as scratch:
            server, client = scratch.open("udp"), scratch.open("udp")
            server.bind(("0.0.0.0", 0))
            server.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, told)
            client.settimeout(_SHORT)
            client.bind(("127.0.0.1", 0))
            client.connect((_ASKED, server.getsockname()[1]))
            client.send(b"when?")
            _datagram, control, _flags, address = server.recvmsg(100, 100)
            yield Act(
                SERVER, "recvmsg: the address that was asked", _asked(control), expected=_ASKED if told else "not told"
            )
            server.sendmsg([b"now"], _from(control), 0, address)
            yield Act(CLIENT, "recv(100)", outcome(client.recv, 100), remark, expected)


def _asked(control: list[tuple[int, int, bytes]]) -> str:
    """The address in struct in_pktinfo: ipi_ifindex, ipi_spec_dst, ipi_addr."""
    return socket.inet_ntoa(control[0][2][8:12]) if control else "not told"


def _from(control: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """The control message that makes an answer leave from the address that was asked."""
    return [(level, kind, struct.pack("=i4s4s", 0, value[8:12], b"")) for level, kind, value in control]
