"""net/udp.py and udp_port.py while system calls fail: errors are counted, and service continues."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from echotime.net.udp import TimePort
from tests.support.loopback import SERVED
from tests.support.stepping_reactor import SteppingEPollReactor, stepping

LACKING = [errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH]
_MSG_ERRQUEUE = 0x2000


class Refused:
    """Fail the first `times` calls, then call `real`."""

    def __init__(self, real: Any, number: int, times: int) -> None:
        self._real = real
        self._number = number
        self.times = times

    def __call__(self, *args: Any) -> Any:
        """Call or fail; reads of the error queue never fail."""
        if self.times and _MSG_ERRQUEUE not in args[2:]:
            self.times -= 1
            raise OSError(self._number, os.strerror(self._number))
        return self._real(*args)


class Failing:
    """Wrap an object, with one method replaced."""

    def __init__(self, real: Any, **calls: Refused) -> None:
        self._real = real
        vars(self).update(calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Bench(NamedTuple):
    """A listening port and its reactor."""

    port: Any
    reactor: SteppingEPollReactor

    def refuse(self, call: str, number: int, times: int) -> Refused:
        """Make the port's receive or send call fail."""
        if self.port._batch is not None:
            batch: Any = self.port._batch
            refused = Refused(getattr(batch, call), number, times)
            setattr(self.port, "_batch", Failing(batch, **{call: refused}))  # noqa: B010 - it stands in for another type
        else:
            name = {"receive": "recvmsg", "send": "sendmsg"}[call]
            refused = Refused(getattr(self.port.socket, name), number, times)
            self.port.socket = Failing(self.port.socket, **{name: refused})
        return refused

    def send_and_count(self, number: int) -> int:
        """Send datagrams and return the number of replies."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(number):
                sock.sendto(b"x", ("127.0.0.1", self.port.getHost().port))
            self.reactor.step(5)
            sock.setblocking(False)
            answers = 0
            try:
                while True:
                    answers += len(sock.recv(9))
            except BlockingIOError:
                return answers


@pytest.fixture(params=["portable", "batched, together"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A listening port of each kind."""
    with stepping() as reactor:
        port = SERVED[request.param].on(reactor=reactor)
        port.startListening()
        yield Bench(port, reactor)


@pytest.mark.parametrize("number", LACKING, ids=errno.errorcode.get)
def test_send(bench: Bench, number: int) -> None:
    """Replies that cannot be sent are counted and lost; the others are sent."""
    refused = bench.refuse("send", number, 3)
    assert bench.send_and_count(5) == 2
    assert refused.times == 0
    assert bench.port.errors == {f"send {errno.errorcode[number]}": 3}
    assert bench.send_and_count(2) == 2


@pytest.mark.parametrize("number", sorted({*LACKING} - {errno.EAGAIN}), ids=errno.errorcode.get)
def test_receive(bench: Bench, number: int) -> None:
    """A datagram that cannot be received yet is answered later, and the failures are counted."""
    refused = bench.refuse("receive", number, 3)
    assert bench.send_and_count(5) == 5
    assert refused.times == 0
    assert bench.port.errors == {f"receive {errno.errorcode[number]}": 3}


def test_flood_of_icmp_errors(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One doRead discards a bounded number of ICMP errors, however fast new ones arrive, and answers what is pending.

    Every call fails once, as it does if an error arrives before each.
    """
    discarded: list[int] = []

    def endless(sock: socket.socket, max_errors: int) -> list[int]:
        discarded.append(max_errors)
        return [errno.ECONNREFUSED] * max_errors

    monkeypatch.setattr("echotime.net.udp_port.read_errors", endless)
    bench.refuse("receive", errno.ECONNREFUSED, 10)
    bench.refuse("send", errno.ECONNREFUSED, 1)
    assert bench.send_and_count(5) == 5
    assert sum(discarded) <= bench.port.batch_size + len(discarded)
    assert bench.port.errors == {"ICMP error": sum(discarded)}


def test_receive_fails_for_long(bench: Bench) -> None:
    """The reactor is not blocked: doRead tries a bounded number of times."""
    refused = bench.refuse("receive", errno.ENOMEM, 10_000)
    bench.send_and_count(1)
    assert 10_000 - refused.times <= 5 * TimePort.max_per_call
    refused.times = 0
    assert bench.send_and_count(1) == 1
