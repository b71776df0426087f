"""Test wire/exposition.py, and read what it writes with the parsers of prometheus_client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from echotime.wire.escape import sanitize
from echotime.wire.exposition import Family, Format, Kind, choose_format, format_metrics

PARSERS = {Format.PROMETHEUS: parse_prometheus, Format.OPENMETRICS: parse_openmetrics}


def families() -> list[Family]:
    """Return a gauge, a counter with labels, and a family without samples."""
    return [
        Family("a_seconds", 'Quotes ", backslash \\ and\nline feed.').add(0.25),
        Family("b", "Second.", Kind.COUNTER).add(2**60 + 1, x="one").add(0, x="two"),
        Family("c", "Third."),
    ]


def test_text() -> None:
    """Help and type precede the samples of a family; a number keeps all of its digits."""
    assert format_metrics(families()).splitlines() == [
        '# HELP a_seconds Quotes ", backslash \\\\ and\\nline feed.',
        "# TYPE a_seconds gauge",
        "a_seconds 0.25",
        "# HELP b_total Second.",
        "# TYPE b_total counter",
        'b_total{x="one"} 1152921504606846977',
        'b_total{x="two"} 0',
    ]


def test_openmetrics() -> None:
    """In OpenMetrics a counter's family has no suffix, and the text has an end."""
    lines = format_metrics(families(), Format.OPENMETRICS).splitlines()
    assert lines[0] == '# HELP a_seconds Quotes \\", backslash \\\\ and\\nline feed.'
    assert lines[3:6] == ["# HELP b Second.", "# TYPE b counter", 'b_total{x="one"} 1152921504606846977']
    assert lines[-1] == "# EOF"


@given(st.sampled_from(Format), st.text(), st.floats() | st.integers(0, 2**64))
def test_parsers(how: Format, value: str, number: float) -> None:
    """The parsers of prometheus_client read back every label and number."""
    text = format_metrics([Family("a", value).add(number, x=value)], how)
    ((sample,),) = [each.samples for each in PARSERS[how](text)]
    assert sample.labels == {"x": "\n".join(map(sanitize, value.split("\n")))}
    assert repr(float(sample.value)) == repr(float(number))


def test_choice() -> None:
    """OpenMetrics is for those who ask for it, such as Prometheus 2.42 with this header."""
    accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    accept += "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    assert choose_format(accept) is Format.OPENMETRICS
    assert {choose_format(each) for each in ("", "*/*", "text/html", "text/plain;version=0.0.4")} == {Format.PROMETHEUS}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/openmetrics-text", Format.OPENMETRICS),
        ("Application/OpenMetrics-Text ; Version=1.0.0 ; Q=0.5 , text/plain;q=0.5", Format.OPENMETRICS),
        ("application/openmetrics-text;q=0.001, */*;q=0", Format.OPENMETRICS),
        ("application/openmetrics-text;q=0", Format.PROMETHEUS),
        ("application/openmetrics-text;q=0.000, text/html", Format.PROMETHEUS),
        ("text/plain;q=0.6, application/openmetrics-text;q=0.5", Format.PROMETHEUS),
        ("application/openmetrics-text;q=0.5, text/*", Format.PROMETHEUS),
        ("application/openmetrics-text;q=0.5, text/plain;q=0.1, */*", Format.OPENMETRICS),
        ("application/openmetrics-text;q=0.1, application/openmetrics-text, text/plain;q=0.5", Format.OPENMETRICS),
        ("application/openmetrics-text;q=nan", Format.PROMETHEUS),
        ("application/openmetrics-texture", Format.PROMETHEUS),
        (",;,q=,;q=1", Format.PROMETHEUS),
    ],
)
def test_choice_by_quality(accept: str, expected: Format) -> None:
    """The format with the higher quality is chosen, OpenMetrics if they are equal, and a quality of 0 excludes it."""
    assert choose_format(accept) is expected
