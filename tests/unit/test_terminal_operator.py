"""Test operators/terminal.py and service.py: an operator at a pseudoterminal, in a reactor that the test steps."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from echotime.operators import terminal
from echotime.operators.reply_queue import QueueLimits, ReplyQueue
from echotime.operators.service import OperatorService, build_local_operator
from echotime.operators.stdin_operator import StdinOperator
from echotime.operators.terminal import PromptAwareStdout, TerminalOperator
from echotime.services.traffic import MAX_CONNECTION_LINES, TrafficLog
from echotime.terminal.raw_terminal import RawTerminal
from echotime.wire.template import Text
from tests.support.peer_address import peer
from tests.support.stepping_reactor import SteppingEPollReactor, SteppingReactor, stepping

PROMPT = "input the word:"
SIGNALS = (signal.SIGCONT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTTIN)


class Desk:
    """Hold a terminal operator, its queue, a pseudoterminal as its keyboard, and a pipe as its screen."""

    def __init__(self, reactor: SteppingEPollReactor) -> None:
        self.reactor = reactor
        self.keys, keyboard = os.openpty()
        # what is written to a pseudoterminal arrives some time later, what is written to a pipe at once
        self.output, screen = os.pipe()
        os.set_blocking(self.output, False)
        self.screen: Any = open(screen, "w", encoding="ascii")  # noqa: SIM115, PTH123 - closed by `close`
        self.keyboard = open(keyboard, encoding="utf-8")  # noqa: SIM115, PTH123
        self.queue = ReplyQueue(reactor, b"no")
        self.attached: list[bool] = []
        self.operator = TerminalOperator(
            self.queue, self.screen, self.keyboard, reactor, "latin-1", self.attached.append
        )

    def start(self) -> None:
        """Start the operator, and read the line that says how to leave."""
        self.operator.start()
        if self.attached:
            assert self.shown() == "questions appear here; Ctrl-D leaves, Ctrl-C stops the daemon\n"

    def ask(self, message: bytes, port: int = 1) -> Deferred[Text]:
        """Add a question, which must stay pending."""
        reply = self.queue.reply_to(message, peer(port))
        assert isinstance(reply, Deferred)
        return reply

    def shown(self) -> str:
        """Let the reactor write all output; return what has been written since the last call."""
        self.reactor.runUntilCurrent()
        found = []
        while True:
            try:
                found.append(os.read(self.output, 1 << 20))
            except BlockingIOError:
                if not self.operator._output.pending_bytes:
                    return b"".join(found).decode()
            self.reactor.step()

    def type(self, typed: bytes) -> None:
        """Type bytes, and let the reactor read them."""
        reader, read = self.operator._input, bytearray()
        feed = reader._on_data

        def on_data(data: bytes) -> None:
            read.extend(data)
            feed(data)

        reader._on_data = on_data
        os.write(self.keys, typed)
        self.reactor.until(lambda: len(read) == len(typed))
        reader._on_data = feed

    def is_raw(self) -> bool:
        """Return True if the terminal has neither line mode nor echo."""
        flags = termios.tcgetattr(self.keyboard.fileno())[3]
        assert bool(flags & termios.ICANON) == bool(flags & termios.ECHO)
        return not flags & termios.ECHO

    def close(self) -> None:
        """Close both ends of the terminal and of the pipe."""
        for each in (self.screen, self.keyboard):
            each.close()
        for descriptor in (self.output, self.keys):
            os.close(descriptor)


@pytest.fixture
def foreground(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Provide a list whose last value says whether this process is in the foreground of the terminal."""
    values = [True]
    monkeypatch.setattr(RawTerminal, "foreground", property(lambda terminal: values[-1]))
    return values


@pytest.fixture
def desk(foreground: list[bool]) -> Iterator[Desk]:
    """Provide an operator that has not started, in the foreground of its terminal. Signal handlers must be restored."""
    before = [signal.getsignal(each) for each in SIGNALS]
    with stepping(SteppingReactor) as reactor:
        made = Desk(reactor)
        yield made
        made.operator.stop()
        assert all("LogRateLimiter" in str(each) for each in reactor.clock.getDelayedCalls())
    made.close()
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_dialogue(desk: Desk) -> None:
    """Questions are shown one at a time, the oldest first, and each typed line is the reply to the one shown."""
    desk.start()
    assert (desk.attached, desk.is_raw(), desk.queue.operator_count) == ([True], True, 1)
    first, second = desk.ask(b"hello"), desk.ask(b"\x1b[2Jbye\n", 2)
    assert desk.shown() == f"192.0.2.1: hello\n{PROMPT}"
    desk.type(b"o")
    desk.type(b"ne\ntwo\nnothing\n")
    assert (first.result, second.result) == (b"one", b"two")
    output = desk.shown()
    assert f"192.0.2.1: \\x1b[2Jbye\\n\n{PROMPT}" in output
    assert output.count(PROMPT + "one\n") == output.count(PROMPT + "two\n") == 1
    assert "nothing" not in output
    assert desk.ask(b"again").called is False
    assert desk.shown() == f"192.0.2.1: again\n{PROMPT}"


