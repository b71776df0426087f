"""Declare what every experiment has."""

from __future__ import annotations

from typing import Protocol

from echotime.client.path.outcome import Outcome
from echotime.client.path.route import Route


class Experiment(Protocol):
    """Test one thing. `run` has its own bounds on time and bytes, and raises ClientError if it could not be done."""

    name: str
    """Name in the table; its translation is shown, and JSON has it unchanged."""
    needs_behavior: bool
    """True if the server must take requests for behaviors."""
    runs: int
    """3: a finding must come in two of three runs. 1: the experiment repeats by itself what may be chance."""

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
