"""Test operators/ and its control clients: a script as the operator, encoded replies, and the line editor."""

from __future__ import annotations

import re
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echotime.control import commands
from echotime.control.peer import PeerPolicy
from echotime.control.server import ControlFactory, ControlProtocol
from echotime.control.subscriber import MAX_EVENTS, EventSubscriber, unsent_bytes
from echotime.operators.encode import InvalidReply, encode_reply
from echotime.operators.line_editor import LineEditor
from echotime.operators.reply_queue import PendingMessage, ReplyQueue
from echotime.operators.stdin_operator import StdinOperator
from echotime.services.traffic import TrafficLog
from echotime.wire.template import Text
from tests.support.peer_address import peer


class PipeTests(SynchronousTestCase):
    """Feed a StdinOperator by hand."""

    def setUp(self) -> None:
        """Attach a script as the operator."""
        self.queue = ReplyQueue(Clock(), b"no")
        self.pipe = StdinOperator(self.queue, 0, None)
        self.reading: list[str] = []
        self.pipe._input.startReading = lambda: self.reading.append("start")  # type: ignore[method-assign]
        self.pipe._input.stopReading = lambda: self.reading.append("stop")  # type: ignore[method-assign]
        self.pipe.start()

    def ask(self, port: int) -> Deferred[Text]:
        """Add a question, which must stay pending."""
        reply = self.queue.reply_to(b"hello", peer(port))
        assert isinstance(reply, Deferred)
        return reply

    def test_lines(self) -> None:
        """Each line is a reply, in the order of the questions, unchanged; lines may come before questions."""
        replies = [self.ask(port) for port in (1, 2)]
        self.pipe._received(b"o")
        self.assertNoResult(replies[0])
        self.pipe._received(b"ne\n\ntab\tand \xff\nla")
        self.assertEqual([self.successResultOf(each) for each in replies], [b"one", b""])
        self.assertEqual(self.successResultOf(self.ask(3)), b"tab\tand \xff")

    def test_reads_on_demand(self) -> None:
        """Standard input is read only while a question is pending."""
        self.assertEqual(self.reading, [])
        self.ask(1)
        self.assertEqual(self.reading, ["start"])
        self.pipe._received(b"x\n")
        self.assertEqual(self.reading, ["start", "stop"])

    def test_end(self) -> None:
        """At the end of file the last replies are given, then the operator leaves and the rest gets the fallback."""
        replies = [self.ask(port) for port in (1, 2, 3)]
        self.pipe._received(b"one\ntwo")
        self.pipe._on_eof()
        self.assertEqual([self.successResultOf(each) for each in replies], [b"one", b"two", b"no"])
        self.assertEqual(self.queue.operator_count, 0)

    def test_end_before_a_question(self) -> None:
        """Replies left at the end of file are still given."""
        reply = self.ask(1)
        self.pipe._received(b"one\ntwo\n")
        self.pipe._on_eof()
        self.successResultOf(reply)
        self.assertEqual(self.successResultOf(self.ask(2)), b"two")
        self.assertEqual(self.successResultOf(self.ask(3)), b"no")

    def test_endless_line(self) -> None:
        """A line without an end is cut."""
        replies = [self.ask(port) for port in (1, 2)]
        for _ in range(3):
            self.pipe._received(b"x" * 60000)
        self.assertEqual(self.successResultOf(replies[0]), b"x" * 120000)


class Unread:
    """Stand for a transport whose peer has this many bytes left to read."""

    offset, _tempDataLen = 0, 0  # noqa: N815 - Twisted's name

    def __init__(self, size: int) -> None:
        self.dataBuffer = bytes(size)
        self.written = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def abortConnection(self) -> None:
        self.aborted = True


class Pushed:
    """Count what is pushed to an operator."""

    def __init__(self) -> None:
        self.pushed: Counter[type] = Counter()

    def send_event(self, event: type, **fields: Any) -> None:
        self.pushed[event] += 1

    def unsent_bytes(self) -> int:
        return 0

    def abort(self, error: BaseException) -> None:
        raise error


@pytest.mark.parametrize(("size", "dropped"), [(0, False), (2**20, False), (3 * 2**20, True)])
def test_watcher_that_does_not_read(size: int, dropped: bool) -> None:
    """A question is sent to a slow subscriber in short form; one that reads too little is dropped."""
    protocol = ControlProtocol()
    queue = ReplyQueue(Clock())
    protocol.factory = ControlFactory(queue, cast(Any, None), TrafficLog(Clock()), Clock(), PeerPolicy(None))
    protocol.transport = Unread(size)
    protocol._name = "somebody"
    protocol.boxSender = protocol
    EventSubscriber(protocol, Clock(), 2 * 2**20).on_question(PendingMessage(1, "192.0.2.1:1", b"x" * 4096, 0.0))
    assert protocol.transport.aborted == dropped
    assert (b"x" * 500 in protocol.transport.written) != dropped
    assert b"x" * 501 not in protocol.transport.written


