"""Send datagrams from many sockets, again from those without an answer, and tell chance from a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple

from echotime.client.path.channel import together
from echotime.client.path.route import Route
from echotime.client.path.udp.datagrams import Arrival, Datagrams

_SECONDS = 0.5
"""Time for the answers of a round. Later ones count, too, until the last round ends."""
_LAST_SECONDS = 1.0
_UNLIKELY = 1e-4
"""Probability below which losses are not put down to chance."""


class Asked(NamedTuple):
    """Hold what became of a datagram."""

    port: int
    """The port that it was sent from."""
    tries: int
    answers: list[Arrival]


async def ask_in_rounds(route: Route, requests: Sequence[bytes], rounds: int) -> list[Asked]:
    """Send each datagram up to `rounds` times, until it is answered, from a port of its own.

    If fewer ports are known to be answered, the datagrams are sent in groups, one after another. Raises OSError.
    """
    asked: list[Asked] = []
    while rest := requests[len(asked) :]:
        with ExitStack() as stack:
            sockets = {
                stack.enter_context(closing(Datagrams(route.reactor, route.address, port))): request
                for port, request in zip(route.udp_ports(len(rest)), rest, strict=False)
            }
            tries = await _ask_group(sockets, rounds)
            asked += [Asked(each.port, tries[each], each.answers) for each in sockets]
    return asked


async def _ask_group(sockets: Mapping[Datagrams, bytes], rounds: int) -> dict[Datagrams, int]:
    """Send each socket's datagram. Return how often each was sent."""
    tries = dict.fromkeys(sockets, 0)
    for number in range(rounds):
        waiting = [each for each in sockets if not each.answers]
        if not waiting:
            break
        for each in waiting:
            each.send(sockets[each])
            tries[each] += 1
        seconds = _LAST_SECONDS if number == rounds - 1 else _SECONDS
        await together(each.wait_for_answer(seconds) for each in waiting)
    return tries


def is_chance(loss: float, packets: int, tries: int, cases: int = 1) -> bool:
    """Return True if it may be chance that one of `cases` had no answer.

    Of each try `packets` have to pass, and `loss` is the probability that one does not.
    """
    return bool(cases * (1 - (1 - loss) ** packets) ** tries > _UNLIKELY)
