"""Send datagrams of many sizes, up to the MTU and beyond."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from echotime.client.path.outcome import Finding, Outcome
from echotime.client.path.rounds import ask_in_rounds, is_chance
from echotime.client.path.route import Route, behavior
from echotime.client.path.udp.datagrams import REPORT_SIZE, report_of, report_request, route_mtu
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_

_SIZES = (1, 100, REPORT_SIZE, 512, 1200, 1400, 2000, 4000, 8192, 16000, 32000, 65507)
_IPV4_OVERHEAD, _IPV6_OVERHEAD = 28, 48
"""Bytes of the IP and UDP headers."""
_UDP_HEADER = 8
_FRAGMENT_UNIT = 8
"""Each fragment but the last has a multiple of so many bytes (RFC 791, RFC 8200)."""
_ROUNDS = 6


@dataclass(frozen=True)
class SizeResult:
    """Hold what became of the datagrams of one size."""

    tries: int
    answered: bool
    arrived: int | None = None
    """Bytes that the server received, where it says so."""


def packets(size: int, largest_whole: int) -> int:
    """Return the number of packets in which a datagram is sent, or one more."""
    # a fragment of IPv6 has a header of 8 bytes in place of the UDP header, one of IPv4 has room for 8 bytes more
    most = max(largest_whole - largest_whole % _FRAGMENT_UNIT, _FRAGMENT_UNIT)
    return math.ceil((size + _UDP_HEADER) / most)


def sizes_to_send(largest_whole: int) -> list[int]:
    """Return the sizes, with those around the MTU of the route. An administrator may set any MTU."""
    return sorted({each for each in (*_SIZES, largest_whole, largest_whole + 1) if 0 < each <= max(_SIZES)})


def judge(results: Mapping[int, SizeResult], largest_whole: int, loss: float) -> Outcome:
    """Return a finding if some sizes have no answer, and chance does not explain it.

    `largest_whole` is the largest size that is sent without fragmentation.
    """
    lost: list[int] = []
    doubtful: list[int] = []
    for size, result in sorted(results.items()):
        if not result.answered:
            with_answer = packets(size, largest_whole) + 1
            (doubtful if is_chance(loss, with_answer, result.tries, len(results)) else lost).append(size)
    for size, result in sorted(results.items()):
        if result.arrived is not None and result.arrived < size:
            seen = _("{arrived} of {size} bytes arrive").format(size=size, arrived=result.arrived)
            values = {"sent": size, "arrived": result.arrived}
            return Outcome(findings=(Finding("udp-truncated", seen, values),))
    if lost:
        answered = [size for size, result in results.items() if result.answered and size < lost[0]]
        seen = _("answered up to {answered} bytes, no answer from {lost} bytes on").format(
            lost=lost[0], answered=max(answered, default=0)
        )
        larger = [size for size, result in results.items() if result.answered and size > lost[0]]
        if larger:
            seen = _("no answer to {lost} bytes").format(lost=_list(lost))
        name = "udp-size-lost" if lost[0] <= largest_whole else "udp-fragments-lost"
        values = {"lost": lost[0], "answered": max(answered, default=0), "unfragmented": largest_whole}
        return Outcome(findings=(Finding(name, seen, values),))
    if doubtful:
        return Outcome(untested=_("too many datagrams are lost to judge {sizes} bytes").format(sizes=_list(doubtful)))
    return Outcome(_("answered up to {size} bytes").format(size=max(results)))


def _list(sizes: Sequence[int]) -> str:
    return _(", ").join(map(str, sizes))


def judge_answers(results: Mapping[int, SizeResult], largest_whole: int, loss: float) -> Outcome:
    """Return the same for answers of these sizes. Datagrams of the same sizes have passed."""
    outcome = judge(results, largest_whole, loss)
    if not outcome.findings:
        return outcome
    (finding,) = outcome.findings
    seen = _("answers of the same size as datagrams: {seen}").format(seen=finding.seen)
    return Outcome(findings=(replace(finding, seen=seen, values={**finding.values, "answers": True}),))


class UdpSizesExperiment:
    """Send each size up to 6 times, until it is answered; then ask for answers of the sizes that were."""

    name = N_("udp sizes")
    needs_behavior = False
    runs = 1

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        ipv6 = ":" in route.address.host
        largest_whole = route_mtu(route.address) - (_IPV6_OVERHEAD if ipv6 else _IPV4_OVERHEAD)
        sizes = sizes_to_send(largest_whole)
        requests = {each: report_request(each)[:each] for each in sizes}
        outcome = judge(await self._ask(route, requests), largest_whole, route.udp_loss)
        if outcome.findings or outcome.untested or not route.far_end.behaves:
            return outcome
        requests = {each: behavior("extend", size=each).ljust(each, b".") for each in sizes if each >= REPORT_SIZE}
        return judge_answers(await self._ask(route, requests), largest_whole, route.udp_loss)

    @staticmethod
    async def _ask(route: Route, requests: Mapping[int, bytes]) -> dict[int, SizeResult]:
        """Send the datagrams, and return what became of each size."""
        asked = await ask_in_rounds(route, [*requests.values()], _ROUNDS)
        results = {}
        for size, each in zip(requests, asked, strict=True):
            report = report_of(each.answers[0].data) if each.answers else None
            arrived = report.get("size") if report else None
            results[size] = SizeResult(each.tries, bool(each.answers), arrived if isinstance(arrived, int) else None)
        return results
