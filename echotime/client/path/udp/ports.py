"""Send datagrams from many source ports: where paths are chosen by ports, one of them may be faulty."""

from __future__ import annotations

from collections.abc import Mapping

from echotime.client.path.outcome import Finding, Outcome
from echotime.client.path.rounds import ask_in_rounds, is_chance
from echotime.client.path.route import Route
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_

_PORTS = 32
_ROUNDS = 8


def judge(tries: Mapping[int, int], answered: frozenset[int], loss: float) -> Outcome:
    """Return a finding if some ports never got an answer, and chance does not explain it."""
    dead = sorted(tries.keys() - answered)
    if not dead:
        return Outcome(_("answered from {ports} source ports").format(ports=len(tries)))
    # the losses of the ports that were answered in the end
    sent = sum(tries[each] for each in answered)
    measured = max(loss, (sent - len(answered)) / sent if sent else 1.0)
    if len(answered) < len(tries) / 4 or is_chance(measured, 1, min(tries[each] for each in dead), len(tries)):
        return Outcome(untested=_("too many datagrams are lost"))
    shown = _(", ").join(map(str, dead[:8]))
    seen = _("no answer from {dead} of {ports} source ports: {list}").format(
        dead=len(dead), ports=len(tries), list=shown
    )
    return Outcome(findings=(Finding("udp-port-lost", seen, {"lost": len(dead), "ports": len(tries)}),))


class UdpPortsExperiment:
    """Send from 32 source ports, up to 8 times from each, until it is answered."""

    name = N_("udp ports")
    needs_behavior = False
    runs = 1

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        asked = await ask_in_rounds(route, [b"x"] * _PORTS, _ROUNDS)
        answered = frozenset(each.port for each in asked if each.answers)
        if len(answered) < _PORTS:
            # the first try of these was answered, so nothing is under way to them
            route.good_udp_ports.extend(each.port for each in asked if each.answers and each.tries == 1)
        return judge({each.port: each.tries for each in asked}, answered, route.udp_loss)
