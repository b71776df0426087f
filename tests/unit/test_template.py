r"""Test texts with places such as ``\{peer}``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echotime.wire.escape import escape
from echotime.wire.template import NAMES, Template, parse_constant, parse_template


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (r"\{peer}", (b"", "peer")),
        (r"you are \{peer}, \{rtt} ms\n", (b"you are ", "peer", b", ", "rtt", b" ms\n")),
        (r"\x5c\{via}\{via}\\", (b"\\", "via", b"", "via", b"\\")),
        (r"\{host}\{host} {peer} \\{peer} \{peer}", (b"hh {peer} \\{peer} ", "peer")),
        ("你\\{time}好", ("你".encode(), "time", "好".encode())),
    ],
)
def test_places(text: str, parts: tuple[bytes | str, ...]) -> None:
    """Places are kept by name, known ones are filled in, and everything else is constant."""
    parsed = parse_template(text, {"host": "h"})
    assert isinstance(parsed, Template)
    assert tuple(each for each in parsed.parts if each) == tuple(each for each in parts if each)


@pytest.mark.parametrize("text", ["{peer}", r"\\{peer}", "{", "}", "{}", r"\\\\{x}", r"\x5c{peer}"])
def test_literal_braces(text: str) -> None:
    """Braces are literal unless one backslash precedes them, and the text is constant."""
    assert parse_template(text, {}) == text.replace(r"\x5c", "\\").replace(r"\\", "\\").encode()


def test_only_known() -> None:
    """A text whose places are all known is constant."""
    assert parse_template(r"on \{host}\n", {"host": "h"}) == b"on h\n"


@given(st.lists(st.sampled_from(NAMES) | st.binary()))
def test_round_trip(parts: list[str | bytes]) -> None:
    """Any sequence of names and bytes can be written, and is read as the same."""
    text = "".join(f"\\{{{each}}}" if isinstance(each, str) else escape(each) for each in parts)
    parsed = parse_template(text, {})
    filled = (parsed,) if isinstance(parsed, bytes) else parsed.parts
    expected = "".join(f"<{each}>" if isinstance(each, str) else escape(each) for each in parts)
    assert "".join(f"<{each}>" if isinstance(each, str) else escape(each) for each in filled) == expected


@pytest.mark.parametrize(
    "text", [r"ab\{pear}", r"ab\{", r"ab\{peer", r"ab\{}", r"ab\{PEER}", r"ab\{peer\n}", r"ab\{{}"]
)
def test_unknown_name(text: str) -> None:
    """An unknown or unfinished place is an error with its position and all names."""
    with pytest.raises(ValueError, match=r"unknown escape '\\\{.*' at character 3; expected .*" + ", ".join(NAMES)):
        parse_template(text, {})


@pytest.mark.parametrize("text", [r"\q", r"\{peer}\q", r"\{peer}\q\{via}", "\\{peer}\\", r"\{peer}\x4\{via}"])
def test_other_escapes(text: str) -> None:
    """An unknown escape beside places is reported with its position in the whole text."""
    place = 1 + max(text.rfind("\\q"), text.rfind("\\x"), len(text) - 1 if text[-1] == "\\" else 0)
    with pytest.raises(ValueError, match=rf"at character {place}; expected \\n"):
        parse_template(text, {})


@pytest.mark.parametrize("name", [*NAMES, "pear", ""])
def test_no_constant(name: str) -> None:
    """Every place is an error if a constant is required."""
    assert parse_constant(r"a\n{x}") == b"a\n{x}"
    with pytest.raises(ValueError, match=rf"only the server knows the value of \\{{{name}}}; expected a constant text"):
        parse_constant(f"a\\{{{name}}}")
