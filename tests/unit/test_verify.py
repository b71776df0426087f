"""wire/verify.py, against the contract's own rule for making answers."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from echotime.wire.message import MESSAGE_SIZE
from echotime.wire.verify import EchoVerifier, VerifyResult

ACK = b"\nI get it!\n"
# few different bytes, so that echo looks like trailers and trailers like echo
TRICKY = st.binary(max_size=6).map(lambda data: bytes(b"ab\n"[each % 3] for each in data))
MESSAGES = st.lists(TRICKY.filter(bool), max_size=6)


def judge(
    sent: bytes, received: bytes, acknowledgement: bytes = ACK, word: bytes = b"", pieces: int = 1000
) -> VerifyResult:
    """The verdict on an answer that comes in pieces."""
    exactness = EchoVerifier(acknowledgement, word)
    exactness.feed_sent(sent)
    for start in range(0, len(received), pieces):
        exactness.feed_received(received[start : start + pieces])
    return exactness.finish()


@given(MESSAGES, TRICKY, TRICKY, st.integers(1, 9))
def test_every_split_is_right(messages: list[bytes], acknowledgement: bytes, word: bytes, pieces: int) -> None:
    """Whatever the server took for a message, its answers are found exact, in pieces of any size."""
    received = b"".join(message + acknowledgement + word for message in messages)
    assert judge(b"".join(messages), received, acknowledgement, word, pieces).exact


def splits(data: bytes) -> list[list[bytes]]:
    """Every way to cut some bytes into messages."""
    if not data:
        return [[]]
    return [[data[:size], *rest] for size in range(1, len(data) + 1) for rest in splits(data[size:])]


@example(sent=b"\na", acknowledgement=b"abb", received=b"\naba")
@given(TRICKY, TRICKY, st.binary(max_size=14).map(lambda data: bytes(b"ab\n"[each % 3] for each in data)))
def test_nothing_else_is_right(sent: bytes, acknowledgement: bytes, received: bytes) -> None:
    """An answer is exact if and only if some split makes it, as trying all of them shows."""
    possible = {b"".join(each + acknowledgement for each in split) for split in splits(sent)}
    verdict = judge(sent, received, acknowledgement, pieces=1)
    assert verdict.exact == (received in possible)
    if not verdict.exact:
        assert verdict.wrong_at is not None
        assert verdict.wrong_at <= len(received)
        assert verdict.lost > 0
        good = received[: verdict.wrong_at]
        assert any(each.startswith(good) for each in possible), "up to there it could have been right"
        if verdict.wrong_at < len(received):
            through = received[: verdict.wrong_at + 1]
            assert not any(each.startswith(through) for each in possible), "from there on it could not"


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
    """The first wrong offset is named, with what was expected and what came."""
    verdict = judge(b"hello", received)
    assert verdict.wrong_at == wrong_at
    assert verdict.found == found
    assert verdict.expected == expected


def test_ambiguous_message() -> None:
    """A message that is made of acknowledgements has many splits; they are followed in reasonable time."""
    sent = ACK * 150
    assert judge(sent, sent + ACK).exact
    assert not judge(sent, sent + ACK[:-1]).exact


def test_garbage_is_not_kept() -> None:
    """After the first wrong byte nothing more is remembered, and it is still known where that was."""
    exactness = EchoVerifier()
    exactness.feed_sent(b"hello")
    for _ in range(100):
        exactness.feed_received(b"G" * 65536)
        exactness.feed_sent(b"H" * 65536)
    assert not exactness.can_still_match
    assert len(exactness._received._bytes) + len(exactness._sent._bytes) < 200_000
    assert exactness.finish().wrong_at == 0


def test_message_size() -> None:
    """A message of more than 4096 bytes is no message."""
    sent = b"x" * (MESSAGE_SIZE + 1)
    assert judge(sent, sent[:-1] + ACK + b"x" + ACK).exact
    verdict = judge(sent, sent + ACK)
    assert verdict.wrong_at == MESSAGE_SIZE
    assert verdict.expected == b"\n"


def test_long_stream_is_forgotten() -> None:
    """Memory does not grow with the stream."""
    exactness = EchoVerifier()
    for _ in range(500):
        exactness.feed_sent(b"m" * MESSAGE_SIZE)
        exactness.feed_received(b"m" * MESSAGE_SIZE + ACK)
    assert len(exactness._sent._bytes) + len(exactness._received._bytes) < 300_000
    assert exactness.finish().exact
    assert exactness.sent_bytes == 500 * MESSAGE_SIZE
