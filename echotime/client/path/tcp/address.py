"""Compare the addresses of both ends with those that the server sees."""

from __future__ import annotations

from collections.abc import Mapping

from echotime.client.path.outcome import Finding, Outcome, Value
from echotime.client.path.route import Route
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_
from echotime.wire.hostport import HostPort, format_hostport, host_of


def compare_addresses(own: HostPort, asked: HostPort, report: Mapping[str, Value], prefix: str = "") -> list[Finding]:
    """Return a finding for each end whose address the server sees differently. `prefix` begins their names."""
    findings = []
    here, peer = _plain(own), str(report["peer"])
    values = {"sent": here, "seen": peer}
    if host_of(here) != host_of(peer):
        seen = _("this host is {own}, and the server sees {peer}").format(own=here, peer=peer)
        findings.append(Finding(f"{prefix}client-address-translated", seen, values))
    elif here != peer:
        seen = _("this host is {own}, and the server sees {peer}").format(own=here, peer=peer)
        findings.append(Finding(f"{prefix}client-port-translated", seen, values))
    there, server = _plain(asked), str(report["server"])
    if server != there:
        seen = _("sent to {asked}, answered from {server}").format(asked=there, server=server)
        findings.append(Finding(f"{prefix}server-address-translated", seen, {"sent": there, "seen": server}))
    return findings


def judge(own: HostPort, asked: HostPort, report: Mapping[str, Value]) -> Outcome:
    """Return the findings of a connection."""
    findings = compare_addresses(own, asked, report)
    if report.get("via"):
        seen = _("the server sees {peer} via {via}").format(peer=report["peer"], via=report["via"])
        findings.append(Finding("via-proxy", seen, {"peer": report["peer"], "via": report["via"]}))
    return Outcome(_("the server sees {peer}").format(peer=report["peer"]), tuple(findings))


def _plain(address: HostPort) -> str:
    """Return an address as the server writes it: a link-local one has the interface of each end."""
    return format_hostport(address.host.partition("%")[0], address.port)


class AddressExperiment:
    """Read the server's report of the first connection."""

    name = N_("address")
    needs_behavior = True
    runs = 1

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        return judge(route.far_end.own, route.address.hostport, route.far_end.seen)
