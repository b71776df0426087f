"""Test web/site.py: the bounds on requests and connections."""

from __future__ import annotations

import json

import pytest
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.logger import LogEvent

from echotime.limits.capacity import MAX_HTTP_CONNECTIONS
from echotime.web.site import IDLE_TIMEOUT, MAX_BODY, MAX_HEADER_BYTES, MAX_HEADERS, REQUEST_TIMEOUT
from tests.support.http_exchange import UNIX, Harness, status_of

GET = b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def harness() -> Harness:
    """Provide a site with the guard."""
    return Harness()


def post(size: int) -> bytes:
    """Return the head of a POST with a body of so many bytes."""
    return b"POST /api HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size


def test_body(harness: Harness) -> None:
    """The longest body is served. A longer one, and one without a length, is refused before it is received."""
    assert harness.status(method="POST", body=b"x" * MAX_BODY) == 200
    assert status_of(harness.send(post(MAX_BODY + 1))) == 413
    chunked = b"POST /api HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    response = harness.send(chunked)
    assert status_of(response) == 411
    assert response.count(b"HTTP/1.1") == 1


def test_expect(harness: Harness) -> None:
    """A client that waits for 100 Continue gets it before the response, and none after a refusal."""
    expecting = post(4).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    assert harness.send(expecting, UNIX) == b"HTTP/1.1 100 Continue\r\n\r\n"
    response = harness.send(expecting.replace(b"Length: 4", b"Length: %d" % (MAX_BODY + 1)), UNIX)
    assert status_of(response) == 413
    assert response.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("request_bytes", [post(MAX_BODY + 1), post(10**19), b"GET\r\n\r\n"])
def test_refused_by_the_head(harness: Harness, request_bytes: bytes) -> None:
    """A refusal by the head alone has a body in JSON, and the headers for browsers."""
    head, _, body = harness.send(request_bytes).partition(b"\r\n\r\n")
    assert list(json.loads(body)) == ["error"]
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in head


@pytest.mark.parametrize("length", ["9" * 5000, "9" * 19, "-1", "1x", "0x10", ""])
def test_faulty_length(harness: Harness, length: str) -> None:
    """A length that is no number, or that Python refuses to convert, is a bad request."""
    assert harness.status(method="POST", Content_Length=length or " ") == 400


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * MAX_HEADER_BYTES + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEADER_BYTES + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (MAX_HEADERS + 1) + b"\r\n",
        b"x" * 10 * MAX_HEADER_BYTES,
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    ],
    ids=range(9),
)
def test_faulty_head(harness: Harness, head: bytes) -> None:
    """A head that is too long or malformed ends the connection, with status 400 if there is an answer."""
    connected = harness.connect()
    assert connected is not None
    connection, transport = connected
    connection.dataReceived(head)
    assert status_of(transport.value()) in {0, 400}
    assert transport.disconnecting


def test_slow_request(harness: Harness) -> None:
    """A request that comes byte by byte has a deadline, which does not begin again with each byte."""
    connected = harness.connect()
    assert connected is not None
    connection, transport = connected
    for byte in GET[:-1]:
        connection.dataReceived(bytes([byte]))
        harness.clock.advance(REQUEST_TIMEOUT / 30)
        if transport.disconnecting:
            break
    assert transport.disconnecting
    assert not transport.value()
    connection.connectionLost()
    assert harness.clock.getDelayedCalls() == []


def test_slow_body(harness: Harness) -> None:
    """A body has the same deadline."""
    connected = harness.connect()
    assert connected is not None
    connection, transport = connected
    connection.dataReceived(post(100) + b"x")
    harness.clock.advance(REQUEST_TIMEOUT / 2)
    connection.dataReceived(b"x")
    harness.clock.advance(REQUEST_TIMEOUT / 2)
    assert transport.disconnecting


def test_keep_alive(harness: Harness) -> None:
    """A connection may wait for a while between two requests, and no longer."""
    connected = harness.connect(UNIX)
    assert connected is not None
    connection, transport = connected
    for _ in range(3):
        connection.dataReceived(GET)
        harness.clock.advance(IDLE_TIMEOUT - 1)
    assert transport.value().count(b"200 OK") == 3
    harness.clock.advance(1)
    assert transport.disconnecting


def test_no_reader(harness: Harness) -> None:
    """A client that does not read the last response is reset after a while."""
    connected = harness.connect(UNIX)
    assert connected is not None
    connection, transport = connected
    connection.dataReceived(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert transport.disconnecting
    harness.clock.advance(IDLE_TIMEOUT)
    harness.clock.advance(connection.abortTimeout)
    assert transport.aborted


def test_half_closed(harness: Harness) -> None:
    """A client that half-closes after its request gets the response, and has no longer to read it than others."""
    connected = harness.connect(UNIX)
    assert connected is not None
    connection, transport = connected
    assert IHalfCloseableProtocol.providedBy(connection)
    connection.dataReceived(GET)
    connection.readConnectionLost()
    assert status_of(transport.value()) == 200
    assert (transport.disconnecting, transport.disconnected) == (True, False)
    harness.clock.advance(IDLE_TIMEOUT)
    harness.clock.advance(connection.abortTimeout)
    assert transport.aborted


def test_half_closed_in_a_request(harness: Harness) -> None:
    """A request that can no longer become whole ends the connection."""
    connected = harness.connect(UNIX)
    assert connected is not None
    connection, transport = connected
    connection.dataReceived(GET[:-1])
    connection.readConnectionLost()
    assert transport.disconnecting
    assert not transport.value()


def test_pipelining(harness: Harness) -> None:
    """Of requests that are sent without waiting, only the first is answered, so that no responses pile up."""
    response = harness.send(GET * 1000, UNIX)
    assert response.count(b"HTTP/1.1") == 1
    assert b"connection: close" in response.lower()


def test_idle_connections(harness: Harness) -> None:
    """Beside any number of idle connections, a new one is served: it evicts the one that waits longest."""
    idle = []
    for _ in range(1000):
        connected = harness.connect()
        assert connected is not None
        idle.append(connected)
        harness.clock.advance(0.001)
    assert len(harness.site.connections) == MAX_HTTP_CONNECTIONS
    assert [each.disconnected for _connection, each in idle] == [True] * (1000 - MAX_HTTP_CONNECTIONS) + [
        False
    ] * MAX_HTTP_CONNECTIONS
    assert status_of(harness.send(GET, UNIX)) == 200


def test_busy_connections(harness: Harness) -> None:
    """Connections that are being answered are not evicted. Beside too many of them, a new one is refused."""
    for _ in range(MAX_HTTP_CONNECTIONS):
        connected = harness.connect()
        assert connected is not None
        connected[0].waiting_since = None
    assert harness.connect() is None


def test_fault(harness: Harness, clean_reactor: list[LogEvent]) -> None:
    """A fault in a resource is status 500 and a log line, at a limited rate. The response does not show it."""
    for _ in range(10):
        response = harness.send(post(4).replace(b"POST", b"GET") + b"fail", UNIX)
        assert status_of(response) == 500
        assert b"on request" not in response
    assert len(clean_reactor) == 5
    clean_reactor.clear()
    harness.clock.advance(1)


def test_stop(harness: Harness) -> None:
    """The end of the listener closes the connections."""
    connected = harness.connect()
    assert connected is not None
    harness.site.stopFactory()
    assert connected[1].disconnecting