class Sending(FileDescriptor):
    """Hand so many bytes to the kernel in each call."""

    connected = 1

    def __init__(self, size: int) -> None:
        super().__init__(cast(Any, SimpleNamespace(addWriter=id, removeWriter=id)))
        self._size = size

    def writeSomeData(self, data: bytes) -> int:
        return min(len(data), self._size)


def test_unsent_bytes() -> None:
    """Bytes that the kernel has taken are not pending, even while Twisted keeps them in its buffer."""
    transport = Sending(100_000)
    transport.write(bytes(500_000))
    assert unsent_bytes(transport) == 500_000
    transport.doWrite()
    transport.write(bytes(7))
    assert unsent_bytes(transport) == 400_007
    assert unsent_bytes(None) == 0


class Recorded:
    """Record the commands that are sent to an operator."""

    def __init__(self, unread: int = 0) -> None:
        self.unread = unread
        self.sent: list[tuple[object, dict[str, Any]]] = []

    def send_event(self, event: object, **fields: Any) -> None:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", fields.pop("time"))
        self.sent.append((event, fields))

    def unsent_bytes(self) -> int:
        return self.unread

    def abort(self, error: BaseException) -> None:
        raise error


def test_events() -> None:
    """Every event is pushed with its facts, and those beyond the limit of a second as their number."""
    clock, pushed = Clock(), Recorded()
    subscriber = EventSubscriber(pushed, clock, 100)
    question = PendingMessage(7, "192.0.2.1:1", b"x" * 501, 0.0)
    subscriber.on_question(question)
    subscriber.on_settled(question, "answered by root")
    subscriber.connection_opened(7, "192.0.2.1:1", "")
    subscriber.message_received(7, "192.0.2.1:1", b"y" * 502)
    subscriber.connection_closed(7, "192.0.2.1:1", "", "client", 3, 4)
    assert pushed.sent == [
        (commands.QuestionAsked, {"number": 7, "peer": "192.0.2.1:1", "message": b"x" * 500, "size": 501}),
        (commands.QuestionSettled, {"number": 7, "peer": "192.0.2.1:1", "how": "answered by root"}),
        (commands.ConnectionOpened, {"connection": 7, "peer": "192.0.2.1:1", "via": ""}),
        (commands.MessageReceived, {"connection": 7, "peer": "192.0.2.1:1", "message": b"y" * 500, "size": 502}),
        (
            commands.ConnectionClosed,
            {"connection": 7, "peer": "192.0.2.1:1", "via": "", "how": "client", "bytes_in": 3, "bytes_out": 4},
        ),
    ]
    for _ in range(MAX_EVENTS):
        subscriber.connection_opened(7, "192.0.2.1:1", "")
    assert len(pushed.sent) == 5 + MAX_EVENTS - 3
    clock.advance(1)
    assert pushed.sent[-1] == (commands.EventsDropped, {"count": 3})
    subscriber.pause()
    subscriber.connection_opened(7, "192.0.2.1:1", "")
    subscriber.on_settled(question, "expired")
    assert pushed.sent[-2:] == [
        (commands.EventsDropped, {"count": 3}),
        (commands.QuestionSettled, {"number": 7, "peer": "192.0.2.1:1", "how": "expired"}),
    ]


def test_settled_for_one_who_does_not_read() -> None:
    """The end of a question is not pushed to an operator who reads too little."""
    question = PendingMessage(7, "192.0.2.1:1", b"x", 0.0)
    for unread, count in ((100, 1), (101, 0)):
        pushed = Recorded(unread)
        EventSubscriber(pushed, Clock(), 100).on_settled(question, "expired")
        assert len(pushed.sent) == count


def test_datagrams_have_a_limit_of_their_own() -> None:
    """A flood of datagrams does not keep a watcher from events about connections, and is counted."""
    protocol, clock = Pushed(), Clock()
    subscriber = EventSubscriber(protocol, clock, 0)
    for _ in range(MAX_EVENTS + 5):
        subscriber.datagram_received("192.0.2.1:1", b"x", 1, "answered")
    subscriber.datagrams_left_out(7)
    subscriber.connection_opened(7, "192.0.2.1:1", "")
    clock.advance(1)
    assert protocol.pushed == {
        commands.DatagramReceived: MAX_EVENTS,
        commands.ConnectionOpened: 1,
        commands.EventsDropped: 2,
    }


