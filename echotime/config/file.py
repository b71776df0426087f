"""Read the configuration file: a section `[echotime]` with options, named as on the command line without dashes.

The format is that of configparser (standard library) without interpolation. Further values of a repeatable option
follow on indented lines, and a switch is on or off. configparser itself is not used, because it reads a file in one
call. A long access list would block the reactor, and a file of many wrong lines takes configparser quadratic time.
"""

from __future__ import annotations

import configparser
import io
import re
from collections.abc import Generator
from pathlib import Path

SECTION = "echotime"
_MAX_SIZE = 2**20
_BOOLEAN_STATES = configparser.ConfigParser.BOOLEAN_STATES
_SECTION_HEADER = re.compile(r"\[(.+)\]")


class ConfigFileError(Exception):
    """Raised for a file that cannot be read or parsed."""


def read(path: str) -> Generator[None, None, dict[str, list[str]]]:
    """Return the values of each option, in the order of the file. Yield at each line.

    Raises ConfigFileError for the first faulty line.
    """
    found: dict[str, list[str]] | None = None
    values: list[str] | None = None
    """Values of the last option. None directly below the section's header."""
    indent = 0
    for number, line in enumerate(io.StringIO(_read_text(path)), 1):
        yield
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        line_indent = len(line) - len(line.lstrip())
        if values is not None and line_indent > indent:
            values.append(text)
            continue
        indent = line_indent
        try:
            if header := _SECTION_HEADER.match(text):
                found, values = _parse_section(header[1], found), None
            else:
                values = _parse_option(text, found)
        except ValueError as fault:
            raise ConfigFileError(f"{path}, line {number}: {fault}") from None
    if found is None:
        # an empty file is more likely truncated than meant to be empty
        raise ConfigFileError(f"{path}: no section; expected [{SECTION}] and options below it")
    return found


def _parse_section(name: str, previous: dict[str, list[str]] | None) -> dict[str, list[str]]:
    """Return the dictionary for the options of the section. Raises ValueError."""
    if name != SECTION:
        raise ValueError(f"unknown section [{name}]; expected [{SECTION}]")
    if previous is not None:
        raise ValueError(f"[{name}] is repeated; expected one section")
    return {}


def _parse_option(text: str, found: dict[str, list[str]] | None) -> list[str]:
    """Add the option of a line to `found`, and return its values. Raises ValueError."""
    if found is None:
        raise ValueError(f"expected [{SECTION}] before the first option")
    name, equals, value = (each.strip() for each in text.partition("="))
    if not (name and equals):
        raise ValueError(f"'{text}' is not an option; expected NAME = VALUE")
    if name in found:
        raise ValueError(f"{name} is repeated; expected further values on indented lines below the first")
    values = found[name] = [value] if value else []
    return values


def boolean(text: str) -> bool:
    """Parse ``on`` or ``off``, ``yes`` or ``no``, ``true`` or ``false``, ``1`` or ``0``. Raises ValueError."""
    if text.lower() not in _BOOLEAN_STATES:
        raise ValueError(f"'{text}' is not a switch; expected on or off")
    return _BOOLEAN_STATES[text.lower()]


def _read_text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_MAX_SIZE + 1)
    except OSError as error:
        raise ConfigFileError(f"{path}: {error.strerror}") from None
    if len(raw) > _MAX_SIZE:
        raise ConfigFileError(f"{path}: the file is larger than {_MAX_SIZE} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigFileError(f"{path}, line {line}: not UTF-8") from None