def test_stop(desk: Desk) -> None:
    """At the end of the daemon the terminal is restored, output is complete, and pending questions get the default."""
    desk.start()
    reply = desk.ask(b"hello")
    desk.operator._show("x" * 3000)
    desk.operator.stop()
    desk.operator.stop()
    assert "x" * 3000 in os.read(desk.output, 1 << 20).decode()
    assert (desk.attached, desk.is_raw(), desk.queue.operator_count, reply.result) == ([True, False], False, 0, b"no")
    assert desk.operator._input not in desk.reactor.getReaders()
    desk.operator.leave()
    assert desk.shown() == ""


@pytest.mark.parametrize("end", [b"\x04", None])
def test_leave(desk: Desk, end: bytes | None) -> None:
    """Ctrl-D, and an error of the terminal, detach the operator, which says so."""
    desk.start()
    if end is None:
        desk.operator._input._on_error(OSError())
    else:
        desk.type(end)
    assert desk.shown() == "the operator left; the daemon keeps running\n"
    assert (desk.attached, desk.is_raw(), desk.queue.operator_count) == ([True, False], False, 0)


def test_settled_by_others(desk: Desk) -> None:
    """The outcome of the question shown is told, its unfinished reply is discarded, and the next one is shown."""
    desk.start()
    for port in (1, 2, 3):
        desk.ask(b"hello", port)
    desk.shown()
    desk.queue.answer(2, b"x", "somebody")
    assert desk.shown() == "", "another question is shown"
    desk.type(b"unfin")
    desk.shown()
    desk.queue.answer(1, b"x", "somebody")
    output = desk.shown()
    assert output.endswith(f"192.0.2.1:1: answered by somebody\nunfinished input discarded\n192.0.2.1: hello\n{PROMPT}")
    desk.queue.answer(3, b"x", "somebody")
    output = desk.shown()
    assert output.endswith("192.0.2.1:3: answered by somebody\n")
    assert "discarded" not in output


def test_end_of_a_discarded_line(desk: Desk) -> None:
    """The Enter that was meant for a discarded reply does not send an empty reply to the next question."""
    desk.start()
    replies = [desk.ask(b"hello", port) for port in (1, 2)]
    desk.type(b"ye")
    desk.queue.answer(1, b"x", "somebody")
    desk.shown()
    desk.type(b"\n")
    assert (desk.shown(), replies[1].called) == ("", False)
    desk.type(b"\n")
    assert replies[1].result == b""


def test_invalid_reply(desk: Desk) -> None:
    """A line that cannot be sent is refused with the reason, and the prompt returns."""
    desk.start()
    reply = desk.ask(b"caf\xe9")
    assert desk.shown() == f"192.0.2.1: caf\\xe9\n{PROMPT}"
    desk.type("你\n".encode())
    assert "cannot be written in latin-1" in (output := desk.shown())
    assert output.endswith(PROMPT)
    desk.type("é\n".encode())
    assert reply.result == b"\xe9"


def test_question_settled_while_answering(desk: Desk) -> None:
    """A question that expires at the moment of the reply gives way to the next one."""
    desk.start()
    desk.ask(b"hello")
    later = desk.ask(b"later", 2)
    del desk.queue._pending[1]
    desk.type(b"x\n")
    assert desk.shown().endswith(f"192.0.2.1: later\n{PROMPT}")
    assert not later.called
    desk.type(b"y\n")
    assert later.result == b"y"


def test_connections(desk: Desk) -> None:
    """New connections are shown above the prompt, a bounded number a second; messages and ends are not."""
    desk.start()
    desk.ask(b"hello")
    desk.shown()
    for port in range(MAX_CONNECTION_LINES + 3):
        desk.operator.connection_opened(7, f"192.0.2.1:{port}", "")
    desk.operator.message_received(7, "192.0.2.1:1", b"x")
    desk.operator.connection_closed(7, "192.0.2.1:1", "", "client", 1, 1)
    output = desk.shown()
    assert output.count("connection from: ") == MAX_CONNECTION_LINES
    assert f"\x1b[Jconnection from: 192.0.2.1:1\n{PROMPT}" in output
    desk.reactor.clock.advance(1)
    assert "connections left out in the last second: 3\n" in desk.shown()


