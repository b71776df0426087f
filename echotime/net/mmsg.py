"""recvmmsg(2) and sendmmsg(2) through ctypes: many datagrams a call, and nothing done in Python for each of them.

The vectors of both calls share the buffers for names and for control messages, so what was received says where the
answer goes; and every part of the second points at the one answer. What has to be known of all datagrams of a batch is
read from the vectors by views with a stride, at the speed of C.
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
from typing import NamedTuple

from echotime.net.pktinfo import ANCILLARY_SIZE, IP_PKTINFO, IPV6_PKTINFO, ControlMessage, SourceAddress

SNAPLEN = 17
"""Bytes that are kept of a datagram: what it holds does not matter, unless it is one of the short ones to look at.

One more than those may have, so that a longer one is not taken for one of them.
"""
_WORD_SIZE = 8
_LIBC = ctypes.CDLL(None, use_errno=True)
_UNSUPPORTED_ERRNOS = frozenset({errno.ENOSYS, errno.EPERM})
_MSG_DONTWAIT = 0x40
_MSG_TRUNC = 0x20
"""When receiving: the length is told of all that was sent, not of what was kept."""


class _Iovec(ctypes.Structure):
    """struct iovec."""

    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class _Msghdr(ctypes.Structure):
    """struct msghdr."""

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
    """struct mmsghdr."""

    _fields_ = [("header", _Msghdr), ("length", ctypes.c_uint32)]


_MMSGHDR_SIZE = ctypes.sizeof(_Mmsghdr)
_CMSGHDR = struct.Struct("=Qii")
"""struct cmsghdr, where a word has eight bytes."""


class _FamilyLayout(NamedTuple):
    """What differs between the IP versions: a name, and level, type and size of the address that was asked."""

    sockaddr_size: int
    host_offsets: range
    """Where the words of the address stand in a name."""
    zero_offsets: tuple[int, int, int]
    """Bytes of a name that are all zero for the unspecified address, and hardly ever for another one."""
    cmsg_level: int
    cmsg_type: int
    pktinfo_size: int
    interface_offset: int


_FAMILIES = {
    socket.AF_INET: _FamilyLayout(16, range(4, 8, 4), (4, 5, 7), socket.IPPROTO_IP, IP_PKTINFO, 12, 0),
    # the first byte is zero for mapped addresses and ::1, too; the 13th is not for mapped ones, the last not for ::1
    socket.AF_INET6: _FamilyLayout(28, range(8, 24, 4), (8, 20, 23), socket.IPPROTO_IPV6, IPV6_PKTINFO, 20, 16),
}
_FIRST_SPECIAL_IPV6_BYTE = 0xFE
"""The first byte of link-local (fe80::) and of multicast addresses (ff00::), and of none that lie below."""


def is_available() -> bool:
    """Whether this system has both calls, in the form that is known here: Linux with words of eight bytes."""
    return sys.platform == "linux" and ctypes.sizeof(ctypes.c_void_p) == _WORD_SIZE and hasattr(_LIBC, "sendmmsg")


def _strided_view(buffer: bytearray, type_code: str, offset: int, stride: int) -> memoryview:
    """The numbers that stand at one place of each of the equal parts of a buffer."""
    size = struct.calcsize(type_code)
    numbers: memoryview = memoryview(buffer).cast(type_code)  # type: ignore[call-overload]  # of any format
    return numbers[offset // size :: stride // size]


if is_available():
    _LIBC.recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
    _LIBC.sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)


def _address_of(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class Batch:
    """Room for `size` datagrams of a socket; `pktinfo` is whether it tells the address that each was sent to."""

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
        """Let the vectors point to the buffers."""
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
        """Let the views look at the buffers."""
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
        """Whether the calls are there, and no filter of system calls is in their way; tried with no datagram."""
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
            return count
        return 0 if ctypes.get_errno() == errno.EAGAIN else _check_result(count)

    def ports(self, count: int) -> list[int]:
        """The source ports of so many, as they are on the wire: big-endian."""
        return self._ports[:count].tolist()

    def hosts(self, count: int) -> dict[str, int]:
        """The addresses that so many came from, and how many came from each."""
        columns = [each[:count].tolist() for each in self._hosts]
        if all(each.count(each[0]) == count for each in columns):
            return {_format_host(*(each[0] for each in columns)): count}
        return {_format_host(*host): host_count for host, host_count in Counter(zip(*columns, strict=True)).items()}

    def is_uniform(self, count: int, excluded_lengths: frozenset[int]) -> bool:
        """Whether so many may be given one answer: none has a length in `excluded_lengths`, or an address to think
        about.

        After it their answers leave from the asked addresses, by whatever interface the route names.
        """
        if not excluded_lengths.isdisjoint(self._lengths[:count].tolist()):
            return False
        if self._may_have_unspecified_source(count):
            return False
        if self._pktinfo_size:
            if self._control_sizes[:count].tolist().count(self._pktinfo_size) != count:
                return False
            if self._cmsg_types[:count].tolist().count(self._pktinfo_type) != count:
                return False
            if self._has_multicast_destination(count):
                return False
            self._interfaces[:count] = self._no_interfaces[:count]
        return True

    def _may_have_unspecified_source(self, count: int) -> bool:
        """Return True if one of so many may come from the unspecified address; always if one does."""
        sockaddrs, size = self._sockaddrs, self._family.sockaddr_size
        end = count * size
        one, two, three = self._family.zero_offsets
        return 0 in sockaddrs[one:end:size] and 0 in sockaddrs[two:end:size] and 0 in sockaddrs[three:end:size]

    def _has_multicast_destination(self, count: int) -> bool:
        """Whether one asked a broadcast or multicast address; on IPv6 a link-local one has to be thought about, too."""
        if self._family.cmsg_level == socket.IPPROTO_IPV6:
            return max(self._first_bytes[:count]) >= _FIRST_SPECIAL_IPV6_BYTE
        return self._local_addresses[:count].tolist() != self._destinations[:count].tolist()

    def send(self, descriptor: int, first: int, count: int, response: bytes) -> int:
        """Give so many, from `first` on, one answer; how many were sent, at least one. Raises OSError."""
        if response != self._response:
            self._response = response
            self._response_buffer = ctypes.create_string_buffer(response, len(response))
            self._iovecs[self.size] = _Iovec(ctypes.addressof(self._response_buffer), len(response))
        sent: int = _LIBC.sendmmsg(descriptor, self._send_headers_address + first * _MMSGHDR_SIZE, count, _MSG_DONTWAIT)
        return sent if sent > 0 else _check_result(sent)

    def datagrams(self, count: int) -> Iterator[tuple[bytes, SourceAddress]]:
        """So many, one by one: how each begins, and where it came from."""
        for index in range(count):
            at = index * SNAPLEN
            data = bytes(self._data[at : at + min(self._lengths[index], SNAPLEN)])
            yield data, SourceAddress.from_recvmsg(self._source(index), self._control_messages(index))

    def _source(self, index: int) -> tuple[object, ...]:
        offset = index * self._family.sockaddr_size
        if self._family.cmsg_level == socket.IPPROTO_IP:
            port, host = struct.unpack_from("!2xH4s", self._sockaddrs, offset)
            return socket.inet_ntop(socket.AF_INET, host), port
        port, flow, host = struct.unpack_from("!2xHI16s", self._sockaddrs, offset)
        (scope,) = struct.unpack_from("=I", self._sockaddrs, offset + 24)
        return socket.inet_ntop(socket.AF_INET6, host), port, flow, scope

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
    """An address from its words."""
    family = socket.AF_INET if len(u32s) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, struct.pack(f"={len(u32s)}I", *u32s))


def _check_result(result: int) -> int:
    if result < 0:
        error_number = ctypes.get_errno()
        raise OSError(error_number, os.strerror(error_number))
    return result
