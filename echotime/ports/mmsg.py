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

from echotime.ports.asked_address import CONTROL_SIZE, IP_PKTINFO, IPV6_PKTINFO, ControlMessage, Sender

BEGINNING = 17
"""Bytes that are kept of a datagram: what it holds does not matter, unless it is one of the short ones to look at.

One more than those may have, so that a longer one is not taken for one of them.
"""
_WORD = 8
_LIBC = ctypes.CDLL(None, use_errno=True)
_NOT_THERE = frozenset({errno.ENOSYS, errno.EPERM})
_MSG_DONTWAIT = 0x40
_MSG_TRUNC = 0x20
"""When receiving: the length is told of all that was sent, not of what was kept."""


class _Piece(ctypes.Structure):
    """struct iovec."""

    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class _Header(ctypes.Structure):
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


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = [("header", _Header), ("length", ctypes.c_uint32)]


_MESSAGE = ctypes.sizeof(_Message)
_CONTROL = struct.Struct("=Qii")
"""struct cmsghdr, where a word has eight bytes."""


class _Family(NamedTuple):
    """What differs between the IP versions: a name, and level, type and size of the address that was asked."""

    name_size: int
    host_at: range
    """Where the words of the address stand in a name."""
    zeros_at: tuple[int, int, int]
    """Bytes of a name that are all zero for the unspecified address, and hardly ever for another one."""
    level: int
    kind: int
    data_size: int
    interface_at: int


_FAMILIES = {
    socket.AF_INET: _Family(16, range(4, 8, 4), (4, 5, 7), socket.IPPROTO_IP, IP_PKTINFO, 12, 0),
    # the first byte is zero for mapped addresses and ::1, too; the 13th is not for mapped ones, the last not for ::1
    socket.AF_INET6: _Family(28, range(8, 24, 4), (8, 20, 23), socket.IPPROTO_IPV6, IPV6_PKTINFO, 20, 16),
}
_NO_PLAIN_SOURCE = 0xFE
"""The first byte of link-local (fe80::) and of multicast addresses (ff00::), and of none that lie below."""


def available() -> bool:
    """Whether this system has both calls, in the form that is known here: Linux with words of eight bytes."""
    return sys.platform == "linux" and ctypes.sizeof(ctypes.c_void_p) == _WORD and hasattr(_LIBC, "sendmmsg")


def _column(buffer: bytearray, kind: str, at: int, step: int) -> memoryview:
    """The numbers that stand at one place of each of the equal parts of a buffer."""
    size = struct.calcsize(kind)
    numbers: memoryview = memoryview(buffer).cast(kind)  # type: ignore[call-overload]  # of any format
    return numbers[at // size :: step // size]


if available():
    _LIBC.recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
    _LIBC.sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)


