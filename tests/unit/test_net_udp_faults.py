"""net/udp.py and udp_single.py where the kernel refuses for a while: counted, and served on."""

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
    """A call that fails so often, and is `real` otherwise."""

    def __init__(self, real: Any, number: int, times: int) -> None:
        self._real = real
        self._number = number
        self.times = times

    def __call__(self, *args: Any) -> Any:
        """Do it, or fail; the queue of errors is another matter."""
        if self.times and _MSG_ERRQUEUE not in args[2:]:
            self.times -= 1
            raise OSError(self._number, os.strerror(self._number))
        return self._real(*args)


class Failing:
    """What has one call that fails."""

    def __init__(self, real: Any, **calls: Refused) -> None:
        self._real = real
        vars(self).update(calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Asked(NamedTuple):
    """A port in a reactor of its own."""

    port: Any
    reactor: SteppingEPollReactor

    def refuse(self, call: str, number: int, times: int) -> Refused:
        """Let its way to receive or send fail."""
        if self.port._batch is not None:
            batch: Any = self.port._batch
            refused = Refused(getattr(batch, call), number, times)
            setattr(self.port, "_batch", Failing(batch, **{call: refused}))  # noqa: B010 - it stands in for another type
        else:
            name = {"receive": "recvmsg", "send": "sendmsg"}[call]
            refused = Refused(getattr(self.port.socket, name), number, times)
            self.port.socket = Failing(self.port.socket, **{name: refused})
        return refused

    def ask(self, number: int) -> int:
        """So many questions; how many answers."""
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
def asked(request: pytest.FixtureRequest) -> Iterator[Asked]:
    """One, for each way to serve."""
    with stepping() as reactor:
        port = SERVED[request.param].on(reactor=reactor)
        port.startListening()
        yield Asked(port, reactor)


@pytest.mark.parametrize("number", LACKING, ids=errno.errorcode.get)
def test_send(asked: Asked, number: int) -> None:
    """The answers that the kernel does not take are lost and counted, the others leave."""
    refused = asked.refuse("send", number, 3)
    assert asked.ask(5) == 2
    assert refused.times == 0
    assert asked.port.errors == {f"send {errno.errorcode[number]}": 3}
    assert asked.ask(2) == 2


@pytest.mark.parametrize("number", sorted({*LACKING} - {errno.EAGAIN}), ids=errno.errorcode.get)
def test_receive(asked: Asked, number: int) -> None:
    """A question that cannot be received yet is answered when it can, and what failed is counted."""
    refused = asked.refuse("receive", number, 3)
    assert asked.ask(5) == 5
    assert refused.times == 0
    assert asked.port.errors == {f"receive {errno.errorcode[number]}": 3}


def test_receive_fails_for_long(asked: Asked) -> None:
    """Others have their turn meanwhile: a call tries a bounded number of times."""
    refused = asked.refuse("receive", errno.ENOMEM, 10_000)
    asked.ask(1)
    assert 10_000 - refused.times <= 5 * TimePort.max_per_call
    refused.times = 0
    assert asked.ask(1) == 1
