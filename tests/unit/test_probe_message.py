"""Test client/probe_message.py: the messages of `echotime ping`, and their echoes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from echotime.client.probe_message import MIN_TCP_SIZE, Message, find_end, pad
from echotime.wire.message import ACKNOWLEDGEMENT


@given(st.integers(MIN_TCP_SIZE, 5000), st.integers(1, 2**31 - 1), st.binary(min_size=1, max_size=16))
def test_size(size: int, sequence: int, pattern: bytes) -> None:
    """A message has its size, whatever its number, and its own echo is recognized."""
    message = Message(size, pattern)
    sent = message.numbered(sequence)
    assert len(sent) == size
    assert message.echoes(sent + ACKNOWLEDGEMENT) == [sequence]


@given(st.integers(MIN_TCP_SIZE, 9000), st.sampled_from([b"0", b"\n", b"\nI get it!\n", b"ab"]), st.data())
def test_pieces(size: int, pattern: bytes, data: st.DataObject) -> None:
    """An echo is recognized when it is complete, also with a trailer after each piece of it."""
    message = Message(size, pattern)
    received = b""
    for sequence in (1, 2, 3):
        sent = message.numbered(sequence)
        at = data.draw(st.integers(1, size))
        received += sent[:at] + ACKNOWLEDGEMENT + sent[at:] + (ACKNOWLEDGEMENT if at < size else b"")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(received)), max_size=5)))
    found = [
        number
        for start, end in zip([0, *cuts], [*cuts, len(received)], strict=True)
        for number in message.echoes(received[start:end])
    ]
    assert found == [1, 2, 3]


@given(st.integers(MIN_TCP_SIZE, 200), st.integers(1, 300), st.sampled_from([ACKNOWLEDGEMENT, b"\n", b"", b"15 men\n"]))
def test_probes_in_one_message(size: int, message_size: int, trailer: bytes) -> None:
    """Each echo is recognized if the server reads several probes at a time, and a trailer follows anywhere in them."""
    message = Message(size)
    sent = b"".join(map(message.numbered, range(1, 13)))
    found = [
        number
        for start in range(0, len(sent), message_size)
        for number in message.echoes(sent[start : start + message_size] + trailer)
    ]
    assert found == list(range(1, 13))


def test_changed_and_split() -> None:
    """After an echo that is changed or missing, those of later probes are recognized, also with a trailer in them."""
    message = Message(60, b"x")
    first, second, third, fourth = map(message.numbered, (1, 2, 4, 5))
    found = message.echoes(first.replace(b"x", b"y") + ACKNOWLEDGEMENT + second + third)
    found += message.echoes(fourth[:10] + ACKNOWLEDGEMENT + fourth[10:])
    assert isinstance(found[0], bytes)
    assert found[0].startswith(b"1 ")
    assert found[1:] == [2, 4, 5]


def test_changed() -> None:
    """A changed echo is reported when the next one begins, and does not hide that one."""
    message = Message(60, b"x")
    assert message.echoes(message.numbered(1).replace(b"x", b"y")) == []
    changed, right = message.echoes(message.numbered(2))
    assert isinstance(changed, bytes)
    assert changed.startswith(b"1 yyy")
    assert right == 2


def test_other_number() -> None:
    """The number of an echo in one piece is certain, also if the expected one is found among the bytes that follow."""
    message = Message(MIN_TCP_SIZE + 9, b"\n")
    assert message.echoes(message.numbered(61) + ACKNOWLEDGEMENT) == [61]


def test_missing_and_split() -> None:
    """A number that is not expected is certain in one piece, or once another echo follows."""
    message = Message(60)
    sent = message.numbered(4)
    assert message.echoes(sent[:40] + ACKNOWLEDGEMENT + sent[40:]) == []
    assert message.echoes(message.numbered(5)) == [4, 5]


def test_digits_of_a_trailer() -> None:
    """The digits with which a trailer begins do not count as those of the number before them."""
    message = Message(60)
    message.expected = 4
    sent = message.numbered(4)
    at = sent.index(b" 4 ") + 2
    assert message.echoes(sent[:at] + b"15 men" + sent[at:-2]) == []
    assert message.echoes(sent[-2:]) == [4]


def test_cut() -> None:
    """An echo that ends after its number is a changed one."""
    message = Message(60)
    sent = message.numbered(1)
    assert message.echoes(sent[: sent.index(b" 1 ") + 2] + message.numbered(2)) == [b"1", 2]


def test_bounded() -> None:
    """Only a bounded part of other bytes is kept."""
    message = Message(60)
    for _ in range(100):
        assert message.echoes(bytes(65536)) == []
    assert message.echoes(message.numbered(7)) == [7]


def test_padding() -> None:
    """The pattern is repeated, and cut at the size."""
    assert pad(b"abc", 7) == b"abcabca"
    assert pad(b"abc", 0) == b""
    assert find_end(b"abc", b"abc") == 3
    assert find_end(b"abc", b"axbxc") == 5
    assert find_end(b"abc", b"acb") is None
