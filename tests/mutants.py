"""Print which of a random sample of small faults the unit tests miss: `python -m tests.mutants --number 100 --seed 1`.

The tool mutmut makes the faults, called mutants, in a copy of the tree below mutants/. setup.cfg names the packages.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
MADE = ROOT / "mutants" / "echotime"
SMALL_MODULE = "echotime.wire.timestamp.*"
"""Mutants to begin with: mutmut writes the names of all mutants only when it runs some."""
MISSED = {0, 5, 33}
"""Exit codes of a mutant that the tests did not notice: they passed, or there are none."""
UNKNOWN = {None, 2, 35}
"""Exit codes of a mutant that was not run, or not to its end."""
Mutants = dict[str, dict[str, int | None]]
"""By package, the exit code of each mutant, as pytest and mutmut number them."""


def read(folder: Path) -> Mutants:
    """Return the mutants that mutmut has made in a folder."""
    found: Mutants = defaultdict(dict)
    for path in sorted(folder.rglob("*.py.meta")):
        found[path.relative_to(folder).parts[0]].update(json.loads(path.read_text("utf-8"))["exit_code_by_key"])
    return found


def draw(mutants: Mutants, number: int, seed: int) -> dict[str, list[str]]:
    """Return about `number` mutants, by package in proportion to its mutants, at least one of each."""
    chance, total = random.Random(seed), sum(map(len, mutants.values()))
    return {
        package: sorted(chance.sample(sorted(codes), min(len(codes), max(1, round(number * len(codes) / total)))))
        for package, codes in sorted(mutants.items())
        if codes
    }


def table(drawn: dict[str, list[str]], mutants: Mutants) -> str:
    """Return how many mutants of each package the tests noticed."""
    rows = [(each, [mutants[each][name] not in MISSED for name in names]) for each, names in drawn.items()]
    rows.append(("total", [noticed for _package, all_noticed in rows for noticed in all_noticed]))
    return "".join(
        f"{each:10} {sum(noticed):4}/{len(noticed):<4} {sum(noticed) / len(noticed):4.0%}\n" for each, noticed in rows
    )


def mutmut(*arguments: str) -> str:
    """Return the output of mutmut, which exits with an error if the tests fail without a mutant."""
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout[-5000:]}\nmutmut failed: do the unit tests pass? `rm -r mutants` makes it begin anew")
    return done.stdout


def main() -> None:
    """Draw a sample, run it, and print the mutants that were not noticed, and the numbers."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--number", type=int, default=100, help="mutants to draw (default: 100)")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of the random sample")
    options = parser.parse_args()
    mutmut("run", "--max-children", "1", SMALL_MODULE)
    drawn = draw(read(MADE), options.number, options.seed)
    names = [name for package in drawn.values() for name in package]
    print(f"{len(names)} mutants, seed {options.seed}", flush=True)
    mutmut("run", "--max-children", "1", *names)
    mutants = read(MADE)
    code_of = {name: code for codes in mutants.values() for name, code in codes.items()}
    if unknown := [name for name in names if code_of[name] in UNKNOWN]:
        sys.exit(f"not run to their end: {', '.join(unknown)}")
    for name in names:
        if code_of[name] in MISSED:
            print(mutmut("show", name))
    print(table(drawn, mutants), end="")


if __name__ == "__main__":
    main()
