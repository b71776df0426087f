"""net/mmsg.py: the structures of the system calls, and the fallback without the calls."""

from __future__ import annotations

import ctypes
import errno
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from echotime.net import mmsg
from echotime.net.pktinfo import ANCILLARY_SIZE
from echotime.net.udp import TimePort
from tests.support.loopback import SERVED, bound
from tests.support.udp_ports import answered, listening

PROGRAM = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <netinet/in.h>
#define SIZE(type) printf("%zu ", sizeof(type))
#define PLACE(type, field) printf("%zu ", offsetof(type, field))
int main(void)
{
    SIZE(struct iovec); PLACE(struct iovec, iov_len);
    SIZE(struct msghdr); PLACE(struct msghdr, msg_namelen); PLACE(struct msghdr, msg_iov);
    PLACE(struct msghdr, msg_iovlen); PLACE(struct msghdr, msg_control); PLACE(struct msghdr, msg_controllen);
    PLACE(struct msghdr, msg_flags);
    SIZE(struct mmsghdr); PLACE(struct mmsghdr, msg_len);
    SIZE(struct cmsghdr); PLACE(struct cmsghdr, cmsg_level); PLACE(struct cmsghdr, cmsg_type);
    SIZE(struct sockaddr_in); SIZE(struct sockaddr_in6);
    PLACE(struct sockaddr_in6, sin6_scope_id); PLACE(struct sockaddr_in6, sin6_addr);
    printf("%zu %zu ", CMSG_SPACE(sizeof(struct in_pktinfo)), CMSG_SPACE(sizeof(struct in6_pktinfo)));
    PLACE(struct in_pktinfo, ipi_ifindex); PLACE(struct in6_pktinfo, ipi6_ifindex);
    printf("%d %d", MSG_DONTWAIT | MSG_TRUNC, IPV6_PKTINFO);
}
"""


@pytest.mark.parametrize(
    ("platform", "word", "has_calls", "available"),
    [("linux", 8, True, True), ("darwin", 8, True, False), ("linux", 4, True, False), ("linux", 8, False, False)],
)
def test_available(monkeypatch: pytest.MonkeyPatch, platform: str, word: int, has_calls: bool, available: bool) -> None:
    """The calls are used on 64-bit Linux only, and only if the C library has them."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "sizeof", lambda structure: word)
    monkeypatch.setattr(mmsg, "_LIBC", SimpleNamespace(sendmmsg=None) if has_calls else object())
    assert mmsg.is_available() is available


def places(structure: Any, *fields: str) -> list[int]:
    """Return the size of a structure and the offsets of some fields."""
    return [ctypes.sizeof(structure), *(getattr(structure, field).offset for field in fields)]


