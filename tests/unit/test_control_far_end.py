"""Test what `echotime control` does if the process at the other end of its socket is faulty or hostile."""

from __future__ import annotations

import io
import re
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from echotime.cli.control import connection
from echotime.cli.main import main
from echotime.control import commands
from tests.support.control_case import Box, amp_box
from tests.support.far_end import HELLO, FarEnd, Respond, answer, push

NASTY = b"\x1b[2J\r\n\xe2\x80\xae\xc2\x9b"
"""Escape sequences that clear the screen, a line end, and a character that reverses the direction of writing."""
ALLOWED = re.compile(r"[\x20-\x7e\n]*")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Return a function that runs `echotime control` against a far end, and returns status and output."""
    far_ends: list[FarEnd] = []

    def run_against(respond: Respond, *arguments: str) -> tuple[int, str, str]:
        far_ends.append(FarEnd(tmp_path / f"control{len(far_ends)}", respond))
        socket_path = str(tmp_path / f"control{len(far_ends) - 1}")
        monkeypatch.setattr(sys, "argv", ["echotime", "control", "--socket", socket_path, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGPIPE)}
    yield run_against
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for each in far_ends:
        each.close()


def after_hello(respond: Respond, **hello: bytes) -> Respond:
    """Answer Hello with valid values, unless they are replaced, and other commands with `respond`."""
    return lambda name, box: answer(box, **{**HELLO, **hello}) if name == b"Hello" else respond(name, box)


def page(box: Box, more: bool, *rows: dict[str, bytes]) -> bytes:
    """Return a page of a list."""
    return answer(box, rows=b"".join(amp_box(**row) for row in rows), more=b"True" if more else b"False")


def question(number: int, peer: bytes = b"127.0.0.1:1") -> dict[str, bytes]:
    """Return a row of the list of questions."""
    return {"number": b"%d" % number, "peer": peer, "message": b"hi", "size": b"2", "age": b"1.0"}


@pytest.mark.parametrize(
    "respond",
    [
        after_hello(lambda name, box: page(box, False, question(1, NASTY))),
        after_hello(lambda name, box: amp_box(_error=box[b"_ask"], _error_code=b"REFUSED", _error_description=NASTY)),
        lambda name, box: amp_box(_error=box[b"_ask"], _error_code=b"OTHER", _error_description=NASTY),
    ],
    ids=["row", "error", "error of Hello"],
)
def test_escape_sequences(run: Run, respond: Respond) -> None:
    """Nothing that the far end sends reaches the terminal unescaped."""
    _status, out, err = run(respond, "questions")
    assert "\\x1b[2J\\r\\n" in out + err
    assert ALLOWED.fullmatch(out + err)


def test_escape_sequences_of_events(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No event reaches the terminal unescaped, and a message that is a question is shown once."""
    events = [
        push(b"ConnectionOpened", peer=NASTY),
        push(b"ConnectionOpened", peer=NASTY, via=NASTY),
        push(b"MessageReceived", peer=NASTY, message=NASTY, size=b"9"),
        push(b"MessageReceived", peer=NASTY, message=b"asked", size=b"5"),
        push(b"QuestionAsked", number=b"1", peer=NASTY, message=b"asked", size=b"5"),
        push(b"QuestionSettled", number=b"1", peer=NASTY, how=NASTY),
        push(b"DatagramReceived", peer=NASTY, message=NASTY, size=b"99", outcome=NASTY),
        push(b"MessageReceived", peer=NASTY, message=NASTY, size=b"9"),
    ]
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    _status, out, err = run(
        after_hello(lambda name, box: (b"".join(events) if box[b"on"] == b"True" else b"") + answer(box)), "watch"
    )
    assert out.count("\\x1b[2J\\r\\n") == 1 + 2 + 2 + 1 + 2 + 3 + 2
    assert out.count("asked") == 1
    assert out.count("\n") == len(events) - 1
    assert ALLOWED.fullmatch(out + err)


def test_answer_to_an_interrupted_call(tmp_path: Path) -> None:
    """The answer to a call that Ctrl-C interrupted once it was sent is ignored, and the connection goes on."""
    far_end = FarEnd(tmp_path / "control", lambda name, box: answer(box, **HELLO))
    made = connection.ControlConnection(str(tmp_path / "control"))
    write = made._amp.transport.write

    def interrupted(data: bytes) -> None:
        made._amp.transport.write = write
        write(data)
        raise KeyboardInterrupt

    made._amp.transport.write = interrupted
    with pytest.raises(KeyboardInterrupt):
        made.call(commands.Hello)
    assert made.call(commands.Hello)["version"] == "1"
    made.close()
    far_end.close()


def test_long_name(run: Run) -> None:
    """A text that makes one row of a table wide is cut."""
    _status, out, _err = run(after_hello(lambda name, box: page(box, False, question(1, b"x" * 60000))), "questions")
    assert len(out) < 5000


def test_endless_list(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that does not end is given up at a limit."""
    monkeypatch.setattr(connection, "_MAX_LIST", 2**16)
    status, out, err = run(
        after_hello(lambda name, box: page(box, True, question(int(box[b"after"]) + 1))), "questions"
    )
    assert (status, out, err) == (1, "", "echotime: the list is longer than 0 MiB\n")


def endless_keys(name: bytes, box: Box) -> bytes:
    """Return a box that has thousands of keys and no end."""
    return b"".join(struct.pack("!H", 5) + b"%05d" % number + struct.pack("!H", 0) for number in range(5000))


def test_unhandled(run: Run) -> None:
    """A daemon of another version, which does not know a command, is told as such."""
    description = b"Unhandled Command: b'Questions'"
    unhandled = after_hello(
        lambda name, box: amp_box(_error=box[b"_ask"], _error_code=b"UNHANDLED", _error_description=description)
    )
    assert run(unhandled, "questions") == (
        *(1, ""),
        "echotime: the daemon does not know this command; it has another version than this tool\n",
    )


@pytest.mark.parametrize(
    "respond",
    [
        lambda name, box: b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3000,
        lambda name, box: answer(box, version=b"1"),
        lambda name, box: answer(box, **{**HELLO, "encoding": b"zlib"}),
        lambda name, box: answer(box, **{**HELLO, "version": b"\xff"}),
        lambda name, box: amp_box(_answer=b"unknown"),
        lambda name, box: amp_box(_command=b"Unknown", _ask=b"1"),
        lambda name, box: amp_box(key=b"value"),
        endless_keys,
        after_hello(lambda name, box: push(b"QuestionAsked", number=b"1")),
        after_hello(lambda name, box: push(b"QuestionAsked", number=b"x", peer=b"", message=b"", size=b"1")),
        after_hello(lambda name, box: page(box, True, question(1))),
        after_hello(lambda name, box: page(box, True, question(-1))),
        after_hello(lambda name, box: page(box, False, {"number": b"9" * 5000})),
        after_hello(lambda name, box: answer(box, rows=amp_box(number=b"1"), more=b"False")),
    ],
    ids=[
        "other protocol",
        "missing values",
        "not an encoding",
        "not UTF-8",
        "unknown tag",
        "unknown command",
        "neither",
        "endless box",
        "event without values",
        "event with wrong values",
        "page that repeats",
        "page that goes back",
        "huge number",
        "bad rows",
    ],
)
def test_faulty(run: Run, respond: Respond) -> None:
    """Anything but the control protocol is one line on standard error, and status 1."""
    status, out, err = run(respond, "questions")
    assert (status, out) == (1, "")
    assert re.fullmatch(r"echotime: \S+/control0: not the control socket of a daemon\n", err)
