"""wire/printable.py."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echotime.wire.printable import escape, shown, unescape

PRINTABLE = re.compile(r"[ -~]*")


@given(st.binary())
def test_reversible(data: bytes) -> None:
    """Nothing is lost, and the text is one line of printable ASCII."""
    text = escape(data)
    assert PRINTABLE.fullmatch(text)
    assert unescape(text) == data


def test_every_byte() -> None:
    """All 256 values are told apart."""
    assert len({escape(bytes([value])) for value in range(256)}) == 256


def test_names() -> None:
    """Line ends, tabs and backslashes have their usual names."""
    assert escape(b"a\r\n\t\\b") == r"a\r\n\t\\b"


@given(st.binary(), st.integers(0, 20))
def test_cut(data: bytes, limit: int) -> None:
    """What is cut says so, and nothing that a peer sends can look as if it had been cut."""
    text = shown(data, limit)
    assert PRINTABLE.fullmatch(text)
    if len(data) > limit:
        assert text == escape(data[:limit]) + f"\\... (first {limit} of {len(data)} bytes)"
    else:
        assert unescape(text) == data
        assert "\\." not in text.replace("\\\\", "")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\\")))
def test_other_characters(text: str) -> None:
    """Beyond ASCII a character stands for its UTF-8."""
    assert unescape(text) == text.encode()


def test_undecodable_command_line() -> None:
    """Bytes of a command line that are no UTF-8 are given back as they were."""
    assert unescape(b"\xff\xfe".decode("utf-8", "surrogateescape")) == b"\xff\xfe"


@pytest.mark.parametrize("text", ["\\", "ab\\q", "\\x", "\\x1", "\\xg0", "\\u1234"])
def test_no_escape(text: str) -> None:
    """A backslash that begins no escape is an error that names the place and what was expected."""
    with pytest.raises(ValueError, match=rf"at character {text.index(chr(92)) + 1} .*expected \\n"):
        unescape(text)