@pytest.mark.parametrize(
    ("text", "encoding", "raw", "reply"),
    [
        ("ok", "utf-8", False, b"ok"),
        ("", "utf-8", False, b""),
        ("\u3000\u200d", "utf-8", False, b"\xe3\x80\x80\xe2\x80\x8d"),
        (" 你 ", "cp936", False, b" \xc4\xe3 "),
        (r"a\n", "utf-8", False, rb"a\n"),
        (r"a\n\x00你", "cp936", True, b"a\n\x00\xc4\xe3"),
    ],
)
def test_encode_reply(text: str, encoding: str, raw: bool, reply: bytes) -> None:
    """A reply is encoded as typed; escapes are interpreted in raw mode only."""
    assert encode_reply(text, encoding, raw=raw) == reply


@pytest.mark.parametrize(
    ("text", "encoding", "raw", "why"),
    [
        ("a\tb", "utf-8", False, "control characters"),
        ("\x1b[2J", "utf-8", True, "control characters"),
        ("你", "latin-1", False, "'\\\\u4f60' cannot be written in latin-1"),
        (r"\q", "utf-8", True, "unknown escape"),
        ("\udc80", "utf-8", False, "cannot be written in utf-8"),
    ],
)
def test_invalid_reply(text: str, encoding: str, raw: bool, why: str) -> None:
    """An invalid reply is refused with the reason."""
    with pytest.raises(InvalidReply, match=why):
        encode_reply(text, encoding, raw=raw)


class EditorTests(SynchronousTestCase):
    """Edit a line on a terminal of 20 columns."""

    def setUp(self) -> None:
        """Make an editor without any input."""
        self.screen: list[str] = []
        self.lines: list[str] = []
        self.ends = 0
        self.editor = LineEditor(self.screen.append, lambda: 20, self.lines.append, self.end)

    def end(self) -> None:
        """Count the calls at Ctrl-D."""
        self.ends += 1

    def written(self) -> str:
        """Return the output since the last call."""
        text = "".join(self.screen)
        self.screen.clear()
        return text

    def test_line(self) -> None:
        """Typed characters are shown behind the prompt, and entered as a line."""
        self.editor.set_prompt("reply:")
        self.editor.feed(b"ok\n")
        self.assertEqual(self.lines, ["ok"])
        self.assertTrue(self.written().endswith("reply:ok\n"))

    def test_aside(self) -> None:
        """Other output goes above the typed line, which is redrawn."""
        self.editor.set_prompt("reply:")
        self.editor.feed(b"o")
        self.written()
        self.editor.print_above("a log line\n")
        self.assertEqual(self.written(), "\r\x1b[Ja log line\nreply:o")
        self.editor.feed(b"k\n")
        self.assertEqual(self.lines, ["ok"])

    def test_aside_of_a_long_line(self) -> None:
        """A line of several rows is erased from its first row on."""
        self.editor.set_prompt("reply:")
        self.editor.feed("你".encode() * 20)
        self.written()
        self.editor.print_above("x\n")
        self.assertTrue(self.written().startswith("\r\x1b[2A\x1b[Jx\n"))

    def test_without_a_prompt(self) -> None:
        """Without a prompt nothing is drawn, but input is kept for the next prompt."""
        self.editor.feed(b"o")
        self.editor.print_above("log\n")
        self.assertEqual(self.written(), "log\n")
        self.editor.set_prompt("reply:")
        self.assertEqual(self.written(), "reply:o")

    def test_keys(self) -> None:
        """Backspace, Ctrl-U and Ctrl-W edit, other keys are ignored, and characters may come in pieces."""
        for typed, line in (
            (b"abc\x7f\x08\n", "a"),
            (b"abc\x15d\n", "d"),
            (b"one two  \x17x\n", "one x"),
            (b"a\x1b[D\x1b[1;5C\x1bOP\x01b\n", "ab"),
            ("你".encode(), ""),
        ):
            for byte in range(len(typed)) if line == "" else [0]:
                self.editor.feed(typed[byte : byte + 1] if line == "" else typed)
            self.assertEqual(self.lines[-1:], [line] if line else self.lines[-1:])
        self.editor.feed(b"\r")
        self.assertEqual(self.lines[-1], "你")

    def test_end(self) -> None:
        """Ctrl-D ends the input on an empty line only."""
        self.editor.feed(b"a\x04")
        self.assertEqual(self.ends, 0)
        self.editor.feed(b"\x7f\x04")
        self.assertEqual(self.ends, 1)

    def test_bounded(self) -> None:
        """The length of a line is limited."""
        self.editor.feed(b"x" * 10000 + b"\n")
        self.assertEqual(len(self.lines[0]), 4096)
