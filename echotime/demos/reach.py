"""Where packets may go: SO_BINDTODEVICE, SO_DONTROUTE, SO_BROADCAST."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Skipped, Step, result_of
from echotime.sockopt.scratch import Scratch

_REMOTE = ("198.51.100.1", 9)
"""An address of TEST-NET-2 (RFC 5737), nobody's. A UDP socket that is connected to it sends nothing."""
_BROADCAST = "127.255.255.255"


def bind_to_device() -> Iterator[Entry]:
    """SO_BINDTODEVICE: a listener on one interface."""
    others = [name for _index, name in socket.if_nameindex() if name != "lo"]
    for device, expected in (("lo", "ok"), *((name, "ECONNREFUSED") for name in others[:1])):
        yield Section(f"a listener on 127.0.0.1, bound to the interface {device}")
        with Scratch() as scratch:
            listener = scratch.open("tcp")
            yield Step(
                SERVER,
                f"setsockopt(SO_BINDTODEVICE, {device!r})",
                result_of(_bind_to, listener, device),
                expected="ok",
            )
            scratch.bind(listener)
            yield Step(CLIENT, "connect to 127.0.0.1", result_of(_connect_client, scratch, listener), expected=expected)
    if not others:
        yield Skipped("there is no interface but lo here; bound to another, 127.0.0.1 would be refused")
    yield Section("a socket that is bound to lo, set free again")
    with Scratch() as scratch:
        sock = scratch.open("tcp")
        _bind_to(sock, "lo")
        result = result_of(_bind_to, sock, "")
        remark = "this takes CAP_NET_RAW, which " + ("we lack" if result == "EPERM" else "we have")
        yield Step(SERVER, "setsockopt(SO_BINDTODEVICE, '')", result, remark)


def _connect_client(scratch: Scratch, listener: socket.socket) -> None:
    scratch.connected_client(listener)


def _bind_to(sock: socket.socket, device: str) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")


def dont_route() -> Iterator[Entry]:
    """SO_DONTROUTE: no way through a gateway. Nothing is sent: connect on UDP only chooses a route."""
    with Scratch() as scratch:
        routed = result_of(scratch.open("udp").connect, _REMOTE) == "ok"
    if not routed:
        yield Skipped(f"this host has no route to {_REMOTE[0]} anyway: SO_DONTROUTE has nothing to forbid")
    for value, expected in ((0, "ok"), (1, "ENETUNREACH")):
        yield Section(f"SO_DONTROUTE={value}")
        with Scratch() as scratch:
            far, near = scratch.open("udp"), scratch.open("udp")
            for sock in (far, near):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, value)
            if routed:
                call = f"UDP connect to {_REMOTE[0]}, behind a gateway"
                yield Step(CLIENT, call, result_of(far.connect, _REMOTE), expected=expected)
            server = scratch.bind(scratch.open("udp"))
            near.sendto(b"hello", server.getsockname())
            yield Step(
                SERVER, "recv(100) of what it sent to 127.0.0.1", result_of(server.recv, 100), expected="b'hello'"
            )


def broadcast() -> Iterator[Entry]:
    """SO_BROADCAST: leave to ask everybody."""
    with Scratch() as scratch:
        member = scratch.open("udp")
        member.bind((_BROADCAST, 0))
        address = member.getsockname()
        for value, expected in ((0, "EACCES"), (1, "5")):
            yield Section(f"SO_BROADCAST={value}")
            sender = scratch.open("udp")
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, value)
            yield Step(
                CLIENT,
                f"sendto(b'hello', {address})",
                result_of(sender.sendto, b"hello", address),
                expected=expected,
            )
        yield Step("member", "recv(100), without the option", result_of(member.recv, 100), expected="b'hello'")
