"""Test the sample that tests/mutants.py draws, and its table."""

from __future__ import annotations

import json
from pathlib import Path

from tests.mutants import Mutants, draw, read, table

MUTANTS: Mutants = {
    "large": {f"large.{number}": None for number in range(90)},
    "small": {f"small.{number}": None for number in range(10)},
    "empty": {},
}


def test_read(tmp_path: Path) -> None:
    """Mutants are those of all modules of a package, with their exit codes."""
    for name, codes in (("wire/a", {"a.1": 0}), ("wire/b", {"b.1": None, "b.2": 1}), ("net/deep/c", {"c.1": 33})):
        path = tmp_path / f"{name}.py.meta"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"exit_code_by_key": codes, "durations_by_key": {}}), encoding="utf-8")
    assert read(tmp_path) == {"wire": {"a.1": 0, "b.1": None, "b.2": 1}, "net": {"c.1": 33}}


def test_draw() -> None:
    """Each package has its share, at least one mutant, and each mutant is drawn once."""
    drawn = draw(MUTANTS, 20, 1)
    assert {package: len(names) for package, names in drawn.items()} == {"large": 18, "small": 2}
    assert all(len({*names}) == len(names) and {*names} <= {*MUTANTS[package]} for package, names in drawn.items())
    assert len(draw(MUTANTS, 1, 1)["small"]) == 1
    assert sum(map(len, draw(MUTANTS, 10_000, 1).values())) == 100


def test_seed() -> None:
    """The same seed draws the same sample, whatever was run before; another seed draws another one."""
    run: Mutants = {package: dict.fromkeys(reversed(codes), 1) for package, codes in MUTANTS.items()}
    assert draw(MUTANTS, 20, 1) == draw(run, 20, 1)
    assert draw(MUTANTS, 20, 1) != draw(MUTANTS, 20, 2)


def test_table() -> None:
    """Mutants that survived or have no test were missed; those that failed, hung or crashed were noticed."""
    codes: Mutants = {"net": {"a": 0, "b": 1, "c": -24, "d": -11, "e": 0}, "wire": {"f": 33, "g": 36}}
    drawn = {"net": ["a", "b", "c", "d"], "wire": ["f", "g"]}
    lines = table(drawn, codes).splitlines()
    assert [line.split() for line in lines] == [["net", "3/4", "75%"], ["wire", "1/2", "50%"], ["total", "4/6", "67%"]]
