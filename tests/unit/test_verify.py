"""Test wire/verify.py against answers made of message, acknowledgement and reply."""

from __future__ import annotations

from collections import defaultdict
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from echotime.wire.message import MESSAGE_SIZE
from echotime.wire.stream_window import StreamWindow
from echotime.wire.verify import Cause, EchoVerifier, VerifyResult

ACK = b"\nI get it!\n"
# few different bytes, so that echo often looks like a trailer, and a trailer like echo
TRICKY = st.binary(max_size=6).map(lambda data: bytes(b"ab\n"[each % 3] for each in data))
MESSAGES = st.lists(TRICKY.filter(bool), max_size=6)


def verify(
    sent: bytes, received: bytes, acknowledgement: bytes = ACK, reply: bytes = b"", pieces: int = 1000
) -> VerifyResult:
    """Return the result for an answer that arrives in pieces of at most `pieces` bytes."""
    verifier = EchoVerifier(acknowledgement, reply)
    verifier.feed_sent(sent)
    for start in range(0, len(received), pieces):
        verifier.feed_received(received[start : start + pieces])
    return verifier.finish()


@given(MESSAGES, TRICKY, TRICKY, st.integers(1, 9))
def test_every_split_is_right(messages: list[bytes], acknowledgement: bytes, reply: bytes, pieces: int) -> None:
    """Every split into messages is exact, received in pieces of any size."""
    received = b"".join(message + acknowledgement + reply for message in messages)
    assert verify(b"".join(messages), received, acknowledgement, reply, pieces).exact


def splits(data: bytes) -> list[list[bytes]]:
    """Return every way to split bytes into messages."""
    if not data:
        return [[]]
    return [[data[:size], *rest] for size in range(1, len(data) + 1) for rest in splits(data[size:])]


@example(sent=b"\na", acknowledgement=b"abb", received=b"\naba")
@given(TRICKY, TRICKY, st.binary(max_size=14).map(lambda data: bytes(b"ab\n"[each % 3] for each in data)))
def test_nothing_else_is_right(sent: bytes, acknowledgement: bytes, received: bytes) -> None:
    """An answer is exact if and only if some split produces it, as trying all splits shows."""
    possible = {b"".join(each + acknowledgement for each in split) for split in splits(sent)}
    result = verify(sent, received, acknowledgement, pieces=1)
    assert result.exact == (received in possible)
    if not result.exact:
        assert result.wrong_at is not None
        assert result.wrong_at <= len(received)
        assert result.lost <= len(sent)
        assert not (result.lost and result.found), "only a cut answer has lost bytes"
        good = received[: result.wrong_at]
        assert any(each.startswith(good) for each in possible), "the bytes before the offset are possible"
        if result.wrong_at < len(received):
            through = received[: result.wrong_at + 1]
            assert not any(each.startswith(through) for each in possible), "the byte at the offset is not possible"


@st.composite
def repetitive(draw: st.DrawFn) -> tuple[bytes, bytes, bytes, int]:
    """Return a trailer, a message made of it and of its parts, an answer that may be changed, and a message size."""
    trailer = draw(TRICKY)
    parts = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda cut: trailer[cut[0] : cut[1]])
    sent = b"".join(draw(st.lists(st.one_of(st.just(trailer), parts, TRICKY), max_size=9)))
    size = draw(st.integers(1, 9))
    answer, rest = b"", sent
    while rest:
        length = draw(st.integers(1, size))
        answer, rest = answer + rest[:length] + trailer, rest[length:]
    place = draw(st.integers(0, len(answer)))
    change = draw(st.sampled_from([(0, b""), (1, b""), (0, b"a"), (len(answer), b"")]))
    return trailer, sent, answer[:place] + change[1] + answer[place + change[0] :], size


def try_all(trailer: bytes, sent: bytes, received: bytes, size: int) -> tuple[bool, int]:
    """Return whether some split gives the answer, and how many bytes of it some split gives."""
    reached = defaultdict(set)
    reached[0] = {(0, 0)}
    longest = 0
    for position in range(len(received) + 1):
        for echoed, length in reached[position]:
            equal = [trailer[:count] for count in range(len(trailer) + 1)] if length else [b""]
            count = max(len(each) for each in equal if received.startswith(each, position))
            longest = max(longest, position + count)
            if trailer and count == len(trailer):
                reached[position + count].add((echoed, 0))
            is_full = bool(trailer) and length == size
            if not is_full and sent[echoed : echoed + 1] == received[position : position + 1] != b"":
                reached[position + 1].add((echoed + 1, length + 1))
    is_exact = any(echoed == len(sent) and not (length and trailer) for echoed, length in reached[len(received)])
    return is_exact, longest


