"""Convert option values between text and the bytes of setsockopt and getsockopt: numbers.

Values that the kernel takes as structures or strings are in structures.py.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from gettext import gettext as _
from typing import Protocol

Value = int | str

_INT_SIZE = 4
_LONG_SIZE = 8

_INTEGER = re.compile(r"(-?)(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})([A-Za-z]*)")
_ON = frozenset({"on", "yes", "true", "1"})
_OFF = frozenset({"off", "no", "false", "0"})
MICROSECONDS: Mapping[str, float] = {
    "": 1,
    "us": 1,
    "ms": 1000,
    "s": 1_000_000,
    "m": 60_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
}
"""Microseconds in each unit of time."""
_UNITS: Mapping[str, Mapping[str, float]] = {
    "": {"": 1},
    "bytes": {"": 1, "K": 2**10, "M": 2**20, "G": 2**30},
    "seconds": {"": 1, "us": 1e-6, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600},
    "milliseconds": {"": 1, "us": 0.001, "ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000},
    "microseconds": MICROSECONDS,
}


def N_(message: str) -> str:  # noqa: N802 - gettext's customary name for it
    """Return `message`; mark it for translation at the place of use."""
    return message


_RANGES = {
    "": N_("{low} to {high}"),
    "bytes": N_("{low} to {high} bytes, as in 65536 or 64K"),
    "seconds": N_("{low} to {high} seconds, as in 10s or 2m"),
    "milliseconds": N_("{low} to {high} milliseconds, as in 500ms or 10s"),
    "microseconds": N_("{low} to {high} microseconds, as in 20000 or 20ms"),
}


def parse_error(template: str, text: str, value_type: ValueType) -> ValueError:
    """Return the error that parse raises for `text`."""
    return ValueError(_(template).format(text=text, expected=_(value_type.expected)))


class ValueType(Protocol):
    """Convert the values of one kind."""

    @property
    def expected(self) -> str:
        """The values that parse accepts, for error messages and for the documentation."""

    @property
    def size(self) -> int:
        """The buffer size for getsockopt, in bytes."""

    def parse(self, text: str) -> Value:
        """Return the value that `text` names. Raises ValueError; its message ends with what was expected."""

    def pack(self, value: Value) -> bytes:
        """Return the bytes for setsockopt."""

    def unpack(self, raw: bytes) -> Value:
        """Return the value of the bytes from getsockopt."""

    def show(self, value: Value) -> str:
        """Return the value as text that parse accepts."""


class _CInt:
    """Convert a value to and from a C int."""

    def pack(self, value: Value) -> bytes:
        return struct.pack("=i", value)

    def unpack(self, raw: bytes) -> Value:
        return int(struct.unpack("=i", raw)[0])


@dataclass(frozen=True)
class Flag(_CInt):
    """Convert a C int that is a boolean."""

    expected: str = N_("on or off")
    size: int = 4

    def parse(self, text: str) -> Value:
        if text.lower() in _ON:
            return 1
        if text.lower() in _OFF:
            return 0
        raise parse_error(N_("'{text}' is not a switch; expected {expected}"), text, self)

    def unpack(self, raw: bytes) -> Value:
        return int(any(raw))  # some flags come back as one byte

    def show(self, value: Value) -> str:
        return "on" if value else "off"


@dataclass(frozen=True)
class Integer:
    """Convert a C integer within a range, with a unit and names for some values. One of 8 bytes is unsigned."""

    low: int
    high: int
    unit: str = ""
    names: Mapping[str, int] = field(default_factory=dict, hash=False)
    size: int = _INT_SIZE
    signed: bool = True

    @property
    def expected(self) -> str:
        text = _(_RANGES[self.unit]).format(low=self.low, high=self.high)
        names = _(", ").join(self.names)
        return _("{range}, or a name: {names}").format(range=text, names=names) if names else text

    def parse(self, text: str) -> Value:
        for name, value in self.names.items():
            if text.lower() == name.lower():
                return value
        found = _INTEGER.fullmatch(text)
        factor = _unit_factor(found[3], self.unit) if found else None
        if found is None or factor is None:
            raise parse_error(N_("'{text}' is not understood; expected {expected}"), text, self)
        value = int(found[1] + found[2], 0 if found[2][:2] in {"0x", "0X"} else 10)
        scaled = round(value * factor, 6)
        if scaled != int(scaled) or not self.low <= scaled <= self.high:
            raise parse_error(N_("'{text}' is out of range; expected {expected}"), text, self)
        return int(scaled)

    def pack(self, value: Value) -> bytes:
        # of 4 bytes: values above 2**31-1 keep their 32 bits
        return struct.pack("=Q", value) if self.size == _LONG_SIZE else struct.pack("=I", int(value) & 0xFFFFFFFF)

    def unpack(self, raw: bytes) -> Value:
        # some options return an unsigned byte
        return int.from_bytes(raw, sys.byteorder, signed=self.signed and len(raw) == _INT_SIZE)

    def show(self, value: Value) -> str:
        # a number outside the range has a meaning of its own, and so a name
        outside = not self.low <= int(value) <= self.high
        return next((name for name, known in self.names.items() if known == value and outside), str(value))


@dataclass(frozen=True)
class Choice(_CInt):
    """Convert a C int whose few values have names."""

    names: Mapping[str, int] = field(hash=False)
    size: int = _INT_SIZE

    @property
    def expected(self) -> str:
        return _("one of {names}").format(names=_(", ").join(self.names))

    def parse(self, text: str) -> Value:
        for name, value in self.names.items():
            if text.lower() in {name, str(value)}:
                return value
        raise parse_error(N_("'{text}' is not understood; expected {expected}"), text, self)

    def show(self, value: Value) -> str:
        return next((name for name, known in self.names.items() if known == value), str(value))


def _unit_factor(suffix: str, unit: str) -> float | None:
    units = _UNITS[unit]
    return units.get(suffix, units.get(suffix.upper()))


@dataclass(frozen=True)
class RawValue:
    """Convert the value of an option given by number: a C int, or bytes as ``hex:``."""

    expected: str = N_("a number, on, off, a size such as 64K, or bytes such as hex:01000000")
    size: int = 256
    _integer: Integer = Integer(-(2**31), 2**32 - 1, "bytes", {"on": 1, "off": 0})

    def parse(self, text: str) -> Value:
        kind, colon, digits = text.partition(":")
        try:
            if colon and kind.lower() == "hex":
                return bytes.fromhex(digits).hex()
            return self._integer.parse(text)
        except ValueError:
            raise parse_error(N_("'{text}' is not understood; expected {expected}"), text, self) from None

    def pack(self, value: Value) -> bytes:
        return bytes.fromhex(value) if isinstance(value, str) else self._integer.pack(value)

    def unpack(self, raw: bytes) -> Value:
        return int(struct.unpack("=i", raw)[0]) if len(raw) == _INT_SIZE else raw.hex()

    def show(self, value: Value) -> str:
        return f"hex:{value}" if isinstance(value, str) else str(value)
