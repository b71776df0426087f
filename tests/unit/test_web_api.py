"""Test web/api.py and web/events.py: requests in JSON, and the event stream, over connections in memory."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from echotime.control import backend as backend_module
from echotime.control.backend import ControlBackend
from echotime.health.check import HealthStatus, ProbeResult
from echotime.health.readiness import Readiness
from echotime.operators.reply_queue import QueueLimits, ReplyQueue
from echotime.services.echo_factory import EchoFactory
from echotime.services.traffic import MAX_OBSERVED_MESSAGES, TrafficLog
from echotime.web.api import build_api
from echotime.web.events import MAX_STREAMS
from echotime.web.site import IDLE_TIMEOUT
from echotime.web.state import WebState
from tests.support.api_client import APIClient

CLIENT = IPv4Address("TCP", "192.0.2.1", 5000)
HOSTILE = b"<img src=x onerror=alert(1)>\x00\xff\r\n\ndata: x"


class _Connection(SimpleNamespace):
    """Stand for a connection, which is hashed by identity."""

    def __hash__(self) -> int:  # type: ignore[override]  # typeshed says that there is none
        return id(self)


class Page:
    """Run the API of the page on a daemon without listeners."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.traffic = TrafficLog(self.clock)
        self.queue = ReplyQueue(self.clock, b"default", QueueLimits(wait_for_operator=True))
        self.factory = EchoFactory(self.traffic)
        readiness = Readiness(self.clock)
        self.backend = ControlBackend(self.factory, [], [], cast(Any, None), readiness, lambda: "synchronized")
        results = [ProbeResult("TCP 127.0.0.1:7", HealthStatus.HUNG, reason="the port is closed")]
        health: Any = SimpleNamespace(results=results, checked_at=0.0, hung=results)
        self.state = WebState(
            backend=self.backend,
            factory=self.factory,
            queue=self.queue,
            traffic=self.traffic,
            readiness=readiness,
            health=health,
            listeners=[],
            errors=lambda transport: {},
            read_clock=cast(Any, None),
            reload_succeeded=lambda: True,
            encoding="utf-8",
            reactor=self.clock,
        )
        self.api = build_api(self.state)
        self.client = self.connect()

    def connect(self) -> APIClient:
        """Return another connection of a browser."""
        return APIClient(self.api, self.clock)

    def ask(self, message: bytes) -> Deferred[Any]:
        """Let a message of a client await a reply."""
        reply = self.queue.reply_to(message, CLIENT)
        assert isinstance(reply, Deferred)
        return reply

    def fake_connections(self, monkeypatch: pytest.MonkeyPatch, count: int) -> list[Any]:
        """Open connections whose kernel figures and counters depend on their number."""
        monkeypatch.setattr(backend_module, "read_tcp_info", lambda sock: sock)
        made: list[Any] = []
        for number in range(1, count + 1):
            info = SimpleNamespace(rtt=number % 7 * 1000, total_retransmits=0)
            transport = SimpleNamespace(socket=info, unacked_bytes=lambda: 0)
            made.append(
                _Connection(
                    number=number,
                    peer=f"192.0.2.1:{number}",
                    via="",
                    connected_at=-float(number),
                    bytes_in=number * 10 % 31,
                    bytes_out=0,
                    messages=0,
                    awaiting_reply=False,
                    transport=transport,
                    factory=None,
                )
            )
        self.factory.connections.update(cast(Any, made))
        return made


@pytest.fixture
def page() -> Page:
    """Return the API of a daemon."""
    return Page()


def test_status(page: Page) -> None:
    """The status has the last known health, the totals, and the name of the operator who asks."""
    page.traffic.counters.messages = 3
    page.ask(b"hello")
    status = page.client.get("/status").json
    assert status["health"][0]["status"] == "hung"
    assert (status["questions"], status["operators"]) == (1, 0)
    assert status["totals"]["messages"] == 3
    assert status["refusals"] == {}
    assert status["you"] == "page: 127.0.0.1"


