"""Read the configuration file: a section `[echotime]` with options, named as on the command line without dashes.

The format is that of configparser (standard library) without interpolation. Further values of a repeatable option
follow on indented lines, and a switch is on or off. Text that configparser would read as something other than it looks
is a fault: an indented line below any other option, a comment or quotes in a value, and text after the header.

configparser itself is not used, because it reads a file in one call. A long access list would block the reactor, and a
file of many wrong lines takes configparser quadratic time.
"""

from __future__ import annotations

import configparser
import io
import os
import re
import stat
from collections.abc import Container, Generator

SECTION = "echotime"
_MAX_SIZE = 2**20
_BOOLEAN_STATES = configparser.ConfigParser.BOOLEAN_STATES
_SECTION_HEADER = re.compile(r"\[(.+)\]")
_COMMENT = re.compile(r"(?:^|\s)([#;])")
_QUOTES = "\"'"
_FILE_TYPES = {stat.S_IFIFO: "a FIFO or pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class ConfigFileError(Exception):
    """Raised for a file that cannot be read or parsed."""


class FileText(str):
    """Hold a name or a value of the file, with the number of its line."""

    __slots__ = ("line",)
    line: int

    def __new__(cls, text: str, line: int) -> FileText:
        made = super().__new__(cls, text)
        made.line = line
        return made


_Options = dict[FileText, list[FileText]]


def read(path: str, single: Container[str] = ()) -> Generator[None, None, _Options]:
    """Return the values of each option, in the order of the file. Yield at each line.

    `single` has the names of options that take one value. Raises ConfigFileError for the first faulty line.
    """
    found: _Options | None = None
    values: list[FileText] | None = None
    """Values of the last option. None directly below the section's header."""
    name = ""
    indent = 0
    for number, line in enumerate(io.StringIO(_read_text(path)), 1):
        yield
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        line_indent = len(line) - len(line.lstrip())
        try:
            if values is not None and line_indent > indent:
                if name in single:
                    raise ValueError(
                        f"'{text}' is indented, and {name} takes one value; begin an option as far left as {name}"
                    )
                values.append(FileText(text, number))
                continue
            indent = line_indent
            if text[0] == "[":
                found, values = _parse_section(text, found), None
            else:
                name, values = _parse_option(text, number, found)
        except ValueError as fault:
            raise ConfigFileError(f"{path}, line {number}: {fault}") from None
    if found is None:
        # an empty file is more likely truncated than meant to be empty
        raise ConfigFileError(f"{path}: no section; expected [{SECTION}] and options below it")
    return found


def _parse_section(text: str, previous: _Options | None) -> _Options:
    """Return the dictionary for the options of the section. Raises ValueError."""
    header = _SECTION_HEADER.fullmatch(text)
    if header is None or header[1] != SECTION:
        raise ValueError(f"unknown section {text}; expected [{SECTION}]")
    if previous is not None:
        raise ValueError(f"{text} is repeated; expected one section")
    return {}


def _parse_option(text: str, number: int, found: _Options | None) -> tuple[str, list[FileText]]:
    """Add the option of a line to `found`, and return its name and values. Raises ValueError."""
    if found is None:
        raise ValueError(f"expected [{SECTION}] before the first option")
    name, equals, value = (each.strip() for each in text.partition("="))
    if not (name and equals):
        raise ValueError(f"'{text}' is not an option; expected NAME = VALUE")
    if name in found:
        raise ValueError(f"{name} is repeated; expected further values on indented lines below the first")
    values = [FileText(value, number)] if value else []
    found[FileText(name, number)] = values
    return name, values


def check_value(value: str, *, escapes: bool) -> None:
    """Raise ValueError for what looks like a comment or quotes, and would be part of the value.

    `escapes` is True for an option whose value may have escapes.
    """
    if found := _COMMENT.search(value):
        mark, reason = found[1], "a comment must be on a line of its own"
    elif len(value) > 1 and value[0] == value[-1] and value[0] in _QUOTES:
        mark, reason = value[0], "quotes are not removed from a value; omit them"
    else:
        return
    raise ValueError(f"{reason}, or write {mark} as \\x{ord(mark):02x}" if escapes else reason)


def boolean(text: str) -> bool:
    """Parse ``on`` or ``off``, ``yes`` or ``no``, ``true`` or ``false``, ``1`` or ``0``. Raises ValueError."""
    if text.lower() not in _BOOLEAN_STATES:
        raise ValueError(f"'{text}' is not a switch; expected on or off")
    return _BOOLEAN_STATES[text.lower()]


def _read_text(path: str) -> str:
    raw = _read_bytes(path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigFileError(f"{path}, line {line}: not UTF-8") from None


def _read_bytes(path: str) -> bytes:
    """Return the content of a regular file. Other files are not read, because reading them may block the reactor."""
    try:
        with open(path, "rb", opener=_open_nonblocking) as file:
            if not stat.S_ISREG(mode := os.fstat(file.fileno()).st_mode):
                found = _FILE_TYPES.get(stat.S_IFMT(mode), "a special file")
                raise ConfigFileError(f"--config {path}: found {found}; expected a regular file")
            raw = file.read(_MAX_SIZE + 1)
    except OSError as error:
        raise ConfigFileError(f"--config {path}: {error.strerror}") from None
    if len(raw) > _MAX_SIZE:
        raise ConfigFileError(f"--config {path}: the file is larger than {_MAX_SIZE} bytes")
    return raw


def _open_nonblocking(path: str, flags: int) -> int:
    # without O_NONBLOCK, open(2) of a FIFO waits until another process opens it for writing
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
