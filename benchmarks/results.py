"""What came of a run: each round's figures, their medians, and what they were measured with; and all of it as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from benchmarks.servers import Server
from benchmarks.workloads import Workload

Figures = dict[str, float]


@dataclass
class Outcome:
    """What came of a workload: the figures of each server, one a round, and why a server failed."""

    workload: Workload
    rounds: dict[str, list[Figures]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def median(self, server: str, figure: str) -> float | None:
        """Of all rounds; None where the server took no part or failed."""
        if server in self.failures or not self.rounds.get(server):
            return None
        return statistics.median(each[figure] for each in self.rounds[server])


@dataclass(frozen=True)
class Results:
    """A whole run."""

    rounds: int
    seconds: float
    made_with: dict[str, str]
    servers: Sequence[Server]
    left_out: dict[str, str]
    outcomes: Sequence[Outcome]

    @property
    def working(self) -> list[Outcome]:
        """The workloads in which something is done."""
        return [each for each in self.outcomes if not each.workload.idles]

    @property
    def idle(self) -> Outcome | None:
        """The one in which nothing is."""
        return next((each for each in self.outcomes if each.workload.idles), None)

    def median(self, workload: str, server: str, figure: str) -> float | None:
        """None where it was not measured."""
        for outcome in self.outcomes:
            if outcome.workload.name == workload:
                return outcome.median(server, figure)
        return None

    @property
    def failed(self) -> bool:
        """Whether a server or a load failed."""
        return any(each.failures for each in self.outcomes)

    def as_json(self) -> dict[str, object]:
        """All of it, in what the json module writes."""
        return {
            "made_with": self.made_with,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "left_out": self.left_out,
            "notes": {server.name: server.note for server in self.servers if server.note},
            "workloads": {
                outcome.workload.name: {**asdict(outcome.workload), "servers": self._servers(outcome)}
                for outcome in self.outcomes
            },
        }

    def _servers(self, outcome: Outcome) -> dict[str, object]:
        return {
            name: {
                "median": {figure: outcome.median(name, figure) for figure in (rounds[0] if rounds else ())},
                "rounds": rounds,
                "failure": outcome.failures.get(name),
            }
            for name, rounds in outcome.rounds.items()
        }
