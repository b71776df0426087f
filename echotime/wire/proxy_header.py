"""Parse and make the headers of the PROXY protocol, versions 1 and 2, by which a proxy names the client's address.

The specification is https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt. Nothing in a header is believed beyond
its form: the caller decides which peers may send one.
"""

from __future__ import annotations

import re
import socket
import struct
from typing import NamedTuple

from echotime.wire.hostport import HostPort

_V1_START = b"PROXY "
_V1_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: .*)?\r\n", re.DOTALL)
_V1_PORT = rb" (0|[1-9][0-9]{0,4})"
_V1_LINE = re.compile(rb"PROXY TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+)" + _V1_PORT * 2 + rb"\r\n")
_V1_FORM = "PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT"
_V1_SIZE = 107
"""Highest size of a version 1 line in bytes, CRLF included."""

_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HEADER_STARTS = (_V1_START, _V2_SIGNATURE)
"""The bytes with which a header begins, of version 1 and of version 2."""
_V2_FIXED = struct.Struct("!12sBBH")
"""Signature, version and command, family and protocol, size of the body."""
_V2_VERSION = 2
_V2_BODY_SIZE = 16384
"""Highest size of a version 2 body in bytes: HAProxy's buffer, tune.bufsize."""
_LOCAL, _PROXY = 0, 1
_UNSPEC, _INET, _INET6, _UNIX = range(4)
_STREAM, _DGRAM = 1, 2
_V2_FAMILIES = {
    _INET: (socket.AF_INET, struct.Struct("!4s4sHH")),
    _INET6: (socket.AF_INET6, struct.Struct("!16s16sHH")),
}
_MAX_PORT = 65535


class ProxyHeader(NamedTuple):
    """Hold the ends of the client's connection to the proxy.

    Both are None if the header names none: the ends of the proxy's own connection count.
    """

    source: HostPort | None
    destination: HostPort | None


_NO_ADDRESSES = ProxyHeader(None, None)


class ProxyHeaderFault(ValueError):
    """Report bytes that are not a valid PROXY header. The text contains none of these bytes."""

    def __init__(self, text: str, *, missing: bool = False) -> None:
        super().__init__(text)
        self.missing = missing
        """True if the bytes do not begin as a header, False if a header is malformed."""


