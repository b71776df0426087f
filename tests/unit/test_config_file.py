"""Test config/file.py against configparser; tests/integration/test_config.py has the rest."""

from __future__ import annotations

import configparser
import os
import re
import socket
from collections.abc import Container, Generator
from contextlib import suppress
from io import StringIO
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


def parsed(text: str, single: Container[str] = ()) -> dict[str, list[str]] | None:
    """Parse a file; return None if it has a fault."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(text.encode())
        try:
            return {name: [*values] for name, values in finish(read(str(path), single)).items()}
        except ConfigFileError:
            return None


def fault(path: Path, single: Container[str] = ()) -> str:
    """Return the fault of a file."""
    with pytest.raises(ConfigFileError) as raised:
        finish(read(str(path), single))
    return str(raised.value)


def as_configparser(text: str) -> dict[str, list[str]] | None:
    """Parse the same text with configparser, but for text after a header, which configparser ignores."""
    parser = configparser.ConfigParser(
        delimiters=("=",), comment_prefixes=("#", ";"), interpolation=None, default_section=""
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.SECTCRE = re.compile(r"\[(?P<header>.+)\]$")
    try:
        parser.read_string(text)
    except configparser.Error:
        return None
    if parser.sections() != ["echotime"]:
        return None
    found = {name: [line for line in value.split("\n") if line] for name, value in parser.items("echotime")}
    return None if any(name.startswith("[") for name in found) else found


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


@given(st.lists(PARTS, max_size=25).map("".join))
@example("a = 1\n  b = 2\n")
@example("a =\n  b = 2\n")
def test_single_values(text: str) -> None:
    """An option of one value never takes a value from another line, where configparser would."""
    text = f"[echotime]\n{text}"
    found = parsed(text, {"a"})
    assert found in (None, as_configparser(text))
    own_lines = [(name.strip(), value.strip()) for name, _, value in (line.partition("=") for line in StringIO(text))]
    assert all(("a", value) in own_lines for value in (found or {}).get("a", ()))


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


def test_indented_option(tmp_path: Path) -> None:
    """An indented line below an option of one value is a fault, also below an empty value or a comment."""
    path = tmp_path / "file"
    for text in ("reply = ok\n  deny = 127.0.0.0/8\n", "reply =\n\n# x\n\tdeny = 127.0.0.0/8\n"):
        path.write_text(f"[echotime]\n{text}", encoding="ascii")
        expected = "'deny = 127.0.0.0/8' is indented, and reply takes one value; begin an option as far left as reply"
        assert fault(path, {"reply"}) == f"{path}, line {text.count(chr(10)) + 1}: {expected}"


@pytest.mark.parametrize("header", ["[echotime] deny = 127.0.0.0/8", "[echotime", "[echotime]]", "[ echotime ]"])
def test_header(tmp_path: Path, header: str) -> None:
    """A header with other text on its line is a fault."""
    path = tmp_path / "file"
    path.write_text(f"{header}\n", encoding="ascii")
    assert fault(path) == f"{path}, line 1: unknown section {header}; expected [echotime]"


def test_byte_order_mark(tmp_path: Path) -> None:
    """A byte order mark, which some editors write, is not part of the first line."""
    path = tmp_path / "file"
    path.write_text("\ufeff[echotime]\nreply = ok\n", encoding="utf-8")
    assert finish(read(str(path))) == {"reply": ["ok"]}
    path.write_bytes("\ufeff[echotime]\nreply = ".encode() + b"\xff\n")
    assert fault(path) == f"{path}, line 2: not UTF-8"


def test_other_files(tmp_path: Path) -> None:
    """Only a regular file is read: no other can block the reactor, or hold a descriptor."""
    path = tmp_path / "file"
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    os.mkfifo(path)
    assert fault(path) == f"--config {path}: found a FIFO or pipe; expected a regular file"
    path.unlink()
    path.mkdir()
    assert fault(path) == f"--config {path}: Is a directory"
    assert fault(path / "none") == f"--config {path / 'none'}: No such file or directory"
    assert fault(Path("/dev/zero")) == "--config /dev/zero: found a device; expected a regular file"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path / "socket"))
        assert fault(path / "socket") == f"--config {path / 'socket'}: No such device or address"
    large = tmp_path / "large"
    large.touch()
    os.truncate(large, 2**40)
    assert fault(large) == f"--config {large}: the file is larger than 1048576 bytes"
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
