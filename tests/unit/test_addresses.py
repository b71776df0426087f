"""Test socket addresses with interfaces: sources, rules, ports and clients of link-local addresses."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from echotime.client.lookup import _numeric_host
from echotime.config.parsers import network
from echotime.net.udp import TimePort
from echotime.wire.hostport import HostPort
from tests.support.loopback import SERVED, Constant, Served
from tests.support.namespace import in_namespace
from tests.support.udp_ports import client, heard, listening


@pytest.mark.parametrize(
    ("host", "sockaddr"),
    [
        ("127.0.0.1", ("127.0.0.1", 7)),
        ("::1", ("::1", 7, 0, 0)),
        ("fe80::1%lo", ("fe80::1", 7, 0, socket.if_nametoindex("lo"))),
    ],
)
def test_socket_address(host: str, sockaddr: tuple[Any, ...]) -> None:
    """A host with its interface has one socket address, which has the same host again."""
    assert HostPort(host, 7).sockaddr() == sockaddr
    assert HostPort.from_sockaddr(sockaddr) == (host, 7)


def test_interface_by_number() -> None:
    """An interface may be given by its number."""
    assert HostPort("fe80::1%42", 7).sockaddr() == ("fe80::1", 7, 0, 42)


@pytest.mark.parametrize("interface", ["nosuch0", "²", "a\0b", "a" * 40, "\udcff"])
def test_no_such_interface(interface: str) -> None:
    """The error for an interface that does not exist has the errno of the system."""
    with pytest.raises(OSError, match="No such device") as failed:
        HostPort(f"fe80::1%{interface}", 7).sockaddr()
    assert failed.value.errno == errno.ENODEV


@pytest.mark.parametrize("text", ["fe80::b%nosuch0", "fe80::b%lo", "fe80::%lo/64", "2001:db8::1%1"])
def test_rule_with_an_interface(text: str) -> None:
    """A network of an access list has no interface, as it would be served on every other one, too."""
    with pytest.raises(ValueError, match="has an interface, but access lists apply on every interface; expected"):
        network(text)


def test_interface_of_a_global_address() -> None:
    """Only a link-local address of a server keeps its interface, as in the address that its answers have."""
    lo = socket.if_nametoindex("lo")
    assert _numeric_host(("fe80::1", 7, 0, lo)) == "fe80::1%lo"
    assert _numeric_host(("ff02::1", 7, 0, lo)) == "ff02::1%lo"
    assert _numeric_host(("2001:db8::1", 7, 0, lo)) == "2001:db8::1"
    assert _numeric_host(("::", 7, 0, lo)) == "::1"


@pytest.fixture(params=SERVED)
def served(request: pytest.FixtureRequest) -> Served:
    """Provide each kind of UDP port."""
    return SERVED[request.param]


def test_port_on_a_link_local_address(served: Served) -> None:
    """A UDP port on a link-local address answers; one on an interface that does not exist says so."""

    def ask() -> tuple[str, Any]:
        with listening(served, "fe80::1%here") as port, client(host="::") as sock:
            sock.sendto(b"x", port.socket.getsockname())
            port.doRead()
            assert port.protocol.refused == {}
            return HostPort.from_sockaddr(port.socket.getsockname()).host, heard(sock)

    assert in_namespace(ask) == ("fe80::1%here", [(b"x", "fe80::1")])
    with pytest.raises(OSError, match="No such device"), listening(served, "fe80::1%nosuch0"):
        pass


@pytest.mark.parametrize("batched", [True, False])
def test_sources_with_an_interface(batched: bool) -> None:
    """Limits count a link-local source by its interface, in a batch and by itself."""
    sources: list[str] = []

    class BySource(Constant):
        def batch_response(self, batch: Any) -> bytes | None:
            sources.extend(batch.hosts())
            return super().batch_response(batch) if batched else None

        def serve(self, datagram: bytes, addr: Any) -> None:
            sources.append(addr.host)
            super().serve(datagram, addr)

    def ask() -> str:
        with listening(Served(TimePort, BySource, 1), "fe80::1%here") as port, client(host="::") as sock:
            sock.sendto(b"x", port.socket.getsockname())
            port.doRead()
            return f"fe80::1%{socket.if_nametoindex('here')}"

    expected = in_namespace(ask)
    assert sources == [expected] * (1 if batched else 2)