class ProxyHeaderParser:
    """Parse one header at the start of a stream, whose bytes may arrive in any pieces.

    At most 16 KiB and the 16 fixed bytes of version 2 are kept.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.rest = b""
        """The bytes that followed the header in the last call of `feed`."""

    def feed(self, data: bytes) -> ProxyHeader | None:
        """Return the header once it is complete, None while more bytes are needed.

        Feed nothing after a header or a fault. Raises ProxyHeaderFault.
        """
        self._buffer += data
        for start, parse in ((_V1_START, self._parse_v1), (_V2_SIGNATURE, self._parse_v2)):
            if self._buffer.startswith(start):
                return parse()
            if start.startswith(self._buffer):
                return None
        raise ProxyHeaderFault("no PROXY header", missing=True)

    def _parse_v1(self) -> ProxyHeader | None:
        size = self._buffer.find(b"\n", 0, _V1_SIZE) + 1
        if size:
            return _read_v1(self._cut(size))
        if len(self._buffer) >= _V1_SIZE:
            raise ProxyHeaderFault(f"PROXY v1 line without CRLF in {_V1_SIZE} bytes")
        return None

    def _parse_v2(self) -> ProxyHeader | None:
        if len(self._buffer) < _V2_FIXED.size:
            return None
        _signature, version_command, family_protocol, size = _V2_FIXED.unpack_from(self._buffer)
        version, command = divmod(version_command, 16)
        if version != _V2_VERSION:
            raise ProxyHeaderFault(f"PROXY v2 header with version {version}")
        if command not in {_LOCAL, _PROXY}:
            raise ProxyHeaderFault(f"PROXY v2 header with unknown command {command}")
        if size > _V2_BODY_SIZE:
            raise ProxyHeaderFault(f"PROXY v2 body of {size} bytes, more than {_V2_BODY_SIZE}")
        # checked before the body arrives, which may be never
        addresses = _select_addresses(family_protocol, size) if command == _PROXY else None
        if len(self._buffer) < _V2_FIXED.size + size:
            return None
        body = self._cut(_V2_FIXED.size + size)[_V2_FIXED.size :]
        if addresses is None:
            return _NO_ADDRESSES
        family, form = addresses
        source, destination, source_port, destination_port = form.unpack_from(body)
        return ProxyHeader(
            HostPort(socket.inet_ntop(family, source), source_port),
            HostPort(socket.inet_ntop(family, destination), destination_port),
        )

    def _cut(self, size: int) -> bytes:
        """Return the first bytes, keep the others as `rest`."""
        header, self.rest = bytes(self._buffer[:size]), bytes(self._buffer[size:])
        self._buffer.clear()
        return header


def _read_v1(line: bytes) -> ProxyHeader:
    if _V1_UNKNOWN.fullmatch(line):
        return _NO_ADDRESSES
    found = _V1_LINE.fullmatch(line)
    if found is None:
        raise ProxyHeaderFault(f"PROXY v1 line is not {_V1_FORM}")
    family, source, destination, source_port, destination_port = found.groups()
    return ProxyHeader(_read_v1_end(family, source, source_port), _read_v1_end(family, destination, destination_port))


def _read_v1_end(version: bytes, address: bytes, port: bytes) -> HostPort:
    family = socket.AF_INET if version == b"4" else socket.AF_INET6
    try:
        packed = socket.inet_pton(family, address.decode("ascii"))
    except OSError:
        raise ProxyHeaderFault(f"PROXY v1 line with an invalid IPv{version.decode()} address") from None
    if int(port) > _MAX_PORT:
        raise ProxyHeaderFault(f"PROXY v1 line with a port above {_MAX_PORT}")
    # in the form that the kernel's addresses have
    return HostPort(socket.inet_ntop(family, packed), int(port))


def _select_addresses(family_protocol: int, size: int) -> tuple[socket.AddressFamily, struct.Struct] | None:
    """Return the form of the addresses in a body of `size` bytes, None if there are none for TCP/IP."""
    family, protocol = divmod(family_protocol, 16)
    if protocol == _DGRAM:
        raise ProxyHeaderFault("PROXY v2 header for datagrams on a TCP connection")
    if family in {_UNSPEC, _UNIX} and protocol <= _STREAM:
        return None
    if family not in _V2_FAMILIES or protocol != _STREAM:
        raise ProxyHeaderFault(f"PROXY v2 header with unknown family and protocol 0x{family_protocol:02x}")
    addresses = _V2_FAMILIES[family]
    if size < addresses[1].size:
        raise ProxyHeaderFault(f"PROXY v2 body of {size} bytes, shorter than its addresses")
    return addresses


def make_v1(source: HostPort, destination: HostPort) -> bytes:
    """Return a version 1 header. Raises ValueError unless both are numeric addresses of one family."""
    family, (source_address, destination_address) = _pack(source, destination)
    ends = f"{socket.inet_ntop(family, source_address)} {socket.inet_ntop(family, destination_address)}"
    number = 4 if family == socket.AF_INET else 6
    return f"PROXY TCP{number} {ends} {source.port} {destination.port}\r\n".encode("ascii")


def make_v2(source: HostPort, destination: HostPort) -> bytes:
    """Return a version 2 header with command PROXY. Raises ValueError in the cases of `make_v1`."""
    family, packed = _pack(source, destination)
    (code,) = (each for each, (known, _form) in _V2_FAMILIES.items() if known == family)
    body = _V2_FAMILIES[code][1].pack(*packed, source.port, destination.port)
    return _make_fixed(_PROXY, code << 4 | _STREAM, len(body)) + body


def make_local() -> bytes:
    """Return a version 2 header with command LOCAL, which health checks of a proxy send."""
    return _make_fixed(_LOCAL, _UNSPEC, 0)


def _make_fixed(command: int, family_protocol: int, size: int) -> bytes:
    return _V2_FIXED.pack(_V2_SIGNATURE, _V2_VERSION << 4 | command, family_protocol, size)


def _pack(*ends: HostPort) -> tuple[socket.AddressFamily, list[bytes]]:
    """Return the family and the addresses as bytes. The interface of a link-local address is not part of a header."""
    hosts = [host.partition("%")[0] for host, _port in ends]
    family = socket.AF_INET6 if ":" in hosts[0] else socket.AF_INET
    try:
        return family, [socket.inet_pton(family, host) for host in hosts]
    except OSError:
        raise ValueError("the source and the destination must be numeric addresses of one family") from None