def _address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class Batch:
    """Room for `size` datagrams of a socket; `asked_address` is whether it tells the address that each was sent to."""

    def __init__(self, size: int, family: int, *, asked_address: bool) -> None:
        self.size = size
        self._family = _FAMILIES[socket.AddressFamily(family)]
        self._asked_size = _CONTROL.size + -(-self._family.data_size // _WORD) * _WORD if asked_address else 0
        self._names = bytearray(size * self._family.name_size)
        self._beginnings = bytearray(size * BEGINNING)
        self._controls = bytearray(size * CONTROL_SIZE)
        self._received, self._sent = bytearray(size * _MESSAGE), bytearray(size * _MESSAGE)
        self._pieces = (_Piece * (size + 1))()
        self._answer = b""
        self._connect()
        self._fresh = bytes(self._received)
        self._columns()

    def _connect(self) -> None:
        """Let the vectors point to the buffers."""
        names, beginnings, controls = map(_address, (self._names, self._beginnings, self._controls))
        self._received_at, self._sent_at = _address(self._received), _address(self._sent)
        pieces = ctypes.addressof(self._pieces)
        received, sent = ((_Message * self.size).from_buffer(each) for each in (self._received, self._sent))
        for number in range(self.size):
            self._pieces[number] = _Piece(beginnings + number * BEGINNING, BEGINNING)
            name, control = names + number * self._family.name_size, controls + number * CONTROL_SIZE
            piece, answer = (pieces + which * ctypes.sizeof(_Piece) for which in (number, self.size))
            of_both = (name, self._family.name_size)
            received[number].header = _Header(*of_both, piece, 1, control, CONTROL_SIZE, 0)
            sent[number].header = _Header(*of_both, answer, 1, control, self._asked_size, 0)

    def _columns(self) -> None:
        """Let the views look at the buffers."""
        at = _Message.length.offset
        self._lengths = _column(self._received, "I", at, _MESSAGE)
        self._control_sizes = _column(self._received, "Q", _Header.control_size.offset, _MESSAGE)
        self._ports = _column(self._names, "H", 2, self._family.name_size)
        self._hosts = [_column(self._names, "I", at, self._family.name_size) for at in self._family.host_at]
        self._kinds = _column(self._controls, "Q", _WORD, CONTROL_SIZE)
        kind = struct.pack("=ii", self._family.level, self._family.kind)
        self._kind = int.from_bytes(kind, sys.byteorder)
        self._interfaces = _column(self._controls, "I", _CONTROL.size + self._family.interface_at, CONTROL_SIZE)
        self._locals, self._asked = (_column(self._controls, "I", _CONTROL.size + at, CONTROL_SIZE) for at in (4, 8))
        self._first_bytes = _column(self._controls, "B", _CONTROL.size, CONTROL_SIZE)
        self._no_interfaces = memoryview(bytes(4 * self.size)).cast("I")

    def works(self, descriptor: int) -> bool:
        """Whether the calls are there, and no filter of system calls is in their way; tried with no datagram."""
        try:
            _done(_LIBC.recvmmsg(descriptor, self._received_at, 0, _MSG_DONTWAIT, None))
            _done(_LIBC.sendmmsg(descriptor, self._sent_at, 0, _MSG_DONTWAIT))
        except OSError as error:
            return error.errno not in _NOT_THERE
        return True

    def receive(self, descriptor: int, most: int) -> int:
        """Take what is there, at most `most` datagrams, and return how many; 0 if nothing waits. Raises OSError."""
        size = most * _MESSAGE
        self._received[:size] = self._fresh[:size]  # the kernel has overwritten the sizes
        number: int = _LIBC.recvmmsg(descriptor, self._received_at, most, _MSG_DONTWAIT | _MSG_TRUNC, None)
        if number > 0:
            return number
        return 0 if ctypes.get_errno() == errno.EAGAIN else _done(number)

    def ports(self, number: int) -> list[int]:
        """The source ports of so many, as they are on the wire: big-endian."""
        return self._ports[:number].tolist()

    def hosts(self, number: int) -> dict[str, int]:
        """The addresses that so many came from, and how many came from each."""
        words = [each[:number].tolist() for each in self._hosts]
        if all(each.count(each[0]) == number for each in words):
            return {_host(*(each[0] for each in words)): number}
        return {_host(*host): of_host for host, of_host in Counter(zip(*words, strict=True)).items()}

    def alike(self, number: int, apart: frozenset[int]) -> bool:
        """Whether so many may be given one answer: none has a length in `apart`, or an address to think about.

        After it their answers leave from the asked addresses, by whatever interface the route names.
        """
        if not apart.isdisjoint(self._lengths[:number].tolist()):
            return False
        if self._from_nowhere(number):
            return False
        if self._asked_size:
            if self._control_sizes[:number].tolist().count(self._asked_size) != number:
                return False
            if self._kinds[:number].tolist().count(self._kind) != number:
                return False
            if self._asked_many(number):
                return False
            self._interfaces[:number] = self._no_interfaces[:number]
        return True

    def _from_nowhere(self, number: int) -> bool:
        """Return True if one of so many may come from the unspecified address; always if one does."""
        names, size = self._names, self._family.name_size
        end = number * size
        one, two, three = self._family.zeros_at
        return 0 in names[one:end:size] and 0 in names[two:end:size] and 0 in names[three:end:size]

    def _asked_many(self, number: int) -> bool:
        """Whether one asked a broadcast or multicast address; on IPv6 a link-local one has to be thought about, too."""
        if self._family.level == socket.IPPROTO_IPV6:
            return max(self._first_bytes[:number]) >= _NO_PLAIN_SOURCE
        return self._locals[:number].tolist() != self._asked[:number].tolist()

    def send(self, descriptor: int, first: int, number: int, answer: bytes) -> int:
        """Give so many, from `first` on, one answer; how many were sent, at least one. Raises OSError."""
        if answer != self._answer:
            self._answer = answer
            self._answer_kept = ctypes.create_string_buffer(answer, len(answer))
            self._pieces[self.size] = _Piece(ctypes.addressof(self._answer_kept), len(answer))
        sent: int = _LIBC.sendmmsg(descriptor, self._sent_at + first * _MESSAGE, number, _MSG_DONTWAIT)
        return sent if sent > 0 else _done(sent)

    def datagrams(self, number: int) -> Iterator[tuple[bytes, Sender]]:
        """So many, one by one: how each begins, and where it came from."""
        for each in range(number):
            at = each * BEGINNING
            beginning = bytes(self._beginnings[at : at + min(self._lengths[each], BEGINNING)])
            yield beginning, Sender.of(self._source(each), self._control_messages(each))

    def _source(self, number: int) -> tuple[object, ...]:
        at = number * self._family.name_size
        if self._family.level == socket.IPPROTO_IP:
            port, host = struct.unpack_from("!2xH4s", self._names, at)
            return socket.inet_ntop(socket.AF_INET, host), port
        port, flow, host = struct.unpack_from("!2xHI16s", self._names, at)
        (scope,) = struct.unpack_from("=I", self._names, at + 24)
        return socket.inet_ntop(socket.AF_INET6, host), port, flow, scope

    def _control_messages(self, number: int) -> Iterator[ControlMessage]:
        at = number * CONTROL_SIZE
        end = at + self._control_sizes[number]
        while at + _CONTROL.size <= end:
            size, level, kind = _CONTROL.unpack_from(self._controls, at)
            if size < _CONTROL.size:
                return
            yield level, kind, bytes(self._controls[at + _CONTROL.size : min(at + size, end)])
            at += -(-size // _WORD) * _WORD


@lru_cache
def _host(*words: int) -> str:
    """An address from its words."""
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words))


def _done(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
