"""Read the daemon's status for the page, as one JSON object."""

from __future__ import annotations

from typing import Any

import echotime
from echotime.control.backend import health_row
from echotime.control.commands import Rows
from echotime.control.desk import ReplyDesk
from echotime.web.state import WebState

_MAX_ROWS = 300


def read_status(state: WebState) -> dict[str, Any]:
    """Return the fields of commands.Status with the last known health, and what the page shows beside them.

    `received`, `sent` and the other totals grow from the start of the daemon. `refusals` has the reasons that occurred.
    """
    counters = state.factory.counters()
    refusals = counters.refusals()
    backlog: Rows = state.backend.backlog(None)
    return {
        **state.backend.status(),
        **ReplyDesk(state.queue, state.reactor).status(),
        "version": echotime.__version__,
        "has_operator": state.queue is not None,
        "health": [health_row(each) for each in state.health.results[:_MAX_ROWS]],
        "backlog": backlog[:_MAX_ROWS],
        "totals": {
            "connections": counters.connections,
            "messages": counters.messages,
            "bytes_in": counters.bytes_in,
            "bytes_out": counters.bytes_out,
            "datagrams": counters.datagrams,
        },
        "refusals": {name: count for name, count in refusals.items() if count},
    }
