"""The forms of values that the kernel takes or gives as structures or texts; the numbers are in forms.py."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from echotime.sockopt.values import N_, Integer, Value, parse_error

_MAX_SECONDS = 2**31 - 1
_NOT_UNDERSTOOD = N_("'{text}' is not understood; expected {expected}")


@dataclass(frozen=True)
class Linger:
    """struct linger: ``off`` (value -1) or the seconds a close may wait."""

    expected: str = N_("off, or 0 to 2147483647 seconds")
    size: int = 8

    def parse(self, text: str) -> Value:
        """-1 for off, else seconds."""
        if text.lower() == "off":
            return -1
        try:
            return Integer(0, _MAX_SECONDS, "seconds").parse(text)
        except ValueError:
            raise parse_error(_NOT_UNDERSTOOD, text, self) from None

    def pack(self, value: Value) -> bytes:
        """l_onoff and l_linger."""
        return struct.pack("=ii", int(value) >= 0, max(int(value), 0))

    def unpack(self, raw: bytes) -> Value:
        """-1 where l_onoff is 0, else l_linger."""
        onoff, seconds = struct.unpack("=ii", raw)
        return int(seconds) if onoff else -1

    def show(self, value: Value) -> str:
        """``off`` or the seconds."""
        return "off" if value == -1 else str(value)


@dataclass(frozen=True)
class Timeval:
    """struct timeval as a number of microseconds; 0 for none."""

    expected: str = N_("a time such as 3s or 500ms, 0 for none")
    size: int = struct.calcsize("@ll")

    def parse(self, text: str) -> Value:
        """Microseconds."""
        found = re.fullmatch(r"([0-9]{1,10}(?:\.[0-9]{1,6})?)(s|ms|)", text)
        if found is None or float(found[1]) > _MAX_SECONDS:
            raise parse_error(_NOT_UNDERSTOOD, text, self)
        microseconds = round(float(found[1]) * (1000 if found[2] == "ms" else 1_000_000), 3)
        if microseconds != int(microseconds):
            raise parse_error(_NOT_UNDERSTOOD, text, self)
        return int(microseconds)

    def pack(self, value: Value) -> bytes:
        """tv_sec and tv_usec."""
        return struct.pack("@ll", *divmod(int(value), 1_000_000))

    def unpack(self, raw: bytes) -> Value:
        """Microseconds."""
        seconds, microseconds = struct.unpack("@ll", raw)
        return int(seconds * 1_000_000 + microseconds)

    def show(self, value: Value) -> str:
        """Seconds, with as many places as it takes."""
        seconds, microseconds = divmod(int(value), 1_000_000)
        return f"{seconds}.{microseconds:06d}".rstrip("0").rstrip(".") + "s"


@dataclass(frozen=True)
class CString:
    """A short text that ends with NUL; empty for none."""

    expected: str
    size: int = 16

    def parse(self, text: str) -> Value:
        """The name itself."""
        if len(text.encode("utf-8", "surrogateescape")) >= self.size or "\0" in text:
            raise parse_error(N_("'{text}' is too long, or no name; expected {expected}"), text, self)
        return text

    def pack(self, value: Value) -> bytes:
        """The name with its NUL."""
        return str(value).encode("utf-8", "surrogateescape") + b"\0"

    def unpack(self, raw: bytes) -> Value:
        """The name without what follows its NUL."""
        return raw.partition(b"\0")[0].decode("utf-8", "backslashreplace")

    def show(self, value: Value) -> str:
        """The name, or ``none``."""
        return str(value) or "none"


@dataclass(frozen=True)
class InAddr:
    """struct in_addr: an IPv4 address."""

    expected: str = N_("the IPv4 address of an interface, such as 127.0.0.1; 0.0.0.0 for the route's")
    size: int = 4

    def parse(self, text: str) -> Value:
        """The address, as it is written."""
        try:
            return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, text))
        except (OSError, ValueError):
            raise parse_error(N_("'{text}' is no IPv4 address; expected {expected}"), text, self) from None

    def pack(self, value: Value) -> bytes:
        """Four bytes."""
        return socket.inet_pton(socket.AF_INET, str(value))

    def unpack(self, raw: bytes) -> Value:
        """The address as text."""
        return socket.inet_ntop(socket.AF_INET, raw)

    def show(self, value: Value) -> str:
        """The address."""
        return str(value)


@dataclass(frozen=True)
class MulticastGroup:
    """struct ip_mreqn or ipv6_mreq: a multicast group, and after ``%`` the interface it is joined on."""

    family: socket.AddressFamily
    expected: str
    size: int = 20

    def parse(self, text: str) -> Value:
        """The group, with its interface where one is given."""
        group, percent, device = text.partition("%")
        try:
            packed = socket.inet_pton(self.family, group)
        except (OSError, ValueError):
            packed = b"\0"
        multicast = packed[0] >> 4 == 0xE if self._ipv4 else packed[0] == 0xFF
        if not multicast or bool(percent) != bool(device) or "\0" in text:
            raise parse_error(N_("'{text}' is no multicast group; expected {expected}"), text, self)
        return socket.inet_ntop(self.family, packed) + percent + device

    def pack(self, value: Value) -> bytes:
        """The structure. Raises OSError (ENODEV) for an interface that is not there."""
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
        """The group; the kernel gives it for no socket, but what was packed can be read."""
        width = 4 if self._ipv4 else 16
        index = int(struct.unpack("=i", raw[-4:])[0])
        group = socket.inet_ntop(self.family, raw[:width])
        return f"{group}%{socket.if_indextoname(index)}" if index else group

    def show(self, value: Value) -> str:
        """The group and its interface."""
        return str(value)


def hexadecimal(raw: bytes) -> str:
    """How a structure is shown of which nothing more is known."""
    return raw.hex() or "none"


@dataclass(frozen=True)
class ReadOnlyStruct:
    """A structure of the kernel that is only read; its value is hexadecimal text, shown as `describe` says."""

    size: int
    describe: Callable[[bytes], str] = hexadecimal
    expected: str = N_("nothing: it is read-only")

    def parse(self, text: str) -> Value:
        """Refuses."""
        raise parse_error(N_("'{text}' given; expected {expected}"), text, self)

    def pack(self, value: Value) -> bytes:
        """The bytes of the hexadecimal text."""
        return bytes.fromhex(str(value))

    def unpack(self, raw: bytes) -> Value:
        """Hexadecimal text."""
        return raw.hex()

    def show(self, value: Value) -> str:
        """What `describe` makes of the bytes."""
        return self.describe(self.pack(value))
