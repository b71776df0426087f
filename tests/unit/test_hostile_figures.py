"""Test tests/hostile/figures.py and both programs: judgment, output, exit status."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator

import pytest

from tests.hostile import attack, soak
from tests.hostile.daemons import Daemons
from tests.hostile.figures import HEADER, Figure, Result, exactly, markdown, plain, yes
from tests.hostile.network import CannotMake


@pytest.mark.parametrize(
    ("figure", "met", "measured", "target"),
    [
        (Figure("", 3, "MB", most=4), True, "3 MB", "at most 4 MB"),
        (Figure("", 4.001, "MB", most=4), False, "4 MB", "at most 4 MB"),
        (Figure("", 70, least=71), False, "70", "at least 71"),
        (Figure("", 12_345), True, "12,345", ""),
        (Figure("", math.inf, "ms", most=50), False, "never", "at most 50 ms"),
        (Figure("", math.nan, "ms", most=50), False, "unknown", "at most 50 ms"),
        (exactly("", 4, 5), False, "4", "5"),
        (exactly("", 5, 5, "%"), True, "5 %", "5 %"),
        (yes("", True), True, "yes", "yes"),
        (yes("", False), False, "no", "yes"),
        (Figure("", 0.01234, "s"), True, "0.0123 s", ""),
    ],
)
def test_figures(figure: Figure, met: bool, measured: str, target: str) -> None:
    """Figures are judged exactly, and shown with three digits."""
    assert (figure.met, figure.measured, figure.target) == (met, measured, target)


RESULTS = [
    Result("1 One", [Figure("a|b", 1, most=0), Figure("shown", 2)], others="2 elsewhere"),
    Result("2 Two", not_measured="no root"),
    Result("3 Three", failure="it broke"),
]


def test_results() -> None:
    """A missed target and a failure count; a figure that was not measured does not."""
    assert [each.met for each in RESULTS] == [False, True, False]


def test_tables() -> None:
    """Both tables have the same rows, and the plain one is aligned."""
    lines = markdown(RESULTS).splitlines()
    assert lines[0] == "| " + " | ".join([*HEADER, "others"]) + " |"
    assert lines[2] == "| 1 One | a\\|b | 1 | at most 0 | NO | 2 elsewhere |"
    assert lines[3] == "|  | shown | 2 |  |  |  |"
    assert lines[4:] == [
        "| 2 Two | not measured: no root |  |  |  |  |",
        "| 3 Three | failed: it broke |  |  | NO |  |",
    ]
    assert plain(RESULTS).splitlines()[1:3] == [
        "1 One    a|b                    1         at most 0  NO",
        "         shown                  2",
    ]


def carried_out(*figures: Figure, failing: Exception | None = None) -> Result:
    """Run an attack that has these figures."""

    def tried(daemons: Daemons) -> Iterator[Figure]:
        """Tried: an attack for this test."""
        yield from figures
        if failing is not None:
            raise failing

    return attack.carried_out(attack.threat("9", tried), tried, Daemons())


def test_carried_out() -> None:
    """Figures measured before a failure are kept."""
    assert carried_out(yes("a", True)).met
    assert carried_out(yes("a", True)).threat == "9 Tried"
    broken = carried_out(yes("a", True), failing=ValueError("no"))
    assert (len(broken.figures), broken.failure, broken.met) == (1, "ValueError: no", False)
    assert carried_out(failing=CannotMake("no ip")).not_measured == "no ip"


def test_exit_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit status is 1 if a target was missed."""

    def missed(daemons: Daemons) -> Iterator[Figure]:
        """Missed: an attack for this test."""
        yield exactly("a", 1, 0)

    def met(daemons: Daemons) -> Iterator[Figure]:
        """Met: an attack for this test."""
        yield exactly("a", 0, 0)

    cpus = os.sched_getaffinity(0)
    monkeypatch.setattr(attack, "ATTACKS", (("1", missed, ""), ("2", met, "")))
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, to: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    assert [attack.main(arguments) for arguments in ([], ["--only", "2"], ["--list"])] == [1, 0, 0]
    assert "1 Missed" in capsys.readouterr().out
    assert os.sched_getaffinity(0) == cpus


def test_every_attack_names_its_threat() -> None:
    """Every attack's docstring begins with a unique name and a colon."""
    names = [attack.threat(number, each) for number, each, _ in attack.ATTACKS]
    assert all(":" in (each.__doc__ or "") for _, each, _ in attack.ATTACKS)
    assert len({*names}) == len(names)


@pytest.mark.parametrize("arguments", [["4"], ["-1"], ["nan"], ["x"]])
def test_soak_usage(arguments: list[str]) -> None:
    """A missing or too short time is a usage error."""
    with pytest.raises(SystemExit, match="2"):
        soak.main(arguments)
