"""Convert option values that are structures or strings in the kernel; numbers are in values.py."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from echotime.sockopt.values import MICROSECONDS, N_, Integer, Value, parse_error

_MAX_SECONDS = 2**31 - 1
_NOT_UNDERSTOOD = N_("'{text}' is not understood; expected {expected}")


@dataclass(frozen=True)
class Linger:
    """Convert struct linger: the seconds that close may wait; -1 is ``off``."""

    expected: str = N_("off, or 0 to 2147483647 seconds")
    size: int = 8

    def parse(self, text: str) -> Value:
        if text.lower() == "off":
            return -1
        try:
            return Integer(0, _MAX_SECONDS, "seconds").parse(text)
        except ValueError:
            raise parse_error(_NOT_UNDERSTOOD, text, self) from None

    def pack(self, value: Value) -> bytes:
        return struct.pack("=ii", int(value) >= 0, max(int(value), 0))

    def unpack(self, raw: bytes) -> Value:
        onoff, seconds = struct.unpack("=ii", raw)
        return int(seconds) if onoff else -1

    def show(self, value: Value) -> str:
        return "off" if value == -1 else str(value)


@dataclass(frozen=True)
class Timeval:
    """Convert struct timeval, as a number of microseconds; 0 is no timeout."""

    expected: str = N_("a time such as 3s or 500ms, 0 for none")
    size: int = struct.calcsize("@ll")

    def parse(self, text: str) -> Value:
        found = re.fullmatch(r"([0-9]{1,10}(?:\.[0-9]{1,6})?)([a-z]*)", text)
        factor = MICROSECONDS.get(found[2] or "s") if found else None
        if found is None or factor is None:
            raise parse_error(_NOT_UNDERSTOOD, text, self)
        microseconds = round(float(found[1]) * factor, 3)
        if microseconds != int(microseconds) or microseconds > _MAX_SECONDS * 1_000_000:
            raise parse_error(_NOT_UNDERSTOOD, text, self)
        return int(microseconds)

    def pack(self, value: Value) -> bytes:
        return struct.pack("@ll", *divmod(int(value), 1_000_000))

    def unpack(self, raw: bytes) -> Value:
        seconds, microseconds = struct.unpack("@ll", raw)
        return int(seconds * 1_000_000 + microseconds)

    def show(self, value: Value) -> str:
        seconds, microseconds = divmod(int(value), 1_000_000)
        return f"{seconds}.{microseconds:06d}".rstrip("0").rstrip(".") + "s"


@dataclass(frozen=True)
class CString:
    """Convert a string that ends with NUL; the empty string is shown as ``none``."""

    expected: str
    size: int = 16

    def parse(self, text: str) -> Value:
        if len(text.encode("utf-8", "surrogateescape")) >= self.size or "\0" in text:
            raise parse_error(N_("'{text}' is too long, or not a name; expected {expected}"), text, self)
        return text

    def pack(self, value: Value) -> bytes:
        return str(value).encode("utf-8", "surrogateescape") + b"\0"

    def unpack(self, raw: bytes) -> Value:
        return raw.partition(b"\0")[0].decode("utf-8", "backslashreplace")

    def show(self, value: Value) -> str:
        return str(value) or "none"


@dataclass(frozen=True)
class InAddr:
    """Convert struct in_addr, an IPv4 address."""

    expected: str = N_("the IPv4 address of an interface, such as 127.0.0.1; 0.0.0.0 for the route's")
    size: int = 4

    def parse(self, text: str) -> Value:
        try:
            return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, text))
        except (OSError, ValueError):
            raise parse_error(N_("'{text}' is not an IPv4 address; expected {expected}"), text, self) from None

    def pack(self, value: Value) -> bytes:
        return socket.inet_pton(socket.AF_INET, str(value))

    def unpack(self, raw: bytes) -> Value:
        return socket.inet_ntop(socket.AF_INET, raw)

    def show(self, value: Value) -> str:
        return str(value)


@dataclass(frozen=True)
class MulticastGroup:
    """Convert struct ip_mreqn or ipv6_mreq: a multicast group, and after ``%`` the interface on which to join."""

    family: socket.AddressFamily
    expected: str
    size: int = 20

    def parse(self, text: str) -> Value:
        group, percent, device = text.partition("%")
        try:
            packed = socket.inet_pton(self.family, group)
        except (OSError, ValueError):
            packed = b"\0"
        multicast = packed[0] >> 4 == 0xE if self._ipv4 else packed[0] == 0xFF
        if not multicast or bool(percent) != bool(device) or "\0" in text:
            raise parse_error(N_("'{text}' is not a multicast group; expected {expected}"), text, self)
        return socket.inet_ntop(self.family, packed) + percent + device

    def pack(self, value: Value) -> bytes:
        """Return the structure. Raises OSError (ENODEV) if the interface does not exist."""
        group, _percent, device = str(value).partition("%")
        try:
            index = socket.if_nametoindex(device) if device else 0
        except OSError:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None
        return socket.inet_pton(self.family, group) + struct.pack("=4xi" if self._ipv4 else "=i", index)

    @property
    def _ipv4(self) -> bool:
        return self.family == socket.AF_INET

    def unpack(self, raw: bytes) -> Value:
        # getsockopt does not return a group; this is the inverse of pack
        width = 4 if self._ipv4 else 16
        index = int(struct.unpack("=i", raw[-4:])[0])
        group = socket.inet_ntop(self.family, raw[:width])
        return f"{group}%{socket.if_indextoname(index)}" if index else group

    def show(self, value: Value) -> str:
        return str(value)


def _hexadecimal(raw: bytes) -> str:
    """Show a structure without a formatter of its own."""
    return raw.hex() or "none"


@dataclass(frozen=True)
class ReadOnlyStruct:
    """Show a structure that can only be read. Its value is hexadecimal text, formatted by `describe`."""

    size: int
    describe: Callable[[bytes], str] = _hexadecimal
    expected: str = N_("nothing: it is read-only")

    def parse(self, text: str) -> Value:
        raise parse_error(N_("'{text}' given; expected {expected}"), text, self)

    def pack(self, value: Value) -> bytes:
        return bytes.fromhex(str(value))

    def unpack(self, raw: bytes) -> Value:
        return raw.hex()

    def show(self, value: Value) -> str:
        return self.describe(self.pack(value))
