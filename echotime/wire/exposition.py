"""Write metrics in the text formats that Prometheus reads. No other module writes them.

https://prometheus.io/docs/instrumenting/exposition_formats/ describes version 0.0.4 of its own format, which every
version of Prometheus reads, and OpenMetrics 1.0.0, which it prefers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from echotime.wire.escape import sanitize

_OPENMETRICS = "application/openmetrics-text"
_PLAIN_TEXT = ("text/plain", "text/*", "*/*")
"""Media ranges that include the format of Prometheus, the most specific first."""
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
_TOTAL = "_total"


class Format(Enum):
    """Name a format by its content type."""

    PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = f"{_OPENMETRICS}; version=1.0.0; charset=utf-8"


class Kind(Enum):
    """Name the type of a family."""

    GAUGE = "gauge"
    COUNTER = "counter"


class Sample(NamedTuple):
    """Hold one value and the labels that tell it from other values of its family."""

    value: float
    labels: dict[str, str]

    def __str__(self) -> str:
        labels = ",".join(f'{name}="{_escape_label(value)}"' for name, value in self.labels.items())
        # str() keeps every digit, which a counter of bytes needs
        return f"{{{labels}}} {self.value}" if labels else f" {self.value}"


@dataclass
class Family:
    """Hold the samples of one name. A counter's name has no ``_total``, which the formats add."""

    name: str
    help_text: str
    kind: Kind = Kind.GAUGE
    samples: list[Sample] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> Family:
        """Add a sample, and return the family."""
        self.samples.append(Sample(value, labels))
        return self


def choose_format(accept: str) -> Format:
    """Return the format that an Accept header prefers (RFC 9110, section 12.5.1). OpenMetrics has to be named."""
    qualities: dict[str, float] = {}
    for each in accept.lower().split(","):
        media_range, *parameters = (part.strip() for part in each.split(";"))
        quality = 1.0
        for name, _, value in (one.partition("=") for one in parameters):
            if name == "q":
                quality = float(value) if _QUALITY.fullmatch(value) else 0.0
        qualities[media_range] = max(quality, qualities.get(media_range, 0.0))
    plain = next((qualities[each] for each in _PLAIN_TEXT if each in qualities), 0.0)
    openmetrics = qualities.get(_OPENMETRICS, 0.0)
    return Format.OPENMETRICS if openmetrics and openmetrics >= plain else Format.PROMETHEUS


def format_metrics(families: Iterable[Family], how: Format = Format.PROMETHEUS) -> str:
    """Return families as text. A family without samples is left out."""
    is_open = how is Format.OPENMETRICS
    lines = []
    for each in families:
        if each.samples:
            full_name = each.name + _TOTAL * (each.kind is Kind.COUNTER)
            name = each.name if is_open else full_name
            lines += [f"# HELP {name} {_escape_help(each.help_text, is_open)}", f"# TYPE {name} {each.kind.value}"]
            lines += [f"{full_name}{sample}" for sample in each.samples]
    return "\n".join([*lines, *["# EOF"] * is_open, ""])


def _escape_help(text: str, is_open: bool) -> str:
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return escaped.replace('"', r"\"") if is_open else escaped


def _escape_label(value: str) -> str:
    # the formats have an escape of their own for a line feed
    printable = "\n".join(map(sanitize, value.split("\n")))
    return printable.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