@pytest.mark.parametrize(
    ("sort", "order", "first"),
    [("number", "desc", [30, 29]), ("age", "desc", [30, 29]), ("age", "asc", [1, 2]), ("rtt", "desc", [6, 13])],
)
def test_connections_by_column(
    page: Page, monkeypatch: pytest.MonkeyPatch, sort: str, order: str, first: list[int]
) -> None:
    """The first connections by any column are listed, and the number of all is said."""
    page.fake_connections(monkeypatch, 30)
    listed = page.client.get(f"/connections?sort={sort}&order={order}&limit=2").json
    assert listed["total"] == 30
    numbers = [each["number"] for each in listed["rows"]]
    if sort == "rtt":  # equal values are in no order
        assert [number % 7 for number in numbers] == [number % 7 for number in first]
    else:
        assert numbers == first


def test_every_column_sorts(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each column of a row is accepted as an order, and documented."""
    documented = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
    page.fake_connections(monkeypatch, 3)
    (row, *_) = page.client.get("/connections").json["rows"]
    assert set(row) == set(backend_module.CONNECTION_COLUMNS)
    for column in row:
        assert page.client.get(f"/connections?sort={column}").status == 200
        assert f"`{column}`" in documented


def test_kernel_column_reads_few(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many connections, a column of the kernel orders the newest ones only."""
    monkeypatch.setattr(backend_module, "MAX_KERNEL_SORTED", 5)
    page.fake_connections(monkeypatch, 30)
    rows = page.client.get("/connections?sort=rtt").json["rows"]
    assert {each["number"] for each in rows} == {26, 27, 28, 29, 30}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/connections?limit=201", "limit must be 1 to 200"),
        ("/connections?limit=0", "limit must be 1 to 200"),
        ("/connections?limit=%C2%B2", "limit must be 1 to 200"),
        ("/connections?sort=__class__", "sort must be one of number, peer, via"),
        ("/connections?order=up", "order must be asc or desc"),
        ("/connections?color=red", "unexpected argument 'color'; expected sort, order, limit"),
        ("/explain?name=SO_NONE", "unknown option"),
        ("/explain?name=SO_KEEPALIVE&lang=../../etc", "lang must be en or zh_CN"),
        ("/sockopts?names=SO_NONE", "unknown option"),
        ("/sockopts?target=foo", "unknown target 'foo'; expected tcp, udp or a connection number"),
        ("/sockopts?names=" + "x" * 1001, "names must not exceed 1000 characters"),
    ],
)
def test_bad_query(page: Page, path: str, reason: str) -> None:
    """A wrong argument is status 400, with the reason."""
    response = page.client.get(path)
    assert response.status == 400
    assert reason in response.json["error"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[]", "must be a JSON object"),
        (b"{", "must be a JSON object"),
        (b"[" * 50000, "must be a JSON object"),
        (b"\xff", "must be a JSON object"),
        (b"{}", "missing field 'number'"),
        (b'{"number": true, "reply": ""}', "number must be an integer"),
        (b'{"number": 1.0, "reply": ""}', "number must be an integer"),
        (b'{"number": 1, "reply": 2}', "reply must be a string"),
        (b'{"number": 1, "reply": "", "by": "root"}', "unexpected field 'by'; expected number, reply, raw"),
        (b'{"number": 1, "reply": "a\\nb"}', "control characters are not allowed"),
        (b'{"number": 1, "reply": "\\ud800"}', "cannot be written in utf-8"),
        (b'{"number": 1, "reply": "\\\\q", "raw": true}', "unknown escape"),
        (b'{"number": 1, "reply": "%s"}' % (b"x" * 65536), "must not exceed 65535 bytes"),
    ],
)
def test_bad_body(page: Page, body: bytes, reason: str) -> None:
    """A wrong body is status 400, with the reason, and the question stays."""
    page.ask(b"hello")
    page.client.send("POST", "/answer", body)
    response = page.client.response()
    assert response.status == 400
    assert reason in response.json["error"]
    assert len(page.queue.pending) == 1


def test_answer(page: Page) -> None:
    """A reply reaches the client, and the second one hears who was first."""
    replies: list[Any] = []
    page.ask(b"hello").addCallback(replies.append)
    assert page.client.post("/answer", {"number": 1, "reply": "grüß\\n", "raw": True}).json == {
        "peer": "192.0.2.1:5000"
    }
    assert replies == ["grüß\n".encode()]
    second = page.client.post("/answer", {"number": 1, "reply": "x"})
    assert (second.status, second.json) == (409, {"error": "question 1: answered by page: 127.0.0.1"})


