"""What a port asks a protocol that gives everybody the same answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zope.interface import Attribute, Interface


class IBatchResponder(Interface):
    """A datagram protocol whose answer depends on the moment alone, so a port can answer many datagrams at once."""

    per_datagram_lengths = Attribute(
        "The lengths (frozenset of int, at most 16) of datagrams that have to be handed over one by one. "
        "Longer ones may be handed over with them, cut to 17 bytes."
    )

    per_datagram_only = Attribute("Whether every datagram has to be handed over one by one.")

    per_datagram_ports = Attribute(
        "The source ports (int) of datagrams that have to be handed over; a live collection."
    )

    def allow_batch(count: int, count_by_host: Callable[[], Mapping[str, int]]) -> bool:
        """Whether so many datagrams may be answered at once; if not, each has to be handed over.

        `hosts` counts them by the numeric address that they came from, which takes a moment: to be called where it
        matters.
        """

    def batch_response(count: int) -> bytes:
        """The answer to so many datagrams that are here now; they count as served."""
