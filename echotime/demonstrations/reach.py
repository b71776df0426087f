"""Where packets may go: SO_BINDTODEVICE, SO_DONTROUTE, SO_BROADCAST."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from echotime.demonstrations.script import CLIENT, SERVER, Act, Line, Phase, Unshown, outcome
from echotime.sockopt.scratch import Scratch

_FAR = ("198.51.100.1", 9)
"""An address of TEST-NET-2 (RFC 5737), nobody's. A UDP socket that is connected to it sends nothing."""
_BROADCAST = "127.255.255.255"


def bind_to_device() -> Iterator[Line]:
    """SO_BINDTODEVICE: a listener on one interface."""
    others = [name for _index, name in socket.if_nameindex() if name != "lo"]
    for device, expected in (("lo", "ok"), *((name, "ECONNREFUSED") for name in others[:1])):
        yield Phase(f"a listener on 127.0.0.1, bound to the interface {device}")
        with Scratch() as scratch:
            listener = scratch.open("tcp")
            yield Act(
                SERVER,
                f"setsockopt(SO_BINDTODEVICE, {device!r})",
                outcome(_bind_to, listener, device),
                expected="ok",
            )
            scratch.bind(listener)
            yield Act(CLIENT, "connect to 127.0.0.1", outcome(_connect, scratch, listener), expected=expected)
    if not others:
        yield Unshown("there is no interface but lo here; bound to another, 127.0.0.1 would be refused")
    yield Phase("a socket that is bound to lo, set free again")
    with Scratch() as scratch:
        sock = scratch.open("tcp")
        _bind_to(sock, "lo")
        result = outcome(_bind_to, sock, "")
        remark = "this takes CAP_NET_RAW, which " + ("we lack" if result == "EPERM" else "we have")
        yield Act(SERVER, "setsockopt(SO_BINDTODEVICE, '')", result, remark)


def _connect(scratch: Scratch, listener: socket.socket) -> None:
    scratch.client(listener)


def _bind_to(sock: socket.socket, device: str) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")


def dont_route() -> Iterator[Line]:
    """SO_DONTROUTE: no way through a gateway. Nothing is sent: connect on UDP only chooses a route."""
    with Scratch() as scratch:
        routed = outcome(scratch.open("udp").connect, _FAR) == "ok"
    if not routed:
        yield Unshown(f"this host has no route to {_FAR[0]} anyway: SO_DONTROUTE has nothing to forbid")
    for value, expected in ((0, "ok"), (1, "ENETUNREACH")):
        yield Phase(f"SO_DONTROUTE={value}")
        with Scratch() as scratch:
            far, near = scratch.open("udp"), scratch.open("udp")
            for sock in (far, near):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, value)
            if routed:
                call = f"UDP connect to {_FAR[0]}, behind a gateway"
                yield Act(CLIENT, call, outcome(far.connect, _FAR), expected=expected)
            server = scratch.bind(scratch.open("udp"))
            near.sendto(b"hello", server.getsockname())
            yield Act(SERVER, "recv(100) of what it sent to 127.0.0.1", outcome(server.recv, 100), expected="b'hello'")


def broadcast() -> Iterator[Line]:
    """SO_BROADCAST: leave to ask everybody."""
    with Scratch() as scratch:
        member = scratch.open("udp")
        member.bind((_BROADCAST, 0))
        address = member.getsockname()
        for value, expected in ((0, "EACCES"), (1, "5")):
            yield Phase(f"SO_BROADCAST={value}")
            sender = scratch.open("udp")
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, value)
            yield Act(
                CLIENT,
                f"sendto(b'hello', {address})",
                outcome(sender.sendto, b"hello", address),
                expected=expected,
            )
        yield Act("member", "recv(100), without the option", outcome(member.recv, 100), expected="b'hello'")