def test_questions_as_text(page: Page) -> None:
    """A pending message is one line of printable text."""
    page.ask(HOSTILE)
    (row,) = page.client.get("/questions").json["rows"]
    assert row["message"] == "<img src=x onerror=alert(1)>\\x00\\xff\\r\\n\\ndata: x"


def test_methods(page: Page) -> None:
    """Reading is GET, writing is POST, and nothing else."""
    for path, method, allowed in (("/status", "POST", "GET, HEAD"), ("/close", "GET", "POST")):
        page.client.send(method, path)
        response = page.client.response()
        assert response.status == 405
        assert f"Allow: {allowed}" in response.header


def test_commands_refused(page: Page) -> None:
    """A command that the backend refuses is status 409, with its reason."""
    for path in ("/close", "/reset"):
        response = page.client.post(path, {"number": 5})
        assert (response.status, response.json) == (409, {"error": "no connection 5"})
    response = page.client.post("/set", {"target": "udp", "assignment": "SO_BROADCAST=on"})
    assert (response.status, response.json) == (409, {"error": "SO_BROADCAST has no effect on udp"})


@pytest.mark.parametrize(
    ("target", "assignment", "reason"),
    [
        ("udp", "SO_KEEPALIVE=maybe", "is not a switch"),
        ("tcp", "SO_KEEPALIV=on", "the nearest is SO_KEEPALIVE"),
        ("tcp", "", "expected [tcp:|udp:]NAME=VALUE"),
        ("foo", "SO_KEEPALIVE=on", "unknown target 'foo'"),
    ],
)
def test_bad_assignment(page: Page, target: str, assignment: str, reason: str) -> None:
    """A wrong argument is status 400 for a command, too."""
    response = page.client.post("/set", {"target": target, "assignment": assignment})
    assert response.status == 400
    assert reason in response.json["error"]


def test_explain(page: Page) -> None:
    """The catalogue explains an option in both languages."""
    english = page.client.get("/explain?name=SO_KEEPALIVE").json
    chinese = page.client.get("/explain?name=SO_KEEPALIVE&lang=zh_CN").json
    assert english["settable"]
    assert english["meaning"].isascii()
    assert chinese["meaning"] != english["meaning"]


def test_texts(page: Page) -> None:
    """The page gets the daemon's own texts in Chinese, with the same fields, and not the catalogue's header."""
    texts = page.client.get("/texts?lang=zh_CN").json
    assert texts["answered by {name}"] == "由 {name} 应答"
    assert texts["on or off"] == "on 或 off"
    assert texts["Operation not permitted"] == "不允许的操作"
    assert "" not in texts
    assert page.client.get("/texts").json == {each: each for each in texts}


def test_stream_watches(page: Page) -> None:
    """GET has the status every second and what happens, but no questions, and is no operator."""
    page.client.send("GET", "/events")
    assert "text/event-stream" in page.client.transport.value().decode()
    assert [name for name, _ in page.client.events()] == ["status"]
    page.ask(b"hello")
    for observer in page.traffic._observers:
        observer.message_received(7, "192.0.2.1:5000", HOSTILE)
    assert page.queue.operator_count == 0
    ((name, event),) = page.client.events()
    assert (name, event["message"], event["size"]) == (
        "message",
        "<img src=x onerror=alert(1)>\\x00\\xff\\r\\n\\ndata: x",
        len(HOSTILE),
    )
    page.clock.advance(1)
    assert [name for name, _ in page.client.events()] == ["status"]


def test_flood_of_messages(page: Page) -> None:
    """Beyond the limit of a second, messages cost the daemon no more than without a stream, and are counted."""
    page.client.send("GET", "/events")
    page.client.events()
    connection: Any = _Connection(number=7, peer="192.0.2.1:5000", via="", messages=2)
    for _ in range(MAX_OBSERVED_MESSAGES + 50):
        assert page.traffic.wants_messages
        page.traffic.message_received(connection, b"x")
        if not page.traffic.wants_messages:
            break
    page.traffic.unlogged_messages += 1000
    page.clock.advance(1)
    assert page.traffic.wants_messages
    events = page.client.events()
    names = [name for name, _ in events]
    assert names.count("message") == MAX_OBSERVED_MESSAGES
    assert [event["count"] for name, event in events if name == "events_dropped"] == [1001]
    page.client.close()
    assert not page.traffic.wants_messages


