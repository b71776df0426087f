"""Compare the SYN that the server received with the one that this host sends.

What this host sends is seen without privileges: a listener of its own on loopback saves the SYN of an equal socket.
The MSS depends on the route, and TCP_INFO has it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from echotime.client.exit_status import ClientError
from echotime.client.path.outcome import Finding, Outcome
from echotime.client.path.route import Route, behavior, read_report
from echotime.client.path.tcp.stream import open_stream
from echotime.i18n.language import gettext as _
from echotime.sockopt import tcp_info
from echotime.sockopt.values import N_
from echotime.wire.syn import Syn, parse_syn

_SAVE_SYN, _SAVED_SYN, _FASTOPEN_CONNECT, _IPPROTO_MPTCP = 27, 28, 30, 262
_DSCP = 46
"""Expedited forwarding (RFC 3246). Setting it takes no privilege."""
_MAX_SYN = 512
_TRANSLATED = (N_("window scale"), N_("timestamps"))
"""Names of SYN options that are words. The others are names in every language."""


@dataclass(frozen=True)
class SynPair:
    """Hold a SYN as it was sent, and as it arrived."""

    kind: str
    """Plain, Fast Open, or MPTCP."""
    sent: Syn
    arrived: Syn


def judge(pairs: list[SynPair]) -> Outcome:
    """Return a finding for each difference that is not the work of ordinary routers."""
    findings: dict[tuple[str, str], Finding] = {}
    for pair in pairs:
        for finding in _compare(pair.sent, pair.arrived):
            findings.setdefault((finding.id, finding.seen), finding)
    arrived, sent = pairs[0].arrived, pairs[0].sent
    options = _(", ").join(map(_, sorted(set().union(*(each.arrived.options for each in pairs)))))
    seen = _("MSS {mss}, TTL {ttl}, {options}").format(mss=arrived.mss, ttl=arrived.ttl, options=options)
    if arrived.ttl <= sent.ttl:
        seen = _("{hops} routers, MSS {mss}, {options}").format(
            hops=sent.ttl - arrived.ttl, mss=arrived.mss, options=options
        )
    return Outcome(seen, tuple(findings.values()))


def _compare(sent: Syn, arrived: Syn) -> Iterator[Finding]:
    if sent.mss is not None and arrived.mss is not None and sent.mss != arrived.mss:
        name = "syn-mss-clamped" if arrived.mss < sent.mss else "syn-mss-raised"
        seen = _("MSS {sent} sent, {arrived} arrived").format(sent=sent.mss, arrived=arrived.mss)
        yield Finding(name, seen, {"sent": sent.mss, "arrived": arrived.mss})
    for option in sorted(sent.options - arrived.options):
        yield Finding("syn-option-removed", _("without {option}").format(option=_(option)), {"option": option})
    for option in sorted(arrived.options - sent.options):
        yield Finding("syn-option-added", _("with {option}").format(option=_(option)), {"option": option})
    if sent.dscp != arrived.dscp:
        seen = _("DSCP {sent} sent, {arrived} arrived").format(sent=sent.dscp, arrived=arrived.dscp)
        yield Finding("syn-dscp-changed", seen, {"sent": sent.dscp, "arrived": arrived.dscp})
    if sent.asks_ecn and not arrived.asks_ecn:  # a route may ask where loopback does not
        yield Finding("syn-ecn-removed", _("without the request for ECN"))
    if arrived.ttl > sent.ttl:
        seen = _("TTL {sent} sent, {arrived} arrived").format(sent=sent.ttl, arrived=arrived.ttl)
        yield Finding("syn-ttl-changed", seen, {"sent": sent.ttl, "arrived": arrived.ttl})


class _Kind:
    """Make sockets whose SYNs have one more option."""

    def __init__(
        self, name: str, protocol: int = socket.IPPROTO_TCP, option: tuple[int, int] | None = None, dscp: int = 0
    ) -> None:
        self.name = name
        self.protocol = protocol
        self._option = option
        self._dscp = dscp

    def prepare(self, sock: socket.socket) -> None:
        """Set the options of a socket before connect(2). Raises OSError."""
        if self._dscp and sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, self._dscp << 2)
        elif self._dscp:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, self._dscp << 2)
        if self._option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, *self._option)


KINDS = (
    _Kind("TCP", dscp=_DSCP),
    _Kind("Fast Open", option=(_FASTOPEN_CONNECT, 1)),
    _Kind("MPTCP", protocol=_IPPROTO_MPTCP),
)


def syn_of_this_host(family: socket.AddressFamily, protocol: int, prepare: Callable[[socket.socket], object]) -> Syn:
    """Return the SYN of a socket made in this way, as a listener on loopback receives it. Raises OSError."""
    with (
        socket.socket(family, socket.SOCK_STREAM) as listener,
        socket.socket(family, socket.SOCK_STREAM, protocol) as sock,
    ):
        listener.setsockopt(socket.IPPROTO_TCP, _SAVE_SYN, 1)
        listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        listener.listen()
        listener.settimeout(1)
        sock.settimeout(1)
        prepare(sock)
        sock.connect(listener.getsockname())
        sock.send(b"x")  # with Fast Open it sends the SYN
        with listener.accept()[0] as accepted:
            return parse_syn(accepted.getsockopt(socket.IPPROTO_TCP, _SAVED_SYN, _MAX_SYN))


class SynExperiment:
    """Open three connections: one with DSCP 46, one with Fast Open, and one of MPTCP."""

    name = N_("syn")
    needs_behavior = True
    runs = 3

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        pairs = []
        for kind in KINDS:
            try:
                pair = await self._observe(route, kind)
            except (OSError, ClientError, ValueError):
                if kind is KINDS[0]:
                    raise
                continue  # this host does not have it, or its SYNs are dropped
            if pair is not None:
                pairs.append(pair)
        if not pairs:
            return Outcome(untested=_("the server does not save SYNs, or they were sent again"))
        return judge(pairs)

    @staticmethod
    async def _observe(route: Route, kind: _Kind) -> SynPair | None:
        """Return the pair, or None if a SYN was retransmitted: Linux leaves options out then."""
        sent = syn_of_this_host(route.address.family, kind.protocol, kind.prepare)
        stream = await open_stream(
            route.reactor, route.address, prepare=kind.prepare, protocol=kind.protocol, first=behavior("report")
        )
        try:
            report = await read_report(stream)
            info = tcp_info.read_tcp_info(stream.socket)
            mss = tcp_info.advertised_mss(stream.socket)
        finally:
            stream.close()
        if not report.get("syn") or info.total_retransmits:
            return None
        return SynPair(kind.name, replace(sent, mss=mss), parse_syn(bytes.fromhex(str(report["syn"]))))
