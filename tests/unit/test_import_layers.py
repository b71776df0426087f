"""Test the layers of echotime/: a module imports from lower layers and its own package only, never in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = (
    {"wire"},
    {"sockopt", "systemd", "i18n", "terminal", "reactor", "counters", "logger"},
    {"errors", "limits", "net", "client", "demos"},
    {"services"},
    {"behave"},
    {"config", "operators", "health"},
    {"control"},
    {"web"},
    {"daemon", "cli"},
    {"tap", "testing"},
)
"""Packages and modules of echotime/, the lowest first; each imports from lower layers and from itself only."""
NEVER = {("services", "net"), ("net", "services"), ("cli", "daemon"), ("cli", "net")}
"""Imports that go down and are forbidden: protocols use transports by interface, ports are given protocols."""
STANDARD_LIBRARY_ONLY = {"wire", "sockopt", "demos"}
MODULES = sorted((ROOT / "echotime").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_of(path: Path) -> str:
    """Return the package below echotime/, or the name of a single module there."""
    return path.relative_to(ROOT / "echotime").parts[0].removesuffix(".py")


def layer_of(package: str) -> int:
    """Return the number of a package's layer, 0 for the lowest."""
    (found,) = (number for number, packages in enumerate(LAYERS) if package in packages)
    return found


def test_rules_name_packages() -> None:
    """Every package that a rule names exists, so that a renamed one does not escape the rule."""
    packages = {package_of(path) for path in MODULES} - {"__init__"}
    assert set().union(*LAYERS) == packages
    assert STANDARD_LIBRARY_ONLY.union(*NEVER) <= packages


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    """A module imports from its own package and from lower layers only."""
    here = package_of(path)
    if here == "__init__":
        assert list(imported(path)) == []
        return
    for name in imported(path):
        package, _, rest = name.partition(".")
        if package == "echotime":
            there = rest.partition(".")[0]
            if there not in {here, "__version__", ""}:
                assert layer_of(there) < layer_of(here), f"{here} imports {name}"
                assert (here, there) not in NEVER, f"{here} imports {name}"
        else:
            assert not (here in STANDARD_LIBRARY_ONLY and package in {"twisted", "zope"}), f"{here} imports {name}"


def test_no_circles() -> None:
    """The modules have an order in which each imports earlier ones only."""
    names = {str(path.relative_to(ROOT).with_suffix("")).replace("/", "."): path for path in MODULES}
    left = {}
    for name, path in names.items():
        found = [f"{each}." for each in imported(path)]
        left[name] = {each for each in names if any(one.startswith(f"{each}.") for one in found)} - {name}
    while ready := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in ready:
            del left[name]
    assert not left, f"these import each other: {sorted(left)}"


def test_plugin_imports_nothing_of_ours() -> None:
    """`twistd --help` loads the plugin, which must not load the daemon."""
    plugin = ROOT / "twisted" / "plugins" / "echotime_plugin.py"
    assert not [name for name in imported(plugin) if name.startswith("echotime")]
