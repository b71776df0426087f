"""Test the rules of style that need no judgment: the docstrings of all Python code, and the shape of the documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHORTEST = 5
"""Words of a docstring; a shorter one repeats the name, and is left out."""
VAGUE = {"Whether", "Who", "What", "Those", "It", "Which", "Where", "Nobody", "Everybody", "That"}
"""First words that stand in place of a verb or of the subject."""
WIDEST = 100
LONGEST = 300
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every docstring of a module, its classes and its functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield node.body[0].lineno, text


def docstring_faults(path: Path) -> Iterator[str]:
    """Yield the faults of a module's docstrings, as FILE:LINE: FAULT."""
    for line, text in docstrings(path):
        where, words = f"{path.relative_to(ROOT)}:{line}", text.split()
        if len(words) < SHORTEST:
            yield f"{where}: fewer than {SHORTEST} words: {text!r}"
        if words and re.split(r"\W", words[0])[0] in VAGUE:
            yield f"{where}: begins with {words[0]!r}"


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a page without tables, code blocks and the targets of links."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not (fenced or line.startswith(("|", "    "))):
            yield number, re.sub(r"\]\([^)]*\)|^\[[^]]*\]: .*|<?https?://\S+", "", line)


@pytest.mark.parametrize("folder", ["echotime", "benchmarks", "tests", "docs/generate"])
def test_docstrings(folder: str) -> None:
    """A docstring has five words or more, and begins with a verb or a subject."""
    faults = [fault for path in sorted((ROOT / folder).rglob("*.py")) for fault in docstring_faults(path)]
    assert not faults, "\n".join([f"{len(faults)} docstrings:", *faults])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages(path: Path) -> None:
    """A page is at most 300 lines long, and its prose at most 100 columns wide."""
    text = path.read_text(encoding="utf-8")
    faults = [
        f"{path.relative_to(ROOT)}:{number}: {len(line)} columns, more than {WIDEST}"
        for number, line in prose(text)
        if len(line) > WIDEST
    ]
    length = text.count("\n")
    if length > LONGEST:
        faults.append(f"{path.relative_to(ROOT)}:{length}: more than {LONGEST} lines")
    assert not faults, "\n".join(faults)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(path: Path) -> None:
    """Every link to a file of the repository leads to a file, and to a heading if it names one."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        file, _hash, anchor = link.partition("#")
        target = path.parent / file if file else path
        is_page = target.suffix == ".md" and target.is_file()
        if "://" not in link and (not target.exists() or (anchor and is_page and anchor not in anchors(target))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize(
    ("docstring", "faults"),
    [
        ("Return the accept queue length.", 0),
        ("A client that half-closes still receives its reply.", 0),
        ("Its length in connections, pending ones included.", 0),
        ("Whether it is there.", 2),
        ("What's read, in the order of arrival.", 1),
        ("Return the length.", 1),
    ],
)
def test_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docstring: str, faults: int) -> None:
    """A short docstring and a vague first word are found, in a nested function, too."""
    monkeypatch.setattr("tests.unit.test_writing.ROOT", tmp_path)
    path = tmp_path / "module.py"
    path.write_text(f'class Outer:\n    def inner(self):\n        """{docstring}"""\n', encoding="utf-8")
    found = list(docstring_faults(path))
    assert len(found) == faults
    assert all(each.startswith("module.py:3: ") for each in found)