def test_background(desk: Desk, foreground: list[bool]) -> None:
    """In the background the terminal is neither changed nor read, until the daemon is in the foreground again."""
    foreground.append(False)
    desk.start()
    assert not desk.is_raw()
    assert desk.operator._input not in desk.reactor.getReaders()
    desk.ask(b"hello")
    desk.shown()
    desk.reactor.clock.advance(0.5)
    assert desk.shown() == ""
    foreground.append(True)
    desk.reactor.clock.advance(0.5)
    assert desk.shown().endswith(PROMPT)
    assert desk.is_raw()
    assert desk.operator._input in desk.reactor.getReaders()
    assert desk.reactor.clock.getDelayedCalls() == []
    foreground.append(False)
    for _ in range(2):
        signal.raise_signal(signal.SIGCONT)
        assert desk.shown() == ""
    assert desk.operator._input not in desk.reactor.getReaders()
    assert len(desk.reactor.clock.getDelayedCalls()) == 1
    foreground.append(True)
    signal.raise_signal(signal.SIGCONT)
    assert desk.shown().endswith(PROMPT)
    assert desk.reactor.clock.getDelayedCalls() == []


def test_stopped_terminal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Output to a terminal that Ctrl-S stopped is kept up to a limit, and discarded at the end."""
    monkeypatch.setattr(terminal, "_FLUSH_TIMEOUT_MS", 1)
    desk.start()
    for _ in range(2000):
        desk.operator._show("x" * 1000)
        desk.reactor.step()
    assert 2**20 <= desk.operator._output.pending_bytes < 2**20 + 2000
    desk.operator.stop()
    assert desk.operator._output.pending_bytes
    desk.operator._output.stopWriting()


def test_other_characters(desk: Desk) -> None:
    """Characters that the terminal's encoding lacks are escaped."""
    desk.start()
    desk.operator._show("你")
    assert desk.shown() == "\\u4f60\n"


def test_other_output(desk: Desk) -> None:
    """Output of others to sys.stdout is drawn above the prompt; all else is that of the screen."""
    stdout = PromptAwareStdout(desk.screen, desk.operator)
    desk.start()
    desk.ask(b"hello")
    desk.shown()
    assert stdout.write("log line\n") == 9
    stdout.flush()
    assert desk.shown() == f"\r\x1b[Jlog line\n{PROMPT}"
    assert (stdout.encoding, stdout.fileno()) == ("ascii", desk.screen.fileno())


@pytest.mark.parametrize("log_to_stdout", [True, False])
def test_service_at_a_terminal(desk: Desk, monkeypatch: pytest.MonkeyPatch, log_to_stdout: bool) -> None:
    """At a terminal a person is the operator. Arrivals are logged unless the log goes to the same terminal."""
    desk.screen.isatty = lambda: True
    for name, stream in (("stdin", desk.keyboard), ("stdout", desk.screen)):
        monkeypatch.setattr(sys, name, stream)
    traffic = TrafficLog(desk.reactor)
    service = build_local_operator(desk.queue, traffic, desk.reactor, "latin-1", list, log_to_stdout=log_to_stdout)
    stdout: Any = sys.stdout
    assert isinstance(stdout, PromptAwareStdout)
    assert isinstance(service._operator, TerminalOperator)
    desk.operator = service._operator
    service.startService()
    assert (service.running, desk.queue.operator_count) == (True, 1)
    assert traffic.log_arrivals is not log_to_stdout
    reply = desk.ask(b"caf\xe9")
    stdout.write("log line\n")
    assert desk.shown().endswith(f"192.0.2.1: caf\\xe9\n{PROMPT}\r\x1b[Jlog line\n{PROMPT}")
    desk.type("é\n".encode())
    assert reply.result == b"\xe9"
    traffic._observers[0].connection_opened(7, "192.0.2.7:1", "")
    assert "connection from: 192.0.2.7:1\n" in desk.shown()
    service.stopService()
    assert (service.running, desk.queue.operator_count, traffic.log_arrivals) == (0, 0, True)
    desk.shown()
    stdout.write("你")
    assert desk.shown() == "\\u4f60"


@pytest.mark.parametrize("closed", [False, True])
def test_service_without_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closed: bool) -> None:
    """Without a terminal the lines of standard input are the replies, none if it is closed."""
    before = signal.getsignal(signal.SIGTTIN)
    reading, writing = os.pipe()
    os.write(writing, b"one\n")
    with stepping(SteppingReactor) as reactor, open(reading, encoding="utf-8") as pipe:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", None if closed else pipe)
        monkeypatch.setattr(sys, "stdout", StringIO())
        queue = ReplyQueue(reactor, b"no", QueueLimits(wait_for_operator=False))
        service = build_local_operator(queue, TrafficLog(reactor), reactor, "utf-8", list, log_to_stdout=True)
        assert isinstance(service, OperatorService)
        assert isinstance(service._operator, StdinOperator)
        assert isinstance(sys.stdout, StringIO)
        assert signal.getsignal(signal.SIGTTIN) is signal.SIG_IGN
        signal.signal(signal.SIGTTIN, before)
        service.startService()
        reply = queue.reply_to(b"hello", peer(1))
        assert isinstance(reply, Deferred)
        if closed:
            service._operator._input.doRead()
        reactor.until(lambda: reply.called or closed)
        service.stopService()
        assert reply.result == (b"no" if closed else b"one")
        if closed:
            os.close(service._operator._input.fileno())
    os.close(writing)