@given(repetitive(), st.integers(1, 9))
def test_repetitive(case: tuple[bytes, bytes, bytes, int], pieces: int) -> None:
    """Messages made of trailers and their parts get the same result as from trying all splits."""
    trailer, sent, received, size = case
    with patch("echotime.wire.verify.MESSAGE_SIZE", size):
        result = verify(sent, received, trailer, pieces=pieces)
    is_exact, longest = try_all(*case)
    assert result.wrong_at == (None if is_exact else longest)


@pytest.mark.parametrize(
    ("received", "wrong_at", "expected", "found", "cause"),
    [
        (b"", 0, b"h", b"", Cause.CUT),
        (b"hel", 3, b"l", b"", Cause.CUT),
        (b"hel" + ACK, 14, b"l", b"", Cause.CUT),
        (b"hello\nI get it!", 15, b"\n", b"", Cause.CUT),
        (b"hello", 5, b"\n", b"", Cause.NO_TRAILER),
        (b"hexlo" + ACK, 2, b"l", b"x", Cause.ECHO),
        (b"hello" + ACK + b"ok", 16, b"", b"o", Cause.EXTRA),
        (b"hel" + ACK + b"oklo" + ACK + b"ok", 14, b"l", b"o", Cause.EXTRA),
        (b"hello\nI got it!\n", 9, b"e", b"o", Cause.TRAILER),
        (b"hello, too", 5, b"\n", b",", Cause.TRAILER),
    ],
)
def test_first_wrong_offset(received: bytes, wrong_at: int, expected: bytes, found: bytes, cause: Cause) -> None:
    """The result has the first wrong offset, the expected byte, the received one, and the usual cause."""
    result = verify(b"hello", received)
    assert result.wrong_at == wrong_at
    assert result.found == found
    assert result.expected == expected
    assert result.cause is cause


@pytest.mark.parametrize(
    ("received", "reply", "lost"),
    [
        (b"", b"", 5),
        (b"hel", b"", 2),
        (b"hel" + ACK, b"", 2),
        (b"hello", b"", 0),
        (b"hello" + ACK, b"ok", 0),
        (b"hello" + ACK + b"ok", b"", 0),
        (b"HELLO" + ACK, b"", 0),
    ],
)
def test_lost(received: bytes, reply: bytes, lost: int) -> None:
    """Bytes are lost if the answer ends before their echo. Wrong bytes, and a missing trailer, are no loss."""
    assert verify(b"hello", received, reply=reply).lost == lost


@pytest.mark.parametrize("acknowledgement", [b"", ACK])
def test_other_server(acknowledgement: bytes) -> None:
    """A plain echo server has no trailer, and a server with a trailer is no plain echo server."""
    sent = bytes(range(32, 127)) * 60
    answer = sent if acknowledgement else sent[:MESSAGE_SIZE] + ACK + sent[MESSAGE_SIZE:] + ACK
    result = verify(sent, answer, acknowledgement)
    assert result.wrong_at == MESSAGE_SIZE
    assert result.cause is (Cause.NO_TRAILER if acknowledgement else Cause.ECHO)
    assert verify(b"hello", b"hello" + ACK, b"").cause is Cause.EXTRA


@pytest.mark.parametrize(
    ("part", "acknowledgement"),
    [(ACK, ACK), (b"\n" + ACK * 2, ACK), (b"hello" + ACK, ACK), (b"\n", b"\n"), (b"aabaabaaaa", b"aabaa")],
)
@pytest.mark.parametrize("end", [b"", b"x"])
def test_ambiguous_message(part: bytes, acknowledgement: bytes, end: bytes) -> None:
    """A message made of acknowledgements has many splits, which take a time proportional to its length."""

    def count(parts: int) -> int:
        sent = part * parts
        received = b"".join(sent[start : start + 70] + acknowledgement for start in range(0, len(sent), 70))
        with patch.object(StreamWindow, "equal_bytes", autospec=True, side_effect=StreamWindow.equal_bytes) as compared:
            assert verify(sent, received + end, acknowledgement).exact is not bool(end)
        return int(compared.call_count)

    assert count(200) < 6 * count(50)


