"""Hold the results of a run: figures of each round, medians and ratios, and all of it as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from benchmarks.servers import Server
from benchmarks.workloads import Workload

Figures = dict[str, float]


@dataclass
class Outcome:
    """Hold the results of a workload: each server's figures, one set a round, and why a server failed."""

    workload: Workload
    rounds: dict[str, list[Figures]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def median(self, server: str, figure: str) -> float | None:
        """Return the median of all rounds; None if the server took no part or failed."""
        found = self.found(server, figure)
        return statistics.median(found) if found else None

    def ratios(self, server: str, other: str) -> list[float]:
        """Return the ratio of the work per CPU second in each round; empty if either server took no part or failed.

        In a round both are measured within seconds, so a phase in which the machine is slow affects both.
        """
        ours, theirs = (self.found(each, "per_cpu_second") for each in (server, other))
        return [one / another for one, another in zip(ours, theirs, strict=True)] if ours and theirs else []

    def ratio(self, server: str, other: str) -> float | None:
        """Return the median of the rounds' ratios; None if there are none."""
        ratios = self.ratios(server, other)
        return statistics.median(ratios) if ratios else None

    def found(self, server: str, figure: str) -> list[float]:
        """Return a figure of each round; empty if the server took no part or failed."""
        return [] if server in self.failures else [each[figure] for each in self.rounds.get(server, [])]


@dataclass(frozen=True)
class Results:
    """Hold the settings and the outcomes of a whole run."""

    rounds: int
    seconds: float
    made_with: dict[str, str]
    servers: Sequence[Server]
    left_out: dict[str, str]
    outcomes: Sequence[Outcome]

    @property
    def working(self) -> list[Outcome]:
        """Return the outcomes of workloads that do work."""
        return [each for each in self.outcomes if not each.workload.idles]

    @property
    def idle(self) -> Outcome | None:
        """Return the outcome of the idle workload."""
        return next((each for each in self.outcomes if each.workload.idles), None)

    def found(self, workload: str, server: str, figure: str) -> list[float]:
        """Return a figure of each round; empty if it was not measured."""
        outcome = self._outcome(workload)
        return outcome.found(server, figure) if outcome else []

    def ratios(self, workload: str, server: str, other: str) -> list[float]:
        """Return the ratio of two servers in each round; empty if it was not measured."""
        outcome = self._outcome(workload)
        return outcome.ratios(server, other) if outcome else []

    def _outcome(self, workload: str) -> Outcome | None:
        return next((each for each in self.outcomes if each.workload.name == workload), None)

    @property
    def failed(self) -> bool:
        """Return True if a server or a load failed."""
        return any(each.failures for each in self.outcomes)

    def as_json(self) -> dict[str, object]:
        """Return all results in types that the json module writes."""
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
