"""Demonstrate fields of the IP header, sent and received: IP_TOS and IP_PKTINFO."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Step, attempt
from echotime.i18n.language import gettext as _
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.values import N_

_IP_PKTINFO = 8
_TIMEOUT = 0.3
_DESTINATION = "127.0.0.2"


def type_of_service() -> Iterator[Entry]:
    """Show IP_TOS as received and as read back, and its effect on SO_PRIORITY."""
    yield Section(N_("UDP: IP_TOS=0xb8 (EF), and a server with IP_RECVTOS=1"))
    with Scratch() as scratch:
        server = scratch.bind(scratch.open("udp"))
        server.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        client = scratch.connected_client(server)
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB8)
        client.send(b"hello")
        yield Step(CLIENT, "setsockopt(IP_TOS, 0xb8), send(b'hello')", "ok")
        yield attempt(SERVER, _received_tos, server, text=N_("recvmsg: IP_TOS of the datagram"), expected="0xb8")
        priority = client.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY)
        yield Step(CLIENT, "getsockopt(SO_PRIORITY)", str(priority), N_("IP_TOS also sets it"), "4")
    yield Section(N_("TCP: all eight bits"))
    with Scratch() as scratch:
        sock = scratch.open("tcp")
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 255)
        result = str(sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS))
        remark = N_("the kernel clears the two ECN bits")
        yield Step(SERVER, "setsockopt(IP_TOS, 255), getsockopt", result, remark, "252")


def _received_tos(server: socket.socket) -> str:
    (_level, _kind, value), *_rest = server.recvmsg(100, 100)[1]
    return hex(value[0])


def packet_info() -> Iterator[Entry]:
    """Show that IP_PKTINFO lets a server answer from the address that the client used."""
    for enabled, expected, destination, remark in (
        (0, "nothing", N_("not delivered"), N_("the answer came from 127.0.0.1; the connected client ignores it")),
        (1, "b'now'", _DESTINATION, N_("the answer came from the address that the client used")),
    ):
        title = _("a UDP server on 0.0.0.0, IP_PKTINFO={enabled}; a client sends to {address}")
        yield Section(title.format(enabled=enabled, address=_DESTINATION))
        with Scratch() as scratch:
            server, client = scratch.open("udp"), scratch.open("udp")
            server.bind(("0.0.0.0", 0))
            server.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, enabled)
            client.settimeout(_TIMEOUT)
            client.bind(("127.0.0.1", 0))
            client.connect((_DESTINATION, server.getsockname()[1]))
            client.send(b"when?")
            _datagram, control, _flags, address = server.recvmsg(100, 100)
            # struct in_pktinfo: ipi_ifindex, ipi_spec_dst, ipi_addr
            destinations = [data[8:12] for _level, _kind, data in control]
            result = socket.inet_ntoa(destinations[0]) if destinations else "not delivered"
            yield Step(SERVER, N_("recvmsg: the destination address"), result, expected=destination)
            source = [struct.pack("=i4s4s", 0, packed, b"") for packed in destinations]
            server.sendmsg([b"now"], [(socket.IPPROTO_IP, _IP_PKTINFO, data) for data in source], 0, address)
            yield attempt(CLIENT, client.recv, 100, remark=remark, expected=expected)
