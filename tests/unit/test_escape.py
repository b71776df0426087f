"""Test wire/escape.py: peers' bytes made printable, and escapes read back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echotime.wire.escape import display_width, escape, preview, preview_decoded, unescape

PRINTABLE = re.compile(r"[ -~]*")


@given(st.binary())
def test_reversible(data: bytes) -> None:
    """Escaping is lossless, and the text is one line of printable ASCII."""
    text = escape(data)
    assert PRINTABLE.fullmatch(text)
    assert unescape(text) == data


def test_every_byte() -> None:
    """All 256 byte values have different escapes."""
    assert len({escape(bytes([value])) for value in range(256)}) == 256


def test_names() -> None:
    """Line ends, tabs and backslashes have their usual escapes."""
    assert escape(b"a\r\n\t\\b") == r"a\r\n\t\\b"


@given(st.binary(), st.integers(0, 20))
def test_cut(data: bytes, limit: int) -> None:
    """A truncated preview has a note, which a peer cannot forge."""
    text = preview(data, limit)
    assert PRINTABLE.fullmatch(text)
    if len(data) > limit:
        assert text == escape(data[:limit]) + f"\\... (first {limit} of {len(data)} bytes)"
    else:
        assert unescape(text) == data
        assert "\\." not in text.replace("\\\\", "")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\\")))
def test_other_characters(text: str) -> None:
    """A character beyond ASCII stands for its UTF-8 bytes."""
    assert unescape(text) == text.encode()


def test_undecodable_command_line() -> None:
    """Bytes of a command line that are not UTF-8 are restored."""
    assert unescape(b"\xff\xfe".decode("utf-8", "surrogateescape")) == b"\xff\xfe"


@pytest.mark.parametrize("text", ["\\", "ab\\q", "\\x", "\\x1", "\\xg0", "\\u1234"])
def test_no_escape(text: str) -> None:
    """An unknown escape is an error with its position and the accepted escapes."""
    with pytest.raises(ValueError, match=rf"at character {text.index(chr(92)) + 1}; expected \\n"):
        unescape(text)


@pytest.mark.parametrize(
    ("data", "encoding", "text"),
    [
        ("你好".encode(), "utf-8", "你好"),
        ("你好".encode("cp936"), "cp936", "你好"),
        (b"a\\\n\r\t\x1b[2J", "utf-8", r"a\\\n\r\t\x1b[2J"),
        (b"\xff\\xff", "utf-8", r"\xff\\xff"),
        ("\u202e\u200b".encode(), "utf-8", r"\u202e\u200b"),
        (b"\x81 ", "cp936", r"\x81 "),
        ("你".encode()[:2] + b"x", "utf-8", r"\xe4\xbdx"),
        ("你".encode("utf-16-le"), "utf-16-le", "你"),
    ],
)
def test_shown_as(data: bytes, encoding: str, text: str) -> None:
    """Printable characters are unchanged, and all else is escaped unambiguously."""
    assert preview_decoded(data, 100, encoding) == text


def test_shown_as_cut() -> None:
    """A truncated preview ends at a whole character, and its note has the whole size."""
    assert preview_decoded("你好".encode(), 4, "utf-8") == r"你\... (first 4 of 6 bytes)"
    assert preview_decoded(b"abc", 2, "utf-8", 4000) == r"ab\... (first 2 of 4000 bytes)"
    assert preview_decoded(b"abc", 3, "utf-8", 3) == "abc"


@given(
    st.binary(max_size=40), st.sampled_from(["utf-8", "cp936", "gb18030", "latin-1", "utf-16", "shift_jis", "ascii"])
)
def test_shown_as_is_harmless(data: bytes, encoding: str) -> None:
    """The preview is one line of printable characters for any bytes and encoding."""
    text = preview_decoded(data, 30, encoding)
    assert text.isprintable()


def test_columns() -> None:
    """A Chinese character is two columns wide."""
    assert display_width("a你b") == 4
