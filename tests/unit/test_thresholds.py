"""Test cli/thresholds.py: the ranges of monitoring plugins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echotime.cli.thresholds import Range, is_hidden, parse_range, parse_threshold

ENDS = st.integers(0, 5)
RANGES = st.builds(
    lambda one, other, inside: Range(min(one, other), max(one, other), inside), ENDS, ENDS, st.booleans()
)


@pytest.mark.parametrize(
    ("text", "shown", "alerting", "silent"),
    [
        ("10", "10", [10.1], [0, 10]),
        ("0", "0", [0.001], [0]),
        ("10:", "10:", [9.9], [10, 1000]),
        (":10", "10", [10.1], [0, 10]),
        ("~:10", "~:10", [10.1], [0]),
        ("10:20", "10:20", [9, 21], [10, 15, 20]),
        ("@10:20", "@10:20", [10, 15, 20], [9, 21]),
        ("@10", "@0:10", [0, 10], [11]),
        ("100ms:2m", "0.1:120", [0.05, 121], [0.1, 120]),
    ],
)
def test_ranges(text: str, shown: str, alerting: list[float], silent: list[float]) -> None:
    """A range means what the guidelines say, and is shown in seconds."""
    found = parse_range(text)
    assert str(found) == shown
    assert all(map(found.alerts, alerting))
    assert not any(map(found.alerts, silent))


@pytest.mark.parametrize("text", ["", "x", "1:2:3", "@", "~", "-5", "1:x", "10%"])
def test_no_range(text: str) -> None:
    """Other texts are errors that name the accepted forms."""
    with pytest.raises(ValueError, match="expected TIME, TIME:, TIME:TIME, ~:TIME or @TIME:TIME"):
        parse_range(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1000000h", "'1000000h' is too long: must be at most 2147483647"),
        ("1:1000000h", "'1:1000000h' is too long: must be at most 2147483647"),
        ("5:1", "'5:1': the start of the range is beyond its end"),
        ("@5:1", "'@5:1': the start of the range is beyond its end"),
    ],
)
def test_reasons(text: str, reason: str) -> None:
    """A range whose times are well-formed has a reason of its own."""
    with pytest.raises(ValueError, match=f"^{reason}$"):
        parse_range(text)


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("10", ", beyond 10 s"),
        ("10:", ", below 10 s"),
        ("~:10", ", beyond 10 s"),
        ("10:20", ", outside 10 to 20 s"),
        ("@10:20", ", inside 10 to 20 s"),
        ("@10", ", at most 10 s"),
        ("@10:", ", at least 10 s"),
    ],
)
def test_descriptions(text: str, description: str) -> None:
    """A value that alerts is described in words."""
    assert parse_range(text).describe_alert() == description


def test_names() -> None:
    """A range without a name applies to both response times."""
    assert parse_threshold("2") == {"tcp": Range(0, 2), "udp": Range(0, 2)}
    assert parse_threshold("offset=24h") == {"offset": Range(0, 86400)}
    with pytest.raises(ValueError, match="one of tcp, udp, offset"):
        parse_threshold("rtt=1")


@given(RANGES, RANGES)
def test_hidden(warning: Range, critical: Range) -> None:
    """A warning is hidden if each value that alerts is critical, and not only those are."""
    values = [each / 4 for each in range(40)]
    warned = {each for each in values if warning.alerts(each)}
    found = {each for each in values if critical.alerts(each)}
    assert is_hidden(warning, critical) == (bool(warned) and warned < found)
