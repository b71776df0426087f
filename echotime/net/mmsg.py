"""Batch: recvmmsg(2) and sendmmsg(2) through ctypes, many datagrams a call, with no Python code for each datagram.

The message headers of both calls share the buffers for addresses and ancillary data, so a received datagram's buffers
address its reply. All headers for sending share one response. What must be checked in every datagram of a batch is read
through strided memoryviews, at the speed of C.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from echotime.net.pktinfo import (
    ANCILLARY_SIZE,
    IP_PKTINFO,
    IPV6_PKTINFO,
    ControlMessage,
    SourceAddress,
    unpack_sockaddr,
)

SNAPLEN = 17
"""Bytes kept of a datagram: one more than the longest datagram whose contents matter, a probe of 16 bytes."""
_WORD_SIZE = 8
_LIBC = ctypes.CDLL(None, use_errno=True)
_UNSUPPORTED_ERRNOS = frozenset({errno.ENOSYS, errno.EPERM})
_MSG_DONTWAIT = 0x40
_MSG_TRUNC = 0x20
"""When receiving: report the length that was sent, not the length that was kept."""


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class _Msghdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("pieces", ctypes.c_void_p),
        ("number_of_pieces", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Mmsghdr(ctypes.Structure):
    _fields_ = [("header", _Msghdr), ("length", ctypes.c_uint32)]


_MMSGHDR_SIZE = ctypes.sizeof(_Mmsghdr)
_CMSGHDR = struct.Struct("=Qii")
"""struct cmsghdr on a 64-bit system."""


class _FamilyLayout(NamedTuple):
    """Describe the socket address and the pktinfo control message of an IP version; offsets and sizes in bytes."""

    sockaddr_size: int
    host_offsets: range
    """Offsets of the address in a sockaddr, 4 bytes each; on IPv6 the interface number is the last."""
    zero_offsets: tuple[int, int, int]
    """Offsets in a sockaddr of three bytes that are all zero in the unspecified address, and in few others."""
    cmsg_level: int
    cmsg_type: int
    pktinfo_size: int
    interface_offset: int


_FAMILIES = {
    socket.AF_INET: _FamilyLayout(16, range(4, 8, 4), (4, 5, 7), socket.IPPROTO_IP, IP_PKTINFO, 12, 0),
    # byte 0 is zero in IPv4-mapped addresses and ::1, too; byte 12 is not in mapped addresses, byte 15 not in ::1
    socket.AF_INET6: _FamilyLayout(28, range(8, 28, 4), (8, 20, 23), socket.IPPROTO_IPV6, IPV6_PKTINFO, 20, 16),
}
_FIRST_SPECIAL_IPV6_BYTE = 0xFE
"""The lowest first byte of link-local (fe80::) and multicast (ff00::) addresses."""


def is_available() -> bool:
    """Return True if the system has both calls with the structures above: 64-bit Linux."""
    return sys.platform == "linux" and ctypes.sizeof(ctypes.c_void_p) == _WORD_SIZE and hasattr(_LIBC, "sendmmsg")


def _strided_view(buffer: bytearray, type_code: str, offset: int, stride: int) -> memoryview:
    """Return a view of the number at `offset` in each item of `stride` bytes of a buffer."""
    size = struct.calcsize(type_code)
    numbers: memoryview = memoryview(buffer).cast(type_code)  # type: ignore[call-overload]  # of any format
    return numbers[offset // size :: stride // size]


if is_available():
    _LIBC.recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
    _LIBC.sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)


def _address_of(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class Batch:
    """Hold the datagrams that one recvmmsg(2) returns, at most `size`.

    `pktinfo` is True if IP_PKTINFO or IPV6_RECVPKTINFO is on for the socket.
    """

    count = 0
    """Number of datagrams of the last `receive`."""
    ordinary_addresses = False
    """Result of the last `check_addresses`."""

    def __init__(self, size: int, family: int, *, pktinfo: bool) -> None:
        self.size = size
        self._family = _FAMILIES[socket.AddressFamily(family)]
        self._pktinfo_size = _CMSGHDR.size + -(-self._family.pktinfo_size // _WORD_SIZE) * _WORD_SIZE if pktinfo else 0
        self._sockaddrs = bytearray(size * self._family.sockaddr_size)
        self._data = bytearray(size * SNAPLEN)
        self._ancillary = bytearray(size * ANCILLARY_SIZE)
        self._recv_headers, self._send_headers = bytearray(size * _MMSGHDR_SIZE), bytearray(size * _MMSGHDR_SIZE)
        self._iovecs = (_Iovec * (size + 1))()
        self._response = b""
        self._link_buffers()
        self._blank_headers = bytes(self._recv_headers)
        self._create_views()

    def _link_buffers(self) -> None:
        """Point the message headers to the buffers."""
        sockaddrs, data, ancillary = map(_address_of, (self._sockaddrs, self._data, self._ancillary))
        self._recv_headers_address, self._send_headers_address = (
            _address_of(self._recv_headers),
            _address_of(self._send_headers),
        )
        iovecs = ctypes.addressof(self._iovecs)
        recv_headers, send_headers = (
            (_Mmsghdr * self.size).from_buffer(each) for each in (self._recv_headers, self._send_headers)
        )
        for number in range(self.size):
            self._iovecs[number] = _Iovec(data + number * SNAPLEN, SNAPLEN)
            sockaddr, control = sockaddrs + number * self._family.sockaddr_size, ancillary + number * ANCILLARY_SIZE
            recv_iovec, response_iovec = (iovecs + which * ctypes.sizeof(_Iovec) for which in (number, self.size))
            common = (sockaddr, self._family.sockaddr_size)
            recv_headers[number].header = _Msghdr(*common, recv_iovec, 1, control, ANCILLARY_SIZE, 0)
            send_headers[number].header = _Msghdr(*common, response_iovec, 1, control, self._pktinfo_size, 0)

    def _create_views(self) -> None:
        """Create the strided views of the buffers."""
        at = _Mmsghdr.length.offset
        self._lengths = _strided_view(self._recv_headers, "I", at, _MMSGHDR_SIZE)
        self._control_sizes = _strided_view(self._recv_headers, "Q", _Msghdr.control_size.offset, _MMSGHDR_SIZE)
        self._ports = _strided_view(self._sockaddrs, "H", 2, self._family.sockaddr_size)
        self._hosts = [
            _strided_view(self._sockaddrs, "I", at, self._family.sockaddr_size) for at in self._family.host_offsets
        ]
        self._cmsg_types = _strided_view(self._ancillary, "Q", _WORD_SIZE, ANCILLARY_SIZE)
        pktinfo_type = struct.pack("=ii", self._family.cmsg_level, self._family.cmsg_type)
        self._pktinfo_type = int.from_bytes(pktinfo_type, sys.byteorder)
        self._interfaces = _strided_view(
            self._ancillary, "I", _CMSGHDR.size + self._family.interface_offset, ANCILLARY_SIZE
        )
        self._local_addresses, self._destinations = (
            _strided_view(self._ancillary, "I", _CMSGHDR.size + at, ANCILLARY_SIZE) for at in (4, 8)
        )
        self._first_bytes = _strided_view(self._ancillary, "B", _CMSGHDR.size, ANCILLARY_SIZE)
        self._no_interfaces = memoryview(bytes(4 * self.size)).cast("I")

    def is_supported(self, descriptor: int) -> bool:
        """Try both calls without a datagram. Return False if the kernel lacks one or a seccomp filter forbids it."""
        try:
            _check_result(_LIBC.recvmmsg(descriptor, self._recv_headers_address, 0, _MSG_DONTWAIT, None))
            _check_result(_LIBC.sendmmsg(descriptor, self._send_headers_address, 0, _MSG_DONTWAIT))
        except OSError as error:
            return error.errno not in _UNSUPPORTED_ERRNOS
        return True

    def receive(self, descriptor: int, max_count: int) -> int:
        """Receive at most `max_count` datagrams and return their number; 0 if none is pending. Raises OSError."""
        size = max_count * _MMSGHDR_SIZE
        self._recv_headers[:size] = self._blank_headers[:size]  # the kernel has overwritten the sizes
        count: int = _LIBC.recvmmsg(descriptor, self._recv_headers_address, max_count, _MSG_DONTWAIT | _MSG_TRUNC, None)
        if count > 0:
            self.count = count
            return count
        return 0 if ctypes.get_errno() == errno.EAGAIN else _check_result(count)

    def lengths(self) -> list[int]:
        """Return the lengths in bytes, as they were sent."""
        return self._lengths[: self.count].tolist()

    def source_ports(self) -> tuple[int, ...]:
        return struct.unpack(f"!{self.count}H", self._ports[: self.count].tobytes())

    def hosts(self) -> dict[str, int]:
        """Return the number of datagrams by source, in the form of SourceAddress.host."""
        columns = [each[: self.count].tolist() for each in self._hosts]
        if all(each.count(each[0]) == self.count for each in columns):
            return {_format_host(*(each[0] for each in columns)): self.count}
        return {_format_host(*host): number for host, number in Counter(zip(*columns, strict=True)).items()}

    def check_addresses(self, own_port: int) -> bool:
        """Return True if all addresses are ordinary, so that `send` can reply from where each datagram was sent to.

        No source may be unspecified or have the port `own_port`, in network byte order. With pktinfo, each destination
        must be unicast, not link-local on IPv6, and the only ancillary data.
        """
        count, self.ordinary_addresses = self.count, False
        if own_port in self._ports[:count].tolist() or self._may_have_unspecified_source(count):
            return False
        if self._pktinfo_size:
            if self._control_sizes[:count].tolist().count(self._pktinfo_size) != count:
                return False
            if self._cmsg_types[:count].tolist().count(self._pktinfo_type) != count:
                return False
            if self._has_multicast_destination(count):
                return False
            # the replies leave by the route's interface, not by the one that received
            self._interfaces[:count] = self._no_interfaces[:count]
        self.ordinary_addresses = True
        return True

    def _may_have_unspecified_source(self, count: int) -> bool:
        """Return True if a source is the unspecified address. It may be True without one, in a mixed batch."""
        sockaddrs, size = self._sockaddrs, self._family.sockaddr_size
        end = count * size
        one, two, three = self._family.zero_offsets
        return 0 in sockaddrs[one:end:size] and 0 in sockaddrs[two:end:size] and 0 in sockaddrs[three:end:size]

    def _has_multicast_destination(self, count: int) -> bool:
        """Return True if a destination is a broadcast or multicast address, or on IPv6 a link-local one."""
        if self._family.cmsg_level == socket.IPPROTO_IPV6:
            return max(self._first_bytes[:count]) >= _FIRST_SPECIAL_IPV6_BYTE
        return self._local_addresses[:count].tolist() != self._destinations[:count].tolist()

    def send(self, descriptor: int, first: int, response: bytes) -> int:
        """Send a response to all datagrams from number `first` on.

        Return the number of responses sent, at least one. Raises OSError.
        """
        if response != self._response:
            self._response = response
            self._response_buffer = ctypes.create_string_buffer(response, len(response))
            self._iovecs[self.size] = _Iovec(ctypes.addressof(self._response_buffer), len(response))
        headers = self._send_headers_address + first * _MMSGHDR_SIZE
        sent: int = _LIBC.sendmmsg(descriptor, headers, self.count - first, _MSG_DONTWAIT)
        return sent if sent > 0 else _check_result(sent)

    def datagrams(self) -> Iterator[tuple[bytes, SourceAddress]]:
        """Yield the first SNAPLEN bytes of each datagram, and its source."""
        for index in range(self.count):
            at = index * SNAPLEN
            data = bytes(self._data[at : at + min(self._lengths[index], SNAPLEN)])
            source = SourceAddress.from_recvmsg(self._source(index), self._control_messages(index))
            source.size = self._lengths[index]
            yield data, source

    def _source(self, index: int) -> tuple[Any, ...]:
        size = self._family.sockaddr_size
        return unpack_sockaddr(bytes(self._sockaddrs[index * size : (index + 1) * size]))

    def _control_messages(self, index: int) -> Iterator[ControlMessage]:
        offset = index * ANCILLARY_SIZE
        end = offset + self._control_sizes[index]
        while offset + _CMSGHDR.size <= end:
            size, level, kind = _CMSGHDR.unpack_from(self._ancillary, offset)
            if size < _CMSGHDR.size:
                return
            yield level, kind, bytes(self._ancillary[offset + _CMSGHDR.size : min(offset + size, end)])
            offset += -(-size // _WORD_SIZE) * _WORD_SIZE


@lru_cache
def _format_host(*u32s: int) -> str:
    """Return the host, in the form of SourceAddress.host, of 4-byte numbers in memory order."""
    if len(u32s) == 1:
        return socket.inet_ntop(socket.AF_INET, struct.pack("=I", *u32s))
    host = socket.inet_ntop(socket.AF_INET6, struct.pack("=4I", *u32s[:4]))
    return f"{host}%{u32s[4]}" if u32s[4] else host


def _check_result(result: int) -> int:
    if result < 0:
        error_number = ctypes.get_errno()
        raise OSError(error_number, os.strerror(error_number))
    return result
