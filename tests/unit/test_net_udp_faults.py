"""Test net/udp.py while the kernel refuses calls: errors are counted, and the port serves on."""

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
    """Fail a number of times, and call `real` afterwards."""

    def __init__(self, real: Any, number: int, times: int) -> None:
        self._real = real
        self._number = number
        self.times = times

    def __call__(self, *args: Any) -> Any:
        """Fail or call; reads of the error queue always work."""
        if self.times and _MSG_ERRQUEUE not in args[2:]:
            self.times -= 1
            raise OSError(self._number, os.strerror(self._number))
        return self._real(*args)


class Failing:
    """Replace some calls of an object."""

    def __init__(self, real: Any, **calls: Refused) -> None:
        self._real = real
        vars(self).update(calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class FaultyPort(NamedTuple):
    """Hold a port in a reactor of its own, whose calls can fail."""

    port: Any
    reactor: SteppingEPollReactor

    def refuse(self, call: str, number: int, times: int) -> Refused:
        """Make the port's call to receive or to send fail."""
        if self.port._batch is not None:
            batch: Any = self.port._batch
            refused = Refused(getattr(batch, call), number, times)
            setattr(self.port, "_batch", Failing(batch, **{call: refused}))  # noqa: B010 - it stands in for another type
        else:
            name = {"receive": "recvmsg", "send": "sendmsg"}[call]
            refused = Refused(getattr(self.port.socket, name), number, times)
            self.port.socket = Failing(self.port.socket, **{name: refused})
        return refused

    def request(self, number: int) -> int:
        """Send so many requests and return the number of answers."""
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
def faulty(request: pytest.FixtureRequest) -> Iterator[FaultyPort]:
    """Provide a port for each way of serving."""
    with stepping() as reactor:
        port = SERVED[request.param].on(reactor=reactor)
        port.startListening()
        yield FaultyPort(port, reactor)


@pytest.mark.parametrize("number", LACKING, ids=errno.errorcode.get)
def test_send(faulty: FaultyPort, number: int) -> None:
    """Answers that the kernel refuses are lost and counted, and the others are sent."""
    refused = faulty.refuse("send", number, 3)
    assert faulty.request(5) == 2
    assert refused.times == 0
    assert faulty.port.errors == {f"send {errno.errorcode[number]}": 3}
    assert faulty.request(2) == 2


@pytest.mark.parametrize("number", sorted({*LACKING} - {errno.EAGAIN}), ids=errno.errorcode.get)
def test_receive(faulty: FaultyPort, number: int) -> None:
    """A request that cannot be received at once is answered later, and the failures are counted."""
    refused = faulty.refuse("receive", number, 3)
    assert faulty.request(5) == 5
    assert refused.times == 0
    assert faulty.port.errors == {f"receive {errno.errorcode[number]}": 3}


def test_receive_fails_for_long(faulty: FaultyPort) -> None:
    """A call retries a bounded number of times, so that others have their turn."""
    refused = faulty.refuse("receive", errno.ENOMEM, 10_000)
    faulty.request(1)
    assert 10_000 - refused.times <= 5 * TimePort.max_per_call
    refused.times = 0
    assert faulty.request(1) == 1
