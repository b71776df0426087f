"""Demonstrate how far packets go: SO_BINDTODEVICE, SO_DONTROUTE, SO_BROADCAST."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Skipped, Step, attempt, result_of
from echotime.sockopt.scratch import Scratch

_REMOTE = ("198.51.100.1", 9)
"""An address of TEST-NET-2 (RFC 5737). Connecting a UDP socket to it sends nothing."""
_BROADCAST = "127.255.255.255"


def bind_to_device() -> Iterator[Entry]:
    """Show that SO_BINDTODEVICE restricts a listener to one interface."""
    others = [name for _index, name in socket.if_nameindex() if name != "lo"]
    for device, expected in (("lo", "ok"), *((name, "ECONNREFUSED") for name in others[:1])):
        yield Section(f"a listener on 127.0.0.1, bound to the interface {device}")
        with Scratch() as scratch:
            listener = scratch.open("tcp")
            yield attempt(
                SERVER, _bind_to, listener, device, text=f"setsockopt(SO_BINDTODEVICE, {device!r})", expected="ok"
            )
            address = scratch.bind(listener).getsockname()
            client = scratch.open("tcp")
            yield attempt(CLIENT, client.connect, address, text="connect to 127.0.0.1", expected=expected)
    if not others:
        yield Skipped("there is no interface but lo here; a listener bound to another refuses 127.0.0.1")
    yield Section("clear the interface of a socket that is bound to lo")
    with Scratch() as scratch:
        sock = scratch.open("tcp")
        _bind_to(sock, "lo")
        result = result_of(_bind_to, sock, "")
        remark = "this needs CAP_NET_RAW, which this process " + ("lacks" if result == "EPERM" else "has")
        yield Step(SERVER, "setsockopt(SO_BINDTODEVICE, '')", result, remark)


def _bind_to(sock: socket.socket, device: str) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")


def dont_route() -> Iterator[Entry]:
    """Show that SO_DONTROUTE excludes gateways. Nothing is sent: connect on UDP only selects a route."""
    with Scratch() as scratch:
        routed = result_of(scratch.open("udp").connect, _REMOTE) == "ok"
    if not routed:
        yield Skipped(f"this host has no route to {_REMOTE[0]}, so SO_DONTROUTE changes nothing")
    for value, expected in ((0, "ok"), (1, "ENETUNREACH")):
        yield Section(f"SO_DONTROUTE={value}")
        with Scratch() as scratch:
            far, near = scratch.open("udp"), scratch.open("udp")
            for sock in (far, near):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, value)
            if routed:
                text = f"UDP connect to {_REMOTE[0]}, behind a gateway"
                yield attempt(CLIENT, far.connect, _REMOTE, text=text, expected=expected)
            server = scratch.bind(scratch.open("udp"))
            near.sendto(b"hello", server.getsockname())
            text = "recv(100) of a datagram sent to 127.0.0.1"
            yield attempt(SERVER, server.recv, 100, text=text, expected="b'hello'")


def broadcast() -> Iterator[Entry]:
    """Show that sending to a broadcast address needs SO_BROADCAST, and receiving does not."""
    with Scratch() as scratch:
        receiver = scratch.open("udp")
        receiver.bind((_BROADCAST, 0))
        address = receiver.getsockname()
        for value, expected in ((0, "EACCES"), (1, "5")):
            yield Section(f"SO_BROADCAST={value}")
            sender = scratch.open("udp")
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, value)
            yield attempt(CLIENT, sender.sendto, b"hello", address, expected=expected)
        yield attempt("receiver", receiver.recv, 100, text="recv(100), without the option", expected="b'hello'")
