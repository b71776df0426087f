"""Test that the statements of docs/security.md and docs/protocol.md name tests that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["security.md", "protocol.md"]
WITHOUT_TESTS = {"What is not defended", "Example", "Tests"}
"""Sections that promise nothing, or list the tests."""


def split(page: str) -> tuple[str, str]:
    """Return the text of a page before its section of tests, and that section."""
    text, _heading, listed = (ROOT / "docs" / page).read_text(encoding="utf-8").partition("\n## Tests\n")
    return text, listed


def rows(listed: str) -> Iterator[tuple[str, str]]:
    """Yield the statements of the table, each with its tests."""
    for line in listed.splitlines():
        if line.startswith("| ") and line != "| statement | test |":
            statement, tests = line.strip("| ").split(" | ")
            yield statement, tests


def named_tests(tests: str) -> Iterator[tuple[str, str]]:
    """Yield file and name of each test of a row."""
    for group in tests.split("; "):
        if found := re.fullmatch(r"(\w+/test_\w+\.py): (`\w+`(?:, `\w+`)*)", group):
            yield from ((found[1], name) for name in re.findall(r"`(\w+)`", found[2]))
        else:
            assert group.startswith("see ["), group


def defined(path: str) -> set[str]:
    """Return the names of the functions of a file of tests."""
    tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


@pytest.mark.parametrize("page", PAGES)
def test_named_tests_exist(page: str) -> None:
    """Each row of the table names tests of files that have them."""
    _text, listed = split(page)
    missing = {
        f"{path}: {name}"
        for _statement, tests in rows(listed)
        for path, name in named_tests(tests)
        if name not in defined(path)
    }
    assert missing == set()


@pytest.mark.parametrize("page", PAGES)
def test_each_section_is_listed(page: str) -> None:
    """The table has a row for each section that makes statements."""
    text, listed = split(page)
    sections = re.findall(r"^##+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in sections if each not in WITHOUT_TESTS}
    linked = {anchor for statement, _tests in rows(listed) for anchor in re.findall(r"\(#([^)]+)\)", statement)}
    assert linked == anchors


@pytest.mark.parametrize("page", PAGES)
def test_bold_statements_are_listed(page: str) -> None:
    """A statement that the text emphasizes at the beginning of a list item has a row."""
    text, listed = split(page)
    statements = re.findall(r"^- \*\*(.+?)\.\*\*", text, re.MULTILINE)
    assert [each for each in statements if each.lower() not in listed.lower()] == []
