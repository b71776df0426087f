"""The options in a file: `[echotime]`, and then the names of the command line, without their dashes.

An INI file as configparser (standard library) reads it, without interpolation: what may be given several times stands
on lines of its own, and a switch is on or off.
"""

from __future__ import annotations

import configparser
from pathlib import Path

SECTION = "echotime"
_LARGEST = 2**20
_SWITCH = configparser.ConfigParser.BOOLEAN_STATES


class BadConfig(Exception):
    """What is wrong with the file: a line for each fault."""


def read(path: str) -> dict[str, list[str]]:
    """The texts of each name, in their order. Raises BadConfig."""
    parser = configparser.ConfigParser(
        delimiters=("=",),
        comment_prefixes=("#", ";"),
        interpolation=None,
        default_section="",
        empty_lines_in_values=True,
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names are told as they are written
    text = _text(path)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise BadConfig(f"{path}{_reason(error, text)}") from None
    faults = [f"[{each}] is no section; expected [{SECTION}]" for each in parser.sections() if each != SECTION]
    if faults:
        raise BadConfig("\n".join(f"{path}: {fault}" for fault in faults))
    if not parser.has_section(SECTION):
        # an empty file is one that was not written whole, more than one that means nothing
        raise BadConfig(f"{path}: expected [{SECTION}], and options below it")
    items = parser.items(SECTION)
    return {name: [line for line in text.split("\n") if line] for name, text in items}


def switch(text: str) -> bool:
    """``on`` or ``off``, ``yes`` or ``no``, ``true`` or ``false``, ``1`` or ``0``."""
    if text.lower() not in _SWITCH:
        raise ValueError(f"'{text}' is no switch; expected on or off")
    return _SWITCH[text.lower()]


def _text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise BadConfig(f"{path}: {error.strerror}") from None
    if len(raw) > _LARGEST:
        raise BadConfig(f"{path}: it is larger than {_LARGEST} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadConfig(f"{path}, line {line}: it is not UTF-8") from None


def _reason(error: configparser.Error, text: str) -> str:
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f", line {error.lineno}: expected [{SECTION}] before the first option"
    if isinstance(error, configparser.DuplicateOptionError):
        return f", line {error.lineno}: {error.option} was given before; expected one, or several lines below it"
    if isinstance(error, configparser.DuplicateSectionError):
        return f", line {error.lineno}: [{error.section}] was there before"
    if isinstance(error, configparser.ParsingError):
        line = error.errors[0][0]
        lines = text.split("\n")
        return f", line {line}: '{lines[line - 1].strip()}' is not understood; expected NAME = VALUE"
    return f": {error.message}"
