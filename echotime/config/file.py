"""The options in a file: `[echotime]`, and then the names of the command line, without their dashes.

The form is that of configparser (standard library) without interpolation: what may be given several times stands
on lines of its own, and a switch is on or off. It is read here line by line, as configparser reads a file in one go:
a long access list would hold up the reactor, and a file of many wrong lines takes configparser quadratic time.
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
    """What is wrong with the file."""


def read(path: str) -> Generator[None, None, dict[str, list[str]]]:
    """Return the values of each option, in the order of the file; yield at each line.

    Raises ConfigFileError for the first line that is wrong.
    """
    found: dict[str, list[str]] | None = None
    values: list[str] | None = None
    """Those of the last option; None right below the section's header."""
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
        # an empty file is one that was not written whole, more than one that means nothing
        raise ConfigFileError(f"{path}: expected [{SECTION}], and options below it")
    return found


def _parse_section(name: str, previous: dict[str, list[str]] | None) -> dict[str, list[str]]:
    """Return where to put the options of the section. Raises ValueError."""
    if name != SECTION:
        raise ValueError(f"[{name}] is no section; expected [{SECTION}]")
    if previous is not None:
        raise ValueError(f"[{name}] was there before")
    return {}


def _parse_option(text: str, found: dict[str, list[str]] | None) -> list[str]:
    """Put the option of a line into `found`; return its values. Raises ValueError."""
    if found is None:
        raise ValueError(f"expected [{SECTION}] before the first option")
    name, equals, value = (each.strip() for each in text.partition("="))
    if not (name and equals):
        raise ValueError(f"'{text}' is not understood; expected NAME = VALUE")
    if name in found:
        raise ValueError(f"{name} was given before; expected one, or several lines below it")
    values = found[name] = [value] if value else []
    return values


def boolean(text: str) -> bool:
    """``on`` or ``off``, ``yes`` or ``no``, ``true`` or ``false``, ``1`` or ``0``."""
    if text.lower() not in _BOOLEAN_STATES:
        raise ValueError(f"'{text}' is no switch; expected on or off")
    return _BOOLEAN_STATES[text.lower()]


def _read_text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_MAX_SIZE + 1)
    except OSError as error:
        raise ConfigFileError(f"{path}: {error.strerror}") from None
    if len(raw) > _MAX_SIZE:
        raise ConfigFileError(f"{path}: it is larger than {_MAX_SIZE} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigFileError(f"{path}, line {line}: it is not UTF-8") from None
