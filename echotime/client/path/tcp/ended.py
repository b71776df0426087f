"""Ask the server how another connection ended."""

from __future__ import annotations

from echotime.client.path.outcome import Outcome
from echotime.client.path.route import Route
from echotime.i18n.language import gettext as _
from echotime.wire.connection_end import BY_CLIENT, BY_CLIENT_RESET

_RESET = "reset at the "
"""Begins the name of an end by the server if it was a RST."""


async def how_it_ended(route: Route, name: str) -> str | None:
    """Return how the connection with this id ended, in the server's words. Raises ClientError.

    Return None if the server still has the connection, does not know it, or takes no requests.
    """
    if not route.far_end.behaves:
        return None
    ended = (await route.report(ended=name)).get("ended")
    return None if ended is None else str(ended)


def by_server(ended: str | None) -> Outcome | None:
    """Return the outcome of a connection that the server ended itself. It says nothing about the path."""
    if ended is None or ended in {BY_CLIENT, BY_CLIENT_RESET}:
        return None
    reason = ended.removeprefix(_RESET)
    reason = _(reason) if reason else "?"  # for an empty text the catalogue has its header
    return Outcome(untested=_("the server ended the connection itself: {reason}").format(reason=reason))
