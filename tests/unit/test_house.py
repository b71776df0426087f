"""The house: which room may import which. Imports go down only, never sideways, never in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "wire": set(),
    "sockopt": set(),
    "ports": {"sockopt"},
    "servers": {"wire"},
    "clients": {"wire", "sockopt"},
    "demonstrations": {"sockopt"},
    "streams": set(),
    "desk": {"wire", "servers", "streams"},
    "command": {"wire", "sockopt", "clients", "demonstrations", "streams", "desk", "locale"},
    "locale": set(),
    "daemon": {"wire", "sockopt", "ports", "servers", "desk", "locale"},
    "reactor": set(),
    "tap": {"wire", "sockopt", "ports", "servers", "desk", "daemon", "reactor"},
}
STANDARD_LIBRARY_ONLY = {"wire", "sockopt", "demonstrations"}
MODULES = sorted((ROOT / "echotime").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path: Path) -> str:
    """The folder below echotime/, or the name of a module that stands there by itself."""
    return path.relative_to(ROOT / "echotime").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    """A module imports from its own room and from those below it."""
    here = room(path)
    if here == "__init__":
        assert list(imported(path)) == []
        return
    for name in imported(path):
        package, _, rest = name.partition(".")
        if package == "echotime":
            there = rest.partition(".")[0]
            assert there in MAY_IMPORT[here] | {here, "__version__", ""}, f"{here} imports {name}"
        else:
            assert not (here in STANDARD_LIBRARY_ONLY and package in {"twisted", "zope"}), f"{here} imports {name}"


def test_no_circles() -> None:
    """The modules of a room can be put in an order in which each imports earlier ones only."""
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
    """`twistd --help` loads the plugin, and must not load the daemon for it."""
    plugin = ROOT / "twisted" / "plugins" / "echotime_plugin.py"
    assert not [name for name in imported(plugin) if name.startswith("echotime")]
