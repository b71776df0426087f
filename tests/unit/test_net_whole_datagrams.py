"""net/whole_datagrams.py with real sockets on loopback: contents, TTL and TOS of datagrams, and the other port."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from echotime.net.pktinfo import SourceAddress
from echotime.net.whole_datagrams import WholeDatagramPort
from tests.support.loopback import SERVED, Mirror, Served, get, open_descriptors
from tests.support.udp_ports import client, listening

SENT = [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.2"), ("::", "127.0.0.2"), ("::", "::1"), ("::1", "::1")]
"""Addresses of a port, and those that clients send to."""


class Reported(Mirror):
    """Record the senders and contents of datagrams."""

    def __init__(self) -> None:
        super().__init__()
        self.datagrams: list[tuple[bytes, SourceAddress]] = []

    def serve(self, datagram: bytes, addr: Any) -> None:
        self.datagrams.append((datagram, addr))


WHOLE = Served(WholeDatagramPort, Reported, WholeDatagramPort.batch_size)


@contextmanager
def asked(interface: str, host: str, datagram: bytes) -> Iterator[tuple[Any, socket.socket, SourceAddress]]:
    """Yield a port, a client whose datagram with TTL 9 and TOS 0xb9 it has read, and the sender as it was read."""
    with listening(WHOLE, interface) as port, client(host="::1" if ":" in host else "127.0.0.1") as sock:
        if ":" in host:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 9)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 0xB9)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 9)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB9)
        sock.sendto(datagram, (host, port.getHost().port))
        port.doRead()
        ((read, sender),) = port.protocol.datagrams
        assert read == datagram
        yield port, sock, sender


@pytest.mark.parametrize(("interface", "host"), SENT)
def test_header(interface: str, host: str) -> None:
    """TTL, TOS and the address that was asked are known, of IPv4 clients on an IPv6 socket, too."""
    with asked(interface, host, b"x" * 60_000) as (_port, _sock, sender):
        assert (sender.ttl, sender.tos, sender.size) == (9, 0xB9, 60_000)
        mapped = f"::ffff:{host}" if interface == "::" and "." in host else host
        assert sender.reply_host == (None if interface == host else mapped)


def test_header_is_not_reported_elsewhere() -> None:
    """Ordinary ports do not have TTL and TOS reported: they would serve no datagram in a batch."""
    for served in SERVED.values():
        with listening(served, "0.0.0.0") as port:
            assert (get(port.socket, "IP_RECVTTL"), get(port.socket, "IP_RECVTOS")) == (0, 0)


@pytest.mark.parametrize(("interface", "host"), SENT)
def test_other_port(interface: str, host: str) -> None:
    """An answer from another port leaves from the address that was asked."""
    with asked(interface, host, b"x") as (port, sock, sender):
        port.write_from_other_port(b"answer", sender)
        assert port.errors == {}
        answer, source = sock.recvfrom(100)
        assert (answer, source[0]) == (b"answer", host)
        assert source[1] not in (0, port.getHost().port)


def test_other_port_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that cannot be sent is counted, and no descriptor is left behind."""
    with asked("127.0.0.1", "127.0.0.1", b"x") as (port, _sock, sender):

        def no_socket(*_args: object) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        before = open_descriptors()
        port.write_from_other_port(b"answer", SourceAddress(("0.0.0.1", 0)))
        monkeypatch.setattr(socket, "socket", no_socket)
        port.write_from_other_port(b"answer", sender)
        assert sender.reply_failed
        assert open_descriptors() == before
        assert port.errors["send from another port: EMFILE"] == 1
        assert port.errors.total() == 2
