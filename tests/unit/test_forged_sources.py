"""Test which forged sources Linux delivers, and what becomes of the answers, as docs/security.md says."""

from __future__ import annotations

import itertools
import socket
import subprocess
from collections.abc import Iterable

import pytest

from echotime.limits.source import is_loopback, source_key
from tests.hostile.forging import forge_on_link
from tests.support.loopback import SERVED
from tests.support.namespace import in_namespace
from tests.support.twistd_process import LIMIT
from tests.support.udp_ports import heard, listening

NEIGHBOR, NEIGHBOR6 = "10.9.0.7", "fd09::7"
"""Sources that are not forged."""
OWN, BROADCAST = "10.9.0.1", "10.9.0.255"
LOOPBACK_LIKE = ["::127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1"]


def set_rp_filter(strict: bool) -> None:
    """Set net.ipv4.conf.*.rp_filter for this namespace."""
    for interface in ("all", "here"):
        subprocess.run(["sysctl", "-qw", f"net.ipv4.conf.{interface}.rp_filter={strict:d}"], check=True)


def delivered(interface: str, sources: Iterable[str], destinations: Iterable[str]) -> set[tuple[str, str]]:
    """Return the sources, with their destinations, from which a neighbor's datagrams reach a socket."""
    family = socket.AF_INET6 if interface == "::" else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.bind((interface, 0))
        port = sock.getsockname()[1]
        for number, (source, destination) in enumerate(itertools.product(sources, destinations)):
            forge_on_link("there", (source, 5555), (destination, port), f"{source} {destination}".encode())
            assert number < 100, "more may not fit the receive buffer"
        # packets of one link arrive in order
        last = (NEIGHBOR6, "fd09::1") if interface == "::" else (NEIGHBOR, OWN)
        forge_on_link("there", (last[0], 5555), (last[1], port), b"last")
        found = set()
        while (text := sock.recv(100)) != b"last":
            source, destination = text.decode().split()
            found.add((source, destination))
        return found


def test_ipv4() -> None:
    """With rp_filter only neighbors and the unspecified address are delivered; without, other addresses are, too."""
    sources = ["127.0.0.1", "127.0.0.5", OWN, "224.0.0.1", "255.255.255.255", "192.0.2.1"]
    destinations = [OWN, BROADCAST, "255.255.255.255", "224.0.0.1"]

    def run() -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        set_rp_filter(True)
        strict = delivered("0.0.0.0", sources, destinations)
        set_rp_filter(False)
        return strict, delivered("0.0.0.0", sources, destinations)

    strict, loose = in_namespace(run)
    assert strict == set()
    assert {each for each in loose if each[0] != "192.0.2.1"} == {("127.0.0.5", "255.255.255.255")}


def test_ipv6() -> None:
    """The host's own addresses are delivered, and those with an IPv4 loopback address in them. ::1 is not."""
    own = ["fd09::1", "fe80::1"]
    found = in_namespace(lambda: delivered("::", ["::1", "ff02::1", *own, *LOOPBACK_LIKE], ["fd09::1", "ff02::1"]))
    assert {source for source, _destination in found} == {*own, *LOOPBACK_LIKE}


def test_no_loopback() -> None:
    """Sources that have an IPv4 loopback address in them have a limit of --udp-rate, as loopback has not."""
    assert not any(is_loopback(source_key(each)) for each in LOOPBACK_LIKE)


@pytest.mark.parametrize("switched", [(), ("SO_BROADCAST=on",)])
def test_answer_to_a_broadcast_address(switched: tuple[str, ...]) -> None:
    """An answer to a network's broadcast address fails with EACCES, unless SO_BROADCAST is requested."""

    def run() -> dict[str, int]:
        set_rp_filter(False)
        with listening(SERVED["batched, together"], "0.0.0.0", *switched) as port:
            forge_on_link("there", (BROADCAST, 5555), (OWN, port.getHost().port), b"x")
            port.doRead()
            return dict(port.errors)

    assert in_namespace(run) == ({} if switched else {"send EACCES": 1})


def test_ipv4_broadcast_on_a_dual_stack_socket() -> None:
    """On [::] a datagram to an IPv4 broadcast address is not told from others, and its answer fails."""

    def run() -> tuple[list[str], int]:
        with (
            listening(SERVED["batched, together"], "::") as port,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        ):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.bind((OWN, 0))
            sock.sendto(b"x", (BROADCAST, port.getHost().port))
            port.doRead()
            return list(port.errors), len(heard(sock))

    errors, answers = in_namespace(run)
    assert (errors, answers) == (["send ENETUNREACH"], 0)
