"""Test cli/output/progress.py: the line that shows how far a tool is."""

from __future__ import annotations

import io
import sys

import pytest
from twisted.internet.task import Clock

from echotime.cli.output.progress import Progress, format_size


class Terminal(io.StringIO):
    """Keep what is written to a terminal."""

    def isatty(self) -> bool:
        return True


def test_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line comes after two seconds, another each second, and the last one is erased."""
    terminal, clock = Terminal(), Clock()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(clock, True, lambda seconds: "x" * (5 - int(seconds)))
    clock.advance(1.9)
    assert terminal.getvalue() == ""
    clock.pump([0.1, 1])
    assert terminal.getvalue() == "\rxxx\rxx "
    progress.erase()
    assert terminal.getvalue().endswith("\r  \r")
    clock.advance(1)
    progress.stop()
    progress.stop()
    assert terminal.getvalue().endswith("\rx\r \r")
    assert clock.getDelayedCalls() == []


def test_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long line is cut to the width of the terminal, and control characters are escaped."""
    terminal, clock = Terminal(), Clock()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "10")
    Progress(clock, True, lambda seconds: "\x1b" + "值" * 20)
    clock.advance(2)
    assert terminal.getvalue() == "\r\\x1b值值"


@pytest.mark.parametrize(("stream", "enabled"), [(io.StringIO, True), (Terminal, False)])
def test_silent(monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], enabled: bool) -> None:
    """Nothing is shown in a pipe, or if the progress is not wanted."""
    clock, written = Clock(), stream()
    monkeypatch.setattr(sys, "stderr", written)
    Progress(clock, enabled, str).stop()
    assert clock.getDelayedCalls() == []
    assert written.getvalue() == ""


def test_sizes() -> None:
    """A size has one digit after the point, in the largest unit that fits."""
    sizes = {
        0: "0 bytes",
        1023: "1023 bytes",
        1024: "1.0 KiB",
        12_900_000: "12.3 MiB",
        2**30: "1.0 GiB",
        2**52: "4096.0 TiB",
    }
    assert {size: format_size(size) for size in sizes} == sizes
