"""Test client/connect.py, echo.py and load.py against echotime's listeners, on a reactor that the test steps."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from echotime.client.connect import ATTEMPT_DELAY, SockoptClient, connect
from echotime.client.deadline import Deadline
from echotime.client.echo import EchoClient
from echotime.client.echo_failure import EchoFailure
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.load import EchoSession, FailureKind, LoadResult, run_load
from echotime.client.lookup import ResolvedAddress
from echotime.sockopt.assignment import Assignment, parse
from echotime.wire.message import ACKNOWLEDGEMENT
from echotime.wire.verify import Cause, EchoVerifier
from tests.support.checked_listeners import Daemon
from tests.support.loopback import get

MESSAGE = bytes(range(256)) * 100


def at(port: Any) -> ResolvedAddress:
    """Return the address of a listener."""
    return ResolvedAddress(socket.AF_INET, "127.0.0.1", port.getHost().port)


def refusing() -> ResolvedAddress:
    """Return an address on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return ResolvedAddress(socket.AF_INET, *sock.getsockname())


@contextmanager
def silent() -> Iterator[ResolvedAddress]:
    """Provide an address whose SYNs are dropped, because its accept queue is full."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        with socket.create_connection(sock.getsockname()):
            yield ResolvedAddress(socket.AF_INET, *sock.getsockname())


class Written:
    """Collect what a client received."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def start(
    daemon: Daemon, addresses: Sequence[ResolvedAddress], sockopts: Sequence[Assignment] = (), seconds: float = 5
) -> Deferred[EchoClient]:
    """Begin to connect a client to the first address that accepts."""
    deadline = Deadline(daemon.reactor, seconds)
    return Deferred.fromCoroutine(connect(daemon.reactor, addresses, lambda: EchoClient(Written()), sockopts, deadline))


def error_of(results: list[Any]) -> ClientError:
    """Return the error with which a Deferred failed."""
    (failed,) = results
    assert isinstance(failed, Failure)
    assert isinstance(failed.value, ClientError)
    return failed.value


def test_connect(daemon: Daemon) -> None:
    """The protocol is connected, knows its address, and has the options that apply to it."""
    daemon.serve()
    wanted = at(daemon.tcp)
    sockopts = [parse(each) for each in ("TCP_MAXSEG=999", "IPV6_V6ONLY=on")]
    (client,) = daemon.wait_for(start(daemon, [wanted], sockopts))
    assert client.address == wanted
    assert client.transport.getPeer().port == wanted.port
    assert get(client.transport.getHandle(), "TCP_MAXSEG") <= 999
    acked = client.bytes_acked()
    client.send(b"hello")
    daemon.reactor.until(lambda: client.received_bytes)
    assert client.bytes_acked() == acked + 5
    client.abort(ClientError(ExitStatus.OK))
    assert error_of(daemon.wait_for(client.ended)).status is ExitStatus.OK


def test_refused(daemon: Daemon) -> None:
    """After a refused address the next one is tried at once, and the last error is reported."""
    daemon.serve()
    connecting = start(daemon, [refusing(), at(daemon.tcp)])
    found: list[EchoClient] = []
    connecting.addCallback(found.append)
    daemon.reactor.until(lambda: found)  # the clock stands still
    found[0].abort(ClientError(ExitStatus.OK))
    error_of(daemon.wait_for(found[0].ended))
    assert error_of(daemon.wait_for(start(daemon, [refusing(), refusing()]))) == ClientError(ExitStatus.REFUSED)


def test_attempts_overlap(daemon: Daemon) -> None:
    """An address that does not answer delays the next attempt by a quarter of a second."""
    daemon.serve()
    with silent() as address:
        found: list[EchoClient] = []
        start(daemon, [address, at(daemon.tcp)]).addCallback(found.append)
        daemon.reactor.clock.advance(ATTEMPT_DELAY - 0.01)
        daemon.settle()
        assert not found
        daemon.reactor.clock.advance(0.02)
        daemon.reactor.until(lambda: found)
        assert found[0].address == at(daemon.tcp)
        found[0].abort(ClientError(ExitStatus.OK))
        error_of(daemon.wait_for(found[0].ended))
        assert error_of(daemon.wait_for(start(daemon, [address], seconds=1))) == ClientError(ExitStatus.TIMED_OUT)


def test_option_that_cannot_be_set(daemon: Daemon) -> None:
    """An option that the kernel rejects is named in the error."""
    daemon.serve()
    found = error_of(daemon.wait_for(start(daemon, [at(daemon.tcp)], [parse("TCP_CONGESTION=none-such")])))
    assert found.status is ExitStatus.FAILED
    assert "TCP_CONGESTION" in found.detail


