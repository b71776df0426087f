"""Test cli/proxy_arguments.py, and the header that client/connect.py writes first."""

from __future__ import annotations

import socket
import sys
from io import BytesIO

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.testing import StringTransport

from echotime.cli.main import build_parser
from echotime.cli.proxy_arguments import check_proxy, proxy_header
from echotime.client.connect import ConnectFactory, MakeHeader
from echotime.client.echo import EchoClient
from echotime.client.lookup import ResolvedAddress
from echotime.wire.hostport import HostPort
from echotime.wire.proxy_header import make_v1, make_v2

OWN, REMOTE = HostPort("127.0.0.1", 40000), HostPort("127.0.0.2", 12345)
V4, V6 = "192.0.2.7:4711", "[2001:db8::7]:4711"


def maker(*options: str, command: str = "send", server: str = "host") -> tuple[MakeHeader | None, int]:
    """Return what makes the header for a command line, and the family that addresses are restricted to."""
    args = build_parser().parse_args([command, *options, server])
    check_proxy(args)
    return proxy_header(args), args.family


def refusal(capsys: pytest.CaptureFixture[str], *options: str, command: str = "send", server: str = "host") -> str:
    """Return the usage error of a command line."""
    with pytest.raises(SystemExit) as ended:
        maker(*options, command=command, server=server)
    assert ended.value.code == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert hint == f"try 'echotime {command} --help'"
    return str(error.partition(": error: ")[2])


def test_none() -> None:
    """Without the option there is no header."""
    assert maker() == (None, socket.AF_UNSPEC)


@pytest.mark.parametrize("command", ["send", "ping", "check"])
def test_ends(command: str) -> None:
    """The ends of the connection are the default of those that are given."""
    for version, make in (("1", make_v1), ("2", make_v2)):
        for options, family, ends in (
            ((), socket.AF_UNSPEC, (OWN, REMOTE)),
            (("--proxy-source", V4), socket.AF_INET, (HostPort("192.0.2.7", 4711), REMOTE)),
            (("--proxy-destination", "192.0.2.7:0", "-4"), socket.AF_INET, (OWN, HostPort("192.0.2.7", 0))),
            (
                ("--proxy-source", V6, "--proxy-destination", "[::1]:9", "-4"),
                socket.AF_INET,
                (HostPort("2001:db8::7", 4711), HostPort("::1", 9)),
            ),
        ):
            make_header, restricted_to = maker("--proxy-protocol", version, *options, command=command)
            assert make_header is not None
            assert make_header(OWN, REMOTE) == make(*ends)
            assert restricted_to == family


@pytest.mark.parametrize("command", ["send", "ping", "check"])
def test_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Options that make no header are usage errors."""
    monkeypatch.setattr(sys, "argv", ["echotime", "send"])  # those of check have a form of their own
    version = ("--proxy-protocol", "1")
    other = "and the connection is not: give --proxy"
    for options, text in (
        (("--proxy-source", V4), "--proxy-source requires --proxy-protocol"),
        (("--proxy-destination", V4), "--proxy-destination requires --proxy-protocol"),
        ((*version, "--proxy-source", V4, "--proxy-destination", V6), "must both be IPv4 or both IPv6"),
        ((*version, "--proxy-source", V4, "-6"), f"--proxy-source is IPv4, {other}-destination, too"),
        ((*version, "--proxy-destination", V6, "-4"), f"--proxy-destination is IPv6, {other}-source, too"),
        (("--proxy-protocol", "3"), "invalid choice: '3'"),
    ):
        assert text in refusal(capsys, *options, command=command)
    assert other in refusal(capsys, *version, "--proxy-source", V4, command=command, server="[::1]:7")
    if command != "send":
        assert refusal(capsys, *version, "--udp", command=command) == "--proxy-protocol: this command uses UDP"


@pytest.mark.parametrize("text", ["host:1", "1.2.3.4", "1", ":1", "1.2.3.4:", "[fe80::1%lo]:1", "1.2.3.4\0:1", "[::1]"])
def test_no_address(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """An address is numeric, and has a port."""
    for option in ("--proxy-source", "--proxy-destination"):
        refused = refusal(capsys, "--proxy-protocol", "1", option, text)
        assert "must be a numeric ADDRESS:PORT or [IPv6]:PORT" in refused or "a number from 0 to 65535" in refused


@pytest.mark.parametrize(
    ("own", "remote"),
    [
        (IPv4Address("TCP", "127.0.0.1", 40000), IPv4Address("TCP", "127.0.0.2", 12345)),
        (IPv6Address("TCP", "fe80::1%lo", 40000), IPv6Address("TCP", "fe80::2", 12345)),
    ],
)
def test_first(own: IPv4Address | IPv6Address, remote: IPv4Address | IPv6Address) -> None:
    """The header is written first, and is no part of the bytes sent."""
    make_header, _family = maker("--proxy-protocol", "1")
    address = ResolvedAddress(socket.AF_INET, remote.host, remote.port)
    factory = ConnectFactory(address, lambda: EchoClient(BytesIO()), make_header)
    client = factory.buildProtocol(None)
    assert isinstance(client, EchoClient)
    transport = StringTransport(hostAddress=own, peerAddress=remote)
    client.makeConnection(transport)
    client.send(b"hello")
    header = make_v1(HostPort(own.host, own.port), HostPort(remote.host, remote.port))
    assert transport.value() == header + b"hello"
    assert client.sent_bytes == len(b"hello")
