"""Parse the thresholds of `echotime check`, in the range format of the monitoring-plugins guidelines.

``10`` alerts above 10, ``10:`` below 10, ``10:20`` outside of 10 to 20, ``~:10`` above 10, and ``@10:20`` inside of
10 to 20. The ends are times with a unit, or seconds.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from echotime.i18n.language import gettext as _
from echotime.wire.parsers import TooLargeError, non_negative_seconds

THRESHOLD_NAMES = ("tcp", "udp", "offset")
"""Names of thresholds: the seconds of an echo session and of a time request, and the clock's offset."""
_UNNAMED = ("tcp", "udp")
"""What a range without a name applies to."""


@dataclass(frozen=True)
class Range:
    """Hold a range in seconds. A value alerts outside of it, or inside of it if `alerts_inside`."""

    low: float
    high: float
    alerts_inside: bool = False

    def alerts(self, value: float) -> bool:
        """Return True if the value is to be reported."""
        return (self.low <= value <= self.high) is self.alerts_inside

    def describe_alert(self) -> str:
        """Return how a value that alerts differs, to follow the value."""
        if self.high == math.inf:
            text = _(", at least {low} s") if self.alerts_inside else _(", below {low} s")
        elif self.low <= 0:
            text = _(", at most {high} s") if self.alerts_inside else _(", beyond {high} s")
        else:
            text = _(", inside {low} to {high} s") if self.alerts_inside else _(", outside {low} to {high} s")
        return text.format(low=format_number(self.low), high=format_number(self.high))

    def _ends(self) -> str:
        low = "~" if self.low == -math.inf else format_number(self.low)
        return f"{low}:{'' if self.high == math.inf else format_number(self.high)}"

    def __str__(self) -> str:
        """Return the range in the form of the guidelines, in seconds."""
        if self.alerts_inside:
            return f"@{self._ends()}"
        return format_number(self.high) if self.low == 0 and self.high != math.inf else self._ends()


def format_number(number: float) -> str:
    """Format a number without an exponent, which performance data must not have."""
    return f"{number:f}".rstrip("0").rstrip(".")


def parse_range(text: str) -> Range:
    """Parse a range. Raises ValueError."""
    start, colon, end = text.removeprefix("@").rpartition(":")
    try:
        low = -math.inf if start == "~" else non_negative_seconds(start) if start else 0.0
        high = math.inf if colon and not end else non_negative_seconds(end)
    except TooLargeError as error:
        raise ValueError(_("{text!r} is too long: {reason}").format(text=text, reason=error)) from None
    except ValueError:
        raise ValueError(
            _("{text!r} is not a range; expected TIME, TIME:, TIME:TIME, ~:TIME or @TIME:TIME").format(text=text)
        ) from None
    if low > high:
        raise ValueError(_("{text!r}: the start of the range is beyond its end").format(text=text))
    return Range(low, high, text.startswith("@"))


def parse_threshold(text: str) -> dict[str, Range]:
    """Parse RANGE or NAME=RANGE, and return the range by the names it applies to. Raises ValueError."""
    name, equals, value = text.rpartition("=")
    if equals and name not in THRESHOLD_NAMES:
        raise ValueError(
            _("invalid threshold {text!r}; expected RANGE or NAME=RANGE, where NAME is one of {names}").format(
                text=text, names=_(", ").join(THRESHOLD_NAMES)
            )
        )
    return dict.fromkeys((name,) if equals else _UNNAMED, parse_range(value))


def is_hidden(warning: Range, critical: Range) -> bool:
    """Return True if no value is a warning, because each one that alerts is critical, and others are critical, too.

    Equal ranges are accepted, as by other plugins.
    """
    # between two neighboring ends no range changes its state
    ends = sorted(
        {0.0, *(each for each in (warning.low, warning.high, critical.low, critical.high) if 0 <= each < math.inf)}
    )
    samples = [*ends, *((one + other) / 2 for one, other in itertools.pairwise(ends)), ends[-1] + 1]
    warned = [each for each in samples if warning.alerts(each)]
    return bool(warned) and all(map(critical.alerts, warned)) and len(warned) < sum(map(critical.alerts, samples))
