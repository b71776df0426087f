"""Test wire/verify.py against answers made of message, acknowledgement and reply."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from echotime.wire.message import MESSAGE_SIZE
from echotime.wire.verify import EchoVerifier, VerifyResult

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
        assert result.lost > 0
        good = received[: result.wrong_at]
        assert any(each.startswith(good) for each in possible), "the bytes before the offset are possible"
        if result.wrong_at < len(received):
            through = received[: result.wrong_at + 1]
            assert not any(each.startswith(through) for each in possible), "the byte at the offset is not possible"


@pytest.mark.parametrize(
    ("received", "wrong_at", "expected", "found"),
    [
        (b"", 0, b"h", b""),
        (b"hel", 3, b"l", b""),
        (b"hello\nI get it!", 15, b"\n", b""),
        (b"hexlo" + ACK, 2, b"l", b"x"),
        (b"hello" + ACK + b"ok", 16, b"", b"o"),
        (b"hello\nI got it!\n", 9, b"e", b"o"),
    ],
)
def test_first_wrong_offset(received: bytes, wrong_at: int, expected: bytes, found: bytes) -> None:
    """The result has the first wrong offset, the expected byte and the received one."""
    result = verify(b"hello", received)
    assert result.wrong_at == wrong_at
    assert result.found == found
    assert result.expected == expected


def test_ambiguous_message() -> None:
    """A message made of acknowledgements has many splits, which are followed in reasonable time."""
    sent = ACK * 150
    assert verify(sent, sent + ACK).exact
    assert not verify(sent, sent + ACK[:-1]).exact


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