@pytest.mark.parametrize(
    ("number", "status"), [(errno.ETIMEDOUT, ExitStatus.TIMED_OUT), (errno.EHOSTUNREACH, ExitStatus.FAILED)]
)
def test_error_queue(daemon: Daemon, monkeypatch: pytest.MonkeyPatch, number: int, status: ExitStatus) -> None:
    """An error in the error queue ends the connection, or the attempt; timestamps and an empty queue do not."""
    daemon.serve()
    (client,) = daemon.wait_for(start(daemon, [at(daemon.tcp)]))
    errors: list[int] = []
    monkeypatch.setattr("echotime.client.connect.read_errors", lambda sock, most: errors[:most])
    for harmless in ([], [0, 0]):
        errors[:] = harmless
        client.transport.readConnectionLost(Failure(ConnectionDone()))
        daemon.settle()
        assert client.transport.connected
        assert client.transport in daemon.reactor.getReaders()
    errors[:] = [0, number]
    client.transport.readConnectionLost(Failure(ConnectionDone()))
    assert error_of([client.ended.result]) == ClientError.from_errno(number)
    client.ended.addErrback(bool)
    with silent() as address:
        connecting = start(daemon, [address])
        daemon.settle()
        (transport,) = (each for each in daemon.reactor.getWriters() if isinstance(each, SockoptClient))
        transport.readConnectionLost(Failure(ConnectionDone()))
        assert error_of(daemon.wait_for(connecting)).status is status


class Source:
    """Record whether a client reads this source."""

    reading = False

    def startReading(self) -> None:
        self.reading = True

    def stopReading(self) -> None:
        self.reading = False


class RecordingTransport(StringTransport):
    """Record half-closes, resets and the registered producer."""

    def loseWriteConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True


def client_of(verifier: EchoVerifier | None = None, on_activity: Callable[[], object] = bool) -> Any:
    """Return a client on a transport that records calls, with its sink as `sink`."""
    sink = Written()
    client: Any = EchoClient(sink, verifier, on_activity)
    client.sink = sink
    client.transport = RecordingTransport()
    return client


def test_counts_and_activity() -> None:
    """Sent and received bytes are counted, each is an activity, and the sink gets the received ones."""
    calls: list[None] = []
    client = client_of(None, lambda: calls.append(None))
    client.send(b"hello")
    client.send(b"!")
    client.dataReceived(b"hel")
    client.dataReceived(b"lo")
    assert (client.sent_bytes, client.received_bytes, client.sink.data, len(calls)) == (6, 5, b"hello", 4)
    assert client.transport.value() == b"hello!"


@pytest.mark.parametrize("end", [lambda client: client.half_close(), lambda client: client.readConnectionLost()])
def test_source(end: Callable[[EchoClient], None]) -> None:
    """A source is read, and stopped at the half-close of either side, once."""
    client, source = client_of(), Source()
    client.send_from(source)
    assert source.reading
    assert (client.transport.producer, client.transport.streaming) == (source, True)
    end(client)
    assert not source.reading
    assert client.transport.producer is None
    source.reading = True
    client.connectionLost(Failure(ConnectionDone()))
    assert source.reading, "the source belongs to others now"


def test_source_of_lost_connection() -> None:
    """A source that is paused is stopped when the connection is lost."""
    client, source = client_of(), Source()
    client.send_from(source)
    client.connectionLost(Failure(ConnectionDone()))
    assert not source.reading
    assert client.ended.result is None


def test_half_closes() -> None:
    """Our half-close sends a FIN; that of the server ends the connection."""
    client = client_of()
    client.half_close()
    client.writeConnectionLost()
    assert client.transport.half_closed
    assert not client.transport.disconnecting
    client.readConnectionLost()
    assert client.transport.disconnecting


def test_pause() -> None:
    """The sink pauses the transport, and resumes it."""
    client = client_of()
    client.pauseProducing()
    assert (client.paused, client.transport.producerState) == (True, "paused")
    client.resumeProducing()
    assert (client.paused, client.transport.producerState) == (False, "producing")
    client.stopProducing()
    assert client.transport.producerState == "producing"


def test_first_error_counts() -> None:
    """The first error of an aborted session is reported, and a lost connection without one as a reset."""
    client = client_of()
    client.abort(ClientError(ExitStatus.TIMED_OUT))
    client.abort(ClientError(ExitStatus.FAILED))
    assert client.transport.aborted
    client.connectionLost(Failure(ConnectionLost()))
    assert error_of([client.ended.result]).status is ExitStatus.TIMED_OUT
    client.ended.addErrback(bool)
    other = client_of()
    other.connectionLost(Failure(ConnectionLost()))
    assert error_of([other.ended.result]).status is ExitStatus.RESET
    other.ended.addErrback(bool)


