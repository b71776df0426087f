"""net/udp.py with its protocol and reactor: failing, stopping, pausing, and the I/O method."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from twisted.logger import LogEvent

from echotime.limits.datagrams import DatagramBatch
from echotime.net.mmsg import Batch
from echotime.net.udp import TimePort
from tests.support.loopback import SERVED, Constant, options
from tests.support.udp_ports import answered, client, heard, listening

TOGETHER = SERVED["batched, together"]


def test_watched_again() -> None:
    """The reactor does not read the port while many replies are sent, and reads it again afterwards."""
    was_read = []

    class Observing(Constant):
        def batch_response(self, batch: DatagramBatch) -> bytes | None:
            was_read.append(port in port.reactor.getReaders())
            return super().batch_response(batch)

    with listening(TOGETHER._replace(protocol=Observing), "127.0.0.1") as port, client() as sock:
        for number in (1, 64):
            for _ in range(number):
                sock.sendto(b"x", port.socket.getsockname())
            port._next_batch_size = port.batch_size
            port.doRead()
            assert port in port.reactor.getReaders()
        assert was_read == [True, False]


def test_protocol_that_fails(clean_reactor: list[LogEvent]) -> None:
    """No exception of a protocol leaves doRead, because the reactor would close the port."""

    class Failing(Constant):
        def batch_response(self, batch: DatagramBatch) -> bytes | None:
            raise ValueError("no answer")

    with listening(TOGETHER._replace(protocol=Failing), "127.0.0.1") as port, client() as sock:
        sock.sendto(b"x", port.socket.getsockname())
        assert port.doRead() is None
    assert [event["log_format"] for event in clean_reactor] == ["a datagram could not be handled"]
    clean_reactor.clear()


def test_protocol_that_stops_its_port() -> None:
    """A protocol may stop its port while it is called."""

    class Stopping(Constant):
        def batch_response(self, batch: DatagramBatch) -> bytes | None:
            port.stopListening()
            return super().batch_response(batch)

    with listening(TOGETHER._replace(protocol=Stopping), "127.0.0.1") as port, client() as sock:
        for _ in range(40):
            sock.sendto(b"x", port.socket.getsockname())
        assert port.doRead() is None
        assert len(heard(sock)) == 40
        port.reactor.advance(0)
        assert not port.connected
        assert port not in port.reactor.getReaders()


@pytest.mark.parametrize(
    ("interface", "sources", "expected"),
    [
        ("0.0.0.0", ["127.0.0.2"], {"127.0.0.2": 3}),
        ("0.0.0.0", ["127.0.0.2", "127.0.0.3"], {"127.0.0.2": 3, "127.0.0.3": 3}),
        ("::", ["::1", "127.0.0.3"], {"::1": 3, "::ffff:127.0.0.3": 3}),
    ],
)
@pytest.mark.parametrize("batched", [True, False])
def test_sources(interface: str, sources: list[str], expected: dict[str, int], batched: bool) -> None:
    """A protocol can count the datagrams by source, and have them passed one by one."""
    batches: list[Mapping[str, int]] = []

    class ByHost(Constant):
        def batch_response(self, batch: DatagramBatch) -> bytes | None:
            batches.append(batch.hosts())
            assert batch.count == sum(batches[-1].values())
            return super().batch_response(batch) if batched else None

    with listening(TOGETHER._replace(protocol=ByHost), interface) as port:
        port._next_batch_size = port.batch_size
        for source in sources:
            with client(host=source) as sock:
                for _ in range(3):
                    sock.sendto(b"x", ("::1" if ":" in source else "127.0.0.1", port.getHost().port))
        port.doRead()
        assert batches == [expected]
        assert (port.protocol.singly, port.protocol.together) == (
            (0, [port.protocol.given]) if batched else (3 * len(sources), [])
        )


@pytest.mark.parametrize("works", [False, True])
def test_path(monkeypatch: pytest.MonkeyPatch, works: bool) -> None:
    """Without the system calls the port works one datagram a call, as `io_method` shows."""
    monkeypatch.setattr(Batch, "is_supported", lambda batch, descriptor: works)
    with listening(TOGETHER, "127.0.0.1") as port:
        assert (port.io_method == TimePort.io_method) is not works
        assert ("64 datagrams a call" in port.io_method) is works
        assert answered(port, port.socket.getsockname()) == b"x"
        assert port.protocol.singly == (not works)
        port.set_option(options("SO_PRIORITY=0")[0])
        assert answered(port, port.socket.getsockname()) == b"x"
    assert "one datagram a call" in TimePort.io_method


def test_batches_grow_under_load() -> None:
    """The batch size starts small, and doubles while batches are full."""
    together: list[int] = []

    class Counting(Constant):
        def batch_response(self, batch: DatagramBatch) -> bytes | None:
            together.append(batch.count)
            return super().batch_response(batch)

    with listening(TOGETHER._replace(protocol=Counting), "127.0.0.1") as port, client() as sock:
        port._next_batch_size = 2
        for _ in range(300):
            sock.sendto(b"x", port.socket.getsockname())
        port.doRead()
        assert together == [2, 4, 8, 16, 32, 64, 64, 64, 2]
        together.clear()
        port.doRead()
        assert sum(together) == 44
        for number in (3, 3):
            together.clear()
            for _ in range(number):
                sock.sendto(b"x", port.socket.getsockname())
            port.doRead()
        assert together == [3]
