"""Demonstrate how far packets go: SO_BINDTODEVICE, SO_DONTROUTE, SO_BROADCAST."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Skipped, Step, attempt, result_of
from echotime.i18n.language import gettext as _
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.values import N_

_REMOTE = ("198.51.100.1", 9)
"""An address of TEST-NET-2 (RFC 5737). Connecting a UDP socket to it sends nothing."""
_BROADCAST = "127.255.255.255"
_RECEIVER = N_("receiver")


def bind_to_device() -> Iterator[Entry]:
    """Show that SO_BINDTODEVICE restricts a listener to one interface."""
    others = [name for _index, name in socket.if_nameindex() if name != "lo"]
    for device, expected in (("lo", "ok"), *((name, "ECONNREFUSED") for name in others[:1])):
        yield Section(_("a listener on 127.0.0.1, bound to the interface {name}").format(name=device))
        with Scratch() as scratch:
            listener = scratch.open("tcp")
            yield attempt(
                SERVER, _bind_to, listener, device, text=f"setsockopt(SO_BINDTODEVICE, {device!r})", expected="ok"
            )
            address = scratch.bind(listener).getsockname()
            client = scratch.open("tcp")
            yield attempt(CLIENT, client.connect, address, text=N_("connect to 127.0.0.1"), expected=expected)
    if not others:
        yield Skipped(N_("there is no interface but lo here; a listener bound to another refuses 127.0.0.1"))
    yield Section(N_("clear the interface of a socket that is bound to lo"))
    with Scratch() as scratch:
        sock = scratch.open("tcp")
        _bind_to(sock, "lo")
        result = result_of(_bind_to, sock, "")
        lacking, held = (
            N_("this needs CAP_NET_RAW, which this process lacks"),
            N_("this needs CAP_NET_RAW, which this process has"),
        )
        remark = lacking if result == "EPERM" else held
        yield Step(SERVER, "setsockopt(SO_BINDTODEVICE, '')", result, remark)


def _bind_to(sock: socket.socket, device: str) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")


def dont_route() -> Iterator[Entry]:
    """Show that SO_DONTROUTE excludes gateways. Nothing is sent: connect on UDP only selects a route."""
    with Scratch() as scratch:
        routed = result_of(scratch.open("udp").connect, _REMOTE) == "ok"
    if not routed:
        reason = _("this host has no route to {address}, so SO_DONTROUTE changes nothing")
        yield Skipped(reason.format(address=_REMOTE[0]))
    for value, expected in ((0, "ok"), (1, "ENETUNREACH")):
        yield Section(f"SO_DONTROUTE={value}")
        with Scratch() as scratch:
            far, near = scratch.open("udp"), scratch.open("udp")
            for sock in (far, near):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, value)
            if routed:
                text = _("UDP connect to {address}, behind a gateway").format(address=_REMOTE[0])
                yield attempt(CLIENT, far.connect, _REMOTE, text=text, expected=expected)
            server = scratch.bind(scratch.open("udp"))
            near.sendto(b"hello", server.getsockname())
            text = N_("recv(100) of a datagram sent to 127.0.0.1")
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
        yield attempt(_RECEIVER, receiver.recv, 100, text=N_("recv(100), without the option"), expected="b'hello'")
