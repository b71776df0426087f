"""Test wire/stream_window.py and wire/splits.py against plain bytes and sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from echotime.wire.splits import every_bit
from echotime.wire.stream_window import StreamWindow, common_prefix

FEW = st.binary(max_size=40).map(lambda data: bytes(b"ab"[each % 2] for each in data))


def window(data: bytes, forgotten: int = 0) -> StreamWindow:
    """Return a window on `data`, behind this number of bytes that are forgotten."""
    made = StreamWindow()
    made.append(bytes(forgotten))
    made.forget(forgotten)
    made.append(data)
    return made


@given(FEW, FEW)
def test_common_prefix(one: bytes, other: bytes) -> None:
    """The common prefix is the longest one."""
    length = common_prefix(one, other)
    assert one[:length] == other[:length]
    assert len(min(one, other, key=len)) == length or one[length] != other[length]


@given(FEW, st.integers(1, 5), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8))
def test_repeated_bytes(data: bytes, period: int, calls: list[tuple[int, int]]) -> None:
    """The bytes that repeat are found from any offset, also after calls with other offsets."""
    one = window(data)
    for start, size in calls:
        stop = min(start + size, len(data) - period)
        if start <= stop:
            expected = common_prefix(data[start:stop], data[start + period : stop + period])
            assert one.repeated_bytes(start, stop, period) == expected


def test_forget() -> None:
    """Offsets stay those of the whole stream. Few bytes are kept, because deleting them costs a copy."""
    size = 65536
    one, other = window(b"abcab", size + 1), window(b"xbcay", size)
    assert (one.end, len(one._bytes), len(other._bytes)) == (size + 6, 5, size + 5)
    assert one.read(size + 2, size + 4) == b"bc"
    assert one.find(b"ab", size + 1, size + 6) == size + 1
    assert one.find(b"ab", size + 2, size + 6) == size + 4
    assert one.find(b"ab", size + 2, size + 5) == -1
    assert one.equal_bytes(size + 2, size + 6, other, size + 1) == 3
    assert one.repeated_bytes(size + 1, size + 3, 3) == 2
    one.append(bytes(size))
    one.forget(size + 2 + size)
    assert one._repeated == {}


@given(st.integers(1, 9), st.integers(1, 40))
def test_every_bit(step: int, count: int) -> None:
    """The bits are those of the multiples of the step."""
    assert every_bit(step, count) == sum(1 << number * step for number in range(count))
