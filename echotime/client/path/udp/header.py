"""Compare what the server sees of a datagram's headers with what this host sends."""

from __future__ import annotations

from collections.abc import Mapping

from echotime.client.path.outcome import Finding, Outcome, Value
from echotime.client.path.route import Route
from echotime.client.path.tcp.address import compare_addresses
from echotime.client.path.udp.datagrams import Datagrams, own_address, report_of, report_request
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_
from echotime.wire.hostport import HostPort

_DSCP = 46
_ECT_0, _CE = 2, 3
"""ECN: capable, and congestion experienced (RFC 3168)."""
_TRIES, _SECONDS = 4, 0.7


def judge(own: HostPort, asked: HostPort, report: Mapping[str, Value], ttl: int) -> Outcome:
    """Return a finding for each difference that is not the work of ordinary routers. `ttl` is the one sent."""
    findings = compare_addresses(own, asked, report, "udp-")
    tos, seen_ttl = report.get("tos"), report.get("ttl")
    if isinstance(tos, int):
        if tos >> 2 != _DSCP:
            seen = _("DSCP {sent} sent, {arrived} arrived").format(sent=_DSCP, arrived=tos >> 2)
            findings.append(Finding("udp-dscp-changed", seen, {"sent": _DSCP, "arrived": tos >> 2}))
        if tos & 3 not in {_ECT_0, _CE}:
            seen = _("ECN {sent} sent, {arrived} arrived").format(sent=_ECT_0, arrived=tos & 3)
            findings.append(Finding("udp-ecn-changed", seen, {"sent": _ECT_0, "arrived": tos & 3}))
    text = _("the server sees {peer}").format(peer=report["peer"])
    if isinstance(seen_ttl, int):
        if seen_ttl > ttl:
            seen = _("TTL {sent} sent, {arrived} arrived").format(sent=ttl, arrived=seen_ttl)
            findings.append(Finding("udp-ttl-changed", seen, {"sent": ttl, "arrived": seen_ttl}))
        else:
            text = _("{hops} routers, DSCP and ECN unchanged").format(hops=ttl - seen_ttl)
    return Outcome(text, tuple(findings))


class UdpHeaderExperiment:
    """Ask for a report with DSCP 46 and ECN."""

    name = N_("udp header")
    needs_behavior = True
    runs = 3

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        datagrams = Datagrams(route.reactor, route.address, route.udp_port(), _DSCP << 2 | _ECT_0)
        try:
            for _number in range(_TRIES):
                datagrams.send(report_request())
                if await datagrams.wait_for_answer(_SECONDS):
                    break
            report = next(filter(None, (report_of(each.data) for each in datagrams.answers)), None)
            if report is None:
                return Outcome(untested=_("the server makes no report over UDP"))
            own = own_address(route.address, datagrams.port)
            return judge(own, route.address.hostport, report, datagrams.ttl)
        finally:
            datagrams.close()