def test_stream_of_operator(page: Page) -> None:
    """POST is present as an operator, gets what is pending, and hears who answers."""
    page.ask(b"before")
    page.client.send("POST", "/events", b"{}")
    assert page.queue.operator_count == 1
    page.ask(b"after")
    page.queue.answer(2, b"", "root (pid 1)")
    events = page.client.events()
    assert [name for name, _ in events] == ["question", "status", "question", "question_settled"]
    assert events[-1][1]["how"] == "answered by root (pid 1)"
    page.client.close()
    assert page.queue.operator_count == 0
    assert not page.clock.getDelayedCalls()


def test_slow_reader(page: Page) -> None:
    """Events that a slow reader missed are left out and counted. Questions are not."""
    page.client.send("POST", "/events", b"{}")
    page.client.events()
    producer = page.client.transport.producer
    assert producer is not None
    producer.pauseProducing()
    for number in range(7):
        for observer in page.traffic._observers:
            observer.message_received(7, "192.0.2.1:5000", b"%d" % number)
    page.clock.advance(3)
    page.ask(b"hello")
    assert [name for name, _ in page.client.events()] == ["question"]
    producer.resumeProducing()
    ((name, dropped),) = page.client.events()
    assert (name, dropped["count"]) == ("events_dropped", 7)


def test_stalled_operator(page: Page) -> None:
    """An operator who does not read questions is disconnected."""
    page.client.transport.dataBuffer = b"x" * 2**21
    page.queue.limits = QueueLimits(max_pending=10, wait_for_operator=True)
    page.client.send("POST", "/events", b"{}")
    page.client.transport.offset = 2**21
    page.ask(b"the kernel has taken all output")
    assert not page.client.transport.aborted
    page.client.transport.offset = 0
    page.ask(b"hello")
    assert page.client.transport.aborted


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_stream_that_is_not_read(page: Page, method: str) -> None:
    """A stream whose output is not read for IDLE_TIMEOUT is reset. Reading in time begins that time anew."""
    page.client.send(method, "/events", b"{}" if method == "POST" else b"")
    producer = page.client.transport.producer
    assert producer is not None
    for _ in range(3):
        producer.pauseProducing()
        page.clock.pump([1] * int(IDLE_TIMEOUT - 1))
        producer.resumeProducing()
        page.clock.advance(1)
    producer.pauseProducing()
    page.clock.pump([1] * int(IDLE_TIMEOUT - 1))
    producer.pauseProducing()
    assert not page.client.transport.aborted
    page.clock.advance(1)
    assert page.client.transport.aborted
    page.client.close()
    assert page.queue.operator_count == 0
    assert not page.clock.getDelayedCalls()


def test_stream_of_a_host_that_is_gone(page: Page) -> None:
    """The kernel ends a stream over TCP whose output is not acknowledged for IDLE_TIMEOUT."""
    page.client.get("/status")
    assert page.client.transport.handle.options == {}
    page.client.send("GET", "/events")
    milliseconds = page.client.transport.handle.options[socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT]
    assert milliseconds == 1000 * IDLE_TIMEOUT


def test_half_closed_stream(page: Page) -> None:
    """A client that half-closes is gone: browsers do nothing else. Its stream ends at once, with its presence."""
    page.client.send("POST", "/events", b"{}")
    assert page.queue.operator_count == 1
    page.client.channel.readConnectionLost()
    assert page.client.transport.disconnected
    assert page.queue.operator_count == 0


def test_cap_of_streams(page: Page) -> None:
    """One stream too many is refused, and the end of another makes room."""
    clients = [page.connect() for _ in range(MAX_STREAMS + 1)]
    for each in clients:
        each.send("GET", "/events")
    assert clients[-1].response().status == 503
    clients[0].close()
    clients[-1].send("GET", "/events")
    assert clients[-1].response().status == 200
