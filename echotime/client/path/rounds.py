"""Send datagrams from many sockets, again from those without an answer, and tell chance from a rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from echotime.client.path.channel import together
from echotime.client.path.udp.datagrams import Datagrams

_SECONDS = 0.5
"""Time for the answers of a round. Later ones count, too, until the last round ends."""
_LAST_SECONDS = 1.0
_UNLIKELY = 1e-4
"""Probability below which losses are no chance."""


async def ask_in_rounds(reactor: Any, sockets: Mapping[Datagrams, bytes], rounds: int) -> dict[Datagrams, int]:
    """Send each socket's datagram up to `rounds` times, until it is answered, and close the sockets.

    Return how often each was sent.
    """
    tries = dict.fromkeys(sockets, 0)
    try:
        for number in range(rounds):
            waiting = [each for each in sockets if not each.answers]
            if not waiting:
                break
            for each in waiting:
                each.send(sockets[each])
                tries[each] += 1
            seconds = _LAST_SECONDS if number == rounds - 1 else _SECONDS
            await together(each.wait_for_answer(seconds) for each in waiting)
    finally:
        for each in sockets:
            each.close()
    return tries


def is_chance(loss: float, packets: int, tries: int, cases: int = 1) -> bool:
    """Return True if it may be chance that one of `cases` had no answer.

    Of each try `packets` have to pass, and `loss` is the probability that one does not.
    """
    return bool(cases * (1 - (1 - loss) ** packets) ** tries > _UNLIKELY)
