"""net/udp.py with many datagrams a call and with one: both send the same replies, and count the same."""

from __future__ import annotations

import contextlib
import os
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echotime.net.udp import TimePort
from tests.hostile.forging import forge, forge_on_link
from tests.support.loopback import Portable, Served, Short
from tests.support.udp_ports import client, heard, listening

CLIENTS = 4
SWITCHES = ["SO_TIMESTAMP", "IP_RECVTTL", "IP_RECVTOS", "IP_PKTINFO", "IPV6_RECVPKTINFO", "IP_RECVERR"]


_PORT_ZERO, _UNSPECIFIED = -1, -2


class Datagram(NamedTuple):
    """A datagram of a client, or of _PORT_ZERO or _UNSPECIFIED, to an address of 127.0.0.0/8."""

    client: int
    destination: int
    length: int


DATAGRAMS = st.builds(
    Datagram,
    st.integers(_UNSPECIFIED, CLIENTS - 1),
    st.integers(1, 4),
    st.integers(0, 20) | st.sampled_from([100, 9000]),
)
OPTIONS = st.dictionaries(st.sampled_from(SWITCHES), st.sampled_from(["on", "off"])).map(
    lambda chosen: [f"{name}={value}" for name, value in chosen.items()]
)


def outcome(port_class: type[TimePort], apart: set[int], interface: str, *, requested: list[str], batches: Any) -> Any:
    """Return the replies to each client, the errors, the refusals, and the number of datagrams served."""

    class Some(Short):
        pass

    Some.per_datagram_lengths = frozenset(apart)
    answers: list[Any] = []
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(listening(Served(port_class, Some, 0), interface, *requested))
        clients = [stack.enter_context(client()) for _ in range(CLIENTS)]
        for batch in batches:
            for each in batch:
                address = f"127.0.0.{1 if interface == '127.0.0.1' else each.destination}", port.getHost().port
                if each.client == _UNSPECIFIED:
                    # only on a wildcard address such datagrams arrive
                    recipient = "255.255.255.255" if each.destination % 2 or interface == "0.0.0.0" else "::1"
                    source = ("0.0.0.0" if recipient != "::1" else "::", 5555)
                    forge_on_link("lo", source, (recipient, address[1]), bytes(min(each.length, 100)))
                elif each.client == _PORT_ZERO:
                    forge(("127.0.0.1", 0), address, bytes(min(each.length, 100)))
                else:
                    clients[each.client].sendto(bytes(each.length), address)
            port.doRead()
            port.doRead()
            answers.append([heard(one) for one in clients])
        return answers, port.errors, port.protocol.refused, port.protocol.given


@pytest.mark.skipif(os.geteuid() != 0, reason="sending datagrams from port 0 needs a raw socket, and that needs root")
@settings(deadline=None, max_examples=150)
@given(
    st.sets(st.integers(0, 16), max_size=3),
    st.sampled_from(["127.0.0.1", "0.0.0.0", "::"]),
    OPTIONS,
    st.lists(st.lists(DATAGRAMS, max_size=80), max_size=3),
)
def test_both_do_the_same(apart: set[int], interface: str, requested: list[str], batches: list[list[Datagram]]) -> None:
    """Lengths, sources, destinations, options and forged datagrams vary."""
    portable, many = (
        outcome(each, apart, interface, requested=requested, batches=batches) for each in (Portable, TimePort)
    )
    assert many == portable