def test_cancel() -> None:
    """Cancelling resets the connection, whose loss is no news any more."""
    client = client_of()
    client.ended.addErrback(bool)
    client.ended.cancel()
    assert client.transport.aborted
    client.connectionLost(Failure(ConnectionLost()))


def test_wrong_byte() -> None:
    """The first wrong byte resets the connection, but reaches the sink; a correct one does not."""
    client = client_of(EchoVerifier())
    client.send(b"hello")
    client.dataReceived(b"hel")
    client.dataReceived(b"lo" + ACKNOWLEDGEMENT[:3])
    assert not hasattr(client.transport, "aborted")
    client.dataReceived(b"?" + bytes(20))
    assert client.transport.aborted
    assert client.sink.data.startswith(b"hello" + ACKNOWLEDGEMENT[:3] + b"?")
    client.connectionLost(Failure(ConnectionLost()))
    assert error_of([client.ended.result]) == ClientError(ExitStatus.FAILED)
    client.ended.addErrback(bool)


def load(
    daemon: Daemon,
    address: ResolvedAddress,
    reply: bytes = b"ok",
    count: int = 5,
    parallel: int = 2,
    *,
    half_close: bool = True,
) -> tuple[LoadResult, int]:
    """Run sessions; return their result, and the most that ran at the same time."""
    running: list[int] = []

    def deadline() -> Deadline:
        running.append(len(daemon.factory.connections))
        return Deadline(daemon.reactor, 5)

    session = EchoSession(daemon.reactor, [address], MESSAGE, ACKNOWLEDGEMENT, reply, deadline, half_close=half_close)
    result = LoadResult()
    daemon.wait_for(Deferred.fromCoroutine(run_load(session, count, parallel, result)))
    return result, max(running) + 1


def test_load(daemon: Daemon) -> None:
    """Every exact session is counted and timed, and no more than the requested number run at once."""
    daemon.serve()
    result, _running = load(daemon, at(daemon.tcp))
    assert (result.started, result.exact, len(result.times)) == (5, 5, 5)
    assert (result.bytes_lost, result.failures, result.address) == (0, {}, at(daemon.tcp))
    assert all(0 < each < 60 for each in result.times)
    assert load(daemon, at(daemon.tcp), parallel=1)[1] == 1
    assert load(daemon, at(daemon.tcp), count=1)[0].started == 1


def test_load_without_half_close(daemon: Daemon) -> None:
    """Without half-close a session ends at the last byte of an exact answer, and the server gets the client's FIN."""
    daemon.serve()
    result, _running = load(daemon, at(daemon.tcp), half_close=False)
    assert (result.exact, result.failures) == (5, {})
    daemon.reactor.until(lambda: not daemon.factory.connections)
    result, _running = load(daemon, at(daemon.tcp), b"other", half_close=False)
    assert [*result.failures] == [Cause.TRAILER]
    (kind,) = result.failures.values()
    assert isinstance(kind.first, EchoFailure)
    assert kind.first.half_closed_seconds is None
    daemon.reactor.until(lambda: not daemon.factory.connections)


def test_load_with_other_reply(daemon: Daemon) -> None:
    """Sessions with wrong bytes are counted by their cause, with the first of them."""
    daemon.serve()
    result, _running = load(daemon, at(daemon.tcp), b"other")
    (kind,) = result.failures.items()
    assert kind[0] is Cause.TRAILER
    assert (kind[1].session, kind[1].count) == (1, 5)
    assert (result.started, result.exact, result.times, result.bytes_lost) == (5, 0, [], 0)


def test_load_refused(daemon: Daemon) -> None:
    """Sessions without a connection are counted by their error, and lose no bytes, because they sent none."""
    daemon.serve()
    result, _running = load(daemon, refusing(), count=3)
    refused = ClientError(ExitStatus.REFUSED)
    assert result.failures == {ExitStatus.REFUSED: FailureKind(1, refused, 3)}
    assert (result.exact, result.bytes_lost, result.address) == (0, 0, None)


def test_load_unanswered(daemon: Daemon) -> None:
    """A session that does not end loses all bytes."""
    daemon.serve()
    daemon.tcp.stopReading()
    result, _running = load(daemon, at(daemon.tcp), count=2)
    assert [*result.failures] == [ExitStatus.TIMED_OUT]
    assert (result.bytes_lost, result.address) == (2 * len(MESSAGE), None)
    daemon.tcp.startReading()
    daemon.settle()
