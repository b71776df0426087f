"""Send numbered datagrams, and count what is lost, duplicated and reordered. Their sizes are their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from echotime.client.path.outcome import Finding, Outcome
from echotime.client.path.route import Route
from echotime.client.path.udp.datagrams import REPORT_SIZE, Datagrams, report_of, report_request
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_

_COUNT = 100
_PAIR = 2
_INTERVAL = 0.01
_LAST_SECONDS = 1.0
_MIN_REORDERED = 3
"""Fewer can happen within a busy host with several CPUs."""


def judge(sent: int, numbers: Sequence[int | None]) -> Outcome:
    """Return findings from the numbers of the answers in their order. None: an answer without a number."""
    findings = []
    known = [each for each in numbers if each is not None]
    times = Counter(known)
    answered = len(times) + sum(each is None for each in numbers)
    lost, duplicated = max(sent - answered, 0), len(known) - len(times) + max(answered - sent, 0)
    if lost:
        seen = _("{lost} of {sent} lost").format(lost=lost, sent=sent)
        findings.append(Finding("udp-lost", seen, {"lost": lost, "sent": sent}))
    if duplicated:
        seen = _("{duplicated} more answers than the {sent} datagrams").format(duplicated=duplicated, sent=answered)
        findings.append(Finding("udp-duplicated", seen, {"duplicated": duplicated, "sent": sent}))
    first_arrivals = list(times)
    reordered = sum(after < before for before, after in pairwise(first_arrivals))
    if reordered >= _MIN_REORDERED:
        seen = _("{reordered} of {sent} overtaken").format(reordered=reordered, sent=sent)
        findings.append(Finding("udp-reordered", seen, {"reordered": reordered, "sent": sent}))
    text = _("{sent} datagrams answered once each, in order") if known else _("{sent} datagrams answered once each")
    return Outcome(text.format(sent=sent), tuple(findings))


class UdpOrderExperiment:
    """Send 50 pairs of datagrams, a pair each 10 ms."""

    name = N_("udp order")
    needs_behavior = False
    runs = 3

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        datagrams = Datagrams(route.reactor, route.address, route.udp_port())
        try:
            for number in range(0, _COUNT, _PAIR):
                for size in range(REPORT_SIZE + number, REPORT_SIZE + number + _PAIR):
                    datagrams.send(report_request(size))
                await datagrams.wait(lambda: False, _INTERVAL)
            await datagrams.wait(lambda: len(datagrams.answers) >= _COUNT, _LAST_SECONDS)
            # a duplicate may follow
            await datagrams.wait(lambda: False, _INTERVAL)
        finally:
            datagrams.close()
        numbers = [_number_of(each.data) for each in datagrams.answers]
        route.udp_loss = max(route.udp_loss, 1 - len(numbers) / _COUNT)
        return judge(_COUNT, numbers)


def _number_of(answer: bytes) -> int | None:
    """Return the size of the datagram that was answered, if its answer tells: by a report, or by its own size."""
    report = report_of(answer)
    size = len(answer) if report is None else report.get("size")
    return size if isinstance(size, int) and size >= REPORT_SIZE else None