def test_other_reply() -> None:
    """A server without the reply ends, or goes on, after the acknowledgement."""
    assert verify(b"hello", b"hello" + ACK, reply=b"ok").cause is Cause.NO_REPLY
    assert verify(b"hello", b"hel" + ACK + b"lo" + ACK, reply=b"ok").cause is Cause.TRAILER


def test_garbage_is_not_kept() -> None:
    """After the first wrong byte no more data is kept, and its offset is still reported."""
    verifier = EchoVerifier()
    verifier.feed_sent(b"hello")
    for _ in range(100):
        verifier.feed_received(b"G" * 65536)
        verifier.feed_sent(b"H" * 65536)
    assert not verifier.can_still_match
    assert len(verifier._received._bytes) + len(verifier._sent._bytes) < 200_000
    assert verifier.finish().wrong_at == 0


def test_message_size() -> None:
    """A message has at most 4096 bytes."""
    sent = b"x" * (MESSAGE_SIZE + 1)
    assert verify(sent, sent[:-1] + ACK + b"x" + ACK).exact
    result = verify(sent, sent + ACK)
    assert result.wrong_at == MESSAGE_SIZE
    assert result.expected == b"\n"


def test_long_stream_is_forgotten() -> None:
    """Memory does not grow with the length of the stream."""
    verifier = EchoVerifier()
    for _ in range(500):
        verifier.feed_sent(b"m" * MESSAGE_SIZE)
        verifier.feed_received(b"m" * MESSAGE_SIZE + ACK)
    assert len(verifier._sent._bytes) + len(verifier._received._bytes) < 300_000
    assert verifier.finish().exact
    assert verifier.sent_bytes == 500 * MESSAGE_SIZE


@pytest.mark.parametrize(
    ("sent", "received", "reply", "missing"),
    [
        (b"", b"", b"", 0),
        (b"hello", b"", b"", 16),
        (b"hello", b"hel", b"", 13),
        (b"hello", b"hel" + ACK, b"", 13),
        (b"hello", b"hel" + ACK[:4], b"", 20),
        (b"hello", b"hello" + ACK, b"ok", 2),
        (b"hello", b"HELLO", b"", 0),
        (b"hello", b"hello" + ACK, b"", 0),
        (bytes(MESSAGE_SIZE), bytes(MESSAGE_SIZE), b"", 11),
        (bytes(MESSAGE_SIZE + 1), bytes(MESSAGE_SIZE), b"", 23),
        (bytes(5000), b"", b"", 5022),
    ],
)
def test_missing(sent: bytes, received: bytes, reply: bytes, missing: int) -> None:
    """The result has the number of bytes that complete the answer, with as few messages as possible."""
    assert verify(sent, received, reply=reply).missing == missing


@given(MESSAGES, TRICKY, st.integers(1, 9))
@example([b"ab"], b"bbaa", 3)
def test_missing_completes(messages: list[bytes], acknowledgement: bytes, size: int) -> None:
    """No answer is complete before its missing bytes, and some answer is complete with them."""
    received = b"".join(message + acknowledgement for message in messages)
    with patch("echotime.wire.verify.MESSAGE_SIZE", 6):
        result = verify(b"".join(messages), received[:-size], acknowledgement)
    assert 0 <= result.missing <= len(received)
    assert bool(result.missing) is not result.exact


@pytest.mark.parametrize("acknowledgement", [b"", ACK])
def test_is_complete(acknowledgement: bytes) -> None:
    """An answer is complete at its last byte, also while it arrives byte by byte, and may go on."""
    verifier = EchoVerifier(acknowledgement)
    verifier.feed_sent(b"hello")
    answer = b"hel" + acknowledgement + b"lo" + acknowledgement
    complete = []
    for position in range(len(answer)):
        verifier.feed_received(answer[position : position + 1])
        complete.append(verifier.is_complete())
    assert complete == [False] * (len(answer) - 1) + [True]
    verifier.feed_sent(b"more")
    assert not verifier.is_complete()
    verifier.feed_received(b"more" + acknowledgement)
    assert verifier.finish().exact


@pytest.mark.parametrize("header", [b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"])
def test_proxy_header(header: bytes) -> None:
    """A PROXY header before the echo is recognized, but not where it was sent."""
    assert verify(b"hello", header + b"hello" + ACK).cause is Cause.PROXY_HEADER
    assert verify(header + b"hello", header + b"hello" + ACK).exact
    assert verify(header + b"hello", header + b"hEllo" + ACK).cause is Cause.ECHO