@pytest.mark.skipif(not mmsg.is_available(), reason="these calls are Linux's, and known with words of eight bytes")
def test_structures(tmp_path: Path) -> None:
    """Sizes and offsets are those of the system's own headers."""
    if not (compiler := shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("a C compiler is needed to know the system's structures")
    source, program = tmp_path / "sizes.c", tmp_path / "sizes"
    source.write_text(PROGRAM, encoding="ascii")
    made = subprocess.run([compiler, "-o", program, source], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"the C compiler has no headers: {made.stderr}")
    of_system = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    header = ("name_size", "pieces", "number_of_pieces", "control", "control_size", "flags")
    ipv4, ipv6 = mmsg._FAMILIES[socket.AF_INET], mmsg._FAMILIES[socket.AF_INET6]
    batches = [mmsg.Batch(1, family, pktinfo=True) for family in (socket.AF_INET, socket.AF_INET6)]
    ours = [
        *places(mmsg._Iovec, "size"),
        *places(mmsg._Msghdr, *header),
        *places(mmsg._Mmsghdr, "length"),
        *(mmsg._CMSGHDR.size, mmsg._WORD_SIZE, mmsg._WORD_SIZE + 4),
        *(ipv4.sockaddr_size, ipv6.sockaddr_size, 24, 8),
        *(each._pktinfo_size for each in batches),
        *(ipv4.interface_offset, ipv6.interface_offset),
        *(mmsg._MSG_DONTWAIT | mmsg._MSG_TRUNC, ipv6.cmsg_type),
    ]
    assert ours == [int(each) for each in of_system.split()]


class Refusing:
    """A C library whose calls fail with an error, as under a system call filter."""

    def __init__(self, *names: str, number: int) -> None:
        def refuse(*_args: Any) -> int:
            ctypes.set_errno(number)
            return -1

        for name in names:
            setattr(self, name, refuse)

    def __getattr__(self, name: str) -> Any:
        return lambda *_args: 0


@pytest.mark.parametrize("call", ["recvmmsg", "sendmmsg"])
@pytest.mark.parametrize(("number", "works"), [(errno.ENOSYS, False), (errno.EPERM, False), (errno.ECONNREFUSED, True)])
def test_calls_that_are_refused(monkeypatch: pytest.MonkeyPatch, call: str, number: int, works: bool) -> None:
    """If a call is missing or forbidden, the port works one datagram a call."""
    batch = mmsg.Batch(4, socket.AF_INET, pktinfo=False)
    with bound(socket.SOCK_DGRAM) as sock, monkeypatch.context() as patch:
        assert batch.is_supported(sock.fileno())
        patch.setattr(mmsg, "_LIBC", Refusing(call, number=number))
        assert batch.is_supported(sock.fileno()) is works
        if not works:
            with listening(SERVED["batched, together"], "127.0.0.1") as port:
                assert port.io_method == TimePort.io_method
                assert answered(port, port.socket.getsockname()) == b"x"


def test_nothing_stale() -> None:
    """A batch shows no lengths, sources or control messages of an earlier, larger one."""
    batch = mmsg.Batch(4, socket.AF_INET, pktinfo=True)
    assert len(batch._ancillary) == 4 * ANCILLARY_SIZE
    with bound(socket.SOCK_DGRAM) as sock, bound(socket.SOCK_DGRAM) as first, bound(socket.SOCK_DGRAM) as second:
        sock.setsockopt(socket.IPPROTO_IP, 8, 1)
        for each in (first, first, second):
            each.sendto(b"long", sock.getsockname())
        assert batch.receive(sock.fileno(), batch.size) == 3
        sources = [sender for _, sender in batch.datagrams()]
        assert sources == [first.getsockname()] * 2 + [second.getsockname()]
        assert all(each.ancillary for each in sources)
        sock.setsockopt(socket.IPPROTO_IP, 8, 0)
        second.sendto(b"-", sock.getsockname())
        assert batch.receive(sock.fileno(), batch.size) == 1
        assert not batch.check_addresses(0)
        [(datagram, sender)] = batch.datagrams()
        assert (datagram, sender, sender.ancillary) == (b"-", second.getsockname(), ())
        sock.setsockopt(socket.SOL_SOCKET, 29, 1)  # SO_TIMESTAMP, which is as long as IP_PKTINFO
        second.sendto(b"-", sock.getsockname())
        assert batch.receive(sock.fileno(), batch.size) == 1
        assert not batch.check_addresses(0)
        sock.setsockopt(socket.SOL_SOCKET, 29, 0)
        sock.setsockopt(socket.IPPROTO_IP, 8, 1)
        second.sendto(b"-", sock.getsockname())
        assert batch.receive(sock.fileno(), batch.size) == 1
        assert batch.check_addresses(0)
        # no lengths of the earlier, larger batch
        assert batch.lengths() == [1]
        assert batch.receive(sock.fileno(), batch.size) == 0


def test_sources() -> None:
    """A source is the tuple of the socket module, for IPv6 with the scope."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::", 0))
        for family, host in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")):
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.connect((host, sock.getsockname()[1]))
                sender.send(b"1")
                sender.send(b"2")
                batch = mmsg.Batch(1, socket.AF_INET6, pktinfo=False)
                assert batch.receive(sock.fileno(), batch.size) == 1
                assert [tuple(each) for _, each in batch.datagrams()] == [sock.recvmsg(1)[3]]


@pytest.mark.parametrize(("family", "host", "option"), [(socket.AF_INET, "127.0.0.1", 8), (socket.AF_INET6, "::1", 49)])
def test_no_interface(family: socket.AddressFamily, host: str, option: int) -> None:
    """Replies leave by the route's interface, not by the one that received the datagram."""
    batch = mmsg.Batch(2, family, pktinfo=True)
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.setsockopt(socket.IPPROTO_IP if family == socket.AF_INET else socket.IPPROTO_IPV6, option, 1)
        for _ in range(2):
            sock.sendto(b"x", sock.getsockname())
        assert batch.receive(sock.fileno(), batch.size) == 2
        assert list(batch._interfaces) == [socket.if_nametoindex("lo")] * 2
        assert batch.check_addresses(0)
        assert list(batch._interfaces) == [0, 0]
