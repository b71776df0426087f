"""Collect the result of `echotime check`, and print it as a status line or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from echotime.cli.thresholds import Range
from echotime.i18n.language import gettext as _
from echotime.wire.hostport import HostPort


class CheckState(IntEnum):
    """Define the exit statuses. Up to CRITICAL, a higher one is worse."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass
class CheckResult:
    """Collect the measurements, a sentence for each, and the worst state."""

    warning: Mapping[str, Range]
    critical: Mapping[str, Range]
    state: CheckState = CheckState.OK
    sentences: list[str] = field(default_factory=list)
    measurements: dict[str, float] = field(default_factory=dict)
    up: dict[str, bool] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    """The address of each service that answered."""
    half_close_tested: bool = False
    """True if a TCP echo was exact after a half-close."""

    def fail(self, service: str, sentence: str) -> None:
        """Record that a service failed, which is critical."""
        self.state = CheckState.CRITICAL
        self.up[service] = False
        self.sentences.append(sentence)

    def leave_unknown(self, sentence: str) -> None:
        """Record that something could not be determined, which is unknown unless a service is known to be down."""
        if self.state is not CheckState.CRITICAL:
            self.state = CheckState.UNKNOWN
        self.sentences.append(sentence)

    def record(self, name: str, seconds: float, sentence: str, advice: str = "") -> None:
        """Record a measurement, and compare it with its thresholds. The advice ends the sentence."""
        self.measurements[name] = seconds
        exceeded = ""
        for state, limits in ((CheckState.WARNING, self.warning), (CheckState.CRITICAL, self.critical)):
            if name in limits and limits[name].alerts(abs(seconds)):
                self.state = max(self.state, state)
                exceeded = limits[name].describe_alert()
        self.sentences.append(sentence + exceeded + advice)

    def status_line(self) -> str:
        """Return the line with the state, the sentences and the performance data."""
        performance_data = " ".join(
            f"{name}={value:.6f}s;{self.warning.get(name, '')};{self.critical.get(name, '')}"
            for name, value in self.measurements.items()
        )
        # the performance data begins at the first bar
        text = f"ECHOTIME {self.state.name} - {self.message}".replace("|", r"\x7c")
        return f"{text} | {performance_data}" if performance_data else text

    @property
    def message(self) -> str:
        return _("; ").join(self.sentences)

    def details(self) -> Iterator[str]:
        """Yield the lines of --verbose: each measurement with its address and its thresholds."""
        for name, value in self.measurements.items():
            yield _("{name}: {seconds:.6f} s from {address}, warning {warning}, critical {critical}").format(
                name=name,
                seconds=value,
                address=self.addresses["udp" if name == "offset" else name],
                warning=self.warning.get(name, "-"),
                critical=self.critical.get(name, "-"),
            )

    def as_json(self, server: HostPort) -> dict[str, Any]:
        """Return the result for --json. The keys are public."""
        return {
            "server": str(server),
            "state": self.state.name,
            "status": int(self.state),
            "message": self.message,
            "up": self.up,
            "addresses": self.addresses,
            "half_close_tested": self.half_close_tested,
            "measurements": {
                name: {
                    "seconds": value,
                    **{
                        kind: str(limits[name]) if name in limits else None
                        for kind, limits in (("warning", self.warning), ("critical", self.critical))
                    },
                }
                for name, value in self.measurements.items()
            },
        }
