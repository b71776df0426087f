"""Test config/file.py against configparser; tests/integration/test_config.py has the rest."""

from __future__ import annotations

import configparser
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from echotime.config.file import ConfigFileError, read
from tests.support.call_count import calls

_Result = TypeVar("_Result")


def finish(steps: Generator[None, None, _Result]) -> _Result:
    """Run all steps of a generator and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            found: _Result = ended.value
            return found


def parsed(text: str) -> dict[str, list[str]] | None:
    """Parse a file; return None if it has a fault."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(text.encode())
        try:
            return finish(read(str(path)))
        except ConfigFileError:
            return None


def as_configparser(text: str) -> dict[str, list[str]] | None:
    """Parse the same text with configparser."""
    parser = configparser.ConfigParser(
        delimiters=("=",), comment_prefixes=("#", ";"), interpolation=None, default_section=""
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except configparser.Error:
        return None
    if parser.sections() != ["echotime"]:
        return None
    return {name: [line for line in value.split("\n") if line] for name, value in parser.items("echotime")}


PARTS = st.sampled_from(
    [
        "[echotime]",
        "[other]",
        "[",
        "]",
        "a",
        "b",
        "=",
        " = ",
        " ",
        "  ",
        "\t",
        "\n",
        "\n ",
        "\n  ",
        "\r",
        "\x0b",
        "#",
        ";",
        "é",
    ]
)


@given(st.lists(PARTS, max_size=25).map("".join), st.booleans())
@example("\n a=1\n  2\n 3=\n\n  4\n#\n  5\n", True)
@example("a=1\n[echotime]\n", True)
def test_as_configparser(text: str, headed: bool) -> None:
    """A file has the meaning that configparser gives it, or a fault where configparser finds one."""
    text = "[echotime]\n" * headed + text
    assert parsed(text) == as_configparser(text)


@pytest.mark.parametrize("line", ["    192.0.2.1\n", "x\n", "[x]\n", "\n", "# x\n"])
def test_cost(line: str, tmp_path: Path) -> None:
    """Reading takes time in proportion to the length of the file, whether it has faults or not."""

    def work(lines: int) -> int:
        path = tmp_path / "file"
        path.write_text("[echotime]\nallow =\n" + line * lines, encoding="ascii")

        def act() -> None:
            with suppress(ConfigFileError):
                finish(read(str(path)))

        return calls(act)

    assert work(2000) < 3 * work(1000)


def test_steps(tmp_path: Path) -> None:
    """Reading yields once per line."""
    path = tmp_path / "file"
    path.write_text("[echotime]\nallow =\n" + "    192.0.2.1\n" * 1000, encoding="ascii")
    assert sum(1 for _ in read(str(path))) == 1002
