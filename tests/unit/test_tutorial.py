"""Test that both languages of the tutorial have the same programs and commands."""

from __future__ import annotations

import re

import pytest

from tests.support.tutorial import PAGES, blocks, commands, page, programs

_CHINESE = r"[\u4e00-\u9fff]"
_LONGEST = 36
"""Lines of a program, its comment and blank lines included."""


def without_texts(sources: dict[str, str]) -> dict[str, str]:
    """Return the programs by file name, with empty strings in the place of what they print."""
    return {name: re.sub(r'(print|input|exit)\(f?"[^"\n]*"', r'\1(""', source) for name, source in sources.items()}


@pytest.mark.parametrize("name", PAGES)
def test_same_code(name: str) -> None:
    """Both languages have the same blocks in the same order; only output and the texts of programs differ."""
    english, chinese = (blocks(page(name, language)) for language in ("", "zh_CN"))
    assert [block.info for block in english] == [block.info for block in chinese]
    assert without_texts(programs(page(name))) == without_texts(programs(page(name, "zh_CN")))
    for first, second in zip(english, chinese, strict=True):
        assert [each.line for each in commands(first)] == [each.line for each in commands(second)]


def test_programs() -> None:
    """Every program of the original text is there, and all are short."""
    found = {**programs(page(PAGES[0])), **programs(page(PAGES[1]))}
    assert {"options.py", "tcp_server.py", "tcp_client.py", "udp_server.py", "udp_client.py"} <= found.keys()
    assert {name: source.count("\n") for name, source in found.items() if source.count("\n") > _LONGEST} == {}


@pytest.mark.parametrize("name", PAGES)
def test_inline_commands(name: str) -> None:
    """Both languages refer to the same demonstrations."""
    english, chinese = (re.findall(r"`echotime [^`]+`", page(name, language)) for language in ("", "zh_CN"))
    assert english == chinese


@pytest.mark.parametrize("name", PAGES)
def test_chinese_punctuation(name: str) -> None:
    """Punctuation beside Chinese characters is full-width."""
    prose = re.sub(r"^```.*?^```$|\]\([^)]*\)", "", page(name, "zh_CN"), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(rf"{_CHINESE}[,.:;?!()]|[,.:;?!()]{_CHINESE}", prose) == []
